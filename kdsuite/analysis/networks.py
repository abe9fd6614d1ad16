"""Tables 4 to 7: what the paper prints of each network beside what the runs of a suite have.

(first, *others) = tables(6, runs, results, alpha=0.5)   # RAVDESS
first.frame                                              # a row a network, the linear baseline last
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from kdsuite.analysis.paper import published
from kdsuite.analysis.results import LINEAR, answers, distinct, variant
from kdsuite.analysis.statistics.comparison import interval
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

METRICS = {"identification_accuracy": "accuracy", "eer": "eer", "unweighted_accuracy": "uar"}
ROLES = ["teacher", "undistilled", "distilled"]
PLACE, CELL = ["role", "backbone", "level"], ["network", "role"]
RUN = ["stage", "key", "metric"]


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
    other: int
    frame: pd.DataFrame
    runs: pd.DataFrame
    partial: pd.DataFrame
    missing: list[str]
    absent: str


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
    every = distinct(runs)
    datasets = {}
    for run in every.values():
        if run.stage != "data" and run.settings.corpus.layout == paper.corpus[0]:
            datasets.setdefault(run.settings.dataset, []).append(run)
    studies = [(*_study(of), len(of)) for of in datasets.values()]
    studies.sort(key=lambda study: study[0].corpus.synthetic is not None)
    metric, made = METRICS[paper.metric[0]], []
    for settings, members, count in studies or [(None, [], 0)]:
        dataset = settings.dataset if settings else ""
        data = every.get(Run("data", settings).folder) if settings else None
        filed = [row for run in members for row in _filed(run, metric, alpha)]
        filed += _filed(data, metric, alpha) if data else []
        own = results[results.dataset == dataset]
        name = f"table{task}" + (f"-{dataset}" if made else "")
        head = (name, metric, dataset, settings, count - len(members))
        made.append(NetworkTable(*head, *_table(paper, metric, dataset, filed, own)))
    return made


def _study(runs):
    """Return the settings of the most frequent variant, and the runs that belong to it: distilled
    students, and the teachers and undistilled students that share all that their stage knows."""
    own = [(_role(run), variant(run.settings, run.stage)) for run in runs]
    variants = {place: run.settings for place, run in zip(own, runs)}
    distilled = [settings for (role, _), settings in variants.items() if role == "distilled"]
    studies = []
    for settings in distilled or variants.values():
        of_role = (variant(settings, "teacher"), variant(settings.undistilled()), variant(settings))
        shared = set(zip(ROLES, of_role))
        studies.append((settings, [run for run, place in zip(runs, own) if place in shared]))
    return max(studies, key=lambda study: len(study[1]))


def _role(run):
    student = "distilled" if run.settings.alpha > 0 else "undistilled"
    return run.stage if run.stage == "teacher" else student


def _level(setting, role):
    """Return the setting of a cell's runs: EM and AGG share teacher and undistilled student."""
    return setting if role == "distilled" or setting == "nonseq" else "sequential"


def _filed(run, metric, alpha):
    """Return the run with the cells that it fills and the metrics that they show."""
    of, file = run.settings, (run, run.stage, run.folder.name)
    if run.stage == "data":  # the frames' baseline is that of teachers, the sound's of students
        roles = {"teacher": f"frames_{metric}", "undistilled": metric}
        return [(role, LINEAR, "sequential", *file, name) for role, name in roles.items()]
    role = _role(run)
    if role == "distilled" and (of.method, of.alpha) != ("embedding", alpha):
        return []
    return [(role, of.backbone, _level(of.setting, role), *file, metric)]


def _table(paper, metric, dataset, filed, results):
    """Return the last five fields of a :class:`NetworkTable`."""
    eer = metric == "eer"
    roles, linear, better = ROLES[eer:], len(paper), -1 if eer else 1
    frame = paper[["backbone", "setting"]].reindex(range(linear + 1))
    frame.iloc[-1] = LINEAR, "cosine" if eer else "logistic regression"
    cells = [
        (network, role, backbone, _level(setting, role))
        for network, backbone, setting in frame.itertuples()
        for role in roles
    ]
    behind = pd.DataFrame(cells, columns=["network", *PLACE]).merge(
        pd.DataFrame(filed, columns=[*PLACE, "run", *RUN], dtype=object), "left", on=PLACE
    )
    numbers = results[[*RUN, "seed", "fold", "value", "recordings"]]
    values = behind.dropna(subset="run").merge(numbers, "left", on=RUN)
    values["value"] *= 100

    def wide(by_cell):
        return by_cell.unstack("role").reindex(index=frame.index, columns=roles)

    by_fold = values.groupby([*CELL, "fold"]).agg({"value": "mean", "recordings": "first"})
    folds = by_fold.groupby(CELL)
    frame = frame.join(paper.loc[:, "setting":].iloc[:, 1:].add_prefix("paper_"))
    means, spread = wide(folds.value.mean()), wide(folds.value.std())
    for role in roles:
        frame[role], frame[f"{role}_sd"] = means[role], spread[role]
    # there is a change only where both students have done the same seeds and folds
    students = values[values.role != "teacher"]
    both = students.pivot_table("value", ["network", "seed", "fold"], "role")
    same = both.reindex(columns=roles[-2:]).notna().all(axis=1).groupby("network").all()
    change = 100 * (means.distilled / means.undistilled.where(means.undistilled != 0) - 1)
    frame["relative_change"] = better * change.where(same.reindex(frame.index).eq(True))
    for column, count in (("folds", folds.size()), ("recordings", folds.recordings.sum())):
        frame[column] = wide(count).distilled.fillna(wide(count).undistilled)
    each = values.drop_duplicates([*CELL, "key"])
    done = each.value.notna()
    cell = done.groupby([each.network, each.role])
    partial = wide(cell.any() & ~cell.all()).eq(True)
    runs = wide(each[done].groupby(CELL).run.agg(list))
    intervals = map(_interval, runs.distilled.where(~partial.distilled), [metric] * len(frame))
    frame[["interval_low", "interval_high"]] = list(intervals)
    frame["difference"] = frame.distilled - frame.get("paper_distilled", math.nan)
    # worse than the linear baseline on the folds that both have; where equal, not by rounding
    by_role = by_fold.value.unstack("role").reindex(columns=roles)
    base = by_role[by_role.index.get_level_values("network") == linear].droplevel("network")
    gaps = by_role.drop(linear, errors="ignore").sub(
        base.assign(distilled=base.undistilled), level="fold"
    )
    gap = better * gaps.groupby("network").mean().round(9)
    frame = frame.join((gap < 0).where(gap.notna()).astype(object).add_suffix("_below_linear"))
    missing = dict.fromkeys(
        f"{row.backbone}, {row.level}, {row.role}: no run of this suite"
        if pd.isna(row.run)
        else row.run.name
        for row in behind.itertuples()
        if (row.network < linear if pd.isna(row.run) else not row.run.done)
    )
    absent = ""
    if not dataset:
        absent = f"no dataset of this suite has the layout {paper.corpus[0]}."
    elif means[:linear].isna().all(axis=None):
        absent = f"none of the runs of {dataset} behind this table is done."
        if results.key.isin(behind.key).any():
            absent = f"the results of {dataset} hold no {metric.upper()}."
    return frame, runs, partial, [] if absent else [*missing], absent


def _interval(runs, metric):
    """Return the 95 % interval in percent; NaN where trainings are too few, or predictions were
    removed to save disk space."""
    parts = answers(runs, metric) if isinstance(runs, list) else []
    if not parts or len(parts) < len(runs):
        return math.nan, math.nan
    _, low, high = interval(pd.concat(parts, ignore_index=True), metric)
    return 100 * low, 100 * high
