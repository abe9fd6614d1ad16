"""A student as one file: weights as safetensors, and in their header, as JSON, all that it takes to
use them.

The header's entry ``kdlib_student`` holds ``version``, ``classes``, ``settings``, ``fold``,
``verification`` (None where no threshold could be calibrated) and ``provenance``. Nothing in the
file is executed, and reading it asks for no other file.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import safe_open
from safetensors.torch import save_file

from kdlib.errors import InvalidStudent, printable
from kdlib.models.network import Network, build_student
from kdlib.parameters import Section, Share
from kdsuite import paths
from kdsuite.data.decoding.ffmpeg import check_file
from kdsuite.settings import Settings, checked

ENTRY = "kdlib_student"
VERSION = 1
# what a file may ask for: beyond these a few lines of text would fill the memory, whatever the
# weights are
LIMITS = {
    "sample_rate": (4000, 192_000), "fft": (64, 16_384), "bins": (8, 1024),
    "window": (0.001, 1), "hop": (0.001, 1),
    "segment": (0.01, 60), "duration": (0.01, 120),
}  # fmt: skip


class Verification(Section):
    """The cosine from which on two recordings count as one speaker's, the error rates at it (None
    in files of before), and what it was calibrated on."""

    threshold: float = Field(ge=-1, le=1)
    false_acceptance: Share | None = None
    false_rejection: Share | None = None
    eer: Share
    recordings_of: Literal["validation", "train"]
    recordings: int
    speakers: int
    pairs: dict[str, int]


class Facts(Section):
    """What a student's file holds beside its weights."""

    version: int = Field(VERSION, le=VERSION)
    classes: list[str] = Field(min_length=1)
    settings: dict[str, Any]
    fold: dict[str, Any]
    verification: Verification | None
    provenance: dict[str, Any]


def write(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write a student in one step; ``facts`` are those of :class:`Facts` but for the version."""
    entry = json.dumps({"version": VERSION, **facts}, allow_nan=False)
    save(path, network.state_dict(), **{ENTRY: entry})


def save(path: Path, arrays: dict[str, torch.Tensor], **entry: str) -> None:
    """Write ``arrays`` as safetensors, in one step, with the permissions of any new file; the
    header has ``entry`` and, as other libraries ask for it, the format."""
    # of a GPU the weights of an LSTM share one memory, which safetensors refuses
    arrays = {name: value.contiguous() for name, value in arrays.items()}
    with paths.replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"format": "pt", **entry})


def read(path: str | Path) -> tuple[Network, Settings, Facts]:
    """Return the network of a student's file, ready for inference, its settings, and the other
    facts in the file.

    Raises InvalidStudent where the file is absent, damaged, of another kind, or contradicts itself.
    """
    check_file(path, InvalidStudent)
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(ENTRY)
            if entry is None:
                raise ValueError(f"it has weights but no entry {ENTRY}")
            facts = Facts.model_validate_json(entry)
            settings = _settings(facts)
            return _network(file, settings, len(facts.classes)), settings, facts
    except MemoryError:  # of this machine, not of the file
        raise
    except Exception as error:  # safetensors, pydantic and torch have errors of many kinds
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc'])) or 'header'}: {first['msg']}"
        raise InvalidStudent(
            f"{path} holds no student that this kdlib can use ({reason}); fetch it again, train the"
            " student again, or update kdlib."
        ) from None


def kept(folder: Path) -> dict[Path, Facts]:
    """Return the students' files of a run's folder that can be used, in the order of folds, and
    what each says of itself."""
    found = {}
    for file in sorted(folder.glob("*.safetensors"), key=lambda file: (len(file.name), file.name)):
        with suppress(InvalidStudent):  # of another version
            found[file] = read(file)[2]
    return found


def _settings(facts):
    """Return a student's settings; raise ValueError where they ask for too much."""
    printed = {printable(name) for name in facts.classes} & {*facts.classes}
    if len(printed) < len(facts.classes):
        raise ValueError("its class labels are not different words")
    settings = checked(facts.settings)
    media = settings.media
    beyond = [not low <= getattr(media, name) <= high for name, (low, high) in LIMITS.items()]
    # the paper's spectrogram has 25,700 values a second
    if any(beyond) or max(media.bins, media.fft // 2 + 1) / media.hop > 200_000:
        raise ValueError("its sound or spectrograms would take too much memory")
    # using a student does not depend on the arithmetic of its training
    return settings.changed(training={"precision": "float32", "device": "cpu"})


def _network(file, settings, classes):
    """Return the network with the file's weights; raise ValueError where they are not those of the
    settings to the last shape."""
    with torch.device("meta"):  # no memory before it is known that the file has that much
        network = build_student(settings, classes).eval().requires_grad_(False)
    state, own = {name: file.get_tensor(name) for name in file.keys()}, network.state_dict()
    network.load_state_dict(state, assign=True)  # torch refuses other names and shapes
    for name, value in own.items():
        if state[name].dtype != value.dtype or not state[name].isfinite().all():
            raise ValueError(f"its weights {name} are of another type or not finite")
    return network
