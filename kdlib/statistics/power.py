"""The smallest gain a design could have detected: of the runs at hand, and of the paper's own."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from kdlib.statistics.resampling import LEVEL

POWER = 0.8
# recordings tested and folds behind each printed number: 20 % of 21,819 recordings; 24 actors, each left out once; five folds
PAPER = {4: (4364, 1), 6: (2452, 24), 7: (5531, 5)}
# supposed between two students' answers to one recording
CORRELATIONS = (0.0, 0.5, 0.8)


def standard_error(accuracy: float, recordings: int) -> float:
    """Return the binomial standard error of an accuracy; 2,452 recordings at 55 % make one point."""
    return math.sqrt(accuracy * (1 - accuracy) / recordings)


def detectable(found: np.ndarray) -> float:
    """Return the gain that a two-sided paired test detects four times in five, from the spread of its differences ``(units,)``.

    ``found`` are paired differences, one a fold or speaker. NaN where there are fewer than three, or all are the same.
    """
    spread = float(np.std(found, ddof=1)) if len(found) > 2 else 0.0
    return spread * _effect(len(found)) if spread else math.nan


@cache
def _effect(units: int) -> float:
    """Return the gain that is found, in standard deviations of a unit's difference."""
    if units < 3:  # the spread is then known from elsewhere: a normal test
        return (stats.norm.isf(LEVEL / 2) + stats.norm.isf(1 - POWER)) / math.sqrt(units)
    return float(TTestPower().solve_power(nobs=units, alpha=LEVEL, power=POWER, alternative="two-sided"))


def design(recordings: int, accuracy: float, folds: int = 1, correlation: float = 0.5, spread: float = 0.0) -> float:
    """Return the smallest gain in accuracy that a design detects four times in five, before any run.

    ``correlation`` is that between the two students' answers to one recording (0: none, which two independent test sets have),
    ``spread`` the standard deviation of the true gain from fold to fold, as a fraction, on top of the binomial noise.
    """
    noise = standard_error(accuracy, recordings) * math.sqrt(2 * (1 - correlation))
    return math.sqrt(folds * noise**2 + spread**2) * _effect(folds)


def paper_designs(published: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each printed accuracy: table, backbone, setting, standard error, printed gain and detectable gains.

    ``published`` are the paper's Tables 4 to 7 in percent. All numbers are points of percent; ``detectable_0.5`` supposes that the
    two students' answers correlate by 0.5. Error rates (Table 5) are left out: their spread is not that of a share.
    """
    rows = []
    for row in published[published.table.isin(PAPER)].itertuples():
        (recordings, folds), accuracy = PAPER[row.table], row.undistilled / 100
        gains = {f"detectable_{value:g}": 100 * design(recordings, accuracy, folds, value) for value in CORRELATIONS}
        told = {"table": row.table, "backbone": row.backbone, "setting": row.setting, "recordings": recordings, "folds": folds}
        error = 100 * standard_error(accuracy, recordings)
        rows.append({**told, "standard_error": error, "gain": row.distilled - row.undistilled, **gains})
    return pd.DataFrame(rows)
