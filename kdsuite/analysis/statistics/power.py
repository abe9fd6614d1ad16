"""The smallest gain a design could have detected: of the runs at hand, and of the paper's own."""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from statsmodels.stats.power import TTestPower

from kdsuite.analysis.statistics.resampling import ENOUGH, LEVEL

POWER = 0.8
COARSE = 10
SUITES = 10000  # a standard error of 0.4 % of power
# recordings tested and folds behind each printed number: 20 % of 21,819 recordings; 24 actors, each
# left out once; five folds
PAPER = {4: (4364, 1), 6: (2452, 24), 7: (5531, 5)}
# supposed between two students' answers to one recording
CORRELATIONS = (0.0, 0.5, 0.8)


def standard_error(accuracy: float, recordings: int) -> float:
    """Return the binomial standard error of an accuracy; 2,452 recordings at 55 % make one point."""
    return math.sqrt(accuracy * (1 - accuracy) / recordings)


def detectable(found: np.ndarray) -> float:
    """Return the gain that the exact sign-flip test finds four times in five, from the spread of
    its differences ``(units,)``.

    ``found`` are paired differences, one a fold. NaN where there are fewer than six, or all are the
    same.
    """
    spread = float(np.std(found, ddof=1)) if len(found) >= ENOUGH else 0.0
    return spread * _effect(len(found)) if spread else math.nan


def detectable_by_t(error: float, freedom: float) -> float:
    """Return the gain that a two-sided Student's t finds four times in five, from its standard
    error and degrees of freedom."""
    if not error > 0:
        return math.nan
    units = freedom + 1  # a paired test over so many units has as many degrees of freedom
    return (
        error
        * math.sqrt(units)
        * float(
            TTestPower().solve_power(nobs=units, alpha=LEVEL, power=POWER, alternative="two-sided")
        )
    )


@cache
def _effect(units: int) -> float:
    """Return the gain that flipping signs finds, in standard deviations of a unit's difference; NaN
    for fewer than six units.

    The differences are supposed normal. Up to :data:`COARSE` units the few signs there are make the
    test weaker than Student's t, and the gain is found by simulation; above, the two agree.
    """
    if units < ENOUGH:
        return math.nan
    by_t = detectable_by_t(1 / math.sqrt(units), units - 1)
    if units > COARSE:
        return by_t
    signs = np.array(
        list(product((1, -1), repeat=units - 1))
    )  # all of them but for the mirror images
    signs = np.column_stack([np.ones(len(signs)), signs])
    noise = np.random.default_rng(0).normal(size=(SUITES, units))

    def power(gain: float) -> float:
        sums = np.abs((noise + gain) @ signs.T)
        return float(((sums >= sums[:, :1] - 1e-9).mean(axis=1) < LEVEL).mean())

    return float(brentq(lambda gain: power(gain) - POWER, by_t / 2, 2 * by_t, xtol=1e-3))


def design(
    recordings: int, accuracy: float, folds: int = 1, correlation: float = 0.5, spread: float = 0.0
) -> float:
    """Return the smallest gain in accuracy that a design detects four times in five, before any
    run.

    ``correlation`` is that between the two students' answers to one recording (0: none, which two
    independent test sets have), ``spread`` the standard deviation of the true gain from fold to
    fold, as a fraction, on top of the binomial noise.
    """
    noise = standard_error(accuracy, recordings) * math.sqrt(2 * (1 - correlation))
    return math.sqrt(folds * noise**2 + spread**2) * _effect(folds)


def paper_designs(published: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each printed accuracy: table, backbone, setting, standard error, printed
    gain and detectable gains.

    ``published`` are the paper's Tables 4 to 7 in percent. All numbers are points of percent;
    ``detectable_0.5`` supposes that the two students' answers correlate by 0.5. Error rates (Table
    5) are left out: their spread is not that of a share.
    """
    rows = []
    for row in published[published.table.isin(PAPER)].itertuples():
        (recordings, folds), accuracy = PAPER[row.table], row.undistilled / 100
        gains = {
            f"detectable_{value:g}": 100 * design(recordings, accuracy, folds, value)
            for value in CORRELATIONS
        }
        told = {
            "table": row.table,
            "backbone": row.backbone,
            "setting": row.setting,
            "recordings": recordings,
            "folds": folds,
        }
        error = 100 * standard_error(accuracy, recordings)
        rows.append(
            {**told, "standard_error": error, "gain": row.distilled - row.undistilled, **gains}
        )
    return pd.DataFrame(rows)
