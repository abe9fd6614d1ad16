from kdsuite.analysis.paper.claims import *
from kdsuite.analysis.paper.claims import claims, VERDICTS, NOT_RUN
