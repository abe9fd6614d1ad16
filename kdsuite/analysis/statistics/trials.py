"""How sure an equal error rate is, and a difference of two: each trial has two speakers, and
speakers and trainings are the units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdlib.metrics import EER
from kdsuite.analysis.statistics.power import detectable_by_t
from kdsuite.analysis.statistics.resampling import (
    ENOUGH,
    TRAINED,
    Interval,
    Uncertainty,
    combined,
    with_seed,
)

DRAWS = 200
CHANGE = 0.5  # of a speaker's weight, up or down
COLUMNS = ["seed", "fold", "list", "trial", "genuine"]


@dataclass(frozen=True)
class TrialComparison:
    """Equal error rates as fractions; ``gain`` is undistilled minus distilled, above zero where
    distillation helps.

    ``trainings`` are the students each rate is a mean of (folds times seeds), ``trials`` those
    scored by all of them.
    """

    undistilled: float
    distilled: float
    gain: float
    low: float
    high: float
    p: float
    unit: str
    detectable: float
    trainings: int
    speakers: int
    trials: int


@dataclass(frozen=True)
class _Sorted:
    """One student's trials from the highest score to the lowest; ``ends`` are the last of each
    score, the possible thresholds."""

    genuine: np.ndarray
    first: np.ndarray
    second: np.ndarray
    ends: np.ndarray

    def eer(self, drawn: np.ndarray, convention: str) -> np.ndarray:
        """Return equal error rates ``(draws,)`` where speakers weigh ``drawn`` ``(draws,
        speakers)``, NaN without both kinds of trials."""
        # a speaker drawn twice meets each other speaker twice, and is compared with itself twice
        weight = np.where(
            self.first == self.second,
            drawn[:, self.first],
            drawn[:, self.first] * drawn[:, self.second],
        )
        impostor, own = (
            np.cumsum(weight * kind, axis=1)[:, self.ends] for kind in (~self.genuine, self.genuine)
        )
        with np.errstate(invalid="ignore"):
            accepted, rejected = impostor / impostor[:, -1:], 1 - own / own[:, -1:]
        there = (impostor[:, -1] > 0) & (own[:, -1] > 0)
        pairs = zip(np.insert(accepted, 0, 0.0, axis=1), np.insert(rejected, 0, 1.0, axis=1), there)
        return np.array([EER[convention](*rates) if both else math.nan for *rates, both in pairs])


def _sorted(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> list[_Sorted]:
    """Return the trials of each student (a fold of a seed); ``first`` and ``second`` ``(trials,)``
    number their speakers."""
    found = []
    for places in trials.groupby(TRAINED).indices.values():
        score = trials.score.to_numpy()[places]
        order = places[np.argsort(-score, kind="stable")]
        ends = np.append(np.flatnonzero(np.diff(trials.score.to_numpy()[order])), len(order) - 1)
        found.append(
            _Sorted(trials.genuine.to_numpy(bool)[order], first[order], second[order], ends)
        )
    return found


def _numbered(
    trials: pd.DataFrame, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    if not len(trials) == len(first) == len(second):
        raise UserError(
            f"{len(trials)} trials have {len(first)} first and {len(second)} second speakers; give one of each a trial."
        )
    if trials.list.nunique() > 1:
        raise UserError(
            f"the trials are of several lists ({', '.join(map(str, trials.list.unique()))}); compare one list at a time."
        )
    number, names = pd.factorize(
        np.concatenate([np.asarray(first, dtype=object), np.asarray(second, dtype=object)])
    )
    return number[: len(trials)], number[len(trials) :], len(names)


def _rates(students: list[_Sorted], speakers: int, convention: str) -> np.ndarray:
    """Return the equal error rates of all trials, and with speakers' weights at random, ``(1 +
    DRAWS, students)``.

    An equal error rate rests on the few scores near its threshold. To leave out one speaker at a
    time moves it by too few of them, and whole draws with replacement count a trial of two speakers
    up to four times too often; weights of one half and one and a half do neither.
    """
    weights = 1 + CHANGE * np.random.default_rng(0).choice((-1, 1), size=(DRAWS, speakers))
    few = np.array_split(
        np.vstack([np.ones(speakers), weights]), 1 + DRAWS * len(students[0].first) // 2**22
    )  # lists can be long
    return np.column_stack(
        [np.concatenate([student.eer(drawn, convention) for drawn in few]) for student in students]
    )


def _sure(rates: np.ndarray, speakers: int) -> Uncertainty:
    """Return how sure the mean of rates or of their differences ``(1 + DRAWS, students)`` is; NaN
    with fewer than three students."""
    students = rates.shape[1]
    if students < 3 or speakers < 3:
        return Uncertainty()
    moved = rates[1:] - rates[1:].mean(axis=0)
    means = moved.mean(axis=1)
    scale = speakers / (speakers - 1) / CHANGE**2 / (DRAWS - 1)
    of_speakers = scale * (means**2).sum()
    of_both = scale * ((moved - means[:, None]) ** 2).sum() / (students - 1) / students
    variances = (of_speakers, rates[0].var(ddof=1) / students, of_both)
    return combined(variances, (speakers - 1, students - 1, (speakers - 1) * (students - 1)))


def trial_interval(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> Interval:
    """Return the equal error rate, the mean over students, with its 95 % interval; arguments and
    interval as of :func:`compare_trials`."""
    first, second, speakers = _numbered(trials, first, second)
    rates = _rates(_sorted(with_seed(trials), first, second), speakers, "interpolated")
    return _sure(rates, speakers).around(float(rates[0].mean()))


def compare_trials(
    distilled: pd.DataFrame,
    undistilled: pd.DataFrame,
    first: np.ndarray,
    second: np.ndarray,
    convention: str = "interpolated",
) -> TrialComparison:
    """Compare the equal error rates of two runs on one list of trials.

    Both frames are those of :func:`kdsuite.data.verification.scored`, of several seeds with a
    column ``seed``, with the same trials in the same order; ``first`` and ``second`` ``(trials,)``
    are the speakers of each row's two sides. Raises UserError where the trials differ.

    Interval and p are Student's t over speakers and trainings, which are crossed
    (:func:`kdsuite.analysis.statistics.resampling.combined`): speakers are weighted at random, the
    same for both runs, and a trial counts by the product of its two speakers' weights (Snijders &
    Borgatti 1999, for pairs; Præstgaard & Wellner 1993, for weights). With fewer than six trainings
    there is no p, with fewer than three no interval (NaN).
    """
    distilled, undistilled = with_seed(distilled), with_seed(undistilled)
    if (
        len(distilled) != len(undistilled)
        or not (distilled[COLUMNS].to_numpy() == undistilled[COLUMNS].to_numpy()).all()
    ):
        raise UserError(
            "the runs scored different trials; compare runs of the same lists and folds, their trials in the same order."
        )
    first, second, speakers = _numbered(distilled, first, second)
    ours, base = (
        _rates(_sorted(of, first, second), speakers, convention) for of in (distilled, undistilled)
    )
    sure, trainings = _sure(base - ours, speakers), ours.shape[1]
    gain = float((base - ours)[0].mean())
    bounds = sure.around(gain)
    enough = trainings >= ENOUGH
    return TrialComparison(
        undistilled=float(base[0].mean()), distilled=float(ours[0].mean()), gain=gain, low=bounds.low, high=bounds.high,
        p=sure.p(gain) if enough else math.nan, unit=sure.unit, detectable=detectable_by_t(sure.error, sure.freedom) if enough else math.nan,
        trainings=trainings, speakers=speakers, trials=len(distilled),
    )  # fmt: skip
