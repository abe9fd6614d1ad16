"""What a suite will cost: work counted by hand, forecasts from known speeds, and a calibration that
is one."""

from __future__ import annotations

import json

import pytest

from kdlib.__main__ import main
from kdlib.errors import InvalidCorpus
from kdsuite import places
from kdsuite.runs import calibration, grid, plan
from kdsuite.settings import load
from tests.conftest import small


def test_the_paper_has_nine_networks_three_methods_and_the_tables_alpha():
    runs = grid.runs("paper")
    students = [run.settings for run in runs if run.stage == "student"]
    for dataset in ("ravdess", "voxceleb1", "iemocap"):
        at_half = {
            (of.backbone, of.setting, of.method)
            for of in students
            if of.dataset == dataset and of.alpha == 0.5
        }
        assert len({network[:2] for network in at_half if network[2] == "embedding"}) == 9
        assert {method for *_, method in at_half} == {"embedding", "softlabel", "multitask"}
        assert sum(of.dataset == dataset and of.alpha == 0 for of in students) == 6
    assert len(runs) == 471 and all(of.media.frame_stride == 5 for of in students)


def test_flops_by_hand():
    """The VGG student has six convolutions of 3 x 3: all but the first one forwards, and twice that
    backwards."""
    settings = load(dataset="ravdess", backbone="vgg", alpha=0)
    pixels, halved = 257 * 400, 128 * 200
    inner = pixels * 64 * 64 * 2 + halved * (
        64 * 128 + 128 * 128 * 2
    )  # products and channels of the five inner ones
    by_hand = 2 * 9 * (3 * inner + 2 * pixels * 64)  # the first one's input has no gradient
    found = calibration.cost(settings, "student", 7)
    assert found.flops == pytest.approx(by_hand, rel=0.001)
    assert calibration.cost(
        settings.model_copy(update={"setting": "em"}), "student", 7
    ).flops == pytest.approx(by_hand / 4, rel=0.01)


def test_counts_of_corpora_that_are_not_here(own_data):
    ravdess, voxceleb, iemocap = (
        plan.size(load(dataset=name)) for name in ("ravdess", "voxceleb1", "iemocap")
    )
    assert (ravdess.recordings, len(ravdess.trained), ravdess.classes, ravdess.source) == (
        2452,
        24,
        7,
        "published",
    )
    assert (voxceleb.recordings, voxceleb.trained, voxceleb.tested) == (21819, [15273], [4364])
    assert (iemocap.recordings, iemocap.trained[0], len(iemocap.trained)) == (5531, 4425, 5)
    assert plan.size(load(dataset="demo-ravdess")).recordings == 288 and not list(
        own_data.iterdir()
    )  # nothing is made for a plan
    with pytest.raises(InvalidCorpus, match="manifest"):
        plan.size(load(dataset="grid-example"))


def test_steps_and_disk_of_a_run(own_data):
    teacher, student = (
        plan.Planner().work(grid.Run(stage, load(dataset="demo-ravdess", backbone="vgg"), {}))
        for stage in ("teacher", "student")
    )
    # three folds of 192 recordings: four frames of each, 32 a step, twenty epochs; eight recordings
    # a step, twenty epochs
    assert teacher.steps == 3 * 20 * 24 and student.steps == 3 * 20 * 24
    assert plan.store_bytes(student.run.settings, student.size) == pytest.approx(
        288 * 1.2 * (32000 + 25 * 32 * 32 * 3)
    )


def test_memory_of_the_paper_s_largest_teacher():
    """Batch 32 of 125 frames fits 80 GB, and 24 GB, only if activations are computed again."""
    for at_once, least, most in ((None, 250e9, 400e9), (125, 5e9, 24e9)):
        settings = load(
            dataset="voxceleb1", backbone="vgg", setting="agg", training={"frames_at_once": at_once}
        )
        items, shape = calibration.item(settings, "teacher")
        assert (items, shape) == (125, (3, 224, 224))
        assert (
            least
            < calibration.peak_memory(
                calibration.cost(settings, "teacher", 7), items, settings.teacher_training()
            )
            < most
        )


@pytest.fixture
def known(monkeypatch):
    """Let every step take a tenth of a second, and every item the same arithmetic."""
    monkeypatch.setattr(calibration, "calibrate", lambda wanted, *_: dict.fromkeys(wanted, 0.1))
    monkeypatch.setattr(calibration, "cost", lambda *_: calibration.Cost(10**6, 10**5, 10**4))
    monkeypatch.setattr(calibration, "write_speed", lambda _: 1e9)


def test_a_forecast_from_known_speeds(own_data, known):
    """Every step of the demo takes a tenth of a second: its hours are those steps, shared by two,
    and what is no training."""
    before = plan.plan("demo", 2)
    runs, planner = grid.runs("demo"), plan.Planner()
    trained = [planner.work(run) for run in runs if run.stage != "data"]
    seconds = (
        sum(0.1 * work.steps + plan.STARTING + plan.OVERHEAD[work.run.stage] for work in trained)
        / 2
    )
    data, students = (sum(run.stage == stage for run in runs) for stage in ("data", "student"))
    seconds += data * (plan.STARTING + plan.OVERHEAD["data"]) + plan.REPORT
    assert before["hours"]["all"] == before["hours"]["missing"] == pytest.approx(seconds / 3600)
    assert (
        sum(before["dominates"].values()) == pytest.approx(1)
        and before["stages"]["student"]["missing"]["runs"] == students
    )
    # a finished run is no longer missing, and says what it took beside training
    done = next(run for run in runs if run.stage == "student")
    kept = {
        "settings": done.settings.model_dump(mode="json"),
        "seconds": {"wall": 30.0, "device": 10.0},
    }
    places.write_json(done.folder / "result.json", kept)
    after = plan.plan("demo", 2)
    assert after["stages"]["student"]["missing"]["runs"] == students - 1
    assert after["overhead_seconds"]["student"] == {"seconds": 20.0, "from_runs": 1}
    assert after["hours"]["all"] - before["hours"]["all"] == pytest.approx(
        students * (20 - plan.OVERHEAD["student"]) / 2 / 3600
    )


def test_large_steps_are_measured_on_a_part(own_data, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        calibration,
        "calibrate",
        lambda wanted, *_: asked.update(wanted) or dict.fromkeys(wanted, 1.0),
    )
    runs, planner = grid.runs("paper"), plan.Planner()
    works = [planner.work(run) for run in runs]
    speeds = plan.measured(planner, works, 2, 1.0, cpu=True)
    assert len(asked) == 12 and all(
        of.training.batch_size == 2 and of.segments == 1 for of, _ in asked.values()
    )
    vgg = next(
        work
        for work in works
        if work.run.stage == "teacher"
        and work.run.settings.backbone == "vgg"
        and work.run.settings.sequential
    )
    # 32 sequences of 20 frames for 2 of 5
    assert vgg.run.settings.dataset == "ravdess" and speeds[
        plan.shape(vgg.run.settings, "teacher")
    ] == pytest.approx(64)


@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_a_step_takes_time(stage):
    seconds = calibration.seconds_a_step(small(backbone="vgg", setting="em"), stage, 0.0)
    assert 1e-4 < seconds < 5


def test_the_command(own_data, known, capsys):
    assert main(["plan", "demo", "--cores", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suite"] == "demo"
    assert main(["plan", "demo", "--cores", "all"]) == 0
    told = capsys.readouterr().out
    assert "ASSUMED 120 TFLOP/s (float32), not measured" in told and len(told.splitlines()) < 20
    assert main(["plan", "dem"]) == 2 and "did you mean 'demo'" in capsys.readouterr().err
