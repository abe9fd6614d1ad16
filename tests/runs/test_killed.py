"""kill -9 at any moment, or a full disk, in any stage: the next command goes on, and ends with the
bits of a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import operator
import os
import random
import signal
import subprocess
import sys
from itertools import count

import nbformat
import pytest

from kdsuite import paths
from kdsuite.analysis import pages
from kdsuite.analysis.suite import Suite
from kdsuite.runs import grid
from kdsuite.runs.grid import Run
from kdsuite.settings import load

RUN = """
from kdsuite.data.folds import chosen_folds
from kdsuite.runs import results, stages
from kdsuite.settings import load
from kdsuite.runs.run import Run
from kdsuite.runs.stages import prepare

settings = load(
    backbone="seresnet", setting="em", corpus={"path": "tiny", "synthetic": {"actors": 2, "takes": 7, "actors_without_song": [1, 2], "seconds": 1.2}, "groups": 2},
    media={"frame_size": 32, "frame_stride": 5, "duration": 1.6, "segment": 0.8, "bins": 16, "hop": 0.04, "window": 0.03},
    model={"embedding": 8, "width": 0.05, "teacher_width": 0.03, "reduction": 4, "teacher_layers": 2},
    training={"epochs": 5, "teacher_epochs": 3, "cycle": 0.5, "checkpoint": 0.0, "teacher_frames": 2},
)
print("begun", flush=True)
data = prepare(settings)
folds = chosen_folds(data.recordings, settings)
run = Run("student", settings)
students = stages.students(run, data, folds, stages.teachers(settings, data, folds))
predictions = results.predictions(data, folds, {number: trained.probabilities for number, trained in students.items()})
history = {number: trained.history for number, trained in students.items()}
results.write(run, results.RunResult(store=data, predictions=predictions, history=history))
"""
KILLS = 4
STAGES = ("corpora", "stores", "teachers")


def start(folder, **options):
    environment = {
        **os.environ,
        "KDLIB_DATA": str(folder / "data"),
        "KDLIB_REPORTS": str(folder / "reports"),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=environment,
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def bits(folder):
    """Return a hash of the store, of the teachers' targets of every frame in it, and of the
    predictions."""
    names = (
        "waveforms.bin",
        "frames.bin",
        "recordings.jsonl",
        "targets.safetensors",
        "predictions.csv",
    )
    files = [file for name in names for file in sorted(folder.rglob(name))]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a run that nobody disturbs, and what it printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder)
    lines = process.stdout.read().splitlines()
    assert process.wait() == 0
    return folder, lines


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(tmp_path, undisturbed):
    lines = undisturbed[1]
    generator, killed = random.Random(0), 0
    for _ in range(KILLS):
        process = start(tmp_path / "killed")
        # after so many printed lines: those of preparation, teachers and students, of which a
        # killed run has fewer to print
        for _ in range(generator.randrange(1, len(lines) // 2)):
            if not process.stdout.readline():
                break
        else:
            killed += 1
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    last = start(tmp_path / "killed")
    assert last.stdout.read() and last.wait() == 0 and killed >= KILLS // 2
    found, expected = bits(tmp_path / "killed"), bits(undisturbed[0])
    assert len(expected) == 6 and found == expected
    assert not list((tmp_path / "killed").rglob("*epochs.pt"))


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, and how to give it a size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*arguments: str) -> bool:
        return (
            subprocess.run(["mount", *arguments, str(folder)], capture_output=True).returncode == 0
        )

    if not mount("-t", "tmpfs", "-o", "size=16k", "tmpfs"):
        pytest.skip("only root can mount a small disk")
    yield folder, lambda kilobytes: mount("-o", f"remount,size={kilobytes}k")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def kilobytes(folder) -> float:
    """Return what the files of a folder take in pages of 4 kB."""
    return sum(4 * -(-file.stat().st_size // 4096) for file in folder.rglob("*") if file.is_file())


def test_on_a_full_disk_a_run_says_so_and_goes_on_when_there_is_room(disk, undisturbed):
    folder, resize = disk
    reached, needed = [], [kilobytes(undisturbed[0] / "data" / name) for name in STAGES]
    # too few for the recordings, the store, the teachers; students need less than these
    for share in ((0.5, 0, 0), (1, 0.5, 0), (1, 1, 0.6)):
        assert resize(round(sum(map(operator.mul, share, needed))))
        process = start(folder, stderr=subprocess.PIPE)
        said = process.communicate()[1].splitlines()
        reached.append(sum((folder / "data" / name).exists() for name in STAGES))
        assert (
            process.returncode
            and f"FullDisk: the disk of {folder}" in said[-1]
            and "free some space and start this again" in said[-1]
        ), said
        assert not list(folder.rglob("result.json"))
    assert reached == [1, 2, 3]
    assert resize(2**20)
    last = start(folder)
    assert last.stdout.read() and last.wait() == 0 and bits(folder) == bits(undisturbed[0])


def leave(run: Run) -> None:
    """Leave what a finished run does."""
    run.folder.mkdir(parents=True)
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(run.key)]),
        run.folder / "notebook.ipynb",
    )
    paths.write_json(
        run.folder / "result.json", {"folds": [{"fold": 0, "uar": 0.5, "recordings": 9}]}
    )


def killed_at(write: int):
    """Return an ``os.replace`` that does not live to do its so-many-th work, counted from 0."""
    calls = count()

    def replace(*names):
        if next(calls) == write:
            os.kill(os.getpid(), signal.SIGKILL)
        os.rename(*names)

    return replace


def test_a_report_killed_at_any_write_is_made_whole_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    runs = [
        Run(stage, load(alpha=alpha))
        for stage, alpha in (("data", 0.5), ("teacher", 0.5), ("student", 0.0), ("student", 0.5))
    ]
    monkeypatch.setattr(grid, "runs", lambda name: runs)
    monkeypatch.setattr(grid, "known", lambda name: [])
    # the documentation and the notebooks that no run executed would only take time
    monkeypatch.setattr(pages.notebooks, "documentation", lambda: [])
    monkeypatch.setattr(pages, "_sources", lambda folder="": [])

    def build(name):
        suite = Suite("demo")
        suite.folder = tmp_path / name
        return pages.build(suite)

    for run in runs[:3]:
        leave(run)
    half = build("killed").read_text()
    leave(runs[3])
    whole = build("whole")

    for writes in count():
        if not (child := os.fork()):
            monkeypatch.setattr(os, "replace", killed_at(writes))
            build("killed")
            os._exit(0)
        alive = os.waitpid(child, 0)[1] == 0
        written = {
            str(page.relative_to(tmp_path / "killed")): page.read_text()
            for page in (tmp_path / "killed").rglob("[!.]*.html")
        }
        assert written["index.html"] in (half, whole.read_text())
        assert not [name for name, page in written.items() if not page.rstrip().endswith("</html>")]
        if alive:
            break
    assert (
        writes > 6
        and written == {name: (whole.parent / name).read_text() for name in written}
        and len(written) > 5
    )
