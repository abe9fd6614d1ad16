"""A student as one file: weights as safetensors, and in their header, as JSON, all that it takes to
use them.

The header's entry ``kdlib_student`` holds ``version``, ``classes``, ``settings``, ``fold``,
``verification`` (None where no threshold could be calibrated) and ``provenance``. Nothing in the
file is executed, and reading it asks for no other file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_model

from kdlib.errors import InvalidParameter, InvalidStudent, printable
from kdlib.models.network import Network, build_student
from kdlib.parameters import Section
from kdsuite import places
from kdsuite.settings import Settings, checked

ENTRY = "kdlib_student"
VERSION = 1
# what a file may ask for: beyond these a few lines of text would fill the memory, whatever the
# weights are
LIMITS = {
    "sample_rate": (4000, 192_000), "fft": (64, 16_384), "bins": (8, 1024), "window": (0.001, 1), "hop": (0.001, 1),
    "segment": (0.01, 60), "duration": (0.01, 120),
}  # fmt: skip
FINEST = 200_000  # values of a second's spectrogram; the paper's has 25,700


class Verification(Section):
    """The cosine from which on two recordings count as one speaker's, and what it was calibrated
    on."""

    threshold: float = pydantic.Field(ge=-1, le=1)
    eer: float = pydantic.Field(ge=0, le=1)
    recordings_of: Literal["validation", "train"]
    recordings: int
    speakers: int
    pairs: dict[str, int]


class Facts(Section):
    """What a student's file says beside its weights."""

    version: int
    classes: list[str] = pydantic.Field(min_length=1)
    settings: dict[str, Any]
    fold: dict[str, Any]
    verification: Verification | None
    provenance: dict[str, Any]


def write(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write a student in one step; ``facts`` are those of :class:`Facts` but for the version."""
    entry = {ENTRY: json.dumps({"version": VERSION, **facts}, allow_nan=False)}
    with places.replacing(path) as temporary:
        save_model(network, str(temporary), metadata=entry)


def read(path: str | os.PathLike) -> tuple[Network, Settings, Facts]:
    """Return the network of a student's file, ready to be asked, its settings, and what else the
    file says.

    Raises InvalidStudent where the file is absent, damaged, of another kind, or says what cannot
    be.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise InvalidStudent(
            f"{path} is no file; name a student, fold-N.safetensors in the folder of a run with training.keep_students."
        )
    try:
        with safe_open(path, "pt") as file:
            facts = _facts(path, (file.metadata() or {}).get(ENTRY))
            settings = _settings(path, facts)
            return _network(path, file, settings, len(facts.classes)), settings, facts
    except (SafetensorError, OSError, UnicodeDecodeError):
        raise InvalidStudent(
            f"{path} cannot be read as safetensors; fetch it again, or train the student anew."
        ) from None


def _facts(path: str, entry: str | None) -> Facts:
    if entry is None:
        raise InvalidStudent(
            f"{path} holds weights but no student; name one that was kept by training.keep_students."
        )
    try:
        told = json.loads(entry)
        newer = (
            isinstance(told, dict)
            and isinstance(told.get("version"), int)
            and told["version"] > VERSION
        )
        facts = None if newer else Facts.model_validate(told)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise _wrong(path, f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    except (ValueError, RecursionError):
        raise _wrong(path, "it is not JSON") from None
    if facts is None:
        raise InvalidStudent(f"{path} was written by a newer kdlib; update this one to use it.")
    if len(set(facts.classes)) < len(facts.classes) or any(
        printable(name) != name for name in facts.classes
    ):
        raise _wrong(path, "its class labels are not different words")
    return facts


def _settings(path: str, facts: Facts) -> Settings:
    try:
        settings = checked(facts.settings)
    except (InvalidParameter, RecursionError, ArithmeticError) as error:
        raise _wrong(path, str(error).rstrip(".")) from None
    for name, (low, high) in LIMITS.items():
        if not low <= getattr(settings.media, name) <= high:
            raise _wrong(path, f"media.{name} is not between {low} and {high}")
    if max(settings.media.bins, settings.media.fft // 2 + 1) / settings.media.hop > FINEST:
        raise _wrong(path, f"its spectrograms would have more than {FINEST} values a second")
    # who uses a student has no say in the arithmetic of its training
    return settings.model_copy(
        update={
            "training": settings.training.model_copy(
                update={"precision": "float32", "device": "cpu"}
            )
        }
    )


def _network(path: str, file: safe_open, settings: Settings, classes: int) -> Network:
    """Return the network with the file's weights, which must be those of its settings to the last
    shape."""
    try:
        with torch.device("meta"):  # no memory before it is known that the file has that much
            network = build_student(settings, classes).eval().requires_grad_(False)
    except (RuntimeError, ArithmeticError, TypeError, ValueError):
        raise _wrong(path, "no network has such sizes") from None
    wanted = {name: list(value.shape) for name, value in network.state_dict().items()}
    there = {name: file.get_slice(name).get_shape() for name in file.keys()}
    if there != wanted:
        odd = next(
            name for name in sorted({*wanted, *there}) if wanted.get(name) != there.get(name)
        )
        raise _wrong(path, f"its weights are not those of its settings, {odd} for one")
    state = {name: file.get_tensor(name) for name in wanted}
    for name, value in network.state_dict().items():
        if state[name].dtype != value.dtype or not torch.isfinite(state[name]).all():
            raise _wrong(
                path,
                f"its weights {name} are no numbers of the kind {value.dtype}".replace(
                    "torch.", ""
                ),
            )
    network.load_state_dict(state, assign=True)
    return network


def _wrong(path: str, what: str) -> InvalidStudent:
    return InvalidStudent(
        f"what {path} says of its student cannot be ({what}); fetch it again, or train the student anew."
    )
