"""What else could have come out: the same numbers with other speakers, or with the two students' answers exchanged.

Recordings of one speaker resemble each other, so speakers are what is drawn, never recordings (the cluster bootstrap of
Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats

from kdlib.errors import UserError

LEVEL = 0.05  # two-sided, of tests and intervals
DRAWS = 2000
FLIPS = 9999
ENOUGH = 6  # units of which signs can tell anything: 2 of 2⁶ are 0.03, 2 of 2⁵ are 0.06
EXACT = 16  # differences of which all 2¹⁶ signs are tried, in half a second
TRAINED = ["seed", "fold"]  # one student each
CELLS = {"uar": [*TRAINED, "label"], "accuracy": TRAINED}  # a metric is a mean over these groups of the share of right answers


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Cells:
    """Answers summed up by speaker and by the cells whose mean is the metric.

    ``total`` and ``value`` are sparse ``(speakers, cells)``: recordings, and the sum of what is averaged. ``weight`` ``(cells,)``
    is each cell's part of the metric; weights sum to 1.
    """

    total: sparse.csr_array
    value: sparse.csr_array
    weight: np.ndarray

    def mean(self, drawn: np.ndarray) -> np.ndarray:
        """Return the metric ``(draws,)`` where each speaker is there ``drawn`` ``(draws, speakers)`` times.

        A cell counts as often as its speakers were drawn. So an actor drawn twice counts twice also where each actor is a
        fold (leaving one actor out) or a class (speaker identification); without it, intervals there would be too short.
        """
        there = sparse.csr_array(self.total > 0, dtype=float)
        counts = self.weight * (drawn @ there) / there.sum(axis=0)
        total = drawn @ self.total
        share = np.divide(drawn @ self.value, total, out=np.zeros_like(total), where=total > 0)
        return (counts * share).sum(axis=1) / counts.sum(axis=1)


def with_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with a column ``seed``; where there is none, all are of seed 0."""
    return predictions if "seed" in predictions else predictions.assign(seed=0)


def right(predictions: pd.DataFrame, column: str = "predicted") -> np.ndarray:
    """Return whether each answer in ``column`` is the label, ``(recordings,)``."""
    return (predictions[column].astype(str) == predictions.label.astype(str)).to_numpy()


@dataclass(frozen=True)
class Shares:
    """Each recording's ``cell`` ``(rows,)``, and each cell's number of ``recordings`` and ``weight`` in the metric ``(cells,)``."""

    cell: np.ndarray
    recordings: np.ndarray
    weight: np.ndarray


def shares(predictions: pd.DataFrame, metric: str) -> Shares:
    """Return how a metric is put together: every student (a fold of a seed) weighs the same, and so does every cell of a student.

    Raises UserError for a metric that is no mean over cells, such as an error rate.
    """
    if metric not in CELLS:
        raise UserError(f"unknown metric '{metric}'; known are {', '.join(CELLS)}, and for error rates compare_trials.")
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
    summed = (sparse.coo_array((what, (number, of.cell)), shape) for what in (np.ones(len(number)), value.astype(float)))
    return Cells(*map(sparse.csr_array, summed), of.weight)


def differences(of: Shares, unit: pd.Series | np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return each unit's part of the metric ``(units,)``, scaled so that their mean is the metric.

    ``unit`` ``(rows,)`` is the fold or the speaker. Where all folds tested the same seeds, a fold's part is its own metric.
    """
    number, names = pd.factorize(unit)
    return len(names) * np.bincount(number, (of.weight / of.recordings)[of.cell] * value, minlength=len(names))


def times_drawn(chosen: np.ndarray) -> np.ndarray:
    """Return how often each speaker is among the ``chosen`` ``(draws, speakers)`` row numbers, in the same shape."""
    draws, speakers = chosen.shape
    place = chosen + speakers * np.arange(draws)[:, None]
    return np.bincount(place.ravel(), minlength=draws * speakers).reshape(draws, speakers).astype(float)


def confidence(speakers: int) -> float:
    """Return the confidence at which a percentile interval over ``speakers`` covers 95 %.

    With few speakers percentile intervals are too short; this widens them as Student's t does a normal interval (Hesterberg
    2015, "What teachers should know about the bootstrap", section 5.3: the expanded percentile interval).
    """
    return 1 - 2 * stats.norm.sf(math.sqrt(speakers / (speakers - 1)) * stats.t.isf(LEVEL / 2, speakers - 1))


def bootstrap(metric: Callable[[np.ndarray], np.ndarray], speakers: int, draws: int = DRAWS, seed: int = 0):
    """Return scipy's bootstrap of ``metric``, a function of the times each speaker is drawn ``(draws, speakers)``."""
    return stats.bootstrap(
        (np.arange(speakers),),
        lambda chosen, axis: metric(times_drawn(chosen)),
        n_resamples=draws,
        batch=250,
        vectorized=True,
        confidence_level=confidence(speakers),
        method="percentile",
        rng=seed,
    )


def over_speakers(of: Cells, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return the metric and its 95 % interval over speakers; with a single speaker there is no interval (NaN)."""
    speakers = of.total.shape[0]
    estimate = float(of.mean(np.ones((1, speakers)))[0])
    if speakers < 2:
        return Interval(estimate, math.nan, math.nan)
    found = bootstrap(of.mean, speakers, draws, seed).confidence_interval
    return Interval(estimate, float(found.low), float(found.high))


def widened(of: Interval, found: np.ndarray) -> Interval:
    """Return an interval over speakers widened by that over trainings (Student's t), whose differences are ``found`` ``(trainings,)``.

    The two sources of chance are independent; noise that both see counts twice, so the interval is rather too wide.
    """
    trainings = stats.t.isf(LEVEL / 2, len(found) - 1) * stats.sem(found)
    low, high = (math.copysign(math.hypot(bound - of.estimate, trainings), sign) for bound, sign in ((of.low, -1), (of.high, 1)))
    return Interval(of.estimate, of.estimate + low, of.estimate + high)


def interval(predictions: pd.DataFrame, metric: str = "uar", draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return a run's ``uar`` or ``accuracy``, the mean over its folds, with a 95 % interval that resamples speakers.

    ``predictions`` are those of :func:`kdlib.results.predictions`, of several seeds with a column ``seed``. The interval is about
    other speakers; how another training would have come out, only several seeds or folds can tell.
    """
    predictions = with_seed(predictions)
    return over_speakers(cells(shares(predictions, metric), predictions.speaker, right(predictions)), draws, seed)


def sign_flip(found: np.ndarray, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p of paired differences ``(units,)``: how often random signs give a mean as far from zero.

    To exchange the answers of two students for a unit is to flip the sign of its difference. Up to :data:`EXACT` units all signs
    are tried, above ``flips`` random ones. A single difference proves nothing (NaN).
    """
    if len(found) < 2:
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
