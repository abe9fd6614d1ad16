"""What a student is drawn to: what the teacher saw, or a control that tells how much of a gain is owed to its seeing.

Each control has the budget of the method itself, the same student, epochs and distance; only the targets differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from kdlib.corpora import Fold
from kdlib.errors import InvalidParameter
from kdlib.losses import Targets
from kdlib.models.networks import Network
from kdlib.settings import Settings
from kdlib.store import Store
from kdlib.teacher import Privileged

# from a batch's row numbers, first frames (both ``(batch,)``) and spectrograms to its targets
Guide = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Targets]


def by_teacher(settings: Settings, store: Store, fold: Fold, privileged: Privileged, generator: torch.Generator) -> Guide:
    """What the teacher says of the recording itself: the method of the paper."""
    return lambda rows, first, heard: privileged.targets(rows, first, settings, timed=store.fps is not None)


def shuffled(settings: Settings, store: Store, fold: Fold, privileged: Privileged, generator: torch.Generator) -> Guide:
    """What the teacher says of another training recording, always the same one: a target that tells nothing of its own."""
    return _exchanged([torch.from_numpy(fold.train)], settings, store, privileged, generator)


def shuffled_in_class(settings: Settings, store: Store, fold: Fold, privileged: Privileged, generator: torch.Generator) -> Guide:
    """What the teacher says of another training recording of the same class: the label, without the recording.

    Where training hides a recording's label, its class is the one the teacher takes it for. Raises InvalidParameter where a class has a
    single training recording, for which there is no other.
    """
    train = torch.from_numpy(fold.train)
    labels = torch.from_numpy(fold.training_labels(store.labels.cpu().numpy()))[train]
    if (labels < 0).any():
        labels = torch.where(labels < 0, privileged.probabilities.argmax(dim=1).cpu()[train], labels)
    groups = [train[labels == label] for label in labels.unique()]
    if min(map(len, groups)) < 2:
        raise InvalidParameter(
            f"parameter 'training.targets' is 'shuffled_in_class', but fold {fold.number} trains on a class of one recording; use shuffled, or more recordings."
        )
    return _exchanged(groups, settings, store, privileged, generator)


def _exchanged(groups: list[torch.Tensor], settings: Settings, store: Store, privileged: Privileged, generator: torch.Generator) -> Guide:
    other = torch.arange(len(store.recordings))
    for group in groups:
        shuffled = group[torch.randperm(len(group), generator=generator)]
        other[shuffled] = shuffled.roll(1)  # nobody keeps its own
    other = other.to(store.device)
    told = by_teacher(settings, store, None, privileged, generator)
    return lambda rows, first, heard: told(other[rows], first, heard)


def random(settings: Settings, store: Store, fold: Fold, privileged: Privileged, generator: torch.Generator) -> Guide:
    """A vector for each recording, each dimension of it taken from another training recording, drawn anew for every dimension.

    So each dimension has the teacher's own values, and together they mean nothing. In EM a recording's segments share the vector,
    for the mean over a segment of vectors drawn for its frames would be next to constant.
    """
    train = torch.from_numpy(fold.train).to(store.device)
    level = privileged.whole if settings.setting != "em" else privileged.mean_of_frames()

    def mixed(told: torch.Tensor) -> torch.Tensor:
        order = torch.rand(len(train), told.shape[1], generator=generator).argsort(dim=0).to(told.device)
        return told.index_copy(0, train, told[train].gather(0, order))

    embedding, probabilities = mixed(level), mixed(privileged.probabilities)
    probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)

    def told(rows: torch.Tensor, first: torch.Tensor, heard: torch.Tensor) -> Targets:
        vectors = embedding[rows]
        vectors = vectors[:, None].expand(-1, settings.segments, -1) if settings.setting == "em" else vectors
        return Targets(vectors, probabilities[rows])

    return told


def uniform(settings: Settings, store: Store, fold: Fold, privileged: None, generator: torch.Generator) -> Guide:
    """Equal probabilities: with the method softlabel this is label smoothing (Szegedy et al. 2016) by alpha."""
    equal = torch.full((len(store.classes),), 1 / len(store.classes), device=store.device)
    return lambda rows, first, heard: Targets(None, equal.expand(len(rows), -1))


def by_hearing(network: Network) -> Guide:
    """What a trained and frozen student says of the same sound: a teacher without privileged information."""

    @torch.no_grad()
    def told(rows: torch.Tensor, first: torch.Tensor, heard: torch.Tensor) -> Targets:
        output = network(heard)
        return Targets(output.distilled.float(), output.logits.float().softmax(dim=-1))

    return told


GUIDES = {"teacher": by_teacher, "shuffled": shuffled, "shuffled_in_class": shuffled_in_class, "random": random, "uniform": uniform}
