"""What the paper claims, and what a suite's comparisons say of it: fixed rules and fixed words.

Everything is computed from one tidy table, :func:`kdsuite.analysis.comparisons.compare_runs`'s, or
one with its columns dataset, layout (of the corpus), metric (accuracy, uar, eer), backbone, setting,
method, alpha, undistilled (a fraction), gain, low, high (the gain's 95 % interval; above zero is
better, for error rates too), p (uncorrected), teacher (a fraction) and trainings (students that each
number rests on). With fewer than six trainings differences between trainings could be all there is,
and such a row proves and refutes nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from kdsuite.analysis.statistics.comparison import corrected
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS

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
BASELINES = ["softlabel", "multitask"]
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
# what can be said of a gain: ``sign`` times it is proven where its interval lies above ``proven``,
# refuted where below ``refuted``. Nobody can show that a gain is exactly zero: a claim of one is
# refuted where it is shown to be too small to matter
STATEMENT = ["sign", "proven", "refuted"]
IMPROVES, HARMS, DOES_NO_HARM = (1, 0.0, MARGIN), (-1, 0.0, MARGIN), (1, -MARGIN, 0.0)
FALLS, EXCEEDS = (1, 0.0, LEAST), (1, 0.0, 0.0)
# the comparisons that a claim is about, each with its statement, and whether none is missing
Evidence = tuple[pd.DataFrame, bool]


def claims(comparisons: pd.DataFrame, alpha: float = 0.5) -> pd.DataFrame:
    """Return a row for each claim, corpus and dataset of the comparisons (columns :data:`COLUMNS`).

    ``alpha`` is that of the paper's tables. A claim on many networks or α stands or falls with its
    weakest comparison, whose estimate and interval are shown. It is supported where *all* are
    proven (each at 5 %: no correction is due), contradicted where *any* is refuted (corrected for
    their number by Holm), and undecided otherwise or where a part was not run.
    """
    verdicts = []
    for number, corpus, metric, text, rule, *network in CLAIMS:
        rows = comparisons[
            (comparisons.layout == corpus)
            & (comparisons.metric == metric)
            & (comparisons.alpha > 0)
        ]
        for dataset in [*rows.dataset.unique()] or [""]:
            here = rows[rows.dataset == dataset]
            evidence = rule(here, alpha, *network) if len(here) else (here, False)
            verdicts.append((number, corpus, metric, dataset, text, *judge(*evidence)))
    return pd.DataFrame(verdicts, columns=COLUMNS)


def judge(rows: pd.DataFrame, complete: bool) -> tuple[str, float, float, float, str]:
    """Return what was run, estimate and interval of the weakest comparison, and the verdict."""
    if rows.empty:
        return "", np.nan, np.nan, np.nan, NOT_RUN
    rows = rows.reset_index(drop=True)
    value, error = rows.sign * rows.gain, (rows.high - rows.low) / (2 * NORMAL)
    enough = rows.trainings >= MIN_UNITS
    proven = (
        enough & (value - NORMAL * error > rows.proven) & ((rows.proven != 0) | (rows.p < LEVEL))
    )
    refuted = _p(value - rows.refuted, error).where(value < rows.refuted, 1.0)
    refuted = (corrected(refuted.where(error.notna() & enough)) < LEVEL) & ~proven
    supported = proven.all() and complete
    verdict = CONTRADICTED if refuted.any() else SUPPORTED if supported else UNDECIDED
    weakest = rows.loc[((value - rows.proven) / error).fillna(np.inf).idxmin()]
    return _run(rows), weakest.gain, weakest.low, weakest.high, verdict


def _p(distance: pd.Series, error: pd.Series) -> pd.Series:
    """Return the two-sided p of a distance from zero, which agrees with the 95 % interval."""
    return pd.Series(2 * stats.norm.sf((distance / error).abs()), index=distance.index)


def _run(rows: pd.DataFrame) -> str:
    """Return in words what was run."""
    networks = len(rows.reindex(columns=NETWORK).dropna().drop_duplicates())
    parts = [f"{networks} of {NETWORKS} networks"] if networks else []
    alphas = ", ".join(map("{:g}".format, sorted(rows.alpha.unique())))
    several = "s" if len(rows) > 1 else ""
    return "; ".join([*parts, f"α {alphas}", f"{len(rows)} comparison{several}"])


def _stated(rows: pd.DataFrame, statement: tuple[int, float, float]) -> pd.DataFrame:
    """State the same of each row."""
    return rows.assign(**dict(zip(STATEMENT, statement)))


def _exceeds(first: pd.DataFrame | pd.Series, other: pd.DataFrame) -> pd.DataFrame:
    """State that the gains of ``first``, one or row by row, exceed those of ``other``.

    The two were tested on the same recordings, against the same or a similar student, so their
    errors rise and fall together; taken as independent, as here, their difference seems less sure
    than it is.
    """
    gain = first.gain - other.gain
    error = np.hypot(first.high - first.low, other.high - other.low) / (2 * NORMAL)
    return _stated(other, EXCEEDS).assign(
        gain=gain,
        low=gain - NORMAL * error,
        high=gain + NORMAL * error,
        p=_p(gain, error),
        trainings=np.minimum(first.trainings, other.trainings),
    )


def _relative(rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return the proposed method's gains at one α relative to the undistilled student, as the
    paper's last columns have them."""
    rows = rows[(rows.method == "embedding") & np.isclose(rows.alpha, alpha)]
    return rows.assign(**{name: rows[name] / rows.undistilled for name in ("gain", "low", "high")})


def for_every_alpha(rows: pd.DataFrame, alpha: float) -> Evidence:
    """Return the proposed method at every α run; fewer than three α do not speak of every one."""
    rows = rows[rows.method == "embedding"]
    return _stated(rows, IMPROVES), (rows.groupby(NETWORK).alpha.nunique() >= 3).all()


def baselines_harm(rows: pd.DataFrame, alpha: float) -> Evidence:
    """Return both baselines at their greatest α, which must harm, and beside their least, which
    must be better."""
    rows = rows[rows.method.isin(BASELINES)].sort_values([*NETWORK, "method", "alpha"])
    curves = rows.groupby([*NETWORK, "method"])
    least, greatest = (ends.reset_index(drop=True) for ends in (curves.head(1), curves.tail(1)))
    several = least.alpha < greatest.alpha
    falls = _exceeds(least[several], greatest[several])
    return pd.concat([_stated(greatest, HARMS), falls]), several.all() and _both(rows)


def _both(rows: pd.DataFrame) -> bool:
    """Return whether every network was run with both baselines."""
    return (rows.groupby(NETWORK).method.nunique() == len(BASELINES)).all()


def greatest_at_half(rows: pd.DataFrame, alpha: float) -> Evidence:
    """Return the mean gain over networks at the α nearest one half, minus that at each α farther
    off than :data:`HALF`.

    α = 0 is one of them, at which nothing is gained. Nothing is chosen by its outcome. Only
    networks that have all α count, and the mean rests on as few trainings as the fewest behind one
    of its parts.
    """
    rows = rows[rows.method == "embedding"]
    rows = rows[rows.groupby(NETWORK).alpha.transform("nunique") == rows.alpha.nunique()]
    # the networks are tested on the same recordings, so the mean's interval is no shorter than
    # theirs on average
    by_alpha = rows.groupby("alpha")
    means = by_alpha[["gain", "low", "high"]].mean(skipna=False)
    means = means.assign(trainings=by_alpha.trainings.min()).reset_index()
    about = means.alpha.between(*HALF)
    near, far = means[about], means[~about]
    if near.empty or far.empty:
        return rows[:0], False
    best = near.loc[(near.alpha - 0.5).abs().idxmin()]
    nothing = pd.DataFrame([best]).assign(alpha=0.0, gain=0.0, low=0.0, high=0.0)
    complete = far.alpha.min() < HALF[0] and far.alpha.max() > HALF[1]
    return _exceeds(best, pd.concat([nothing, far], ignore_index=True)), complete


def greatest_network(rows: pd.DataFrame, alpha: float, backbone: str, setting: str) -> Evidence:
    """Return the relative gain of the network that gains most in the paper, minus that of each
    other network."""
    rows = _relative(rows, alpha)
    named = (rows.backbone == backbone) & (rows.setting == setting)
    if not named.any():
        return rows[:0], False
    return _exceeds(rows[named].iloc[0], rows[~named]), len(rows) == NETWORKS


def error_falls(rows: pd.DataFrame, alpha: float) -> Evidence:
    """Return the relative fall of the error rate of every network; more than the paper's 27 % is
    not held against it."""
    rows = _relative(rows, alpha)
    return _stated(rows, FALLS), len(rows) == NETWORKS


def weaker_teacher(rows: pd.DataFrame, alpha: float) -> Evidence:
    """Return, for students with a weaker teacher, the proposed method at low α, which must not
    harm, and the baselines, which must."""
    low = rows[(rows.teacher < rows.undistilled) & (rows.alpha <= LOW)]
    ours, baselines = low[low.method == "embedding"], low[low.method.isin(BASELINES)]
    complete = len(ours) > 0 and len(baselines) > 0 and _both(baselines)
    return pd.concat([_stated(ours, DOES_NO_HARM), _stated(baselines, HARMS)]), complete


EVERY = "The proposed method improves the student for every α."
BOTH = "Both baselines harm the student as α grows."
MOST = "The gain is greatest where α is about one half."
# number in the suite's list, corpus, metric, words, what chooses the evidence, and of which network
CLAIMS = (
    (1, "voxceleb1", "accuracy", EVERY, for_every_alpha),
    (1, "ravdess", "uar", EVERY, for_every_alpha),
    (2, "voxceleb1", "accuracy", BOTH, baselines_harm),
    (2, "ravdess", "uar", BOTH, baselines_harm),
    (3, "voxceleb1", "accuracy", MOST, greatest_at_half),
    (3, "ravdess", "uar", MOST, greatest_at_half),
    (
        4, "voxceleb1", "accuracy", "The sequential VGG distilled at its aggregator gains most (Table 4).",
        greatest_network, "vgg", "agg",
    ),
    (4, "voxceleb1", "eer", "The non-sequential ResNet gains most (Table 5).", greatest_network, "resnet", "nonseq"),
    (4, "ravdess", "uar", "The non-sequential SE-ResNet gains most (Table 6).", greatest_network, "seresnet", "nonseq"),
    (5, "voxceleb1", "eer", "The verification error falls for all nine networks, by 4 to 27 %.", error_falls),
    (
        6, "iemocap", "uar",
        "With a teacher weaker than the student the proposed method does no harm at low α, while the baselines harm at once.",
        weaker_teacher,
    ),
)  # fmt: skip
