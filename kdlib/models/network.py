"""Teacher and student networks: encoder, aggregator (sequential settings) and head."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kdlib.errors import InvalidParameter
from kdlib.losses import scale_gradient
from kdlib.models import resnet, vgg
from kdlib.models.aggregator import Aggregator
from kdlib.parameters import Model, Settings
from kdlib.spectrogram import Spectrogram

# of each backbone: from the sizes to the student's and the teacher's maps, and their channels
BACKBONES = {
    "vgg": (vgg.student, vgg.teacher),
    "resnet": (resnet.student, resnet.teacher),
    "seresnet": (partial(resnet.student, excited=True), partial(resnet.teacher, excited=True)),
}
SETTINGS = ("nonseq", "em", "agg")


class Output(NamedTuple):
    """A network's output for a batch: class ``logits`` ``(batch, classes)`` and two embeddings.

    ``distilled`` is the embedding at the setting's level, e ``(batch, embedding)``, e_j ``(batch,
    segments, embedding)`` or a ``(batch, embedding)``; ``final`` is the head's input, ``(batch,
    embedding)``.
    """

    logits: Tensor
    distilled: Tensor
    final: Tensor


class Network(nn.Module):
    """Front end (a student's), encoder, aggregator (None in the setting nonseq) and head (one fully
    connected layer).

    With ``items_at_once`` the encoder of a sequence keeps activations of so many items and computes
    the others' again in the backward pass (gradient checkpointing, Chen et al. 2016). It must have
    no batch-norm, which would see its items in parts, and twice. ``compiled_encoder`` may hold what
    torch.compile makes of the encoder, for training.
    """

    compiled_encoder = None

    def __init__(
        self, encoder: nn.Module, classes: int, setting: str, model: Model,
        front_end: nn.Module | None = None, items_at_once: int | None = None,
    ):  # fmt: skip
        super().__init__()
        self.front_end, self.encoder, self.aggregator = front_end, encoder, None
        if setting != "nonseq":
            self.aggregator = Aggregator(
                model.embedding, model.lstm_activation, model.aggregator_norm
            )
        self.head = nn.Linear(model.embedding, classes)
        self.setting, self.items_at_once = setting, items_at_once

    def encode(self, x: Tensor) -> Tensor:
        """Return ``(batch, [segments,] embedding)``: without an aggregator ``x`` is a batch, with
        one, of sequences."""
        items = x if self.aggregator is None else x.flatten(0, 1)
        if items.dim() == 4 and items.device.type != "cpu":
            # `to` sets the strides of a single channel too, `contiguous` does not
            items = items.to(memory_format=torch.channels_last)
        if self.items_at_once and torch.is_grad_enabled():
            # checkpoint restores the generator: dropout is the same twice
            parts = items.split(self.items_at_once)
            e = torch.cat([checkpoint(self.encoder, part, use_reentrant=False) for part in parts])
        else:
            e = (self.training and self.compiled_encoder or self.encoder)(items)
        return e if self.aggregator is None else e.unflatten(0, x.shape[:2])

    def forward(self, x: Tensor, gradient_scale: float = 1.0) -> Output:
        """Classify ``x``, shaped as :meth:`encode` takes it, or waveforms ``(batch, samples)`` for
        the front end.

        ``gradient_scale`` multiplies the classification gradient below the distilled embedding (see
        :mod:`kdlib.losses`).
        """
        if self.front_end is not None and x.dim() == 2:
            x = self.front_end(x)
        distilled = self.encode(x)
        if self.setting == "agg":
            distilled = self.aggregator(distilled)
        final = scale_gradient(distilled, gradient_scale)
        if self.setting == "em":
            final = self.aggregator(final)
        return Output(self.head(final), distilled, final)


def fully_connected(
    inputs: int, embedding: int, layers: int = 2, dropout: float = 0.0
) -> list[nn.Module]:
    """Return the layers that end an encoder, each with its ``dropout``; ReLU follows the last
    (paper, section 3.3).

    Initial weights are He's (He et al. 2015), as torchvision's convolutions have them. PyTorch's
    own shrink the signal to a third in two layers, and a BiLSTM behind them needs about twice as
    many steps (ledger, lstm-activation).
    """
    modules = []
    for layer in range(layers):
        linear = nn.Linear(embedding if layer else inputs, embedding)
        # on the meta device drawing would import torch's compiler, which takes a second
        if not linear.weight.is_meta:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        modules += [linear, *([nn.Dropout(dropout)] if dropout else [])]
    # ReLU and dropout can change places: dropout multiplies by 0 or by a positive number
    return [*modules, nn.ReLU()] if modules else []


def student(
    backbone: str, classes: int, setting: str = "nonseq", front_end: nn.Module | None = None,
    **sizes: Any,
) -> Network:  # fmt: skip
    """Return an audio network: spectrograms ``(batch, [segments,] 1, bins, columns)`` to classes.

    With a ``front_end`` (:class:`kdlib.spectrogram.Spectrogram`) it takes waveforms ``(batch,
    samples)`` too. ``sizes`` are parameters of :class:`kdlib.parameters.Model`, such as ``width``
    and ``embedding``. Global average pooling before the fully connected layers lets it take
    recordings of any length.
    """
    model = Model(**sizes)
    maps, channels = BACKBONES[backbone][0](model)
    end = fully_connected(channels, model.embedding)
    encoder = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *end)
    return Network(encoder, classes, setting, model, front_end)


def teacher(
    backbone: str, classes: int, sequential: bool = False, measurements: int | None = None,
    frames_at_once: int | None = None, **sizes: Any,
) -> Network:  # fmt: skip
    """Return a video network, ``(batch, [frames,] 3, side, side)`` to classes.

    Where a frame is a row of face ``measurements``, two fully connected layers encode it. ``sizes``
    are parameters of :class:`kdlib.parameters.Model`, such as ``teacher_width``; pretrained weights
    are left to :mod:`kdsuite.runs.pretrained`.
    """
    model = Model(**sizes)
    if measurements is not None:
        first, last = (nn.Linear(of, model.embedding) for of in (measurements, model.embedding))
        encoder = nn.Sequential(first, nn.ReLU(), last, nn.ReLU())
    else:
        maps, features = BACKBONES[backbone][1](model)
        layers, dropout = model.teacher_layers, 0.0
        if backbone == "vgg":
            layers, dropout = 2, model.teacher_dropout
        if not layers and features != model.embedding:
            raise InvalidParameter(
                f"parameter 'model.teacher_layers' is 0, but the teacher has {features} channels"
                f" and an embedding of {model.embedding}; give 1 or 2, or set 'model.embedding' to"
                f" {features}."
            )
        end = fully_connected(features, model.embedding, layers, dropout)
        encoder = nn.Sequential(maps, *end)
    setting, at_once = ("agg", frames_at_once) if sequential else ("nonseq", None)
    return Network(encoder, classes, setting, model, items_at_once=at_once)


def build_student(settings: Settings, classes: int) -> Network:
    """Return the audio network of a run: :func:`student` with the settings' values."""
    front_end = Spectrogram(settings.media, settings.sequential)
    return student(settings.backbone, classes, settings.setting, front_end, **dict(settings.model))


def build_teacher(settings: Settings, classes: int, frame_shape: torch.Size) -> Network:
    """Return the video network of a run: :func:`teacher` with the settings' values.

    ``frame_shape`` is ``(height, width, 3)``, or ``(measurements,)``.
    """
    measurements = frame_shape[0] if len(frame_shape) == 1 else None
    return teacher(
        settings.backbone, classes, settings.sequential, measurements,
        settings.training.frames_at_once, **dict(settings.model),
    )  # fmt: skip
