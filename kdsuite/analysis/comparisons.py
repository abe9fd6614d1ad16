from kdsuite.analysis.evidence import *
