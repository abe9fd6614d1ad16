"""How sure an equal error rate is, and a difference of two: each trial has two speakers, and speakers are what is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kdlib.errors import UserError
from kdlib.metrics import EER
from kdlib.statistics.resampling import DRAWS, ENOUGH, LEVEL, TRAINED, Interval, bootstrap, sign_flip, with_seed

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


def _spread(metric, speakers: int, draws: int, seed: int) -> float:
    """Return the bootstrap's standard error of a metric of the times each speaker is drawn."""
    if speakers < 3:
        return math.nan
    found = bootstrap(lambda drawn: np.array([metric(row) for row in drawn]), speakers, draws, seed)
    return float(np.nanstd(found.bootstrap_distribution, ddof=1))


def trial_interval(trials: pd.DataFrame, first: np.ndarray, second: np.ndarray, draws: int = DRAWS // 2) -> Interval:
    """Return the equal error rate, the mean over students, with its 95 % interval over speakers; arguments as :func:`compare_trials`."""
    first, second, speakers = _numbered(trials, first, second)
    students = _sorted(with_seed(trials), first, second)

    def metric(drawn: np.ndarray) -> float:
        return float(np.mean([student.eer(drawn, "interpolated") for student in students]))

    estimate, reach = metric(np.ones(speakers)), _reach(speakers) * _spread(metric, speakers, draws, seed=0)
    return Interval(estimate, estimate - reach, estimate + reach)


def compare_trials(
    distilled: pd.DataFrame,
    undistilled: pd.DataFrame,
    first: np.ndarray,
    second: np.ndarray,
    convention: str = "interpolated",
    draws: int = DRAWS // 2,
    seed: int = 0,
) -> TrialComparison:
    """Compare the equal error rates of two runs on one list of trials.

    Both frames are those of :func:`kdlib.verification.scored`, of several seeds with a column ``seed``, with the same trials in the
    same order; ``first`` and ``second`` ``(trials,)`` are the speakers of each row's two sides. Raises UserError where the trials
    differ.

    Speakers are resampled, the same for both runs: a trial counts as often as its two speakers were drawn (Snijders & Borgatti 1999,
    for pairs; Poh & Bengio 2007, for verification). Interval and p are Student's t with the bootstrap's standard error. It errs on
    the side of caution where trials of one pair of speakers are few, for the product of two draws makes their noise count more than
    once. Where there are six trainings or more, their spread is added, and p is the larger of that and the sign-flip test over
    trainings; with fewer, it takes the trained students as given (:func:`kdlib.statistics.compare`).
    """
    distilled, undistilled = with_seed(distilled), with_seed(undistilled)
    if len(distilled) != len(undistilled) or not (distilled[COLUMNS].to_numpy() == undistilled[COLUMNS].to_numpy()).all():
        raise UserError("the runs scored different trials; compare runs of the same lists and folds, their trials in the same order.")
    first, second, speakers = _numbered(distilled, first, second)
    both = [_sorted(of, first, second) for of in (distilled, undistilled)]

    def rates(drawn: np.ndarray) -> np.ndarray:  # (2, students)
        return np.array([[student.eer(drawn, convention) for student in of] for of in both])

    def gains(drawn: np.ndarray) -> np.ndarray:
        ours, base = rates(drawn)
        return base - ours

    ours, base = rates(np.ones(speakers)).mean(axis=1)
    spread, each = _spread(lambda drawn: gains(drawn).mean(), speakers, draws, seed), gains(np.ones(speakers))
    several = len(each) >= ENOUGH
    spread = math.hypot(spread, stats.sem(each)) if several else spread
    gain, reach = base - ours, _reach(speakers) * spread
    p = 2 * stats.t.sf(abs(gain) / spread, speakers - 1) if spread > 0 else math.nan
    p = max(p, sign_flip(each, seed=seed)) if several else p
    return TrialComparison(
        float(base), float(ours), float(gain), float(gain - reach), float(gain + reach), float(p), len(both[0]), speakers, len(distilled)
    )


def _reach(speakers: int) -> float:
    return float(stats.t.isf(LEVEL / 2, speakers - 1)) if speakers > 1 else math.nan
