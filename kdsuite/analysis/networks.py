"""Which runs of a suite answer which table, and what they found for one network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kdsuite.analysis.results import coordinates, distinct
from kdsuite.runs import grid
from kdsuite.settings import Settings, digest, parameters_of_stage

EMPTY = pd.DataFrame({"seed": [], "fold": [], "value": [], "recordings": []})


@dataclass(frozen=True)
class Study:
    """The runs of one dataset whose numbers depend on the same parameters, by their place;
    ``other`` are left out.

    ``data`` is the data run of the same corpus, which holds the linear baseline; it is empty where
    the suite has none.
    """

    dataset: str
    settings: Settings
    runs: dict[tuple, list[Any]]
    other: int = 0
    data: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """What stands behind one number: the ``runs`` it needs, those ``undone``, and ``values`` (seed,
    fold, value, recordings)."""

    values: pd.DataFrame
    runs: list[Any] = field(default_factory=list)
    undone: list[Any] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether there is any number."""
        return len(self.values) > 0

    @property
    def by_fold(self) -> pd.Series:
        """Percent for each fold, averaged over seeds."""
        return 100 * self.values.groupby("fold").value.mean()

    @property
    def covers(self) -> set[tuple]:
        """The seeds and folds that are done."""
        return set(zip(self.values.seed, self.values.fold))


def place(run: Any) -> tuple:
    """Return where a run is filed: stage, backbone, setting and, for students, method and alpha."""
    axes = coordinates(run)
    return tuple(
        axes[name]
        for name in (
            "stage",
            "backbone",
            "setting",
            *(("method", "alpha") if run.stage == "student" else ()),
        )
    )


def places(backbone: str, setting: str, alpha: float) -> dict[str, tuple]:
    """Return where teacher, undistilled and distilled student of a network are filed."""
    flat = setting == "nonseq"
    return {
        "teacher": ("teacher", backbone, "nonseq" if flat else "sequential"),
        "undistilled": ("student", backbone, "nonseq" if flat else "em", "embedding", 0.0),
        "distilled": ("student", backbone, setting, "embedding", alpha),
    }


def studies(runs: Iterable[Any], corpus: str) -> list[Study]:
    """Return a study for each dataset with this layout, real corpora before synthetic ones.

    Where runs of one dataset differ in corpus, media, model or training parameters, the most
    frequent ones count.
    """
    found: dict[str, list[Any]] = {}
    every = list(distinct(runs).values())
    for run in every:
        if run.stage != "data" and run.settings.corpus.layout == corpus:
            found.setdefault(run.settings.dataset, []).append(run)
    data = [run for run in every if run.stage == "data"]
    made = [_study(dataset, of, data) for dataset, of in found.items()]
    return sorted(made, key=lambda study: study.settings.corpus.synthetic is not None)


def _numbers(settings: Settings, stage: str = "student") -> str:
    """Return a hash of all parameters but the paper's axes that the numbers of a stage depend on."""
    facts = parameters_of_stage(settings, stage)
    return digest({name: facts[name] for name in ("corpus", "media", "model", "training")})


def _study(dataset: str, runs: list[Any], data: list[Any]) -> Study:
    """Put the distilled students of one variant together with the teachers and undistilled students
    that belong to them.

    Of several variants the one to which most runs belong.
    """
    candidates = {
        _numbers(run.settings): run.settings
        for run in runs
        if run.stage == "student" and run.settings.alpha > 0
    }
    candidates = candidates or {_numbers(run.settings): run.settings for run in runs}
    settings, members = max(
        ((of, _members(of, runs)) for of in candidates.values()), key=lambda pair: len(pair[1])
    )
    by_place: dict[tuple, list[Any]] = {}
    for run in members:
        by_place.setdefault(place(run), []).append(run)
    home = grid.folder(settings, "data")
    return Study(
        dataset,
        settings,
        by_place,
        len(runs) - len(members),
        [run for run in data if run.folder == home],
    )


def _members(settings: Settings, runs: list[Any]) -> list[Any]:
    """Return the runs whose numbers depend on the same parameters as far as their stage knows them."""
    wanted = {
        "teacher": _numbers(settings, "teacher"),
        "undistilled": _numbers(settings.undistilled()),
        "distilled": _numbers(settings),
    }

    def role(run: Any) -> str:
        return (
            run.stage
            if run.stage == "teacher"
            else "distilled"
            if run.settings.alpha > 0
            else "undistilled"
        )

    return [
        run for run in runs if _numbers(run.settings.canonical(), run.stage) == wanted[role(run)]
    ]


def values_of(
    results: pd.DataFrame, dataset: str, metric: str
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return a dataset's values of one metric by stage and key."""
    chosen = results[(results.metric == metric) & (results.dataset == dataset)]
    return dict(list(chosen.groupby(["stage", "key"])[list(EMPTY)]))


def cell(study: Study, values: dict[tuple[str, str], pd.DataFrame], where: tuple) -> Cell:
    """Return what the runs at one place found, parts of the folds and seeds put together."""
    return _cell(study.runs.get(where, []), values)


def linear(
    study: Study, results: pd.DataFrame, metric: str, names: Iterable[str]
) -> dict[str, Cell]:
    """Return what the linear baseline found, as cells of the columns ``names``: by the frames where
    teachers are, by the sound where students are."""
    told = {"teacher": f"frames_{metric}", "undistilled": metric}
    return {
        name: _cell(study.data, values_of(results, study.dataset, told[name]))
        if name in told
        else Cell(EMPTY)
        for name in names
    }


def worse(of: Cell, than: Cell, metric: str) -> bool | None:
    """Return whether a network is worse than the linear baseline on the folds that both have; None
    where there are none."""
    both = (
        pd.concat({"network": of.by_fold, "linear": than.by_fold}, axis="columns").dropna().mean()
    )
    if both.isna().any():
        return None
    return bool(both.network > both.linear if metric == "eer" else both.network < both.linear)


def _cell(runs: list[Any], values: dict[tuple[str, str], pd.DataFrame]) -> Cell:
    parts = [values.get((run.stage, run.folder.name)) for run in runs]
    done = [part for part in parts if part is not None]
    return Cell(
        pd.concat(done) if done else EMPTY,
        runs,
        [run for run, part in zip(runs, parts) if part is None],
    )


def relative_change(undistilled: float, distilled: float, metric: str) -> float:
    """Return the relative change in percent, (distilled − undistilled) / undistilled; for EER the
    other way round."""
    if not undistilled:
        return math.nan
    change = 100 * (distilled - undistilled) / undistilled
    return -change if metric == "eer" else change


def summarise(cells: dict[str, Cell], metric: str) -> dict[str, float]:
    """Return one network's row: means and standard deviations over folds, change, number of folds
    and recordings.

    There is a change only where both students have done the same seeds and folds.
    """
    row: dict[str, float] = {}
    for name, of in cells.items():
        folds = of.by_fold
        row |= {
            name: folds.mean() if len(folds) else math.nan,
            f"{name}_sd": folds.std() if len(folds) > 1 else math.nan,
        }
    undistilled, distilled = cells["undistilled"], cells["distilled"]
    same = distilled.found and undistilled.covers == distilled.covers
    row["relative_change"] = (
        relative_change(row["undistilled"], row["distilled"], metric) if same else math.nan
    )
    tested = next(
        (
            of.values.groupby("fold").recordings.first()
            for of in (distilled, undistilled)
            if of.found
        ),
        pd.Series(dtype=float),
    )
    return row | {"folds": len(tested) or math.nan, "recordings": tested.sum() or math.nan}
