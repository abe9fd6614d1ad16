"""What the runs of a suite show: distilled students beside undistilled ones and beside controls,
from the predictions on disk.

gains = compare_runs(runs, results)  # a row for each network, method, alpha, variant and metric
chosen_alpha(runs, results)          # alpha by validation, beside the best on test
sensitivity(runs, results)           # how far each departure from the dataset's file moves the numbers
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kdlib.parameters import digest
from kdsuite.analysis.results import answers, coordinates, distinct, eer_conventions, prevailing
from kdsuite.analysis.statistics.comparison import Comparison, answers_of, compare, corrected
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS
from kdsuite.parameters import Corpus
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

NETWORK = ["dataset", "metric", "backbone", "setting"]
STUDENT = [*NETWORK, "method", "alpha"]
# departures that have tables of their own
OWN_TABLES = r"training\.targets|corpus\.(?:fraction|labelled)"
CHOSEN = ["dataset", "backbone", "setting", "method", "metric", "undistilled", "chosen", "alphas", "best", "best_alpha", "difference", "folds"]  # fmt: skip
VS_CONTROL = {"over": "gain", "over_low": "low", "over_high": "high", "over_p": "p"}

COLUMNS = [
    "variant", "targets", "fraction", "labelled", "layout", "synthetic", "floor", *VS_CONTROL, "over_holm", "method_gain",
    "method_low", "teacher", "linear", "conventions", "p_holm", "p_least",
]  # fmt: skip


def metrics_of(corpus: Corpus) -> list[str]:
    """Return the metrics that the paper prints for such a corpus: unweighted accuracy of emotions;
    accuracy, and EER, of speakers."""
    main = "accuracy" if corpus.layout == "voxceleb1" or corpus.target == "speaker" else "uar"
    return [main, "eer"] if corpus.trials else [main]


def compare_runs(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a distilled network and metric: its place, ``targets``, ``fraction``,
    ``labelled``, and the comparison with its baseline.

    The baseline, a run of the same suite, is the same in everything but that it has no teacher;
    seeds and parts of the folds are put together, and what only one of the two tested is left out.
    ``gain``, ``low``, ``high`` are fractions, above zero where distillation helps (for error rates
    too). ``p_holm`` is corrected for all networks, methods and alphas of one dataset, metric and
    variant, controls not among them; ``p_least`` is the smallest that it could have become. With
    fewer than six trainings there is no p, with fewer than three folds or seeds no interval (NaN,
    :func:`kdsuite.analysis.statistics.comparison.compare`). Controls have, as ``over``,
    ``over_low``, ``over_high`` and ``over_p``, what the paper's method gains over *them*
    (``over_holm`` is corrected for the controls of a dataset and metric), and that method's own
    ``method_gain`` and ``method_low``. ``teacher`` is the teacher's own number, ``linear`` that of
    the linear baseline on the same folds, ``conventions`` by how much those of an error rate differ
    at most in its dataset. Runs that are not done, whose baseline is not, or whose predictions were
    removed, are left out.
    """
    groups: dict[str, list[Any]] = {}
    for run in distinct(runs).values():
        if run.stage == "student" and run.done:
            groups.setdefault(_network(run.settings), []).append(run)
    rows = [
        _row(group, groups, metric, results)
        for group in groups.values()
        if group[0].settings.alpha > 0
        for metric in metrics_of(group[0].settings.corpus)
    ]
    table = pd.DataFrame([row for row in rows if row])
    if table.empty:
        columns = list(dict.fromkeys([*STUDENT, *COLUMNS, *Comparison._fields]))
        text = [*STUDENT[:-1], "variant", "targets", "layout", "unit"]
        return pd.DataFrame(columns=columns, dtype=float).astype(dict.fromkeys(text, object))
    own = table.targets == "teacher"
    families = table[own].groupby(["dataset", "metric", "variant"]).p
    table.loc[own, "p_holm"] = families.transform(corrected)
    least = families.transform("count") * table.floor.where(table.p.notna())
    table["p_least"] = least[own].clip(upper=1)
    table["over_holm"] = table.groupby(["dataset", "metric"]).over_p.transform(corrected)
    return table


def _network(settings: Settings) -> str:
    """Return a hash of everything but seed and folds."""
    return digest(settings.canonical().model_dump(mode="json", exclude={"seed", "folds"}))


def _row(
    group: list[Any], groups: dict[str, list[Any]], metric: str, results: pd.DataFrame
) -> dict[str, Any]:
    """Return the row of one distilled network's runs; nothing where its baseline is not there."""
    settings = group[0].settings
    targets, dataset = settings.training.targets, settings.dataset
    baseline = groups.get(_network(settings.undistilled()), [])
    proposed = settings.model_copy(
        update={
            "method": "embedding",
            "training": settings.training.model_copy(update={"targets": "teacher"}),
        }
    )
    method = groups.get(_network(proposed), []) if targets != "teacher" else []
    compared = _compared(metric, group, baseline)
    if not compared:
        return {}
    vs_control, gain = (_compared(metric, method, others) for others in (group, baseline))

    def values(stage: str, keys: list[str]) -> pd.Series:
        rows = (results.dataset == dataset) & (results.stage == stage) & (results.metric == metric)
        return results[rows & results.key.isin(keys)].set_index("fold").value

    linear = values("data", [Run("data", settings).key])
    for of in (group, baseline):
        linear = linear[linear.index.isin(values("student", [run.key for run in of]).index)]
    place = coordinates(group[0])
    del place["stage"], place["seed"]
    return {
        **place, "targets": targets, "fraction": settings.corpus.fraction, "labelled": settings.corpus.labelled,
        "layout": settings.corpus.layout, "synthetic": settings.corpus.synthetic is not None, **compared,
        **{name: vs_control.get(other, np.nan) for name, other in VS_CONTROL.items()},
        **{f"method_{name}": gain.get(name, np.nan) for name in ("gain", "low")},
        "teacher": values("teacher", [Run("teacher", settings).key]).mean(), "linear": linear.mean(),
        "conventions": eer_conventions(results, dataset) if metric == "eer" else np.nan,
    }  # fmt: skip


def _compared(metric: str, ours: list[Any], theirs: list[Any]) -> dict[str, Any]:
    """Compare what both groups of runs tested, seed by seed; nothing where that is nothing."""
    key = answers_of(metric).key
    both = [answers(runs, metric) for runs in (ours, theirs)]
    if not all(both):
        return {}
    first, second = (pd.concat(parts).drop_duplicates(key) for parts in both)
    first, second = first.merge(second[key]), second.merge(first[key])
    if first.empty:
        return {}
    row = {
        name: value
        for name, value in compare(first, second, metric)._asdict().items()
        if value is not None
    }
    # Student's t has no least p; where it is printed, the signs of folds were too few to be flipped
    signs = row["unit"] == "fold" and row["folds"] >= MIN_UNITS
    return {**row, "floor": 2.0 / 2 ** row["folds"] if signs else 0.0}


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
    for dataset, metric in {
        r.settings.dataset: metrics_of(r.settings.corpus)[0] for r in runs
    }.items():
        metrics = (f"validation_{metric}", metric)
        of = students[(students.dataset == dataset) & students.metric.isin(metrics)]
        for place, part in of[of.alpha > 0].groupby(["backbone", "setting", "method"]):
            level = "nonseq" if place[1] == "nonseq" else "em"
            start = (of.alpha == 0) & (of.backbone == place[0]) & (of.setting == level)
            every = pd.concat([of[start], part])
            seeds = set.intersection(*every.groupby("alpha").seed.agg(set))
            validation, test = (
                every[every.seed.isin(seeds) & (every.metric == name)].pivot_table(
                    "value", "fold", "alpha"
                )
                for name in metrics
            )
            if (
                validation.shape[1] < 3
                or validation.shape != test.shape
                or validation.isna().any(axis=None)
            ):
                continue
            alphas, means = validation.idxmax(axis="columns"), test.mean()
            chosen = float(np.mean([test.loc[place] for place in alphas.items()]))
            rows.append(
                (
                    dataset, *place, metric, means.get(0.0, np.nan), chosen, ", ".join(map("{:g}".format, alphas)),
                    means.max(), means.idxmax(), means.max() - chosen, len(test),
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=CHOSEN)


def sensitivity(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a departure from a dataset's file, distilled network and metric, the greatest
    effect first.

    ``distilled`` and ``undistilled`` are means over folds (and seeds) as fractions; ``effect`` and
    ``effect_on_gain`` are their differences from the same network, alpha and seeds without the
    departure (a gain is above zero where distillation helps, for error rates too). ``luck`` is the
    standard deviation of that network over all of its ``plain_seeds`` seeds, and ``stands_out``
    whether an effect is larger than seeds explain at 5 %, corrected for their number (NaN without
    several seeds). Controls are no departures of this kind.
    """
    shown = {
        (run.settings.dataset, name) for run in runs for name in metrics_of(run.settings.corpus)
    }
    students = results[results.stage == "student"].merge(
        pd.DataFrame(sorted(shown), columns=["dataset", "metric"])
    )
    values = students.groupby([*STUDENT, "variant", "seed"], as_index=False).value.mean()
    values["sequential"] = values.setting != "nonseq"
    usual = values[values.variant == ""].drop(columns="variant")
    baseline = ["dataset", "metric", "backbone", "sequential", "seed"]
    undistilled = values[values.alpha == 0][[*baseline, "variant", "value"]]
    start = undistilled[undistilled.variant == ""].drop(columns="variant")
    departing = (values.variant != "") & ~values.variant.str.contains(OWN_TABLES)
    rows = (
        values[departing & (values.alpha > 0)]
        .merge(usual, on=[*STUDENT, "sequential", "seed"], suffixes=("", "_plain"))
        .merge(undistilled, "left", on=[*baseline, "variant"], suffixes=("", "_start"))
        .merge(start, "left", on=baseline, suffixes=("", "_plain_start"))
    )
    # a parameter of the distillation alone leaves the undistilled student as it is
    rows["undistilled"] = rows.value_start.fillna(rows.value_plain_start)
    by = rows.groupby([*STUDENT, "variant"])
    table = by[["value", "undistilled", "value_plain", "value_plain_start"]].mean()
    table = table.assign(seeds=by.size()).reset_index()
    seeds = usual.groupby(STUDENT).value.agg(luck="std", plain_seeds="count")
    table = table.rename(columns={"variant": "departure", "value": "distilled"}).merge(
        seeds.reset_index(), on=STUDENT
    )
    table["effect"] = table.distilled - table.value_plain
    better = 1 - 2 * (table.metric == "eer")
    table["effect_on_gain"] = better * (table.effect - table.undistilled + table.value_plain_start)
    # both sides of an effect are means of so many trainings, each with the spread of seeds
    spread = table.luck * np.sqrt(2 / table.seeds)
    p = 2 * stats.t.sf((table.effect / spread).abs(), (table.plain_seeds - 1).clip(lower=1))
    known = table.luck.notna()
    table["stands_out"] = (corrected(pd.Series(p).where(known)) < LEVEL).where(known)
    table = table.drop(columns=["value_plain", "value_plain_start"])
    return table.sort_values("effect", key=abs, ascending=False, ignore_index=True, kind="stable")
