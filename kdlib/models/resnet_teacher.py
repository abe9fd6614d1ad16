"""The residual teacher: torchvision's ResNet34 (He et al. 2016), plain and with
squeeze-and-excitation (see :mod:`.resnet`)."""

from torch import nn
from torchvision.models import resnet

from kdlib.models.resnet import excitation


def teacher(width: float, reduction: int | None) -> tuple[nn.Module, int]:
    """Return torchvision's ResNet34 without its classifier, ``(batch, 3, side, side)`` to pooled
    channels, and their number.

    ``width`` multiplies the channels of the stages; the stem keeps its 64.
    """

    class ExcitedBlock(resnet.BasicBlock):
        def __init__(self, inplanes: int, planes: int, *arguments, **options) -> None:
            super().__init__(inplanes, planes, *arguments, **options)
            self.bn2 = nn.Sequential(self.bn2, *excitation(planes, reduction))

    class ScaledResNet(resnet.ResNet):
        def _make_layer(self, block: type[nn.Module], planes: int, *arguments, **options):
            return super()._make_layer(block, max(1, round(planes * width)), *arguments, **options)

    block = resnet.BasicBlock if reduction is None else ExcitedBlock
    network = ScaledResNet(block, [3, 4, 6, 3], num_classes=1)
    network.fc = nn.Identity()
    return network, max(1, round(512 * width))
