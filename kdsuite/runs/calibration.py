"""How long a training takes on this machine: some steps of the networks themselves, on recordings
of noise."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from kdlib import student, teacher
from kdlib.dataset import Dataset, Fold, Ragged
from kdlib.losses import Targets
from kdlib.models.network import build_student, build_teacher
from kdlib.parameters import Training
from kdsuite.runs import devices, stages
from kdsuite.runs.devices import device_of
from kdsuite.settings import Settings, load

# steps of more FLOPs than this are measured on a CPU with two examples of one segment, and scaled
LARGE = 3e10
# values in a row of face measurements, as OpenFace gives them; they cost next to nothing
MEASUREMENTS = 35


class Cost(NamedTuple):
    """What training asks of the encoder for one item (a picture or a spectrogram).

    That is ``flops`` forwards and backwards, and ``bytes`` kept between; ``parameters`` are the
    whole network's. The aggregator's share, a thousandth, is not counted.
    """

    flops: int
    bytes: int
    parameters: int


def frames_a_crop(settings: Settings) -> int:
    """Return how many frames of a training crop the teacher sees."""
    return (
        settings.segments
        * round(settings.media.segment * settings.media.fps)
        // settings.media.frame_stride
    )


def item(settings: Settings, stage: str) -> tuple[int, tuple[int, ...]]:
    """Return how many items one example of a stage's training has (1 without aggregator), and the
    shape of an item."""
    media = settings.media
    if stage == "student":
        bins = media.bins if media.front_end == "logmel" else media.fft // 2 + 1
        columns = round(media.duration * media.sample_rate) // round(media.hop * media.sample_rate)
        return (
            (settings.segments, (1, bins, columns // settings.segments))
            if settings.sequential
            else (1, (1, bins, columns))
        )
    shape = (MEASUREMENTS,) if settings.corpus.features else (3, media.frame_size, media.frame_size)
    return (
        1 if settings.corpus.features or not settings.sequential else frames_a_crop(settings)
    ), shape


def training_of(settings: Settings, stage: str) -> Training:
    """Return the training of a stage."""
    return settings.teacher_training() if stage == "teacher" else settings.training


def cost(settings: Settings, stage: str, classes: int) -> Cost:
    """Return the cost of one item of ``teacher`` or ``student``, counted on the meta device, which
    computes nothing."""
    shape, kept = item(settings, stage)[1], {}
    bare = settings.model_copy(
        update={"model": settings.model.model_copy(update={"teacher_weights": ""})}
    )
    kind = torch.bfloat16 if settings.training.precision == "bf16" else torch.float32
    with torch.device("meta"):
        network = (
            build_student(bare, classes)
            if stage == "student"
            else build_teacher(bare, classes, torch.Size(shape))
        )
        network, items = network.to(kind), torch.empty(2, *shape, dtype=kind)
    weights = {value.untyped_storage()._cdata for value in network.parameters()}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return value

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda value: value):
        network.encoder(items).sum().backward()
    return Cost(
        counter.get_total_flops() // 2,
        sum(kept.values()) // 2,
        sum(value.numel() for value in network.parameters()),
    )


def peak_memory(of: Cost, items: int, training: Training) -> int:
    """Return about how many bytes a training step takes: weights, gradients and Adam's moments, and
    what is kept of one part of a batch.

    ``items`` are those of an example. Gradients of activations come on top while they are made: a
    tenth is added for them. On a CPU, teachers took 0.9 to 1.1 times that, students up to 1.8
    times.
    """
    kept = math.ceil(training.batch_size / training.accumulate) * items
    if training.frames_at_once and items > 1:
        kept = min(kept, training.frames_at_once)
    return round(16 * of.parameters + 1.1 * kept * of.bytes)


def _noise(settings: Settings, recordings: int) -> Dataset:
    """Return a store of as many recordings of the training duration, sound of noise and black
    pictures."""
    media, frames = settings.media, round(settings.media.duration * settings.media.fps)
    sound = torch.randint(
        -9000, 9000, (recordings * round(media.duration * media.sample_rate),), dtype=torch.int16
    )
    if settings.corpus.features:
        seen, frames = torch.rand(recordings, MEASUREMENTS), 1
    else:
        seen = torch.zeros(
            recordings * frames, media.frame_size, media.frame_size, 3, dtype=torch.uint8
        )
    lengths = (torch.full((recordings,), length) for length in (len(sound) // recordings, frames))
    waveforms, rows = (Ragged.of(values, length) for values, length in zip((sound, seen), lengths))
    labels, classes = torch.arange(recordings) % 2, ["0", "1"]
    fps = None if settings.corpus.features else media.fps
    return Dataset(
        classes=classes,
        waveforms=waveforms,
        frames=rows,
        labels=labels,
        sample_rate=media.sample_rate,
        fps=fps,
    )


class _Watch:
    """Goes through the epochs of a training until its time is up; on a CPU it counts seconds of
    work, whatever else goes on there."""

    def __init__(self, seconds: float, least: int, device: torch.device) -> None:
        self.epochs, self.least, self.end = 10**6, least, time.monotonic() + seconds
        self.clock = time.process_time if device.type == "cpu" else time.monotonic

    def follow(self, fold: Fold, facts: Iterator[dict[str, float]]) -> list[float]:
        """Return the seconds of each epoch."""
        seconds, began = [], self.clock()
        while len(seconds) < self.least or time.monotonic() < self.end:
            next(facts)
            seconds.append(self.clock() - began - sum(seconds))
        return seconds


def _guide(settings: Settings) -> Callable[..., Targets] | None:
    """Return targets that cost nothing, None where no teacher is asked."""
    if not settings.alpha:
        return None

    def told(rows: torch.Tensor, first: torch.Tensor, heard: torch.Tensor) -> Targets:
        shape = (len(rows), settings.segments) if settings.setting == "em" else (len(rows),)
        return Targets(
            torch.ones(*shape, settings.model.embedding, device=rows.device),
            torch.full((len(rows), 2), 0.5, device=rows.device),
        )

    return told


def reduced(settings: Settings) -> Settings:
    """Return settings of a training step that a CPU does in seconds: two examples of one segment,
    in float32, which CPUs are good at."""
    given = settings.model_dump(mode="json")
    given["media"]["duration"] = given["media"]["segment"]
    given["training"] |= {
        "batch_size": 2,
        "teacher_batch": None,
        "teacher_frames": 1,
        "precision": "float32",
        "accumulate": 1,
    }
    return load(**{**given, "alpha": 0.0})


def seconds_a_step(settings: Settings, stage: str, seconds: float) -> float:
    """Return the seconds of a step of a stage's training, measured for about as many ``seconds``;
    the first of several epochs warms up."""
    given = settings.model_copy(
        update={
            "training": settings.training.model_copy(
                update={"epochs": 10**6, "teacher_epochs": None}
            )
        }
    )
    training = training_of(given, stage)
    frames = stage == "teacher" and not settings.sequential
    a_recording = (training.teacher_frames or frames_a_crop(settings)) if frames else 1
    steps = 1 if training.batch_size == 2 else 8
    recordings = max(2, steps * training.batch_size // a_recording)
    store = _noise(given, recordings).to(device_of(training))
    fold = Fold(0, "noise", np.arange(recordings), np.arange(0))
    watch = _Watch(seconds, min(steps, 2), store.device)
    if stage == "teacher":
        _, epochs = stages.trained(teacher.teacher_trainer(given, store, fold), fold, watch)
    else:
        _, epochs = stages.trained(
            student.student_trainer(given, store, fold, _guide(given), "calibration"), fold, watch
        )
    return median(epochs[1:] or epochs) / math.ceil(recordings * a_recording / training.batch_size)


def _ready() -> None:
    """Make a process such as a run has: one thread on a CPU, and all imported that a first training
    imports."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    seconds_a_step(reduced(load()), "student", 0)


def workers(device: torch.device) -> int:
    """Return how many runs go side by side on all of this machine: one a core, or one a GPU (or
    $KDLIB_GPU_SHARE)."""
    return (
        len(os.sched_getaffinity(0))
        if device.type == "cpu"
        else torch.cuda.device_count() * max(1, devices.share())
    )


def calibrate(
    wanted: dict[str, tuple[Settings, str]], side_by_side: int, seconds: float
) -> dict[str, float]:
    """Return the seconds of a step of each training, measured with as many processes
    ``side_by_side`` as will run, in ``seconds``."""
    side_by_side = min(side_by_side, len(wanted))
    each = min(2.0, seconds * side_by_side / max(1, len(wanted)))
    with ProcessPoolExecutor(side_by_side, multiprocessing.get_context("spawn"), _ready) as pool:
        return dict(
            zip(wanted, pool.map(seconds_a_step, *zip(*wanted.values()), itertools.repeat(each)))
        )


def write_speed(folder: Path) -> float:
    """Return how many bytes a second the disk of ``folder`` takes, measured with a file of 256 MiB
    that is gone again."""
    folder.mkdir(parents=True, exist_ok=True)
    file, block, blocks = folder / f".speed-{os.getpid()}", os.urandom(2**22), 64
    began = time.monotonic()
    try:
        with open(file, "wb") as stream:
            for _ in range(blocks):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        return blocks * len(block) / (time.monotonic() - began)
    finally:
        file.unlink(missing_ok=True)
