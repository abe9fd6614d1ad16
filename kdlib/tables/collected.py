"""What the runs of a suite left on disk, as tables: one row a run, fold and metric, and one row a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import UserError

COLUMNS = ("dataset", "stage", "backbone", "setting", "method", "alpha", "seed", "key", "fold", "metric", "value", "recordings")
STATES = ("done", "failed", "missing")


def coordinates(run: Any) -> dict[str, Any]:
    """Return a run's place on the axes of the paper, as its result is filed.

    A teacher has neither method nor alpha, and its setting is ``nonseq`` or ``sequential``.
    """
    settings = run.settings.canonical()
    place = {"dataset": settings.dataset, "stage": run.stage, "backbone": settings.backbone, "setting": settings.setting}
    if run.stage == "student":
        return {**place, "method": settings.method, "alpha": settings.alpha, "seed": settings.seed}
    place["setting"] = "sequential" if settings.sequential else "nonseq"
    return {**place, "method": "", "alpha": math.nan, "seed": settings.seed}


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
