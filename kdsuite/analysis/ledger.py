from kdsuite.analysis.paper.ledger import *
