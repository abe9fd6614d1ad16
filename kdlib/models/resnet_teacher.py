"""The residual teacher: torchvision's ResNet34 (He et al. 2016), plain and with
squeeze-and-excitation (see :mod:`.resnet`)."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet

from kdlib.models.resnet import excitation


class ScaledResNet(resnet.ResNet):
    """torchvision's ResNet with its stages' channels multiplied by ``width``; the stem keeps its
    64."""

    def __init__(self, block: type[nn.Module], width: float) -> None:
        self.width = width
        super().__init__(block, [3, 4, 6, 3], num_classes=1)

    def _make_layer(
        self, block: type[nn.Module], planes: int, *arguments, **options
    ) -> nn.Sequential:
        return super()._make_layer(block, max(1, round(planes * self.width)), *arguments, **options)


def teacher(width: float, reduction: int | None) -> tuple[nn.Module, int]:
    """Return torchvision's ResNet34 without its classifier, ``(batch, 3, side, side)`` to pooled
    channels, and their number."""

    class ExcitedBlock(resnet.BasicBlock):
        def __init__(self, inplanes: int, planes: int, *arguments, **options) -> None:
            super().__init__(inplanes, planes, *arguments, **options)
            self.bn2 = nn.Sequential(self.bn2, *excitation(planes, reduction))

    network = ScaledResNet(resnet.BasicBlock if reduction is None else ExcitedBlock, width)
    network.fc = nn.Identity()
    return network, max(1, round(512 * width))
