"""From corpora on disk to decoded recordings, folds and trials."""

# goes up with every change of what a store holds: stores of an older format are made again
STORE_FORMAT = 4
