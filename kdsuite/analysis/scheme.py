"""What Figures 1 to 3 show, read off the networks: components, shapes, weights and gradients.

Shapes come from networks of full size on the meta device, which computes no numbers. The factors
of the gradients come from small networks that are differentiated.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from kdlib.dataset import Ragged
from kdlib.losses import Embedding, Targets
from kdlib.models.network import Network, build_student, build_teacher
from kdlib.models.resnet import SqueezeExcitation
from kdlib.spectrogram import Spectrogram
from kdlib.teacher import PrivilegedInformation
from kdsuite.analysis import paper
from kdsuite.data.corpora import features
from kdsuite.settings import Settings

CLASSES = 7  # the emotions of RAVDESS, as in Tables 1 to 3
LAYERS = {nn.Conv2d: "conv", nn.LSTM: "BiLSTM", SqueezeExcitation: "SE", nn.Linear: "FC"}
# at this alpha 0, α, 1 − α and 1 are four different numbers
PROBE = 0.25
FACTORS = {0.0: "", PROBE: "α", 1 - PROBE: "1 − α", 1.0: "1"}


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

    ``factors`` holds by loss (``classification``, ``distillation``) and component the factor of
    the gradient. ``source`` and ``target`` are the name and the shape of what the student's
    embedding is compared with, see :func:`target`.
    """

    teacher: Structure
    student: Structure
    factors: dict[str, dict[str, str]]
    source: str
    target: tuple[int, ...]

    @property
    def level(self) -> str:
        """The component whose output is distilled: the last that the distillation reaches."""
        return list(self.factors["distillation"])[-1]


def read(settings: Settings, setting: str) -> Scheme:
    """Read the networks of ``settings`` in the setting ``nonseq``, ``em`` or ``agg``.

    Raises InvalidCorpus where a table of face measurements is named and missing.
    """
    settings = settings.model_copy(update={"setting": setting})
    return Scheme(
        teacher(settings), student(settings), gradient_factors(settings), *target(settings)
    )


def table(schemes: list[Scheme]) -> pd.DataFrame:
    """Return the data of a figure of these schemes, one row a component; only the student has
    gradients."""
    rows = []
    for scheme in schemes:
        for network, structure in (("teacher", scheme.teacher), ("student", scheme.student)):
            for part in structure.components:
                shape = " × ".join(map(str, part.shape))
                gradients = {
                    f"{loss} gradient": by_part.get(part.name, "") if network == "student" else ""
                    for loss, by_part in scheme.factors.items()
                }
                row = {"distilled": scheme.level, "network": network, **part._asdict()}
                rows.append({**row, "shape": shape, **gradients})
    return pd.DataFrame(rows)


def student(settings: Settings) -> Structure:
    """Read the student of these settings."""
    media = settings.media
    waveform = torch.zeros(1, round(media.duration * media.sample_rate))
    shape = Spectrogram(media, settings.sequential)(waveform).shape
    with torch.device("meta"):
        network = build_student(settings, CLASSES)
        return _read(paper.network(settings.backbone, "nonseq"), network, torch.empty(shape))


def teacher(settings: Settings) -> Structure:
    """Read the teacher of these settings, of video frames or of face measurements."""
    model = settings.model.model_copy(update={"teacher_weights": ""})  # the figure needs none
    settings = settings.model_copy(update={"model": model})
    measured, size = settings.corpus.features, settings.media.frame_size
    shape = (len(features.columns(measured)),) if measured else (size, size, 3)
    with torch.device("meta"):
        x = torch.empty(_frames(settings), *shape[2:], *shape[:2])  # (frames, 3, height, width)
        network = build_teacher(settings, CLASSES, torch.Size(shape))
        family = "measurements" if measured else paper.network(settings.backbone, "nonseq")
        return _read(family, network, x[None] if settings.sequential else x)


def _timed(settings: Settings) -> bool:
    measured = settings.corpus.features
    return not measured or features.timed(measured)


def _frames(settings: Settings) -> int:
    """Return how many frames of a training crop the teacher takes; one row without time."""
    media = settings.media
    return round(media.duration * media.fps) // media.frame_stride if _timed(settings) else 1


def _read(family: str, network: Network, x: torch.Tensor) -> Structure:
    parts: list[Component] = []
    for name, module in network.named_children():
        counts = _count(module).items()
        layers = ", ".join(kind if kind == "attention" else f"{n} {kind}" for kind, n in counts)
        weights = sum(parameter.numel() for parameter in module.parameters())
        component = partial(Component, name, layers, weights)
        module.register_forward_hook(
            lambda _, __, output, component=component: parts.append(component(_shape(output)))
        )
    network.eval()(x)
    return Structure(family, _shape(x), parts)


def _shape(x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape without the batch of one recording."""
    return tuple(x.shape[1:] if x.shape[0] == 1 and x.dim() > 1 else x.shape)


def _count(module: nn.Module) -> Counter[str]:
    """Count layers by their kind; a child named attention counts as attention."""
    if type(module) in LAYERS:
        return Counter([LAYERS[type(module)]])
    children = module.named_children()
    parts = (Counter([name]) if name == "attention" else _count(child) for name, child in children)
    return sum(parts, Counter())


def target(settings: Settings) -> tuple[str, tuple[int, ...]]:
    """Return what the student's embedding is compared with, and its shape.

    It is the teacher's embedding of the ``peak`` frame or of the ``recording``, or the mean over
    the frames of each ``segment``. Without time one mean is the ``same`` for all segments.
    """
    size, count, row = settings.model.embedding, _frames(settings), torch.tensor([0])
    information = PrivilegedInformation(
        Ragged.of(torch.zeros(count, size), torch.tensor([count])),
        peak=None,
        confidence=None,
        recording_embedding=torch.zeros(1, size),
        probabilities=torch.ones(1, 1),
    )
    timed = _timed(settings)
    shape = _shape(information.targets(row, row, settings, timed).embedding)
    if settings.setting == "em":
        return "segment" if timed else "same", shape
    return "peak" if timed and not settings.sequential else "recording", shape


def gradient_factors(settings: Settings) -> dict[str, dict[str, str]]:
    """Return by loss and component the factor of its gradient: ``1``, ``α``, ``1 − α``.

    A component that a loss does not reach is left out. The gradients of both losses at
    alpha = 0.25 are compared with those at alpha = 0 and 1, where each loss stands alone.
    Raises ValueError for a factor of any other kind.
    """
    model = settings.model.model_copy(update={"width": 0.0625, "embedding": 16, "reduction": 2})
    settings = settings.model_copy(update={"model": model})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_student(settings, CLASSES).double().eval()
        segments = [2] if settings.sequential else []
        x = torch.randn(2, *segments, 1, 32, 32, dtype=torch.float64)
        teacher_embedding = torch.randn_like(network(x).distilled)

    def gradients(loss: int, alpha: float) -> dict[str, torch.Tensor]:
        """Return by component the gradient of one part of the objective, ``(weights,)``."""
        objective = Embedding(alpha, settings.training.distance, settings.model.embedding)
        output = network(x, objective.gradient_scale)
        targets = Targets(teacher_embedding, output.logits.detach().softmax(dim=-1))
        terms = objective.terms(output.logits, output.distilled, torch.tensor([0, 1]), targets)
        # the other one times 0, so that every component has a gradient
        total = objective.total([term * (which == loss) for which, term in enumerate(terms)])
        return {
            name: _gradient(total, part)
            for name, part in network.named_children()
            if name != "front_end"
        }

    factors: dict[str, dict[str, str]] = {}
    for loss, name in enumerate(("classification", "distillation")):
        alone, mixed = gradients(loss, loss), gradients(loss, PROBE)
        by_part = {part: _factor(mixed[part], alone[part]) for part in alone}
        factors[name] = {part: factor for part, factor in by_part.items() if factor}
    return factors


def _gradient(loss: torch.Tensor, module: nn.Module) -> torch.Tensor:
    weights = list(module.parameters())
    parts = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def _factor(mixed: torch.Tensor, alone: torch.Tensor) -> str:
    """Return the name of the number that ``alone`` was multiplied by to give ``mixed``."""
    for value, name in FACTORS.items():
        if torch.allclose(mixed, value * alone, rtol=1e-6, atol=1e-12):
            return name
    number = float(mixed @ alone / (alone @ alone).clamp(min=1e-30))
    raise ValueError(
        f"the gradient is {number:.3f} times that of the loss alone at alpha = {PROBE}, "
        "a factor that no figure can name"
    )
