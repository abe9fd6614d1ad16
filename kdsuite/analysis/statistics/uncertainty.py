"""How far a mean over folds, seeds and speakers may be from the truth: standard errors, intervals
and sign-flip tests.

Recordings of one speaker resemble each other, and so do the answers of one trained student. So
speakers and trainings (a fold of a seed is one) are the units, never recordings.

- Where each speaker is tested in one fold and there are three folds or more, folds are independent:
  they differ by their speakers *and* by their trainings, and the interval is Student's t over
  folds. Training sets of two folds overlap, which no such interval can see (Bengio & Grandvalet
  2004).
- Where the same speakers are tested by several trainings (seeds of one split), speakers and
  trainings are crossed: the variance of the mean is a sum of components (Searle, Casella &
  McCulloch 1992, chapter 4), its degrees of freedom are Satterthwaite's (1946). Each speaker's part
  of a training's number is the jackknife's pseudo-value (Tukey 1958).
- With fewer trainings their spread is unknown. An interval over speakers alone would cover 80 %
  instead of 95 %, so there is none.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy  # which loads a part at its first use: each run's card needs no stats, half a second

from kdlib.errors import UserError
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS, detectable, detectable_by_t

FLIPS = 9999
# from so many folds on Student's t over them is printed: with two it is 12.7 standard errors
MIN_FOLDS = 3
EXACT = 16  # differences of which all 2¹⁶ signs are tried, in half a second
TRAINING = ["seed", "fold"]  # one student each
# a metric is a mean over these groups, the cells, of the share of right answers
CELLS = {"uar": [*TRAINING, "label"], "accuracy": TRAINING}


class Interval(NamedTuple):
    """A number with its 95 % interval."""

    estimate: float
    low: float
    high: float


class Uncertainty(NamedTuple):
    """The standard ``error`` of a mean, its degrees of ``freedom``, and over which ``unit`` it was
    estimated; NaN and "" where it is unknown. Where folds are the unit, ``folds`` has the metric of
    each, ``(folds,)``."""

    error: float = math.nan
    freedom: float = math.nan
    unit: str = ""
    folds: np.ndarray = np.empty(0)

    def interval(self, estimate: float) -> Interval:
        """Return the 95 % interval of Student's t."""
        reach = -scipy.special.stdtrit(self.freedom, LEVEL / 2) * self.error
        return Interval(estimate, estimate - reach, estimate + reach)

    def test(self, estimate: float) -> tuple[float, float]:
        """Return the two-sided p of an estimate, and the gain that its test detects four times in
        five: signs of six folds or more, else Student's t; NaN where there is no spread."""
        if len(self.folds) >= MIN_UNITS:
            return sign_flip(self.folds), detectable(self.folds)
        if not self.error > 0:
            return math.nan, math.nan
        p = 2 * scipy.stats.t.sf(abs(estimate) / self.error, self.freedom)
        return p, detectable_by_t(self.error, self.freedom)


def right(predictions: pd.DataFrame, column: str = "predicted") -> pd.Series:
    """Return 1 where the answer in ``column`` is the label, else 0, ``(recordings,)``."""
    return (predictions[column].astype(str) == predictions.label.astype(str)).astype(float)


def weights(predictions: pd.DataFrame, metric: str) -> pd.Series:
    """Return each recording's weight in ``uar`` or ``accuracy``, ``(recordings,)``; the metric is
    the weighted sum of right answers.

    Every student (a fold of a seed) weighs the same, and so does every cell of a student. Where
    each speaker is in one fold, every fold weighs the same, however many seeds it has. Raises
    UserError for any other metric.
    """
    if metric not in CELLS:
        raise UserError(f"unknown metric '{metric}'; choose from {', '.join(CELLS)} and eer.")
    cell = predictions.groupby(CELLS[metric], observed=True).ngroup()
    training, fold = predictions.groupby(TRAINING).ngroup(), predictions.fold
    cells, students = cell.groupby(training).transform("nunique"), training.nunique()
    if one_fold_each(predictions):
        students = fold.nunique() * training.groupby(fold).transform("nunique")
    return 1 / cells / students / cell.groupby(cell).transform("size")


def one_fold_each(predictions: pd.DataFrame) -> bool:
    """Return whether each speaker is tested in one fold, so that folds are independent."""
    return (predictions.groupby("speaker").fold.nunique() == 1).all()


def uncertainty(predictions: pd.DataFrame, metric: str, value: pd.Series) -> Uncertainty:
    """Return how sure the metric of ``value`` ``(recordings,)`` is, over folds or over speakers and
    trainings (see the module)."""
    apart = one_fold_each(predictions)
    parts = (weights(predictions, metric) * value).groupby(predictions.fold).sum().to_numpy()
    if apart and len(parts) >= MIN_FOLDS:
        folds = len(parts) * parts  # the metric of each
        return Uncertainty(_standard_error(folds), len(folds) - 1, "fold", folds)
    groups = [part for _, part in predictions.groupby("fold")] if apart else [predictions]
    left_out = [leave_one_out(part, metric, value[part.index]) for part in groups]
    # the jackknife's pseudo-values, (speakers, trainings)
    return crossed([(len(of) - 1) * of[0] - (len(of) - 2) * of[1:] for of in left_out])


def _standard_error(values):
    return np.std(values, ddof=1) / math.sqrt(len(values))


def leave_one_out(predictions: pd.DataFrame, metric: str, value: pd.Series) -> np.ndarray:
    """Return the metric of each training ``(1 + speakers, trainings)``: of all speakers, then
    without each.

    A cell counts by how many of its speakers are left, so that who is left out is missing also
    where each speaker is a class (speaker identification); otherwise intervals there would be too
    short.
    """
    keys = [predictions[name] for name in (*CELLS[metric], "speaker")]
    cells = value.groupby(keys, observed=True).agg(["size", "sum"]).unstack(fill_value=0)
    recordings, summed = cells["size"].to_numpy(), cells["sum"].to_numpy()  # (cells, speakers)
    recordings, summed, speakers = (
        np.column_stack([of.sum(axis=1), of.sum(axis=1, keepdims=True) - of])
        for of in (recordings, summed, recordings > 0)
    )
    weight = speakers / speakers[:, :1]
    total, weight = (
        pd.DataFrame(of, cells.index).groupby(level=TRAINING).sum()
        for of in (weight * summed / np.maximum(recordings, 1), weight)
    )
    return (total / weight).to_numpy().T


def crossed(groups: list[np.ndarray]) -> Uncertainty:
    """Return how sure the mean over ``groups`` is, each of ``(speakers, trainings)`` in which every
    training tested every speaker.

    NaN where a group has a single speaker or training, or all groups together fewer than two
    trainings beyond their first.
    """
    freedoms = np.array([group.shape for group in groups]) - 1
    if not freedoms.all() or freedoms[:, 1].sum() < 2:
        return Uncertainty()
    variances = []
    for group in groups:
        rows, columns = group.mean(axis=1), group.mean(axis=0)
        rest = group - rows[:, None] - columns + group.mean()
        noise = (rest**2).sum() / (len(rows) - 1) / (len(columns) - 1) / group.size
        variances.append((_standard_error(rows) ** 2, _standard_error(columns) ** 2, noise))
    return combined(
        np.sum(variances, axis=0) / len(groups) ** 2,
        np.column_stack([freedoms, freedoms.prod(axis=1)]).sum(axis=0),
    )


def combined(variances: np.ndarray, freedoms: np.ndarray) -> Uncertainty:
    """Return how sure a mean is, from its variance by speakers, by trainings, and by the noise of a
    speaker in a training, ``(3,)`` each.

    Each of the first two holds that noise, which counts once; trainings that differ by no more than
    it add nothing.
    """
    terms = variances * (1, 1, -1)
    if variances[1] <= variances[2]:
        terms, freedoms = terms[:1], freedoms[:1]
    variance, least = max(terms.sum(), 0.0), min(freedoms)
    freedom = variance**2 / (terms**2 / freedoms).sum() if variance > 0 else least
    return Uncertainty(math.sqrt(variance), max(freedom, least), "speaker and training")


def sign_flip(values: np.ndarray) -> float:
    """Return the two-sided p of paired differences ``(units,)``: how often random signs give a mean
    as far from zero.

    To exchange the answers of two students for a unit is to flip the sign of its difference. Up to
    :data:`EXACT` units all signs are tried, above :data:`FLIPS` random ones. NaN with fewer than
    six: 2 of 2⁵ signs are 0.06.
    """
    if len(values) < MIN_UNITS:
        return math.nan
    return scipy.stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf if len(values) <= EXACT else FLIPS,
        batch=max(1, 2**20 // len(values)),
        rng=0,
    ).pvalue


def least_p(units: int) -> float:
    """Return the smallest p that :func:`sign_flip` can find with so many units."""
    return 2 / (2**units if units <= EXACT else FLIPS + 1)
