"""Pretrained weights of teachers: files, or those that torchvision knows."""

from pathlib import Path

import torch
from torch import nn

from kdlib.errors import InvalidParameter

# a part of torchvision's names of weights and what kdlib's teachers have in its place
RENAMED = {"vgg": ("features.", "0."), "seresnet": (".bn2.", ".bn2.0.")}


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
                f"parameter 'model.teacher_weights' is {weights!r}, neither a file nor one of"
                f" torchvision's {', '.join(known)}."
            )
        state = known[weights].get_state_dict(progress=False)
    state = {name.replace(*RENAMED.get(backbone, ("", ""))): value for name, value in state.items()}
    for name, own in maps.state_dict().items():
        excitation = ".bn2.1." in name
        if not excitation and (name not in state or state[name].shape != own.shape):
            raise InvalidParameter(
                f"parameter 'model.teacher_weights' is {weights!r}, whose weights do not fit the"
                f" {backbone} teacher (the first is {name}); use those of the standard network,"
                " with teacher_width 1."
            )
    maps.load_state_dict(state, strict=False)
