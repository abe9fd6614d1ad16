"""Residual encoders, plain and with squeeze-and-excitation.

The student is the thin ResNet-34 of Xie et al. 2019, whose block the paper describes and whose
sizes its tables have lost; the teacher is torchvision's ResNet34 (He et al. 2016).
Squeeze-and-excitation (Hu et al. 2018) sits behind the last batch-norm of a block, before the sum.
"""

import torch
from torch import Tensor, nn

from kdlib.parameters import Model

STEM = 64
STAGES = (((48, 48, 96), 2), ((96, 96, 128), 3), ((128, 128, 256), 3), ((256, 256, 512), 3))


class SqueezeExcitation(nn.Module):
    """torchvision's module of that name, weight for weight: who uses a student need not load a
    library of pictures and videos."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of ``(batch, channels, height, width)``, each by what all of them are
        on average."""
        return self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid() * x


def excitation(channels: int, reduction: int | None) -> list[nn.Module]:
    """Return the squeeze-and-excitation module of a block, or none where ``reduction`` is None."""
    return [] if reduction is None else [SqueezeExcitation(channels, max(1, channels // reduction))]


def convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Return a convolution that keeps height and width, batch-norm and ReLU."""
    convolved = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [convolved, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class Block(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, each with batch-norm, around which the input is added."""

    def __init__(self, inputs: int, sizes: tuple[int, ...], reduction: int | None):
        super().__init__()
        first, middle, last = sizes
        self.residual = nn.Sequential(
            *convolution(inputs, first, 1),
            *convolution(first, middle, 3),
            *convolution(middle, last, 1)[:2],  # ReLU follows the sum
            *excitation(last, reduction),
        )
        shortcut = [] if inputs == last else convolution(inputs, last, 1)[:2]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Keep height and width, ``(batch, inputs, height, width)`` to ``(batch, last, height,
        width)``."""
        return torch.relu(self.residual(x) + self.shortcut(x))


def student(model: Model, excited: bool = False) -> tuple[nn.Module, int]:
    """Return the stages of the audio ResNet, ``(batch, 1, bins, columns)`` to feature maps, and
    their channels; ``excited`` by
    squeeze-and-excitation or plain."""
    width, channels = model.width, max(1, round(STEM * model.width))
    layers = [*convolution(1, channels, 7), nn.MaxPool2d(2, 2)]
    for sizes, repeats in STAGES[: model.stages]:
        scaled = tuple(max(1, round(size * width)) for size in sizes)
        for _ in range(repeats):
            layers.append(Block(channels, scaled, model.reduction if excited else None))
            channels = scaled[-1]
        # with ceil_mode short recordings keep at least one row and column
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    return nn.Sequential(*layers), channels


def teacher(model: Model, excited: bool = False) -> tuple[nn.Module, int]:
    """Return torchvision's ResNet34 without its classifier, ``(batch, 3, side, side)`` to pooled
    channels, and their number.

    ``teacher_width`` multiplies the channels of the stages; the stem keeps its 64.
    """
    # late: torchvision takes two seconds, which no student needs
    from torchvision.models.resnet import BasicBlock, ResNet

    class ExcitedBlock(BasicBlock):
        def __init__(self, inplanes, planes, *arguments, **options):
            super().__init__(inplanes, planes, *arguments, **options)
            self.bn2 = nn.Sequential(self.bn2, *excitation(planes, model.reduction))

    class ScaledResNet(ResNet):
        def _make_layer(self, block, planes, *arguments, **options):
            return super()._make_layer(block, scaled(planes), *arguments, **options)

    def scaled(channels):
        return max(1, round(channels * model.teacher_width))

    block = ExcitedBlock if excited else BasicBlock
    network = ScaledResNet(block, [3, 4, 6, 3], num_classes=1)
    network.fc = nn.Identity()
    return network, scaled(512)
