"""A verdict on a claim: what is stated of comparisons, and whether these prove or refute it.

Comparisons are rows of :func:`kdsuite.analysis.comparisons.compare_runs`. Of these a verdict needs
gain, low, high (the gain's 95 % interval; above zero is better, for error rates too), p
(uncorrected) and trainings (students that each number rests on). With fewer than six trainings
differences between trainings could be all there is, and such a row proves and refutes nothing.
Which comparisons a claim of the paper is about stands in ``notebooks/questions/claims.ipynb``.
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
MARGIN = 0.01  # a gain or harm that matters: one point, the standard error of the paper's own test on RAVDESS
LEAST = 0.04  # the least fall of an error rate that the paper claims, relative
NORMAL = stats.norm.isf(LEVEL / 2)
# what can be said of a gain: ``sign`` times it is proven where its interval lies above ``proven``,
# refuted where below ``refuted``. Nobody can show that a gain is exactly zero: a claim of one is
# refuted where it is shown to be too small to matter
STATEMENT = ["sign", "proven", "refuted"]
IMPROVES, HARMS, DOES_NO_HARM = (1, 0.0, MARGIN), (-1, 0.0, MARGIN), (1, -MARGIN, 0.0)
FALLS, EXCEEDS = (1, 0.0, LEAST), (1, 0.0, 0.0)


def stated(rows: pd.DataFrame, statement: tuple[int, float, float]) -> pd.DataFrame:
    """State the same of each comparison."""
    return rows.assign(**dict(zip(STATEMENT, statement)))


def exceeding(first: pd.DataFrame | pd.Series, other: pd.DataFrame) -> pd.DataFrame:
    """State that the gains of ``first``, one or row by row, exceed those of ``other``.

    The two were tested on the same recordings, against the same or a similar student, so their
    errors rise and fall together; taken as independent, as here, their difference seems less sure
    than it is.
    """
    gain = first.gain - other.gain
    error = np.hypot(first.high - first.low, other.high - other.low) / (2 * NORMAL)
    return stated(other, EXCEEDS).assign(
        gain=gain,
        low=gain - NORMAL * error,
        high=gain + NORMAL * error,
        p=_p(gain, error),
        trainings=np.minimum(first.trainings, other.trainings),
    )


def judge(rows: pd.DataFrame, complete: bool) -> tuple[float, float, float, str]:
    """Return estimate and interval of the weakest comparison, and the verdict on all.

    ``rows`` are comparisons of which something is :func:`stated`. A claim is supported where *all*
    are proven (each at 5 %: no correction is due) and none is missing (``complete``), contradicted
    where *any* is refuted (corrected for their number by Holm), and undecided otherwise.
    """
    if rows.empty:
        return np.nan, np.nan, np.nan, NOT_RUN
    rows = rows.reset_index(drop=True)
    value, error = rows.sign * rows.gain, (rows.high - rows.low) / (2 * NORMAL)
    enough = rows.trainings >= MIN_UNITS
    above = value - NORMAL * error > rows.proven
    proven = enough & above & ((rows.proven != 0) | (rows.p < LEVEL))
    refuted = _p(value - rows.refuted, error).where(value < rows.refuted, 1.0)
    refuted = (corrected(refuted.where(error.notna() & enough)) < LEVEL) & ~proven
    supported = proven.all() and complete
    verdict = CONTRADICTED if refuted.any() else SUPPORTED if supported else UNDECIDED
    weakest = rows.loc[((value - rows.proven) / error).fillna(np.inf).idxmin()]
    return weakest.gain, weakest.low, weakest.high, verdict


def _p(distance: pd.Series, error: pd.Series) -> pd.Series:
    """Return the two-sided p of a distance from zero, which agrees with the 95 % interval."""
    return pd.Series(2 * stats.norm.sf((distance / error).abs()), distance.index)
