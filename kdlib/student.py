"""The student: trained on audio, its embeddings pulled towards the frozen teacher's; evaluated on
audio alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kdlib.dataset import Dataset, Fold, inference_windows, random_starts
from kdlib.device import autocast, place
from kdlib.losses import Objective, Terms, build_objective, gradients
from kdlib.models.network import Network, Output, build_student
from kdlib.parameters import GRADIENTS, Settings, digest
from kdlib.targets import TARGETS, Source, TargetFunction
from kdlib.teacher import PrivilegedInformation
from kdlib.training import Task, Trainer, seeded


@dataclass(eq=False)
class DistillationTask(Task):
    """Classify random crops of audio, and approach the targets of ``targets`` (None: no teacher;
    Eqs. 8, 12 and 13)."""

    objective: Objective
    targets: TargetFunction | None
    MEASURED = GRADIENTS  # cosine and norms of the gradients of label and teacher

    def load(self, items, draws) -> tuple:
        """Return spectrograms of random crops, their rows and their start frames."""
        rows, media = self.rows[items], self.settings.media
        start = random_starts(self.dataset, rows, draws, media)
        samples = self.settings.segments * media.samples_per_segment
        waveform = self.dataset.audio(rows, start * media.samples_per_frame, samples)
        return self.network.front_end(waveform), rows, start

    def loss(self, loaded, batch, first) -> Tensor:
        """Return the objective of a micro-batch as its part of the ``batch``'s."""
        spectrogram, rows, start = loaded
        with autocast(self.dataset.device, self.settings.training):
            output = self.network(spectrogram, self.objective.gradient_scale)
            targets = self.targets and self.targets(rows, start, spectrogram)
        logits, embedding, labels = output.logits.float(), output.distilled.float(), self.labels
        terms = self.objective.terms(logits, embedding, labels[rows], targets)
        if self.targets and first:
            learned = self.network.encoder.parameters()
            self.measured.copy_(gradients(terms, self.objective.weights, learned))
        if len(rows) < len(batch):
            # the label's mean is over the labelled recordings, the teacher's over all
            ours, all_labelled = ((labels[of] >= 0).sum() for of in (rows, self.rows[batch]))
            label = terms.label * ours / all_labelled.clamp(min=1)
            terms = Terms(label, terms.teacher * (len(rows) / len(batch)))
        return self.objective.total(terms)


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
    network = place(build_student(settings, len(dataset.classes)), dataset.device)
    if settings.training.compile and dataset.device.type == "cuda":
        from torch._functorch import config  # late: few ask for it

        config.donated_buffer = False  # measured gradients go backwards twice
        network.compiled_encoder = torch.compile(network.encoder.forward)
    objective = build_objective(settings).to(dataset.device)
    task = DistillationTask(network, settings, dataset, fold, objective, targets)
    module, streamed = nn.ModuleList([network, objective]), not dataset.waveforms.resident
    return Trainer(network, module, task, settings.training, generator, streamed)


def build_targets(
    settings: Settings, dataset: Dataset, fold: Fold, privileged: PrivilegedInformation | None,
    audio_teacher: Network | None,
) -> TargetFunction | None:  # fmt: skip
    """Return what the student is distilled from, None at alpha = 0."""
    if not settings.alpha:
        return None
    kind = settings.training.targets
    number = int(digest([settings.seed, kind, fold.number]), 16)
    # a generator of its own, so that the targets leave the student's crops and their order alone
    generator = torch.Generator().manual_seed(number)
    return TARGETS[kind](Source(settings, dataset, fold, privileged, generator, audio_teacher))


@torch.no_grad()
def predict(network: Network, settings: Settings, dataset: Dataset, rows: np.ndarray) -> Output:
    """Return logits and embeddings of recordings ``rows``, in the order of ``rows``."""
    network.eval()
    media, done, outputs, chosen = settings.media, [], [], torch.from_numpy(rows).to(dataset.device)
    for part, start, segments in inference_windows(dataset, chosen, settings):
        samples = segments * media.samples_per_segment
        waveform = dataset.audio(part, start * media.samples_per_frame, samples)
        with autocast(dataset.device, settings.training):
            output = network(waveform)
        done.append(part)
        outputs.append((output.logits.float(), output.final.float()))
    # parts of one length come one after the other; back into the order of rows
    order = torch.cat(done).argsort()[chosen.argsort().argsort()]
    logits, final = (torch.cat(parts)[order] for parts in zip(*outputs))
    return Output(logits, final, final)
