"""What a student is drawn to: what the teacher saw, or a control that tells how much of a gain is owed to its seeing.

Each control has the budget of the method itself, the same student, epochs and distance; only the targets differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from kdlib.corpora import Fold
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
    """What the teacher says of another training recording of the same class: the label, without the recording."""
    train = torch.from_numpy(fold.train)
    labels = store.labels.cpu()[train]
    return _exchanged([train[labels == label] for label in labels.unique()], settings, store, privileged, generator)


def _exchanged(groups: list[torch.Tensor], settings: Settings, store: Store, privileged: Privileged, generator: torch.Generator) -> Guide:
    other = torch.arange(len(store.recordings))
    for group in groups:
        other[group] = group[torch.randperm(len(group), generator=generator)]
    other = other.to(store.device)
    told = by_teacher(settings, store, None, privileged, generator)
    return lambda rows, first, heard: told(other[rows], first, heard)


def random(settings: Settings, store: Store, fold: Fold, privileged: Privileged, generator: torch.Generator) -> Guide:
    """A random vector for each recording (in EM for each of its frames), with mean and spread of the teacher's embeddings."""

    def alike(told: torch.Tensor) -> torch.Tensor:
        luck = torch.randn(told.shape, generator=generator).to(told.device)
        return told.mean(dim=0) + luck * told.std(dim=0)

    frames = replace(privileged.frames, values=alike(privileged.frames.values))
    probabilities = alike(privileged.probabilities.clamp(min=1e-6).log()).softmax(dim=-1)
    noise = replace(privileged, frames=frames, whole=alike(privileged.whole), probabilities=probabilities)
    return by_teacher(settings, store, fold, noise, generator)


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
