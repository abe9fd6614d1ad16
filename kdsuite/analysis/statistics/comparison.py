"""Is a gain real? Two students on the same recordings, folds and seeds, one of them distilled."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdsuite.analysis.statistics import trials
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS
from kdsuite.analysis.statistics.uncertainty import (
    TRAINING,
    Interval,
    Uncertainty,
    right,
    uncertainty,
    weights,
)


class Comparison(NamedTuple):
    """A paired comparison; numbers are fractions, and a gain above zero is for distillation, for
    error rates too.

    ``gain`` is the mean over folds (and seeds), ``low`` and ``high`` its 95 % interval
    (:mod:`kdsuite.analysis.statistics.uncertainty`) over ``unit``: fold, or speaker and training.
    ``p`` is that of its test, ``detectable`` the smallest gain that this finds with 80 % power;
    a training is a fold of a seed. ``freedom`` is that of the interval's Student's t. What cannot
    be known is NaN: ``folds`` and ``recordings`` of an equal error rate, ``trials`` of the other
    metrics.
    """

    metric: str
    undistilled: float
    distilled: float
    gain: float
    low: float
    high: float
    p: float
    unit: str
    detectable: float
    speakers: int
    seeds: int
    trainings: int
    folds: float = math.nan
    recordings: float = math.nan
    trials: float = math.nan
    freedom: float = math.nan


def answers_of(metric: str) -> tuple[list, dict, str]:
    """Return the columns that a metric is computed from: those that tell two rows apart, those that
    are the same whoever answers (with their types), and the answer.

    The rows are trials for ``eer``, else recordings.
    """
    if metric == "eer":
        speakers = {"first_speaker": str, "second_speaker": str}
        return [*TRAINING, "list", "trial"], {"genuine": bool, **speakers}, "score"
    return [*TRAINING, "recording"], {"speaker": str, "label": str}, "predicted"


def with_seed(answers: pd.DataFrame) -> pd.DataFrame:
    """Return answers with a column ``seed``; where there is none, all are of seed 0."""
    return answers if "seed" in answers else answers.assign(seed=0)


def paired(distilled: pd.DataFrame, undistilled: pd.DataFrame, metric: str = "uar") -> pd.DataFrame:
    """Return one row a recording (or trial), fold and seed: its columns :func:`answers_of`, and
    the answer of the undistilled run with the ending ``_undistilled``.

    Raises UserError where the two runs did not test the same, or a label or speaker differs.
    """
    key, facts, answer = answers_of(metric)
    both = pd.merge(
        *(with_seed(of)[[*key, *facts, answer]].astype(facts) for of in (distilled, undistilled)),
        how="outer", on=[*key, *facts], suffixes=("", "_undistilled"), indicator=True,
    )  # fmt: skip
    problems = {
        "is in one of the runs alone, or has another label or speaker there; compare runs of the "
        "same corpus, folds and seeds": both._merge != "both",
        "occurs twice; number the seeds in a column 'seed'": both.duplicated(key),
    }
    for problem, wrong in problems.items():
        if wrong.any():
            row = ", ".join(f"{name} {both[name][wrong].iloc[0]}" for name in key)
            raise UserError(f"{row} {problem}.")
    return both.drop(columns="_merge")


def measure(
    answers: pd.DataFrame, metric: str, columns: list[str]
) -> tuple[list[float], Uncertainty]:
    """Return the metric by each of the ``columns`` of answers, and how sure the first is, minus the
    second where there are two."""
    if metric == "eer":
        rates = [trials.error_rates(answers, column) for column in columns]
        sure = trials.uncertainty(rates[0] - sum(rates[1:]), trials.numbered(answers)[1])
        return [rate[0].mean() for rate in rates], sure
    values = [right(answers, column) for column in columns]
    weight = weights(answers, metric)
    sure = uncertainty(answers, metric, values[0] - sum(values[1:]))
    return [weight @ value for value in values], sure


def compare(distilled: pd.DataFrame, undistilled: pd.DataFrame, metric: str = "uar") -> Comparison:
    """Compare two runs' predictions by ``uar`` or ``accuracy``, or their scored trials by ``eer``;
    several seeds stand in a column ``seed``.

    The test flips the signs of folds (:func:`.uncertainty.sign_flip`). Fewer than six folds cannot
    reach p = 0.05 (2 of 2⁵ signs are 0.06); then, and for error rates, it is Student's t with the
    standard error of the interval. With fewer than six trainings there is no p and no
    ``detectable``, and with fewer than three folds or seeds no interval: tests that take the
    trained students as given, as McNemar's and those over speakers do, cannot say whether other
    trainings would differ. Raises UserError where the runs tested different recordings or trials,
    and for an unknown metric.
    """
    both = paired(distilled, undistilled, metric)
    *_, answer = answers_of(metric)
    (after, before), sure = measure(both, metric, [answer, f"{answer}_undistilled"])
    tested = {"trials": len(both)}
    if metric != "eer":
        tested = {"folds": both.fold.nunique(), "recordings": both.recording.nunique()}
    gain = before - after if metric == "eer" else after - before
    trainings = both.groupby(TRAINING).ngroups
    p, least = sure.test(gain) if trainings >= MIN_UNITS else (math.nan, math.nan)
    _, low, high = sure.interval(gain)
    speakers = len(np.unique(both.filter(like="speaker")))
    return Comparison(
        metric, before, after, gain, low, high, p, sure.unit, least, speakers, both.seed.nunique(),
        trainings, **tested, freedom=sure.freedom,
    )  # fmt: skip


def interval(answers: pd.DataFrame, metric: str = "uar") -> Interval:
    """Return a run's ``uar``, ``accuracy`` or ``eer``, the mean over its folds, with its 95 %
    interval over speakers and trainings.

    ``answers`` are those of :func:`kdsuite.runs.results.predictions`, or of
    :func:`kdsuite.data.verification.scored`, of several seeds with a column ``seed``. There is no
    interval (NaN) where folds or seeds are too few to say how another training would have come out.
    """
    *_, answer = answers_of(metric)
    (estimate,), sure = measure(with_seed(answers), metric, [answer])
    return sure.interval(estimate)


def corrected(pvalues: pd.Series | np.ndarray | list[float]) -> pd.Series:
    """Return p values ``(tests,)`` corrected for their number (Holm 1979), in their order and with
    their index.

    A missing one (NaN: not run, or too few units) stays missing and is not counted.
    """
    from statsmodels.stats.multitest import multipletests  # late: a third of a second

    pvalues = pd.Series(pvalues, dtype=float)
    known = pvalues.dropna()
    if len(known):
        known[:] = multipletests(known, alpha=LEVEL, method="holm")[1]
    return known.reindex(pvalues.index)
