from kdsuite.analysis.evidence import *
from kdsuite.analysis.evidence import comparisons as compare_runs
