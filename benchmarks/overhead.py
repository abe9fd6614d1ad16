"""How much of one student run is not training: interpreter, kernel, imports, pictures and files.

    python benchmarks/overhead.py [REPEATS]

Runs ``03_student`` with one epoch on a store and teacher that are already there, and compares the whole command's wall
time with the seconds its ``result.json`` says were training. Nothing else should run beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIVEN = {"backbone": "vgg", "training": {"epochs": 1, "teacher_epochs": 1}}


def run(folder: Path) -> tuple[float, float]:
    """Return wall seconds of one command and the seconds of training in it."""
    environment = {**os.environ, "KDLIB_REPORTS": str(folder / "reports")}
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        ROOT / "notebooks" / "03_student.ipynb",
        folder / "out.ipynb",
        "-y",
        json.dumps(GIVEN),
    ]
    began = time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    wall = time.monotonic() - began
    (result,) = folder.glob("reports/runs/*/student/*/result.json")
    return wall, json.loads(result.read_text())["seconds"]["device"]


def main(repeats: int) -> None:
    """Print each run's seconds; the first fills the caches and does not count."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))
        for _ in range(repeats):
            wall, training = run(Path(folder))
            print(f"whole command {wall:.1f} s, training {training:.1f} s, the rest {wall - training:.1f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
