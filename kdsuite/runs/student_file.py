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
from safetensors.torch import save_file

from kdlib.errors import InvalidStudent, printable
from kdlib.models.network import Network, build_student
from kdlib.parameters import Section
from kdsuite import paths
from kdsuite.settings import Settings, checked

ENTRY = "kdlib_student"
VERSION = 1
# what a file may ask for: beyond these a few lines of text would fill the memory, whatever the
# weights are
LIMITS = {
    "sample_rate": (4000, 192_000), "fft": (64, 16_384), "bins": (8, 1024), "window": (0.001, 1), "hop": (0.001, 1),
    "segment": (0.01, 60), "duration": (0.01, 120),
}  # fmt: skip
# the paper's spectrogram has 25,700 values a second
MAX_VALUES_PER_SECOND = 200_000


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
    """What a student's file holds beside its weights."""

    version: int = pydantic.Field(VERSION, le=VERSION)
    classes: list[str] = pydantic.Field(min_length=1)
    settings: dict[str, Any]
    fold: dict[str, Any]
    verification: Verification | None
    provenance: dict[str, Any]


def write(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write a student in one step; ``facts`` are those of :class:`Facts` but for the version."""
    entry = {ENTRY: json.dumps({"version": VERSION, **facts}, allow_nan=False)}
    with paths.replacing(path) as temporary:
        save_file(weights(network), temporary, metadata=entry)


def weights(network: Network) -> dict[str, torch.Tensor]:
    """Return what :func:`safetensors.torch.save_file` takes; its ``save_model`` refuses the LSTMs of
    a GPU, whose weights share one memory."""
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def read(path: str | os.PathLike) -> tuple[Network, Settings, Facts]:
    """Return the network of a student's file, ready for inference, its settings, and the other
    facts in the file.

    Raises InvalidStudent where the file is absent, damaged, of another kind, or contradicts itself.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise InvalidStudent(
            f"{path} is no file; name a student, fold-N.safetensors in the folder of a run with training.keep_students."
        )
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(ENTRY)
            if entry is None:
                raise InvalidStudent(
                    f"{path} holds weights but no student; name one that was kept by training.keep_students."
                )
            facts = Facts.model_validate_json(entry)
            settings = _settings(facts)
            return _network(file, settings, len(facts.classes)), settings, facts
    except InvalidStudent:
        raise
    except (SafetensorError, OSError, UnicodeDecodeError):
        raise InvalidStudent(
            f"{path} cannot be read as safetensors; fetch it again, or train the student anew."
        ) from None
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # also RecursionError
        reason = str(error).splitlines()[0].rstrip(".")
        if isinstance(error, pydantic.ValidationError):
            first = error.errors()[0]
            if first["loc"] == ("version",) and first["type"] == "less_than_equal":
                raise InvalidStudent(
                    f"{path} was written by a newer kdlib; update this one to use it."
                ) from None
            reason = f"{'.'.join(map(str, first['loc'])) or 'header'}: {first['msg']}"
        raise InvalidStudent(
            f"{path} describes no student that can be ({reason}); fetch it again, or train the student anew."
        ) from None


def _settings(facts: Facts) -> Settings:
    """Return a student's settings; raise ValueError where they ask for too much."""
    if any(printable(name) != name or facts.classes.count(name) > 1 for name in facts.classes):
        raise ValueError("its class labels are not different words")
    settings = checked(facts.settings)
    media = settings.media
    for name, (low, high) in LIMITS.items():
        if not low <= getattr(media, name) <= high:
            raise ValueError(f"media.{name} is not between {low} and {high}")
    if max(media.bins, media.fft // 2 + 1) / media.hop > MAX_VALUES_PER_SECOND:
        raise ValueError(
            f"its spectrograms would have more than {MAX_VALUES_PER_SECOND} values a second"
        )
    # using a student does not depend on the arithmetic of its training
    training = settings.training.model_copy(update={"precision": "float32", "device": "cpu"})
    return settings.model_copy(update={"training": training})


def _network(file: safe_open, settings: Settings, classes: int) -> Network:
    """Return the network with the file's weights; raise ValueError where they are not those of the
    settings to the last shape."""
    with torch.device("meta"):  # no memory before it is known that the file has that much
        network = build_student(settings, classes).eval().requires_grad_(False)
    state = {name: file.get_tensor(name) for name in file.keys()}
    ours, theirs = (
        {name: (value.shape, value.dtype) for name, value in weights.items()}
        for weights in (network.state_dict(), state)
    )
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name) or not state[name].isfinite().all():
            raise ValueError(f"its weights are not those of its settings, {name} for one")
    network.load_state_dict(state, assign=True)
    return network
