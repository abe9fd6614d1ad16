"""kill -9 at any moment, in any stage: the next command goes on, and ends with the bits of a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys

from kdlib import places

RUN = """
from kdlib import corpora, results, student, teacher
from kdlib.settings import load
from kdlib.store import prepare

settings = load(
    backbone="seresnet", setting="em", corpus={"path": "tiny", "synthetic": {"actors": 2, "takes": 14, "actors_without_song": []}, "groups": 2},
    training={"epochs": 5, "teacher_epochs": 3, "checkpoint": 0.0},
)
print("begun", flush=True)
data = prepare(settings)
folds = corpora.chosen_folds(data.recordings, settings)
students = student.train_folds(settings, data, folds, teacher.ensure(settings, data, folds))
told = results.predictions(data, folds, {number: trained.probabilities for number, trained in students.items()})
results.write(settings, "student", data, {"history": {number: trained.history for number, trained in students.items()}}, told)
"""
KILLS = 4


def start(folder):
    environment = {**os.environ, "KDLIB_DATA": str(folder / "data"), "KDLIB_REPORTS": str(folder / "reports"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN], env=environment, cwd=places.ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def bits(folder):
    """Return a hash of what the teachers say of every frame in the store, and of the predictions.

    Not of the store's own files: recordings lie there in the order in which they were done.
    """
    files = [file for name in ("targets.safetensors", "predictions.csv") for file in sorted(folder.rglob(name))]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(tmp_path):
    undisturbed = start(tmp_path / "undisturbed")
    lines = undisturbed.stdout.read().splitlines()
    assert undisturbed.wait() == 0
    luck, killed = random.Random(0), 0
    for _ in range(KILLS):
        process = start(tmp_path / "killed")
        # after so many printed lines: those of preparation, teachers and students, of which a killed run has fewer to print
        for _ in range(luck.randrange(1, len(lines) // 2)):
            if not process.stdout.readline():
                break
        else:
            killed += 1
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    last = start(tmp_path / "killed")
    assert last.stdout.read() and last.wait() == 0 and killed >= KILLS // 2
    found, expected = bits(tmp_path / "killed"), bits(tmp_path / "undisturbed")
    assert len(expected) == 3 and found == expected
    assert not list((tmp_path / "killed").rglob("*epochs.pt"))
