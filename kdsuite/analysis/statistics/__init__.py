"""How sure one can be: intervals and tests over speakers and folds, the power of a design, and
worlds whose truth is known."""

from kdsuite.analysis.statistics.comparison import Comparison, compare, corrected, paired
from kdsuite.analysis.statistics.power import design, detectable, paper_designs, standard_error
from kdsuite.analysis.statistics.resampling import Interval, interval, sign_flip
from kdsuite.analysis.statistics.trials import TrialComparison, compare_trials, trial_interval

__all__ = [
    "Comparison",
    "Interval",
    "TrialComparison",
    "compare",
    "compare_trials",
    "corrected",
    "design",
    "detectable",
    "interval",
    "paired",
    "paper_designs",
    "sign_flip",
    "standard_error",
    "trial_interval",
]
