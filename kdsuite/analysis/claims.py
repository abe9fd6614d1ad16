"""A verdict on a claim: whether comparisons prove or refute what is said of them.

Comparisons are rows of :func:`kdsuite.analysis.comparisons.compare_runs`. Of these a verdict needs
gain, low, high (the gain's 95 % interval; above zero is better, for error rates too), the degrees
of freedom of that interval, p (uncorrected) and trainings (students that each number rests on).
With fewer than six trainings differences between trainings could be all there is, and such a row
proves and refutes nothing.
What a claim of the paper says of which comparisons stands in ``notebooks/questions/claims.ipynb``.
"""

import numpy as np
import pandas as pd
from scipy import stats

from kdsuite.analysis.statistics.comparison import corrected
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = VERDICTS = (
    "supported",
    "contradicted",
    "undecided: too little data",
    "not run",
)


def judge(rows: pd.DataFrame, complete: bool) -> tuple:
    """Return estimate and interval of the weakest comparison, and the verdict on all.

    What is said of each comparison are its ``sign``, ``proven`` and ``refuted``: ``sign`` times the
    gain is proven where its interval lies above ``proven``, refuted where below ``refuted``. A
    claim is supported where *all* are proven (each at 5 %: no correction is due) and none is
    missing (``complete``), contradicted where *any* is refuted (corrected for their number by
    Holm), and undecided otherwise.
    """
    if rows.empty:
        return np.nan, np.nan, np.nan, NOT_RUN
    rows = rows.reset_index(drop=True)
    value, error = rows.sign * rows.gain, standard_error(rows)
    enough = rows.trainings >= MIN_UNITS
    above = value - (rows.high - rows.low) / 2 > rows.proven
    proven = enough & above & ((rows.proven != 0) | (rows.p < LEVEL))
    refuted = two_sided(value - rows.refuted, error, rows.freedom).where(value < rows.refuted, 1.0)
    refuted = (corrected(refuted.where(error.notna() & enough)) < LEVEL) & ~proven
    supported = proven.all() and complete
    verdict = CONTRADICTED if refuted.any() else SUPPORTED if supported else UNDECIDED
    distance = value - rows.proven
    order = distance / error if error.notna().any() else distance
    weakest = rows.loc[order.fillna(np.inf).idxmin()]
    return weakest.gain, weakest.low, weakest.high, verdict


def reach(freedom: pd.Series) -> pd.Series:
    """Return how many standard errors a 95 % interval reaches to either side."""
    return stats.t.isf(LEVEL / 2, freedom)


def standard_error(rows: pd.DataFrame) -> pd.Series:
    """Return the standard error of each gain, from its interval."""
    return (rows.high - rows.low) / (2 * reach(rows.freedom))


def two_sided(distance: pd.Series, error: pd.Series, freedom: pd.Series) -> pd.Series:
    """Return the two-sided p of a distance from zero, which agrees with the 95 % interval."""
    return pd.Series(2 * stats.t.sf((distance / error).abs(), freedom), distance.index)
