from kdsuite.analysis.paper.claims import *
