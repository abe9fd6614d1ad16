"""The settings of a run: the axes of the paper and its four sections of parameters, merged with the
file of their dataset, checked.

What the sections hold is declared in :mod:`kdlib.parameters`; :meth:`Settings.fingerprint` tells
which work of an earlier run can be used again.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pydantic
import yaml

from kdlib import parameters
from kdlib.errors import InvalidParameter
from kdlib.parameters import STAGES, Media, Model, Section, Training, digest
from kdsuite import places
from kdsuite.parameters import ALL_FOLDS, Corpus, Selection, Synthetic

SECTIONS = ("corpus", "media", "model", "training")


class Settings(parameters.Settings, Selection):
    """The settings of a run, as :func:`load` merges and checks them, and what identifies the run."""

    def canonical(self) -> Settings:
        """Return the settings under which this run's result is filed.

        The undistilled student (alpha = 0) is one network whatever the method, and in the
        sequential settings whatever the level of distillation: it is filed as ``embedding`` and
        ``em``. What is said of targets is then that of the dataset's file.
        """
        if self.alpha > 0:
            return self
        usual = of_dataset(self.dataset).training
        training = self.training.model_copy(
            update={name: getattr(usual, name) for name in DISTILLATION}
        )
        return self.model_copy(
            update={
                "method": "embedding",
                "setting": "em" if self.sequential else "nonseq",
                "training": training,
            }
        )

    def undistilled(self) -> Settings:
        """Return the settings of the student that never met a teacher and is otherwise the same."""
        return self.model_copy(update={"alpha": 0.0}).canonical()

    def departures(self, stage: str = "student", numbers: bool = False) -> dict[str, Any]:
        """Return the parameters that differ from those of the dataset's file, by their dotted
        names, as far as the stage knows them.

        With ``numbers``, only those that its numbers depend on.
        """
        usual = of_dataset(self.dataset)
        sections = [
            (section, getattr(self, section), getattr(usual, section)) for section in SECTIONS
        ]
        return {
            f"{section}.{name}": ours.model_dump(include={name}, mode="json")[name]
            for section, ours, theirs in sections
            if ours != theirs
            for name in type(ours).model_fields
            if getattr(ours, name) != getattr(theirs, name)
            and affects_stage(type(ours), name, _known_to(stage, section))
            and not (numbers and first_stage(type(ours), name) is None)
        }

    def fingerprint(self, stage: str) -> str:
        """Return a short hash of every parameter that the numbers of ``stage`` depend on.

        Networks without aggregator do not depend on its parameters, and those of a student without
        a teacher do not depend on what only the teacher, or at alpha = 0 only its targets, would
        know.
        """
        facts = parameters_of_stage(self, stage)
        facts["corpus"] = parameters_of_stage(self.corpus, _known_to(stage, "corpus"))
        if stage != "data" and not self.sequential:
            facts["model"] = {
                name: value for name, value in facts["model"].items() if name not in OF_AGGREGATOR
            }
        if stage == "teacher":
            facts["sequential"] = self.sequential
        elif stage == "student" and not self.needs_teacher:
            unknown = DISTILLATION if not self.alpha else ()
            for section in ("model", "training"):
                facts[section] = {
                    name: value
                    for name, value in facts[section].items()
                    if name not in unknown and not name.startswith(OF_TEACHER)
                }
        return digest(facts)


def first_stage(section: type[Section], name: str) -> str | None:
    """Return the first stage whose numbers depend on a parameter, None where none do (such as the
    device)."""
    return (section.model_fields[name].json_schema_extra or {}).get("stage")


def affects_stage(section: type[Section], name: str, stage: str) -> bool:
    """Return whether a stage has to know a parameter: its numbers depend on it, or no stage's do."""
    first = first_stage(section, name)
    return first is None or STAGES.index(first) <= STAGES.index(stage)


def parameters_of_stage(section: Section, stage: str) -> dict[str, Any]:
    """Return the parameters that the numbers of ``stage`` depend on, nested as in the file."""
    values: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section) and not isinstance(value, Synthetic):
            values[name] = parameters_of_stage(value, stage)
        elif first_stage(type(section), name) is not None and affects_stage(
            type(section), name, stage
        ):
            values[name] = value.model_dump() if isinstance(value, Section) else value
    return values


def _known_to(stage: str, section: str) -> str:
    """Return the stage whose parameters of a section a stage knows: the first notebook, which fits
    the linear baseline, knows all of the corpus."""
    return "student" if (stage, section) == ("data", "corpus") else stage


def nearest(name: str, choices: Any) -> str:
    """Return ``; did you mean 'x'? `` for the choice spelt most like ``name``, or ``.

    ``: how a sentence goes on to the choices.
    """
    close = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean '{close[0]}'? " if close else "; "


# parameters of the training that an undistilled student does not know
DISTILLATION = (
    "distance", "distance_reduction", "multitask_label", "target_stretch", "temperature", "softened", "targets",
)  # fmt: skip
# parameters of the model that a network without aggregator does not have
OF_AGGREGATOR = ("lstm_activation", "aggregator_norm")
# how parameters of the sections model and training are called that only the teacher knows
OF_TEACHER = "teacher_"
# what a file in params or params/grids may be called: its name becomes that of folders, links and
# files
PLAIN = re.compile(r"\w[\w.-]*")
MODELS = {
    "corpus": Corpus,
    "media": Media,
    "model": Model,
    "training": Training,
    "synthetic": Synthetic,
}


def datasets() -> list[str]:
    """Return the names of the datasets that have a file in ``params``."""
    return sorted(
        name.removesuffix(".yaml") for name in os.listdir(places.PARAMS) if name.endswith(".yaml")
    )


def read_yaml(path: Path, aliases: bool = False) -> dict[str, Any]:
    """Return what a parameter file holds, read again where it has changed; raise InvalidParameter
    where it is not a YAML mapping.

    Without ``aliases``, by which a few lines of text become gigabytes, or hold themselves, they are
    refused.
    """
    return _read_yaml(path, path.stat().st_mtime_ns, aliases)


@lru_cache
def _read_yaml(path: Path, changed: int, aliases: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if not aliases and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)
        ):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        values = yaml.safe_load(text) or {}
    except Exception as error:  # PyYAML lets errors of every kind through, a KeyError for !!bool
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidParameter(f"{path.name} is not valid YAML ({told}); mend that file.") from None
    if not isinstance(values, dict):
        raise InvalidParameter(f"{path.name} must hold a mapping of parameters; mend that file.")
    return values


def _merge(base: dict, over: dict) -> dict:
    """Lay ``over`` on ``base``, section by section."""
    return {
        **base,
        **{
            name: _merge(base[name], value)
            if isinstance(value, dict) and isinstance(base.get(name), dict)
            else value
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
    if not PLAIN.fullmatch(dataset):
        raise InvalidParameter(
            f"the dataset's file {dataset!r} has a name that is not made of letters, digits, '.', '-' and '_'; rename it."
        )
    for name in SECTIONS:
        if not isinstance(given.get(name, {}), dict):
            raise InvalidParameter(
                f"parameter '{name}' must be a mapping such as {{epochs: 5}}, not {given[name]!r}."
            )
    return checked(_merge(read_yaml(places.PARAMS / f"{dataset}.yaml"), given))


def checked(values: dict[str, Any]) -> Settings:
    """Return the settings that ``values`` hold, with no dataset's file below them; raise
    InvalidParameter as :func:`load` does."""
    try:
        # from YAML a pair is a list, so it is checked as JSON is
        settings = Settings.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        raise InvalidParameter(_sentence(error)) from None
    except (TypeError, RecursionError) as error:
        raise InvalidParameter(
            f"a parameter holds something that is neither number, text, list nor mapping ({error})."
        ) from None
    try:
        _check_together(settings)
    except ArithmeticError:
        raise InvalidParameter(
            "the parameters of the section 'media' have no common scale; give seconds and rates of usual size."
        ) from None
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
    # numbers of list items and pydantic's names for the branches of a union ("int", "str") say
    # nothing to a user
    name = ".".join(
        part for part in map(str, first["loc"]) if part not in ("int", "str") and not part.isdigit()
    )
    if first["type"] == "extra_forbidden":
        choices = models[-2].model_fields
        return f"unknown parameter '{name}'{nearest(first['loc'][-1], choices)}choose from {', '.join(choices)}."
    if first["type"] == "literal_error":
        choices = [
            choice.strip("' ")
            for choice in first["ctx"]["expected"].replace(" or ", ", ").split(",")
        ]
        return f"parameter '{name}' is {first['input']!r}{nearest(first['input'], choices)}choose from {', '.join(choices)}."
    return f"parameter '{name}' is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _check_together(settings: Settings) -> None:
    """Refuse parameters that contradict each other."""
    media = settings.media
    if abs(settings.segments * media.segment - media.duration) > 1e-9:
        raise InvalidParameter(
            f"parameter 'media.duration' is {media.duration} s, which is no whole number of segments of {media.segment} s."
        )
    if (
        abs(media.fps * media.segment - round(media.fps * media.segment)) > 1e-9
        or round(media.fps * media.segment) % media.frame_stride
    ):
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
            raise InvalidParameter(
                f"parameter 'training.{name}' is [{low}, {high}]; give the lowest rate, above 0, then the highest."
            )
    _check_cycles(settings.training)
    if settings.training.distance == "cosine" and settings.training.distance_reduction == "sum":
        raise InvalidParameter(
            "parameter 'training.distance_reduction' is 'sum', but the cosine has no elements to sum over; use mse."
        )
    if (
        settings.training.targets == "uniform"
        and settings.alpha > 0
        and settings.method != "softlabel"
    ):
        raise InvalidParameter(
            f"parameter 'training.targets' is 'uniform' (label smoothing), which has probabilities but no embedding; set method to softlabel, not {settings.method}."
        )
    if (
        settings.training.frames_at_once
        and settings.sequential
        and (settings.backbone != "vgg" or settings.model.teacher_batchnorm)
    ):
        raise InvalidParameter(
            f"parameter 'training.frames_at_once' is {settings.training.frames_at_once}, but the {settings.backbone} teacher has batch-norm, which needs all frames; use training.accumulate instead."
        )
    choose_folds(settings.folds, None)


def _check_cycles(training: Training) -> None:
    """Refuse epochs after which the learning rate is not at its lowest."""
    cycle = 2 * training.cycle
    for name in ("epochs", "teacher_epochs"):
        epochs = getattr(training, name)
        if epochs and abs(epochs / cycle - round(epochs / cycle)) > 1e-9:
            whole = [
                n
                for n in range(1, 2 * epochs + math.ceil(cycle) + 1)
                if abs(n / cycle - round(n / cycle)) < 1e-9
            ]
            below, above = (
                [n for n in whole if n < epochs][-1:],
                [n for n in whole if n > epochs][:1],
            )
            nearest_whole = " or ".join(map(str, below + above)) or "none"
            raise InvalidParameter(
                f"parameter 'training.{name}' is {epochs}, which is no whole number of cycles of {cycle:g} epochs (twice training.cycle), "
                f"so training would not end at the lowest rate; the nearest that are: {nearest_whole}."
            )


def choose_folds(folds: int | str, count: int | None) -> list[int]:
    """Return the fold numbers that ``all``, ``3``, ``0-7`` or ``0,4,9`` means among ``count`` folds
    (None: unknown yet)."""
    if str(folds).strip() == ALL_FOLDS:
        return list(range(count or 0))
    try:
        chosen = set()
        if re.search("[^0-9, -]", str(folds)):  # it becomes part of a folder's name
            raise ValueError
        for part in str(folds).split(","):
            first, _, last = part.strip().partition("-")
            low, high = int(first), int(last or first)
            chosen.update(
                range(low, min(high, max(low, count or 0)) + 1)
            )  # to the first that is too large, however far it is meant to go
    except ValueError:
        raise InvalidParameter(
            f"parameter 'folds' is {folds!r}; give all, one number, a range such as 0-7 or a list such as 0,4,9."
        ) from None
    if not chosen or (count is not None and max(chosen) >= count):
        raise InvalidParameter(
            f"parameter 'folds' is {folds!r}, but the folds of this corpus are numbered 0 to {(count or 1) - 1}."
        )
    return sorted(chosen)


class NotebookParameters:
    """Collects a notebook's parameters and refuses names that nobody declared.

    papermill only warns about a misspelt ``-p`` name and goes ahead. Made in the cell *before* the
    parameters, this remembers the names that exist; :meth:`check`, called in the cell after them,
    sees what was added.
    """

    def __init__(self, namespace: dict[str, Any], names: Iterable[str] = ()) -> None:
        self._namespace = namespace
        self._names = tuple(names or Settings.model_fields)
        self._before = set(namespace) - set(self._names)

    def given(self) -> dict[str, Any]:
        """Return what the parameters cell and papermill set; raise InvalidParameter for a name that
        nobody declared."""
        found = {
            name: value
            for name, value in self._namespace.items()
            if name not in self._before and not name.startswith("_") and value is not self
        }
        for name in found:
            if name not in self._names:
                raise InvalidParameter(
                    f"unknown parameter '{name}'{nearest(name, self._names)}choose from {', '.join(self._names)}."
                )
        return found

    def check(self) -> Settings:
        """Return the checked settings; raise InvalidParameter in one sentence."""
        return load(**self.given())
