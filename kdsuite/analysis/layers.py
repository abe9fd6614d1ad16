"""Tables 1 to 3, layer by layer, and the sizes of all networks, read off the networks as they are
built.

Nothing is computed: the networks live on torch's meta device, which knows shapes alone.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

from kdlib.models.network import Network, build_student, build_teacher
from kdlib.models.resnet import Block
from kdsuite.settings import Settings

CLASSES = 7  # the emotions of RAVDESS, calm counted as neutral
NAMES = {
    nn.Conv2d: "Convolution",
    nn.MaxPool2d: "Max-pool",
    nn.AdaptiveAvgPool2d: "Global average pool",
    nn.Linear: "Fully connected",
    nn.LSTM: "BiLSTM",
    Block: "Residual block",
}
# these belong to the row before them
JOINED = {nn.BatchNorm2d: ", batch-norm", nn.ReLU: "", nn.Flatten: "", nn.Identity: ""}


def size(module: nn.Module) -> int:
    """Return how many parameters a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def _kernel(module: nn.Module) -> str:
    match module:
        case Block():
            return "; ".join(_kernel(m) for m in module.residual if isinstance(m, nn.Conv2d))
        case nn.Conv2d():
            return f"{module.kernel_size[0]}×{module.kernel_size[1]}, {module.out_channels}"
        case nn.MaxPool2d():
            return f"{module.kernel_size}×{module.kernel_size}, stride {module.stride}"
        case nn.Linear():
            return str(module.out_features)
        case nn.LSTM():
            return f"2 × {module.hidden_size} units"
    return "–"


def layers(settings: Settings) -> pd.DataFrame:
    """Return the layers of a student of full size, equal ones in a line as one row, and their total.

    Columns: layer, kernel, activation, output (shape for one recording), parameters. The encoder of
    a sequential student is one row, whose parameters are those of its own table (NaN).
    """
    network, x = _built(settings)
    rows: list[dict] = [
        {
            "layer": "Input",
            "kernel": "spectrogram",
            "activation": "–",
            "output": _shape(x),
            "parameters": 0,
        }
    ]
    hooks = [_watch(module, rows, network) for module in _parts(network)]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
    rows[-1]["activation"] = "Softmax"
    if settings.sequential:
        rows[0]["kernel"] = "spectrogram of each segment"
    table = pd.DataFrame(rows)
    same = ["layer", "kernel", "activation", "output"]
    new = (table[same] != table[same].shift()).any(axis=1) | (table.layer == "BiLSTM")
    runs = new.cumsum()
    folded = table.groupby(runs).agg({**dict.fromkeys(same, "first"), "parameters": "sum"})
    repeats = table.groupby(runs).size()
    folded["kernel"] = folded.kernel.where(
        repeats == 1, "[" + folded.kernel + "] × " + repeats.astype(str)
    )
    if settings.sequential:
        folded["parameters"] = folded.parameters.where(folded.layer != "Encoder")
        return folded.reset_index(drop=True)
    total = {
        "layer": "Total",
        "kernel": "",
        "activation": "",
        "output": "",
        "parameters": size(network),
    }
    assert folded.parameters.sum() == total["parameters"]
    return pd.concat([folded, pd.DataFrame([total])], ignore_index=True)


def sizes(settings: Settings) -> dict[str, int]:
    """Return how many parameters the teacher and the student of these settings learn."""
    frame = torch.Size((3, settings.media.frame_size, settings.media.frame_size))
    with torch.device("meta"):
        networks = build_teacher(settings, CLASSES, frame), build_student(settings, CLASSES)
    return dict(zip(("teacher", "student"), map(size, networks)))


def _built(settings: Settings) -> tuple[Network, torch.Tensor]:
    """Return a student of full size and an input of the training duration."""
    media = settings.media
    bins, columns = media.fft // 2 + 1, round(media.duration / media.hop)
    segments = (settings.segments,) if settings.sequential else ()
    shape = (1, *segments, 1, bins, columns // (settings.segments if segments else 1))
    with torch.device("meta"):
        return build_student(settings, CLASSES), torch.empty(shape)


def _parts(network: Network) -> list[nn.Module]:
    """Return the modules that make a row or belong to one."""
    if network.aggregator is not None:
        aggregator = network.aggregator
        return [network.encoder, *aggregator.layers, aggregator, network.head]
    parts: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in network.modules():
        if module not in inside and type(module) in {**NAMES, **JOINED}:
            parts.append(module)
            inside |= set(module.modules())
    return parts


def _watch(module: nn.Module, rows: list[dict], network: Network) -> object:
    def _note(module: nn.Module, _: object, output: object) -> None:
        if type(module) in JOINED:
            rows[-1]["layer"] += JOINED[type(module)]
            rows[-1]["parameters"] += size(module)
            if isinstance(module, nn.ReLU):
                rows[-1]["activation"] = "ReLU"
            return
        row = {
            "layer": NAMES.get(type(module), "Encoder"),
            "kernel": _kernel(module),
            "activation": "–",
        }
        if isinstance(module, Block):
            row["activation"] = "ReLU"
        elif isinstance(module, nn.LSTM) and isinstance(network.aggregator.activation, nn.ReLU):
            row["activation"] = "ReLU"
        elif module is network.encoder:
            row["kernel"] = "Table 1 or 2, without its head"
        elif module is network.aggregator:
            units = module.attention[0].out_features
            row |= {"layer": "Attention", "kernel": f"{units} units", "activation": "Attention"}
            module = module.attention
        output = output[0] if isinstance(output, tuple) else output
        # the encoder of a sequence takes the segments as a batch
        row["output"] = _shape(output[None] if module is network.encoder else output)
        rows.append({**row, "parameters": size(module)})

    return module.register_forward_hook(_note)


def _shape(x: torch.Tensor) -> str:
    """Return the shape without the batch, such as ``1 × 257 × 400``."""
    return " × ".join(map(str, x.shape[1:]))
