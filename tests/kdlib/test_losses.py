"""Each cell of the gradient table, against the gradients of ℓ_cls and ℓ_emb computed apart."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from kdlib.losses import DISTANCES, METHODS, Targets, label_loss
from kdlib.losses import gradients as compared
from kdlib.models.network import build_student
from kdlib.training import seeded
from tests.conftest import small

ALPHAS = [0.0, 0.3, 1.0]
SETTINGS = ["nonseq", "em", "agg"]


@pytest.fixture(params=SETTINGS)
def case(request):
    """A student in float64, a batch, labels and targets of its setting."""
    settings = small(backbone="vgg", setting=request.param)
    seeded(0, "case")
    network = (
        build_student(settings, 3).double().eval()
    )  # eval: batch-norm must not move between the passes compared
    sequence = () if request.param == "nonseq" else (2,)
    x = torch.randn(4, *sequence, 1, 16, 12, dtype=torch.float64)
    embedding = torch.randn(4, *(sequence if request.param == "em" else ()), 8, dtype=torch.float64)
    return (
        network,
        x,
        torch.tensor([0, 1, 2, 1]),
        Targets(embedding, torch.randn(4, 3, dtype=torch.float64).softmax(1)),
    )


def gradients(network, loss):
    """Return the gradient of ``loss`` for each part of the network, as one vector."""
    parts = {"encoder": network.encoder, "aggregator": network.aggregator, "head": network.head}
    parts = {name: list(part.parameters()) for name, part in parts.items() if part is not None}
    flat = torch.autograd.grad(
        loss, [p for part in parts.values() for p in part], retain_graph=True, allow_unused=True
    )
    flat = iter(flat)
    return {
        name: torch.cat(
            [
                torch.zeros_like(p).flatten() if (g := next(flat)) is None else g.flatten()
                for p in part
            ]
        )
        for name, part in parts.items()
    }


def apart(network, x, labels, distance, target):
    """Return the gradients of cross-entropy and of the distance at the setting's level, written out
    by hand."""
    if network.setting == "nonseq":
        level = network.encoder(x)
        logits = network.head(level)
    else:
        segments = torch.stack([network.encoder(x[:, j]) for j in range(x.shape[1])], dim=1)
        a = network.aggregator(segments)
        level, logits = (segments if network.setting == "em" else a), network.head(a)
    return gradients(network, F.cross_entropy(logits, labels)), gradients(
        network, distance(level, target)
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_embedding_method_gives_the_table(case, alpha, distance):
    network, x, labels, targets = case
    objective = METHODS["embedding"](alpha, distance, 8)
    output = network(x, objective.gradient_scale)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    cls, emb = apart(network, x, labels, DISTANCES[distance], targets.embedding)
    mixed = {"nonseq": {"encoder"}, "em": {"encoder"}, "agg": {"encoder", "aggregator"}}[
        network.setting
    ]
    for part in ours:
        expected = (1 - alpha) * cls[part] + alpha * emb[part] if part in mixed else cls[part]
        torch.testing.assert_close(ours[part], expected)
    assert ours["head"].abs().max() > 0  # the head learns from the labels even at alpha = 1


def test_em_distance_is_the_mean_over_segments(case):
    network, x, labels, targets = case
    if network.setting != "em":
        pytest.skip("one embedding a recording")
    e = network.encode(x)
    by_hand = sum(((e[:, j] - targets.embedding[:, j]) ** 2).mean() for j in range(2)) / 2
    torch.testing.assert_close(DISTANCES["mse"](e, targets.embedding), by_hand)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_soft_labels_weigh_the_whole_student(case, alpha):
    network, x, labels, targets = case
    objective = METHODS["softlabel"](alpha, "mse", 8)
    output = network(x, objective.gradient_scale)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    hard = gradients(network, F.cross_entropy(output.logits, labels))
    soft = gradients(network, -(targets.probabilities * output.logits.log_softmax(1)).sum(1).mean())
    for part in ours:
        torch.testing.assert_close(ours[part], (1 - alpha) * hard[part] + alpha * soft[part])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_soft_labels_follow_the_usual_distillation_loss(alpha):
    """torchdistill's KDLoss(alpha=a) is a·CE(hard) + (1−a)·T²·KL(teacher‖student): its alpha weighs
    the *hard* label."""
    logits, teacher = (
        torch.randn(5, 4, dtype=torch.float64, requires_grad=True),
        torch.randn(5, 4, dtype=torch.float64),
    )
    labels, a = torch.tensor([0, 1, 2, 3, 0]), 1 - alpha
    usual = a * F.cross_entropy(logits, labels) + (1 - a) * F.kl_div(
        logits.log_softmax(1), teacher.softmax(1), reduction="batchmean"
    )
    ours = METHODS["softlabel"](alpha, "mse", 8)(
        logits, logits, labels, Targets(logits, teacher.softmax(1))
    )
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits)[0], torch.autograd.grad(usual, logits)[0]
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_multitask_mixes_where_its_setting_does(case, alpha):
    network, x, labels, targets = case
    objective = METHODS["multitask"](alpha, "mse", 8).double()
    decoder = copy.deepcopy(objective.decoder)
    output = network(x, objective.gradient_scale)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    cls, emb = apart(
        network,
        x,
        labels,
        lambda level, target: F.mse_loss(decoder(level), target),
        targets.embedding,
    )
    mixed = {"nonseq": {"encoder"}, "em": {"encoder"}, "agg": {"encoder", "aggregator"}}[
        network.setting
    ]
    for part in ours:
        torch.testing.assert_close(
            ours[part], (1 - alpha) * cls[part] + alpha * emb[part] if part in mixed else cls[part]
        )


def test_cosine_distance_by_hand():
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert DISTANCES["cosine"](x, y).item() == pytest.approx(1 - 24 / 25)


def test_agreement_is_the_cosine_of_the_two_gradients(case):
    network, x, labels, targets = case
    objective = METHODS["embedding"](0.3, "mse", 8)
    output = network(x, objective.gradient_scale)
    terms = objective.terms(output.logits, output.distilled, labels, targets)
    cosine, label, teacher = compared(terms, objective.weights, network.encoder.parameters())
    cls, emb = apart(network, x, labels, F.mse_loss, targets.embedding)
    torch.testing.assert_close(cosine, F.cosine_similarity(cls["encoder"], emb["encoder"], dim=0))
    # what arrives at the encoder: the label's gradient times 1 - alpha, the teacher's times alpha
    torch.testing.assert_close(label, 0.7 * cls["encoder"].norm())
    torch.testing.assert_close(teacher, 0.3 * emb["encoder"].norm())


def test_at_alpha_one_there_is_nothing_to_agree_with(case):
    network, x, labels, targets = case
    objective = METHODS["embedding"](1.0, "mse", 8)
    output = network(x, objective.gradient_scale)
    terms = objective.terms(output.logits, output.distilled, labels, targets)
    cosine, label, teacher = compared(terms, objective.weights, network.encoder.parameters())
    assert cosine.isnan() and label == 0 and teacher > 0


def test_hidden_labels_leave_the_label_term_to_the_others(case):
    """A label of -1 is not known: the mean is over the known ones; where none is, the term is 0 and
    so is its gradient."""
    network, x, labels, targets = case
    logits = network(x).logits
    torch.testing.assert_close(label_loss(logits, labels), F.cross_entropy(logits, labels))
    hidden = torch.tensor([0, -1, 2, -1])
    torch.testing.assert_close(
        label_loss(logits, hidden), F.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    )
    none = label_loss(logits, torch.full_like(labels, -1))
    assert none == 0 and gradients(network, none)["head"].abs().max() == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_all_recordings_and_labels_only_the_known(case, method):
    """With labels hidden the head's gradient is that of the known labels (of soft labels: plus all
    targets'), the encoder's has all targets."""
    network, x, labels, targets = case
    objective = METHODS[method](0.5, "mse", 8).double()
    output = network(x, objective.gradient_scale)
    hidden = torch.tensor([0, -1, -1, 1])
    terms = objective.terms(output.logits, output.distilled, hidden, targets)
    full = objective.terms(output.logits, output.distilled, labels, targets)
    torch.testing.assert_close(terms.label, F.cross_entropy(output.logits[[0, 3]], labels[[0, 3]]))
    torch.testing.assert_close(terms.teacher, full.teacher)


def test_the_sum_over_elements_is_the_squared_distance(case):
    network, x, labels, targets = case
    e = network(x).distilled
    for name, by_hand in {
        "mse": ((e - targets.embedding) ** 2).sum(-1).mean(),
        "smooth_l1": F.smooth_l1_loss(e, targets.embedding, reduction="none").sum(-1).mean(),
    }.items():
        objective = METHODS["embedding"](0.3, name, 8, reduction="sum")
        torch.testing.assert_close(objective.distillation_loss(None, e, targets), by_hand)


def test_multitask_can_leave_the_label_whole(case):
    network, x, labels, targets = case
    objective = METHODS["multitask"](0.3, "mse", 8, multitask_label="whole").double()
    decoder = copy.deepcopy(objective.decoder)
    output = network(x, objective.gradient_scale)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    cls, emb = apart(
        network,
        x,
        labels,
        lambda level, target: F.mse_loss(decoder(level), target),
        targets.embedding,
    )
    torch.testing.assert_close(ours["encoder"], cls["encoder"] + 0.3 * emb["encoder"])


def test_a_temperature_of_both_networks_is_hintons_loss():
    """T² times the cross-entropy of softened student and teacher has the gradient of T²·KL (Hinton
    et al. 2015)."""
    logits, teacher = (
        torch.randn(5, 4, dtype=torch.float64, requires_grad=True),
        torch.randn(5, 4, dtype=torch.float64),
    )
    soft = (teacher / 3).softmax(1)
    usual = 9 * F.kl_div((logits / 3).log_softmax(1), soft, reduction="batchmean")
    ours = METHODS["softlabel"](1.0, "mse", 4, temperature=3.0)(
        logits, logits, torch.tensor([0, 1, 2, 3, 0]), Targets(logits, soft)
    )
    torch.testing.assert_close(
        torch.autograd.grad(ours, logits)[0], torch.autograd.grad(usual, logits)[0]
    )
