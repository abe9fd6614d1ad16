"""Tables 1 to 3: the layers of the networks as they are built."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdlib.models.network import build_student, build_teacher
from kdsuite import paths
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, load
from tests.analysis.asking import ask


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Return the executed notebook on the method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "REPORTS", tmp_path_factory.mktemp("reports"))
        return ask("method", [Run("student", load(dataset="demo-ravdess"))])


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_table_1_is_the_vgg_student(notebook):
    frame = notebook.tables["table1"].frame
    assert frame.output.tolist() == [
        "1 × 257 × 400", "64 × 257 × 400", "64 × 128 × 200", "128 × 128 × 200", "128 × 64 × 100", "128 × 1 × 1", "512", "512", "7", "",
    ]  # fmt: skip
    assert frame.activation.tolist() == [
        "–",
        "ReLU",
        "–",
        "ReLU",
        "–",
        "–",
        "–",
        "ReLU",
        "Softmax",
        "",
    ]
    assert frame.kernel[1] == "[3×3, 64] × 3"
    # three 3×3 convolutions without bias, each with scale and shift of its batch-norm
    assert frame.parameters[1] == 9 * (1 * 64 + 64 * 64 + 64 * 64) + 3 * 2 * 64
    assert frame.parameters[6] == 128 * 512 + 512


def test_table_2_is_the_thin_resnet(notebook):
    frame = notebook.tables["table2"].frame
    blocks = frame[frame.layer == "Residual block"]
    assert blocks.output.tolist() == [
        "96 × 128 × 200",
        "128 × 64 × 100",
        "256 × 32 × 50",
        "512 × 16 × 25",
    ]
    assert blocks.kernel.tolist()[
        0
    ] == "[1×1, 48; 3×3, 48; 1×1, 96] × 2" and blocks.kernel.tolist()[3].endswith("× 3")
    assert frame.output.tolist()[1] == "64 × 257 × 400" and frame.output.tolist()[-6:-1] == [
        "512 × 8 × 13",
        "512 × 1 × 1",
        "512",
        "512",
        "7",
    ]
    # stage 1 by hand: two blocks, the first from 64 channels with a projection
    first = 64 * 48 + 9 * 48 * 48 + 48 * 96 + 2 * (48 + 48 + 96) + 64 * 96 + 2 * 96
    second = 96 * 48 + 9 * 48 * 48 + 48 * 96 + 2 * (48 + 48 + 96)
    assert blocks.parameters.iloc[0] == first + second
    excitation = 96 * 6 + 6 + 6 * 96 + 96
    assert (
        notebook.names["layers"](Settings(backbone="seresnet")).parameters[blocks.index[0]]
        == blocks.with_SE.iloc[0]
        == first + second + 2 * excitation
    )


def test_table_3_is_the_sequential_student(notebook):
    frame = notebook.tables["table3"].frame
    assert frame.activation.tolist() == ["–", "–", "ReLU", "ReLU", "Attention", "Softmax"]
    assert frame.output.tolist() == [
        "4 × 1 × 257 × 100",
        "4 × 512",
        "4 × 512",
        "4 × 512",
        "512",
        "7",
    ]
    assert frame.parameters[2] == 2 * 4 * (512 * 256 + 256 * 256 + 2 * 256)
    assert frame.parameters[4] == 512 * 256 + 256 + 256


@pytest.mark.parametrize("backbone", ["vgg", "resnet", "seresnet"])
def test_totals_are_those_of_the_networks(backbone, notebook):
    with torch.device("meta"):
        network = build_student(Settings(backbone=backbone), 7)
    column = notebook.names["layers"](Settings(backbone=backbone)).parameters
    total = size(network)
    assert column.iloc[-1] == column.iloc[:-1].sum() == total


def test_sizes_of_all_nine_networks(notebook):
    rows = notebook.tables["parameters"].frame.set_index(["backbone", "setting"])
    sizes = rows.to_dict("index")
    assert len(sizes) == 9
    settings = Settings(backbone="seresnet", setting="agg")
    with torch.device("meta"):
        frame = torch.Size((3, 224, 224))
        teacher, own = build_teacher(settings, 7, frame), build_student(settings, 7)
    assert sizes["seresnet", "agg"] == sizes["seresnet", "em"]
    assert sizes["seresnet", "agg"] == {
        "teacher": size(teacher),
        "student": size(own),
    }
    # torchvision's VGG16 has 14,714,688 parameters in its convolutions
    vgg = 14714688 + (512 * 49 + 1) * 512 + 513 * 512 + 513 * 7
    assert sizes["vgg", "nonseq"]["teacher"] == vgg


@pytest.mark.parametrize(("activation", "shown"), [("relu", "ReLU"), ("none", "–")])
def test_the_activation_of_the_lstm_is_that_of_the_network(activation, shown, notebook):
    model = Settings().model.model_copy(update={"lstm_activation": activation})
    rows = notebook.names["layers"](Settings(setting="agg", model=model))
    assert rows.activation[rows.layer == "BiLSTM"].tolist() == [shown, shown]
