"""How sure an equal error rate is, and a difference of two: each trial has two speakers, and
speakers and trainings are the units.

Speakers are weighted at random, and a trial counts by the product of its two speakers' weights
(Snijders & Borgatti 1999, for pairs; Præstgaard & Wellner 1993, for weights).
"""

import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdlib.metrics import EER
from kdsuite.analysis.statistics.uncertainty import TRAINING, Uncertainty, combined

DRAWS = 200
CHANGE = 0.5  # of a speaker's weight, up or down


def numbered(trials: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Return the numbers of the first and second speakers ``(2, trials)``, and how many there
    are."""
    numbers, names = pd.factorize(pd.concat([trials.first_speaker, trials.second_speaker]))
    return numbers.reshape(2, -1), len(names)


def error_rates(trials: pd.DataFrame, column: str = "score") -> np.ndarray:
    """Return the equal error rates of all trials, and with speakers' weights at random, ``(1 +
    DRAWS, trainings)``.

    An equal error rate rests on the few scores near its threshold. To leave out one speaker at a
    time moves it by too few of them, and whole draws with replacement count a trial of two speakers
    up to four times too often; weights of one half and one and a half do neither. Raises UserError
    where the trials are of several lists.
    """
    if trials.list.nunique() > 1:
        raise UserError("the trials are of several lists; compare one list at a time.")
    (first, second), speakers = numbered(trials)
    drawn = 1 + CHANGE * np.random.default_rng(0).choice((-1, 1), size=(DRAWS, speakers))
    score, genuine = trials[column].to_numpy(), trials.genuine.to_numpy(bool)
    weights = np.vstack([np.ones(speakers), drawn])
    # a speaker drawn twice meets each other speaker twice, and is compared with itself twice
    weights = weights[:, first] * np.where(first == second, 1, weights[:, second])
    rates = []
    for rows in trials.groupby(TRAINING).indices.values():
        rows = rows[np.argsort(-score[rows], kind="stable")]
        ends = np.append(np.diff(score[rows]) != 0, True)  # equal scores are one threshold
        rates.append([_rate(weight[rows], genuine[rows], ends) for weight in weights])
    return np.transpose(rates)


def _rate(weight, genuine, ends):
    """Return the equal error rate of weighted trials from the highest score to the lowest.

    ``ends`` is true for the last trial of each score, which are the possible thresholds. All are
    ``(trials,)``.
    """
    accepted, recognised = (
        np.append(0, np.cumsum(weight * kind)[ends]) / (weight @ kind)
        for kind in (~genuine, genuine)
    )
    return EER["interpolated"](accepted, 1 - recognised)


def uncertainty(rates: np.ndarray, speakers: int) -> Uncertainty:
    """Return how sure the mean of rates or of their differences ``(1 + DRAWS, trainings)`` is; NaN
    with fewer than three trainings or speakers."""
    trainings = rates.shape[1]
    if min(trainings, speakers) < 3:
        return Uncertainty()
    moved = rates[1:] - rates[1:].mean(axis=0)
    means = moved.mean(axis=1, keepdims=True)
    scale = speakers / (speakers - 1) / CHANGE**2 / (DRAWS - 1)
    of_both = scale * ((moved - means) ** 2).sum() / (trainings - 1) / trainings
    variances = (scale * (means**2).sum(), rates[0].var(ddof=1) / trainings, of_both)
    freedoms = (speakers - 1, trainings - 1, (speakers - 1) * (trainings - 1))
    return combined(np.array(variances), np.array(freedoms))
