"""Do a suite's numbers come out again? A random sample of its finished runs, run once more
elsewhere and compared number by number.

    python -m kdlib reproduce demo --sample 3        # make verify SUITE=demo SAMPLE=3

On one machine, with the same packages and threads, every number has the same bits.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdlib.errors import UserError
from kdsuite import paths
from kdsuite.runs import grid
from kdsuite.runs.run import Run

# of a result: what differs by nature, or says how it was made
IGNORED = ("settings", "seconds", "provenance", "finished")
TABLES = ("predictions.csv", "trials.csv")
SHOWN = 10  # differences a run


def reproduce(suite: str, count: int = 3, seed: int = 0, from_scratch: bool = False) -> bool:
    """Run ``count`` finished runs of a suite again, print what differs, and return whether nothing
    does; raise UserError where no run is finished.

    ``seed`` draws the runs. Trained teachers are used again unless ``from_scratch``, which trains
    them anew too; recordings are not decoded again.
    """
    done = [run for run in grid.runs(suite) if (run.folder / TABLES[0]).exists() and run.done]
    if not done:
        raise UserError(
            "no run of this suite is done, so there is nothing to compare with; make reports runs them."
        )
    done.sort(key=lambda run: run.name)
    same = True
    for run in random.Random(seed).sample(done, min(count, len(done))):
        with tempfile.TemporaryDirectory(prefix="kdlib-") as scratch:
            lines = list(_again(run, Path(scratch), from_scratch))
        print(f"{run.name}: {lines[0] if lines else 'every number is the same'}")
        print(*(f"    {line}\n" for line in lines[1:]), sep="", end="", flush=True)
        same &= not lines
    return same


def _again(run: Run, scratch: Path, from_scratch: bool) -> Iterator[str]:
    """Run a run again below ``scratch`` and yield what differs."""
    (scratch / "data").mkdir()
    for name in ("corpora", "stores", *([] if from_scratch else ["teachers"])):
        if (paths.DATA / name).exists():
            (scratch / "data" / name).symlink_to(paths.DATA / name)
    environment = {"KDLIB_DATA": f"{scratch}/data", "KDLIB_REPORTS": f"{scratch}/reports"}
    # sums of other parts round otherwise
    if threads := re.search(r"(\d+) thread", run.result["device"]):
        environment["OMP_NUM_THREADS"] = threads[1]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "--engine", "kdlib", "--no-progress-bar", run.notebook,
         scratch / "notebook.ipynb", "-y", grid.as_yaml(run.given)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["nothing was said"]
        yield f"the run failed: {lines[-1]}"
        return
    again = scratch / "reports" / run.folder.relative_to(paths.REPORTS)
    if lines := list(differences(run.folder, again)):
        yield f"{len(lines)} numbers differ"
        yield from lines[:SHOWN]
        before, after = (_contents(folder)["provenance"] for folder in (run.folder, again))
        yield from (f"provenance: {line}" for line in _changed(before, after))


def differences(before: Path, after: Path) -> Iterator[str]:
    """Yield a line for each number that differs between two folders of one run."""
    return _changed(_contents(before), _contents(after))


def _contents(folder: Path) -> dict[str, Any]:
    """Return a run's result, and the rows of its tables."""
    contents = json.loads((folder / "result.json").read_text())
    for file in filter(Path.exists, (folder / name for name in TABLES)):
        with open(file, newline="", encoding="utf-8") as stream:
            contents[file.name] = list(csv.DictReader(stream))
    return contents


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each leaf of two nested mappings that is not the same in both."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for name in old | new:
        if old.get(name) != new.get(name):
            yield f"{name} was {old.get(name)!r}, is {new.get(name)!r}"


def _leaves(value: Any, *place: object) -> Iterator[tuple[str, Any]]:
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if isinstance(inner, dict):
        for name in inner:
            if name not in IGNORED:
                yield from _leaves(inner[name], *place, name)
    else:
        yield ".".join(map(str, place)), value
