"""What Figures 1 to 3 show, read from the networks themselves: components, shapes, weights, and who learns from which loss.

Shapes come from networks of full size on the meta device, which computes none of the numbers; the factors of the
gradients come from small networks that are differentiated.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

from kdlib.dataset import Ragged
from kdlib.losses import METHODS, Targets
from kdlib.models.network import Network, build_student, build_teacher
from kdlib.spectrogram import FrontEnd
from kdlib.teacher import PrivilegedInformation
from kdsuite.data.corpora import features
from kdsuite.data.store import Store
from kdsuite.settings import Settings

EMOTIONS = 7  # classes where no store tells their number
LAYERS = {nn.Conv2d: "conv", nn.LSTM: "BiLSTM", SqueezeExcitation: "SE", nn.Linear: "FC"}
# at this alpha 0, α, 1 − α and 1 are four different numbers
PROBE = 0.25
FACTORS = {0.0: "", PROBE: "α", 1 - PROBE: "1 − α", 1.0: "1"}


class Component(NamedTuple):
    """A part of a network: its name, what it is made of, how many weights it has, and its output's shape for one recording."""

    name: str
    layers: str
    weights: int
    shape: tuple[int, ...]


class Reading(NamedTuple):
    """One network: the shape of its input for one recording, and its components in the order of the data."""

    inputs: tuple[int, ...]
    components: list[Component]


def student(settings: Settings, store: Store | None = None) -> Reading:
    """Read the student of these settings."""
    media = settings.media
    heard = FrontEnd(media, settings.sequential)(torch.zeros(1, round(media.duration * media.sample_rate)))
    with torch.device("meta"):
        return _read(build_student(settings, _classes(store)), torch.empty(heard.shape))


def teacher(settings: Settings, store: Store | None = None) -> Reading:
    """Read the teacher of these settings; without a store its frames are of the size that the settings name."""
    shape = _frame_shape(settings, store)
    frames = torch.Size((*shape[2:], *shape[:2])) if len(shape) == 3 else shape
    with torch.device("meta"):
        x = torch.empty(_frames(settings, shape), *frames)
        return _read(build_teacher(settings, _classes(store), shape), x[None] if settings.sequential else x)


def _classes(store: Store | None) -> int:
    return len(store.classes) if store else EMOTIONS


def _frame_shape(settings: Settings, store: Store | None) -> torch.Size:
    if store:
        return store.frames.values.shape[1:]
    if settings.corpus.features:
        return torch.Size([len(features.columns(settings.corpus.features))])
    return torch.Size([settings.media.frame_size, settings.media.frame_size, 3])


def _frames(settings: Settings, shape: torch.Size) -> int:
    """Return how many frames the teacher sees of a recording of the training duration; without time measurements are one."""
    return (
        1
        if len(shape) == 1 and not features.timed(settings.corpus.features)
        else round(settings.media.duration * settings.media.fps) // settings.media.frame_stride
    )


def _read(network: Network, x: torch.Tensor) -> Reading:
    found: list[Component] = []

    def hook(name: str):
        return lambda module, _, output: found.append(Component(name, _layers(module), _weights(module), _shape(output)))

    for name, module in network.named_children():
        module.register_forward_hook(hook(name))
    network.eval()(x)
    return Reading(_shape(x), found)


def _shape(x: torch.Tensor) -> tuple[int, ...]:
    return tuple(x.shape[1:] if x.shape[0] == 1 and x.dim() > 1 else x.shape)


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _layers(module: nn.Module) -> str:
    """Return such as ``6 conv, 2 FC``; a child called attention counts as attention, whatever it is made of."""
    return ", ".join(f"{count} {kind}" if kind != "attention" else kind for kind, count in _count(module).items())


def _count(module: nn.Module) -> Counter[str]:
    if type(module) in LAYERS:
        return Counter([LAYERS[type(module)]])
    parts = (Counter([name]) if name == "attention" else _count(child) for name, child in module.named_children())
    return sum(parts, Counter())


def target(settings: Settings) -> tuple[str, tuple[int, ...]]:
    """Return what the student's embedding is compared with, ``frames`` (means of them) or ``whole``, and its shape."""
    frames = torch.zeros(_frames(settings, torch.Size([1, 1, 1])), settings.model.embedding, requires_grad=True)
    whole, row = torch.zeros(1, settings.model.embedding, requires_grad=True), torch.tensor([0])
    rows = Ragged.of(frames, torch.tensor([len(frames)]))
    told = PrivilegedInformation(rows, peak=None, confidence=None, recording_embedding=whole, probabilities=torch.ones(1, 1))
    embedding = told.targets(row, row, settings, timed=True).embedding
    from_frames, _ = torch.autograd.grad(embedding.sum(), [frames, whole], allow_unused=True)
    return "whole" if from_frames is None else "frames", _shape(embedding.detach())


def gradient_factors(settings: Settings) -> dict[str, dict[str, str]]:
    """Return by loss (``classification``, ``distillation``) and component the factor of its gradient: ``1``, ``α``, ``1 − α``.

    A component that a loss does not reach is left out. The gradients of both losses at alpha = 0.25 are compared with
    those at alpha = 0 and 1, where each loss stands alone. Raises ValueError for a factor of any other kind.
    """
    model = settings.model.model_copy(update={"width": 0.0625, "embedding": 16, "reduction": 2})
    small = settings.model_copy(update={"model": model})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_student(small, EMOTIONS).double().eval()
        x = torch.randn(2, *([2] if small.sequential else []), 1, 32, 32, dtype=torch.float64)
        goal = torch.randn_like(network(x).distilled)
    mixed, alone = _gradients(network, small, x, goal, PROBE), {}
    alone["classification"] = _gradients(network, small, x, goal, 0.0)["classification"]
    alone["distillation"] = _gradients(network, small, x, goal, 1.0)["distillation"]
    factors = {loss: {name: _factor(mixed[loss][name], alone[loss][name]) for name in mixed[loss]} for loss in mixed}
    return {loss: {name: factor for name, factor in found.items() if factor} for loss, found in factors.items()}


Gradients = dict[str, dict[str, torch.Tensor]]  # by loss and component


def _gradients(network: Network, settings: Settings, x: torch.Tensor, goal: torch.Tensor, alpha: float) -> Gradients:
    """Return the gradient of each loss with respect to each component, ``(weights,)``."""
    objective = METHODS["embedding"](alpha, settings.training.distance, settings.model.embedding)
    output = network(x, objective.gradient_scale)
    labels, soft = torch.tensor([0, 1]), output.logits.detach().softmax(dim=-1)
    # with the student's own embedding as target the distance is 0, and so is its gradient
    classification = objective(output.logits, output.distilled, labels, Targets(output.distilled.detach(), soft))
    both = objective(output.logits, output.distilled, labels, Targets(goal, soft))
    losses = {"classification": classification, "distillation": both - classification}
    return {loss: _by_component(value, network) for loss, value in losses.items()}


def _by_component(loss: torch.Tensor, network: Network) -> dict[str, torch.Tensor]:
    names = [name.split(".")[0] for name, _ in network.named_parameters()]
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True)
    flat = [(name, part.flatten()) for name, part in zip(names, found, strict=True)]
    return {name: torch.cat([part for other, part in flat if other == name]) for name in dict.fromkeys(names)}


def _factor(mixed: torch.Tensor, alone: torch.Tensor) -> str:
    """Return the name of the number that ``alone`` was multiplied by to give ``mixed``."""
    number = float(mixed @ alone / (alone @ alone).clamp(min=1e-30))
    known = [name for value, name in FACTORS.items() if torch.allclose(mixed, value * alone, rtol=1e-6, atol=1e-12)]
    if not known:
        raise ValueError(f"the gradient is {number:.3f} times that of the loss alone at alpha = {PROBE}, which no figure can name")
    return known[0]
