"""How sure one can be: intervals and tests over speakers and folds, the power of a design, and worlds whose truth is known."""

from kdlib.statistics.comparison import Comparison, compare, corrected, paired
from kdlib.statistics.power import design, detectable, paper_designs, standard_error
from kdlib.statistics.resampling import Interval, interval, sign_flip
from kdlib.statistics.trials import TrialComparison, compare_trials, trial_interval

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
