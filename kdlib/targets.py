"""What a student is distilled from: the teacher's outputs, or a control that shows how much of a
gain is the video's.

Each control has the budget of the method itself, the same student, epochs and distance; only the
targets differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from kdlib.dataset import Dataset, Fold
from kdlib.errors import InvalidParameter
from kdlib.losses import Targets
from kdlib.models.network import Network
from kdlib.parameters import Settings
from kdlib.teacher import PrivilegedInformation

# from a batch's row numbers, start frames (both ``(batch,)``) and spectrograms to its targets
TargetFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Targets]


def teacher_targets(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    privileged: PrivilegedInformation,
    generator: torch.Generator,
) -> TargetFunction:
    """The teacher's outputs for the recording itself: the method of the paper."""
    return lambda rows, start, _: privileged.targets(
        rows, start, settings, timed=dataset.fps is not None
    )


def shuffled(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    privileged: PrivilegedInformation,
    generator: torch.Generator,
) -> TargetFunction:
    """The teacher's outputs for another training recording, always the same one: no information on
    this recording."""
    return _exchanged([torch.from_numpy(fold.train)], settings, dataset, privileged, generator)


def shuffled_in_class(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    privileged: PrivilegedInformation,
    generator: torch.Generator,
) -> TargetFunction:
    """The teacher's outputs for another training recording of the same class: the label, without
    the recording.

    Where training hides a recording's label, its class is the one the teacher predicts. Raises
    InvalidParameter where a class has a single training recording, so that there is no other.
    """
    train = torch.from_numpy(fold.train)
    labels = dataset.training_labels(fold).cpu()[train]
    if (labels < 0).any():
        labels = torch.where(
            labels < 0, privileged.probabilities.argmax(dim=1).cpu()[train], labels
        )
    groups = [train[labels == label] for label in labels.unique()]
    if min(map(len, groups)) < 2:
        raise InvalidParameter(
            f"parameter 'training.targets' is 'shuffled_in_class', but a class (of hidden labels the teacher's prediction) "
            f"has one training recording in fold {fold.number}; use shuffled, or more recordings."
        )
    return _exchanged(groups, settings, dataset, privileged, generator)


def _exchanged(
    groups: list[torch.Tensor], settings: Settings, dataset: Dataset, privileged: PrivilegedInformation,
    generator: torch.Generator,
) -> TargetFunction:  # fmt: skip
    other = torch.arange(len(dataset.labels))
    for group in groups:
        order = group[torch.randperm(len(group), generator=generator)]
        other[order] = order.roll(1)  # no recording keeps its own
    other = other.to(dataset.device)
    own = teacher_targets(settings, dataset, None, privileged, generator)
    return lambda rows, start, spectrogram: own(other[rows], start, spectrogram)


def random(
    settings: Settings,
    dataset: Dataset,
    fold: Fold,
    privileged: PrivilegedInformation,
    generator: torch.Generator,
) -> TargetFunction:
    """A vector for each recording, each of its dimensions taken from another training recording,
    drawn for each dimension.

    So each dimension has the teacher's own values, and together they carry no information. In EM a
    recording's segments share the vector: the mean over a segment of vectors drawn for its frames
    would be next to constant.
    """
    train = torch.from_numpy(fold.train).to(dataset.device)
    level = (
        privileged.recording_embedding if settings.setting != "em" else privileged.mean_of_frames()
    )

    def mixed(values: torch.Tensor) -> torch.Tensor:
        order = (
            torch.rand(len(train), values.shape[1], generator=generator)
            .argsort(dim=0)
            .to(values.device)
        )
        return values.index_copy(0, train, values[train].gather(0, order))

    embedding, probabilities = mixed(level), mixed(privileged.probabilities)
    probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)

    def targets(rows: torch.Tensor, start: torch.Tensor, spectrogram: torch.Tensor) -> Targets:
        vectors = embedding[rows]
        vectors = (
            vectors[:, None].expand(-1, settings.segments, -1)
            if settings.setting == "em"
            else vectors
        )
        return Targets(vectors, probabilities[rows])

    return targets


def uniform(
    settings: Settings, dataset: Dataset, fold: Fold, privileged: None, generator: torch.Generator
) -> TargetFunction:
    """Equal probabilities: with the method softlabel this is label smoothing (Szegedy et al.

    2016) by alpha.
    """
    equal = torch.full((len(dataset.classes),), 1 / len(dataset.classes), device=dataset.device)
    return lambda rows, start, spectrogram: Targets(None, equal.expand(len(rows), -1))


def audio_teacher_targets(network: Network) -> TargetFunction:
    """The outputs of a trained and frozen student for the same audio: a teacher without privileged
    information."""

    @torch.no_grad()
    def targets(rows: torch.Tensor, start: torch.Tensor, spectrogram: torch.Tensor) -> Targets:
        output = network(spectrogram)
        return Targets(output.distilled.float(), output.logits.float().softmax(dim=-1))

    return targets


TARGETS = {
    "teacher": teacher_targets, "shuffled": shuffled, "shuffled_in_class": shuffled_in_class, "random": random,
    "uniform": uniform,
}  # fmt: skip
