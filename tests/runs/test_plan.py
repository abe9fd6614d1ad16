"""What a suite will cost: work counted by hand, forecasts from known speeds, and a calibration that
is one."""

from __future__ import annotations

import json
import re

import pytest

from kdlib.__main__ import main
from kdlib.errors import InvalidCorpus
from kdlib.models.network import SETTINGS
from kdsuite import paths
from kdsuite.runs import grid, plan
from kdsuite.runs.finished import Durations
from kdsuite.runs.plan import Step
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
    sequential = settings.model_copy(update={"setting": "em"})
    assert Step(settings, "student", 7).cost[0] == pytest.approx(by_hand, rel=0.001)
    assert Step(sequential, "student", 7).cost[0] == pytest.approx(by_hand / 4, rel=0.01)


def test_counts_of_corpora_that_are_not_here(own_data):
    """Of each protocol; a recording of a published corpus is cut from no other."""
    ravdess, voxceleb, iemocap = (
        plan.size(load(dataset=name)) for name in ("ravdess", "voxceleb1", "iemocap")
    )
    assert (ravdess.recordings, ravdess.folds, ravdess.classes, ravdess.source) == (
        2452,
        24,
        7,
        "published",
    )
    assert (voxceleb.recordings, voxceleb.trained, voxceleb.tested) == (21819, 15273, 4364)
    assert (iemocap.recordings, iemocap.trained, iemocap.folds) == (5531, 4 * 5531, 5)
    assert plan.size(load(dataset="demo-ravdess")).recordings == 48 * 7
    # all utterances: one and two of each video in turn
    assert plan.size(load(dataset="demo-voxceleb1")).recordings == 8 * (20 + 2 * 20)
    assert not list(own_data.iterdir())  # nothing is made for a plan
    with pytest.raises(InvalidCorpus, match="manifest"):
        plan.size(load(dataset="grid-example"))


@pytest.fixture
def known(monkeypatch):
    """Let every item take a thousandth of a second, and the same arithmetic."""
    monkeypatch.setattr(Step, "seconds", 0.001)
    monkeypatch.setattr(Step, "cost", (10**6, 10**5, 10**4))


def test_items_and_disk_of_a_run(own_data, known):
    data, teacher, student = (
        plan.work(
            grid.Run(stage, load(dataset="demo-ravdess", backbone="vgg")), {}, {}, Durations()
        )
        for stage in grid.STAGES
    )
    # three folds of 224 recordings; the teacher sees four frames of each in 15 epochs
    assert teacher["items"] == 3 * 15 * 224 * 4 and student["items"] == 3 * 20 * 224
    assert data["disk"] == pytest.approx(336 * 1.2 * (32000 + 25 * 32 * 32 * 3))


def test_the_teachers_of_cross_fitting_are_counted(own_data, known):
    usual, fitted = (
        load(dataset="demo-ravdess", backbone="vgg", training={"cross_fit": k}) for k in (0, 3)
    )
    teacher, alone, taught = (
        plan.work(grid.Run(stage, of), {}, {}, Durations())
        for stage, of in (("teacher", usual), ("student", usual), ("student", fitted))
    )
    # three teachers a fold, each without a third of its recordings
    for name in ("flops", "seconds"):
        assert taught[name] == pytest.approx(alone[name] + 2 * teacher[name])


def test_memory_of_the_paper_s_largest_teacher():
    """Batch 32 of 125 frames fits 80 GB, and 24 GB, only if activations are computed again."""
    for at_once, least, most in ((None, 250e9, 400e9), (125, 5e9, 24e9)):
        settings = load(
            dataset="voxceleb1", backbone="vgg", setting="agg", training={"frames_at_once": at_once}
        )
        step = Step(settings, "teacher", 7)
        assert (step.items, step.shape) == (125, (3, 224, 224))
        assert step.at_once == (at_once or 32 * 125)
        assert least < step.cost[1] < most


def test_a_forecast_from_known_speeds(own_data, known):
    """The hours of the demo are its items, shared by two, and what is no training."""
    before = plan.plan("demo", 2)
    runs, sizes, steps = grid.runs("demo"), {}, {}
    works = [plan.work(run, sizes, steps, Durations()) for run in runs]
    seconds = {
        stage: sum(
            0.001 * work.get("items", 0) + plan.OVERHEAD[stage]
            for work in works
            if work["stage"] == stage
        )
        for stage in grid.STAGES
    }
    # three corpora with videos of 1.2 seconds, which are drawn
    drawn = (48 * 7 + 8 * 60 + 8 * 36) * 1.2 / plan.DRAWN
    expected = (sum(seconds.values()) + drawn) / 2 + plan.REPORT
    assert before["hours"] == before["hours_missing"]
    assert before["hours"] == pytest.approx(expected / 3600)
    students = sum(run.stage == "student" for run in runs)
    assert before["stages"]["student"]["missing"] == students
    # a finished run is no longer missing
    run, done = next(each for each in zip(runs, works) if each[0].stage == "student")
    settings = run.settings.model_dump(mode="json")
    paths.write_json(run.folder / "result.json", {"settings": settings})
    after = plan.plan("demo", 2)
    assert after["stages"]["student"]["missing"] == students - 1
    assert after["hours"] == before["hours"]
    saved = (0.001 * done["items"] + plan.OVERHEAD["student"]) / 2
    # those alike take what it took
    alike = [
        each for each in runs if each.stage == "student" and (each.settings.dataset, each.settings.backbone, each.settings.sequential)
        == (run.settings.dataset, run.settings.backbone, run.settings.sequential)
    ]  # fmt: skip
    paths.write_json(run.folder / "result.json", {"settings": settings, "seconds": {"wall": 90}})
    longer = len(alike) * (90 - 2 * saved) / 2
    assert plan.plan("demo", 2)["hours"] == pytest.approx((expected + longer) / 3600)
    assert after["hours_missing"] == pytest.approx((expected - saved) / 3600)


def test_hours_on_a_gpu_are_those_of_the_speeds_that_were_measured(own_data, known):
    """A PFLOP of each kind of training takes as long as its speed says; eight GPUs an eighth, but
    no less than the longest run."""
    name, speeds = plan.rates()
    assert name.startswith("H100") and speeds["teacher"]["vgg"] == 220
    prototype = plan.plan("demo", 2)["gpu_hours"]
    networks = [
        {"network": f"{stage} {backbone}", "stage": stage, "backbone": backbone, "tflops_a_second": 2 * speed}
        for (stage, backbone), speed in speeds.items()
    ]  # fmt: skip
    measured = {
        "device": "A card",
        "networks": [*networks, {"network": "x", "left_out": "no time"}],
    }
    paths.write_json(paths.REPORTS / "benchmarks" / "gpu.json", measured)
    after = plan.plan("demo", 2)
    assert after["gpu"] == "A card (speeds measured)"
    assert after["gpu_hours"] == pytest.approx(prototype / 2)
    assert after["gpu_hours"] / 8 <= after["eight_gpu_hours"] < after["gpu_hours"]


def test_each_network_of_the_paper_is_measured_once(own_data, known):
    sizes, steps = {}, {}
    works = [plan.work(run, sizes, steps, Durations()) for run in grid.runs("paper")]
    assert len(sizes) == 3 and len(works) > 9 * len(steps)


@pytest.mark.parametrize("large", [plan.LARGE, 1], ids=["whole batch", "one item"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_an_item_takes_time(stage, setting, large, monkeypatch):
    """The whole network is measured, front end and aggregator included; of a large network the
    beginning of one example."""
    seen = []
    monkeypatch.setattr(plan, "LARGE", large)
    step = Step(small(backbone="vgg", setting=setting), stage, 2)
    build = step.build

    def watched():
        network = build()
        network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
        return network

    step.build = watched
    assert 1e-6 < step.seconds < 5
    items, *shape = seen[-1]
    assert (*shape,) == (*step.shape,)
    assert items == (1 if large == 1 else max(step.at_once // step.items, 1) * step.items)


def test_the_command(own_data, known, capsys):
    assert main(["plan", "demo", "--cores", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suite"] == "demo"
    assert main(["plan", "demo"]) == 0
    told = capsys.readouterr().out
    assert "One H100 (speeds of a prototype): " in told and len(told.splitlines()) < 20
    assert (
        re.search(r": (\d+ days?, )?\d+:\d\d:\d\d for all, ", told)
        and " MB" in told
        and "e-0" not in told
    )
    assert "run(s) side by side" in told and "what is missing" in told and "Disk: " in told
    assert main(["plan", "dem"]) == 2 and "did you mean 'demo'" in capsys.readouterr().err
