"""How fast a student answers: seconds of sound for a second of work on one core.

    python benchmarks/using.py [STUDENT] [REPEATS]

Without a student it takes untrained ones of the paper's size, for each backbone with and without aggregator; the time does not
hang on the weights. Stereo files of 1 to 60 s are predicted, reading included, each REPEATS times after one that does not
count. The last line is JSON: the lowest ratio of all. Nothing else should run beside it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402

import kdlib  # noqa: E402
from kdlib import kept  # noqa: E402
from kdlib.models.networks import BACKBONES, build_student  # noqa: E402
from kdlib.settings import Settings  # noqa: E402

SECONDS = (1, 4, 15, 60)
FORMATS = ((".wav", 44100), (".mp3", 44100))


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
            kept.write(files[-1], build_student(settings, 7).eval(), facts)
    return files


def ratio(work, file: Path, seconds: float, repeats: int) -> float:
    """Return seconds of sound for a second of work, at the best of ``repeats``."""
    work(file)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work(file)
        times.append(time.perf_counter() - began)
    return seconds / min(times)


def main(student: Path | None, repeats: int) -> None:
    """Print a line for each student, length and format."""
    torch.set_num_threads(1)
    lowest = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for path in [student] if student else untrained(Path(folder)):
            began = time.perf_counter()
            loaded = kdlib.load_student(path)
            print(f"{path.stem}: loaded in {time.perf_counter() - began:.2f} s", flush=True)
            for seconds in SECONDS:
                told = {}
                for ending, rate in FORMATS:
                    file = Path(folder) / f"sound{ending}"
                    soundfile.write(file, 0.1 * np.random.default_rng(0).normal(size=(rate * seconds, 2)), rate)
                    told[ending] = ratio(loaded.predict, file, seconds, repeats)
                lowest = min(lowest, *told.values())
                print(f"  {seconds:2d} s: " + ", ".join(f"{ending} {value:.1f}" for ending, value in told.items()), flush=True)
    print(json.dumps({"lowest_ratio": round(lowest, 2)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
