"""What the paper claims, and what a suite's comparisons say of it, in fixed words; nothing here is
written by hand.

Everything is computed from one tidy table of comparisons of distilled with undistilled students, a
row for each dataset, metric, network, method and α: dataset, layout (of the corpus), metric
(accuracy, uar, eer), backbone, setting, method, alpha, undistilled (a fraction), gain, low, high
(the gain's 95 % interval; above zero is better, for error rates too), p (uncorrected) and, for the
last claim, teacher (a fraction). A column trainings (students each number rests on) is optional:
where there are fewer than six, differences between trainings could be all there is, and such a row
proves and refutes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from kdsuite.analysis.statistics import corrected
from kdsuite.analysis.statistics.resampling import ENOUGH, LEVEL

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = VERDICTS = (
    "supported",
    "contradicted",
    "undecided: too little data",
    "not run",
)
MARGIN = 0.01  # a gain or harm that matters: one point, the standard error of the paper's own test on RAVDESS
LEAST = 0.04  # the least fall of an error rate that the paper claims, relative
HALF = (0.4, 0.6)  # about one half
LOW = 0.25  # the greatest low α
NETWORKS = 9
BASELINES = ("softlabel", "multitask")
NETWORK = ["backbone", "setting"]
COLUMNS = [
    "claim",
    "corpus",
    "metric",
    "dataset",
    "text",
    "run",
    "estimate",
    "low",
    "high",
    "verdict",
]
NORMAL = stats.norm.isf(LEVEL / 2)


@dataclass(frozen=True)
class Proposition:
    """A statement on one gain: ``sign`` times it is proven where its interval lies above
    ``proven``, refuted where below ``refuted``."""

    sign: int
    proven: float
    refuted: float


# nobody can show that a gain is exactly zero: who claims one is refuted where it is shown to be too
# small to matter
IMPROVES, HARMS, DOES_NO_HARM = (
    Proposition(1, 0.0, MARGIN),
    Proposition(-1, 0.0, MARGIN),
    Proposition(1, -MARGIN, 0.0),
)
FALLS, EXCEEDS = Proposition(1, 0.0, LEAST), Proposition(1, 0.0, 0.0)


@dataclass(frozen=True)
class Evidence:
    """Comparisons and what the claim says of each; not ``complete`` where some that the claim
    speaks of were not run."""

    rows: pd.DataFrame
    complete: bool = True


@dataclass(frozen=True)
class Claim:
    """A claim (number as in the suite's list), its words, the corpus and metric, and what chooses
    its evidence."""

    number: int
    text: str
    corpus: str
    metric: str
    evidence: Callable[[pd.DataFrame, float], Evidence]


def claims(comparisons: pd.DataFrame, alpha: float = 0.5) -> pd.DataFrame:
    """Return a row for each claim, corpus and dataset of the comparisons (columns :data:`COLUMNS`).

    ``alpha`` is that of the paper's tables. A claim on many networks or α stands or falls with its
    weakest comparison, whose estimate and interval are shown. It is supported where *all* are
    proven (each at 5 %: no correction is due), contradicted where *any* is refuted (corrected for
    their number by Holm), and undecided otherwise or where a part was not run.
    """
    rows = []
    for claim in CLAIMS:
        found = comparisons[
            (comparisons.layout == claim.corpus)
            & (comparisons.metric == claim.metric)
            & (comparisons.alpha > 0)
        ]
        for dataset in found.dataset.unique() if len(found) else [""]:
            told = {
                "claim": claim.number,
                "corpus": claim.corpus,
                "metric": claim.metric,
                "dataset": dataset,
                "text": claim.text,
            }
            here = found[found.dataset == dataset]
            rows.append(
                {**told, **judge(claim.evidence(here, alpha) if len(here) else Evidence(here))}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def judge(evidence: Evidence) -> dict[str, object]:
    """Return what was run, estimate and interval of the weakest comparison, and the verdict."""
    rows = evidence.rows.reset_index(drop=True)
    if rows.empty:
        return {"run": "", "estimate": np.nan, "low": np.nan, "high": np.nan, "verdict": NOT_RUN}
    value, error = rows.sign * rows.gain, (rows.high - rows.low) / (2 * NORMAL)
    enough = rows.get("trainings", pd.Series(ENOUGH, index=rows.index)) >= ENOUGH
    proven = (
        enough & (value - NORMAL * error > rows.proven) & ((rows.proven != 0) | (rows.p < LEVEL))
    )
    refuted = (
        _p(value - rows.refuted, error)
        .where(value < rows.refuted, 1.0)
        .where(error.notna() & enough)
    )
    against = (corrected(refuted) < LEVEL) & ~proven
    weakest = ((value - rows.proven) / error).fillna(np.inf).idxmin()
    verdict = (
        CONTRADICTED
        if against.any()
        else SUPPORTED
        if proven.all() and evidence.complete
        else UNDECIDED
    )
    return {
        "run": _run(rows),
        "estimate": rows.gain[weakest],
        "low": rows.low[weakest],
        "high": rows.high[weakest],
        "verdict": verdict,
    }


def _p(distance: pd.Series, error: pd.Series) -> pd.Series:
    """Return the two-sided p of a distance from zero, which agrees with the 95 % interval."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(2 * stats.norm.sf(np.abs(distance / error)), index=distance.index)


def _run(rows: pd.DataFrame) -> str:
    """Return in words what was run."""
    networks = rows[NETWORK].dropna().drop_duplicates() if set(NETWORK) <= set(rows) else rows[:0]
    told = [f"{len(networks)} of {NETWORKS} networks"] if len(networks) else []
    alphas = ", ".join(f"{value:g}" for value in sorted(rows.alpha.unique()))
    return "; ".join(
        [*told, f"α {alphas}", f"{len(rows)} comparison{'s' if len(rows) > 1 else ''}"]
    )


def _stated(rows: pd.DataFrame, proposition: Proposition) -> pd.DataFrame:
    """Say the same of each row."""
    return rows.assign(
        sign=proposition.sign, proven=proposition.proven, refuted=proposition.refuted
    )


def _less(rows: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the gains of ``rows`` minus those of ``other``, row by row, with ``other``'s place.

    The two were tested on the same recordings, against the same or a similar student, so their
    errors rise and fall together; taken as independent, as here, their difference seems less sure
    than it is.
    """
    rows, other = rows.reset_index(drop=True), other.reset_index(drop=True)
    gain = rows.gain - other.gain
    error = np.hypot(rows.high - rows.low, other.high - other.low) / (2 * NORMAL)
    less = other.assign(
        gain=gain, low=gain - NORMAL * error, high=gain + NORMAL * error, p=_p(gain, error)
    )
    return (
        less.assign(trainings=np.minimum(rows.trainings, other.trainings))
        if "trainings" in other
        else less
    )


def _method(found: pd.DataFrame, *methods: str) -> pd.DataFrame:
    return found[found.method.isin(methods)]


def _relative(found: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return the proposed method's gains at one α relative to the undistilled student, as the
    paper's last columns have them."""
    rows = _method(found, "embedding")[lambda rows: np.isclose(rows.alpha, alpha)]
    return rows.assign(**{name: rows[name] / rows.undistilled for name in ("gain", "low", "high")})


def for_every_alpha(found: pd.DataFrame, alpha: float) -> Evidence:
    """Return the proposed method at every α run; fewer than three α do not speak of every one."""
    rows = _method(found, "embedding")
    return Evidence(
        _stated(rows, IMPROVES), bool((rows.groupby(NETWORK).alpha.nunique() >= 3).all())
    )


def baselines_harm(found: pd.DataFrame, alpha: float) -> Evidence:
    """Return both baselines at their greatest α, which must harm, and beside their least, which
    must be better."""
    rows = _method(found, *BASELINES).sort_values("alpha")
    by_network = rows.groupby([*NETWORK, "method"])
    least, greatest = (
        by_network.head(1).sort_values([*NETWORK, "method"]),
        by_network.tail(1).sort_values([*NETWORK, "method"]),
    )
    several = least.alpha.to_numpy() < greatest.alpha.to_numpy()
    falls = _less(least[several], greatest[several])
    return Evidence(
        pd.concat([_stated(greatest, HARMS), _stated(falls, EXCEEDS)]),
        bool(several.all()) and _both(rows),
    )


def _both(rows: pd.DataFrame) -> bool:
    """Return whether every network was run with both baselines."""
    return bool((rows.groupby(NETWORK).method.nunique() == len(BASELINES)).all())


def greatest_at_half(found: pd.DataFrame, alpha: float) -> Evidence:
    """Return the mean gain over networks at the α nearest one half, minus that at each α farther
    off than :data:`HALF`.

    α = 0 is one of them, at which nothing is gained. Nothing is chosen by its outcome. Only
    networks that have all α count, and the mean rests on as few trainings as the fewest behind one
    of its parts.
    """
    rows = _method(found, "embedding")
    rows = rows[rows.groupby(NETWORK).alpha.transform("nunique") == rows.alpha.nunique()]
    # the networks are tested on the same recordings, so the mean's interval is no shorter than
    # theirs on average
    by_alpha = rows.groupby("alpha")
    means = by_alpha[["gain", "low", "high"]].mean(skipna=False)
    means = (
        means.assign(trainings=by_alpha.trainings.min()) if "trainings" in rows else means
    ).reset_index()
    near = means[means.alpha.between(*HALF)]
    far = means[~means.alpha.between(*HALF)]
    if near.empty or far.empty:
        return Evidence(_stated(rows[:0], EXCEEDS))
    best = near.loc[[(near.alpha - 0.5).abs().idxmin()]]
    complete = bool((far.alpha < HALF[0]).any() and (far.alpha > HALF[1]).any())
    far = pd.concat([best.assign(alpha=0.0, gain=0.0, low=0.0, high=0.0), far], ignore_index=True)
    return Evidence(_stated(_less(best.loc[best.index.repeat(len(far))], far), EXCEEDS), complete)


def greatest_network(found: pd.DataFrame, alpha: float, backbone: str, setting: str) -> Evidence:
    """Return the relative gain of the network that gains most in the paper, minus that of each
    other network."""
    rows = _relative(found, alpha)
    named = (rows.backbone == backbone) & (rows.setting == setting)
    others = rows[~named] if named.any() else rows[:0]
    return Evidence(
        _stated(_less(rows[named].loc[lambda row: row.index.repeat(len(others))], others), EXCEEDS),
        len(rows) == NETWORKS,
    )


def error_falls(found: pd.DataFrame, alpha: float) -> Evidence:
    """Return the relative fall of the error rate of every network; more than the paper's 27 % is
    not held against it."""
    rows = _relative(found, alpha)
    return Evidence(_stated(rows, FALLS), len(rows) == NETWORKS)


def weaker_teacher(found: pd.DataFrame, alpha: float) -> Evidence:
    """Return, for students with a weaker teacher, the proposed method at low α, which must not
    harm, and the baselines, which must."""
    weaker = found[found.teacher < found.undistilled] if "teacher" in found else found[:0]
    low = weaker[weaker.alpha <= LOW]
    ours, baselines = _method(low, "embedding"), _method(low, *BASELINES)
    complete = len(ours) > 0 and len(baselines) > 0 and _both(baselines)
    return Evidence(pd.concat([_stated(ours, DOES_NO_HARM), _stated(baselines, HARMS)]), complete)


EVERY = "The proposed method improves the student for every α."
BOTH = "Both baselines harm the student as α grows."
MOST = "The gain is greatest where α is about one half."
CLAIMS = (
    Claim(1, EVERY, "voxceleb1", "accuracy", for_every_alpha),
    Claim(1, EVERY, "ravdess", "uar", for_every_alpha),
    Claim(2, BOTH, "voxceleb1", "accuracy", baselines_harm),
    Claim(2, BOTH, "ravdess", "uar", baselines_harm),
    Claim(3, MOST, "voxceleb1", "accuracy", greatest_at_half),
    Claim(3, MOST, "ravdess", "uar", greatest_at_half),
    Claim(
        4, "The sequential VGG distilled at its aggregator gains most (Table 4).", "voxceleb1", "accuracy",
        partial(greatest_network, backbone="vgg", setting="agg"),
    ),
    Claim(4, "The non-sequential ResNet gains most (Table 5).", "voxceleb1", "eer", partial(greatest_network, backbone="resnet", setting="nonseq")),
    Claim(
        4, "The non-sequential SE-ResNet gains most (Table 6).", "ravdess", "uar",
        partial(greatest_network, backbone="seresnet", setting="nonseq"),
    ),
    Claim(5, "The verification error falls for all nine networks, by 4 to 27 %.", "voxceleb1", "eer", error_falls),
    Claim(
        6, "With a teacher weaker than the student the proposed method does no harm at low α, while the baselines harm at once.",
        "iemocap", "uar", weaker_teacher,
    ),
)  # fmt: skip
