"""A verdict on a claim: whether comparisons prove or refute what is said of them.

Comparisons are rows of :func:`kdsuite.analysis.comparisons.compare_runs`. Of these a verdict needs
gain, low, high (the gain's 95 % interval; above zero is better, for error rates too), p
(uncorrected) and trainings (students that each number rests on). With fewer than six trainings
differences between trainings could be all there is, and such a row proves and refutes nothing.
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
NORMAL = stats.norm.isf(LEVEL / 2)


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
    value, error = rows.sign * rows.gain, (rows.high - rows.low) / (2 * NORMAL)
    enough = rows.trainings >= MIN_UNITS
    above = value - NORMAL * error > rows.proven
    proven = enough & above & ((rows.proven != 0) | (rows.p < LEVEL))
    refuted = two_sided(value - rows.refuted, error).where(value < rows.refuted, 1.0)
    refuted = (corrected(refuted.where(error.notna() & enough)) < LEVEL) & ~proven
    supported = proven.all() and complete
    verdict = CONTRADICTED if refuted.any() else SUPPORTED if supported else UNDECIDED
    weakest = rows.loc[((value - rows.proven) / error).fillna(np.inf).idxmin()]
    return weakest.gain, weakest.low, weakest.high, verdict


def two_sided(distance: pd.Series, error: pd.Series) -> pd.Series:
    """Return the two-sided p of a distance from zero, which agrees with the 95 % interval."""
    return pd.Series(2 * stats.norm.sf((distance / error).abs()), distance.index)
