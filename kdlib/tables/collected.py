"""What the runs of a suite left on disk, as tables: one row a run, fold and metric, and one row a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import UserError
from kdlib.settings import Settings

COLUMNS = ("dataset", "stage", "backbone", "setting", "method", "alpha", "seed", "variant", "key", "fold", "metric", "value", "recordings")
NEEDED = ["recording", "speaker", "fold", "label", "predicted"]
STATES = ("done", "failed", "missing")


def coordinates(run: Any) -> dict[str, Any]:
    """Return a run's place on the axes of the paper, as its result is filed.

    A teacher has neither method nor alpha, and its setting is ``nonseq`` or ``sequential``. ``variant`` names the parameters that
    differ from those of the dataset's file, such as ``training.targets=shuffled``; it is empty where none does.
    """
    settings = run.settings.canonical()
    place = {"dataset": settings.dataset, "stage": run.stage, "backbone": settings.backbone, "setting": settings.setting}
    last = {"seed": settings.seed, "variant": variant(settings, run.stage)}
    if run.stage == "student":
        return {**place, "method": settings.method, "alpha": settings.alpha, **last}
    place["setting"] = "sequential" if settings.sequential else "nonseq"
    return {**place, "method": "", "alpha": math.nan, **last}


def variant(settings: Settings, stage: str = "student") -> str:
    """Return in one line which parameters differ from those of the dataset's file, as far as the stage knows them."""
    return "; ".join(f"{name}={value}" for name, value in settings.departures(stage).items())


def distinct(runs: Iterable[Any]) -> dict[Path, Any]:
    """Return runs by their folder: undistilled students of several methods share one."""
    found: dict[Path, Any] = {}
    for run in runs:
        found.setdefault(run.folder, run)
    return found


def read(folder: Path) -> dict[str, Any] | None:
    """Return a run's result, None where it has none; raise UserError where the file is damaged."""
    try:
        return json.loads((folder / "result.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(f"{folder / 'result.json'} is no valid JSON; delete that file and run its notebook again.") from None


def collect(runs: Iterable[Any]) -> pd.DataFrame:
    """Return the results of these runs, one row a run, fold and metric (columns :data:`COLUMNS`), values as fractions."""
    rows = []
    for folder, run in distinct(runs).items():
        place = None
        for fold in (read(folder) or {}).get("folds", []):
            place = place or (*coordinates(run).values(), folder.name)
            for name, value in fold.items():
                if name not in ("fold", "recordings") and isinstance(value, (int, float)):
                    rows.append((*place, fold["fold"], name, float(value), fold["recordings"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def predictions(folder: Path) -> pd.DataFrame:
    """Return a run's test recordings, columns :data:`NEEDED`; the probabilities, which may be a thousand a row, are left where they are."""
    return pd.read_csv(folder / "predictions.csv", usecols=NEEDED, dtype={"recording": str, "speaker": str})


def trials(folder: Path) -> pd.DataFrame:
    """Return the scored trials of a run's first list, which is the paper's; columns as of :func:`kdlib.verification.scored`."""
    told = pd.read_csv(folder / "trials.csv", dtype={"first_speaker": str, "second_speaker": str})
    return told[told.list == told.list.iloc[0]].reset_index(drop=True)


def histories(runs: Iterable[Any]) -> pd.DataFrame:
    """Return one row an epoch of each fold of these runs' students, with their places: loss, rate, seconds, agreement (NaN where not kept)."""
    rows = []
    for folder, run in distinct(runs).items():
        kept = (read(folder) or {}).get("history", {}) if run.stage == "student" else {}
        place = coordinates(run) if kept else {}
        rows += [{**place, "fold": int(fold), **epoch} for fold, epochs in kept.items() for epoch in epochs]
    return pd.DataFrame(rows).reindex(columns=[*COLUMNS[:8], "fold", "epoch", "loss", "rate", "seconds", "agreement"])


def missing(runs: Iterable[Any]) -> list[Any]:
    """Return the runs that have no result yet."""
    return [run for folder, run in distinct(runs).items() if not (folder / "result.json").exists()]


def states(runs: Iterable[Any]) -> pd.DataFrame:
    """Return one row a run: dataset, stage, key, state (done, failed, missing), wall seconds, device, commit, finished.

    A run failed where it left a notebook and no result.
    """
    rows = []
    for folder, run in distinct(runs).items():
        result = read(folder)
        told = (result or {}).get("provenance", {})
        state = "done" if result else "failed" if (folder / "notebook.ipynb").exists() else "missing"
        rows.append(
            {
                "dataset": run.settings.dataset,
                "stage": run.stage,
                "key": folder.name,
                "state": state,
                "seconds": (result or {}).get("seconds", {}).get("wall", math.nan),
                "device": told.get("device") or "",
                "commit": told.get("commit") or "",
                "uncommitted": bool(told.get("uncommitted_changes")),
                "finished": told.get("finished") or "",
                "folder": folder,
                "run": run,
            }
        )
    return pd.DataFrame(
        rows, columns=["dataset", "stage", "key", "state", "seconds", "device", "commit", "uncommitted", "finished", "folder", "run"]
    )
