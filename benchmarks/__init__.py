"""How fast the suite is, beside what the machine allows and beside its peers: ``python -m
benchmarks``."""
