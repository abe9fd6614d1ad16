"""How fast a student answers: seconds of sound for a second of work on one core.

Untrained students of the paper's size, for each backbone with and without aggregator; the time does
not hang on the weights. Stereo files of 1 to 60 s are predicted, reading included.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import kdlib
from benchmarks import report, timing
from kdlib.models.network import BACKBONES, build_student
from kdsuite.runs import student_file
from kdsuite.settings import Settings

SECONDS, FORMATS, RATE = (1, 4, 15, 60), (".wav", ".mp3"), 44100


def untrained(folder: Path) -> list[Path]:
    """Write a student of each backbone and setting in the paper's size, and return the files."""
    files = []
    for backbone in BACKBONES:
        for setting in ("nonseq", "agg"):
            settings = Settings(backbone=backbone, setting=setting)
            facts = {
                "classes": [f"class-{number}" for number in range(7)], "settings": settings.model_dump(mode="json"),
                "fold": {}, "verification": None, "provenance": {},
            }  # fmt: skip
            files.append(folder / f"{backbone}-{setting}.safetensors")
            student_file.write(files[-1], build_student(settings, 7).eval(), facts)
    return files


def measure(quick: bool) -> dict[str, Any]:
    """Return, for each student, length and format, how many times faster than real time it answers."""
    torch.set_num_threads(1)
    rows, repeats = [], 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        sounds = {}
        for seconds in SECONDS[: 1 if quick else None]:
            for ending in FORMATS:
                sounds[seconds, ending] = Path(folder) / f"{seconds}{ending}"
                soundfile.write(
                    sounds[seconds, ending],
                    0.1 * np.random.default_rng(0).normal(size=(RATE * seconds, 2)),
                    RATE,
                )
        for path in untrained(Path(folder))[:: 4 if quick else 1]:
            loaded = kdlib.load_student(path)
            for (seconds, ending), file in sounds.items():
                loaded.predict(file)  # the first one does not count
                fastest = min(timing.seconds(partial(loaded.predict, file)) for _ in range(repeats))
                rows.append(
                    {
                        "student": path.stem,
                        "seconds": seconds,
                        "format": ending[1:],
                        "times_real": round(seconds / fastest, 2),
                    }
                )
    slowest = min(rows, key=lambda row: row["times_real"])
    what = f"seconds of sound for one of work on one core, slowest ({slowest['student']}, {slowest['seconds']} s of {slowest['format']})"
    return {
        "goals": [report.goal(what, slowest["times_real"], "≥", 1)],
        "rows": rows,
        "notes": [],
        "not_measured": [],
    }


if __name__ == "__main__":
    report.main("using", measure)
