"""Teacher and student networks: encoder, aggregator (sequential settings) and head."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kdlib.errors import InvalidParameter
from kdlib.losses import scale_gradient
from kdlib.models import resnet, vgg
from kdlib.models.aggregator import Aggregator
from kdlib.parameters import Settings
from kdlib.spectrogram import FrontEnd

BACKBONES = ("vgg", "resnet", "seresnet")
SETTINGS = ("nonseq", "em", "agg")


class Output(NamedTuple):
    """A network's output for a batch: class ``logits`` ``(batch, classes)`` and two embeddings.

    ``distilled`` is the embedding at the setting's level, e ``(batch, embedding)``, e_j ``(batch,
    segments, embedding)`` or a ``(batch, embedding)``; ``final`` is the head's input, ``(batch,
    embedding)``.
    """

    logits: torch.Tensor
    distilled: torch.Tensor
    final: torch.Tensor


class Network(nn.Module):
    """Front end (a student's), encoder, aggregator (None in the setting nonseq) and head (one fully
    connected layer).

    With ``items_at_once`` the encoder of a sequence keeps activations of so many items and computes
    the others' again in the backward pass (gradient checkpointing, Chen et al. 2016). It must have
    no batch-norm, which would see its items in parts, and twice.
    """

    def __init__(
        self, encoder: nn.Module, aggregator: Aggregator | None, embedding: int, classes: int, setting: str,
        items_at_once: int | None = None, front_end: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.front_end = front_end
        self.encoder, self.aggregator = encoder, aggregator
        self.head = nn.Linear(embedding, classes)
        self.setting, self.items_at_once = setting, items_at_once

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, [segments,] embedding)``: without an aggregator ``x`` is a batch, with
        one, of sequences."""
        if self.aggregator is None:
            return self.encoder(x)
        items = x.flatten(0, 1)
        if self.items_at_once and torch.is_grad_enabled():
            parts = items.split(
                self.items_at_once
            )  # checkpoint restores the generator: dropout is the same twice
            e = torch.cat([checkpoint(self.encoder, part, use_reentrant=False) for part in parts])
        else:
            e = self.encoder(items)
        return e.unflatten(0, x.shape[:2])

    def forward(self, x: torch.Tensor, gradient_scale: float = 1.0) -> Output:
        """Classify ``x``, shaped as :meth:`encode` takes it, or waveforms ``(batch, samples)`` for
        the front end.

        ``gradient_scale`` multiplies the classification gradient below the distilled embedding (see
        :mod:`kdlib.losses`).
        """
        if self.front_end is not None and x.dim() == 2:
            x = self.front_end(x)
        e = self.encode(x)
        if self.setting == "nonseq":
            return Output(self.head(scale_gradient(e, gradient_scale)), e, e)
        if self.setting == "em":
            a = self.aggregator(scale_gradient(e, gradient_scale))
            return Output(self.head(a), e, a)
        a = self.aggregator(e)
        return Output(self.head(scale_gradient(a, gradient_scale)), a, a)


def fully_connected(
    inputs: int, embedding: int, layers: int = 2, dropout: float = 0.0
) -> list[nn.Module]:
    """Return the layers that end an encoder, each with its ``dropout``; ReLU follows the last
    (paper, section 3.3).

    Initial weights are He's (He et al. 2015), as torchvision's convolutions have them. PyTorch's
    own shrink the signal to a third in two layers, and a BiLSTM behind them needs about twice as
    many steps (ledger, lstm-activation).
    """
    modules: list[nn.Module] = []
    for layer in range(layers):
        linear = nn.Linear(embedding if layer else inputs, embedding)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        modules += [linear, *([nn.Dropout(dropout)] if dropout else [])]
    # ReLU and dropout can change places: dropout multiplies by 0 or by a positive number
    return [*modules, nn.ReLU()] if modules else []


def _aggregator(setting: str, embedding: int, activation: str, norm: str) -> Aggregator | None:
    return None if setting == "nonseq" else Aggregator(embedding, activation, norm)


def student(
    backbone: str, classes: int, setting: str = "nonseq", width: float = 1.0, embedding: int = 512, stages: int = 4,
    reduction: int = 16, lstm_activation: str = "relu", aggregator_norm: str = "none", front_end: nn.Module | None = None,
) -> Network:  # fmt: skip
    """Return an audio network: spectrograms ``(batch, [segments,] 1, bins, columns)`` to classes.

    With a ``front_end`` (:class:`kdlib.spectrogram.FrontEnd`) it takes waveforms ``(batch,
    samples)`` too. Global average pooling before the fully connected layers lets it take recordings
    of any length.
    """
    if backbone == "vgg":
        maps, channels = vgg.student(width)
    else:
        maps, channels = resnet.student(
            width, reduction if backbone == "seresnet" else None, stages
        )
    encoder = nn.Sequential(
        maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *fully_connected(channels, embedding)
    )
    aggregator = _aggregator(setting, embedding, lstm_activation, aggregator_norm)
    return Network(encoder, aggregator, embedding, classes, setting, front_end=front_end)


def teacher(
    backbone: str, classes: int, sequential: bool = False, measurements: int | None = None, width: float = 1.0,
    embedding: int = 512, weights: str = "", batchnorm: bool = False, dropout: float = 0.0, layers: int = 2,
    reduction: int = 16, lstm_activation: str = "relu", aggregator_norm: str = "none", frames_at_once: int | None = None,
) -> Network:  # fmt: skip
    """Return a video network, ``(batch, [frames,] 3, side, side)`` to classes.

    Where a frame is a row of face ``measurements``, two fully connected layers encode it.
    ``batchnorm`` and ``dropout`` are VGG16's; ``layers`` is the number of fully connected layers
    behind ResNet34's pooling.
    """
    if measurements is not None:
        layer = nn.Linear(measurements, embedding)
        encoder = nn.Sequential(layer, nn.ReLU(), nn.Linear(embedding, embedding), nn.ReLU())
    else:
        if backbone == "vgg":
            maps, features = vgg.teacher(width, batchnorm)
        else:
            from kdlib.models import (
                resnet_teacher,
            )  # late: torchvision takes two seconds, which no student needs

            maps, features = resnet_teacher.teacher(
                width, reduction if backbone == "seresnet" else None
            )
        if weights:
            load_pretrained(maps, backbone, weights)
        encoder = nn.Sequential(maps, *_teacher_end(backbone, features, embedding, dropout, layers))
    setting = "agg" if sequential else "nonseq"
    aggregator = _aggregator(setting, embedding, lstm_activation, aggregator_norm)
    return Network(
        encoder, aggregator, embedding, classes, setting, frames_at_once if sequential else None
    )


def _teacher_end(
    backbone: str, features: int, embedding: int, dropout: float, layers: int
) -> list[nn.Module]:
    """Return the layers that follow a teacher's convolutions; only ResNet34 may have fewer than
    two."""
    if backbone == "vgg":
        return fully_connected(features, embedding, dropout=dropout)
    if not layers and features != embedding:
        raise InvalidParameter(
            f"parameter 'model.teacher_layers' is 0, but the teacher has {features} channels and an embedding of "
            f"{embedding}; give 1 or 2, or set 'model.embedding' to {features}."
        )
    return fully_connected(features, embedding, layers)


def build_student(settings: Settings, classes: int) -> Network:
    """Return the audio network of a run: :func:`student` with the settings' values."""
    model = settings.model
    return student(
        settings.backbone, classes, settings.setting, model.width, model.embedding, model.stages, model.reduction,
        model.lstm_activation, model.aggregator_norm, FrontEnd(settings.media, settings.sequential),
    )  # fmt: skip


def build_teacher(settings: Settings, classes: int, frame_shape: torch.Size) -> Network:
    """Return the video network of a run: :func:`teacher` with the settings' values.

    ``frame_shape`` is ``(height, width, 3)``, or ``(measurements,)``.
    """
    model, measurements = settings.model, frame_shape[0] if len(frame_shape) == 1 else None
    return teacher(
        settings.backbone, classes, settings.sequential, measurements, model.teacher_width, model.embedding,
        model.teacher_weights, model.teacher_batchnorm, model.teacher_dropout, model.teacher_layers, model.reduction,
        model.lstm_activation, model.aggregator_norm, settings.training.frames_at_once,
    )  # fmt: skip


def load_pretrained(maps: nn.Module, backbone: str, weights: str) -> None:
    """Load the convolutions of a torchvision VGG16 or ResNet34 from a state dict file or by the
    name of its weights.

    The excitation modules of the SE teacher, which torchvision's networks lack, keep their initial
    weights. Raises InvalidParameter where file or name is unknown, or where the weights are not
    this network's.
    """
    from torchvision.models import get_model_weights

    if Path(weights).is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
    else:
        known = get_model_weights("vgg16" if backbone == "vgg" else "resnet34").__members__
        if weights not in known:
            raise InvalidParameter(
                f"parameter 'model.teacher_weights' is {weights!r}, neither a file nor one of torchvision's "
                f"{', '.join(known)}."
            )
        state = known[weights].get_state_dict(progress=False)
    own = {_torchvision_name(name, backbone): name for name in maps.state_dict()}
    shapes = {name: value.shape for name, value in maps.state_dict().items()}
    fitting = {
        own[name]: value
        for name, value in state.items()
        if name in own and value.shape == shapes[own[name]]
    }
    if missing := [name for name in own.values() if name not in fitting and ".bn2.1." not in name]:
        raise InvalidParameter(
            f"parameter 'model.teacher_weights' is {weights!r}, whose weights do not fit the {backbone} teacher (the "
            f"first is {missing[0]}); use those of the standard network, with teacher_width 1."
        )
    maps.load_state_dict(fitting, strict=False)


def _torchvision_name(name: str, backbone: str) -> str:
    """Return torchvision's name of one of our teacher's weights: its features are our first layer,
    its bn2 our bn2.0."""
    return (
        "features." + name.removeprefix("0.")
        if backbone == "vgg"
        else name.replace(".bn2.0.", ".bn2.")
    )
