"""The student: trained on audio, its embeddings pulled towards the frozen teacher's; evaluated on
audio alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from kdlib.dataset import Dataset, Fold, inference_windows, random_starts, samples_per_frame
from kdlib.losses import Gradients, Objective, Terms, build_objective, gradients
from kdlib.models.network import Network, Output, build_student
from kdlib.parameters import GRADIENTS, Settings, digest
from kdlib.targets import TARGETS, TargetFunction, audio_teacher_targets
from kdlib.teacher import PrivilegedInformation
from kdlib.training import Part, Trainer, autocast, seeded


class DistillationTask:
    """Classify random crops of audio, and approach the targets of ``targets`` (None: no teacher;
    Eqs. 8, 12 and 13)."""

    crops = True

    def __init__(
        self, network: Network, objective: Objective, settings: Settings, dataset: Dataset, fold: Fold,
        targets: TargetFunction | None,
    ) -> None:  # fmt: skip
        self.network, self.objective, self.settings, self.dataset = (
            network,
            objective,
            settings,
            dataset,
        )
        self.targets, self.labels = targets, dataset.training_labels(fold)
        self.rows = torch.from_numpy(fold.train).to(dataset.device)
        self.examples = len(self.rows)
        self._compared: Gradients | None = None  # of this epoch's first micro-batch

    def load(self, part: Part) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return spectrograms of random crops, their rows and their start frames."""
        rows = self.rows[part.items]
        start = random_starts(self.dataset, rows, part.draws, self.settings.media)
        waveform = crop_waveforms(self.settings, self.dataset, rows, start, self.settings.segments)
        return self.network.front_end(waveform), rows, start

    def loss(self, loaded: tuple[torch.Tensor, ...], batch: torch.Tensor) -> torch.Tensor:
        """Return the objective of a micro-batch as its part of the ``batch``'s."""
        spectrogram, rows, start = loaded
        with autocast(self.settings.training, self.dataset.device):
            output = self.network(spectrogram, self.objective.gradient_scale)
            targets = self.targets and self.targets(rows, start, spectrogram)
        labels = self.labels[rows]
        terms = self.objective.terms(
            output.logits.float(), output.distilled.float(), labels, targets
        )
        if self.targets and self._compared is None:
            self._compared = gradients(
                terms, self.objective.weights, self.network.encoder.parameters()
            )
        if len(rows) < len(
            batch
        ):  # the label's mean is over the labelled recordings, the teacher's over all
            labelled = (self.labels[self.rows[batch]] >= 0).sum().clamp(min=1)
            terms = Terms(
                terms.label * (labels >= 0).sum() / labelled,
                terms.teacher * (len(rows) / len(batch)),
            )
        return self.objective.total(terms)

    def epoch_values(self) -> dict[str, float]:
        """Return cosine and norms of the gradients of label and teacher, on the epoch's first
        micro-batch."""
        compared, self._compared = self._compared, None
        values = {name: value.item() for name, value in zip(GRADIENTS, compared or ())}
        return {name: value for name, value in values.items() if not math.isnan(value)}


def crop_waveforms(
    settings: Settings, dataset: Dataset, rows: torch.Tensor, start: torch.Tensor, segments: int
) -> torch.Tensor:
    """Return windows of ``segments`` that start at frames ``start``, ``(rows, samples)``."""
    samples = round(segments * settings.media.segment * settings.media.sample_rate)
    return dataset.audio(rows, start * samples_per_frame(settings.media), samples)


def student_trainer(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    targets: TargetFunction | None,
    purpose: str = "student",
) -> Trainer:
    """Return the trainer of one fold's student; ``purpose`` gives an audio teacher other weights
    and crops."""
    generator = seeded(settings.seed, purpose, settings.backbone, settings.sequential, fold.number)
    network = build_student(settings, len(dataset.classes)).to(dataset.device)
    objective = build_objective(settings).to(dataset.device)
    task = DistillationTask(network, objective, settings, dataset, fold, targets)
    return Trainer(network, nn.ModuleList([network, objective]), task, settings.training, generator)


def build_targets(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    privileged: PrivilegedInformation | None,
    audio_teacher: Network | None,
) -> TargetFunction | None:
    """Return what the student is distilled from, None at alpha = 0."""
    if not settings.alpha:
        return None
    if settings.training.targets == "audio":
        return audio_teacher_targets(audio_teacher)
    # a generator of its own, so that the targets leave the student's crops and their order as they
    # are
    seed = int(digest([settings.seed, settings.training.targets, fold.number]), 16)
    generator = torch.Generator().manual_seed(seed)
    return TARGETS[settings.training.targets](settings, dataset, fold, privileged, generator)


def full_length(settings: Settings) -> Settings:
    """Return settings under which recordings are taken in full length, as verification does (paper,
    section 4)."""
    return settings.model_copy(
        update={"media": settings.media.model_copy(update={"inference": "whole"})}
    )


@torch.no_grad()
def predict(network: Network, settings: Settings, dataset: Dataset, rows: np.ndarray) -> Output:
    """Return logits and embeddings of recordings ``rows``, in their order."""
    network.eval()
    done, outputs = [], []
    for chosen, start, segments in inference_windows(
        dataset, torch.from_numpy(rows).to(dataset.device), settings
    ):
        spectrogram = network.front_end(crop_waveforms(settings, dataset, chosen, start, segments))
        with autocast(settings.training, dataset.device):
            output = network(spectrogram)
        done.append(chosen)
        outputs.append((output.logits.float(), output.final.float()))
    order = torch.cat(done).argsort()
    logits, final = (torch.cat(parts)[order] for parts in zip(*outputs))
    return Output(logits, final, final)
