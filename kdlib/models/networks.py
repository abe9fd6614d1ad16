"""Teacher and student put together: encoder, aggregator (sequential settings) and head."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kdlib.errors import InvalidParameter
from kdlib.losses import scale_gradient
from kdlib.models import resnet, vgg
from kdlib.models.sequence import Aggregator
from kdlib.parameters import Model
from kdlib.settings import Settings


class Output(NamedTuple):
    """What a network says of a batch: class ``logits`` ``(batch, classes)`` and two embeddings.

    ``distilled`` is the embedding at the setting's level, e ``(batch, embedding)``, e_j ``(batch, segments, embedding)``
    or a ``(batch, embedding)``; ``final`` is the one the head sees, ``(batch, embedding)``.
    """

    logits: torch.Tensor
    distilled: torch.Tensor
    final: torch.Tensor


class Network(nn.Module):
    """Encoder, aggregator where the setting is sequential, and head (one fully connected layer).

    With ``at_once`` the encoder of a sequence keeps activations of so many items and computes the others' again for their gradients
    (Chen et al. 2016). It must have no batch-norm, which would see its items in parts, and twice.
    """

    def __init__(self, encoder: nn.Module, model: Model, classes: int, setting: str, at_once: int | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = None if setting == "nonseq" else Aggregator(model.embedding, model.lstm_activation, model.aggregator_norm)
        self.head = nn.Linear(model.embedding, classes)
        self.setting, self.at_once = setting, at_once

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, [segments,] embedding)``: without an aggregator ``x`` is a batch, with one a batch of sequences."""
        if self.aggregator is None:
            return self.encoder(x)
        items = x.flatten(0, 1)
        if self.at_once and torch.is_grad_enabled():
            parts = items.split(self.at_once)
            e = torch.cat([checkpoint(self.encoder, part, use_reentrant=False) for part in parts])  # dropout falls the same way twice
        else:
            e = self.encoder(items)
        return e.unflatten(0, x.shape[:2])

    def forward(self, x: torch.Tensor, keep: float = 1.0) -> Output:
        """Classify ``x`` as :meth:`encode` takes it; ``keep`` scales the classification gradient below the distilled embedding (see losses)."""
        e = self.encode(x)
        if self.setting == "nonseq":
            return Output(self.head(scale_gradient(e, keep)), e, e)
        if self.setting == "em":
            a = self.aggregator(scale_gradient(e, keep))
            return Output(self.head(a), e, a)
        a = self.aggregator(e)
        return Output(self.head(scale_gradient(a, keep)), a, a)


def fully_connected(inputs: int, embedding: int, layers: int = 2, dropout: float = 0.0) -> list[nn.Module]:
    """Return the layers that end an encoder, each with its ``dropout``; ReLU follows the last (paper, section 3.3).

    Initial weights are He's (He et al. 2015), as torchvision's convolutions have them. PyTorch's shrink the signal to a third in two
    layers, and a BiLSTM behind them needs about twice as many steps (ledger, lstm-activation).
    """
    found: list[nn.Module] = []
    for layer in range(layers):
        linear = nn.Linear(embedding if layer else inputs, embedding)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        found += [linear, *([nn.Dropout(dropout)] if dropout else [])]
    # ReLU and dropout can change places: dropout sets to 0 or scales
    return [*found, nn.ReLU()] if found else []


def _residual(reduced: bool) -> dict:
    def reduction(model: Model) -> int | None:
        return model.reduction if reduced else None

    def teacher(model: Model):
        from kdlib.models import resnet_teacher  # late, for torchvision takes two seconds, which no student needs to wait

        return resnet_teacher.teacher(model.teacher_width, reduction(model))

    return {"student": lambda model: resnet.student(model.width, reduction(model), model.stages), "teacher": teacher}


BACKBONES = {
    "vgg": {
        "student": lambda model: vgg.student(model.width),
        "teacher": lambda model: vgg.teacher(model.teacher_width, model.teacher_batchnorm),
    },
    "resnet": _residual(False),
    "seresnet": _residual(True),
}


def build_student(settings: Settings, classes: int) -> Network:
    """Return the audio network of a run, ``(batch, [segments,] 1, bins, columns)`` to classes.

    Global average pooling before the fully connected layers lets it hear recordings of any length.
    """
    maps, channels = BACKBONES[settings.backbone]["student"](settings.model)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *fully_connected(channels, settings.model.embedding)]
    return Network(nn.Sequential(maps, *pooled), settings.model, classes, settings.setting)


def build_teacher(settings: Settings, classes: int, frame_shape: torch.Size) -> Network:
    """Return the video network of a run, ``(batch, [frames,] 3, side, side)`` to classes.

    Where ``frame_shape`` is ``(measurements,)`` a frame is a row of face measurements, and two fully connected layers encode it.
    """
    embedding = settings.model.embedding
    if len(frame_shape) == 1:
        encoder = nn.Sequential(nn.Linear(frame_shape[0], embedding), nn.ReLU(), nn.Linear(embedding, embedding), nn.ReLU())
    else:
        maps, features = BACKBONES[settings.backbone]["teacher"](settings.model)
        if settings.model.teacher_weights:
            load_pretrained(maps, settings.backbone, settings.model.teacher_weights)
        encoder = nn.Sequential(maps, *_end_of_teacher(settings, features))
    at_once = settings.training.frames_at_once
    return Network(encoder, settings.model, classes, *(("agg", at_once) if settings.sequential else ("nonseq",)))


def _end_of_teacher(settings: Settings, features: int) -> list[nn.Module]:
    """Return the layers that follow the convolutions of a teacher; dropout is VGG16's alone, and only ResNet34 may have fewer than two."""
    model = settings.model
    if settings.backbone == "vgg":
        return fully_connected(features, model.embedding, dropout=model.teacher_dropout)
    if not model.teacher_layers and features != model.embedding:
        raise InvalidParameter(
            f"parameter 'model.teacher_layers' is 0, but the teacher has {features} channels and an embedding of {model.embedding}; give 1 or 2, or set 'model.embedding' to {features}."
        )
    return fully_connected(features, model.embedding, model.teacher_layers)


def load_pretrained(maps: nn.Module, backbone: str, weights: str) -> None:
    """Load the convolutions of a torchvision VGG16 or ResNet34 from a state dict file or by the name of torchvision's weights.

    The excitation modules of the SE teacher, which torchvision's networks lack, keep their initial weights.
    Raises InvalidParameter where file or name is unknown, or where the weights are not this network's.
    """
    from torchvision.models import get_model_weights

    if Path(weights).is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
    else:
        known = get_model_weights("vgg16" if backbone == "vgg" else "resnet34").__members__
        if weights not in known:
            raise InvalidParameter(
                f"parameter 'model.teacher_weights' is {weights!r}, neither a file nor one of torchvision's {', '.join(known)}."
            )
        state = known[weights].get_state_dict(progress=False)
    ours = {_torchvision_name(name, backbone): name for name in maps.state_dict()}
    fitting = {ours[name]: value for name, value in state.items() if name in ours and value.shape == maps.state_dict()[ours[name]].shape}
    if missing := [name for name in ours.values() if name not in fitting and ".bn2.1." not in name]:
        raise InvalidParameter(
            f"parameter 'model.teacher_weights' is {weights!r}, whose weights do not fit the {backbone} teacher (the first is {missing[0]}); use those of the standard network, with teacher_width 1."
        )
    maps.load_state_dict(fitting, strict=False)


def _torchvision_name(name: str, backbone: str) -> str:
    """Return what torchvision calls a weight of our teacher: its features are our first layer, its bn2 our bn2.0."""
    return "features." + name.removeprefix("0.") if backbone == "vgg" else name.replace(".bn2.0.", ".bn2.")
