"""How sure an equal error rate is, and a difference of two: each trial has two speakers, and speakers are what is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdlib.metrics import EER
from kdlib.statistics.power import detectable_by_t
from kdlib.statistics.resampling import ENOUGH, TRAINED, Interval, crossed, pseudo_values, with_seed

COLUMNS = ["seed", "fold", "list", "trial", "genuine"]


@dataclass(frozen=True)
class TrialComparison:
    """Equal error rates as fractions; ``gain`` is undistilled minus distilled, above zero where distillation helps.

    ``trainings`` are the students each rate is a mean of (folds times seeds), ``trials`` those scored by all of them.
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
    """One student's trials from the highest score to the lowest; ``ends`` are the last of each score, the possible thresholds."""

    genuine: np.ndarray
    first: np.ndarray
    second: np.ndarray
    ends: np.ndarray

    def eer(self, drawn: np.ndarray, convention: str) -> float:
        """Return the equal error rate where speakers are there ``drawn`` ``(speakers,)`` times, NaN without both kinds of trials."""
        # a speaker drawn twice meets each other speaker twice, and is compared with itself twice
        weight = np.where(self.first == self.second, drawn[self.first], drawn[self.first] * drawn[self.second])
        impostor, own = (np.cumsum(weight * kind)[self.ends] for kind in (~self.genuine, self.genuine))
        if not (impostor[-1] and own[-1]):
            return math.nan
        return EER[convention](np.concatenate([[0.0], impostor / impostor[-1]]), np.concatenate([[1.0], 1 - own / own[-1]]))


def _sorted(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> list[_Sorted]:
    """Return the trials of each student (a fold of a seed); ``first`` and ``second`` ``(trials,)`` number their speakers."""
    found = []
    for places in trials.groupby(TRAINED).indices.values():
        score = trials.score.to_numpy()[places]
        order = places[np.argsort(-score, kind="stable")]
        ends = np.append(np.flatnonzero(np.diff(trials.score.to_numpy()[order])), len(order) - 1)
        found.append(_Sorted(trials.genuine.to_numpy(bool)[order], first[order], second[order], ends))
    return found


def _numbered(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    if not len(trials) == len(first) == len(second):
        raise UserError(f"{len(trials)} trials have {len(first)} first and {len(second)} second speakers; give one of each a trial.")
    if trials.list.nunique() > 1:
        raise UserError(f"the trials are of several lists ({', '.join(map(str, trials.list.unique()))}); compare one list at a time.")
    number, names = pd.factorize(np.concatenate([np.asarray(first, dtype=object), np.asarray(second, dtype=object)]))
    return number[: len(trials)], number[len(trials) :], len(names)


def _rates(students: list[_Sorted], speakers: int, convention: str) -> np.ndarray:
    """Return the equal error rates of all trials, and of those without each speaker, ``(1 + speakers, students)``."""
    left_out = np.vstack([np.ones(speakers), 1 - np.eye(speakers)])
    return np.array([[student.eer(drawn, convention) for student in students] for drawn in left_out])


def trial_interval(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> Interval:
    """Return the equal error rate, the mean over students, with its 95 % interval; arguments and interval as of :func:`compare_trials`."""
    first, second, speakers = _numbered(trials, first, second)
    rates = _rates(_sorted(with_seed(trials), first, second), speakers, "interpolated")
    return crossed([pseudo_values(rates)]).around(float(rates[0].mean()))


def compare_trials(
    distilled: pd.DataFrame,
    undistilled: pd.DataFrame,
    first: np.ndarray,
    second: np.ndarray,
    convention: str = "interpolated",
) -> TrialComparison:
    """Compare the equal error rates of two runs on one list of trials.

    Both frames are those of :func:`kdlib.verification.scored`, of several seeds with a column ``seed``, with the same trials in the
    same order; ``first`` and ``second`` ``(trials,)`` are the speakers of each row's two sides. Raises UserError where the trials
    differ.

    Interval and p are Student's t over speakers and trainings, which are crossed (:func:`kdlib.statistics.resampling.crossed`): each
    speaker in turn is left out with all its trials, from both runs alike. It errs on the side of caution, for the noise of a trial of
    two speakers counts with both of them (Snijders & Borgatti 1999). With fewer than six trainings there is no p, with fewer than three
    no interval (NaN).
    """
    distilled, undistilled = with_seed(distilled), with_seed(undistilled)
    if len(distilled) != len(undistilled) or not (distilled[COLUMNS].to_numpy() == undistilled[COLUMNS].to_numpy()).all():
        raise UserError("the runs scored different trials; compare runs of the same lists and folds, their trials in the same order.")
    first, second, speakers = _numbered(distilled, first, second)
    ours, base = (_rates(_sorted(of, first, second), speakers, convention) for of in (distilled, undistilled))
    sure, trainings = crossed([pseudo_values(base - ours)]), ours.shape[1]
    gain = float((base - ours)[0].mean())
    bounds = sure.around(gain)
    enough = trainings >= ENOUGH
    return TrialComparison(
        undistilled=float(base[0].mean()), distilled=float(ours[0].mean()), gain=gain, low=bounds.low, high=bounds.high,
        p=sure.p(gain) if enough else math.nan, unit=sure.unit, detectable=detectable_by_t(sure.error, sure.freedom) if enough else math.nan,
        trainings=trainings, speakers=speakers, trials=len(distilled),
    )  # fmt: skip
