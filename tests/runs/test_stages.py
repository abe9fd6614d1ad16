"""The stages hand each fold what is its own: its teacher, the teachers of the other parts, and the
recordings that verification compares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kdlib.dataset import Fold
from kdsuite import paths
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus
from kdsuite.runs import stages, student_file
from kdsuite.runs.prediction import embed
from kdsuite.runs.run import Run
from kdsuite.runs.stages import Progress
from tests.conftest import noise_store, small


def test_each_fold_s_student_has_the_teacher_of_its_fold(own_data):
    """That of another fold was trained on the recordings that this one tests."""
    store, settings = noise_store(), small(backbone="vgg")
    folds = folds_of(store.recordings, Corpus(groups=3))[:2]
    told = stages.teachers(settings, store, folds)
    together = stages.students(Run("student", settings), store, folds, told)
    for fold in folds:
        progress = Progress("student", 2)
        alone = stages.train_student(settings, store, fold, told[fold.number], progress)
        losses = [[epoch["loss"] for epoch in of.history] for of in (together[fold.number], alone)]
        assert losses[0] == losses[1]


@pytest.fixture
def in_one_folder(own_data):
    """Return a function that makes runs of one folder, as where a dataset's file was edited."""

    def run(rate, keep=True):
        training = {"learning_rate": [1e-5, rate], "keep_students": keep}
        made = Run("student", small(backbone="vgg", alpha=0, training=training))
        vars(made)["folder"] = own_data / "same"
        return made

    return run


def test_a_kept_student_is_that_of_its_own_run(in_one_folder):
    """Also where another run took the folder while this one was interrupted."""
    store, (first, other) = noise_store(), map(in_one_folder, (0.001, 0.002))
    folds = folds_of(store.recordings, Corpus(groups=3))[:2]
    stages.students(first, store, folds[:1], {})
    stages.students(other, store, folds, {})
    stages.remove_checkpoints(other, store, folds)
    stages.students(first, store, folds, {})
    kept = student_file.kept(first.folder)
    assert [file.name for file in kept] == ["fold-0.safetensors", "fold-1.safetensors"]
    rates = [facts.settings["training"]["learning_rate"][1] for facts in kept.values()]
    assert rates == [0.001, 0.001]
    stages.remove_checkpoints(first, store, folds)
    assert not [*(paths.DATA / "checkpoints").rglob("*.safetensors")]


def test_an_interrupted_run_leaves_an_earlier_result_and_its_students_alone(
    in_one_folder, monkeypatch
):
    store, earlier = noise_store(), in_one_folder(0.001)
    folds = folds_of(store.recordings, Corpus(groups=3))[:2]
    stages.students(earlier, store, folds, {})
    (earlier.folder / "result.json").write_text("{}")
    before = {file.name: file.read_bytes() for file in earlier.folder.iterdir()}
    train = stages.train_student

    def interrupted(settings, data, fold, *others):
        if fold.number:
            raise KeyboardInterrupt
        return train(settings, data, fold, *others)

    monkeypatch.setattr(stages, "train_student", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stages.students(in_one_folder(0.002), store, folds, {})
    assert {file.name: file.read_bytes() for file in earlier.folder.iterdir()} == before


def test_students_of_a_former_result_go(in_one_folder):
    store, folder = noise_store(), in_one_folder(0.001).folder
    folds = folds_of(store.recordings, Corpus(groups=3))
    stages.students(in_one_folder(0.001), store, folds, {})
    (folder / "README.md").write_text("the card")
    stages.students(in_one_folder(0.002), store, folds[:1], {})
    assert [file.name for file in folder.iterdir()] == ["fold-0.safetensors"]
    stages.students(in_one_folder(0.002, keep=False), store, folds[:1], {})
    assert not [*folder.iterdir()]


def test_a_cross_fitted_target_is_of_a_teacher_that_did_not_train_on_it(own_data, monkeypatch):
    given, learned, train = [], [], stages._teacher

    def watched(run, data, rest, progress):
        learned.append(rest.train.tolist())
        return train(run, data, rest, progress)

    store, settings = noise_store(24, 6), small(training={"cross_fit": 2})
    fold = Fold(0, "x", np.arange(4, 24), np.arange(4))
    own = stages.teachers(settings, store, [fold])[0]
    monkeypatch.setattr(stages, "_teacher", watched)
    monkeypatch.setattr(
        "kdsuite.runs.cross_fitting.cross_fitted", lambda own, others: given.extend(others) or own
    )
    stages._cross_fitted(settings, store, fold, own)
    assert len(given) == len(learned) == 2
    for (_, both, rows), rest in zip(given, learned):
        assert both.tolist() == rest and len(rows) and not set(rows) & set(rest)


@pytest.mark.parametrize("score", ["cosine", "centred"])
def test_the_files_of_trials_are_embedded(own_data, score):
    """And, centred, less the mean over the training recordings."""
    store, fold = noise_store(), Fold(0, "x", np.arange(8), np.arange(8, 12))
    trials = replace(noise_store(6, seconds=1.6), fingerprint="trials")
    settings = small(backbone="vgg", alpha=0.0, training={"trial_score": score})
    progress = Progress("student", 2)
    told = stages.train_student(settings, store, fold, None, progress, trials)
    expected = embed(told.network, settings, trials, np.arange(6)).numpy()
    if score == "centred":
        expected = expected - embed(told.network, settings, store, fold.train).numpy().mean(axis=0)
    np.testing.assert_allclose(told.trials, expected, atol=1e-6)
