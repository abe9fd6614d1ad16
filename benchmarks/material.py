"""What the benchmarks work on: recordings of noise in memory, two sizes of networks, and a
teacher's word that nobody trained."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.timing import DEVICE, Epochs
from kdlib.dataset import Fold, Ragged
from kdlib.models.network import BACKBONES, SETTINGS
from kdlib.teacher import PrivilegedInformation, teacher_trainer
from kdsuite.data.store import Store
from kdsuite.runs import stages
from kdsuite.settings import Settings, load

CLASSES = 7
STUDENTS = tuple(itertools.product(BACKBONES, SETTINGS))
TEACHERS = tuple(itertools.product(BACKBONES, ("nonseq", "agg")))
# the dataset whose parameters a size has: networks that a CPU trains in minutes, and those of the
# paper
SIZES = {"demo": "demo-ravdess", "paper": "ravdess"}
USUAL = "paper" if DEVICE.type == "cuda" else "demo"


def sized(size: str, **given: Any) -> Settings:
    """Return the settings of a size, without checkpoints or kept students."""
    training = {
        "checkpoint": 1e9,
        "epochs": 1000,
        "teacher_epochs": None,
        "keep_students": False,
        **given.pop("training", {}),
    }
    return load(dataset=SIZES[size], training=training, **given)


def noise(settings: Settings, recordings: int, frames: bool = False) -> Store:
    """Return a store of ``recordings`` of noise, a quarter longer than a training crop, on the
    device; with ``frames`` also of pictures."""
    random, media = np.random.default_rng(0), settings.media
    each = math.ceil(1.25 * media.duration * media.fps)
    labels = np.arange(recordings) % CLASSES
    table = pd.DataFrame(
        {"recording": [f"take-{number:04d}" for number in range(recordings)], "speaker": "somebody"}
    )
    table["label"] = pd.Categorical.from_codes(
        labels, [f"class-{number}" for number in range(CLASSES)]
    )
    sound = random.integers(
        -9000, 9000, recordings * each * media.sample_rate // media.fps, dtype=np.int16
    )
    seen = random.integers(
        0,
        255,
        (recordings * each if frames else 0, media.frame_size, media.frame_size, 3),
        dtype=np.uint8,
    )
    counts = torch.full((recordings,), each)
    return Store(
        recordings=table, classes=list(table.label.cat.categories), labels=torch.from_numpy(labels.astype(np.int64)),
        sample_rate=media.sample_rate, fps=media.fps, fingerprint="noise",
        waveforms=Ragged.of(torch.from_numpy(sound), counts * (media.sample_rate // media.fps)),
        frames=Ragged.of(torch.from_numpy(seen), counts if frames else counts * 0),
    ).to(DEVICE)  # fmt: skip


def fold_of(store: Store) -> Fold:
    """Return a fold that trains on all recordings, and tests two of them, for that is not what is
    timed."""
    return Fold(0, "all", np.arange(len(store.recordings)), np.arange(2))


def crop_waveforms(
    settings: Settings, dataset: Store, rows: torch.Tensor, start: torch.Tensor, segments: int
) -> torch.Tensor:
    """Return windows of ``segments`` that start at frames ``start``, ``(rows, samples)``."""
    media = settings.media
    return dataset.audio(
        rows, start * media.samples_per_frame, segments * media.samples_per_segment
    )


def batches(
    recordings: int, size: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return an epoch's shuffled rows in batches, with what their crops draw, as
    :class:`kdlib.training.Trainer` draws them."""
    order = torch.randperm(recordings, generator=generator)
    draws, split = torch.rand(recordings, generator=generator), math.ceil(recordings / size)
    return list(zip(*(values.to(DEVICE).tensor_split(split) for values in (order, draws))))


def told(settings: Settings, store: Store) -> PrivilegedInformation:
    """Return what a teacher might say of the recordings: vectors and class probabilities drawn at
    random."""
    count, each = (
        len(store.recordings),
        math.ceil(
            1.25 * settings.media.duration * settings.media.fps / settings.media.frame_stride
        ),
    )
    frames = Ragged.of(
        torch.rand(count * each, settings.model.embedding, device=store.device),
        torch.full((count,), each, device=store.device),
    )
    whole = torch.rand(count, settings.model.embedding, device=store.device)
    probabilities = torch.rand(count, CLASSES, device=store.device).softmax(dim=-1)
    return PrivilegedInformation(frames, whole, probabilities)


def train_student(
    settings: Settings, store: Store, privileged: PrivilegedInformation, epochs: Epochs
) -> None:
    """Train a student as a run does, its epochs in turns with their rivals; what it prints is not
    shown."""
    with contextlib.redirect_stdout(io.StringIO()):
        stages.train_student(settings, store, fold_of(store), privileged, epochs)


def train_teacher(settings: Settings, store: Store, epochs: Epochs) -> None:
    """Train a teacher as a run does, its epochs in turns with their rivals; what it prints is not
    shown."""
    fold = fold_of(store)
    with contextlib.redirect_stdout(io.StringIO()):
        epochs.follow(fold, teacher_trainer(settings, store, fold).epochs())
