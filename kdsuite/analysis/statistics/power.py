"""The smallest gain that a design could have detected."""

import math
from functools import cache
from itertools import product

import numpy as np
import scipy

LEVEL = 0.05  # two-sided, of tests and intervals
# so many trainings, or folds whose signs are flipped, can tell anything: 2 of 2⁶ signs are 0.03, 2
# of 2⁵ are 0.06
MIN_UNITS = 6
POWER = 0.8
COARSE = 10
SUITES = 10000  # a standard error of 0.4 % of power


def detectable(values: np.ndarray) -> float:
    """Return the gain that the exact sign-flip test finds with 80 % power, from paired
    differences ``(units,)``, one a fold.

    NaN where there are fewer than six, or all are the same.
    """
    spread = np.std(values, ddof=1)
    return spread * detectable_by_signs(len(values)) if spread else math.nan


def detectable_by_t(error: float, freedom: float) -> float:
    """Return the gain that a two-sided Student's t finds with 80 % power, from its standard
    error and degrees of freedom."""
    from statsmodels.stats.power import TTestPower  # late: a third of a second

    if not error > 0:
        return math.nan
    units = freedom + 1  # a paired test over so many units has as many degrees of freedom
    effect = TTestPower().solve_power(nobs=units, alpha=LEVEL, power=POWER)
    return error * math.sqrt(units) * effect


@cache
def detectable_by_signs(units: int) -> float:
    """Return the gain that flipping signs finds with 80 % power, in standard deviations of a
    unit's difference; NaN for fewer than six units.

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

    def missing_power(gain):
        sums = np.abs((noise + gain) @ signs.T)
        return POWER - ((sums >= sums[:, :1] - 1e-9).mean(axis=1) < LEVEL).mean()

    return scipy.optimize.brentq(missing_power, by_t / 2, 2 * by_t, xtol=1e-3)
