"""Each cell of the gradient table, against the gradients of ℓ_cls and ℓ_emb computed apart."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from kdlib.losses import DISTANCES, METHODS, Targets, agreement
from kdlib.models.networks import build_student
from kdlib.training import seeded
from tests.conftest import small

ALPHAS = [0.0, 0.3, 1.0]
SETTINGS = ["nonseq", "em", "agg"]


@pytest.fixture(params=SETTINGS)
def case(request):
    """A student in float64, a batch, labels and targets of its setting."""
    settings = small(backbone="vgg", setting=request.param)
    seeded(0, "case")
    network = build_student(settings, 3).double().eval()  # eval: batch-norm must not move between the passes compared
    sequence = () if request.param == "nonseq" else (2,)
    x = torch.randn(4, *sequence, 1, 16, 12, dtype=torch.float64)
    embedding = torch.randn(4, *(sequence if request.param == "em" else ()), 8, dtype=torch.float64)
    return network, x, torch.tensor([0, 1, 2, 1]), Targets(embedding, torch.randn(4, 3, dtype=torch.float64).softmax(1))


def gradients(network, loss):
    """Return the gradient of ``loss`` for each part of the network, as one vector."""
    parts = {"encoder": network.encoder, "aggregator": network.aggregator, "head": network.head}
    parts = {name: list(part.parameters()) for name, part in parts.items() if part is not None}
    flat = torch.autograd.grad(loss, [p for part in parts.values() for p in part], retain_graph=True, allow_unused=True)
    flat = iter(flat)
    return {
        name: torch.cat([torch.zeros_like(p).flatten() if (g := next(flat)) is None else g.flatten() for p in part])
        for name, part in parts.items()
    }


def apart(network, x, labels, distance, target):
    """Return the gradients of cross-entropy and of the distance at the setting's level, written out by hand."""
    if network.setting == "nonseq":
        level = network.encoder(x)
        logits = network.head(level)
    else:
        segments = torch.stack([network.encoder(x[:, j]) for j in range(x.shape[1])], dim=1)
        a = network.aggregator(segments)
        level, logits = (segments if network.setting == "em" else a), network.head(a)
    return gradients(network, F.cross_entropy(logits, labels)), gradients(network, distance(level, target))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_embedding_method_gives_the_table(case, alpha, distance):
    network, x, labels, targets = case
    objective = METHODS["embedding"](alpha, distance, 8)
    output = network(x, objective.keep)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    cls, emb = apart(network, x, labels, DISTANCES[distance], targets.embedding)
    mixed = {"nonseq": {"encoder"}, "em": {"encoder"}, "agg": {"encoder", "aggregator"}}[network.setting]
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
    output = network(x, objective.keep)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    hard = gradients(network, F.cross_entropy(output.logits, labels))
    soft = gradients(network, -(targets.probabilities * output.logits.log_softmax(1)).sum(1).mean())
    for part in ours:
        torch.testing.assert_close(ours[part], (1 - alpha) * hard[part] + alpha * soft[part])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_soft_labels_follow_the_usual_distillation_loss(alpha):
    """torchdistill's KDLoss(alpha=a) is a·CE(hard) + (1−a)·T²·KL(teacher‖student): its alpha weighs the *hard* label."""
    logits, teacher = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64)
    labels, a = torch.tensor([0, 1, 2, 3, 0]), 1 - alpha
    usual = a * F.cross_entropy(logits, labels) + (1 - a) * F.kl_div(logits.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    ours = METHODS["softlabel"](alpha, "mse", 8)(logits, logits, labels, Targets(logits, teacher.softmax(1)))
    torch.testing.assert_close(torch.autograd.grad(ours, logits)[0], torch.autograd.grad(usual, logits)[0])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_multitask_mixes_where_its_setting_does(case, alpha):
    network, x, labels, targets = case
    objective = METHODS["multitask"](alpha, "mse", 8).double()
    decoder = copy.deepcopy(objective.decoder)
    output = network(x, objective.keep)
    ours = gradients(network, objective(output.logits, output.distilled, labels, targets))
    cls, emb = apart(network, x, labels, lambda level, target: F.mse_loss(decoder(level), target), targets.embedding)
    mixed = {"nonseq": {"encoder"}, "em": {"encoder"}, "agg": {"encoder", "aggregator"}}[network.setting]
    for part in ours:
        torch.testing.assert_close(ours[part], (1 - alpha) * cls[part] + alpha * emb[part] if part in mixed else cls[part])


def test_cosine_distance_by_hand():
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert DISTANCES["cosine"](x, y).item() == pytest.approx(1 - 24 / 25)


def test_agreement_is_the_cosine_of_the_two_gradients(case):
    network, x, labels, targets = case
    objective = METHODS["embedding"](0.3, "mse", 8)
    output = network(x, objective.keep)
    found = agreement(objective.terms(output.logits, output.distilled, labels, targets), network.encoder.parameters())
    cls, emb = apart(network, x, labels, F.mse_loss, targets.embedding)
    torch.testing.assert_close(found, F.cosine_similarity(cls["encoder"], emb["encoder"], dim=0))


def test_at_alpha_one_there_is_nothing_to_agree_with(case):
    network, x, labels, targets = case
    objective = METHODS["embedding"](1.0, "mse", 8)
    output = network(x, objective.keep)
    assert agreement(objective.terms(output.logits, output.distilled, labels, targets), network.encoder.parameters()).isnan()
