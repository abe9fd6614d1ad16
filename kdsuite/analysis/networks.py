"""Tables 4 to 7: what the paper prints of each network beside what the runs of a suite have.

(first, *others) = tables(6, runs, results, alpha=0.5)   # RAVDESS
first.frame                                              # a row a network, the linear baseline last
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import pandas as pd

from kdsuite.analysis.paper import published
from kdsuite.analysis.results import LINEAR, answers, level_of, variant
from kdsuite.analysis.statistics.comparison import interval
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

ROLES = {"teacher": "teacher", "undistilled": "undistilled", "student": "distilled"}


class NetworkTable(NamedTuple):
    """One of Tables 4 to 7 for one dataset.

    ``frame`` has a row for each network of the paper and, last, the linear baseline. Its columns
    are ``backbone``, ``setting``, the printed numbers (``paper_…``), means over folds and their
    standard deviations (``teacher``, ``teacher_sd``, …), ``relative_change``, ``folds``,
    ``recordings``, the distilled student's 95 % interval (``interval_low``, ``interval_high``),
    its ``difference`` from the paper, and whether a network is worse than the linear baseline on
    the folds that both have (``teacher_below_linear``, …). Numbers are percent, NaN where there are
    none. ``runs`` and ``partial`` have the index of ``frame`` and a column for teacher, undistilled
    and distilled student: the done runs behind a number, and whether some of its runs
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
    metric, datasets, made = paper.metric[0], {}, []
    results = results.assign(value=100 * results.value)
    for run in runs:
        if run.stage != "data" and run.settings.corpus.layout == paper.corpus[0]:
            datasets.setdefault(run.settings.dataset, []).append(run)
    studies = [(*_study(of), len(of)) for of in datasets.values()]
    studies.sort(key=lambda study: study[0].corpus.synthetic is not None)
    for settings, members, count in studies or [(None, [], 0)]:
        dataset, filed = settings.dataset if settings else "", defaultdict(list)
        for run in members:
            of, role = run.settings, ROLES[run.kind]
            if role != "distilled" or (of.method, of.alpha) == ("embedding", alpha):
                filed[role, of.backbone, level_of(of.setting, role)].append(run)
        if settings:
            folder = Run("data", settings).folder
            linear = [run for run in runs if run.folder == folder]
            filed |= dict.fromkeys([(role, LINEAR, "sequential") for role in ROLES], linear)
        name = f"table{task}" + (f"-{dataset}" if made else "")
        table = _table(paper, metric, dataset, filed, results[results.dataset == dataset])
        made.append(NetworkTable(name, metric, dataset, settings, count - len(members), *table))
    return made


def _study(runs):
    """Return the settings of the most frequent variant, and the runs that belong to it: distilled
    students, and the teachers and undistilled students that share all that their stage knows."""
    own = [(ROLES[run.kind], variant(run.settings, run.stage)) for run in runs]
    variants = {place: run.settings for place, run in zip(own, runs)}
    distilled = [of for (role, _), of in variants.items() if role == "distilled"]
    studies = []
    for of in distilled or variants.values():
        shared = {
            *zip(ROLES.values(), (variant(of, "teacher"), variant(of.undistilled()), variant(of)))
        }
        studies.append((of, [run for run, place in zip(runs, own) if place in shared]))
    return max(studies, key=lambda study: len(study[1]))


def _table(paper, metric, dataset, filed, results):
    """Return the last five fields of a :class:`NetworkTable`; ``filed`` has the runs by role,
    backbone and level."""
    eer = metric == "eer"
    roles, better = [*ROLES.values()][eer:], -1 if eer else 1
    linear = {"backbone": LINEAR, "setting": "cosine" if eer else "logistic regression"}
    rows, behind, partial, tested, missing = [], [], [], [], {}
    for printed in [*paper.to_dict("records"), dict.fromkeys(paper, math.nan) | linear]:
        row = {name: printed[name] for name in linear}
        row |= {f"paper_{name}": value for name, value in list(printed.items())[5:]}
        values, folds, done, some = {}, {}, {}, {}
        for role in roles:
            place = role, row["backbone"], level_of(row["setting"], role)
            network = place[1] != LINEAR
            runs, own = filed[place], results[results.key.isin([run.key for run in filed[place]])]
            # the frames' baseline is that of teachers, the sound's of students
            frames = "" if network or role != "teacher" else "frames_"
            values[role] = own = own[own.metric == frames + metric]
            folds[role] = own.groupby("fold").value.mean()
            row[role], row[f"{role}_sd"] = folds[role].mean(), folds[role].std()
            done[role] = [run for run in runs if run.key in {*own.key}]
            some[role] = 0 < len(done[role]) < len(runs)
            missing |= {run.name: None for run in runs if not run.done}
            if network and not runs:
                missing[f"{', '.join([*place[1:], role])}: no run of this suite"] = None
        # there is a change only where both students have done the same seeds and folds
        before, after = ({*zip(values[of].seed, values[of].fold)} for of in roles[-2:])
        change = row["distilled"] / (row["undistilled"] or math.nan) - 1
        row["relative_change"] = 100 * better * change if before == after else math.nan
        either = values["distilled" if after else "undistilled"].drop_duplicates("fold")
        row["folds"], row["recordings"] = (
            len(either) or math.nan,
            either.recordings.sum() or math.nan,
        )
        of = [] if some["distilled"] else done["distilled"]
        row["interval_low"], row["interval_high"] = interval_of(of, metric)
        row["difference"] = row["distilled"] - printed.get("distilled", math.nan)
        for table, cells in ((rows, row), (behind, done), (partial, some), (tested, folds)):
            table.append(cells)
    *networks, base = tested
    base["distilled"] = base["undistilled"]
    for row, folds in zip(rows, networks):
        for role in roles:  # on the folds that both have; where equal, not below by rounding
            gap = round(better * (folds[role] - base[role]).mean(), 9)
            row[f"{role}_below_linear"] = gap < 0 if pd.notna(gap) else math.nan
    frame, behind, partial = map(pd.DataFrame, (rows, behind, partial))
    absent = ""
    if not dataset:
        absent = f"no dataset of this suite has the layout {paper.corpus[0]}."
    elif not behind[:-1].any(axis=None):
        absent = f"none of the runs of {dataset} behind this table is done."
        if results.key.isin([run.key for run in chain(*filed.values())]).any():
            absent = f"the results of {dataset} hold no {metric.upper()}."
    return frame, behind, partial, [] if absent else [*missing], absent


def interval_of(runs: list[Run], metric: str) -> tuple[float, float]:
    """Return the 95 % interval in percent; NaN where trainings are too few, or predictions were
    removed to save disk space."""
    parts = answers(runs, metric)
    if not parts or len(parts) < len(runs):
        return math.nan, math.nan
    _, low, high = interval(pd.concat(parts, ignore_index=True), metric)
    return 100 * low, 100 * high
