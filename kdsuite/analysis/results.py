"""What the runs of a suite left on disk, as tables: one row a run, fold and metric, and one row a
run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kdsuite.runs.grid import GRADIENTS
from kdsuite.settings import Settings, of_dataset

# what results and tables call the backbone of the linear baseline
LINEAR = "linear"
COLUMNS = (
    "dataset",
    "stage",
    "backbone",
    "setting",
    "method",
    "alpha",
    "seed",
    "variant",
    "key",
    "fold",
    "metric",
    "value",
    "recordings",
)
RUNS = [
    "dataset",
    "stage",
    "key",
    "state",
    "seconds",
    "device",
    "commit",
    "uncommitted",
    "finished",
]
NEEDED = ["recording", "speaker", "fold", "label", "predicted"]


def coordinates(run: Any) -> dict[str, Any]:
    """Return a run's place on the axes of the paper, as its result is filed.

    A teacher has neither method nor alpha, and its setting is ``nonseq`` or ``sequential``; the
    data run's numbers are those of the ``linear`` baseline, which has no setting. ``variant`` names
    the parameters that differ from those of the dataset's file, such as
    ``training.targets=shuffled``; it is empty where none does that numbers depend on.
    """
    settings = run.settings.canonical()
    place = {
        "dataset": settings.dataset,
        "stage": run.stage,
        "backbone": settings.backbone,
        "setting": settings.setting,
    }
    last = {"seed": settings.seed, "variant": variant(settings, run.stage)}
    if run.stage == "student":
        return {**place, "method": settings.method, "alpha": settings.alpha, **last}
    if run.stage == "data":
        return {**place, "backbone": LINEAR, "setting": "", "method": "", "alpha": math.nan, **last}
    place["setting"] = "sequential" if settings.sequential else "nonseq"
    return {**place, "method": "", "alpha": math.nan, **last}


def variant(settings: Settings, stage: str = "student") -> str:
    """Return in one line which parameters differ from those of the dataset's file, as far as the
    stage knows them."""
    told = settings.departures(stage, numbers=True)
    ours, usual = told.get("corpus.synthetic"), of_dataset(settings.dataset).corpus.synthetic
    if ours and usual:  # of a synthetic corpus what differs, not all of its parameters
        before = usual.model_dump(mode="json")
        del told["corpus.synthetic"]
        told |= {
            f"corpus.synthetic.{name}": value
            for name, value in ours.items()
            if value != before[name]
        }
    return "; ".join(f"{name}={value}" for name, value in told.items())


def distinct(runs: Iterable[Any]) -> dict[Path, Any]:
    """Return runs by their folder: undistilled students of several methods share one."""
    found: dict[Path, Any] = {}
    for run in runs:
        found.setdefault(run.folder, run)
    return found


def collect(runs: Iterable[Any]) -> pd.DataFrame:
    """Return the results of these runs, one row a run, fold and metric (columns :data:`COLUMNS`),
    values as fractions."""
    rows = []
    for folder, run in distinct(runs).items():
        place = None
        for fold in run.result.get("folds", []):
            place = place or (*coordinates(run).values(), folder.name)
            for name, value in fold.items():
                if name not in ("fold", "recordings") and isinstance(value, (int, float)):
                    rows.append((*place, fold["fold"], name, float(value), fold["recordings"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def prevailing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each dataset's most frequent variant: that of its file, unless a suite
    departs from it throughout."""
    if not len(rows):
        return rows
    counts = rows.groupby(["dataset", "variant"]).size().reset_index(name="rows")
    first = counts.sort_values(["rows", "variant"], ascending=[False, True]).drop_duplicates(
        "dataset"
    )
    return rows.merge(first[["dataset", "variant"]])


def readable(folder: Path, metric: str) -> bool:
    """Return whether a run's answers are still there: somebody may have removed them to save room,
    or an older suite have written them."""
    file = folder / ("trials.csv" if metric == "eer" else "predictions.csv")
    return file.exists() and (metric != "eer" or "first_speaker" in pd.read_csv(file, nrows=0))


def predictions(folder: Path) -> pd.DataFrame:
    """Return a run's test recordings, columns :data:`NEEDED`; the probabilities, which may be a
    thousand a row, are left where they are."""
    return pd.read_csv(
        folder / "predictions.csv", usecols=NEEDED, dtype={"recording": str, "speaker": str}
    )


def trials(folder: Path) -> pd.DataFrame:
    """Return the scored trials of a run's first list, which is the paper's; columns as of
    :func:`kdsuite.data.verification.scored`."""
    told = pd.read_csv(folder / "trials.csv", dtype={"first_speaker": str, "second_speaker": str})
    return told[told.list == told.list.iloc[0]].reset_index(drop=True)


def answers(runs: Iterable[Any], metric: str) -> list[pd.DataFrame]:
    """Return what each run answered, with its ``seed``: scored trials for ``eer``, else
    predictions; nothing of runs without."""
    read = trials if metric == "eer" else predictions
    return [
        read(run.folder).assign(seed=run.settings.seed)
        for run in runs
        if readable(run.folder, metric)
    ]


def eer_conventions(results: pd.DataFrame, dataset: str) -> float:
    """Return by how much the conventions of a student's EER differ at most, as a fraction; NaN
    where there is no EER."""
    students = results[
        (results.dataset == dataset)
        & (results.stage == "student")
        & results.metric.isin(["eer", "eer_mean", "eer_max"])
    ]
    by_student = students.groupby(["key", "fold"]).value
    return float((by_student.max() - by_student.min()).max())


def histories(runs: Iterable[Any]) -> pd.DataFrame:
    """Return one row an epoch of each fold of these runs' students that kept how label and teacher
    agree, with their places."""
    rows = []
    for run in distinct(runs).values():
        kept = run.result.get("agreement")
        place = tuple(coordinates(run).values()) if kept else ()
        rows += [
            (*place, fold, *epoch) for fold, epochs in (kept or {}).items() for epoch in epochs
        ]
    return pd.DataFrame(rows, columns=[*COLUMNS[:8], "fold", "epoch", *GRADIENTS])


def missing(runs: Iterable[Any]) -> list[Any]:
    """Return the runs that have no result yet."""
    return [run for run in distinct(runs).values() if not run.done]


def states(runs: Iterable[Any]) -> pd.DataFrame:
    """Return one row a run, columns :data:`RUNS` (state: see :class:`kdsuite.runs.grid.Run`; wall
    seconds), ``folder`` and ``run``."""
    rows = []
    for folder, run in distinct(runs).items():
        result = run.result
        rows.append(
            {
                "dataset": run.settings.dataset,
                "stage": run.stage,
                "key": folder.name,
                "state": run.state,
                "seconds": result.get("wall", math.nan),
                "device": result.get("device") or "",
                "commit": result.get("commit") or "",
                "uncommitted": bool(result.get("uncommitted_changes")),
                "finished": result.get("finished") or "",
                "folder": folder,
                "run": run,
            }
        )
    return pd.DataFrame(rows, columns=[*RUNS, "folder", "run"])
