"""What a network is given in training: the rows of its fold, the stretch of sound that its crop
means, each frame with its own label, and parts that add up to their batch.

Other tests compare trainings with each other, where a fault in what is loaded would cancel out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F

from kdlib import teacher
from kdlib.dataset import Fold, Ragged, random_starts
from kdlib.losses import Targets
from kdlib.student import student_trainer
from kdlib.teacher import teacher_trainer
from tests.conftest import noise_store, small

FOLD = Fold(0, "x", np.arange(8), np.arange(8, 12))


def test_a_student_does_not_hear_the_test_recordings():
    store, settings, trained = noise_store(), small(backbone="vgg", alpha=0.0), []
    other = store.waveforms.values.clone()
    other[store.waveforms.starts[8] :] //= 7
    for sound in (store.waveforms.values, other):
        waveforms = replace(store.waveforms, values=sound)
        trainer = student_trainer(settings, replace(store, waveforms=waveforms), FOLD, None)
        list(trainer.epochs())
        trained.append(trainer.network.state_dict())
    assert all(torch.equal(trained[0][name], values) for name, values in trained[1].items())


def test_a_student_hears_the_stretch_of_its_crop():
    """Its targets belong to the frame at which it starts."""
    store, settings = noise_store(seconds=2.4), small(backbone="vgg", alpha=0.0)
    task = student_trainer(settings, store, FOLD, None).task
    spectrogram, rows, start = task.load(torch.tensor([0, 5]), torch.tensor([0.99, 0.5]))
    assert start.min() > 0
    for place, (row, first) in enumerate(zip(rows.tolist(), start.tolist())):
        heard = store.waveforms[row][640 * first : 640 * first + 12800].float() / 32768
        expected = task.network.front_end(heard[None])
        torch.testing.assert_close(spectrogram[place : place + 1], expected)


def test_windows_that_are_gathered_are_those_that_are_cut():
    """A GPU, and rows that do not fit on it, take the way by an index: short rows start over too."""
    rows = Ragged.of(torch.arange(10), torch.tensor([3, 2, 5]))
    there, given = replace(rows, resident=False), (torch.tensor([2, 0, 1]), torch.tensor([1, 1, 0]))
    assert torch.equal(there.windows(*given, 4, 2), rows.windows(*given, 4, 2))
    assert torch.equal(there.windows(given[0], None, 0), rows.windows(given[0], None, 0))


def test_a_teacher_sees_each_frame_once_with_the_label_of_its_recording():
    store = noise_store(seconds=2.4)
    settings = small(backbone="vgg", training={"teacher_frames": None})
    task = teacher_trainer(settings, store, FOLD).task
    items = torch.arange(len(task.rows))
    images, labels = task.load(items, torch.zeros(len(items)))
    expected = torch.cat([teacher.to_input(store.frames[row][::5]) for row in range(8)])
    torch.testing.assert_close(images, expected)
    counts = [-(-int(length) // 5) for length in store.frames.lengths[:8]]
    own = [int(label) for label, count in zip(store.labels, counts) for _ in range(count)]
    assert labels.tolist() == own


def test_a_sequential_teacher_sees_every_nth_frame_of_its_crop():
    store, settings = noise_store(seconds=2.4), small(backbone="vgg", setting="agg")
    task = teacher_trainer(settings, store, FOLD).task
    items, draws = torch.tensor([0, 5]), torch.tensor([0.99, 0.5])
    images, labels = task.load(items, draws)
    starts = random_starts(store, items, draws, settings.media)
    assert starts.min() > 0 and labels.tolist() == store.labels[items].tolist()
    for place, (row, start) in enumerate(zip(items.tolist(), starts.tolist())):
        expected = teacher.to_input(store.frames[row][start : start + 20 : 5])
        torch.testing.assert_close(images[place], expected)


def test_pixels_are_normalised_as_torchvision_does():
    frames = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    images = frames.movedim(-1, -3) / 255
    expected = F.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(teacher.to_input(frames), expected)


@pytest.mark.parametrize("kind", ["student", "teacher"])
def test_the_losses_of_parts_add_up_to_that_of_the_batch(kind):
    """Where labels are hidden too, of which the parts have unlike many."""
    fold = replace(FOLD, labels=np.array([0, 0, -1, -1, 1, 1, 0, 1]))
    settings, store = small(backbone="vgg", training={"teacher_frames": None}), noise_store()
    told = Targets(torch.rand(12, 8), torch.rand(12, 2).softmax(dim=-1))
    if kind == "student":
        given = lambda rows, *_: Targets(*(of[rows] for of in told))  # noqa: E731
        task = student_trainer(settings, store, fold, given).task
    else:
        task = teacher_trainer(settings, store, fold).task
    task.network.eval()
    batch, draws = torch.arange(6), torch.linspace(0, 0.9, 6)
    parts = [
        task.loss(task.load(batch[of], draws[of]), batch, False)
        for of in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(sum(parts), task.loss(task.load(batch, draws), batch, False))


def test_a_teacher_has_a_schedule_of_its_own():
    own = {"teacher_epochs": 4, "teacher_batch": 7, "teacher_learning_rate": [0.5, 0.6]}
    training = teacher_trainer(small(backbone="vgg", training=own), noise_store(), FOLD).training
    assert (training.epochs, training.batch_size, training.learning_rate) == (4, 7, (0.5, 0.6))
