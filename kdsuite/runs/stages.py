"""The stages on disk: recordings are decoded, each fold's teacher and student trained, once, and
resumed where interrupted."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file

from kdlib.dataset import Fold
from kdlib.device import place, precision
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.models.network import Network, build_student, build_teacher
from kdlib.parameters import digest
from kdlib.student import build_targets, student_trainer
from kdlib.teacher import (
    PrivilegedInformation,
    build_privileged,
    extract_privileged,
    teacher_trainer,
)
from kdlib.training import Trainer
from kdsuite import demo, paths
from kdsuite.data import store
from kdsuite.data.folds import fold_key
from kdsuite.data.store import Store
from kdsuite.data.verification import calibrated, calibration_rows
from kdsuite.runs import checkpoint, sources, student_file
from kdsuite.runs.devices import return_memory, set_threads
from kdsuite.runs.prediction import embed, predict
from kdsuite.runs.pretrained import load_pretrained
from kdsuite.runs.results import commit_now, provenance
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

# of a teacher
WEIGHTS, TARGETS = "weights.safetensors", "targets.safetensors"
# of a student
ARRAYS = ("probabilities", "validation", "embeddings", "trials")
# the values of each epoch
History = list[dict[str, float]]


def prepare(settings: Settings, workers: int | None = None) -> Store:
    """Return the decoded recordings of the settings' corpus, on the CPU; a synthetic corpus is
    written first.

    Raises InvalidCorpus, and UnreadableRecording unless ``corpus.unreadable`` leaves such
    recordings out.
    """
    set_threads(settings, "data")
    sources.read(), commit_now()  # a result tells the code of the beginning
    demo.ensure(settings.corpus)
    return store.prepare(settings, workers)


class Progress:
    """One printed line an epoch, with the time left over all ``folds`` of a stage.

    Where ``training.tensorboard`` of a ``run``, its folder gets the values for TensorBoard.
    """

    def __init__(self, name: str, epochs: int, folds: int = 1, run: Run | None = None) -> None:
        self.name, self.epochs, self.total, self.run = name, epochs, epochs * folds, run
        self.done, self.began = 0, time.monotonic()

    def follow(self, fold: Fold, epochs: Iterator[dict[str, float]]) -> History:
        """Train a fold to its end, print each epoch and return all of them; raise InvalidParameter
        where TensorBoard is asked for and absent."""
        history = []
        board = self.run and self.run.settings.training.tensorboard
        name = fold.name if len(fold.name) <= 30 else f"{fold.name[:29]}…"  # it lists speakers
        writer = _board(self.run.folder / "tensorboard" / f"fold-{fold.number}") if board else None
        for number, values in enumerate(epochs, 1):
            self.done += 1
            seconds = (time.monotonic() - self.began) * (self.total / self.done - 1)
            print(
                f"{self.name} fold {fold.number} ({name}) epoch {number}/{self.epochs}: loss"
                f" {values['loss']:.4f}, rate {values['rate']:.1e}, {values['seconds']:.1f} s,"
                f" {timedelta(seconds=round(seconds))} left",
                flush=True,
            )
            history.append({"epoch": number, **values})
            for key, value in values.items() if writer else ():
                writer.add_scalar(key, value, number)
                writer.flush()
        return history


def _board(folder):
    try:
        from torch.utils.tensorboard import SummaryWriter  # late: an optional package
    except ImportError:
        raise InvalidParameter(
            "parameter 'training.tensorboard' is True, but tensorboard is not installed; pip"
            " install 'kdlib[tensorboard]'."
        ) from None
    return SummaryWriter(folder)


def _cached(kind, run, data, fold, name, *inputs, arithmetic=None):
    """Return the file of a fold's training: other recordings, parameters, code, weights to start
    from, folds or ``inputs`` make it another one."""
    # `auto` differs by the device
    arithmetic = arithmetic or precision(run.settings.training, data.device)
    code = sources.fingerprint(run.code_kind) + run.weights
    facts = [data.fingerprint, run.fingerprint, arithmetic, code, *inputs]
    place = paths.DATA / kind / digest(facts) / f"{fold_key(fold, data.recordings)}{name}"
    return paths.writable(place)


def _finished(run, data, fold, trials):
    """Return the file of a finished student's outputs."""
    return _cached("checkpoints", run, data, fold, ".safetensors", trials and trials.fingerprint)


def _once(file, run, make, *others):
    """Make the file of a training as :func:`kdsuite.paths.once` does, with a checkpoint until it is
    there."""
    saved, seconds = file.with_suffix(".epochs.pt"), run.settings.training.checkpoint
    epochs = partial(checkpoint.epochs, file=saved, seconds=seconds)
    paths.once(file, partial(make, epochs=epochs), *others)
    checkpoint.remove(saved)


def _frozen(network, file, device):
    """Return a network with the weights of a file, on a device, for inference."""
    network.load_state_dict(load_file(file))
    return place(network.eval().requires_grad_(False), device)


@dataclass(frozen=True, kw_only=True)
class TrainedTeacher(PrivilegedInformation):
    """A fold's privileged information, its teacher's epochs, and the folder that holds both."""

    history: History
    folder: Path


def teachers(settings: Settings, data: Store, folds: list[Fold]) -> dict[int, TrainedTeacher]:
    """Return the privileged information of each fold, on the store's device; train the teachers
    that are missing.

    Raises InvalidCorpus where the recordings have no video.
    """
    if not len(data.frames.values):
        raise InvalidCorpus(
            "the recordings of this corpus have no video, so there is no teacher; set alpha to 0,"
            " or give corpus.features."
        )
    run, epochs = Run("teacher", settings), settings.teacher_training().epochs
    progress = Progress("teacher", epochs, len(folds), run)
    set_threads(settings, "teacher")
    return {fold.number: _teacher(run, data, fold, progress) for fold in folds}


def _teacher(run, data, fold, progress):
    def make(temporary, epochs):
        """Train the teacher and write its weights, its targets and, last, its epochs."""
        on_device = data.to(data.device)  # the frames too
        trainer = teacher_trainer(run.settings, on_device, fold)
        if weights := run.settings.model.teacher_weights:
            load_pretrained(trainer.network.encoder[0], run.settings.backbone, weights)
        history = progress.follow(fold, epochs(trainer))
        arrays = extract_privileged(trainer.network, run.settings, on_device)
        student_file.save(temporary.with_name(WEIGHTS), trainer.network.state_dict())
        student_file.save(temporary.with_name(TARGETS), arrays)
        temporary.write_text(json.dumps({"fold": fold.number, "history": history}))

    _once(_cached("teachers", run, data, fold, "/fold.json"), run, make)
    return trained_teacher(run, data, fold)


def trained_teacher(run: Run, data: Store, fold: Fold) -> TrainedTeacher | None:
    """Return the privileged information of a fold, on the store's device; None where the teacher of
    that ``run`` is not trained.

    Without a GPU, one that was trained there is found too, in other arithmetic.
    """
    other = "bf16" if run.settings.training.precision == "auto" else None
    files = [
        _cached("teachers", run, data, fold, "/fold.json", arithmetic=arithmetic)
        for arithmetic in (None, other)
    ]
    file = next((file for file in files if file.exists()), None)
    if not file:
        return None
    network = None
    if run.settings.training.target_stretch == "crop":
        if data.fps is None:
            raise InvalidParameter(
                "parameter 'training.target_stretch' is 'crop', but the face measurements of this"
                " corpus have no times; use recording."
            )
        network = build_teacher(run.settings, len(data.classes), data.frames.values.shape[1:])
        network = _frozen(network, file.with_name(WEIGHTS), data.device)
    privileged = build_privileged(load_file(file.with_name(TARGETS)), data.device, network)
    history = json.loads(file.read_text())["history"]
    return TrainedTeacher(**vars(privileged), history=history, folder=file.parent)


@dataclass(frozen=True)
class Student:
    """The outputs of one fold's student.

    Of its test recordings ``probabilities`` ``(tested, classes)`` and ``embeddings`` ``(tested,
    embedding)``; ``validation`` ``(validation, classes)`` are probabilities of the validation
    recordings, ``trials`` ``(files, embedding)`` embeddings of the files that verification
    compares; both are empty where there are none. The ``network`` is that of a student trained now.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    embeddings: np.ndarray
    trials: np.ndarray
    history: History
    network: Network | None = None


def students(
    run: Run, data: Store, folds: list[Fold], privileged: dict[int, PrivilegedInformation],
    trials: Store | None = None,
) -> dict[int, Student]:  # fmt: skip
    """Train the student of every fold; return them by fold number.

    ``privileged`` may be empty at alpha = 0. ``trials`` holds the audio of the files that
    verification compares. The outputs of a finished fold stay until :func:`remove_checkpoints`, so
    that an interrupted run continues with the next one.
    """
    progress = Progress("student", run.settings.training.epochs, len(folds), run)
    set_threads(run.settings, "student")
    return_memory()
    trained = {
        fold.number: _student(run, data, fold, privileged.get(fold.number), progress, trials)
        for fold in folds
    }
    # an earlier result, its students and their card go before the students of this one come
    earlier = run.folder.glob("*.safetensors")
    for file in (run.folder / "result.json", *earlier, run.folder / "README.md"):
        file.unlink(missing_ok=True)
    for fold in folds if run.keeps_students else ():
        name = f"fold-{fold.number}" if run.settings.tested else "student"
        with paths.replacing(run.folder / f"{name}.safetensors") as temporary:
            shutil.copyfile(_weights(_finished(run, data, fold, trials)), temporary)
    return trained


def _weights(file):
    """Return the file of a student's weights beside that of its outputs: another run may take the
    run's folder before this one ends."""
    return file.with_name(f"{file.stem}-student.safetensors")


def _student(run, data, fold, privileged, progress, trials):
    settings, file = run.settings, _finished(run, data, fold, trials)
    weights = _weights(file)

    def make(temporary, epochs):
        """Train the student and write its outputs, and its weights where they are kept."""
        student = train_student(settings, data, fold, privileged, progress, trials, epochs)
        if run.keeps_students:
            facts = {
                "classes": list(map(str, data.classes)),
                "settings": settings.model_dump(mode="json"),
                "fold": {"number": fold.number, "name": fold.name},
                "verification": verification_threshold(student.network, settings, data, fold),
                "provenance": provenance(data, settings.training),
            }
            student_file.write(weights, student.network, facts)
        arrays = {name: getattr(student, name) for name in ARRAYS}
        save_arrays(arrays, temporary, metadata={"history": json.dumps(student.history)})

    _once(file, run, make, *([weights] if run.keeps_students else []))
    with safe_open(file, "numpy") as saved:
        arrays = {name: saved.get_tensor(name) for name in ARRAYS}
        return Student(**arrays, history=json.loads(saved.metadata()["history"]))


def remove_checkpoints(
    run: Run, data: Store, folds: list[Fold], trials: Store | None = None
) -> None:
    """Remove the finished folds of a run, once its result is written; of a run of other folds those
    that both have go too."""
    for file in [_finished(run, data, fold, trials) for fold in folds]:
        for left in file.parent.glob(f"{file.stem}*"):
            left.unlink(missing_ok=True)


def train_student(
    settings: Settings, data: Store, fold: Fold, privileged: PrivilegedInformation | None,
    progress: Progress, trials: Store | None = None, epochs=Trainer.epochs,
) -> Student:  # fmt: skip
    """Train one fold's student and return its outputs for the test recordings, and those of
    ``trials``.

    Last-epoch weights are used. Raises NotFinite where the loss is no longer a number.
    """
    audio = settings.alpha and settings.training.targets == "audio"
    teacher = audio_teacher(settings, data, fold, progress) if audio else None
    if settings.training.cross_fit and privileged:
        privileged = _cross_fitted(settings, data, fold, privileged)
    targets = build_targets(settings, data, fold, privileged, teacher)
    trainer = student_trainer(settings, data, fold, targets)
    network, history = trainer.network, progress.follow(fold, epochs(trainer))
    probabilities, embeddings = predict(network, settings, data, fold.test)
    validation, _ = predict(network, settings, data, fold.validation)
    outputs = (each.cpu().numpy() for each in (probabilities, validation, embeddings))
    compared = _trial_embeddings(network, settings, data, fold, trials)
    return Student(*outputs, compared, history, network)


def _cross_fitted(settings, data, fold, own):
    """Return privileged information of which no training recording's comes from a teacher that was
    trained on it."""
    from kdsuite.runs.cross_fitting import cross_fitted, parts  # late: scikit-learn

    run, count = Run("teacher", settings), settings.training.cross_fit
    progress = Progress("cross-fitted teacher", settings.teacher_training().epochs, count)
    set_threads(settings, "teacher")
    others = [
        (_teacher(run, data, rest, progress), rest.train, rows)
        for rest, rows in parts(data, fold, count)
    ]
    set_threads(settings, "student")
    return cross_fitted(own, others)


def audio_teacher(settings: Settings, data: Store, fold: Fold, progress: Progress) -> Network:
    """Return a frozen audio teacher: an undistilled student with other weights and
    crops, trained once."""
    run = Run("student", settings.undistilled())
    file = _cached("teachers", run, data, fold, ".safetensors", "audio")

    def make(temporary, epochs):
        trainer = student_trainer(run.settings, data, fold, None, "audio teacher")
        Progress("audio teacher", progress.epochs).follow(fold, epochs(trainer))
        student_file.save(temporary, trainer.network.state_dict())

    _once(file, run, make)
    return _frozen(build_student(settings, len(data.classes)), file, data.device)


def _trial_embeddings(network, settings, data, fold, trials):
    """Return the embeddings of the files that verification compares.

    Where ``training.trial_score`` is ``centred``, less the mean embedding of the fold's training
    recordings.
    """
    rows = np.arange(len(trials.recordings) if trials else 0)
    embeddings = embed(network, settings, trials or data, rows)
    if trials and settings.training.trial_score == "centred":
        embeddings = embeddings - embed(network, settings, data, fold.train).mean(dim=0)
    return embeddings.cpu().numpy()


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
            embeddings = embed(network, settings, data, rows).cpu().numpy()
            return {"recordings_of": side, **calibrated(embeddings, speakers[rows])}
    return None
