"""The parameters of a run: declared once with their help, checked, merged with the file of their dataset.

The axes of the paper are the fields of :class:`Settings`; everything else sits in four sections that mirror
``params/<dataset>.yaml``. Each field names the first stage of the suite (``data``, ``teacher``, ``student``) whose
numbers it changes, so that :meth:`Settings.fingerprint` tells which work of an earlier run can be used again.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

import pydantic
import yaml

from kdlib import places
from kdlib.errors import InvalidParameter

STAGES = ("data", "teacher", "student")
SECTIONS = ("corpus", "media", "model", "training")
ALL_FOLDS = "all"


def _field(default: Any, stage: str | None, help: str, **constraints: Any) -> Any:
    """Declare a parameter: ``stage`` is the first one whose numbers depend on it (None: none does)."""
    return pydantic.Field(default, description=help, json_schema_extra={"stage": stage}, **constraints)


class Section(pydantic.BaseModel):
    """A mapping of parameters: unknown names and wrong types are errors, an integer may stand for a float."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    def upto(self, stage: str) -> dict[str, Any]:
        """Return the parameters that the numbers of ``stage`` depend on, nested as in the file."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Section) and not isinstance(value, Synthetic):
                found[name] = value.upto(stage)
            elif self.first_stage(name) is not None and self.known(name, stage):
                found[name] = value.model_dump() if isinstance(value, Section) else value
        return found

    @classmethod
    def first_stage(cls, name: str) -> str | None:
        """Return the first stage whose numbers depend on a parameter, None where none do."""
        return (cls.model_fields[name].json_schema_extra or {}).get("stage")

    @classmethod
    def known(cls, name: str, stage: str) -> bool:
        """Return whether a stage has to be told a parameter: its numbers depend on it, or no stage's do (such as the device)."""
        first = cls.first_stage(name)
        return first is None or STAGES.index(first) <= STAGES.index(stage)


class Synthetic(Section):
    """The small corpus the suite makes itself, in the tree and the file formats of the real one."""

    actors: int = _field(6, "data", "number of speakers; odd ones male, as in RAVDESS; IEMOCAP has two a session", ge=2, le=99)
    takes: int = _field(26, "data", "recordings a speaker, spread evenly over the emotions; RAVDESS has 104", ge=1, le=104)
    outsiders: int = _field(0, "data", "further speakers whom only a verification trial list names (voxceleb1)", ge=0, le=99)
    actors_without_song: list[int] = _field([18], "data", "actors who only speak, as actor 18 of RAVDESS")
    modalities: list[Literal["01", "02", "03"]] = _field(["01"], "data", "files a take: 01 sound and video, 02 video only, 03 sound only")
    seconds: float = _field(2.4, "data", "mean length of a recording in seconds", ge=0.5, le=10)
    video_size: tuple[int, int] = _field((160, 90), "data", "width and height of the video in pixels, both even")
    video_information: float = _field(
        0.95, "data", "probability that the face shows the labelled emotion and not one drawn at random", ge=0, le=1
    )
    audio_information: float = _field(
        0.75, "data", "probability that the voice carries the labelled emotion and not one drawn at random", ge=0, le=1
    )
    seed: int = _field(0, "data", "seed of faces, voices and takes", ge=0)


class Corpus(Section):
    """Where the recordings are, which of them are used, and how they are split."""

    layout: Literal["ravdess", "voxceleb1", "iemocap", "manifest"] = _field("ravdess", "data", "how the corpus lies on disk")
    path: str = _field("", "data", "folder of the corpus (of a manifest its file), absolute or inside a corpora folder")
    target: Literal["label", "speaker"] = _field("label", "data", "what the networks learn to tell: the label, or who speaks")
    channels: list[Literal["speech", "song"]] = _field(["speech", "song"], "data", "kinds of vocalisation used (ravdess)")
    calm: Literal["neutral", "own", "omit"] = _field(
        "neutral", "data", "calm takes count as neutral, as a class of their own, or not at all (ravdess)"
    )
    excited: Literal["happy", "omit"] = _field("happy", "data", "excited turns count as happy, or not at all (iemocap)")
    dialogues: list[Literal["improvised", "scripted"]] = _field(["improvised", "scripted"], "data", "kinds of dialogue used (iemocap)")
    unit: Literal["video", "utterance"] = _field(
        "video", "data", "a recording is a video, of which the first utterance is used, or every utterance (voxceleb1)"
    )
    features: str = _field("", "data", "table of face measurements that stands for the video, one or more rows a recording")
    standardise: Literal["none", "speaker"] = _field(
        "none", "data", "scale of the face measurements: as given, or zero mean and unit variance for each speaker"
    )
    unreadable: Literal["stop", "leave_out"] = _field(
        "stop", "data", "a recording that cannot be decoded stops the run, or is left out and named in every result"
    )
    protocol: Literal["speakers", "portions", "random", "given"] = _field(
        "speakers",
        "teacher",
        "speakers leaves speakers out; portions splits the recordings of each speaker; random deals recordings out, leaking speakers; given takes the corpus' own folds",
    )
    groups: int = _field(
        0, "teacher", "number of folds that speakers (or recordings, if random) are dealt into; 0 leaves one speaker out at a time", ge=0
    )
    portions: tuple[float, float, float] = _field(
        (0.7, 0.1, 0.2), "teacher", "shares of each speaker's recordings for training, validation and test (protocol portions)"
    )
    split_seed: int = _field(0, "teacher", "seed of the protocols portions and random, and of fraction", ge=0)
    validation: int = _field(
        0,
        "teacher",
        "speakers that each fold keeps out of training to choose alpha on (protocol speakers; portions has a share of its own)",
        ge=0,
    )
    fraction: float = _field(
        1.0, "teacher", "share of each fold's training recordings, evenly over the classes, that teacher and student train on", gt=0, le=1
    )
    trials: list[str] = _field([], "student", "verification trial lists, files in the corpus such as veri_test.txt")
    synthetic: Synthetic | None = _field(None, "data", "makes the corpus at this path where it is absent")


class Media(Section):
    """Decoding and the audio front end."""

    sample_rate: int = _field(16000, "data", "sound, samples a second", ge=4000)
    fps: int = _field(25, "data", "video, frames a second", ge=1)
    picture_rate: float = _field(1.0, "data", "pictures a second in folders of still pictures", gt=0)
    crop: float = _field(1.0, "data", "side of the centred square cut from each frame, relative to the frame's shorter side", gt=0, le=1)
    frame_size: int = _field(224, "data", "side of the resized frame in pixels; five halvings must leave something", ge=32)
    frame_stride: int = _field(1, "teacher", "the teacher sees every n-th frame", ge=1)
    duration: float = _field(4.0, "teacher", "seconds of a recording in training, cropped at random or repeated", gt=0)
    segment: float = _field(1.0, "teacher", "seconds of a segment in the sequential settings", gt=0)
    inference: Literal["whole", "fixed"] = _field(
        "whole", "teacher", "length at inference: the whole recording, or its middle of the training duration"
    )
    front_end: Literal["stft", "logmel"] = _field("stft", "student", "spectrogram: logarithmic STFT magnitude, or log-mel energies")
    fft: int = _field(512, "student", "points of the Fourier transform; half of them plus one are the STFT's bins", ge=64)
    bins: int = _field(40, "student", "mel bands of the logmel front end", ge=8)
    window: float = _field(0.025, "student", "length of the Hamming window in seconds", gt=0)
    hop: float = _field(0.010, "student", "step between windows in seconds", gt=0)
    normalise: Literal["utterance", "bin"] = _field(
        "utterance", "student", "zero mean and unit variance over the whole spectrogram, or for each frequency bin"
    )


class Model(Section):
    """Sizes of the networks; the defaults are the paper's."""

    embedding: int = _field(512, "teacher", "units of the encoder's and aggregator's embedding", ge=4, multiple_of=2)
    teacher_width: float = _field(1.0, "teacher", "channels of the teacher relative to the standard network", gt=0)
    teacher_weights: str = _field(
        "", "teacher", "pretrained weights: a state dict file, or a name that torchvision knows such as IMAGENET1K_V1"
    )
    teacher_batchnorm: bool = _field(False, "teacher", "batch-norm in the VGG16 teacher; the standard network has none")
    width: float = _field(1.0, "student", "channels of the student relative to the paper's network", gt=0)
    reduction: int = _field(16, "teacher", "squeeze-and-excitation reduction", ge=1)


class Training(Section):
    """Optimisation, the same for teacher and student unless named otherwise."""

    epochs: int = _field(50, "teacher", "passes over the training recordings; last-epoch numbers are reported", ge=1)
    teacher_epochs: int | None = _field(None, "teacher", "epochs of the teacher where they differ", ge=1)
    teacher_frames: int | None = _field(
        None, "teacher", "frames of a recording, drawn anew each epoch, for the teacher without aggregator; all where not given", ge=1
    )
    batch_size: int = _field(32, "teacher", "recordings a step; frames a step for the teacher without aggregator", ge=2)
    teacher_batch: int | None = _field(None, "teacher", "frames a step for the teacher without aggregator where they differ", ge=2)
    learning_rate: tuple[float, float] = _field((0.0001, 0.001), "teacher", "lowest and highest rate of the cycle")
    teacher_learning_rate: tuple[float, float] | None = _field(None, "teacher", "the teacher's rates where they differ")
    cycle: float = _field(5.0, "teacher", "epochs from the lowest rate to the highest", gt=0)
    betas: tuple[float, float] = _field((0.9, 0.999), "teacher", "decay rates of Adam's moments")
    precision: Literal["float32", "bf16"] = _field("float32", "teacher", "arithmetic of the forward pass; bf16 is autocast")
    distance: Literal["mse", "cosine", "smooth_l1"] = _field("mse", "student", "distance between student and teacher embeddings")
    temperature: float = _field(1.0, "student", "softens the teacher's class probabilities", gt=0)
    targets: Literal["teacher", "shuffled", "shuffled_in_class", "random", "audio", "uniform"] = _field(
        "teacher",
        "student",
        "what the student is drawn to: the teacher's own, or as a control those of another recording, of another one of its class, random ones, "
        "those of a teacher that heard the same sound, or equal probabilities (label smoothing)",
    )
    checkpoint: float = _field(60.0, None, "seconds between two checkpoints of a training, from which a run that broke off goes on", ge=0)
    keep_students: bool = _field(False, None, "keep the weights of the students beside their results")
    device: Literal["auto", "cpu", "cuda"] = _field("auto", None, "where networks run; auto takes a GPU where there is one")


class Settings(Section):
    """All parameters of a run, as :func:`load` merges and checks them."""

    dataset: str = _field("demo-ravdess", None, "a file in params, without its ending")
    backbone: Literal["vgg", "resnet", "seresnet"] = _field(
        "seresnet", "teacher", "vgg, resnet or seresnet; family of teacher and student encoder"
    )
    setting: Literal["nonseq", "em", "agg"] = _field(
        "nonseq",
        "student",
        "nonseq, em or agg; one spectrogram a recording, or segments distilled at the encoder (em) or the aggregator (agg)",
    )
    method: Literal["embedding", "softlabel", "multitask"] = _field(
        "embedding", "student", "embedding (the paper's), softlabel or multitask; what the student learns from the teacher"
    )
    alpha: float = _field(0.5, "student", "imitation parameter, weight of the teacher from 0 to 1", ge=0, le=1)
    folds: int | str = _field(ALL_FOLDS, None, "all, one number, a range such as 0-7 or a list such as 0,4,9")
    seed: int = _field(0, "teacher", "seed of initial weights, order and crops", ge=0)
    corpus: Corpus = _field(Corpus(), None, "laid over the corpus section of the dataset's file")
    media: Media = _field(Media(), None, "laid over the media section of the dataset's file")
    model: Model = _field(Model(), None, "laid over the model section of the dataset's file")
    training: Training = _field(Training(), None, "laid over the training section of the dataset's file")

    @property
    def sequential(self) -> bool:
        """Whether the networks have an aggregator."""
        return self.setting != "nonseq"

    @property
    def asks_teacher(self) -> bool:
        """Whether a teacher that sees is needed: not at alpha = 0, nor by controls that do without one."""
        return self.alpha > 0 and self.training.targets not in ("audio", "uniform")

    @property
    def segments(self) -> int:
        """Segments of a training crop."""
        return round(self.media.duration / self.media.segment)

    def of_teacher(self) -> Training:
        """Return the training of the teacher: epochs, rates and batch are its own where they are given."""
        training = self.training
        return training.model_copy(
            update={
                "epochs": training.teacher_epochs or training.epochs,
                "learning_rate": training.teacher_learning_rate or training.learning_rate,
                "batch_size": training.batch_size if self.sequential else training.teacher_batch or training.batch_size,
            }
        )

    def canonical(self) -> Settings:
        """Return the settings under which this run's result is filed.

        The undistilled student (alpha = 0) is one network whatever the method, and in the sequential settings
        whatever the level of distillation: it is filed as ``embedding`` and ``em``. What is said of targets is then that of
        the dataset's file.
        """
        if self.alpha > 0:
            return self
        usual = of_dataset(self.dataset).training
        training = self.training.model_copy(update={name: getattr(usual, name) for name in DISTILLATION})
        return self.model_copy(update={"method": "embedding", "setting": "em" if self.sequential else "nonseq", "training": training})

    def undistilled(self) -> Settings:
        """Return the settings of the student that never met a teacher and is otherwise the same."""
        return self.model_copy(update={"alpha": 0.0}).canonical()

    def departures(self, stage: str = "student", numbers: bool = False) -> dict[str, Any]:
        """Return the parameters that differ from those of the dataset's file, by their dotted names, as far as the stage knows them.

        With ``numbers``, only those that its numbers depend on.
        """
        usual = of_dataset(self.dataset)
        sections = [(section, *(of.model_dump(include={section}, mode="json")[section] for of in (self, usual))) for section in SECTIONS]
        return {
            f"{section}.{name}": ours[name]
            for section, ours, theirs in sections
            for name in ours
            if ours[name] != theirs[name]
            and getattr(self, section).known(name, stage)
            and not (numbers and getattr(self, section).first_stage(name) is None)
        }

    def fingerprint(self, stage: str) -> str:
        """Return a short hash of every parameter that the numbers of ``stage`` depend on."""
        facts = self.upto(stage)
        if stage == "teacher":
            facts["sequential"] = self.sequential
        return digest(facts)


def digest(facts: Any, length: int = 12) -> str:
    """Return a short hexadecimal hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:length]


def nearest(name: str, choices: Any) -> str:
    """Return ``; did you mean 'x'? `` for the choice spelt most like ``name``, or ``. ``: how a sentence goes on to the choices."""
    close = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean '{close[0]}'? " if close else "; "


# parameters of the training that an undistilled student does not know
DISTILLATION = ("distance", "temperature", "targets")
MODELS = {"corpus": Corpus, "media": Media, "model": Model, "training": Training, "synthetic": Synthetic}


def datasets() -> list[str]:
    """Return the names of the datasets that have a file in ``params``."""
    return sorted(path.stem for path in places.PARAMS.glob("*.yaml"))


def read_yaml(path: Any) -> dict[str, Any]:
    """Read a parameter file; raise InvalidParameter where it is not a YAML mapping."""
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise InvalidParameter(f"{path.name} is not valid YAML ({str(error).splitlines()[0]}); mend that file") from None
    if not isinstance(values, dict):
        raise InvalidParameter(f"{path.name} must hold a mapping of parameters; mend that file")
    return values


def _merge(base: dict, over: dict) -> dict:
    """Lay ``over`` on ``base``, section by section."""
    return {
        **base,
        **{
            name: _merge(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
            for name, value in over.items()
        },
    }


def load(**given: Any) -> Settings:
    """Merge the given parameters over those of their dataset's file and check the result.

    Raises InvalidParameter, one sentence with the parameter, the choices and the nearest spelling.
    """
    for name in given:
        if name not in Settings.model_fields:
            raise InvalidParameter(
                f"unknown parameter '{name}'{nearest(name, Settings.model_fields)}choose from {', '.join(Settings.model_fields)}."
            )
    dataset = given.get("dataset", Settings.model_fields["dataset"].default)
    if dataset not in datasets():
        raise InvalidParameter(
            f"unknown dataset {dataset!r}{nearest(dataset, datasets())}choose from {', '.join(datasets())}, or write params/{dataset}.yaml."
        )
    for name in SECTIONS:
        if not isinstance(given.get(name, {}), dict):
            raise InvalidParameter(f"parameter '{name}' must be a mapping such as {{epochs: 5}}, not {given[name]!r}.")
    return checked(_merge(read_yaml(places.PARAMS / f"{dataset}.yaml"), given))


def checked(values: dict[str, Any]) -> Settings:
    """Return the settings that ``values`` hold, with no dataset's file below them; raise InvalidParameter as :func:`load` does."""
    try:
        # from YAML a pair is a list, so it is checked as JSON is
        settings = Settings.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        raise InvalidParameter(_sentence(error)) from None
    except TypeError as error:
        raise InvalidParameter(f"a parameter holds something that is neither number, text, list nor mapping ({error}).") from None
    _check_together(settings)
    return settings


@lru_cache
def of_dataset(dataset: str) -> Settings:
    """Return the settings of a dataset's file, nothing laid over them."""
    return load(dataset=dataset)


def _sentence(error: pydantic.ValidationError) -> str:
    """Turn pydantic's first complaint into one sentence."""
    first = error.errors()[0]
    models: list[Any] = [Settings]
    for part in first["loc"]:
        models.append(MODELS.get(part, models[-1]))
    # numbers of list items and pydantic's names for the branches of a union ("int", "str") say nothing to a user
    name = ".".join(part for part in map(str, first["loc"]) if part not in ("int", "str") and not part.isdigit())
    if first["type"] == "extra_forbidden":
        choices = models[-2].model_fields
        return f"unknown parameter '{name}'{nearest(first['loc'][-1], choices)}choose from {', '.join(choices)}."
    if first["type"] == "literal_error":
        choices = [choice.strip("' ") for choice in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"parameter '{name}' is {first['input']!r}{nearest(first['input'], choices)}choose from {', '.join(choices)}."
    return f"parameter '{name}' is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _check_together(settings: Settings) -> None:
    """Refuse parameters that contradict each other."""
    media = settings.media
    if abs(settings.segments * media.segment - media.duration) > 1e-9:
        raise InvalidParameter(
            f"parameter 'media.duration' is {media.duration} s, which is no whole number of segments of {media.segment} s."
        )
    if abs(media.fps * media.segment - round(media.fps * media.segment)) > 1e-9 or round(media.fps * media.segment) % media.frame_stride:
        raise InvalidParameter(
            f"parameter 'media.frame_stride' is {media.frame_stride}, which leaves no whole number of frames in a segment of {media.segment} s at {media.fps} frames a second."
        )
    if media.sample_rate % media.fps:
        raise InvalidParameter(
            f"parameter 'media.sample_rate' is {media.sample_rate}, which is no whole number of samples a frame at {media.fps} frames a second."
        )
    if media.window * media.sample_rate > media.fft:
        raise InvalidParameter(
            f"parameter 'media.fft' is {media.fft}, shorter than the window of {media.window} s at {media.sample_rate} samples a second."
        )
    for name in ("learning_rate", "teacher_learning_rate"):
        low, high = getattr(settings.training, name) or settings.training.learning_rate
        if not 0 < low <= high:
            raise InvalidParameter(f"parameter 'training.{name}' is [{low}, {high}]; give the lowest rate, above 0, then the highest.")
    if settings.training.targets == "uniform" and settings.alpha > 0 and settings.method != "softlabel":
        raise InvalidParameter(
            f"parameter 'training.targets' is 'uniform' (label smoothing), which has probabilities but no embedding; set method to softlabel, not {settings.method}."
        )
    choose_folds(settings.folds, None)


def choose_folds(folds: int | str, count: int | None) -> list[int]:
    """Return the fold numbers that ``all``, ``3``, ``0-7`` or ``0,4,9`` means among ``count`` folds (None: unknown yet)."""
    if str(folds).strip() == ALL_FOLDS:
        return list(range(count or 0))
    try:
        chosen = set()
        for part in str(folds).split(","):
            first, _, last = part.strip().partition("-")
            chosen.update(range(int(first), int(last or first) + 1))
    except ValueError:
        raise InvalidParameter(
            f"parameter 'folds' is {folds!r}; give all, one number, a range such as 0-7 or a list such as 0,4,9."
        ) from None
    if not chosen or (count is not None and max(chosen) >= count):
        raise InvalidParameter(f"parameter 'folds' is {folds!r}, but the folds of this corpus are numbered 0 to {(count or 1) - 1}.")
    return sorted(chosen)


class NotebookParameters:
    """Collects a notebook's parameters and refuses names that nobody declared.

    papermill only warns about a misspelt ``-p`` name and goes ahead. Made in the cell *before* the parameters, this
    remembers the names that exist; :meth:`check`, called in the cell after them, sees what was added.
    """

    def __init__(self, namespace: dict[str, Any], names: Iterable[str] = ()) -> None:
        self._namespace = namespace
        self._names = tuple(names or Settings.model_fields)
        self._before = set(namespace) - set(self._names)

    def given(self) -> dict[str, Any]:
        """Return what the parameters cell and papermill set; raise InvalidParameter for a name that nobody declared."""
        found = {
            name: value
            for name, value in self._namespace.items()
            if name not in self._before and not name.startswith("_") and value is not self
        }
        for name in found:
            if name not in self._names:
                raise InvalidParameter(f"unknown parameter '{name}'{nearest(name, self._names)}choose from {', '.join(self._names)}.")
        return found

    def check(self) -> Settings:
        """Return the checked settings; raise InvalidParameter in one sentence."""
        return load(**self.given())
