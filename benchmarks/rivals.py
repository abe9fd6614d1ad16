"""The peers: torchdistill's box with its forward hooks, and the loop that every paper's repository
has.

Both train kdlib's student with kdlib's loss terms, batches, fused Adam and schedule. What they do
otherwise: their teacher, frozen and in evaluation mode, looks at the frames of every batch, and the
loop decodes each item whenever it is wanted.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR
from torch.utils.data import DataLoader, Dataset

from benchmarks.material import batches, crop_waveforms
from benchmarks.timing import DEVICE
from kdlib.dataset import random_starts
from kdlib.losses import Targets, build_objective
from kdlib.models.network import Network, Output, build_student
from kdlib.spectrogram import Spectrogram
from kdlib.teacher import FRAMES_PER_PASS, peak_score, to_input
from kdsuite.data.decoding.media import read_recording
from kdsuite.data.store import Store
from kdsuite.settings import Settings


class InParts(nn.Module):
    """A frozen encoder that takes frames as kdlib's own passes over a store do, so many at once."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return ``(items, embedding)`` of uint8 frames ``(items, side, side, 3)``."""
        return torch.cat([self.encoder(to_input(part)) for part in frames.split(FRAMES_PER_PASS)])


class Level(nn.Module):
    """From what a teacher says of a batch's crops to the targets of a setting; a module, for that
    is what hooks listen to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, embeddings: torch.Tensor, logits: torch.Tensor | None) -> Targets:
        """Take embeddings ``(batch, frames, embedding)``, of ``agg`` ``(batch, embedding)``, and
        their class ``logits``."""
        if self.settings.setting == "em":
            return Targets(embeddings.unflatten(1, (self.settings.segments, -1)).mean(dim=2), None)
        probabilities = logits.softmax(dim=-1)
        if self.settings.setting == "nonseq":
            peak = peak_score(logits).argmax(dim=1)
            rows = torch.arange(len(peak), device=peak.device)
            embeddings, probabilities = embeddings[rows, peak], probabilities[rows, peak]
        return Targets(embeddings, probabilities)


class OnlineTeacher(nn.Module):
    """A trained teacher that is asked at every step; parts that a setting has no use for are not
    computed."""

    def __init__(self, settings: Settings, teacher: Network) -> None:
        super().__init__()
        self.setting, self.level = settings.setting, Level(settings)
        self.encoder, self.aggregator, self.head = (
            InParts(teacher.encoder),
            teacher.aggregator,
            teacher.head,
        )
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, frames: torch.Tensor) -> Targets:
        """Return targets of crops, uint8 frames ``(batch, frames, side, side, 3)``."""
        e = self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        if self.setting == "em":
            return self.level(e, None)
        e = self.aggregator(e) if self.setting == "agg" else e
        return self.level(e, self.head(e))


class Guided(nn.Module):
    """A student and what is learned with it, the second task's decoder."""

    def __init__(self, settings: Settings, classes: int) -> None:
        super().__init__()
        self.network = build_student(settings, classes)
        self.goal = build_objective(settings)
        self.to(DEVICE).train()

    def forward(self, x: torch.Tensor) -> Output:
        """Return what the student says of spectrograms."""
        return self.network(x, self.goal.gradient_scale)


def cycle(settings: Settings, recordings: int) -> dict[str, float]:
    """Return the arguments of the schedule that kdlib has."""
    low, high = settings.training.learning_rate
    steps = -(-recordings // settings.training.batch_size)
    return {
        "base_lr": low,
        "max_lr": high,
        "step_size_up": settings.training.cycle * steps,
        "cycle_momentum": False,
    }


def torchdistill() -> ModuleType:
    """Return its module of boxes; raise ImportError where it is not there. By name, for the suite
    does not depend on it."""
    found = importlib.import_module("torchdistill.core.distillation")
    logging.getLogger("torchdistill").setLevel(logging.WARNING)
    return found


def hooked(settings: Settings, store: Store, teacher: Network) -> Callable[[], None]:
    """Return an epoch of torchdistill's distillation box on recordings in memory: kdlib's crops,
    spectrograms and frames of them."""
    level = "aggregator" if settings.setting == "agg" else "encoder"
    student = Guided(settings, len(store.classes))

    class Goal(nn.Module):
        """kdlib's loss of what the hooks heard."""

        def forward(self, of_student: dict, of_teacher: dict, labels: torch.Tensor) -> torch.Tensor:
            distilled = of_student[f"network.{level}"]["output"]
            distilled = (
                distilled.unflatten(0, (-1, settings.segments))
                if settings.setting == "em"
                else distilled
            )
            return student.goal(
                of_student["network.head"]["output"],
                distilled,
                labels,
                of_teacher["level"]["output"],
            )

    rates = cycle(settings, len(store.recordings))
    adam = {"lr": rates["base_lr"], "betas": settings.training.betas, "fused": True}
    terms = {"goal": {"criterion": Goal(), "weight": 1.0}}
    plan = {
        "num_epochs": settings.training.epochs,
        "teacher": {
            "requires_grad": False,
            "forward_proc": "forward_batch_only",
            "forward_hook": {"output": ["level"]},
        },
        "student": {
            "forward_proc": "forward_batch_only",
            "forward_hook": {"output": ["network.head", f"network.{level}"]},
        },
        "optimizer": {"key": "Adam", "kwargs": adam},
        "scheduler": {"key": "CyclicLR", "kwargs": rates, "scheduling_step": 1},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms}},
    }
    box = torchdistill().DistillationBox(
        OnlineTeacher(settings, teacher), student, {}, plan, DEVICE, None, False, 1
    )
    box.student_forward_proc = lambda model, batch, *_: model(batch[0])
    box.teacher_forward_proc = lambda model, batch, *_: model(batch[1])

    def epoch() -> None:
        box.pre_epoch_process()
        for x, frames, labels in cropped(settings, store):
            box.post_forward_process(box.forward_process((x, frames), labels))
        box.post_epoch_process()

    return epoch


def cropped(settings: Settings, store: Store) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield shuffled batches of a store as an epoch wants them: spectrograms, uint8 frames and
    labels of random crops."""
    media, front_end = (
        settings.media,
        Spectrogram(settings.media, settings.sequential).to(store.device),
    )
    for rows, draws in batches(
        len(store.recordings), settings.training.batch_size, torch.default_generator
    ):
        start = random_starts(store, rows, draws, media)
        frames = store.frames.windows(
            rows, start, round(media.duration * media.fps) // media.frame_stride, media.frame_stride
        )
        yield (
            front_end(crop_waveforms(settings, store, rows, start, settings.segments)),
            frames,
            store.labels[rows],
        )


class Clips(Dataset):
    """Recordings as they lie on disk; each item is decoded, cropped at random and transformed when
    it is asked for.

    The decoder is kdlib's own: libsndfile for the sound and one ffmpeg for the pictures, which
    crops and scales them as it goes. It is faster than the readers of moviepy, so a loop that has
    those is slower.
    """

    def __init__(self, settings: Settings, recordings: pd.DataFrame) -> None:
        self.settings, self.front_end = settings, Spectrogram(settings.media, settings.sequential)
        self.rows, self.labels = list(recordings.itertuples()), recordings.label.cat.codes.tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return spectrogram(s), uint8 frames ``(frames, side, side, 3)`` and label of a crop."""
        media = self.settings.media
        samples, frames = (
            torch.from_numpy(np.array(part)) for part in read_recording(self.rows[number], media)
        )
        length, stride = round(media.duration * media.fps), media.frame_stride
        first = int(torch.randint(max(0, len(frames) - length) // stride + 1, ())) * stride
        window = (first + torch.arange(length)) % len(frames)  # what ends too soon starts over
        x = self.front_end(samples.view(len(frames), -1)[window].view(1, -1))[0]
        return x, frames[window[::stride]], self.labels[number]


def loader(settings: Settings, recordings: pd.DataFrame, workers: int) -> DataLoader:
    """Return shuffled batches of files, decoded by ``workers`` processes, or by this one where
    there are 0."""
    how = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": DEVICE.type == "cuda",
    }
    return DataLoader(
        Clips(settings, recordings), settings.training.batch_size, shuffle=True, **how
    )


def plain(
    settings: Settings, recordings: pd.DataFrame, teacher: Network, workers: int
) -> Callable[[], None]:
    """Return an epoch of the plain loop: batches out of files, and the teacher at every step."""
    online, student = (
        OnlineTeacher(settings, teacher),
        Guided(settings, len(recordings.label.cat.categories)),
    )
    rates, given = cycle(settings, len(recordings)), loader(settings, recordings, workers)
    optimizer = torch.optim.Adam(
        student.parameters(), lr=rates["base_lr"], betas=settings.training.betas, fused=True
    )
    schedule = CyclicLR(optimizer, **rates)

    def epoch() -> None:
        for batch in given:
            x, frames, labels = (part.to(DEVICE, non_blocking=True) for part in batch)
            output = student(x)
            loss = student.goal(output.logits, output.distilled, labels, online(frames))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    return epoch
