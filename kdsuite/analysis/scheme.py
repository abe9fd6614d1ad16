"""What Figures 1 to 3 and Tables 1 to 3 show, read off the networks: layers, shapes, weights and
gradients.

Shapes come from networks of full size on the meta device, which computes no numbers. The factors
of the gradients are those of the table in :mod:`kdlib.losses`; a test differentiates the networks.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from kdlib.models.network import Network, build_student, build_teacher
from kdlib.models.resnet import SqueezeExcitation
from kdlib.spectrogram import Spectrogram
from kdsuite.analysis import paper
from kdsuite.data.corpora import features
from kdsuite.settings import Settings

CLASSES = 7  # the emotions of RAVDESS, calm counted as neutral, as in Tables 1 to 3
LAYERS = {nn.Conv2d: "conv", nn.LSTM: "BiLSTM", SqueezeExcitation: "SE", nn.Linear: "FC"}
# the component whose output is distilled
LEVELS = {"nonseq": "encoder", "em": "encoder", "agg": "aggregator"}


class Component(NamedTuple):
    """A part of a network: its layers, its weights, and its output's shape for one recording."""

    name: str
    layers: str
    weights: int
    shape: tuple[int, ...]


class Structure(NamedTuple):
    """A network: its input's shape for one recording, and its components in the data's order."""

    family: str
    inputs: tuple[int, ...]
    components: list[Component]


class Scheme(NamedTuple):
    """All that a figure shows of one setting.

    ``level`` is the component whose output is distilled; ``source`` is what of the teacher's
    embeddings is the target, see :func:`source`.
    """

    teacher: Structure
    student: Structure
    level: str
    source: str

    @property
    def factors(self) -> dict[str, dict[str, str]]:
        """By loss and component the factor of its gradient; a component that a loss does not reach
        is left out."""
        names = [part.name for part in self.student.components]
        below = names[: names.index(self.level) + 1]
        return {
            "classification": dict.fromkeys(names, "1") | dict.fromkeys(below, "1 − α"),
            "distillation": dict.fromkeys(below, "α"),
        }


def read(settings: Settings, setting: str) -> Scheme:
    """Read the networks of ``settings`` in the setting ``nonseq``, ``em`` or ``agg``.

    Raises InvalidCorpus where a table of face measurements is named and missing.
    """
    of = settings.model_copy(update={"setting": setting})
    return Scheme(teacher(of), student(of), LEVELS[setting], source(of))


def table(schemes: list[Scheme]) -> pd.DataFrame:
    """Return the data of a figure of these schemes, one row a component; only the student has
    gradients."""
    rows = []
    for scheme in schemes:
        for network in ("teacher", "student"):
            for part in getattr(scheme, network).components:
                row = {"distilled": scheme.level, "network": network, **part._asdict()}
                row["shape"] = " × ".join(map(str, part.shape))
                for loss, factors in scheme.factors.items():
                    row[f"{loss} gradient"] = factors.get(part.name, "") * (network == "student")
                rows.append(row)
    return pd.DataFrame(rows)


def student_network(settings: Settings) -> tuple[Network, Tensor]:
    """Return the student of these settings, and its input for one training crop, without
    numbers."""
    media = settings.media
    waveform = torch.zeros(1, round(media.duration * media.sample_rate))
    x = Spectrogram(media, settings.sequential)(waveform)
    with torch.device("meta"):
        return build_student(settings, CLASSES), x.to("meta")


def student(settings: Settings) -> Structure:
    """Read the student of these settings."""
    return _read(paper.network(settings.backbone, "nonseq"), *student_network(settings))


def teacher(settings: Settings) -> Structure:
    """Read the teacher of these settings, of video frames or of face measurements."""
    measured, media = settings.corpus.features, settings.media
    frames = round(media.duration * media.fps) // media.frame_stride if _timed(settings) else 1
    size = media.frame_size
    shape = (len(features.columns(measured)),) if measured else (size, size, 3)
    with torch.device("meta"):
        x = torch.empty(frames, *shape[2:], *shape[:2])  # (frames, 3, height, width)
        network = build_teacher(settings, CLASSES, torch.Size(shape))
    family = "measurements" if measured else paper.network(settings.backbone, "nonseq")
    return _read(family, network, x[None] if settings.sequential else x)


def _timed(settings):
    measured = settings.corpus.features
    return not measured or features.timed(measured)


def source(settings: Settings) -> str:
    """Return what the student's embedding is compared with: the teacher's of the ``peak`` frame or
    of the ``recording``, or the mean over the frames of each ``segment``.

    Without time one mean is the ``same`` for all segments.
    """
    timed = _timed(settings)
    if settings.setting == "em":
        return "segment" if timed else "same"
    return "peak" if timed and not settings.sequential else "recording"


def outputs(network: nn.Module, x: Tensor, modules: Iterable) -> list[tuple]:
    """Return each of the modules with its output for ``x``, in the order of the data."""
    passed = []
    for module in modules:
        module.register_forward_hook(lambda module, _, output: passed.append((module, output)))
    network.eval()(x)
    return passed


def _read(family, network, x):
    names = {module: name for name, module in network.named_children()}
    parts = []
    for module, output in outputs(network, x, names):
        counts = Counter(_kinds(module)).items()
        layers = ", ".join(kind if kind == "attention" else f"{n} {kind}" for kind, n in counts)
        weights = sum(parameter.numel() for parameter in module.parameters())
        parts.append(Component(names[module], layers, weights, _shape(output)))
    return Structure(family, _shape(x), parts)


def _shape(x):
    """Return the shape without the batch of one recording."""
    return tuple(x.shape[1:] if x.shape[0] == 1 and x.dim() > 1 else x.shape)


def _kinds(module):
    """Return the kind of each layer; a child named attention counts as attention."""
    if type(module) in LAYERS:
        return [LAYERS[type(module)]]
    children = module.named_children()
    return sum(([name] if name == "attention" else _kinds(child) for name, child in children), [])
