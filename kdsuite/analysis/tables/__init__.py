"""From results on disk to the paper's tables: tidy numbers, Tables 1 to 7, CSV and TeX.

results = collect(runs)
tables = [*network_tables(), *comparisons(runs, results, alpha=0.5)]
files = {table.name: write(table, folder) for table in tables}
"""

from kdsuite.analysis.results import collect, histories, states
from kdsuite.analysis.tables.comparison import comparisons
from kdsuite.analysis.tables.links import linked
from kdsuite.analysis.tables.networks import network_tables
from kdsuite.analysis.tables.table import ABSENT, BACKBONES, SETTINGS, Column, Table, write

__all__ = [
    "ABSENT",
    "BACKBONES",
    "SETTINGS",
    "Column",
    "Table",
    "collect",
    "comparisons",
    "histories",
    "linked",
    "missing",
    "network_tables",
    "states",
    "write",
]


def missing(runs):
    """Return the runs that have no result yet."""
    found = states(runs)
    return found.run[found.state != "done"].to_list()
