"""The networks against torchvision's, against hand-counted sizes, and at awkward input sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from kdlib.dataset import Fold
from kdlib.errors import InvalidParameter
from kdlib.models import resnet, vgg
from kdlib.models.aggregator import Aggregator
from kdlib.models.network import BACKBONES, build_student, build_teacher
from kdlib.parameters import Model
from kdsuite.runs import stages
from kdsuite.runs.pretrained import load_pretrained
from kdsuite.settings import load
from tests.conftest import noise_store, small


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def full(backbone: str, setting: str = "nonseq"):
    return load(dataset="ravdess", backbone=backbone, setting=setting)


def test_full_size_teachers_are_torchvisions():
    with torch.device("meta"):
        plain_vgg, plain, excited = (
            maps[0]
            for maps in (
                vgg.teacher(Model()),
                resnet.teacher(Model()),
                resnet.teacher(Model(), excited=True),
            )
        )
        assert count(plain_vgg) == count(torchvision.models.vgg16().features)
        assert count(plain) == count(torchvision.models.resnet34()) - (512 * 1000 + 1000)
    # a squeeze-and-excitation module has two 1x1 convolutions: c -> c/16 -> c
    modules = {64: 3, 128: 4, 256: 6, 512: 3}
    assert count(excited) - count(plain) == sum(
        n * (2 * c * (c // 16) + c // 16 + c) for c, n in modules.items()
    )


def test_plain_resnet_teacher_computes_what_torchvision_does():
    teacher, _ = resnet.teacher(Model())
    reference = torchvision.models.resnet34()
    reference.fc = nn.Identity()
    reference.load_state_dict(teacher.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(teacher.eval()(x), reference.eval()(x))


def test_vgg_teacher_computes_what_torchvision_does_and_begins_as_it_does():
    teacher, features = vgg.teacher(Model())
    weights = teacher.state_dict()
    assert features == 512 * 7 * 7
    # He's initial weights: of 512 channels and 3x3 kernels the standard deviation is sqrt(2 / (512
    # * 9))
    assert (
        weights["0.28.weight"].std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
        and not weights["0.28.bias"].any()
    )
    with torch.device("meta"):
        reference = torchvision.models.vgg16()
    reference.classifier = nn.Identity()
    reference.load_state_dict(
        {name.replace("0.", "features.", 1): value for name, value in weights.items()}, assign=True
    )
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(teacher.eval()(x), reference.eval()(x))


def full_teacher(backbone: str, **model):
    return build_teacher(
        load(dataset="ravdess", backbone=backbone, model=model), 7, torch.Size([64, 64, 3])
    )


def test_dropout_of_the_vgg_teacher_is_torchvisions():
    with torch.device("meta"):
        plain, dropping = full_teacher("vgg"), full_teacher("vgg", teacher_dropout=0.5)
    assert [layer.p for layer in dropping.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert not any(isinstance(layer, nn.Dropout) for layer in plain.modules()) and count(
        dropping
    ) == count(plain)
    teacher = build_teacher(
        small(backbone="vgg", model={"embedding": 64, "teacher_dropout": 0.5}),
        4,
        torch.Size([32, 32, 3]),
    )
    x = torch.randn(8, 3, 32, 32)
    assert 0.4 < (teacher(x).final == 0).double().mean() and not torch.equal(
        teacher(x).final, teacher(x).final
    )
    teacher.eval()
    assert torch.equal(teacher(x).final, teacher(x).final)


def test_dropout_is_the_same_where_activations_are_computed_again():
    def gradient(at_once: int | None) -> torch.Tensor:
        model = {"embedding": 64, "teacher_batchnorm": False, "teacher_dropout": 0.5}
        settings = small(
            backbone="vgg", setting="agg", model=model, training={"frames_at_once": at_once}
        )
        torch.manual_seed(0)
        teacher = build_teacher(settings, 4, torch.Size([32, 32, 3]))
        teacher(torch.randn(3, 4, 3, 32, 32)).logits.logsumexp(dim=1).sum().backward()
        return teacher.encoder[1].weight.grad

    torch.testing.assert_close(gradient(12), gradient(None))


@pytest.mark.parametrize("backbone", ["resnet", "seresnet"])
def test_layers_behind_the_residual_teacher(backbone):
    with torch.device("meta"):
        none, one, two = (
            count(full_teacher(backbone, teacher_layers=layers)) for layers in (0, 1, 2)
        )
        assert two == count(full_teacher(backbone))
    assert two - none == 525_312 and two - one == 512 * 512 + 512


def test_without_further_layers_the_embedding_is_the_standard_network_s():
    teacher = full_teacher("resnet", teacher_layers=0).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(teacher(x).final, teacher.encoder[0](x)) and teacher(x).final.min() >= 0
    with pytest.raises(
        InvalidParameter,
        match="teacher_layers' is 0, but the teacher has 512 channels and an embedding of 256",
    ):
        full_teacher("resnet", teacher_layers=0, embedding=256)


@pytest.mark.parametrize("backbone,channels", [("vgg", 128), ("resnet", 512), ("seresnet", 512)])
def test_full_size_student_shapes(backbone, channels):
    with torch.device("meta"):
        student = build_student(full(backbone), 7).eval()
        assert student.encoder[0](torch.randn(2, 1, 257, 400)).shape[:2] == (2, channels)
        output = student(torch.randn(2, 1, 257, 400))
    assert output.final.shape == (2, 512) and output.logits.shape == (2, 7)


def test_thin_resnet_has_the_blocks_of_xie():
    with torch.device("meta"):
        student, _ = resnet.student(Model())
    ends = [block.residual[6].out_channels for block in student if hasattr(block, "residual")]
    assert ends == [96] * 2 + [128] * 3 + [256] * 3 + [512] * 3
    assert all(conv.stride == (1, 1) for conv in student.modules() if isinstance(conv, nn.Conv2d))


def test_the_audio_resnet_of_two_stages():
    with torch.device("meta"):
        settings = load(dataset="ravdess", backbone="resnet", model={"stages": 2})
        student, channels = resnet.student(settings.model)
        # stem, and one max-pool after each stage
        assert channels == 128 and student(torch.randn(2, 1, 257, 400)).shape == (
            2,
            128,
            257 // 8,
            400 // 8,
        )
    assert [block.residual[6].out_channels for block in student if hasattr(block, "residual")] == [
        96
    ] * 2 + [128] * 3
    assert build_student(small(backbone="seresnet", model={"stages": 2}), 5)(
        torch.randn(2, 1, 16, 40)
    ).final.shape == (2, 8)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_nine_networks_run_teacher_and_student(backbone, setting):
    settings = small(backbone=backbone, setting=setting)
    sequence = () if setting == "nonseq" else (2,)
    student, teacher = (
        build_student(settings, 5),
        build_teacher(settings, 5, torch.Size([32, 32, 3])),
    )
    heard, seen = (
        student(torch.randn(3, *sequence, 1, 16, 40)),
        teacher(torch.randn(3, *sequence, 3, 32, 32)),
    )
    assert heard.logits.shape == seen.logits.shape == (3, 5)
    assert heard.distilled.shape == (3, *(sequence if setting == "em" else ()), 8)
    assert heard.final.min() >= 0 or setting != "nonseq"  # the encoder ends in a ReLU


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("columns", [4, 50, 731])
def test_students_hear_any_length(backbone, columns):
    output = build_student(small(backbone=backbone), 5).eval()(torch.randn(1, 1, 16, columns))
    assert torch.isfinite(output.logits).all()


def test_measurements_get_a_small_encoder():
    teacher = build_teacher(small(backbone="vgg"), 4, torch.Size([35]))
    assert count(teacher.encoder) == (35 * 8 + 8) + (8 * 8 + 8)


def test_segments_are_encoded_one_by_one():
    """In evaluation mode a sequence's encoder embeddings are those of its segments alone."""
    student = build_student(small(backbone="resnet", setting="em"), 3).eval()
    x = torch.randn(2, 3, 1, 16, 20)
    torch.testing.assert_close(student(x).distilled[:, 1], student.encoder(x[:, 1]))


def test_attention_is_a_weighted_mean_that_knows_the_order():
    aggregator = Aggregator(8)
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(aggregator(x), aggregator(x.flip(1)))
    hidden = torch.relu(aggregator.layers[1](torch.relu(aggregator.layers[0](x)[0]))[0])
    assert (aggregator(x) <= hidden.max(dim=1).values + 1e-6).all() and (
        aggregator(x) >= hidden.min(dim=1).values - 1e-6
    ).all()


def test_activation_of_the_lstm_is_that_of_teacher_and_student():
    for activation, function in (("relu", torch.relu), ("none", lambda x: x)):
        settings = small(
            backbone="resnet",
            setting="agg",
            model={"lstm_activation": activation, "aggregator_norm": "none"},
        )
        student, teacher = (
            build_student(settings, 3),
            build_teacher(settings, 3, torch.Size([32, 32, 3])),
        )
        for aggregator in (student.aggregator, teacher.aggregator):
            x = torch.randn(2, 5, 8)
            hidden = function(aggregator.layers[1](function(aggregator.layers[0](x)[0]))[0])
            weights = aggregator.attention(hidden).softmax(dim=1)
            torch.testing.assert_close(aggregator(x), torch.einsum("bso,bse->be", weights, hidden))


def test_layer_normalisation_of_the_aggregator():
    """Before the first BiLSTM layer and between each layer and its ReLU, of teacher and student."""
    settings = small(backbone="resnet", setting="agg", model={"aggregator_norm": "layer"})
    for network in (
        build_student(settings, 3),
        build_teacher(settings, 3, torch.Size([32, 32, 3])),
    ):
        aggregator, x = network.aggregator, torch.randn(2, 5, 8)
        hidden = torch.layer_norm(x, (8,))
        for layer in aggregator.layers:
            hidden = torch.layer_norm(layer(hidden)[0], (8,)).relu()
        weights = aggregator.attention(hidden).softmax(dim=1)
        torch.testing.assert_close(aggregator(x), torch.einsum("bso,bse->be", weights, hidden))


def pretrained(backbone: str, weights: str):
    """Return the maps of a full-size teacher that begins with ``weights``."""
    maps = full_teacher(backbone).encoder[0]
    load_pretrained(maps, backbone, weights)
    return maps


@pytest.mark.parametrize("backbone", ["resnet", "seresnet", "vgg"])
def test_pretrained_weights_from_a_file(tmp_path, backbone):
    reference = torchvision.models.vgg16() if backbone == "vgg" else torchvision.models.resnet34()
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    ours = pretrained(backbone, str(tmp_path / "weights.pth"))
    if backbone == "vgg":
        assert torch.equal(ours[0][28].weight, reference.features[28].weight)
    else:
        assert torch.equal(ours.layer4[2].conv2.weight, reference.layer4[2].conv2.weight)
        norm = ours.layer1[0].bn2[0] if backbone == "seresnet" else ours.layer1[0].bn2
        assert torch.equal(norm.running_var, reference.layer1[0].bn2.running_var)


def test_pretrained_weights_that_do_not_fit(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(InvalidParameter, match="teacher_weights.*do not fit"):
        pretrained("vgg", str(tmp_path / "odd.pth"))
    with pytest.raises(InvalidParameter, match="IMAGENET1K_V1"):
        pretrained("vgg", "IMAGENET")


def test_a_teacher_begins_with_its_pretrained_weights(own_data, monkeypatch):
    """They are loaded once, into the maps of the network that is trained."""
    calls = []
    monkeypatch.setattr(stages, "load_pretrained", lambda *arguments: calls.append(arguments))
    settings = small(backbone="vgg", model={"teacher_weights": "IMAGENET1K_V1"})
    fold = Fold(0, "one", np.arange(8), np.arange(8, 12))
    stages.teachers(settings, noise_store(), [fold])
    ((maps, backbone, weights),) = calls
    assert isinstance(maps[0][0], nn.Conv2d)
    assert (backbone, weights) == ("vgg", "IMAGENET1K_V1")
