"""What a student is distilled from: the teacher's outputs, or a control that shows how much of a
gain is the video's.

Each control has the budget of the method itself, the same student, epochs and distance; only the
targets differ.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kdlib.dataset import Dataset, Fold, Ragged
from kdlib.errors import InvalidParameter
from kdlib.losses import Targets
from kdlib.models.network import Network
from kdlib.parameters import Settings
from kdlib.teacher import PrivilegedInformation

# from a batch's row numbers, start frames (both ``(batch,)``) and spectrograms to its targets
TargetFunction = Callable[[Tensor, Tensor, Tensor], Targets]


class Source(NamedTuple):
    """What the targets of a fold are made from: its teacher's outputs, those of an audio teacher,
    and random numbers."""

    settings: Settings
    dataset: Dataset
    fold: Fold
    privileged: PrivilegedInformation | None
    generator: torch.Generator
    audio_teacher: Network | None = None

    @property
    def train(self) -> Tensor:
        """The training recordings, ``(train,)``, on the CPU, where random numbers are drawn."""
        return torch.from_numpy(self.fold.train)


def teacher_targets(source: Source) -> TargetFunction:
    """The teacher's outputs for the recording itself: the method of the paper."""
    settings, privileged, timed = source.settings, source.privileged, source.dataset.fps is not None
    return lambda rows, start, _: privileged.targets(rows, start, settings, timed)


def shuffled(source: Source) -> TargetFunction:
    """The teacher's outputs for another training recording, always the same one: no information on
    this recording."""
    return _exchanged(source, [source.train])


def shuffled_in_class(source: Source) -> TargetFunction:
    """The teacher's outputs for another training recording of the same class: the label, without
    the recording.

    Where training hides a recording's label, its class is the one the teacher predicts. Raises
    InvalidParameter where a class has a single training recording, so that there is no other.
    """
    train = source.train
    labels = source.dataset.training_labels(source.fold).cpu()[train]
    if (labels < 0).any():
        predicted = source.privileged.probabilities.argmax(dim=1).cpu()[train]
        labels = torch.where(labels < 0, predicted, labels)
    groups = [train[labels == label] for label in labels.unique()]
    if min(map(len, groups)) < 2:
        raise InvalidParameter(
            "parameter 'training.targets' is 'shuffled_in_class', but a class (predicted by the"
            f" teacher if hidden) has one training recording in fold {source.fold.number}; use"
            " shuffled, or more recordings."
        )
    return _exchanged(source, groups)


def _exchanged(source, groups):
    other = torch.arange(len(source.dataset.labels))
    for group in groups:
        order = group[torch.randperm(len(group), generator=source.generator)]
        other[order] = order.roll(1)  # no recording keeps its own
    other, own = other.to(source.dataset.device), teacher_targets(source)
    return lambda rows, start, spectrogram: own(other[rows], start, spectrogram)


def random(source: Source) -> TargetFunction:
    """A random vector for each recording: each dimension is permuted over the training recordings.

    So each dimension keeps the teacher's values, but the vector has no information. In EM a
    recording's segments share it: the mean over a segment of vectors drawn for its frames would be
    almost constant.
    """
    settings, privileged = source.settings, source.privileged
    train = source.train.to(source.dataset.device)

    def mixed(values):
        draws = torch.rand(len(train), values.shape[1], generator=source.generator)
        order = draws.argsort(dim=0).to(values.device)
        return values.index_copy(0, train, values[train].gather(0, order))

    embedding = mixed(privileged.recording_embedding)
    # of a confident teacher all that are drawn for a recording may be 0
    probabilities = mixed(privileged.probabilities).clamp(min=1e-38)
    frames = Ragged.of(mixed(privileged.mean_embedding), torch.ones_like(privileged.frames.lengths))
    drawn = PrivilegedInformation(frames, embedding, probabilities)
    return lambda rows, start, _: drawn.targets(rows, start, settings, timed=False)


def audio(source: Source) -> TargetFunction:
    """The outputs of a trained and frozen student for the same audio: a teacher without privileged
    information."""

    def targets(rows, start, spectrogram):
        output = source.audio_teacher(spectrogram)
        logits = output.logits.float() / source.settings.training.temperature
        return Targets(output.distilled.float(), logits.softmax(dim=-1))

    return torch.no_grad()(targets)


def uniform(source: Source) -> TargetFunction:
    """Equal probabilities: with the method softlabel this is label smoothing (Szegedy et al. 2016)
    by alpha."""
    classes = len(source.dataset.classes)
    equal = torch.full((classes,), 1 / classes, device=source.dataset.device)
    return lambda rows, start, spectrogram: Targets(None, equal.expand(len(rows), -1))


TARGETS = {
    "teacher": teacher_targets, "shuffled": shuffled, "shuffled_in_class": shuffled_in_class,
    "random": random,
    "audio": audio, "uniform": uniform,
}  # fmt: skip
