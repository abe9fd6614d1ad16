"""The forecast of a gain, where it is known what the teacher tells."""

from __future__ import annotations

import csv
import json

import numpy as np

from kdsuite import paths
from kdsuite.analysis.forecast import View, forecast, views
from kdsuite.app.command_line import main
from kdsuite.runs.run import Run
from kdsuite.settings import load
from tests.conftest import small

CLASSES, SPEAKERS, TAKES = 4, 8, 12
RUN = Run("teacher", small(backbone="vgg", setting="nonseq"))


def seen(teacher: str, labelled: int, folds: int = 4) -> list[View]:
    """Return views of a voice that tells its class through noise; ``labelled`` recordings of each
    class have a label, dealt over the speakers. The ``teacher`` is "right" or "blind"."""
    made, codes = [], np.tile(np.arange(CLASSES), SPEAKERS * TAKES // CLASSES)
    speakers = np.repeat([f"{number}" for number in range(SPEAKERS)], TAKES)
    for fold in range(folds):
        random = np.random.default_rng(fold)
        sound = np.eye(CLASSES, 30)[codes] * 2 + random.normal(size=(len(codes), 30))
        labels = np.full(len(codes), -1)
        for code in range(CLASSES):
            # one recording of each speaker after the other
            rows = np.flatnonzero(codes == code)[:: TAKES // CLASSES][:labelled]
            labels[rows] = code
        says = codes if teacher == "right" else random.permutation(codes)
        probabilities = np.full((len(codes), CLASSES), 0.01) + 0.96 * np.eye(CLASSES)[says]
        made.append(View(fold, labels, sound, speakers, sound[:, :2], probabilities))
    return made


def test_a_teacher_that_is_right_where_labels_are_few_is_forecast_to_pay():
    made = forecast(RUN, seen("right", 5))
    assert made["verdict"] == "pays" and made["forecast"] > 0.1 and made["low"] > 0


def test_a_blind_teacher_and_plenty_of_labels_are_not():
    assert forecast(RUN, seen("blind", 5))["verdict"] != "pays"
    plenty, few = (forecast(RUN, seen("right", count)) for count in (SPEAKERS, 3))
    assert plenty["forecast"] < few["forecast"]


def test_a_label_a_class_forecasts_nothing():
    assert forecast(RUN, seen("right", 1)) == {
        "verdict": "no two classes have labels of two speakers"
    }


def test_labels_of_one_class_alone_or_of_one_fold_give_no_interval():
    (first, *_), lonely = seen("right", 3), []
    for view in seen("right", 3):
        labels = np.where((view.labels == 1) & (view.speakers != view.speakers[0]), -1, view.labels)
        lonely.append(view._replace(labels=np.where(labels > 1, -1, labels)))
    forecast(RUN, lonely)  # of speakers but the first there is one class: nothing to fit
    assert forecast(RUN, [first])["verdict"] == "too few folds for an interval"


def test_a_corpus_that_is_away_is_no_error(own_data):
    """The report of a suite whose recordings lie elsewhere."""
    assert views(Run("teacher", load(dataset="ravdess-au"))) == []


def test_the_command_trains_teachers_alone(own_data, monkeypatch, capsys):
    """On a small corpus of known truth, with a suite of two students."""
    folder = own_data / "params"
    (folder / "grids").mkdir(parents=True)
    text = (paths.PARAMS / "demo-controls.yaml").read_text()
    (folder / "demo-controls.yaml").write_text(text)
    entry = {
        "dataset": "demo-controls",
        "backbone": "vgg",
        "setting": "nonseq",
        "alpha": [0, 0.5],
        "corpus": {"labelled": 0.5, "groups": 4, "synthetic": {"actors": 4, "takes": 14}},
        "training": {"teacher_epochs": 20},
    }
    (folder / "grids" / "tiny.yaml").write_text(json.dumps({"runs": [entry]}))
    monkeypatch.setattr(paths, "PARAMS", folder)
    assert main(["forecast", "tiny"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["dataset"] == "demo-controls" and row["verdict"] in ("pays", "open", "does not pay")
    assert float(row["low"]) <= float(row["forecast"]) <= float(row["high"])
    assert [*(paths.DATA / "teachers").iterdir()] and not (paths.DATA / "checkpoints").exists()
    assert not paths.REPORTS.exists()
