"""What a student learns from: the gradient table of the method, one small class a method.

=========== ================================================= ============== =========
setting     encoder                                           aggregator     head
=========== ================================================= ============== =========
nonseq      (1−α)·∇ℓ_cls + α·∇ℓ(e, e_T)              (Eq. 8)  –              ∇ℓ_cls
em          (1−α)·∇ℓ_cls + α·∇mean_j ℓ(e_j, e_T,j)   (Eq. 12) ∇ℓ_cls         ∇ℓ_cls
agg         (1−α)·∇ℓ_cls + α·∇ℓ(a, a_T)              (Eq. 13) the same       ∇ℓ_cls
softlabel   (1−α)·∇CE(y) + α·∇CE(s) for the whole student (Eq. 1)
multitask   (1−α)·∇ℓ_cls + α·∇ℓ(decoder, target)              as its setting ∇ℓ_cls
=========== ================================================= ============== =========

The head's gradient is not scaled: a plain weighted sum of the two losses would be another method,
whose head learns nothing at α = 1. Scaling the gradient of ℓ_cls between the distilled embedding
and what follows it gives every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from kdlib.parameters import Settings


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.factor, None


def scale_gradient(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Return ``x`` itself; what flows back through it is multiplied by ``factor``."""
    return _ScaledGradient.apply(x, factor)


def cosine_distance(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean of 1 − cos over embeddings ``(…, embedding)``."""
    return 1 - F.cosine_similarity(x, target, dim=-1).mean()


# the mean over all elements: 512 times smaller than the squared Euclidean distance of two
# embeddings of 512
DISTANCES = {"mse": F.mse_loss, "cosine": cosine_distance, "smooth_l1": F.smooth_l1_loss}


def label_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of ``logits`` ``(batch, classes)`` over the recordings with a
    label; 0 where ``labels`` are all -1."""
    summed = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return summed / (labels >= 0).sum().clamp(min=1)


class Targets(NamedTuple):
    """What a batch is distilled from: ``embedding`` at the setting's level, ``probabilities``
    ``(batch, classes)``."""

    embedding: torch.Tensor
    probabilities: torch.Tensor


class Terms(NamedTuple):
    """The two scalar losses of a batch: of the labels, and of the targets."""

    label: torch.Tensor
    teacher: torch.Tensor


class Objective(nn.Module):
    """The weighted sum of the two terms; a method says what they are.

    ``gradient_scale`` is the share of the classification gradient that passes below the distilled
    embedding. A method has ``terms(logits, embedding, labels, targets)``: both losses of a batch of
    ``logits`` ``(batch, classes)`` and ``embedding`` ``(batch, [segments,] embedding)``.
    """

    def __init__(self, weights: Terms, gradient_scale: float) -> None:
        super().__init__()
        self.weights, self.gradient_scale = weights, gradient_scale

    def forward(
        self,
        logits: torch.Tensor,
        embedding: torch.Tensor,
        labels: torch.Tensor,
        targets: Targets | None,
    ) -> torch.Tensor:
        """Return the scalar objective of a batch; arguments as of ``terms``."""
        return self.total(self.terms(logits, embedding, labels, targets))

    def total(self, terms: Terms) -> torch.Tensor:
        """Return the weighted sum."""
        return sum(weight * term for weight, term in zip(self.weights, terms) if weight)


class Embedding(Objective):
    """The paper's method: the student's embedding is pulled towards the teacher's (Eqs. 8, 12 and 13)."""

    def __init__(
        self, alpha: float, distance: str, embedding: int, reduction: str = "mean", **others: Any
    ) -> None:
        super().__init__(Terms(1.0, alpha), 1 - alpha)
        self.measure, self.elements = DISTANCES[distance], embedding if reduction == "sum" else 1

    def distance(self, embedding: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean distance of embeddings ``(…, embedding)`` to their targets."""
        return self.elements * self.measure(embedding, target)

    def terms(
        self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets
    ) -> Terms:
        """Return cross-entropy and the distance of the embeddings."""
        return Terms(label_loss(logits, labels), self.distance(embedding, targets.embedding))


class SoftLabel(Objective):
    """Generalised distillation (Lopez-Paz et al.

    2016, Eq. 1): the teacher's class probabilities are a second label.
    """

    def __init__(
        self, alpha: float, distance: str, embedding: int, temperature: float = 1.0, **others: Any
    ) -> None:
        super().__init__(Terms(1 - alpha, alpha), 1.0)
        # of the student: Hinton et al. 2015 soften both networks and multiply by T², Lopez-Paz et
        # al. 2016 the teacher alone (T = 1 here)
        self.temperature = temperature

    def terms(
        self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets
    ) -> Terms:
        """Return the cross-entropies with labels and with soft labels."""
        soft = self.temperature**2 * F.cross_entropy(
            logits / self.temperature, targets.probabilities
        )
        return Terms(label_loss(logits, labels), soft)


class Multitask(Embedding):
    """Learning with a second task (Shi & Kim 2017): a decoder on the embedding reproduces the
    recording as the video shows it.

    The decoder has two fully connected layers, its target is the teacher's embedding: the feature
    space of the video.
    """

    def __init__(
        self,
        alpha: float,
        distance: str,
        embedding: int,
        multitask_label: str = "scaled",
        **others: Any,
    ) -> None:
        super().__init__(alpha, distance, embedding, **others)
        self.gradient_scale = 1 - alpha if multitask_label == "scaled" else 1.0
        self.decoder = nn.Sequential(
            nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, embedding)
        )

    def terms(
        self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets
    ) -> Terms:
        """Return cross-entropy and the distance of what the decoder makes of the embedding."""
        return super().terms(logits, self.decoder(embedding), labels, targets)


class Undistilled(Objective):
    """No teacher at all: what every method is at alpha = 0, without asking one."""

    def __init__(self) -> None:
        super().__init__(Terms(1.0, 0.0), 1.0)

    def terms(
        self,
        logits: torch.Tensor,
        embedding: torch.Tensor,
        labels: torch.Tensor,
        targets: Targets | None,
    ) -> Terms:
        """Return cross-entropy, and nothing from a teacher."""
        return Terms(label_loss(logits, labels), logits.new_zeros(()))


METHODS = {"embedding": Embedding, "softlabel": SoftLabel, "multitask": Multitask}


class Gradients(NamedTuple):
    """What label and teacher ask of some weights on one batch: the ``cosine`` of the two gradients
    and the norm of each, weighted as in the sum."""

    cosine: torch.Tensor
    label: torch.Tensor
    teacher: torch.Tensor


def gradients(terms: Terms, weights: Terms, parameters: Iterable[nn.Parameter]) -> Gradients:
    """Compare the gradients of the two terms, weighted as :class:`Objective` sums them; three
    scalars.

    A cosine of 1: they pull the same way; 0: they know nothing of each other; NaN where one of them
    is zero (the label's at α = 1).
    """
    learned = list(parameters)
    label, teacher = (
        weight
        * torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(
                    term, learned, retain_graph=True, materialize_grads=True
                )
            ]
        )
        for weight, term in zip(weights, terms)
    )
    return Gradients(
        label @ teacher / (label.norm() * teacher.norm()), label.norm(), teacher.norm()
    )


def build_objective(settings: Settings) -> Objective:
    """Return the objective of a run; at alpha = 0 without a teacher."""
    if not settings.alpha:
        return Undistilled()
    training = settings.training
    return METHODS[settings.method](
        settings.alpha,
        training.distance,
        settings.model.embedding,
        reduction=training.distance_reduction,
        temperature=training.temperature if training.softened == "both" else 1.0,
        multitask_label=training.multitask_label,
    )
