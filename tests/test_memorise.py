"""Each of the nine students and nine teachers can learn 32 recordings by heart: random labels, training accuracy in evaluation mode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlib import student, teacher
from kdlib.corpora import Fold
from kdlib.models.networks import BACKBONES
from kdlib.ragged import Ragged
from kdlib.settings import Settings, load
from kdlib.store import Store
from kdlib.training import Progress
from tests.conftest import noise_store

RECORDINGS, CLASSES = 32, 4
SIZES = {
    "media": {"duration": 0.8, "segment": 0.4, "frame_size": 32, "frame_stride": 5, "bins": 16, "hop": 0.02, "window": 0.03},
    "model": {"embedding": 64, "width": 0.125, "teacher_width": 0.0625},
    "training": {
        "epochs": 80, "teacher_epochs": None, "cycle": 10.0, "batch_size": 8, "teacher_frames": 1, "teacher_batch": None,
        "learning_rate": [0.0001, 0.001], "teacher_learning_rate": None, "checkpoint": 3600.0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def recordings() -> Store:
    """Return noise with a spectrum and a picture of each recording's own, which say nothing of its label."""
    random = np.random.default_rng(0)
    store = noise_store(RECORDINGS, RECORDINGS, CLASSES, seconds=0.8)
    coloured = [np.convolve(store.waveforms[row], random.normal(size=9) / 3, mode="same") for row in range(RECORDINGS)]
    pictures = random.integers(0, 200, (RECORDINGS, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    seen = [pictures[row] + store.frames[row].numpy() // 5 for row in range(RECORDINGS)]
    sound, frames = torch.from_numpy(np.concatenate(coloured).astype(np.int16)), torch.from_numpy(np.concatenate(seen).astype(np.uint8))
    return replace(store, waveforms=Ragged.of(sound, store.waveforms.lengths), frames=Ragged.of(frames, store.frames.lengths))


def settings_of(backbone: str, setting: str) -> Settings:
    return load(dataset="demo-ravdess", backbone=backbone, setting=setting, alpha=0.0, **SIZES)


def accuracy(probabilities: torch.Tensor, store: Store) -> float:
    return (probabilities.argmax(dim=-1) == store.labels).double().mean().item()


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_student_memorises(recordings, backbone, setting):
    settings, everything = settings_of(backbone, setting), np.arange(RECORDINGS)
    fold = Fold(0, "all", everything, everything)
    network, _ = student.fitted(settings, recordings, fold, None, "student", Progress("student", settings.training.epochs), None)
    assert accuracy(student.listen(network, settings, recordings, everything).logits, recordings) >= 0.95


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_teacher_memorises(recordings, backbone, setting):
    settings, everything = settings_of(backbone, setting), np.arange(RECORDINGS)
    network, _ = teacher.fitted(settings, recordings, Fold(0, "all", everything, everything), Progress("teacher", settings.training.epochs))
    assert accuracy(teacher.observe(network, settings, recordings)["probabilities"], recordings) >= 0.95
