"""Each of the nine students and nine teachers can learn 32 recordings by heart: random labels,
training accuracy in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from kdlib import student, teacher
from kdlib.dataset import Fold, Ragged
from kdlib.models.network import BACKBONES
from kdsuite.data.store import Store
from kdsuite.runs.stages import Progress
from kdsuite.settings import Settings, load
from tests.conftest import noise_store

RECORDINGS, CLASSES = 32, 4
# rates, VGG16 without batch-norm, optimiser and initial weights are those of the paper's corpora;
# sizes are small
SIZES = {
    "media": {"duration": 0.8, "segment": 0.4, "frame_size": 32, "frame_stride": 10, "bins": 16, "hop": 0.02, "window": 0.03},
    "model": {"embedding": 256, "width": 0.125, "teacher_width": 0.0625, "teacher_batchnorm": False, "teacher_layers": 2, "lstm_activation": "relu"},
    "training": {
        "epochs": 80, "teacher_epochs": None, "cycle": 10.0, "batch_size": 16, "teacher_frames": 1, "teacher_batch": None,
        "learning_rate": [0.0001, 0.001], "teacher_learning_rate": None, "checkpoint": 3600.0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def recordings() -> Store:
    """Return noise with a spectrum and a picture of each recording's own, which say nothing of its
    label."""
    random = np.random.default_rng(0)
    store = noise_store(RECORDINGS, RECORDINGS, CLASSES, seconds=0.8)
    coloured = [
        np.convolve(store.waveforms[row], random.normal(size=9) / 3, mode="same")
        for row in range(RECORDINGS)
    ]
    pictures = random.integers(0, 200, (RECORDINGS, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    seen = [pictures[row] + store.frames[row].numpy() // 5 for row in range(RECORDINGS)]
    sound, frames = (
        torch.from_numpy(np.concatenate(coloured).astype(np.int16)),
        torch.from_numpy(np.concatenate(seen).astype(np.uint8)),
    )
    return replace(
        store,
        waveforms=Ragged.of(sound, store.waveforms.lengths),
        frames=Ragged.of(frames, store.frames.lengths),
    )


def settings_of(backbone: str, setting: str) -> Settings:
    return load(dataset="demo-ravdess", backbone=backbone, setting=setting, alpha=0.0, **SIZES)


def accuracy(scores: torch.Tensor, store: Store) -> float:
    return (scores.argmax(dim=-1) == store.labels).double().mean().item()


@pytest.fixture(scope="module")
def memorised(recordings) -> Callable[[str, str, str], float]:
    """Return what trains a network and gives its training accuracy; without a teacher's targets em
    and agg are one network, trained once."""
    rows = np.arange(RECORDINGS)
    fold = Fold(0, "all", rows, rows)

    @cache
    def of(stage: str, backbone: str, sequential: bool) -> float:
        settings = settings_of(backbone, "agg" if sequential else "nonseq")
        progress = Progress(stage, settings.training.epochs)
        if stage == "teacher":
            trainer = teacher.teacher_trainer(settings, recordings, fold)
        else:
            trainer = student.student_trainer(settings, recordings, fold, None, stage)
        progress.follow(fold, trainer.epochs())
        if stage == "teacher":
            arrays = teacher.extract_privileged(trainer.network, settings, recordings)
            return accuracy(arrays["probabilities"], recordings)
        output = student.predict(trainer.network, settings, recordings, rows)
        return accuracy(output.logits, recordings)

    return lambda stage, backbone, setting: of(
        stage, backbone, settings_of(backbone, setting).sequential
    )


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stage", ["student", "teacher"])
def test_a_network_memorises(memorised, stage, backbone, setting):
    assert memorised(stage, backbone, setting) >= 0.95
