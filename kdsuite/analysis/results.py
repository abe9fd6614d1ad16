from kdsuite.analysis.tables.collected import *
from kdsuite.analysis.tables.collected import coordinates, variant, distinct, prevailing, collect, states, histories
