"""Runs as they lie on disk, without any training."""

from __future__ import annotations

import json

from kdsuite.runs.grid import Run
from kdsuite.settings import load


def student(alpha=0.5, stage="student", layout="ravdess", **axes) -> Run:
    base = load(dataset="demo-ravdess", alpha=alpha, **axes)
    corpus = base.corpus.model_copy(update={"layout": layout})
    return Run(stage, base.model_copy(update={"corpus": corpus}))


def finish(run: Run, folds: dict[int, float], metric="uar", recordings=52, **more) -> Run:
    """Write the result of a run whose folds have these values."""
    run.folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"fold": fold, metric: value, "recordings": recordings} for fold, value in folds.items()
    ]
    (run.folder / "result.json").write_text(
        json.dumps({"stage": run.stage, "key": run.folder.name, "folds": rows, **more})
    )
    return run
