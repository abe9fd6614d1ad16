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

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlib.parameters import Settings


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return ``x`` itself; what flows back through it is multiplied by ``factor``."""
    same = x.view_as(x)
    if same.requires_grad:
        same.register_hook(lambda gradient: gradient * factor)
    return same


def cosine_distance(x: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 1 − cos over embeddings ``(…, embedding)``."""
    return 1 - F.cosine_similarity(x, target, dim=-1).mean()


# the mean over all elements: 512 times smaller than the squared Euclidean distance of two
# embeddings of 512
DISTANCES = {"mse": F.mse_loss, "cosine": cosine_distance, "smooth_l1": F.smooth_l1_loss}


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of ``logits`` ``(batch, classes)`` over the recordings with a
    label; 0 where ``labels`` are all -1."""
    summed = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return summed / (labels >= 0).sum().clamp(min=1)


class Targets(NamedTuple):
    """What a batch is distilled from: ``embedding`` at the setting's level, ``probabilities``
    ``(batch, classes)``."""

    embedding: Tensor
    probabilities: Tensor


class Terms(NamedTuple):
    """The two scalar losses of a batch: of the labels, and of the targets."""

    label: Tensor
    teacher: Tensor


class Objective(nn.Module):
    """The weighted sum of the two losses of a batch; of this class, that of the labels alone.

    ``gradient_scale`` is the share of the classification gradient that passes below the distilled
    embedding, of ``embedding`` units.
    """

    def __init__(
        self, alpha: float = 0.0, distance: str = "mse", embedding: int = 1,
        reduction: str = "mean",
        temperature: float = 1.0, multitask_label: str = "scaled",
    ):  # fmt: skip
        super().__init__()
        self.weights, self.gradient_scale = (1.0, alpha), 1 - alpha
        self.distance, self.elements = DISTANCES[distance], embedding if reduction == "sum" else 1
        self.temperature = temperature

    def forward(self, *batch: Any) -> Tensor:
        """Return the scalar objective of a batch; arguments as of :meth:`terms`."""
        return self.total(self.terms(*batch))

    def total(self, terms: Terms) -> Tensor:
        """Return the weighted sum."""
        return sum(weight * term for weight, term in zip(self.weights, terms) if weight)

    def terms(self, logits: Tensor, embedding: Tensor, labels: Tensor, targets: Targets) -> Terms:
        """Return both losses of ``logits`` ``(batch, classes)``, ``embedding`` ``(batch,
        [segments,] embedding)`` and ``labels`` ``(batch,)``."""
        loss = label_loss(logits, labels)
        return Terms(loss, self.distillation_loss(logits, embedding, targets))

    def distillation_loss(self, logits: Tensor, embedding: Tensor, targets: Targets) -> Tensor:
        """Return the loss of the targets: 0, as there is no teacher."""
        return logits.new_zeros(())


class Embedding(Objective):
    """The paper's method: the student's embedding is pulled towards the teacher's (Eqs. 8, 12 and
    13)."""

    def distillation_loss(self, logits: Tensor, embedding: Tensor, targets: Targets) -> Tensor:
        """Return the mean distance of the embeddings to their targets."""
        return self.elements * self.distance(embedding, targets.embedding)


class SoftLabel(Objective):
    """Generalised distillation (Lopez-Paz et al. 2016, Eq. 1): the teacher's class probabilities
    are a second label.

    ``temperature`` is the student's: Hinton et al. 2015 soften both networks and multiply by T²,
    Lopez-Paz et al. 2016 the teacher alone (T = 1 here).
    """

    def __init__(self, alpha: float, *others: Any, **options: Any):
        super().__init__(alpha, *others, **options)
        self.weights, self.gradient_scale = (1 - alpha, alpha), 1.0

    def distillation_loss(self, logits: Tensor, embedding: Tensor, targets: Targets) -> Tensor:
        """Return the cross-entropy with the soft labels."""
        t = self.temperature
        return t**2 * F.cross_entropy(logits / t, targets.probabilities)


class Multitask(Embedding):
    """Learning with a second task (Shi & Kim 2017): a decoder on the embedding reproduces the
    recording as the video shows it.

    The decoder has two fully connected layers, its target is the teacher's embedding: the feature
    space of the video. With ``multitask_label`` "whole" the label's gradient is not scaled.
    """

    def __init__(self, alpha: float, distance: str, embedding: int, **options: Any):
        super().__init__(alpha, distance, embedding, **options)
        if options.get("multitask_label") == "whole":
            self.gradient_scale = 1.0
        self.decoder = nn.Sequential(
            nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, embedding)
        )

    def distillation_loss(self, logits: Tensor, embedding: Tensor, targets: Targets) -> Tensor:
        """Return the mean distance of what the decoder makes of the embeddings."""
        return super().distillation_loss(logits, self.decoder(embedding), targets)


METHODS = {"embedding": Embedding, "softlabel": SoftLabel, "multitask": Multitask}


def gradients(
    terms: Terms, weights: tuple[float, float], parameters: Iterable[nn.Parameter]
) -> Tensor:
    """Return how label and teacher agree on one batch, ``(3,)``: the cosine of the
    gradients of the two terms and the norm of each, weighted as :class:`Objective` sums them.

    A cosine of 1: the same direction; 0: orthogonal; NaN where one gradient
    is zero (the label's at α = 1).
    """
    learned = list(parameters)

    def gradient(weight, term):
        parts = torch.autograd.grad(term, learned, retain_graph=True, materialize_grads=True)
        return weight * torch.cat([part.flatten() for part in parts])

    label, teacher = map(gradient, weights, terms)
    norms = label.norm(), teacher.norm()
    return torch.stack([label @ teacher / (norms[0] * norms[1]), *norms])


def build_objective(settings: Settings) -> Objective:
    """Return the objective of a run; at alpha = 0 without a teacher."""
    if not settings.alpha:
        return Objective()
    training = settings.training
    return METHODS[settings.method](
        settings.alpha,
        training.distance,
        settings.model.embedding,
        reduction=training.distance_reduction,
        temperature=training.temperature if training.softened == "both" else 1.0,
        multitask_label=training.multitask_label,
    )
