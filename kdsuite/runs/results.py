"""What a run leaves in ``reports/runs/<dataset>/<stage>/<key>``: predictions, then ``result.json``,
written last."""

import json
import os
import platform
import subprocess
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from kdlib import STARTED, __version__
from kdlib.dataset import Fold
from kdlib.device import precision
from kdlib.parameters import Training
from kdsuite import paths
from kdsuite.data import corpora, verification
from kdsuite.data.store import Store
from kdsuite.runs import metrics
from kdsuite.runs.run import Run

# what is said of a run whose parameter folds is none
UNTESTED = "no test, as folds is none: all recordings were used for training"
PACKAGES = (
    "torch", "torchvision", "torchaudio", "numpy", "scipy", "pandas", "scikit-learn",
    "imageio-ffmpeg", "soundfile", "papermill",
)  # fmt: skip


def predictions(
    store: Store, folds: list[Fold], probabilities: dict[int, np.ndarray], side: str = "test"
) -> pd.DataFrame:
    """Return one row a test recording: recording, speaker, fold, label, predicted, and
    ``p_<class>`` for each class.

    ``probabilities`` ``(tested, classes)`` by fold number are in the order of the fold's test rows,
    or of those of another ``side``.
    """
    classes, parts = np.array(store.classes, object), []
    recordings = store.recordings.reindex(columns=["recording", "speaker", "fold", "label"])
    for fold in folds:
        values = probabilities[fold.number]
        predicted = classes[values.argmax(axis=1)]
        part = recordings.iloc[getattr(fold, side)].assign(fold=fold.number, predicted=predicted)
        part[[f"p_{name}" for name in classes]] = values
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


class RunResult(NamedTuple):
    """The numbers of a run about the recordings of ``store``.

    ``predictions`` are those of :func:`predictions`; ``validation`` and ``frames`` are the same of
    the validation recordings, and of the linear baseline that sees the frames: only their metrics
    are written. ``trial_scores`` is what :func:`kdsuite.data.verification.scored` returns of
    ``trials``. ``history`` holds the epochs of each fold, ``facts`` further entries of
    ``result.json``.
    """

    store: Store
    predictions: pd.DataFrame
    validation: pd.DataFrame | None = None
    frames: pd.DataFrame | None = None
    trial_scores: pd.DataFrame | None = None
    trials: verification.Trials | None = None
    history: dict[int, list[dict[str, float]]] = {}
    facts: dict[str, Any] = {}

    def by_fold(self) -> pd.DataFrame:
        """Return one row a fold with all metrics; those of validation recordings are called
        ``validation_…``, those of the frames ``frames_…``."""
        folds = metrics.by_fold(self.predictions)
        for name, table in (("validation", self.validation), ("frames", self.frames)):
            if table is not None and len(table):
                values = metrics.by_fold(table).drop(columns="recordings").set_index("fold")
                folds = folds.join(values.add_prefix(f"{name}_"), on="fold")
        if self.trial_scores is None:
            return folds
        return folds.merge(verification.by_fold(self.trial_scores, self.trials), on="fold")


def write(run: Run, result: RunResult) -> Path:
    """Write a run's predictions, scores of verification trials and, last and in one step, its
    ``result.json``; return that file."""
    file, store, trials = run.folder / "result.json", result.store, result.trials
    file.unlink(missing_ok=True)  # an earlier result must not stand beside new predictions
    history = [
        {"fold": fold, **epoch} for fold, epochs in result.history.items() for epoch in epochs
    ]
    tables = {
        "predictions.csv": result.predictions,
        "trials.csv": result.trial_scores,
        "history.csv": pd.DataFrame(history) if history else None,
    }
    for name, table in tables.items():
        if table is None:  # of an earlier result
            (run.folder / name).unlink(missing_ok=True)
        else:
            with paths.replacing(run.folder / name) as temporary:
                table.to_csv(temporary, index=False, float_format="%.6g")
    folds = result.by_fold()
    averaged = folds.drop(columns=["fold", "recordings"])
    epochs = [epoch["seconds"] for epoch in history]
    values = {
        "stage": run.stage,
        "key": run.key,
        "settings": run.settings.model_dump(mode="json"),
        **({} if run.tested else {"untested": UNTESTED}),
        "metrics": {name: float(values.mean()) for name, values in averaged.items() if len(folds)},
        # of a fold without validation recordings there is nothing to say of them
        "folds": [row.dropna().to_dict() for _, row in folds.astype(object).iterrows()],
        "history": result.history,
        **result.facts,
        "incomplete": store.recordings.attrs.get("incomplete", {}),
        "left_out": store.left_out,
        **(trials.facts() if trials else {}),
        "seconds": {"wall": time.time() - STARTED, "device": sum(epochs)},
        "provenance": {
            **provenance(store, run.settings.training),
            "code": run.code,
            "weights": run.weights,
            "split": store.recordings.attrs.get("split", ""),
            "trials": corpora.trials_on_disk(run.settings.corpus) if run.stage != "teacher" else "",
        },
    }
    if not epochs:
        del values["history"]
    paths.write_json(file, values)
    return file


def provenance(store: Store, training: Training) -> dict[str, Any]:
    """Return where the numbers come from: commit, versions, device and its arithmetic, whether they
    ``repeat`` to the ``bits`` or within a ``spread``, recordings."""
    device, repeat = f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)", "bits"
    if store.device.type == "cuda":
        # of some kernels torch has no deterministic form
        device, repeat = torch.cuda.get_device_name(store.device), "spread"
    commit, changes = commit_now()
    return {
        "commit": commit,
        "uncommitted_changes": changes,
        "python": platform.python_version(),
        "packages": {"kdlib": __version__} | {name: metadata.version(name) for name in PACKAGES},
        "device": device,
        "precision": precision(training, store.device),
        "repeat": repeat,
        "store": store.fingerprint,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


@cache
def commit_now() -> tuple[str | None, bool | None]:
    """Return the commit of the code when a process first asked, and whether there were uncommitted
    changes then; None where it is not known."""
    if paths.INSTALLED:  # what pip noted of where the package came from, if that is a repository
        origin = json.loads(metadata.distribution("kdlib").read_text("direct_url.json") or "{}")
        return origin.get("vcs_info", {}).get("commit_id"), None
    commit = _git("rev-parse", "HEAD")
    changes = commit and _git("status", "--porcelain", "--untracked-files=no")
    return commit, changes if changes is None else bool(changes)


def _git(*arguments):
    """Return what git says of the repository, None where it says nothing, and print why."""
    command = ["git", "-C", paths.ROOT, *arguments]
    # a repository that this folder happens to lie in is another one
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(paths.ROOT.parent)}
    try:
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", "") or str(error)).splitlines()[0]
        print(f"the commit behind this result is unknown, and whether the code was changed: {why}")
