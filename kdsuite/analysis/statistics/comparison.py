"""Is a gain real? Two students on the same recordings, folds and seeds, one of them distilled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from kdlib.errors import UserError
from kdsuite.analysis.statistics.power import detectable, detectable_by_t
from kdsuite.analysis.statistics.resampling import (
    ENOUGH,
    FLIPS,
    LEVEL,
    Uncertainty,
    differences,
    right,
    shares,
    sign_flip,
    students,
    uncertainty,
    with_seed,
)

KEY = ["seed", "fold", "recording"]


@dataclass(frozen=True)
class Comparison:
    """A paired comparison; numbers are fractions, and a gain above zero is for distillation.

    ``gain`` is the mean over folds (and seeds), ``low`` and ``high`` its 95 % interval
    (:func:`kdsuite.analysis.statistics.resampling.uncertainty`) over ``unit``: fold, or speaker and
    training. ``p`` is the one to report, ``detectable`` the smallest gain that its test finds four
    times in five. ``p_folds``, ``p_speakers`` and ``p_trainings`` (a fold of a seed is one) are
    sign-flip tests, ``p_recordings`` is McNemar's. What cannot be known is NaN.
    """

    metric: str
    undistilled: float
    distilled: float
    gain: float
    low: float
    high: float
    p: float
    unit: str
    p_folds: float
    p_speakers: float
    p_trainings: float
    p_recordings: float
    detectable: float
    folds: int
    speakers: int
    recordings: int
    seeds: int
    trainings: int


def paired(distilled: pd.DataFrame, undistilled: pd.DataFrame) -> pd.DataFrame:
    """Return one row a recording, fold and seed: those columns, speaker, label, ``predicted`` and
    ``predicted_undistilled``.

    Raises UserError where the two runs did not test the same recordings, or a label or speaker
    differs.
    """
    both = [
        with_seed(of)[[*KEY, "speaker", "label", "predicted"]] for of in (distilled, undistilled)
    ]
    for name, of in zip(("distilled", "undistilled"), both):
        if (twice := of.duplicated(KEY)).any():
            raise UserError(
                f"{_told(of[twice])} is there twice in the {name} predictions; give each seed's runs their number in a column 'seed'."
            )
    found = both[0].merge(
        both[1], on=KEY, how="outer", suffixes=("", "_undistilled"), indicator=True
    )
    if (alone := found._merge != "both").any():
        raise UserError(
            f"the runs tested different recordings: {alone.sum()} are in one of them alone, such as {_told(found[alone])}; "
            "compare runs of the same corpus, folds and seeds."
        )
    for name in ("label", "speaker"):
        if (other := found[name].astype(str) != found[f"{name}_undistilled"].astype(str)).any():
            raise UserError(
                f"{_told(found[other])} has another {name} in the undistilled run; compare runs of the same corpus."
            )
    return found.drop(columns=["_merge", "label_undistilled", "speaker_undistilled"])


def _told(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"recording '{first.recording}' of fold {first.fold}, seed {first.seed}"


def compare(
    distilled: pd.DataFrame,
    undistilled: pd.DataFrame,
    metric: str = "uar",
    flips: int = FLIPS,
    seed: int = 0,
) -> Comparison:
    """Compare two runs' predictions by ``uar`` or ``accuracy``; several seeds stand in a column
    ``seed``.

    The test is exact: signs of folds are flipped. Fewer than six folds cannot reach p = 0.05 (2 of
    2⁵ signs are 0.06); then it is Student's t with the standard error of the interval. With fewer
    than six trainings there is no p and no ``detectable``, and with fewer than three folds or seeds
    no interval: tests that take the trained students as given, as McNemar's and those over speakers
    do, cannot say whether other trainings would differ. Raises UserError where the runs tested
    different recordings.
    """
    both = paired(distilled, undistilled)
    base = right(both, "predicted_undistilled").astype(float)
    better, parts = right(both) - base, shares(both, metric)
    part = (parts.weight / parts.recordings)[parts.cell]
    gain, start = float(part @ better), float(part @ base)
    by = {"fold": both.fold, "speaker": both.speaker, "training": students(both)}
    by = {unit: differences(parts, of, better) for unit, of in by.items()}
    sure = uncertainty(both, parts, better)
    bounds = sure.around(gain)
    p, least = tested_by(sure, gain, by["fold"], len(by["training"]), flips, seed)
    tests = dict.fromkeys([*by, "recording"], math.nan)
    if len(by["training"]) >= ENOUGH:
        tests = {unit: sign_flip(found, flips, seed) for unit, found in by.items()} | {
            "recording": _mcnemar(both)
        }
    return Comparison(
        metric=metric, undistilled=start, distilled=start + gain, gain=gain, low=bounds.low, high=bounds.high, p=p, unit=sure.unit,
        p_folds=tests["fold"], p_speakers=tests["speaker"], p_trainings=tests["training"], p_recordings=tests["recording"],
        detectable=least, folds=len(by["fold"]), speakers=len(by["speaker"]),
        recordings=both.recording.nunique(), seeds=both.seed.nunique(), trainings=len(by["training"]),
    )  # fmt: skip


def tested_by(
    sure: Uncertainty,
    gain: float,
    folds: np.ndarray,
    trainings: int,
    flips: int = FLIPS,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the p of a gain and the gain that its test detects: signs of six ``folds`` or more,
    else Student's t of ``sure``.

    NaN with fewer than six trainings.
    """
    if trainings < ENOUGH:
        return math.nan, math.nan
    if sure.unit == "fold" and len(folds) >= ENOUGH:
        return sign_flip(folds, flips, seed), detectable(folds)
    return sure.p(gain), detectable_by_t(sure.error, sure.freedom)


def _mcnemar(both: pd.DataFrame) -> float:
    """Return the p of McNemar's exact test (1947) over recordings, which is about accuracy,
    whatever the metric.

    It takes the lowest seed alone: a recording heard by several seeds' students is not several
    recordings.
    """
    both = both[both.seed == both.seed.min()]
    wrong = 2 * ~right(both) + ~right(both, "predicted_undistilled")
    return float(mcnemar(np.bincount(wrong, minlength=4).reshape(2, 2), exact=True).pvalue)


def corrected(pvalues: pd.Series | np.ndarray | list[float]) -> pd.Series:
    """Return p values ``(tests,)`` corrected for their number (Holm 1979), in their order and with
    their index.

    A missing one (NaN: not run, or too few units) stays missing and is not counted.
    """
    found = pd.Series(pvalues, dtype=float).copy()
    there = found.notna()
    if there.any():
        found[there] = multipletests(found[there], alpha=LEVEL, method="holm")[1]
    return found
