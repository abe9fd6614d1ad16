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

The head's gradient is not scaled: a plain weighted sum of the two losses would be another method, whose head learns
nothing at α = 1. Scaling the gradient of ℓ_cls between the distilled embedding and what follows it gives every row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


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


# mse is the mean over all elements: 512 times smaller than the squared Euclidean distance of two embeddings of 512
DISTANCES = {"mse": F.mse_loss, "cosine": cosine_distance, "smooth_l1": F.smooth_l1_loss}


class Targets(NamedTuple):
    """What the frozen teacher says of a batch: ``embedding`` at the setting's level, ``probabilities`` ``(batch, classes)``."""

    embedding: torch.Tensor
    probabilities: torch.Tensor


class Embedding(nn.Module):
    """The paper's method: the student's embedding is drawn to the teacher's (Eqs. 8, 12 and 13).

    ``keep`` is the share of the classification gradient that passes below the distilled embedding.
    """

    def __init__(self, alpha: float, distance: str, embedding: int) -> None:
        super().__init__()
        self.alpha, self.keep = alpha, 1 - alpha
        self.distance = DISTANCES[distance]

    def forward(self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Return the scalar objective of a batch."""
        return F.cross_entropy(logits, labels) + self.alpha * self.distance(embedding, targets.embedding)


class SoftLabel(nn.Module):
    """Generalised distillation (Lopez-Paz et al. 2016, Eq. 1): the teacher's class probabilities are a second label."""

    keep = 1.0

    def __init__(self, alpha: float, distance: str, embedding: int) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Return the scalar objective of a batch."""
        return (1 - self.alpha) * F.cross_entropy(logits, labels) + self.alpha * F.cross_entropy(logits, targets.probabilities)


class Multitask(Embedding):
    """Learning with a second task (Shi & Kim 2017): a decoder on the embedding reproduces the recording as the video shows it.

    The decoder has two fully connected layers, its target is the teacher's embedding: the feature space of the video.
    """

    def __init__(self, alpha: float, distance: str, embedding: int) -> None:
        super().__init__(alpha, distance, embedding)
        self.decoder = nn.Sequential(nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, embedding))

    def forward(self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Return the scalar objective of a batch."""
        return super().forward(logits, self.decoder(embedding), labels, targets)


class Undistilled(nn.Module):
    """No teacher at all: what every method is at alpha = 0, without asking one."""

    keep = 1.0

    def forward(self, logits: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor, targets: Targets | None) -> torch.Tensor:
        """Return the scalar objective of a batch."""
        return F.cross_entropy(logits, labels)


METHODS = {"embedding": Embedding, "softlabel": SoftLabel, "multitask": Multitask}


def objective(method: str, alpha: float, distance: str, embedding: int) -> nn.Module:
    """Return the objective of a run; its ``keep`` is the share of ∇ℓ_cls that passes below the distilled embedding."""
    return METHODS[method](alpha, distance, embedding) if alpha > 0 else Undistilled()
