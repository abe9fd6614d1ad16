"""Whether ``kill -9`` of papermill, at random moments of a student's run from nothing, leaves a
process behind: ``python -m benchmarks.killed [KILLS]``."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from kdsuite import paths

QUICK = (
    "{corpus: {synthetic: {actors: 2, takes: 14, actors_without_song: [2]}, path: tiny, groups: 2},"
    " training: {epochs: 1, teacher_epochs: 1, cycle: 0.5}}"
)
# seconds that what is left has to see that papermill is gone
PATIENCE = 15


def left(mark: str) -> list[str]:
    """Return the command lines of the processes whose environment holds ``mark``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KDLIB_DATA") == mark and process.status() != "zombie":
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            pass
    return found


def main(kills: int) -> str | None:
    """Start and kill papermill so many times; return what is left, in one sentence."""
    generator, remaining = random.Random(0), 0
    for number in range(kills):
        with tempfile.TemporaryDirectory(prefix="killed-") as place:
            folder = Path(place)
            environment = {
                "KDLIB_DATA": str(folder / "data"),
                "KDLIB_REPORTS": str(folder / "reports"),
            }
            notebook = paths.ROOT / "notebooks" / "03_student.ipynb"
            command = [
                sys.executable,
                "-m",
                "papermill",
                "--no-progress-bar",
                notebook,
                folder / "out.ipynb",
                "-p",
                "backbone",
                "vgg",
                "-y",
                QUICK,
            ]
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            process = subprocess.Popen(command, env={**os.environ, **environment}, **pipes)
            moment = generator.uniform(0, 25)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            until = time.monotonic() + PATIENCE
            while left(environment["KDLIB_DATA"]) and time.monotonic() < until:
                time.sleep(0.2)
            behind = left(environment["KDLIB_DATA"])
            waited = PATIENCE - until + time.monotonic()
            remaining += len(behind)
            print(
                f"{number}: killed after {moment:.1f} s, gone after {waited:.1f} s",
                *behind,
                flush=True,
            )
    return f"{remaining} processes were left behind" if remaining else None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 50))
