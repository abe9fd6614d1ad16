from kdsuite.analysis.tables.collected import *
