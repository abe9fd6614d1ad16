"""Training a student: repeatable to the bit, one student at alpha = 0, broken off and gone on, and
the teacher's help felt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlib import student
from kdlib.dataset import Ragged
from kdlib.errors import NotFinite
from kdsuite.data.folds import Fold
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus
from kdsuite.runs import stages
from kdsuite.runs.run import Run
from kdsuite.runs.stages import Progress
from tests.conftest import noise_store, small


def train(settings, store, folds=None):
    folds = folds or folds_of(store.recordings, Corpus(groups=3))[:1]
    privileged = stages.teachers(settings, store, folds)
    return stages.train_student(
        settings, store, folds[0], privileged[folds[0].number], Progress("student", 2)
    )


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_undistilled_students_are_the_same_to_the_bit(own_data, setting):
    store = noise_store()
    students = [
        train(small(backbone="vgg", setting=setting, method=method, alpha=0), store)
        for method in ("embedding", "softlabel", "multitask")
    ]
    assert all(
        np.array_equal(students[0].probabilities, other.probabilities) for other in students[1:]
    )
    if setting == "agg":
        em = train(small(backbone="vgg", setting="em", alpha=0), store)
        assert np.array_equal(students[0].probabilities, em.probabilities)


@pytest.mark.parametrize("method", ["embedding", "softlabel", "multitask"])
def test_the_same_run_twice_gives_the_same_numbers(own_data, method):
    store, settings = noise_store(), small(backbone="seresnet", setting="agg", method=method)
    first, second = train(settings, store), train(settings, store)
    assert np.array_equal(first.probabilities, second.probabilities) and [
        e["loss"] for e in first.history
    ] == [e["loss"] for e in second.history]


def test_alpha_method_and_seed_make_a_difference(own_data):
    store = noise_store()
    base = dict(backbone="vgg", setting="nonseq")
    outcomes = [
        train(small(**base, **given), store).probabilities
        for given in (
            {},
            {"alpha": 0.9},
            {"method": "softlabel"},
            {"method": "multitask"},
            {"seed": 1},
        )
    ]
    assert all(not np.array_equal(a, b) for i, a in enumerate(outcomes) for b in outcomes[i + 1 :])


def test_at_alpha_one_the_embedding_follows_the_teacher(own_data):
    """Embeddings of training recordings come closer to the teacher's than those of an undistilled
    student."""
    store = noise_store()
    folds = folds_of(store.recordings, Corpus(groups=3))[:1]
    everyone = [Fold(0, "all", folds[0].train, folds[0].train)]
    distance = {}
    for alpha in (0.0, 1.0):
        settings = small(
            backbone="vgg",
            alpha=alpha,
            training={"epochs": 30, "teacher_epochs": 1, "learning_rate": [0.001, 0.01]},
        )
        privileged = stages.teachers(settings, store, everyone)
        trained = stages.train_student(
            settings, store, everyone[0], privileged[0], Progress("student", 30)
        )
        distance[alpha] = (
            (
                (
                    torch.from_numpy(trained.embeddings)
                    - privileged[0].recording_embedding[folds[0].train]
                )
                ** 2
            )
            .mean()
            .item()
        )
    assert distance[1.0] < 0.5 * distance[0.0]


def test_test_recordings_are_answered_in_their_order(own_data):
    """Whole recordings of several lengths are heard in groups of one length; the answers come back
    in the order asked."""
    store, settings = noise_store(), small(backbone="vgg", media={"inference": "whole"})
    from kdlib.models.network import build_student

    network = build_student(settings, 2)
    together = student.predict(network, settings, store, np.arange(12))
    mixed = np.random.default_rng(0).permutation(12)
    alone = torch.cat(
        [student.predict(network, settings, store, np.array([row])).logits for row in range(12)]
    )
    torch.testing.assert_close(together.logits, alone, atol=1e-5, rtol=1e-4)
    answers = student.predict(network, settings, store, mixed).logits
    torch.testing.assert_close(answers, alone[mixed], atol=1e-5, rtol=1e-4)


def test_a_broken_off_run_goes_on_with_the_next_fold(own_data, monkeypatch):
    store, settings = noise_store(), small(backbone="vgg")
    folds = folds_of(store.recordings, Corpus(groups=3))
    privileged = stages.teachers(settings, store, folds)
    run = Run("student", settings)
    whole = stages.students(run, store, folds, privileged)
    stages.remove_checkpoints(run, store, folds)
    original = stages.train_student

    def tired(settings, store, fold, *rest):
        if fold.number == 2:
            raise KeyboardInterrupt
        return original(settings, store, fold, *rest)

    monkeypatch.setattr(stages, "train_student", tired)
    with pytest.raises(KeyboardInterrupt):
        stages.students(run, store, folds, privileged)
    trained = []
    monkeypatch.setattr(
        stages,
        "train_student",
        lambda settings, store, fold, *rest: (
            trained.append(fold.number) or original(settings, store, fold, *rest)
        ),
    )
    again = stages.students(run, store, folds, privileged)
    assert trained == [2]
    assert all(
        np.array_equal(whole[number].probabilities, again[number].probabilities)
        for number in range(3)
    )


def test_a_loss_that_is_no_number_leaves_nothing(own_data):
    store, settings = noise_store(), small(backbone="vgg", training={"learning_rate": [1e30, 1e38]})
    settings = settings.model_copy(
        update={"training": settings.training.model_copy(update={"epochs": 3})}
    )
    folds = folds_of(store.recordings, Corpus(groups=3))[:1]
    privileged = stages.teachers(small(backbone="vgg"), store, folds)
    with pytest.raises(NotFinite, match="lower training.learning_rate"):
        stages.students(Run("student", settings), store, folds, privileged)
    assert not list((own_data / "data").glob("checkpoints/*/fold-*.safetensors"))


def test_kept_students_can_be_loaded(own_data):
    from safetensors.torch import load_file

    from kdlib.models.network import build_student

    store, settings = noise_store(), small(backbone="vgg", training={"keep_students": True})
    fold, run = folds_of(store.recordings, Corpus(groups=3))[0], Run("student", settings)
    privileged = stages.teachers(settings, store, [fold])
    trained = stages.students(run, store, [fold], privileged)[0]
    network = build_student(settings, 2)
    network.load_state_dict(load_file(run.folder / "fold-0.safetensors"))
    tested = fold.test
    np.testing.assert_allclose(
        student.predict(network, settings, store, tested).logits.softmax(1).numpy(),
        trained.probabilities,
        atol=1e-6,
    )


@pytest.mark.parametrize("setting", ["nonseq", "agg"])
def test_statistics_of_a_trained_student_are_those_of_its_training_set(own_data, setting):
    """What is kept and exported answers with the statistics of the last weights over the training
    recordings, not with those of the way there."""
    store, folds = noise_store(), folds_of(noise_store().recordings, Corpus(groups=3))[:1]
    networks = {}
    for batchnorm in ("estimated", "running"):
        settings = small(
            backbone="vgg", setting=setting, alpha=0, training={"batchnorm": batchnorm}
        )
        trainer = student.student_trainer(settings, store, folds[0], None)
        Progress("student", 2).follow(folds[0], trainer.epochs())
        networks[batchnorm] = trainer.network
    ours, lagging = (network.state_dict() for network in networks.values())
    changed = {
        name.rpartition(".")[2] for name in ours if not torch.equal(ours[name], lagging[name])
    }
    assert changed == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }  # the weights are the same to the bit


def test_hidden_labels_are_not_used_but_their_sound_is(own_data):
    """Another label of a hidden recording changes nothing; another sound of it does."""
    store = noise_store()
    train_rows, test = np.arange(8), np.arange(8, 12)
    hidden = Fold(0, "few", train_rows, test, labels=np.array([0, 1, -1, -1, 0, 1, -1, -1]))
    settings = small(backbone="vgg")

    def outcome(store, tag):
        store = replace(store, fingerprint=tag)
        privileged = stages.teachers(settings, store, [hidden])
        return stages.train_student(
            settings, store, hidden, privileged[0], Progress("student", 2)
        ).probabilities, privileged[0].recording_embedding

    other = store.labels.clone()
    other[[2, 3, 6, 7]] = 1 - other[[2, 3, 6, 7]]
    plain, relabelled = outcome(store, "a"), outcome(replace(store, labels=other), "b")
    assert np.array_equal(plain[0], relabelled[0]) and torch.equal(plain[1], relabelled[1])
    sound = store.waveforms.values.clone()
    sound[store.waveforms.starts[2] :][: store.waveforms.lengths[2]] //= 7
    heard = replace(store, waveforms=Ragged.of(sound, store.waveforms.lengths))
    assert not np.array_equal(plain[0], outcome(heard, "c")[0])
