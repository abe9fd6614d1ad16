"""The settings of a run: the axes of the paper and its four sections of parameters, merged with the
file of their dataset, checked.

What the sections hold is declared in :mod:`kdlib.parameters` and :mod:`kdsuite.parameters`, each
parameter with the first stage whose numbers depend on it; :func:`relevant` reads that table.
"""

import difflib
import gc
import json
import re
from collections.abc import Collection
from contextlib import suppress
from fractions import Fraction
from functools import cache, lru_cache
from itertools import chain, product
from operator import attrgetter
from pathlib import Path
from symtable import symtable
from typing import Any

import numpy as np
import pydantic
import yaml

from kdlib import parameters
from kdlib.errors import InvalidParameter
from kdlib.parameters import STAGES, Model, OfNone, Section, digest  # noqa: F401
from kdsuite import paths
from kdsuite.parameters import ALL_FOLDS, NO_FOLDS, Corpus, Media, Selection, Synthetic, Training

MODELS = {"corpus": Corpus, "media": Media, "model": Model, "training": Training}
SECTIONS = tuple(MODELS)
# parameters of the training that an undistilled student does not depend on
DISTILLATION = {
    "cross_fit", "distance", "distance_reduction", "multitask_label", "target_stretch",
    "temperature", "softened", "targets",
}  # fmt: skip
# parameters of the model that a network without aggregator does not have
OF_AGGREGATOR = {"lstm_activation", "aggregator_norm"}
# parameters that only the teacher depends on
OF_TEACHER = {
    name for name in (*Model.model_fields, *Training.model_fields) if name.startswith("teacher_")
}
# numbers of list items, and pydantic's names for branches of a union
TYPES = {"int", "str", *range(999)}
# text that a person takes for a number
NUMBER = re.compile(r"[-+]?\d{0,15}\.?\d{1,15}(e[-+]?\d{1,2})?", re.IGNORECASE)

# of names that are none
READ = "; YAML ends a value at a comma (write 0.5), and reads on and yes as true"


class Settings(parameters.Settings, Selection):
    """The settings of a run, as :func:`load` merges and checks them."""

    media: OfNone[Media] = Media()
    """overrides the media section of the dataset's file"""
    training: OfNone[Training] = Training()
    """overrides the training section of the dataset's file"""

    @property
    def tested(self) -> bool:
        """Whether folds leave recordings for a test; with ``folds: none`` all are for training."""
        return self.folds != NO_FOLDS

    def changed(self, **values: Any) -> "Settings":
        """Return the settings with other ``values``, in a mapping those of a section."""
        for name, value in values.items():
            if isinstance(value, dict):
                values[name] = getattr(self, name).model_copy(update=value)
        return self.model_copy(update=values)

    def canonical(self) -> "Settings":
        """Return the settings under which this run's result is filed.

        The undistilled student (alpha = 0) is one network whatever the method, and in the
        sequential settings whatever the level of distillation: it is filed as ``embedding`` and
        ``em``, with the dataset's own parameters of distillation and of teachers.
        """
        if self.alpha > 0:
            return self
        usual, setting = of_dataset(self.dataset), "em" if self.sequential else "nonseq"
        model = usual.model.model_dump(include=OF_TEACHER)
        training = usual.training.model_dump(include=OF_TEACHER | DISTILLATION)
        return self.changed(method="embedding", setting=setting, model=model, training=training)

    def undistilled(self) -> "Settings":
        """Return the settings of the student that has no teacher and is otherwise the same."""
        return self.changed(alpha=0.0).canonical()

    def overrides(self, stage: str = "student", numbers: bool = False) -> dict[str, Any]:
        """Return the parameters of the sections that differ from the dataset's file, by their
        dotted names, as far as the stage knows them.

        With ``numbers``, only those that its numbers depend on.
        """
        ours, usual = (
            of.model_dump(mode="json", include=known(stage, numbers))
            for of in (self, of_dataset(self.dataset))
        )
        return {
            f"{section}.{name}": value
            for section in SECTIONS
            for name, value in ours[section].items()
            if value != usual[section][name]
        }


@cache
def known(stage: str, numbers: bool = True, decoding: bool = False) -> dict[str, Any]:
    """Return the parameters that a run of the stage knows, nested as pydantic's ``include``; of a
    data run with ``decoding`` those of the recordings alone.

    Those are the parameters that the numbers of the stage or of an earlier one depend on and,
    without ``numbers``, those that no number depends on, such as the device.
    """

    def names(model, stage):
        stages = {*STAGES[: STAGES.index(stage) + 1], *(() if numbers else [None])}
        fields = model.model_fields.items()
        return {name: True for name, field in fields if field.json_schema_extra["stage"] in stages}

    sections = {name: names(MODELS[name], stage) for name in SECTIONS}
    if stage == "data" and not decoding:  # the linear baseline, which depends on the folds
        sections["corpus"] = names(Corpus, "student")
    return names(Settings, stage) | sections


def relevant(settings: Settings, stage: str, decoding: bool = False) -> dict[str, Any]:
    """Return the parameters that the numbers of this run depend on, nested as in the dataset's
    file; of a data run with ``decoding`` those of the recordings alone.

    Networks without aggregator do not depend on its parameters, and students without a video
    teacher not on the teacher's; at alpha = 0 they do not depend on the targets either.
    """
    unused = set() if settings.sequential else OF_AGGREGATOR
    if stage == "teacher":  # under one name whether they are its own or those of students too
        settings = settings.changed(training=settings.teacher_training())
        unused = unused | {"teacher_epochs", "teacher_learning_rate", "teacher_batch"}
    if stage == "student" and not settings.needs_teacher:
        unused = unused | OF_TEACHER | (set() if settings.alpha else DISTILLATION)
    # newer than stores, teachers and results, which keep their names where these are not used
    folds_from = set() if settings.corpus.folds_from else {"folds_from"}
    face = {"face"} if settings.media.face == "track" else set()
    if not (settings.training.cross_fit and settings.needs_teacher):
        unused = unused | {"cross_fit"}
    exclude = {"corpus": folds_from, "media": face, "model": unused, "training": unused}
    facts = settings.model_dump(include=known(stage, decoding=decoding), exclude=exclude)
    # em and agg have one teacher
    return facts | ({"sequential": settings.sequential} if stage == "teacher" else {})


def unknown(
    what: str, name: object, choices: Collection[str], remedy: str = ""
) -> InvalidParameter:
    """Return the error for a ``name`` that is none of the ``choices``, with the nearest spelling;
    ``what`` is how the sentence begins."""
    close = difflib.get_close_matches(str(name), choices, n=1)
    meant = "".join(f"did you mean '{each}'? " for each in close)
    return InvalidParameter(f"{what}; {meant}choose from {', '.join(choices)}{remedy}.")


def called(value: object, names: Collection[str]) -> str:
    """Return the one of ``names`` that papermill, Snakemake or YAML has read as ``value``, such as
    the number 7 for ``007``; else ``value`` as text."""
    if str(value) not in names:
        for read, name in product((yaml.safe_load, int, float), names):
            with suppress(ValueError):
                if repr(read(name)) == repr(value):
                    return name
    return str(value)


def datasets() -> dict[str, Path]:
    """Return the files in ``params`` by their names, which are those of the datasets."""
    return paths.parameter_files()


def read_yaml(path: Path, aliases: bool = False) -> dict[str, Any]:
    """Return what a parameter file holds; raise InvalidParameter where it is not a YAML mapping.

    Without ``aliases``, by which a few lines of text become gigabytes, or hold themselves, they are
    refused.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"), aliases)
    except Exception as error:  # PyYAML lets errors of every kind through, a KeyError for !!bool
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidParameter(
            f"{path.name} is not valid YAML ({reason}); correct that file."
        ) from None


@lru_cache
def _parsed(text, aliases):
    events = () if aliases else yaml.parse(text, yaml.SafeLoader)
    if any(isinstance(event, yaml.AliasEvent) for event in events):
        raise yaml.YAMLError("aliases (*name) are not allowed")
    values = yaml.safe_load(text) or {}
    if not isinstance(values, dict):
        raise yaml.YAMLError("a mapping of parameters is needed")
    return values


def _merge(base, overrides):
    """Return ``base`` with ``overrides`` laid over it, section by section."""
    if isinstance(base, dict) and isinstance(overrides, dict):
        return base | {name: _merge(base.get(name), value) for name, value in overrides.items()}
    return overrides


def load(**overrides: Any) -> Settings:
    """Merge the given parameters over those of their dataset's file and check the result.

    Raises InvalidParameter, one sentence with the parameter, the choices and the nearest spelling.
    """
    files = datasets()
    dataset = called(overrides.get("dataset", Settings().dataset), files)
    if dataset not in files:
        remedy = (
            f", or write a file of that name in {paths.PARAMS}, made of letters, digits, '.', '-'"
            " and '_'"
        )
        raise unknown(f"unknown dataset {dataset!r}", dataset, files or ["none"], remedy)
    values = read_yaml(files[dataset])
    for name in values.keys() - {"dataset", *SECTIONS}:
        what = f"{files[dataset]} has {name!r}, which is no section"
        raise unknown(
            what, name, SECTIONS, "; axes such as alpha are given to notebooks and suites"
        )
    return checked(_merge(values, overrides | {"dataset": dataset}))


def checked(values: dict[str, Any]) -> Settings:
    """Return the settings that ``values`` hold, with no dataset's file below them; raise
    InvalidParameter as :func:`load` does."""
    try:
        # from YAML a pair is a list, so it is checked as JSON is
        settings = Settings.model_validate_json(json.dumps(values))
        _check_together(settings)
        settings = settings.changed(folds=_as_ranges(settings.folds))
    except pydantic.ValidationError as error:
        raise _in_words(error) from None
    except (TypeError, RecursionError, ArithmeticError) as error:
        raise InvalidParameter(
            f"the parameters cannot be used ({error}); give text, lists, mappings, and numbers of"
            " usual size."
        ) from None
    return settings


@lru_cache
def of_dataset(dataset: str) -> Settings:
    """Return the settings of a dataset's file, nothing laid over them."""
    return load(dataset=dataset)


def _in_words(error):
    """Return pydantic's first complaint as one sentence."""
    first, *others = error.errors()
    *inner, last = first["loc"]
    unknown_name, branch = first["type"] == "extra_forbidden", str(last).startswith("literal[")
    place = [part for part in inner if part not in TYPES]
    place += [last] if unknown_name or not (branch or last in TYPES) else []
    name, value, why = ".".join(map(str, place)), first["input"], first["msg"]
    if unknown_name:
        sections = {**MODELS, "synthetic": Synthetic, "": Settings}
        choices = sections[["", *place][-2]].model_fields
        plain = place[-1].isidentifier() and place[-1].lower() not in ("true", "false")
        return unknown(f"unknown parameter '{name}'", place[-1], choices, "" if plain else READ)
    if first["type"] == "literal_error":
        choices = re.findall("'(.*?)'", first["ctx"]["expected"])
        same = [each["msg"].lower() for each in others if each["loc"][:-1] == (*inner,)]
        also = "".join(f"; else {message}" for message in same if branch)
        return unknown(f"parameter '{name}' is {value!r}", value, choices, also)
    remedy = ""
    if name in SECTIONS:
        remedy = '; give a section as -y "training: {epochs: 5}" does'
    elif isinstance(value, str) and NUMBER.fullmatch(value):  # 1e-4 is text in YAML
        remedy = f"; write {np.format_float_positional(float(value), trim='-')}"
    return InvalidParameter(f"parameter '{name}' is {value!r}: {why[0].lower()}{why[1:]}{remedy}.")


def _check_together(settings):
    """Refuse parameters that contradict each other."""
    media, training = settings.media, settings.training
    frames = media.fps * media.segment
    # after any other number of epochs the learning rate is not at its lowest
    cycle = Fraction(2 * training.cycle).limit_denominator(10**6)
    whole = cycle.numerator
    batchnorm = settings.backbone != "vgg" or settings.model.teacher_batchnorm
    segmented = settings.sequential or training.target_stretch == "crop"
    rules = [
        ("media.duration", abs(settings.segments * media.segment - media.duration) > 1e-9,
         f"which is no whole number of segments of {media.segment} s"),
        ("media.frame_stride",
         segmented
         and (abs(frames - round(frames)) > 1e-9 or round(frames) % media.frame_stride),
         f"which leaves no whole number of frames in a segment of {media.segment} s at {media.fps} "
         "frames a second"),
        ("media.sample_rate", media.sample_rate % media.fps,
         f"which is no whole number of samples a frame at {media.fps} frames a second"),
        ("training.betas", not 0 <= min(training.betas) <= max(training.betas) < 1,
         "but decay rates are from 0 to below 1"),
        ("media.fft", media.window * media.sample_rate > media.fft,
         f"shorter than the window of {media.window} s at {media.sample_rate} samples a second"),
        ("training.distance_reduction",
         training.distance == "cosine" and training.distance_reduction == "sum",
         "but the cosine has no elements to sum over; use mse"),
        ("training.cross_fit", training.cross_fit == 1,
         "but one part leaves no recording to train on; use 0, or 2 and more"),
        ("training.cross_fit", training.cross_fit and training.target_stretch == "crop",
         "but the targets of crops come from one teacher; set target_stretch to recording"),
        ("training.targets",
         training.targets == "uniform" and settings.alpha and settings.method != "softlabel",
         "label smoothing, which has no embedding; set method to softlabel, not "
         f"{settings.method}"),
        ("training.frames_at_once",
         training.frames_at_once and settings.sequential and batchnorm and settings.needs_teacher,
         f"but the {settings.backbone} teacher has batch-norm, which needs all frames; use "
         "training.accumulate"),
    ]  # fmt: skip
    # at alpha = 0 there is no teacher
    for prefix in ("training.", "training.teacher_")[: 1 + settings.needs_teacher]:
        names = prefix + "learning_rate", prefix + "epochs"
        rates, epochs = attrgetter(*names)(settings)
        low, high = rates or training.learning_rate
        below = (epochs or 0) // whole * whole
        near = " or ".join(str(count) for count in (below, below + whole) if count)
        rules += [
            (names[0], not 0 < low <= high, "but it is the lowest rate, above 0, then the highest"),
            (names[1], below != (epochs or 0),
             f"which is no whole number of cycles of {float(cycle):g} epochs (twice "
             f"training.cycle); the nearest that are: {near}"),
        ]  # fmt: skip
    for name, wrong, why in rules:
        if wrong:
            value = attrgetter(name)(settings)
            raise InvalidParameter(f"parameter '{name}' is {value!r}, {why}.")


def _as_ranges(folds):
    """Return the one spelling of folds: a run has one name, however they were written."""
    chosen = choose_folds(folds, None)
    if len(chosen) < 2:
        return chosen[0] if chosen else str(folds).strip()
    parts = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def choose_folds(folds: int | str, count: int | None) -> list[int]:
    """Return the fold numbers that ``all``, ``none``, ``3``, ``0-7`` or ``0,4,9`` means among
    ``count`` folds (None: unknown yet)."""
    if (name := str(folds).strip()) in (ALL_FOLDS, NO_FOLDS):
        return list(range(count or 0)) if name == ALL_FOLDS else []
    # it becomes part of a folder's name
    pattern = " *([0-9]{1,5}) *(?:- *([0-9]{1,5}) *)?"
    parts = [re.fullmatch(pattern, part) for part in str(folds).split(",")]
    ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) if part else () for part in parts]
    chosen = sorted({*chain(*ranges)})
    if all(ranges) and (count is None or chosen[-1] < count):
        return chosen
    numbers = f" from 0 to {count - 1}" if count else ""
    raise InvalidParameter(
        f"parameter 'folds' is {folds!r}; give all, none, or numbers{numbers} such as 3, 0-7 or"
        " 0,4,9."
    )


# what `-p training.epochs 1` makes of a name, which is no Python
DOTTED = re.compile(rf"^((?:{'|'.join(SECTIONS)})(?:\.\w+)+)(?= *=[^=])")


def _quote_dotted(lines):
    """Rewrite the lines of a cell so that a dotted name becomes one of the notebook's names."""
    return [DOTTED.sub(r'globals()["\1"]', line) for line in lines]


class NotebookParameters:
    """Collects a notebook's parameters and refuses names that do not exist.

    papermill only warns about a misspelt ``-p`` name and goes ahead. Made in the cell *before* the
    parameters, this remembers the names that exist; :meth:`check`, called in the cell after them,
    sees what was added. ``training.epochs = 1`` sets a parameter of a section.
    """

    def __init__(self, namespace: dict[str, Any], names: Collection[str] = Settings.model_fields):
        # the imports that follow make hundreds of thousands of objects that stay: looking through
        # them ever again for cycles took a seventh of a run's imports
        gc.set_threshold(10_000, 50, 10)
        self._namespace, self._names, self._again = namespace, names, False
        self._before = {*namespace, *names}
        if "get_ipython" in namespace:
            rewriters = namespace["get_ipython"]().input_transformers_post
            rewriters[:] = {*rewriters, _quote_dotted}

    def given(self) -> dict[str, Any]:
        """Return what the parameters cell and papermill set; raise InvalidParameter for a name that
        does not exist."""
        of = self._namespace
        for name in [name for name in of if "." in name]:
            (section, *inner), value = name.split("."), of.pop(name)
            for part in reversed(inner):
                value = {part: value}
            of[section] = _merge(of.get(section), value)
        unknown_names = {name for name in of.keys() - self._before if of[name] is not self}
        if self._again:  # run from the parameters on; the cells behind have names of their own
            symbols = symtable(of["In"][-2], "cell", "exec").get_symbols()
            unknown_names &= {each.get_name() for each in symbols if each.is_assigned()}
        self._again = True
        for name in unknown_names:
            if name[0] != "_":
                raise unknown(f"unknown parameter '{name}'", name, self._names)
        return {name: of[name] for name in self._names if name in of}

    def check(self) -> Settings:
        """Return the checked settings; raise InvalidParameter in one sentence."""
        return load(**self.given())
