"""The stages on disk: recordings are decoded, each fold's teacher and student trained, once, and
resumed where interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, load_model, save_file, save_model

from kdlib.dataset import Fold
from kdlib.errors import InvalidCorpus
from kdlib.models.network import Network, build_student
from kdlib.parameters import digest
from kdlib.student import build_targets, full_length, predict, student_trainer
from kdlib.targets import TargetFunction
from kdlib.teacher import (
    PrivilegedInformation,
    build_privileged,
    extract_privileged,
    teacher_trainer,
)
from kdlib.training import Trainer
from kdsuite import demo, places
from kdsuite.data import store
from kdsuite.data.folds import fold_key
from kdsuite.data.store import Store
from kdsuite.data.verification import calibrated, calibration_rows
from kdsuite.runs import kept, sources
from kdsuite.runs.checkpoint import Checkpoint
from kdsuite.runs.grid import folder
from kdsuite.runs.results import provenance
from kdsuite.settings import Settings

ARRAYS = ("probabilities", "validation", "embeddings", "trials")


def prepare(settings: Settings, workers: int | None = None) -> Store:
    """Return the decoded recordings of the settings' corpus, on the CPU; a synthetic corpus is
    written first.

    Raises InvalidCorpus, and UnreadableRecording unless ``corpus.unreadable`` leaves such
    recordings out.
    """
    demo.ensure(settings.corpus)
    return store.prepare(settings, workers)


class Progress:
    """One printed line an epoch, with the time left over all ``folds`` of a stage."""

    def __init__(self, name: str, epochs: int, folds: int = 1) -> None:
        self.name, self.epochs, self.all, self.done, self.began = (
            name,
            epochs,
            epochs * folds,
            0,
            time.monotonic(),
        )

    def follow(self, fold: Fold, epochs: Iterator[dict[str, float]]) -> list[dict[str, float]]:
        """Train a fold to its end, print each epoch and return all of them."""
        history = []
        for number, values in enumerate(epochs, 1):
            self.done += 1
            left = _clock((time.monotonic() - self.began) / self.done * (self.all - self.done))
            line = f"loss {values['loss']:.4f}, rate {values['rate']:.1e}, {values['seconds']:.1f} s, {left} left"
            print(
                f"{self.name} fold {fold.number} ({fold.name}) epoch {number}/{self.epochs}: {line}",
                flush=True,
            )
            history.append({"epoch": number, **values})
        return history


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def trained(
    trainer: Trainer, fold: Fold, progress: Progress, checkpoint: Checkpoint | None = None
) -> tuple[Network, list[dict[str, float]]]:
    """Train to the end and return the network and its epochs."""
    history = progress.follow(fold, checkpoint.epochs(trainer) if checkpoint else trainer.epochs())
    return trainer.network, history


@dataclass(frozen=True, kw_only=True)
class TrainedTeacher(PrivilegedInformation):
    """A fold's privileged information, its teacher's epochs, and the folder that keeps both."""

    history: list[dict[str, float]]
    folder: Path


def teachers(settings: Settings, data: Store, folds: list[Fold]) -> dict[int, TrainedTeacher]:
    """Return the privileged information of each fold, on the store's device; train the teachers
    that are missing.

    Raises InvalidCorpus where the recordings have no video.
    """
    if not len(data.frames.values):
        raise InvalidCorpus(
            "the recordings of this corpus have no video, so there is no teacher; set alpha to 0, or give corpus.features."
        )
    progress = Progress("teacher", settings.teacher_training().epochs, len(folds))
    return {fold.number: _teacher(settings, data, fold, progress) for fold in folds}


def _teacher(settings: Settings, data: Store, fold: Fold, progress: Progress) -> TrainedTeacher:
    home = _teacher_folder(settings, data, fold)
    with places.lock(home):
        if not (home / "fold.json").exists():
            checkpoint = Checkpoint(home / "epochs.pt", settings.training.checkpoint)
            network, history = trained(
                teacher_trainer(settings, data, fold), fold, progress, checkpoint
            )
            arrays = extract_privileged(network, settings, data)
            home.mkdir(parents=True, exist_ok=True)
            save_model(network, str(home / "weights.safetensors"))
            save_file(
                {name: value.contiguous() for name, value in arrays.items()},
                home / "targets.safetensors",
            )
            places.write_json(home / "fold.json", {"fold": fold.number, "history": history})
            checkpoint.remove()
    return _load_teacher(home, settings, data)


def trained_teacher(settings: Settings, data: Store, fold: Fold) -> TrainedTeacher | None:
    """Return the privileged information of a fold, on the store's device; None where its teacher is
    not trained."""
    home = _teacher_folder(settings, data, fold)
    return _load_teacher(home, settings, data) if (home / "fold.json").exists() else None


def _teacher_folder(settings: Settings, data: Store, fold: Fold) -> Path:
    fingerprint = digest(
        [data.fingerprint, settings.fingerprint("teacher"), sources.fingerprint("teacher")]
    )
    return places.DATA / "teachers" / fingerprint / fold_key(fold, data.recordings)


def _load_teacher(home: Path, settings: Settings, data: Store) -> TrainedTeacher:
    privileged = build_privileged(
        load_file(home / "targets.safetensors"), settings, data,
        lambda network: load_model(network, str(home / "weights.safetensors")),
    )  # fmt: skip
    history = json.loads((home / "fold.json").read_text())["history"]
    values = {field.name: getattr(privileged, field.name) for field in fields(privileged)}
    return TrainedTeacher(**values, history=history, folder=home)


@dataclass(frozen=True)
class Student:
    """The outputs of one fold's student.

    Of its test recordings ``probabilities`` ``(tested, classes)`` and ``embeddings`` ``(tested,
    embedding)``; ``validation`` ``(validation, classes)`` are probabilities of the validation
    recordings, ``trials`` ``(files, embedding)`` embeddings of the files that verification
    compares; both are empty where there are none.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    embeddings: np.ndarray
    trials: np.ndarray
    history: list[dict[str, float]]


def students(
    settings: Settings, data: Store, folds: list[Fold], privileged: dict[int, PrivilegedInformation],
    trials: Store | None = None,
) -> dict[int, Student]:  # fmt: skip
    """Train the student of every fold; return them by fold number.

    ``privileged`` may be empty at alpha = 0. ``trials`` holds the audio of the files that
    verification compares. A finished fold is kept until :func:`remove_checkpoints`, so that an
    interrupted run continues with the next one.
    """
    progress = Progress("student", settings.training.epochs, len(folds))
    return {
        fold.number: _student(settings, data, fold, privileged.get(fold.number), progress, trials)
        for fold in folds
    }


def _student_file(settings: Settings, data: Store, fold: Fold, trials: Store | None) -> Path:
    """Return the file of a finished fold: other recordings, parameters, folds or trials make it
    another one."""
    inputs = [
        data.fingerprint,
        trials and [trials.fingerprint, sorted(trials.left_out)],
        settings.canonical().fingerprint("student"),
        sources.fingerprint(sources.kind(settings, "student")),
    ]
    return (
        places.DATA
        / "checkpoints"
        / digest(inputs)
        / f"{fold_key(fold, data.recordings)}.safetensors"
    )


def remove_checkpoints(
    settings: Settings, data: Store, folds: list[Fold], trials: Store | None = None
) -> None:
    """Remove the finished folds of a run, once its result is written; a run of other folds keeps
    its own."""
    for fold in folds:
        file = _student_file(settings, data, fold, trials)
        for left in (file, file.with_name(file.name + ".lock")):
            left.unlink(missing_ok=True)


def _student(
    settings: Settings, data: Store, fold: Fold, privileged: PrivilegedInformation | None, progress: Progress,
    trials: Store | None,
) -> Student:  # fmt: skip
    file = _student_file(settings, data, fold, trials)
    weights = folder(settings, "student") / f"fold-{fold.number}.safetensors"
    with places.lock(file):  # the same run, started twice, is trained once
        if file.exists() and (weights.exists() or not settings.training.keep_students):
            with safe_open(file, "numpy") as cached:
                arrays = {name: cached.get_tensor(name) for name in ARRAYS}
                return Student(**arrays, history=json.loads(cached.metadata()["history"]))
        student = train_student(settings, data, fold, privileged, progress, trials)
        with places.replacing(file) as temporary:
            arrays = {name: getattr(student, name) for name in ARRAYS}
            save_arrays(arrays, temporary, metadata={"history": json.dumps(student.history)})
        Checkpoint(file.with_suffix(".epochs.pt"), 0).remove()
        return student


def train_student(
    settings: Settings, data: Store, fold: Fold, privileged: PrivilegedInformation | None, progress: Progress,
    trials: Store | None = None,
) -> Student:  # fmt: skip
    """Train one fold's student and return its outputs for the test recordings, and those of
    ``trials``.

    Last-epoch weights are used, and kept where ``training.keep_students`` asks for it. Raises
    NotFinite where the loss is no longer a number.
    """
    checkpoint = Checkpoint(
        _student_file(settings, data, fold, trials).with_suffix(".epochs.pt"),
        settings.training.checkpoint,
    )
    targets = student_targets(settings, data, fold, privileged, progress)
    network, history = trained(
        student_trainer(settings, data, fold, targets), fold, progress, checkpoint
    )
    if settings.training.keep_students:
        _keep(network, settings, data, fold)
    tested = predict(network, settings, data, fold.test)
    held_out = (
        predict(network, settings, data, fold.validation).logits
        if len(fold.validation)
        else tested.logits[:0]
    )
    probabilities, validation = (
        logits.softmax(dim=-1).cpu().numpy() for logits in (tested.logits, held_out)
    )
    embeddings = trial_embeddings(network, settings, data, fold, trials)
    return Student(probabilities, validation, tested.final.cpu().numpy(), embeddings, history)


def student_targets(
    settings: Settings,
    data: Store,
    fold: Fold,
    privileged: PrivilegedInformation | None,
    progress: Progress,
) -> TargetFunction | None:
    """Return what a fold's student is distilled from, None at alpha = 0; train the audio teacher
    where it needs one."""
    asked = settings.alpha and settings.training.targets == "audio"
    return build_targets(
        settings,
        data,
        fold,
        privileged,
        audio_teacher(settings, data, fold, progress) if asked else None,
    )


def audio_teacher(settings: Settings, data: Store, fold: Fold, progress: Progress) -> Network:
    """Return a frozen teacher that hears the audio: an undistilled student with other weights and
    crops, trained once."""
    undistilled = settings.undistilled()
    inputs = [
        data.fingerprint,
        "audio",
        undistilled.fingerprint("student"),
        sources.fingerprint("student"),
    ]
    file = (
        places.DATA / "teachers" / digest(inputs) / f"{fold_key(fold, data.recordings)}.safetensors"
    )
    with places.lock(file):
        if not file.exists():
            checkpoint = Checkpoint(file.with_suffix(".epochs.pt"), settings.training.checkpoint)
            trainer = student_trainer(undistilled, data, fold, None, "audio teacher")
            network, _ = trained(
                trainer, fold, Progress("audio teacher", progress.epochs), checkpoint
            )
            with places.replacing(file) as temporary:
                save_model(network, str(temporary))
            checkpoint.remove()
    network = build_student(settings, len(data.classes)).to(data.device)
    load_model(network, str(file))
    return network.eval().requires_grad_(False)


def trial_embeddings(
    network: Network, settings: Settings, data: Store, fold: Fold, trials: Store | None
) -> np.ndarray:
    """Return the embeddings of the files that verification compares, in full length (paper, section
    4).

    Where ``training.trial_score`` is ``centred``, less the mean embedding of the fold's training
    recordings.
    """
    if trials is None:
        return np.zeros((0, settings.model.embedding), np.float32)
    embeddings = predict(
        network, full_length(settings), trials, np.arange(len(trials.recordings))
    ).final
    if settings.training.trial_score == "centred":
        embeddings = embeddings - predict(
            network, full_length(settings), data, fold.train
        ).final.mean(dim=0)
    return embeddings.cpu().numpy()


def _keep(network: Network, settings: Settings, data: Store, fold: Fold) -> None:
    """Write the file that :func:`kdlib.load_student` reads, with a verification threshold from
    recordings not tested."""
    facts = {
        "classes": list(map(str, data.classes)),
        "settings": settings.canonical().model_dump(mode="json"),
        "fold": {"number": fold.number, "name": fold.name},
        "verification": verification_threshold(network, settings, data, fold),
        "provenance": provenance(data),
    }
    kept.write(folder(settings, "student") / f"fold-{fold.number}.safetensors", network, facts)


def verification_threshold(
    network: Network, settings: Settings, data: Store, fold: Fold
) -> dict[str, Any] | None:
    """Return the threshold of the fold's validation recordings, else of its training recordings.

    None where neither has pairs of both kinds. Recordings are taken in full length, as in
    verification.
    """
    speakers = data.recordings.speaker.astype(str).to_numpy()
    for side in ("validation", "train"):
        rows = calibration_rows(getattr(fold, side), speakers)
        if len(rows):
            embeddings = predict(network, full_length(settings), data, rows).final.cpu().numpy()
            return {"recordings_of": side, **calibrated(embeddings, speakers[rows])}
    return None
