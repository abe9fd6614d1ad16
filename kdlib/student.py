"""The second stage: train a network on the sound, guided by what the frozen teacher said of the faces."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_model, save_model
from torch import nn

from kdlib import kept, places, sources
from kdlib.corpora import Fold
from kdlib.grid import folder
from kdlib.losses import Gradients, gradients, objective_of
from kdlib.models.networks import Network, Output, build_student
from kdlib.results import provenance
from kdlib.settings import Settings, digest
from kdlib.spectrogram import FrontEnd
from kdlib.store import Store
from kdlib.targets import GUIDES, Guide, by_hearing
from kdlib.teacher import Privileged
from kdlib.training import Checkpoint, Progress, autocast, estimate_batchnorm, fit, seeded
from kdlib.verification import calibrated, calibration_rows
from kdlib.windows import inference_windows, random_crops, samples_a_frame

ARRAYS = ("probabilities", "validation", "embeddings", "trials")


@dataclass(frozen=True)
class Student:
    """What one fold's student says of its test recordings: ``probabilities`` ``(tested, classes)``, ``embeddings`` ``(tested, embedding)``.

    ``validation`` ``(held out, classes)`` are probabilities of the validation recordings, ``trials`` ``(files, embedding)`` embeddings
    of the files that verification compares; both are empty where there are none. Each epoch of ``history`` has, where a teacher is
    asked, also ``agreement`` (cosine), ``label_gradient`` and ``teacher_gradient`` (norms): see :func:`kdlib.losses.gradients`, of the
    encoder and the epoch's first batch.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    embeddings: np.ndarray
    trials: np.ndarray
    history: list[dict[str, float]]


class Ear(nn.Module):
    """What the student hears: windows of the store's sound as the spectrograms its network takes."""

    def __init__(self, settings: Settings, store: Store) -> None:
        super().__init__()
        self.media, self.store = settings.media, store
        self.front_end = FrontEnd(settings).to(store.device)

    def forward(self, rows: torch.Tensor, first: torch.Tensor, segments: int) -> torch.Tensor:
        """Return spectrograms ``(rows, [segments,] 1, bins, columns)`` of windows that begin at frames ``first``."""
        samples = round(segments * self.media.segment * self.media.sample_rate)
        return self.front_end(self.store.sound(rows, first * samples_a_frame(self.media), samples), segments)


def train_folds(
    settings: Settings, store: Store, folds: list[Fold], privileged: dict[int, Privileged], trials: Store | None = None
) -> dict[int, Student]:
    """Train the student of every fold; return them by fold number.

    ``privileged`` may be empty at alpha = 0, where no teacher is asked. ``trials`` holds the sound of the files that
    verification compares. A finished fold is kept until :func:`forget_checkpoints`, so that a run that broke off goes on with the next one.
    """
    progress = Progress("student", settings.training.epochs, len(folds))
    return {fold.number: _train_once(settings, store, fold, privileged.get(fold.number), progress, trials) for fold in folds}


def _kept(settings: Settings, store: Store, fold: Fold, trials: Store | None) -> Path:
    """Return the file of a finished fold: other recordings, parameters, folds or trials make it another one."""
    heard = [
        store.fingerprint,
        trials and [trials.fingerprint, sorted(trials.left_out)],
        settings.canonical().fingerprint("student"),
        sources.fingerprint(sources.kind(settings, "student")),
    ]
    return places.DATA / "checkpoints" / digest(heard) / f"{fold.key(store.recordings)}.safetensors"


def forget_checkpoints(settings: Settings, store: Store, folds: list[Fold], trials: Store | None = None) -> None:
    """Drop the finished folds of a run, once its result is written; a run of other folds keeps its own."""
    for fold in folds:
        file = _kept(settings, store, fold, trials)
        for left in (file, file.with_name(file.name + ".lock")):
            left.unlink(missing_ok=True)


def _train_once(
    settings: Settings, store: Store, fold: Fold, privileged: Privileged | None, progress: Progress, trials: Store | None
) -> Student:
    file = _kept(settings, store, fold, trials)
    weights = folder(settings, "student") / f"fold-{fold.number}.safetensors"
    with places.lock(file):  # the same run, started twice, is trained once
        if file.exists() and (weights.exists() or not settings.training.keep_students):
            with safe_open(file, "numpy") as kept:
                arrays = {name: kept.get_tensor(name) for name in ARRAYS}
                return Student(**arrays, history=json.loads(kept.metadata()["history"]))
        trained = train(settings, store, fold, privileged, progress, trials)
        with places.replacing(file) as temporary:
            arrays = {name: getattr(trained, name) for name in ARRAYS}
            save_file(arrays, temporary, metadata={"history": json.dumps(trained.history)})
        Checkpoint(file.with_suffix(".epochs.pt"), 0).forget()
        return trained


def train(
    settings: Settings, store: Store, fold: Fold, privileged: Privileged | None, progress: Progress, trials: Store | None = None
) -> Student:
    """Train one fold's student on that fold's training recordings and let it hear the test recordings, and those of ``trials``.

    Last-epoch weights are used, and kept with all that using them takes where ``training.keep_students`` asks for it. Raises
    NotFinite where the loss is no longer a number.
    """
    checkpoint = Checkpoint(_kept(settings, store, fold, trials).with_suffix(".epochs.pt"), settings.training.checkpoint)
    network, history = fitted(settings, store, fold, _guide(settings, store, fold, privileged, progress), "student", progress, checkpoint)
    if settings.training.keep_students:
        _keep(network, settings, store, fold)
    tested = listen(network, settings, store, fold.test)
    held = listen(network, settings, store, fold.validation).logits if len(fold.validation) else tested.logits[:0]
    probabilities, validation = (logits.softmax(dim=-1).cpu().numpy() for logits in (tested.logits, held))
    return Student(probabilities, validation, tested.final.cpu().numpy(), _hear_trials(network, settings, store, fold, trials), history)


def _keep(network: Network, settings: Settings, store: Store, fold: Fold) -> None:
    """Write the file that :func:`kdlib.load_student` reads, its verification threshold told by recordings that are not tested."""
    facts = {
        "classes": list(map(str, store.classes)),
        "settings": settings.canonical().model_dump(mode="json"),
        "fold": {"number": fold.number, "name": fold.name},
        "verification": _calibrated(network, settings, store, fold),
        "provenance": provenance(store),
    }
    kept.write(folder(settings, "student") / f"fold-{fold.number}.safetensors", network, facts)


def _calibrated(network: Network, settings: Settings, store: Store, fold: Fold) -> dict[str, Any] | None:
    """Return the threshold of the fold's validation recordings, or of its training recordings where those have no pairs of both kinds.

    None where neither has. Each recording is heard in full length, as in verification.
    """
    speakers = store.recordings.speaker.astype(str).to_numpy()
    for side in ("validation", "train"):
        rows = calibration_rows(getattr(fold, side), speakers)
        if len(rows):
            embeddings = listen(network, in_full(settings), store, rows).final.cpu().numpy()
            return {"recordings_of": side, **calibrated(embeddings, speakers[rows])}
    return None


def fitted(
    settings: Settings, store: Store, fold: Fold, guide: Guide | None, purpose: str, progress: Progress, checkpoint: Checkpoint
) -> tuple[Network, list[dict[str, float]]]:
    """Train a network on the sound of a fold's training recordings; return it and its epochs."""
    generator = seeded(settings.seed, purpose, settings.backbone, settings.sequential, fold.number)
    network = build_student(settings, len(store.classes)).to(store.device)
    goal = objective_of(settings).to(store.device)
    ear = Ear(settings, store)
    rows = torch.from_numpy(fold.train).to(store.device)
    labels = torch.from_numpy(fold.training_labels(store.labels.cpu().numpy())).to(store.device)
    compared: list[Gradients] = []  # of this epoch

    def crops(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return recordings, first frames and spectrograms of a random crop of each item."""
        chosen = rows[batch.to(rows.device)]
        first = random_crops(store, chosen, settings.media, generator)
        return chosen, first, ear(chosen, first, settings.segments)

    def loss_of(batch: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss of a batch of items, as :func:`kdlib.training.fit` asks for it."""
        chosen, first, heard = crops(batch)
        with autocast(settings.training, store.device):
            output = network(heard, goal.keep)
            targets = guide and guide(chosen, first, heard)
        terms = goal.terms(output.logits.float(), output.distilled.float(), labels[chosen], targets)
        if guide and not compared:
            compared.append(gradients(terms, goal.weights, network.encoder.parameters()))
        return goal.total(terms)

    def told() -> dict[str, float]:
        found = [value.item() for value in compared.pop()] if guide else []
        named = zip(("agreement", "label_gradient", "teacher_gradient"), found)
        return {name: value for name, value in named if not math.isnan(value)}

    network.train()
    learned, items = nn.ModuleList([network, goal]), torch.arange(len(rows))
    history = progress.follow(fold, fit(learned, loss_of, items, settings.training, generator, checkpoint, told))
    estimate_batchnorm(network, lambda batch: crops(batch)[2], items, settings.training, generator)
    return network, history


def _guide(settings: Settings, store: Store, fold: Fold, privileged: Privileged | None, progress: Progress) -> Guide | None:
    """Return what the student is drawn to, None at alpha = 0."""
    if not settings.alpha:
        return None
    if settings.training.targets == "audio":
        return by_hearing(_audio_teacher(settings, store, fold, progress))
    # luck of its own, so that what the student is drawn to leaves its crops and their order as they are
    luck = torch.Generator().manual_seed(int(digest([settings.seed, settings.training.targets, fold.number]), 16))
    return GUIDES[settings.training.targets](settings, store, fold, privileged, luck)


def _audio_teacher(settings: Settings, store: Store, fold: Fold, progress: Progress) -> Network:
    """Return a frozen teacher that heard the fold's training recordings: an undistilled student with other luck, trained once."""
    alone = settings.undistilled()
    file = (
        places.DATA
        / "teachers"
        / digest([store.fingerprint, "audio", alone.fingerprint("student"), sources.fingerprint("student")])
        / f"{fold.key(store.recordings)}.safetensors"
    )
    with places.lock(file):
        if not file.exists():
            checkpoint = Checkpoint(file.with_suffix(".epochs.pt"), settings.training.checkpoint)
            trained, _ = fitted(alone, store, fold, None, "audio teacher", Progress("audio teacher", progress.epochs), checkpoint)
            with places.replacing(file) as temporary:
                save_model(trained, str(temporary))
            checkpoint.forget()
    network = build_student(settings, len(store.classes)).to(store.device)
    load_model(network, str(file))
    return network.eval().requires_grad_(False)


def _hear_trials(network: Network, settings: Settings, store: Store, fold: Fold, trials: Store | None) -> np.ndarray:
    """Return the embeddings of the files that verification compares, each heard once and in full length (paper, section 4).

    Where ``training.trial_score`` is ``centred``, less the mean embedding of the fold's training recordings.
    """
    if trials is None:
        return np.zeros((0, settings.model.embedding), np.float32)
    embeddings = listen(network, in_full(settings), trials, np.arange(len(trials.recordings))).final
    if settings.training.trial_score == "centred":
        embeddings = embeddings - listen(network, in_full(settings), store, fold.train).final.mean(dim=0)
    return embeddings.cpu().numpy()


def in_full(settings: Settings) -> Settings:
    """Return settings under which recordings are heard in full length, as verification does (paper, section 4)."""
    return settings.model_copy(update={"media": settings.media.model_copy(update={"inference": "whole"})})


@torch.no_grad()
def listen(network: Network, settings: Settings, store: Store, rows: np.ndarray) -> Output:
    """Return what the student says of recordings ``rows``, in their order."""
    network.eval()
    ear = Ear(settings, store)
    heard, outputs = [], []
    for chosen, first, segments in inference_windows(store, torch.from_numpy(rows).to(store.device), settings):
        with autocast(settings.training, store.device):
            output = network(ear(chosen, first, segments))
        heard.append(chosen)
        outputs.append((output.logits.float(), output.final.float()))
    order = torch.cat(heard).argsort()
    logits, final = (torch.cat(parts)[order] for parts in zip(*outputs))
    return Output(logits, final, final)
