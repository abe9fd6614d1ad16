"""VGG encoders (Simonyan & Zisserman 2015): the paper's small one for sound, torchvision's VGG16
for faces."""

from torch import nn

from kdlib.models.resnet import convolution
from kdlib.parameters import Model

# Table 1 as its activation column can be read: two groups of three convolutions. Channels are not
# in the paper.
STUDENT_CHANNELS = ((64, 64, 64), (128, 128, 128))


def student(model: Model) -> tuple[nn.Module, int]:
    """Return the convolutions of the audio VGG, ``(batch, 1, bins, columns)`` to feature maps, and
    their channels."""
    layers, channels = [], 1
    for group in STUDENT_CHANNELS:
        for item in group:
            inputs, channels = channels, max(1, round(item * model.width))
            layers += convolution(inputs, channels, 3)
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), channels


def teacher(model: Model) -> tuple[nn.Module, int]:
    """Return torchvision's VGG16 up to its fully connected layers, ``(batch, 3, side, side)`` to
    7×7 maps, and the maps' size."""
    from torchvision.models import vgg

    configuration = [
        item if item == "M" else max(1, round(item * model.teacher_width)) for item in vgg.cfgs["D"]
    ]
    maps = vgg.make_layers(configuration, batch_norm=model.teacher_batchnorm)
    # torchvision's initial weights; its VGG would first draw 120 million of a classifier that is
    # not used
    for layer in maps.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(7), nn.Flatten()), configuration[-2] * 49
