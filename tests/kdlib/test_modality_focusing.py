"""The Gaussian experiment of Xue et al., The Modality Focusing Hypothesis (ICLR 2023), through our
losses: the gain follows the share of decisive features that both modalities have, not the teacher's
accuracy."""

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from kdlib.losses import Objective, SoftLabel, Targets

SEEDS = range(10)
TRAIN, TEST, STUDENT, SHARED_MOST = (
    200,
    1000,
    50,
    10,
)  # recordings and features of the published script
STEPS, RATE = 1000, 0.1
# what their script prints, run as it is: gain in points by the number of the teacher's features
RISING = {0: -0.71, 2: -0.45, 4: -0.34, 6: 0.24, 8: 1.53, 10: 2.50}  # shared ones, of its 10
FALLING = {0: 1.59, 10: 0.97, 20: 0.66, 30: 0.56, 40: 0.31}  # its own beside 10 shared ones
UNDISTILLED = {"rising": 69.41, "falling": 57.90}


def world(seed, width, decisive, shown):
    """Return for training and test the teacher's features ``(recordings, width)``, the student's
    ``(recordings, STUDENT)`` and the labels.

    The side of a plane in ``decisive`` features is the label. The student has the first ten of them,
    the teacher those of the slice ``shown``; all others are noise.
    """
    random, parts = RandomState(seed), []
    plane = random.randn(500)[:decisive]
    for count in (TRAIN, TEST):
        truth, student, teacher = (random.randn(count, size) for size in (decisive, STUDENT, width))
        student[:, :SHARED_MOST] = truth[:, :SHARED_MOST]
        teacher[:, shown] = truth[:, shown]
        parts.append((teacher, student, truth @ plane > 0))
        random = RandomState(seed + 1)  # as they do
    return parts


def fitted(objective, features, labels, soft=None, rate=RATE):
    """Return the weights of one linear network a world, trained side by side; ``features`` are
    ``(worlds, recordings, features)``."""
    worlds, _, width = features.shape
    bound = width**-0.5
    weights = torch.empty(worlds, width, 2).uniform_(-bound, bound, generator=torch.manual_seed(0))
    bias = torch.zeros(worlds, 1, 2)
    weights.requires_grad_(), bias.requires_grad_()
    # the mean is over all worlds, so that each has its own rate again
    optimizer = torch.optim.SGD([weights, bias], lr=rate * worlds)
    for _ in range(STEPS):
        logits = (features @ weights + bias).flatten(0, 1)
        loss = objective(logits, logits, labels.flatten(), Targets(None, soft))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weights.detach(), bias.detach()


def accuracy(network, features, labels):
    """Return the accuracy of each world's network, in percent."""
    weights, bias = network
    return 100 * ((features @ weights + bias).argmax(-1) == labels).float().mean(dim=1)


def measured(worlds):
    """Return the accuracies of teachers, undistilled and distilled students, ``(worlds,)`` each."""
    train, test = (
        [torch.from_numpy(np.stack(part)) for part in zip(*side)] for side in zip(*worlds)
    )
    train, test = ([*(x.float() for x in side[:2]), side[2].long()] for side in (train, test))
    teacher = fitted(Objective(), train[0], train[2])
    soft = (train[0] @ teacher[0] + teacher[1]).softmax(-1).flatten(0, 1)
    undistilled = fitted(Objective(), train[1], train[2])
    # they add half of the cross-entropy with the soft labels (a mean over two classes) to that with the labels
    distilled = fitted(SoftLabel(1 / 3), train[1], train[2], soft, 1.5 * RATE)
    return [
        accuracy(network, test[part], test[2])
        for network, part in ((teacher, 0), (undistilled, 1), (distilled, 1))
    ]


def means(worlds, settings):
    """Return teacher, undistilled student and gain by setting, means over seeds."""
    teacher, undistilled, distilled = (
        values.reshape(len(settings), -1).mean(dim=1).numpy() for values in measured(worlds)
    )
    return teacher, undistilled, distilled - undistilled


def test_the_gain_rises_with_what_both_modalities_share_as_published():
    worlds = [
        world(seed, 25, 20, slice(10 - shared, 20 - shared)) for shared in RISING for seed in SEEDS
    ]
    teacher, undistilled, gain = means(worlds, RISING)
    print(teacher.round(2), undistilled.round(2), gain.round(2))
    assert undistilled == pytest.approx(UNDISTILLED["rising"], abs=0.5)
    assert gain == pytest.approx([*RISING.values()], abs=0.5)
    assert gain[0] < 0 < gain[-1] and np.all(np.diff(gain) > -0.2)


def test_a_better_teacher_that_shares_less_helps_less_as_published():
    worlds = [world(seed, 50, 50, slice(0, 10 + own)) for own in FALLING for seed in SEEDS]
    teacher, undistilled, gain = means(worlds, FALLING)
    print(teacher.round(2), undistilled.round(2), gain.round(2))
    assert np.all(np.diff(teacher) > 0)
    assert undistilled == pytest.approx(UNDISTILLED["falling"], abs=0.5)
    assert gain == pytest.approx([*FALLING.values()], abs=0.5)
    assert gain[0] == gain.max() and gain[-1] == gain.min()
