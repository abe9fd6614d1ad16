"""Residual encoders, plain and with squeeze-and-excitation.

The student is the thin ResNet-34 of Xie et al. 2019, whose block the paper describes and whose sizes its tables have
lost; the teacher is torchvision's ResNet34 (He et al. 2016). Squeeze-and-excitation (Hu et al. 2018) sits behind the
last batch-norm of a block, before the sum.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet
from torchvision.ops import SqueezeExcitation

STEM = 64
STAGES = (((48, 48, 96), 2), ((96, 96, 128), 3), ((128, 128, 256), 3), ((256, 256, 512), 3))


def excitation(channels: int, reduction: int | None) -> list[nn.Module]:
    """Return the squeeze-and-excitation module of a block, or none where ``reduction`` is None."""
    return [] if reduction is None else [SqueezeExcitation(channels, max(1, channels // reduction))]


class Block(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, each with batch-norm, around which the input is added."""

    def __init__(self, inputs: int, sizes: tuple[int, ...], reduction: int | None) -> None:
        super().__init__()
        first, middle, last = sizes
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, first, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True),
            nn.Conv2d(first, middle, 3, padding=1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(inplace=True),
            nn.Conv2d(middle, last, 1, bias=False), nn.BatchNorm2d(last), *excitation(last, reduction),
        )  # fmt: skip
        self.shortcut = nn.Identity() if inputs == last else nn.Sequential(nn.Conv2d(inputs, last, 1, bias=False), nn.BatchNorm2d(last))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep height and width, ``(batch, inputs, height, width)`` to ``(batch, last, height, width)``."""
        return torch.relu(self.residual(x) + self.shortcut(x))


def student(width: float, reduction: int | None) -> tuple[nn.Module, int]:
    """Return the convolutions of the audio ResNet, ``(batch, 1, bins, columns)`` to feature maps, and their channels."""
    channels = max(1, round(STEM * width))
    layers = [nn.Conv2d(1, channels, 7, padding=3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)]
    for sizes, repeats in STAGES:
        scaled = tuple(max(1, round(size * width)) for size in sizes)
        for _ in range(repeats):
            layers.append(Block(channels, scaled, reduction))
            channels = scaled[-1]
        # with ceil_mode short recordings keep at least one row and column
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    return nn.Sequential(*layers), channels


class ScaledResNet(resnet.ResNet):
    """torchvision's ResNet with its stages' channels multiplied by ``width``; the stem keeps its 64."""

    def __init__(self, block: type[nn.Module], width: float) -> None:
        self.width = width
        super().__init__(block, [3, 4, 6, 3], num_classes=1)

    def _make_layer(self, block: type[nn.Module], planes: int, *arguments, **options) -> nn.Sequential:
        return super()._make_layer(block, max(1, round(planes * self.width)), *arguments, **options)


def teacher(width: float, reduction: int | None) -> tuple[nn.Module, int]:
    """Return torchvision's ResNet34 without its classifier, ``(batch, 3, side, side)`` to pooled channels, and their number."""

    class ExcitedBlock(resnet.BasicBlock):
        def __init__(self, inplanes: int, planes: int, *arguments, **options) -> None:
            super().__init__(inplanes, planes, *arguments, **options)
            self.bn2 = nn.Sequential(self.bn2, *excitation(planes, reduction))

    network = ScaledResNet(resnet.BasicBlock if reduction is None else ExcitedBlock, width)
    network.fc = nn.Identity()
    return network, max(1, round(512 * width))
