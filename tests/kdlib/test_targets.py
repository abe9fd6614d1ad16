"""Controls: what a student is drawn to when it is not what the teacher saw of the recording itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdlib import student
from kdlib.errors import InvalidParameter
from kdlib.models.network import build_student
from kdlib.targets import TARGETS, Source
from kdsuite.data.folds import Fold
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus
from kdsuite.runs import stages
from kdsuite.runs.stages import Progress
from tests.conftest import noise_store, small

CONTROLS = ["shuffled", "shuffled_in_class", "random", "audio"]


def told(targets, setting="nonseq", seed=0):
    """Return what the guide says of all recordings, what the teacher says of them, and their
    classes and training rows."""
    store, settings = (
        noise_store(),
        small(backbone="vgg", setting=setting, training={"targets": targets}),
    )
    fold = folds_of(store.recordings, Corpus(groups=3))[0]
    privileged = stages.teachers(settings, store, [fold])[0]
    rows = torch.arange(len(store.recordings))
    guide = TARGETS[targets](
        Source(settings, store, fold, privileged, torch.Generator().manual_seed(seed))
    )
    first = torch.zeros_like(rows)
    return (
        guide(rows, first, None),
        privileged.targets(rows, first, settings, timed=True),
        store.labels,
        torch.from_numpy(fold.train),
    )


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_shuffled_targets_are_those_of_another_training_recording(own_data, setting):
    found, own, _, train = told("shuffled", setting)
    of = [
        next(place for place, other in enumerate(own.embedding) if torch.equal(row, other))
        for row in found.embedding[train]
    ]
    assert sorted(of) == train.tolist() and all(
        theirs != own for theirs, own in zip(of, train.tolist())
    )
    assert torch.equal(found.probabilities[train], own.probabilities[of])


def test_shuffled_within_a_class_the_label_stays(own_data):
    found, own, labels, train = told("shuffled_in_class")
    of = [
        next(place for place, other in enumerate(own.embedding) if torch.equal(row, other))
        for row in found.embedding[train]
    ]
    assert (
        sorted(of) == train.tolist()
        and all(theirs != own for theirs, own in zip(of, train.tolist()))
        and torch.equal(labels[of], labels[train])
    )


def test_random_probabilities_of_a_certain_teacher_are_finite(own_data):
    """Each class is permuted alone, so that a recording may draw 0 for all of them."""
    settings = small(backbone="vgg", training={"targets": "random"})
    store = noise_store(recordings=24)
    fold = folds_of(store.recordings, Corpus(groups=3))[0]
    privileged = stages.teachers(settings, store, [fold])[0]
    certain = torch.eye(2)[torch.arange(24) % 2]
    privileged.probabilities.copy_(certain)
    source = Source(settings, store, fold, privileged, torch.Generator().manual_seed(0))
    rows = torch.from_numpy(fold.train)
    found = TARGETS["random"](source)(rows, torch.zeros_like(rows), None).probabilities
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(rows)))
    assert (found.amax(dim=1) < 0.6).any() and (found.amax(dim=1) > 0.99).any()


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_random_vectors_mix_the_dimensions_of_the_training_recordings(own_data, setting):
    """Each dimension has exactly the values that it has over the training recordings; the vectors
    are none of theirs."""
    store = noise_store(recordings=24)
    settings = small(backbone="vgg", setting=setting, training={"targets": "random"})
    fold = folds_of(store.recordings, Corpus(groups=3))[0]
    privileged = stages.teachers(settings, store, [fold])[0]
    # embeddings that differ in every dimension, with a frame's value beside that of its recording
    privileged.recording_embedding.copy_(
        torch.rand(24, 8, generator=torch.Generator().manual_seed(0))
    )
    privileged.frames.values.copy_(
        privileged.recording_embedding.repeat_interleave(privileged.frames.lengths, dim=0)
    )
    rows = torch.from_numpy(fold.train)

    def vectors(seed):
        guide = TARGETS["random"](
            Source(settings, store, fold, privileged, torch.Generator().manual_seed(seed))
        )
        return guide(rows, torch.zeros_like(rows), None)

    found, again = vectors(0), vectors(0)
    assert torch.equal(found.embedding, again.embedding) and not torch.equal(
        found.embedding, vectors(1).embedding
    )
    assert found.embedding.shape == ((16, 2, 8) if setting == "em" else (16, 8))
    one = found.embedding[:, 0] if setting == "em" else found.embedding
    torch.testing.assert_close(
        one.sort(dim=0).values, privileged.recording_embedding[rows].sort(dim=0).values
    )
    assert not (one[:, None] == privileged.recording_embedding[rows][None]).all(dim=2).any()
    torch.testing.assert_close(found.probabilities.sum(dim=1), torch.ones(16))


@pytest.mark.parametrize("targets", CONTROLS)
def test_the_temperature_softens_controls_as_it_softens_the_teacher(own_data, targets):
    store, entropies = noise_store(), []
    fold = folds_of(store.recordings, Corpus(groups=3))[0]
    rows = torch.from_numpy(fold.train)
    for temperature in (1.0, 4.0):
        training = {"targets": targets, "temperature": temperature}
        settings = small(backbone="vgg", training=training)
        privileged = stages.teachers(settings, store, [fold])[0]
        privileged.probabilities.copy_(torch.tensor([0.99, 0.01]))
        network = build_student(settings, 2)
        with torch.no_grad():
            network.head.bias.copy_(torch.tensor([4.0, -4.0]))
        source = Source(settings, store, fold, privileged, torch.Generator(), network.eval())
        heard = network.front_end(store.audio(rows, torch.zeros_like(rows), 12800))
        soft = TARGETS[targets](source)(rows, torch.zeros_like(rows), heard).probabilities
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(len(rows)))
        entropies.append(-(soft * soft.log()).sum(dim=1).mean())
    assert entropies[1] > 2 * entropies[0]


def test_a_class_of_one_recording_has_no_other(own_data):
    store, settings = (
        noise_store(recordings=12, classes=4),
        small(backbone="vgg", training={"targets": "shuffled_in_class"}),
    )
    fold = Fold(0, "few", np.array([0, 1, 2, 4, 5]), np.array([8]))
    with pytest.raises(
        InvalidParameter,
        match="'shuffled_in_class', but a class .* has one training recording in fold 0",
    ):
        TARGETS["shuffled_in_class"](Source(settings, store, fold, None, torch.Generator()))


def test_label_smoothing_is_a_soft_label_that_knows_nothing(own_data):
    """CE with (1 − α)·y + α/K, as torch's own label smoothing has it."""
    from kdlib.losses import METHODS

    store, settings = (
        noise_store(classes=3),
        small(backbone="vgg", method="softlabel", alpha=0.2, training={"targets": "uniform"}),
    )
    guide = TARGETS["uniform"](Source(settings, store, None, None, torch.Generator()))
    logits, rows = torch.randn(4, 3), torch.arange(4)
    ours = METHODS["softlabel"](0.2, "mse", 8)(
        logits, None, store.labels[rows], guide(rows, rows, None)
    )
    torch.testing.assert_close(
        ours, torch.nn.functional.cross_entropy(logits, store.labels[rows], label_smoothing=0.2)
    )
    with pytest.raises(
        InvalidParameter,
        match="'training.targets' is 'uniform'.*set method to softlabel, not multitask",
    ):
        small(method="multitask", training={"targets": "uniform"})


@pytest.mark.parametrize("targets", CONTROLS)
@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_controls_are_repeatable_and_differ_from_the_method(own_data, targets, setting):
    store = noise_store(recordings=24, measurements=6)  # whose teacher tells recordings well apart
    fold = folds_of(store.recordings, Corpus(groups=3))[:1]

    def train(**training):
        settings = small(backbone="vgg", setting=setting, training=training)
        privileged = stages.teachers(settings, store, fold)[0] if settings.needs_teacher else None
        trained = stages.train_student(settings, store, fold[0], privileged, Progress("student", 2))
        return trained.probabilities, [epoch["loss"] for epoch in trained.history]

    (control, losses), (again, _), (_, own) = (
        train(targets=targets),
        train(targets=targets),
        train(),
    )
    assert np.array_equal(control, again) and losses != own


def test_the_audio_teacher_is_another_student_and_trained_once(own_data):
    store, fold = noise_store(), folds_of(noise_store().recordings, Corpus(groups=3))[0]
    em, agg = (
        small(backbone="vgg", setting=setting, training={"targets": "audio"})
        for setting in ("em", "agg")
    )
    stages.train_student(em, store, fold, None, Progress("student", 2))
    (weights,) = (own_data / "data" / "teachers").glob("*/*.safetensors")
    written = weights.stat().st_mtime_ns
    stages.train_student(agg, store, fold, None, Progress("student", 2))
    assert weights.stat().st_mtime_ns == written
    undistilled = stages.train_student(
        small(backbone="vgg", setting="em", alpha=0), store, fold, None, Progress("student", 2)
    )
    heard = stages.audio_teacher(em, store, fold, Progress("student", 2))
    assert not np.allclose(
        student.predict(heard, em, store, fold.test).logits.softmax(dim=-1).numpy(),
        undistilled.probabilities,
    )


def test_at_alpha_zero_targets_do_not_matter():
    plain, control = (
        small(alpha=0),
        small(
            alpha=0, training={"targets": "shuffled", "distance": "smooth_l1", "temperature": 2.0}
        ),
    )
    assert (
        control.canonical() == plain.canonical()
        and control.canonical().training.targets == "teacher"
        and not control.needs_teacher
    )
