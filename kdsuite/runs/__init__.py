"""Runs on disk: the grid of a suite, its stages, results, cost, and whether they repeat."""
