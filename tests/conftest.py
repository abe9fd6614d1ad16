"""Fixtures shared by the tests: a store of noise, small settings, and where real recordings lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# pytest's own processes are side by side already; before anything imports torch
os.environ["LOKY_MAX_CPU_COUNT"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest
import torch

from kdlib.dataset import Ragged
from kdsuite.data.store import Store
from kdsuite.settings import load

SMALL = {
    "media": {"duration": 0.8, "segment": 0.4, "frame_size": 32, "frame_stride": 5, "bins": 16, "hop": 0.02, "window": 0.03},
    "model": {"embedding": 8, "width": 0.05, "teacher_width": 0.03, "reduction": 4, "teacher_layers": 2, "lstm_activation": "relu"},
    "training": {
        "epochs": 2, "batch_size": 4, "cycle": 0.5, "learning_rate": [0.0002, 0.002],
        "teacher_epochs": None, "teacher_frames": 4, "teacher_batch": None, "teacher_learning_rate": None, "distance": "mse",
    },
}  # fmt: skip


# files whose tests take longest: begun first, so that no worker ends long after the others
LONG = (
    "test_readme", "test_browser", "test_pages", "test_notebooks", "test_cluster", "test_killed", "test_lab", "test_cuda",
    "test_stale", "test_benchmarks", "test_memorise", "test_known", "test_comparisons", "test_claims", "test_reproduce",
    "test_devices", "test_using", "test_suite", "test_synthetic", "test_install", "test_hostile", "test_statistics",
    "test_store", "test_figures",
)  # fmt: skip


def pytest_collection_modifyitems(items: list) -> None:
    """Put the long files first, the others in their order."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(LONG)))


def small(**given):
    """Return settings of networks that train in a blink."""
    sections = {name: {**values, **given.pop(name, {})} for name, values in SMALL.items()}
    return load(dataset="demo-ravdess", **sections, **given)


def noise_store(
    recordings: int = 12,
    speakers: int = 3,
    classes: int = 2,
    measurements: int = 0,
    seconds: float = 1.2,
) -> Store:
    """Return a store of random sound and frames (or rows of measurements), at 16 kHz and 25 frames
    a second."""
    random = np.random.default_rng(0)
    labels = np.arange(recordings) % classes
    table = pd.DataFrame({
        "recording": [f"take-{number:02d}" for number in range(recordings)],
        "speaker": [f"speaker-{number * speakers // recordings}" for number in range(recordings)],
        "label": pd.Categorical.from_codes(labels, [f"class-{number}" for number in range(classes)]),
        "audio": "", "video": "", "features": "",
    })  # fmt: skip
    frames = (25 * seconds + random.integers(0, 4, recordings)).astype(int)
    sound = torch.from_numpy(random.integers(-9000, 9000, frames.sum() * 640).astype(np.int16))
    if measurements:
        rows = torch.ones(recordings, dtype=torch.long)
        seen = torch.from_numpy(random.normal(size=(recordings, measurements)).astype(np.float32))
    else:
        rows = torch.from_numpy(frames)
        seen = torch.from_numpy(random.integers(0, 255, (frames.sum(), 32, 32, 3)).astype(np.uint8))
    return Store(
        recordings=table, classes=list(table.label.cat.categories), labels=torch.from_numpy(labels.astype(np.int64)), sample_rate=16000,
        waveforms=Ragged.of(sound, torch.from_numpy(frames * 640)), frames=Ragged.of(seen, rows),
        fps=None if measurements else 25, fingerprint=f"noise-{recordings}-{speakers}-{classes}-{measurements}-{seconds}",
    )  # fmt: skip


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """Let the library write below a temporary folder."""
    from kdsuite import paths

    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(paths, "CORPORA", (tmp_path / "data" / "corpora",))
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    return tmp_path


@pytest.fixture
def real():
    """Return the folder of real recordings that $KDLIB_CORPORA names; skip without it."""
    folders = [
        Path(folder) for folder in os.environ.get("KDLIB_CORPORA", "").split(os.pathsep) if folder
    ]
    for folder in folders:
        if (folder / "ravdess_speech").is_dir():
            return folder
    pytest.skip("no folder of $KDLIB_CORPORA holds the real recordings")


@pytest.fixture(scope="session")
def browser():
    """Yield a headless chromium; skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if not chromium:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()
