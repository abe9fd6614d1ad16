"""What a run leaves in ``reports/runs/<dataset>/<stage>/<key>``: predictions, then ``result.json``,
written last."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kdlib import STARTED, metrics
from kdlib.dataset import Fold
from kdsuite import places
from kdsuite.data import corpora, verification
from kdsuite.data.store import Store
from kdsuite.runs import sources
from kdsuite.runs.grid import folder, key
from kdsuite.settings import Settings

PACKAGES = (
    "torch",
    "torchvision",
    "torchaudio",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "moviepy",
    "soundfile",
    "papermill",
)


def predictions(
    store: Store, folds: list[Fold], probabilities: dict[int, np.ndarray], side: str = "test"
) -> pd.DataFrame:
    """Return one row a test recording: recording, speaker, fold, label, predicted, and
    ``p_<class>`` for each class.

    ``probabilities`` ``(tested, classes)`` by fold number are in the order of the fold's test rows,
    or of those of another ``side``.
    """
    parts = []
    for fold in folds:
        part = store.recordings.iloc[getattr(fold, side)][
            ["recording", "speaker", "label"]
        ].reset_index(drop=True)
        part.insert(2, "fold", fold.number)
        part["predicted"] = [
            store.classes[best] for best in probabilities[fold.number].argmax(axis=1)
        ]
        parts.append(
            part.join(
                pd.DataFrame(
                    probabilities[fold.number], columns=[f"p_{name}" for name in store.classes]
                )
            )
        )
    return pd.concat(parts, ignore_index=True)


def write(
    settings: Settings,
    stage: str,
    store: Store,
    facts: dict[str, Any],
    told: pd.DataFrame | None = None,
    held: pd.DataFrame | None = None,
    scored: pd.DataFrame | None = None,
    trials: verification.Trials | None = None,
    seen: pd.DataFrame | None = None,
) -> Path:
    """Write a run's predictions, scores of verification trials and, last and in one step, its
    ``result.json``; return that file.

    ``told`` is what :func:`predictions` returns, ``held`` the same of validation recordings
    (nothing but its metrics is written), ``scored`` what :func:`kdsuite.data.verification.scored`
    returns of ``trials``, ``seen`` what the linear baseline told by the frames.
    """
    home = folder(settings, stage)
    summary: dict[str, Any] = {}
    (home / "result.json").unlink(
        missing_ok=True
    )  # an earlier result must not stand beside new predictions
    if told is not None:
        with places.replacing(home / "predictions.csv") as temporary:
            told.to_csv(temporary, index=False, float_format="%.6g")
        if scored is not None:
            with places.replacing(home / "trials.csv") as temporary:
                scored.to_csv(temporary, index=False, float_format="%.6g")
        folds = by_fold(told, held, scored, trials, seen)
        names = [name for name in folds if name not in ("fold", "recordings")]
        summary = {
            "metrics": {name: float(folds[name].mean()) for name in names},
            "folds": folds.to_dict("records"),
        }
    result = {
        "stage": stage,
        "key": key(settings, stage),
        "settings": settings.canonical().model_dump(mode="json"),
        **summary,
        **facts,
        "incomplete": store.recordings.attrs.get("incomplete", {}),
        "left_out": store.left_out,
        **(trials.facts() if trials else {}),
        "seconds": {
            "wall": time.time() - STARTED,
            "device": sum(
                epoch["seconds"]
                for history in facts.get("history", {}).values()
                for epoch in history
            ),
        },
        "provenance": {
            **provenance(store),
            "code": sources.of_result(sources.kind(settings, stage)),
            # a teacher hears no trials
            "trials": corpora.trials_on_disk(settings) if trials else "",
        },
    }
    places.write_json(home / "result.json", result)
    return home / "result.json"


def by_fold(
    told: pd.DataFrame,
    held: pd.DataFrame | None = None,
    scored: pd.DataFrame | None = None,
    trials: verification.Trials | None = None,
    seen: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row a fold with all metrics; arguments as of :func:`write`.

    Those of validation recordings are called ``validation_…``, those of the frames ``frames_…``.
    """
    folds = metrics.by_fold(told)
    for prefix, further in (("validation_", held), ("frames_", seen)):
        if further is not None and len(further):
            found = (
                metrics.by_fold(further)
                .drop(columns="recordings")
                .set_index("fold")
                .add_prefix(prefix)
            )
            folds = folds.merge(found.reset_index(), on="fold")
    return folds if scored is None else folds.merge(verification.by_fold(scored, trials), on="fold")


def read(path: Path) -> dict[str, Any]:
    """Return a result."""
    return json.loads(path.read_text())


def provenance(store: Store) -> dict[str, Any]:
    """Return where the numbers come from: commit, versions, device, recordings."""
    device = (
        torch.cuda.get_device_name(store.device)
        if store.device.type == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
    )
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": device,
        "store": store.fingerprint,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


@lru_cache  # the code that a process has read is that of its beginning, and a run of many folds asks for each
def _git(*arguments: str) -> str | None:
    """Return what git says of the repository, None outside of one."""
    try:
        done = subprocess.run(
            ["git", "-C", str(places.ROOT), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
