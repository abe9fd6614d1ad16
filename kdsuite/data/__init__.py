"""From corpora on disk to decoded recordings, folds and trials."""

# goes up with every change of what a store holds: stores of an older format are then made again, not misread
STORE_FORMAT = 3
