"""How far a mean over folds, seeds and speakers may be from the truth: standard errors, intervals
and sign-flip tests.

Recordings of one speaker resemble each other, and so do the answers of one trained student. So
speakers and trainings (a fold of a seed is one) are the units, never recordings.

- Where each speaker is tested in one fold and there are three folds or more, folds are independent: they differ by their speakers *and*
  by their trainings, and the interval is Student's t over folds. Training sets of two folds overlap, which no such interval can
  see (Bengio & Grandvalet 2004).
- Where the same speakers are tested by several trainings (seeds of one split), speakers and trainings are crossed: the variance of the
  mean is a sum of components (Searle, Casella & McCulloch 1992, chapter 4), its degrees of freedom are Satterthwaite's (1946). Each
  speaker's part of a training's number is the jackknife's pseudo-value (Tukey 1958).
- With fewer trainings their spread is unknown. An interval over speakers alone would cover 80 % instead of 95 %, so there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats

from kdlib.errors import UserError

LEVEL = 0.05  # two-sided, of tests and intervals
FLIPS = 9999
ENOUGH = 6  # units of which signs can tell anything: 2 of 2⁶ are 0.03, 2 of 2⁵ are 0.06
FOLDS = 3  # folds from which on Student's t over them is worth printing: with two it is 12.7 standard errors
EXACT = 16  # differences of which all 2¹⁶ signs are tried, in half a second
TRAINED = ["seed", "fold"]  # one student each
CELLS = {
    "uar": [*TRAINED, "label"],
    "accuracy": TRAINED,
}  # a metric is a mean over these groups of the share of right answers


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Cells:
    """Answers summed up by speaker and by the cells whose mean is the metric.

    ``total`` and ``value`` are sparse ``(speakers, cells)``: recordings, and the sum of what is
    averaged. ``weight`` ``(cells,)`` is each cell's part of the metric; weights sum to 1.
    """

    total: sparse.csr_array
    value: sparse.csr_array
    weight: np.ndarray

    def mean(self, drawn: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Return the metric ``(draws,)`` where each speaker is there ``drawn`` ``(draws,
        speakers)`` times.

        With ``within`` ``(cells,)``, numbers from 0, the metric of each group of cells ``(draws,
        groups)``. A cell counts as often as its speakers were drawn. So an actor who is left out is
        missing also where each actor is a fold (leaving one actor out) or a class (speaker
        identification); without it, intervals there would be too short.
        """
        there = sparse.csr_array(self.total > 0, dtype=float)
        counts = self.weight * (drawn @ there) / there.sum(axis=0)
        total = drawn @ self.total
        share = np.divide(drawn @ self.value, total, out=np.zeros_like(total), where=total > 0)
        if within is None:
            return (counts * share).sum(axis=1) / counts.sum(axis=1)
        group = np.eye(within.max() + 1)[within]
        with np.errstate(invalid="ignore"):  # a fold's only speaker left out
            return (counts * share) @ group / (counts @ group)


def with_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with a column ``seed``; where there is none, all are of seed 0."""
    return predictions if "seed" in predictions else predictions.assign(seed=0)


def right(predictions: pd.DataFrame, column: str = "predicted") -> np.ndarray:
    """Return whether each answer in ``column`` is the label, ``(recordings,)``."""
    return (predictions[column].astype(str) == predictions.label.astype(str)).to_numpy()


@dataclass(frozen=True)
class Shares:
    """Each recording's ``cell`` ``(rows,)``, and each cell's number of ``recordings`` and
    ``weight`` in the metric ``(cells,)``."""

    cell: np.ndarray
    recordings: np.ndarray
    weight: np.ndarray


def shares(predictions: pd.DataFrame, metric: str) -> Shares:
    """Return how a metric is put together: every student (a fold of a seed) weighs the same, and so
    does every cell of a student.

    Raises UserError for a metric that is no mean over cells, such as an error rate.
    """
    if metric not in CELLS:
        raise UserError(
            f"unknown metric '{metric}'; known are {', '.join(CELLS)}, and for error rates compare_trials."
        )
    cell = predictions.groupby(CELLS[metric], observed=True).ngroup().to_numpy()
    student = students(predictions)
    _, first, recordings = np.unique(cell, return_index=True, return_counts=True)
    cells_of = np.bincount(student[first])  # how many cells each student has
    return Shares(cell, recordings, 1 / cells_of[student[first]] / len(cells_of))


def students(predictions: pd.DataFrame) -> np.ndarray:
    """Return which trained student each row is of, ``(rows,)``, numbered from 0."""
    return predictions.groupby(TRAINED).ngroup().to_numpy()


def cells(of: Shares, speaker: pd.Series, value: np.ndarray) -> Cells:
    """Sum ``value`` ``(rows,)`` up by speaker and cell."""
    number, names = pd.factorize(speaker)
    shape = (len(names), len(of.recordings))
    summed = (
        sparse.coo_array((what, (number, of.cell)), shape)
        for what in (np.ones(len(number)), value.astype(float))
    )
    return Cells(*map(sparse.csr_array, summed), of.weight)


def differences(of: Shares, unit: pd.Series | np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return each unit's part of the metric ``(units,)``, scaled so that their mean is the metric.

    ``unit`` ``(rows,)`` is the fold or the speaker. Where all folds tested the same seeds, a fold's
    part is its own metric.
    """
    number, names = pd.factorize(unit)
    return len(names) * np.bincount(
        number, (of.weight / of.recordings)[of.cell] * value, minlength=len(names)
    )


@dataclass(frozen=True)
class Uncertainty:
    """The standard ``error`` of a mean, its degrees of ``freedom``, and over which ``unit`` it was
    estimated; NaN and "" where it is unknown."""

    error: float = math.nan
    freedom: float = math.nan
    unit: str = ""

    def around(self, estimate: float) -> Interval:
        """Return the 95 % interval of Student's t."""
        reach = float(stats.t.isf(LEVEL / 2, self.freedom)) * self.error
        return Interval(estimate, estimate - reach, estimate + reach)

    def p(self, estimate: float) -> float:
        """Return the two-sided p of Student's t, NaN where there is no spread."""
        return (
            float(2 * stats.t.sf(abs(estimate) / self.error, self.freedom))
            if self.error > 0
            else math.nan
        )


def uncertainty(predictions: pd.DataFrame, of: Shares, value: np.ndarray) -> Uncertainty:
    """Return how sure the metric of ``value`` ``(rows,)`` is, over folds or over speakers and
    trainings (see the module)."""
    fold_of = predictions.groupby("speaker", sort=False).fold.agg(["first", "nunique"])
    apart = (fold_of["nunique"] == 1).all()
    folds = differences(of, predictions.fold, value)
    if apart and len(folds) >= FOLDS:
        return Uncertainty(float(stats.sem(folds)), len(folds) - 1, "fold")
    _, first = np.unique(of.cell, return_index=True)
    training = students(predictions)
    speakers = len(fold_of)
    means = cells(of, predictions.speaker, value).mean(
        np.vstack([np.ones(speakers), 1 - np.eye(speakers)]), training[first]
    )
    if not apart:
        return crossed([pseudo_values(means)])
    fold, spoken = predictions.fold.to_numpy(), fold_of["first"].to_numpy()
    groups = [
        means[np.append(True, spoken == here)][:, np.unique(training[fold == here])]
        for here in np.unique(fold)
    ]
    return crossed([pseudo_values(group) for group in groups])


def pseudo_values(means: np.ndarray) -> np.ndarray:
    """Return the jackknife's pseudo-values ``(speakers, trainings)`` of ``means`` ``(1 + speakers,
    trainings)``: of all, then without each."""
    speakers = len(means) - 1
    return speakers * means[0] - (speakers - 1) * means[1:]


def crossed(groups: list[np.ndarray]) -> Uncertainty:
    """Return how sure the mean over ``groups`` is, each of ``(speakers, trainings)`` in which every
    training tested every speaker.

    NaN where a group has a single speaker or training, or all groups together fewer than two
    trainings beyond their first.
    """
    speakers, trainings = (np.array([of.shape[axis] for of in groups]) for axis in (0, 1))
    if min(speakers) < 2 or min(trainings) < 2 or sum(trainings - 1) < 2:
        return Uncertainty()
    of_speakers = of_trainings = of_both = 0.0
    for group in groups:
        rows, columns = group.mean(axis=1), group.mean(axis=0)
        left = group - rows[:, None] - columns + group.mean()
        of_speakers += stats.sem(rows) ** 2 / len(groups) ** 2
        of_trainings += stats.sem(columns) ** 2 / len(groups) ** 2
        of_both += (
            (left**2).sum() / np.prod(np.array(group.shape) - 1) / group.size / len(groups) ** 2
        )
    freedoms = (sum(speakers - 1), sum(trainings - 1), sum((speakers - 1) * (trainings - 1)))
    return combined((of_speakers, of_trainings, of_both), freedoms)


def combined(variances: tuple[float, float, float], freedoms: tuple[int, int, int]) -> Uncertainty:
    """Return how sure a mean is, from its variance by speakers, by trainings, and by the noise of a
    speaker in a training.

    Each of the first two holds that noise, which counts once; trainings that differ by no more than
    it add nothing.
    """
    (of_speakers, of_trainings, of_both), (speakers, trainings, both) = variances, freedoms
    terms = [(of_speakers, speakers)]
    if of_trainings > of_both:
        terms += [(of_trainings, trainings), (-of_both, both)]
    variance = sum(term for term, _ in terms)
    least = min(units for _, units in terms)
    freedom = variance**2 / sum(term**2 / units for term, units in terms) if variance > 0 else least
    return Uncertainty(
        math.sqrt(max(variance, 0)), max(float(freedom), least), "speaker and training"
    )


def interval(predictions: pd.DataFrame, metric: str = "uar") -> Interval:
    """Return a run's ``uar`` or ``accuracy``, the mean over its folds, with its 95 % interval over
    speakers and trainings.

    ``predictions`` are those of :func:`kdsuite.runs.results.predictions`, of several seeds with a
    column ``seed``. There is no interval (NaN) where folds or seeds are too few to say how another
    training would have come out.
    """
    predictions = with_seed(predictions)
    parts, answered = shares(predictions, metric), right(predictions).astype(float)
    estimate = float((parts.weight / parts.recordings)[parts.cell] @ answered)
    return uncertainty(predictions, parts, answered).around(estimate)


def sign_flip(found: np.ndarray, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p of paired differences ``(units,)``: how often random signs give a mean
    as far from zero.

    To exchange the answers of two students for a unit is to flip the sign of its difference. Up to
    :data:`EXACT` units all signs are tried, above ``flips`` random ones. NaN with fewer than six: 2
    of 2⁵ signs are 0.06.
    """
    if len(found) < ENOUGH:
        return math.nan
    return float(
        stats.permutation_test(
            (found,),
            lambda sample, axis: sample.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf if len(found) <= EXACT else flips,
            batch=max(1, 2**20 // len(found)),
            rng=seed,
        ).pvalue
    )
