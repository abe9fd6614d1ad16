"""The smallest gain a design could have detected: of the runs at hand, and of the paper's own."""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from statsmodels.stats.power import TTestPower

LEVEL = 0.05  # two-sided, of tests and intervals
# so many trainings, or folds whose signs are flipped, can tell anything: 2 of 2⁶ signs are 0.03, 2
# of 2⁵ are 0.06
MIN_UNITS = 6
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


def detectable(values: np.ndarray) -> float:
    """Return the gain that the exact sign-flip test finds four times in five, from paired
    differences ``(units,)``, one a fold.

    NaN where there are fewer than six, or all are the same.
    """
    spread = float(np.std(values, ddof=1)) if len(values) >= MIN_UNITS else 0.0
    return spread * _effect(len(values)) if spread else math.nan


def detectable_by_t(error: float, freedom: float) -> float:
    """Return the gain that a two-sided Student's t finds four times in five, from its standard
    error and degrees of freedom."""
    if not error > 0:
        return math.nan
    units = freedom + 1  # a paired test over so many units has as many degrees of freedom
    effect = TTestPower().solve_power(nobs=units, alpha=LEVEL, power=POWER)
    return error * math.sqrt(units) * float(effect)


@cache
def _effect(units: int) -> float:
    """Return the gain that flipping signs finds, in standard deviations of a unit's difference; NaN
    for fewer than six units.

    The differences are supposed normal. Up to :data:`COARSE` units the few signs there are make the
    test weaker than Student's t, and the gain is found by simulation; above, the two agree.
    """
    if units < MIN_UNITS:
        return math.nan
    by_t = detectable_by_t(1 / math.sqrt(units), units - 1)
    if units > COARSE:
        return by_t
    signs = np.array(list(product((1, -1), repeat=units)))[: 2 ** (units - 1)]  # but mirror images
    noise = np.random.default_rng(0).normal(size=(SUITES, units))

    def missing_power(gain: float) -> float:
        sums = np.abs((noise + gain) @ signs.T)
        return POWER - ((sums >= sums[:, :1] - 1e-9).mean(axis=1) < LEVEL).mean()

    return float(brentq(missing_power, by_t / 2, 2 * by_t, xtol=1e-3))


def design(recordings: int, accuracy: float, folds: int = 1, correlation: float = 0.5) -> float:
    """Return the smallest gain in accuracy that a design detects four times in five, before any
    run.

    ``correlation`` is that between the two students' answers to one recording (0: none, which two
    independent test sets have).
    """
    noise = standard_error(accuracy, recordings) * math.sqrt(2 * (1 - correlation))
    return math.sqrt(folds) * noise * _effect(folds)


def paper_designs(published: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each printed accuracy: table, backbone, setting, standard error, printed
    gain and detectable gains.

    ``published`` are the paper's Tables 4 to 7 in percent. All numbers are points of percent;
    ``detectable_0.5`` supposes that the two students' answers correlate by 0.5. Error rates (Table
    5) are left out: their spread is not that of a share.
    """
    printed = published[published.table.isin(PAPER)].reset_index(drop=True)
    rows = printed[["table", "backbone", "setting"]].copy()
    rows[["recordings", "folds"]] = printed.table.map(PAPER).to_list()
    shares = list(zip(rows.recordings, printed.undistilled / 100, rows.folds))
    rows["standard_error"] = [100 * standard_error(share, count) for count, share, _ in shares]
    rows["gain"] = printed.distilled - printed.undistilled
    for value in CORRELATIONS:
        rows[f"detectable_{value:g}"] = [100 * design(*share, value) for share in shares]
    return rows
