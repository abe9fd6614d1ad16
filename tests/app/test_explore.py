"""What notebook 5 finds and computes, against the same apart; how it looks in JupyterLab is
tests/app/test_lab.py."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch
import yaml
from sklearn.neighbors import NearestNeighbors

from kdlib.models.network import build_student
from kdsuite import paths
from kdsuite.analysis import figures
from kdsuite.app import explore
from kdsuite.app.using import load_student
from kdsuite.runs.run import Run
from kdsuite.runs.student_file import write
from kdsuite.settings import load, relevant
from tests.conftest import noise_store, small


def keep(settings, store, **result):
    """Leave what a finished run with ``keep_students`` leaves: a result, and a student that nobody
    trained."""
    home = Run("student", settings).folder
    torch.manual_seed(0)
    facts = {
        "classes": store.classes, "settings": settings.canonical().model_dump(mode="json"), "fold": {"number": 0, "name": "all"},
        "verification": None, "provenance": {},
    }  # fmt: skip
    write(home / "fold-0.safetensors", build_student(settings, len(store.classes)).eval(), facts)
    (home / "result.json").write_text(
        json.dumps(
            {"settings": facts["settings"], "provenance": {"store": store.fingerprint}, **result}
        )
    )
    return home


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)


def kept(**axes):
    """Return settings of students that are kept."""
    return small(**{"backbone": "vgg", "training": {"keep_students": True}, **axes})


def test_the_students_of_a_network_are_found_at_every_alpha(reports):
    store = noise_store()
    homes = [keep(kept(alpha=alpha), store) for alpha in (0, 0.25, 0.5, 0.75)]
    keep(kept(backbone="resnet", alpha=1), store)
    keep(kept(alpha=0.9, seed=1), store)
    (keep(kept(alpha=0.1), store) / "result.json").unlink()  # not finished
    found = explore.students(kept(alpha=0.5))
    assert [run.folder for run in found] == homes and all(run.done for run in found)
    assert [run.settings.alpha for run in explore.students(kept(seed=2))] == [0, 0.5]


@pytest.mark.parametrize("dataset", ["demo-ravdess", "ravdess"])
@pytest.mark.parametrize("alpha", [0, 0.5])
def test_the_command_that_is_told_makes_a_run_that_is_found(reports, dataset, alpha):
    """Whether or not the dataset's file asks to keep students; here with sections, whose values a
    shell must leave alone."""
    training = {"epochs": 10, "learning_rate": [1e-5, 0.003], "keep_students": True}
    settings = load(dataset=dataset, backbone="vgg", alpha=alpha, seed=3, training=training)
    said = explore.to_make(Run("student", settings)).split("Run ")[1].split(", then")[0]
    *command, option, given = shlex.split(said)
    assert command == ["kdlib", "run", "student"] and option == "-y"
    told = load(**yaml.safe_load(given))
    assert told.training.keep_students
    assert relevant(told, "student") == relevant(settings, "student")
    keep(told, noise_store())
    keep(told.model_copy(update={"alpha": 0.75}), noise_store())
    alphas = [run.settings.alpha for run in explore.students(settings)]
    assert alphas == sorted({0, alpha, 0.75})


def test_an_opinion_is_what_the_student_says_of_each_window_by_itself(reports):
    settings, store = small(backbone="vgg", alpha=0.5), noise_store()
    student = load_student(keep(settings, store) / "fold-0.safetensors")
    sound = store.waveforms[0].float() / 32768
    told = explore.opinion(student, sound)
    length = round(0.4 * 16000)
    assert len(told) == 1 + (len(sound) - length) // (length // 4)
    assert told.index[0] == pytest.approx(0.2) and np.diff(told.index) == pytest.approx(0.1)
    for number in (0, 3):
        window = sound[None, number * length // 4 :][:, :length]
        expected = student.classify(window.repeat(1, 2), "fixed").logits.softmax(-1)[
            0
        ]  # repeated to the training duration
        assert told.iloc[number].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert len(explore.opinion(student, sound[: length // 2])) == 1


def test_the_nearest_are_those_of_scikit_learn():
    embeddings = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    distances, expected = (
        NearestNeighbors(n_neighbors=6, metric="cosine").fit(embeddings).kneighbors(embeddings[7:8])
    )
    cosines = explore.nearest(embeddings, 7)
    assert cosines.index.tolist() == expected[0, 1:].tolist()
    assert cosines.to_numpy() == pytest.approx(1 - distances[0, 1:], abs=1e-5)
    assert len(explore.nearest(embeddings[:3], 0)) == 2


def test_pictures_name_the_true_class_and_count_alike_neighbours(reports):
    settings, store = small(backbone="vgg", alpha=0.5), noise_store()
    student = load_student(keep(settings, store) / "fold-0.safetensors")
    label = str(store.recordings.label[0])
    output = explore.opinion(student, store.waveforms[0].float() / 32768)
    picture = figures.opinion(output, label, "α = 0.5")
    assert f"{label} (true)" in [text.get_text() for text in picture.legends[0].get_texts()]
    embeddings = np.random.default_rng(0).normal(size=(len(store.recordings), 6))
    near = np.array([2, 4, 1])  # labels alternate: two of these are recording 0's class
    picture = figures.neighbourhood(embeddings, store.recordings.label, 0, near, "undistilled")
    assert picture.axes[0].get_title() == "undistilled: 2 of 3 nearest are of its class"
