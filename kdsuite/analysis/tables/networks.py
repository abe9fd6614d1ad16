"""Tables 1 to 3, layer by layer, and the sizes of all networks, read off the networks as they are
built.

Nothing is computed: the networks live on torch's meta device, which knows shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import nn

from kdlib.models.network import Network, build_student, build_teacher
from kdlib.models.resnet import Block
from kdsuite.analysis.tables.table import BACKBONES, NETWORK, Column, Table
from kdsuite.settings import Settings

# seven emotions, as RAVDESS with calm counted as neutral
CLASSES = 7
SETTINGS_SHOWN = ("nonseq", "em", "agg")


@dataclass(frozen=True)
class Layer:
    """A row: ``repeats`` equal layers in a line, with the parameters of all of them and the shape
    they give."""

    name: str
    kernel: str
    activation: str
    shape: tuple[int, ...]
    parameters: float
    repeats: int = 1

    def values(self) -> dict[str, Any]:
        """Return the row's cells."""
        kernel = f"[{self.kernel}] × {self.repeats}" if self.repeats > 1 else self.kernel
        return {
            "layer": self.name,
            "kernel": kernel,
            "activation": self.activation,
            "output": " × ".join(map(str, self.shape)),
            "parameters": self.parameters,
        }


def size(module: nn.Module) -> int:
    """Return how many parameters a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def _convolution(layer: nn.Conv2d) -> str:
    return f"{layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.out_channels}"


def _block(block: Block) -> str:
    return "; ".join(
        _convolution(layer) for layer in block.residual if isinstance(layer, nn.Conv2d)
    )


# name, kernel and activation of each type of layer that makes a row of its own
DESCRIPTIONS: dict[type, Callable[[Any], tuple[str, str, str]]] = {
    nn.Conv2d: lambda layer: ("Convolution", _convolution(layer), "–"),
    nn.MaxPool2d: lambda layer: (
        "Max-pool",
        f"{layer.kernel_size}×{layer.kernel_size}, stride {layer.stride}",
        "–",
    ),
    nn.AdaptiveAvgPool2d: lambda layer: ("Global average pool", "–", "–"),
    nn.Linear: lambda layer: ("Fully connected", str(layer.out_features), "–"),
    Block: lambda block: ("Residual block", _block(block), "ReLU"),
}


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that make rows or belong to one, without looking inside of them."""
    children = list(module.children())
    if type(module) in DESCRIPTIONS or not children:
        yield module
    else:
        for child in children:
            yield from _parts(child)


def trace(
    network: nn.Module, x: torch.Tensor, modules: list[nn.Module]
) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Return these modules in the order in which ``x`` passes them, with the shape each gives."""
    passed: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        passed.append((module, tuple((output[0] if isinstance(output, tuple) else output).shape)))

    hooks = [module.register_forward_hook(note) for module in modules]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
    return passed


def layers(network: Network, x: torch.Tensor) -> list[Layer]:
    """Return the rows of a network without aggregator, of ``x`` ``(1, 1, bins, columns)``;
    batch-norm and ReLU join the row before."""
    rows = [Layer("Input", "spectrogram", "–", tuple(x.shape[1:]), 0)]
    for module, shape in trace(network, x, list(_parts(network))):
        if isinstance(module, nn.BatchNorm2d):
            rows[-1] = replace(
                rows[-1],
                name=rows[-1].name + ", batch-norm",
                parameters=rows[-1].parameters + size(module),
            )
        elif isinstance(module, nn.ReLU):
            rows[-1] = replace(rows[-1], activation="ReLU")
        elif type(module) in DESCRIPTIONS:
            rows.append(Layer(*DESCRIPTIONS[type(module)](module), shape[1:], size(module)))
    rows[-1] = replace(rows[-1], activation="Softmax")
    return folded(rows)


def folded(rows: list[Layer]) -> list[Layer]:
    """Return equal rows in a line as one, as papers print them."""
    found: list[Layer] = []
    for row in rows:
        if found and replace(row, parameters=0) == replace(found[-1], parameters=0, repeats=1):
            found[-1] = replace(
                found[-1],
                parameters=found[-1].parameters + row.parameters,
                repeats=found[-1].repeats + 1,
            )
        else:
            found.append(row)
    return found


def aggregated(network: Network, x: torch.Tensor) -> list[Layer]:
    """Return the rows of a sequential network for ``x`` ``(1, segments, 1, bins, columns)``, its
    encoder in one of them."""
    aggregator = network.aggregator
    shapes = dict(
        trace(network, x, [network.encoder, *aggregator.layers, aggregator, network.head])
    )
    activation = "ReLU" if isinstance(aggregator.activation, nn.ReLU) else "–"
    recurrent = [
        Layer(
            "BiLSTM", f"2 × {layer.hidden_size} units", activation, shapes[layer][1:], size(layer)
        )
        for layer in aggregator.layers
    ]
    return [
        Layer("Input", "spectrogram of each segment", "–", tuple(x.shape[1:]), 0),
        Layer("Encoder", "Table 1 or 2, without its head", "–", shapes[network.encoder], math.nan),
        *recurrent,
        Layer(
            "Attention",
            f"{aggregator.attention[0].out_features} units",
            "Attention",
            shapes[aggregator][1:],
            size(aggregator.attention),
        ),
        Layer(
            "Fully connected",
            str(network.head.out_features),
            "Softmax",
            shapes[network.head][1:],
            size(network.head),
        ),
    ]


def _built(settings: Settings) -> tuple[Network, torch.Tensor]:
    """Return a student of full size and an input of the training duration."""
    media = settings.media
    bins, columns = media.fft // 2 + 1, round(media.duration / media.hop)
    shape = (
        (1, settings.segments, 1, bins, columns // settings.segments)
        if settings.sequential
        else (1, 1, bins, columns)
    )
    with torch.device("meta"):
        return build_student(settings, CLASSES), torch.empty(shape)


def _table(
    name: str,
    caption: str,
    rows: list[Layer],
    notes: list[str],
    total: int | None,
    **more: list[float],
) -> Table:
    """Return a table of layers; ``more`` are further columns of parameters by their title."""
    frame = pd.DataFrame([row.values() for row in rows]).assign(**more)
    if total is not None:
        sums = {column: frame[column].sum() for column in ("parameters", *more)}
        frame = pd.concat(
            [
                frame,
                pd.DataFrame(
                    [{"layer": "Total", "kernel": "", "activation": "", "output": "", **sums}]
                ),
            ],
            ignore_index=True,
        )
        assert sums["parameters"] == total, (
            f"{name} has rows for {sums['parameters']} of {total} parameters"
        )
    columns = [
        Column("layer", "layer", header="row"),
        Column("kernel", "kernel or units"),
        Column("activation", "activation"),
        Column("output", "output shape"),
        *(Column(title, title.replace("_", " "), digits=0) for title in ("parameters", *more)),
    ]
    return Table(name, name.replace("table", "Table "), caption, columns, frame, notes=notes)


def network_tables() -> list[Table]:
    """Return Tables 1, 2 and 3 and the number of parameters of all nine teachers and students, at
    full size."""
    networks = {backbone: _built(Settings(backbone=backbone)) for backbone in BACKBONES}
    rows = {backbone: layers(*built) for backbone, built in networks.items()}
    sequential = aggregated(*_built(Settings(setting="agg")))
    order = f"Shapes are channels × frequency bins × columns of a recording of {Settings().media.duration:g} s; the head has {CLASSES} classes."
    excited = [
        f"SE-ResNet: each block ends in squeeze-and-excitation, reduction {Settings().model.reduction}, before the sum.",
        "The first block of each stage has a 1×1 projection, with batch-norm, as its shortcut.",
    ]
    more = {"with_SE": [row.parameters for row in rows["seresnet"]]}
    return [
        _table(
            "table1",
            "The VGG student.",
            rows["vgg"],
            [order, "Numbers of channels are this suite’s choice; the paper’s are lost."],
            size(networks["vgg"][0]),
        ),
        _table(
            "table2",
            "The ResNet student, and the parameters of its variant with squeeze-and-excitation.",
            rows["resnet"],
            [order, *excited],
            size(networks["resnet"][0]),
            **more,
        ),
        _table(
            "table3",
            "The sequential student.",
            sequential,
            [
                "Shapes begin with the number of segments, up to the attention. The encoder’s parameters are those of its own table."
            ],
            None,
        ),
        parameters(),
    ]


def parameters() -> Table:
    """Return how many parameters the nine teachers and students have."""
    found = []
    with torch.device("meta"):
        for backbone in BACKBONES:
            for setting in SETTINGS_SHOWN:
                settings = Settings(backbone=backbone, setting=setting)
                frame = torch.Size((3, settings.media.frame_size, settings.media.frame_size))
                counts = {
                    "teacher": size(build_teacher(settings, CLASSES, frame)),
                    "student": size(build_student(settings, CLASSES)),
                }
                found.append({"backbone": backbone, "setting": setting, **counts})
    columns = [
        *NETWORK,
        Column("teacher", "teacher (video)", digits=0),
        Column("student", "student (audio)", digits=0),
    ]
    notes = [
        "EM and AGG differ in what is distilled, not in their networks. The batch-norm’s running statistics are not counted."
    ]
    return Table(
        "parameters",
        "Sizes",
        f"Parameters of all teachers and students at full size, {CLASSES} classes.",
        columns,
        pd.DataFrame(found),
        notes=notes,
    )
