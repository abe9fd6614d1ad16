"""The benchmarks work and say what they measured; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from benchmarks import __main__ as entry
from benchmarks import gpu_check, material, peers, report, rivals, timing, together
from kdlib.models.network import build_teacher


@pytest.mark.parametrize(
    "name", [name for name in entry.NAMES if name in ("floor", "device", "preparation", "using")]
)
def test_the_entry_writes_json_and_table(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KDLIB_REPORTS", str(tmp_path))
    monkeypatch.setattr(report.paths, "REPORTS", tmp_path)
    assert entry.main([name, "--quick"]) is None
    found = json.loads((tmp_path / "benchmarks" / f"{name}.json").read_text())
    assert {
        "device",
        "torch",
        "commit",
        "date",
        "threads",
        "goals",
        "rows",
        "notes",
        "not_measured",
    } <= set(found)
    numbers = [
        value
        for row in found["rows"] + found["goals"]
        for value in row.values()
        if isinstance(value, float)
    ]
    assert (
        numbers
        and all(math.isfinite(number) and number >= 0 for number in numbers)
        and max(numbers) > 0
    )
    table = (tmp_path / "benchmarks" / "README.md").read_text()
    assert all(line["what"] in table for line in found["goals"])


def test_unknown_benchmark():
    assert (
        entry.main(["flor"]) == f"unknown benchmark 'flor'; choose from {', '.join(entry.NAMES)}."
    )


def test_ratios_are_medians_of_rounds():
    times = {"ours": [2.0, 3.0, 40.0], "theirs": [1.0, 2.0, 10.0]}
    assert timing.ratio(times, "ours", "theirs")["ratio"] == 2.0


@pytest.mark.parametrize("sign,value,met", [("≤", 1.05, False), ("≥", 1.05, True)])
def test_goals(sign, value, met):
    assert report.goal("x", 1.2, sign, value)["met"] is met


@pytest.mark.parametrize(
    "name,ratios",
    [("peers", ["ratio_to_loop", "to_faster"]), ("together", ["ratio_together", "ratio_stacked"])],
)
def test_rivals_leave_their_ratios(name, ratios, tmp_path, monkeypatch):
    monkeypatch.setenv("KDLIB_REPORTS", str(tmp_path))
    monkeypatch.setattr(report.paths, "REPORTS", tmp_path)
    assert entry.main([name, "--quick"]) is None
    found = json.loads((tmp_path / "benchmarks" / f"{name}.json").read_text())
    assert all(0 < row[ratio] < math.inf for row in found["rows"] for ratio in ratios)
    if name == "together":
        assert found["goals"][0]["met"] or timing.DEVICE.type == "cuda", (
            "trained together, students must be those trained apart"
        )
    else:
        torchdistill = not found["not_measured"]
        assert all(("ratio_to_torchdistill" in row) == torchdistill for row in found["rows"])


def test_a_sweep_is_the_sum_of_its_parts():
    """Two methods, by hand: 10 α × 5 epochs = 50 epochs of each."""
    ratios = {"ratio_to_loop": 0.125, "ratio_to_torchdistill": 0.25, "ratio_to_decoding": 0.5}
    rows = [
        {"seconds": 0.5, "teacher_once": 3.0, **ratios},
        {"seconds": 0.25, "teacher_once": 2.0, **ratios},
    ]
    assert peers.swept(rows, decoding=7.0, epochs=5) == {
        "kdlib": 7 + 3 + 50 * 0.75, "loop": 50 * 6.0, "torchdistill in memory": 7 + 50 * 3.0, "torchdistill": 50 * (3.0 + 1.5),
    }  # fmt: skip
    alone = [
        {key: value for key, value in row.items() if key != "ratio_to_torchdistill"} for row in rows
    ]
    assert set(peers.swept(alone, decoding=7.0, epochs=5)) == {"kdlib", "loop"}


@pytest.mark.skipif(
    find_spec("torchdistill") is None, reason="without it the quick form is already that"
)
def test_without_torchdistill_the_loop_is_measured(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "torchdistill.core.distillation", None
    )  # as if it were not installed
    monkeypatch.setattr(peers, "STUDENTS", peers.STUDENTS[:1])
    found = peers.measure(quick=True)
    assert "torchdistill" in found["not_measured"][0]
    assert all(row["to_faster"] == row["ratio_to_loop"] for row in found["rows"])
    assert "torchdistill" not in found["sweep"]["seconds"]


@pytest.fixture
def small(request):
    """Settings whose crop is a whole recording, a store of such recordings and a frozen teacher."""
    settings = material.sized(
        "demo", setting=request.param, backbone="resnet", training={"batch_size": 4}
    )
    longer = material.noise(settings, 8, frames=True)
    frames = round(settings.media.duration * settings.media.fps)
    waveforms = longer.waveforms.windows(
        torch.arange(8), torch.zeros(8, dtype=torch.long), frames * 640
    )
    cut = {
        "waveforms": waveforms,
        "frames": torch.stack([longer.frames[row][:frames] for row in range(8)]),
    }
    rows = {
        name: material.Ragged.of(values.flatten(0, 1), torch.full((8,), values.shape[1]))
        for name, values in cut.items()
    }
    store = material.Store(**{**longer.__dict__, **rows}).to(timing.DEVICE)
    torch.manual_seed(0)
    return (
        settings,
        store,
        build_teacher(settings, material.CLASSES, store.frames.values.shape[1:])
        .to(timing.DEVICE)
        .eval(),
    )


@pytest.mark.parametrize("small", material.SETTINGS, indirect=True)
def test_online_teachers_say_what_kdlib_keeps(small):
    settings, store, network = small
    told, _ = peers.asked(settings, store, network)
    rows = torch.arange(8, device=store.device)
    kept = told.targets(rows, torch.zeros_like(rows), settings, timed=True)
    frames = torch.stack([store.frames[row][:: settings.media.frame_stride] for row in rows])
    said = rivals.OnlineTeacher(settings, network)(frames)
    torch.testing.assert_close(said.embedding, kept.embedding)
    if settings.setting != "em":
        torch.testing.assert_close(said.probabilities, kept.probabilities)


@pytest.mark.parametrize("small", material.SETTINGS, indirect=True)
def test_torchdistill_trains_what_the_loop_trains(small, monkeypatch):
    """The box with its hooks, against the same steps by hand on the same batches."""
    pytest.importorskip("torchdistill.core.distillation")
    settings, store, network = small
    made = []
    monkeypatch.setattr(
        rivals, "Guided", lambda *given, kind=rivals.Guided: made.append(kind(*given)) or made[-1]
    )
    torch.manual_seed(1)
    epoch = rivals.hooked(settings, store, network)
    torch.manual_seed(1)
    student = rivals.Guided(settings, len(store.classes))
    torch.testing.assert_close(made[0].state_dict(), student.state_dict(), rtol=0, atol=0)
    before = flat(student)
    torch.manual_seed(2)
    epoch()
    low, high = settings.training.learning_rate
    optimizer, online = (
        torch.optim.Adam(student.parameters(), lr=low, betas=settings.training.betas),
        rivals.OnlineTeacher(settings, network),
    )
    torch.manual_seed(2)
    for step, (x, frames, labels) in enumerate(rivals.cropped(settings, store)):
        optimizer.param_groups[0]["lr"] = low + (high - low) * step / (
            settings.training.cycle * 2
        )  # two steps an epoch
        output, targets = student(x), online(frames)
        loss = torch.nn.functional.cross_entropy(output.logits, labels)
        loss = loss + settings.alpha * (output.distilled - targets.embedding).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # not weight by weight: Adam makes steps even of gradients that are nothing but rounding
    assert (flat(made[0]) - flat(student)).norm() < 0.02 * (flat(student) - before).norm()


def flat(module):
    """Return all weights as one vector."""
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


@pytest.fixture(params=["nonseq", "agg"])
def group(request):
    """Settings of two α, and what their students learn from."""
    given = {"setting": request.param, "backbone": "resnet", "training": together.TRAINING}
    settings = [material.sized("demo", alpha=alpha, **given) for alpha in (0.25, 1.0)]
    store = material.noise(settings[0], 8)
    return settings, store, material.fold_of(store), material.told(settings[0], store)


def test_students_trained_together_are_those_trained_apart(group):
    apart = together.apart(*group)
    np.testing.assert_allclose(
        together.together(*group), apart, rtol=0, atol=0 if timing.DEVICE.type == "cpu" else 1e-3
    )
    assert np.abs(apart[0] - apart[1]).max() > 1e-4, "students of different α must differ"


@pytest.fixture
def in_float64(monkeypatch):
    """Networks and sound in double precision, where rounding does not grow into the numbers that
    are compared."""
    audio = material.Store.audio
    monkeypatch.setattr(material.Store, "audio", lambda *given: audio(*given).double())
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_students_with_stacked_weights_are_those_trained_together(in_float64, group):
    np.testing.assert_allclose(
        together.stacked(*group), together.together(*group), rtol=0, atol=1e-6
    )


def test_ways_that_cannot_go_are_told(monkeypatch):
    def hungry(*given):
        raise RuntimeError("out of memory\nand much more")

    monkeypatch.setattr(together, "stacked", hungry)
    row, missing = together.compared("demo", "vgg", "nonseq", 8, (0, 1))
    assert missing == ["stacked with vgg nonseq: out of memory"]
    assert "ratio_together" in row and "ratio_stacked" not in row


def test_the_check_of_a_gpu_works_on_a_cpu(tmp_path, monkeypatch, capsys):
    """In its smallest form: one backbone, networks and file as on a GPU."""
    monkeypatch.setattr(gpu_check, "BACKBONES", ("vgg",))
    output = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--device", "cpu", "--output", str(output)])
    assert gpu_check.main() == 0, capsys.readouterr().out
    results = json.loads(output.read_text())
    assert [row["largest_difference"] for row in results["end_to_end"]] == [0, 0]
    assert [row["network"] for row in results["networks"]] == [
        f"{stage} vgg {setting}"
        for stage in ("student", "teacher")
        for setting in ("nonseq", "em", "agg")
    ]
    assert all(row["tflops_a_second"] > 0 for row in results["networks"])
    assert results["fold"]["epoch_by_steps"] > 0.5 and results["failures"] == []


def test_what_fails_on_a_gpu_is_told_and_the_rest_goes_on(monkeypatch):
    def waits(device):
        raise RuntimeError("called a synchronizing CUDA operation")

    for part in ("end_to_end", "networks", "fold_of_ravdess"):
        monkeypatch.setattr(gpu_check, part, lambda device, until=None: [])
    monkeypatch.setattr(gpu_check, "waits", waits)
    results = gpu_check.measure(torch.device("cpu"))
    assert results["failures"] == [
        "waits_in_a_step: RuntimeError: called a synchronizing CUDA operation"
    ]
    assert results["networks"] == []


def test_the_check_of_a_gpu_needs_kdlib_alone():
    code = "import sys, benchmarks.gpu_check; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    absent = {
        "kdsuite",
        "papermill",
        "moviepy",
        "matplotlib",
        "seaborn",
        "IPython",
        "pandas",
        "sklearn",
        "safetensors",
    }
    assert not absent & {*done.stdout.split()}
