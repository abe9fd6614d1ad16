"""What the runs of a suite prove: distilled students beside undistilled ones and beside controls,
from the predictions on disk.

found = compare_runs(runs, results)  # a row for each network, method, alpha, variant and metric
chosen_alpha(runs, results)          # alpha by validation, beside the best on test
sensitivity(runs, results)           # how far each departure from the dataset's file moves the numbers
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kdsuite.analysis.results import (
    answers,
    coordinates,
    distinct,
    eer_conventions,
    prevailing,
)
from kdsuite.analysis.statistics import compare, compare_trials, corrected
from kdsuite.analysis.statistics.resampling import ENOUGH, LEVEL
from kdsuite.parameters import Corpus
from kdsuite.runs import grid
from kdsuite.settings import Settings, digest

NETWORK = ["dataset", "metric", "backbone", "setting"]
# departures that have tables of their own
OWN_TABLES = ("training.targets", "corpus.fraction", "corpus.labelled")
OVER = {"": "gain", "_low": "low", "_high": "high", "_p": "p"}


def metrics_of(corpus: Corpus) -> list[str]:
    """Return the metrics that the paper prints for such a corpus: unweighted accuracy of emotions;
    accuracy, and EER, of speakers."""
    main = "accuracy" if corpus.layout == "voxceleb1" or corpus.target == "speaker" else "uar"
    return [main, "eer"] if corpus.trials else [main]


def compare_runs(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a distilled network and metric: its place, ``targets``, ``fraction``,
    ``labelled``, and the comparison with its undistilled twin.

    The twin, a run of the same suite, is the same in everything but that nobody taught it; seeds
    and parts of the folds are put together, and what only one of the two tested is left out.
    ``gain``, ``low``, ``high`` are fractions, above zero where distillation helps (for error rates
    too). ``p_holm`` is corrected for all networks, methods and alphas of one dataset, metric and
    variant, controls not among them; ``p_least`` is the smallest that it could have become. With
    fewer than six trainings there is no p, with fewer than three folds or seeds no interval (NaN,
    :func:`kdsuite.analysis.statistics.compare`). Controls have, as ``over``, ``over_low``,
    ``over_high`` and ``over_p``, what the paper's method gains over *them* (``over_holm`` is
    corrected for the controls of a dataset and metric), and that method's own ``method_gain`` and
    ``method_low``. ``teacher`` is the teacher's own number, ``linear`` that of the linear baseline
    on the same folds, ``conventions`` by how much those of an error rate differ at most in its
    dataset. Runs that are not done, whose twin is not, or whose predictions were removed, are left
    out.
    """
    groups: dict[str, list[Any]] = {}
    for run in distinct(runs).values():
        if run.stage == "student" and run.done:
            groups.setdefault(_but_seed(run.settings), []).append(run)
    rows = [
        row
        for group in groups.values()
        if group[0].settings.alpha > 0
        for row in _rows(group, groups, results)
    ]
    if not rows:
        return pd.DataFrame(
            columns=[
                *NETWORK,
                "layout",
                "method",
                "alpha",
                "variant",
                "targets",
                "fraction",
                "labelled",
                "synthetic",
                "p",
                "gain",
            ]
        )
    table = pd.DataFrame(rows)
    own = table.targets == "teacher"
    families = table[own].groupby(["dataset", "metric", "variant"])
    table.loc[own, "p_holm"] = families.p.transform(corrected)
    table.loc[own, "p_least"] = np.minimum(
        1, families.p.transform("count") * table[own].floor.where(table[own].p.notna())
    )
    table["over_holm"] = table.groupby(["dataset", "metric"]).over_p.transform(corrected)
    return table


def _but_seed(settings: Settings) -> str:
    return digest(settings.canonical().model_dump(mode="json", exclude={"seed", "folds"}))


def _rows(
    group: list[Any], groups: dict[str, list[Any]], results: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yield a row a metric for the runs of one distilled network, where its twin is there."""
    settings = group[0].settings
    twin = groups.get(_but_seed(settings.undistilled()), [])
    method = (
        groups.get(_but_seed(_proposed(settings)), [])
        if settings.training.targets != "teacher"
        else []
    )
    place = {
        name: value
        for name, value in coordinates(group[0]).items()
        if name not in ("stage", "seed")
    }
    told = {
        "targets": settings.training.targets, "fraction": settings.corpus.fraction, "labelled": settings.corpus.labelled,
        "layout": settings.corpus.layout, "synthetic": settings.corpus.synthetic is not None,
    }  # fmt: skip
    for metric in metrics_of(settings.corpus):
        found = _compared(metric, group, twin)
        over, own = (_compared(metric, method, others) for others in (group, twin))
        if found:
            controlled = {f"over{ending}": over.get(name, np.nan) for ending, name in OVER.items()}
            controlled |= {f"method_{name}": own.get(name, np.nan) for name in ("gain", "low")}
            yield {
                **place, **told, "metric": metric, **found, **controlled, "teacher": _teacher(settings, metric, results),
                "linear": _linear([group, twin], metric, results),
                "conventions": eer_conventions(results, settings.dataset) if metric == "eer" else np.nan,
            }  # fmt: skip


def _proposed(settings: Settings) -> Settings:
    """Return the run of the paper's method of which this one is the control."""
    training = settings.training.model_copy(update={"targets": "teacher"})
    return settings.model_copy(update={"method": "embedding", "training": training})


def _compared(metric: str, ours: list[Any], theirs: list[Any]) -> dict[str, Any]:
    """Compare what both groups of runs tested, seed by seed; nothing where that is nothing."""
    key = ["seed", "fold", *(["list", "trial"] if metric == "eer" else ["recording"])]
    told = [answers(of, metric) for of in (ours, theirs)]
    if not all(told):
        return {}
    first, second = (
        pd.concat(parts).drop_duplicates(key).set_index(key).sort_index() for parts in told
    )
    both = first.index.intersection(second.index)
    if both.empty:
        return {}
    first, second = first.loc[both].reset_index(), second.loc[both].reset_index()
    if metric == "eer":
        found = asdict(compare_trials(first, second, first.first_speaker, first.second_speaker))
    else:
        found = asdict(compare(first, second, metric))
    # Student's t has no least p; where it is printed, the signs of folds were too few to be flipped
    floor = (
        2.0 / 2 ** found["folds"]
        if found.get("folds", 0) >= ENOUGH and found["unit"] == "fold"
        else 0.0
    )
    return {**found, "metric": metric, "seeds": first.seed.nunique(), "floor": floor}


def _teacher(settings: Settings, metric: str, results: pd.DataFrame) -> float:
    place = (
        (results.dataset == settings.dataset)
        & (results.stage == "teacher")
        & (results.key == grid.key(settings, "teacher"))
    )
    return results.value[place & (results.metric == metric)].mean()


def _linear(groups: list[list[Any]], metric: str, results: pd.DataFrame) -> float:
    """Return the linear baseline's number over the folds that all groups of runs tested, NaN where
    the data run holds none."""
    settings = groups[0][0].settings
    of = results[(results.dataset == settings.dataset) & (results.metric == metric)]
    baseline = (
        of[(of.stage == "data") & (of.key == grid.key(settings, "data"))].set_index("fold").value
    )
    tested = [
        set(of.fold[(of.stage == "student") & of.key.isin([run.key for run in group])])
        for group in groups
    ]
    return baseline[baseline.index.isin(set.intersection(*tested))].mean()


def chosen_alpha(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a dataset, network and method that has validation recordings and several
    alphas, in the dataset's main metric.

    ``chosen`` is the mean over folds of the test number at the alpha that is best on *that fold's*
    validation recordings (mean over the seeds that all alphas have; at a tie the smallest),
    ``alphas`` those alphas. ``best`` is the highest mean test number, reached at ``best_alpha``,
    which is what one prints who looks at the test, and ``difference`` is how much higher it is.
    Fractions.
    """
    rows = []
    students = prevailing(results[results.stage == "student"])
    for dataset, metric in _main_metrics(runs).items():
        of = students[
            (students.dataset == dataset) & students.metric.isin([metric, f"validation_{metric}"])
        ]
        for place, part in of[of.alpha > 0].groupby(["backbone", "setting", "method"]):
            flat = place[1] == "nonseq"
            every = pd.concat(
                [
                    of[
                        (of.alpha == 0)
                        & (of.backbone == place[0])
                        & ((of.setting == "nonseq") == flat)
                    ],
                    part,
                ]
            )
            seeds = set.intersection(*(set(rows.seed) for _, rows in every.groupby("alpha")))
            every = every[every.seed.isin(seeds)]
            held, tested = (
                every[every.metric == name].pivot_table(
                    index="fold", columns="alpha", values="value"
                )
                for name in (f"validation_{metric}", metric)
            )
            if held.shape[1] < 3 or held.shape != tested.shape or held.isna().any(axis=None):
                continue
            alphas, means = held.idxmax(axis="columns"), tested.mean()
            chosen = float(np.mean([tested.loc[fold, alpha] for fold, alpha in alphas.items()]))
            rows.append(
                {
                    "dataset": dataset, **dict(zip(("backbone", "setting", "method"), place)), "metric": metric,
                    "undistilled": means.get(0.0, np.nan), "chosen": chosen, "alphas": ", ".join(f"{alpha:g}" for alpha in alphas),
                    "best": means.max(), "best_alpha": means.idxmax(), "difference": means.max() - chosen, "folds": len(tested),
                }
            )  # fmt: skip
    return pd.DataFrame(
        rows,
        columns=None if rows else ["dataset", "backbone", "setting", "method", "metric", "chosen"],
    )


def _main_metrics(runs: Iterable[Any]) -> dict[str, str]:
    return {run.settings.dataset: metrics_of(run.settings.corpus)[0] for run in runs}


def sensitivity(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a departure from a dataset's file, distilled network and metric, the greatest
    effect first.

    ``distilled`` and ``undistilled`` are means over folds (and seeds) as fractions; ``effect`` and
    ``effect_on_gain`` are their differences from the same network, alpha and seeds without the
    departure (a gain is above zero where distillation helps, for error rates too). ``luck`` is the
    standard deviation of that network over all of its seeds, and ``stands_out`` whether an effect
    is larger than luck explains at 5 %, corrected for their number (NaN without several seeds).
    Controls are no departures of this kind.
    """
    place = ["dataset", "metric", "backbone", "setting", "method", "alpha"]
    shown = {
        (run.settings.dataset, metric) for run in runs for metric in metrics_of(run.settings.corpus)
    }
    students = results[results.stage == "student"].merge(
        pd.DataFrame(sorted(shown), columns=["dataset", "metric"])
    )
    values = students.groupby([*place, "variant", "seed"]).value.mean()
    rows = []
    for (*where, variant), _ in values.groupby([*place, "variant"]):
        named = dict(zip(place, where))
        if not variant or not named["alpha"] or any(name in variant for name in OWN_TABLES):
            continue
        twin = (*where[:3], "nonseq" if named["setting"] == "nonseq" else "em", "embedding", 0.0)
        ours, plain, start, plain_start = [
            _by_seed(values, of, which)
            for of, which in ((where, variant), (where, ""), (twin, variant), (twin, ""))
        ]
        start = (
            start if len(start) else plain_start
        )  # a parameter of the distillation alone leaves the undistilled student as it is
        both = ours.index.intersection(plain.index)
        if len(both):
            gains = [
                of.loc[both].mean() - base.reindex(both).mean()
                for of, base in ((ours, start), (plain, plain_start))
            ]
            rows.append(
                {
                    **named, "departure": variant, "seeds": len(both), "distilled": ours.loc[both].mean(),
                    "undistilled": start.reindex(both).mean(), "effect": (ours.loc[both] - plain.loc[both]).mean(),
                    "effect_on_gain": (gains[0] - gains[1]) * (-1 if named["metric"] == "eer" else 1), "luck": plain.std() if len(plain) > 1 else np.nan, "plain_seeds": len(plain),
                }
            )  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=[*place, "departure", "effect"])
    table = pd.DataFrame(rows)
    # both sides of an effect are means of so many trainings, each with its luck
    spread = table.luck * np.sqrt(2 / table.seeds)
    p = 2 * stats.t.sf((table.effect / spread).abs(), (table.plain_seeds - 1).clip(lower=1))
    table["stands_out"] = (corrected(pd.Series(p).where(table.luck.notna())) < LEVEL).where(
        table.luck.notna()
    )
    return table.sort_values("effect", key=abs, ascending=False, ignore_index=True)


def _by_seed(values: pd.Series, where: tuple, variant: str) -> pd.Series:
    try:
        return values.loc[(*where, variant)]
    except KeyError:
        return pd.Series(dtype=float)
