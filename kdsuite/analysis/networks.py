"""Tables 4 to 7: what the paper prints of each network beside what the runs of a suite have.

(first, *others) = tables(6, runs, results, alpha=0.5)   # RAVDESS
first.frame                                              # a row a network, the linear baseline last
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from kdlib.parameters import digest
from kdsuite.analysis.paper import published
from kdsuite.analysis.results import LINEAR, answers, distinct
from kdsuite.analysis.statistics.comparison import interval
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, parameters_of_stage

METRICS = {"identification_accuracy": "accuracy", "eer": "eer", "unweighted_accuracy": "uar"}
ROLES = ["teacher", "undistilled", "distilled"]
PLACE, RUN = ["role", "backbone", "level"], ["stage", "key", "run"]
CELL = ["network", "role"]


class NetworkTable(NamedTuple):
    """One of Tables 4 to 7 for one dataset.

    ``frame`` has a row for each network of the paper and, last, the linear baseline. Its columns
    are ``backbone``, ``setting``, the printed numbers (``paper_…``), means over folds and their
    standard deviations (``teacher``, ``teacher_sd``, …), ``relative_change``, ``folds``,
    ``recordings``, the distilled student's 95 % interval (``interval_low``, ``interval_high``),
    its ``difference`` from the paper, and whether a network is worse than the linear baseline on
    the folds that both have (``teacher_below_linear``, …). Numbers are percent, NaN where there are
    none. ``runs`` and ``partial`` have the index of ``frame`` and a column for teacher, undistilled
    and distilled student: the done runs behind a number (NaN: none), and whether some of its runs
    are missing. ``missing`` names what is missing, ``absent`` says why there are no numbers at all,
    ``other`` counts the dataset's runs with other parameters, which are left out. Where no dataset
    answers the table ``dataset`` is empty and ``settings`` None.
    """

    name: str
    metric: str
    dataset: str
    settings: Settings | None
    frame: pd.DataFrame
    runs: pd.DataFrame
    partial: pd.DataFrame
    missing: list[str]
    absent: str
    other: int


def tables(
    task: int, runs: Iterable[Any], results: pd.DataFrame, alpha: float = 0.5
) -> list[NetworkTable]:
    """Return Table 4, 5, 6 or 7, one for each dataset with the table's layout, real corpora before
    synthetic ones.

    ``results`` is what :func:`kdsuite.analysis.results.collect` says of ``runs``; the distilled
    students are those of the embedding method at ``alpha``. Where runs of one dataset differ in
    corpus, media, model or training parameters, the most frequent ones count.
    """
    printed = published()
    paper = printed[printed.table == task].dropna(axis="columns", how="all").reset_index(drop=True)
    every = list(distinct(runs).values())
    datasets: dict[str, list[Any]] = {}
    for run in every:
        if run.stage != "data" and run.settings.corpus.layout == paper.corpus[0]:
            datasets.setdefault(run.settings.dataset, []).append(run)
    studies = [(*_study(of), len(of)) for of in datasets.values()]
    studies.sort(key=lambda study: study[0].corpus.synthetic is not None)
    made = []
    for settings, members, count in studies or [(None, [], 0)]:
        name = f"table{task}" + (f"-{settings.dataset}" if made else "")
        home = settings and Run("data", settings).folder
        data = [run for run in every if run.stage == "data" and run.folder == home]
        made.append(
            _table(name, paper, settings, members + data, results, alpha, count - len(members))
        )
    return made


def _study(runs: list[Any]) -> tuple[Settings, list[Any]]:
    """Return the settings of the most frequent variant, and the runs that belong to it: distilled
    students, and the teachers and undistilled students that share all that their stage knows."""
    own = [(_role(run), _numbers(run.settings.canonical(), run.stage)) for run in runs]
    variants = {number: run.settings for run, number in zip(runs, own)}
    distilled = {number: each for number, each in variants.items() if number[0] == "distilled"}
    studies = []
    for settings in (distilled or variants).values():
        shared = {
            ("teacher", _numbers(settings, "teacher")),
            ("undistilled", _numbers(settings.undistilled())),
            ("distilled", _numbers(settings)),
        }
        studies.append((settings, [run for run, number in zip(runs, own) if number in shared]))
    return max(studies, key=lambda study: len(study[1]))


def _role(run: Any) -> str:
    student = "distilled" if run.settings.alpha > 0 else "undistilled"
    return run.stage if run.stage == "teacher" else student


def _level(setting: str, role: str) -> str:
    """Return the setting of a cell's runs: EM and AGG share teacher and undistilled student."""
    return setting if role == "distilled" or setting == "nonseq" else "sequential"


def _numbers(settings: Settings, stage: str = "student") -> str:
    """Return a hash of all parameters but the paper's axes that the numbers of a stage depend on."""
    known = parameters_of_stage(settings, stage)
    return digest({name: known[name] for name in ("corpus", "media", "model", "training")})


def _table(
    name: str, paper: pd.DataFrame, settings: Settings | None, runs: list[Any], results: pd.DataFrame, alpha: float, other: int
) -> NetworkTable:  # fmt: skip
    metric, dataset = METRICS[paper.metric[0]], settings.dataset if settings else ""
    roles, linear = ROLES[metric == "eer" :], len(paper)
    cells = [
        (network.Index, role, network.backbone, _level(network.setting, role))
        for network in paper.itertuples()
        for role in roles
    ] + [(linear, role, LINEAR, "") for role in roles[:-1]]
    filed: list[tuple] = []
    for run in runs:
        of, file = run.settings, (run.stage, run.folder.name, run)
        if run.stage == "data":  # the frames' baseline is that of teachers, the sound's of students
            filed.append(("teacher", LINEAR, "", *file, f"frames_{metric}"))
            filed.append(("undistilled", LINEAR, "", *file, metric))
        elif _role(run) != "distilled" or (of.method, of.alpha) == ("embedding", alpha):
            level = _level(of.setting, _role(run))
            filed.append((_role(run), of.backbone, level, *file, metric))
    behind = pd.DataFrame(cells, columns=["network", *PLACE]).merge(
        pd.DataFrame(filed, columns=[*PLACE, *RUN, "metric"], dtype=object), "left", on=PLACE
    )
    own = results[results.dataset == dataset]
    numbers = own[["stage", "key", "metric", "seed", "fold", "value", "recordings"]]
    # without a run there is nothing to match; pandas would match missing keys with each other
    values = behind[behind.key.notna()].merge(numbers, "left", on=["stage", "key", "metric"])
    values["value"] *= 100

    def wide(by_cell: pd.Series) -> pd.DataFrame:
        return by_cell.unstack("role").reindex(index=range(linear + 1), columns=roles)

    by_fold = values.groupby([*CELL, "fold"]).agg({"value": "mean", "recordings": "first"})
    folds = by_fold.groupby(CELL)
    frame = paper[["backbone", "setting"]].reindex(range(linear + 1))
    frame.iloc[-1] = LINEAR, "cosine" if metric == "eer" else "logistic regression"
    frame = frame.join(paper.loc[:, "setting":].iloc[:, 1:].add_prefix("paper_"))
    means, spread = wide(folds.value.mean()), wide(folds.value.std())
    for role in roles:
        frame[role], frame[f"{role}_sd"] = means[role], spread[role]
    # there is a change only where both students have done the same seeds and folds
    both = values[values.role != "teacher"].pivot_table(
        "value", ["network", "seed", "fold"], "role"
    )
    same = both.reindex(columns=roles[-2:]).notna().all(axis=1).groupby("network").all()
    change = 100 * (means.distilled / means.undistilled.where(means.undistilled != 0) - 1)
    better = -1 if metric == "eer" else 1
    frame["relative_change"] = better * change.where(same.reindex(frame.index).eq(True))
    for column, count in (("folds", folds.size()), ("recordings", folds.recordings.sum())):
        frame[column] = wide(count).distilled.fillna(wide(count).undistilled)
    each = values.drop_duplicates([*CELL, "key"])
    done = each.value.notna()
    cell = done.groupby([each.network, each.role])
    partial = wide(cell.any() & ~cell.all()).eq(True)
    links = wide(each[done].groupby(CELL).run.agg(list))
    frame[["interval_low", "interval_high"]] = [
        (math.nan, math.nan) if some else _interval(of, metric)
        for of, some in zip(links.distilled, partial.distilled)
    ]
    frame["difference"] = frame.distilled - frame.get("paper_distilled", math.nan)
    for role in roles:
        frame[f"{role}_below_linear"] = _below_linear(by_fold.value, role, linear, better)
    missing = {
        f"{dataset}/{row.stage}/{row.key}"
        if isinstance(row.key, str)
        else f"{row.backbone}, {row.level}, {row.role}: no run of this suite": None
        for row in behind.itertuples()
        if not (row.run.done if isinstance(row.key, str) else row.network == linear)
    }
    absent = ""
    if not settings:
        absent = f"no dataset of this suite has the layout {paper.corpus[0]}."
    elif means[:linear].isna().all(axis=None):
        absent = f"none of the runs of {dataset} behind this table is done."
        if own.key.isin(behind.key).any():
            absent = f"the results of {dataset} hold no {metric.upper()}."
    return NetworkTable(
        name, metric, dataset, settings, frame, links, partial, [] if absent else [*missing], absent, other
    )  # fmt: skip


def _interval(runs: list[Any] | float, metric: str) -> tuple[float, float]:
    """Return the 95 % interval in percent; NaN where trainings are too few, or predictions were
    removed to save disk space."""
    parts = answers(runs, metric) if isinstance(runs, list) else []
    if not parts or len(parts) < len(runs):
        return math.nan, math.nan
    _, low, high = interval(pd.concat(parts, ignore_index=True), metric)
    return 100 * low, 100 * high


def _below_linear(by_fold: pd.Series, role: str, linear: int, better: int) -> pd.Series:
    """Return by network whether it is worse than the linear baseline on the folds that both have,
    NaN where there are none."""
    folds = by_fold.unstack("fold")
    ours = folds[folds.index.get_level_values("role") == role].droplevel("role")
    base = folds.reindex([(linear, "teacher" if role == "teacher" else "undistilled")]).iloc[0]
    gap = better * (ours - base).mean(axis=1).round(9)  # where equal, not below by rounding
    return (gap < 0).where(gap.notna()).drop(linear, errors="ignore").astype(object)
