"""What one sees of a training: TensorBoard's values; and of a suite: what the runs that are left
take."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kdlib.dataset import Fold
from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.runs import finished
from kdsuite.runs.run import Run
from kdsuite.runs.stages import Progress
from tests.conftest import small

FOLD = Fold(2, "two", np.arange(2), np.arange(2))


@pytest.fixture
def board(own_data):
    """The progress of a student whose run asks for TensorBoard."""
    return Progress("student", 2, 1, Run("student", small(training={"tensorboard": True})))


def test_tensorboard_gets_the_values_of_each_epoch(board, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            written.append(Path(folder).relative_to(board.run.folder).as_posix())

        def add_scalar(self, *values):
            written.append(values)

        def flush(self):
            pass

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    epochs = [{"loss": 2.0 / n, "rate": 0.1, "seconds": 1.0} for n in (1, 2)]
    board.follow(FOLD, iter(epochs))
    assert written[0] == "tensorboard/fold-2"
    assert written[1::3] == [("loss", 2.0, 1), ("loss", 1.0, 2)]


def test_where_tensorboard_is_absent_one_sentence_says_so(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InvalidParameter, match=r"pip install 'kdlib.tensorboard.'"):
        board.follow(FOLD, iter([]))


def test_a_score_is_that_of_the_own_result_also_where_the_corpus_has_changed_since(own_data):
    """The linear baseline of other recordings does not stand beside it."""
    student = Run("student", small(backbone="vgg"))
    for run, uar, store in (
        (student.data, 0.4, "old"),
        (student, 0.5, "old"),
        (student, 0.6, "new"),
    ):
        row = {"fold": 0, "uar": uar, "recordings": 9}
        told = {"settings": run.settings.model_dump(mode="json"), "folds": [row]}
        paths.write_json(run.folder / "result.json", told | {"provenance": {"store": store}})
        said = finished.score(run)
    assert said == "UAR 60.0 %" and student.state == "outdated"
    paths.write_json(student.folder / "result.json", told | {"provenance": {"store": "old"}})
    assert finished.score(student) == "UAR 60.0 % (linear baseline 40.0 %)"


def test_a_run_is_expected_to_take_what_those_most_like_it_took(monkeypatch):
    walls = {"vgg": 10.0, "resnet": 30.0}
    monkeypatch.setattr(
        Run, "result", property(lambda run: {"wall": walls.get(run.settings.backbone, 0)})
    )
    durations = finished.Durations()
    for backbone in walls:
        durations.add(Run("student", small(backbone=backbone)))
    expected = [
        durations.expected(Run("student", small(backbone=backbone)))
        for backbone in ("vgg", "resnet", "seresnet")
    ]
    assert expected == [10, 30, 20]
    assert durations.expected(Run("data", small())) is None
