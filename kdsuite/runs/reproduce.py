"""Do a suite's numbers come out again? A random sample of its finished runs, run once more
elsewhere and compared number by number.

    python -m kdlib reproduce demo --sample 3        # make verify SUITE=demo SAMPLE=3

On one machine, with the same packages and threads, every number has the same bits.
"""

from __future__ import annotations

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
from kdsuite import places
from kdsuite.runs import grid

# of a result: what is told elsewhere, or differs by nature
BESIDE = ("settings", "seconds", "provenance", "finished")
ANSWERS = ("predictions.csv", "trials.csv")
SHOWN = 10  # differences a run


def reproduce(suite: str, count: int = 3, seed: int = 0, from_scratch: bool = False) -> bool:
    """Run ``count`` finished runs of a suite again, print what differs, and return whether nothing
    does.

    Teachers that are kept are used again unless ``from_scratch``, which trains them anew too;
    recordings are not decoded again.
    """
    same = True
    for run in sample(grid.runs(suite), count, seed):
        with tempfile.TemporaryDirectory(prefix="kdlib-") as scratch:
            told = list(_again(run, Path(scratch), from_scratch))
        print(
            f"{_name(run)}: {told[0] if told else 'every number is the same'}",
            *told[1:],
            sep="\n    ",
            flush=True,
        )
        same &= not told
    return same


def sample(runs: list[grid.Run], count: int, seed: int) -> list[grid.Run]:
    """Return ``count`` of the runs that are done and left predictions, the same ones for the same
    seed; raise UserError where there is none."""
    done = sorted(
        (run for run in runs if (run.folder / ANSWERS[0]).exists() and run.done), key=_name
    )
    if not done:
        raise UserError(
            "no run of this suite is done, so there is nothing to compare with; make reports runs them."
        )
    return random.Random(seed).sample(done, min(count, len(done)))


def _name(run: grid.Run) -> str:
    return f"{run.settings.dataset}/{run.stage}/{run.key}"


def _again(run: grid.Run, scratch: Path, from_scratch: bool) -> Iterator[str]:
    """Run a run again below ``scratch`` and yield what differs."""
    (scratch / "data").mkdir()
    for name in ("corpora", "stores") if from_scratch else ("corpora", "stores", "teachers"):
        if (places.DATA / name).exists():
            (scratch / "data" / name).symlink_to(places.DATA / name)
    kept = json.loads((run.folder / "result.json").read_text())
    environment = {
        **os.environ,
        "KDLIB_DATA": str(scratch / "data"),
        "KDLIB_REPORTS": str(scratch / "reports"),
    }
    if threads := re.search(
        r"(\d+) thread", kept["provenance"]["device"]
    ):  # sums of other parts round otherwise
        environment["OMP_NUM_THREADS"] = threads[1]
    command = [sys.executable, "-m", "papermill", "--engine", "kdlib", "--no-progress-bar"]
    command += [
        places.ROOT / "notebooks" / f"{grid.STAGES[run.stage]}.ipynb",
        scratch / "notebook.ipynb",
        "-y",
        grid.as_yaml(run.given),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        yield f"the run failed: {([line for line in done.stderr.splitlines() if line.strip()] or ['nothing was said'])[-1]}"
        return
    home = scratch / "reports" / run.folder.relative_to(places.REPORTS)
    found = list(differences(run.folder, home))
    yield from [f"{len(found)} numbers or files differ", *found[:SHOWN]] if found else []
    if found:
        yield from (
            f"provenance: {line}"
            for line in changed(
                kept["provenance"], json.loads((home / "result.json").read_text())["provenance"]
            )
        )


def differences(kept: Path, now: Path) -> Iterator[str]:
    """Yield a line for each number and each file of answers that differs between two folders of one
    run."""
    yield from changed(
        *(json.loads((folder / "result.json").read_text()) for folder in (kept, now))
    )
    for name in ANSWERS:
        if (kept / name).exists() and (kept / name).read_bytes() != (now / name).read_bytes():
            yield f"{name}: {_apart(kept / name, now / name)}"


def changed(kept: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each leaf of two nested mappings that is not the same in both."""
    before, after = dict(_leaves(kept)), dict(_leaves(now))
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield f"{name} was {before.get(name)!r}, is {after.get(name)!r}"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    if inner is None:
        yield name, value
        return
    for key, part in inner:
        if key not in BESIDE:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))


def _apart(kept: Path, now: Path) -> str:
    """Return in how many rows two tables of answers differ, and by how much."""
    import pandas as pd

    before, after = pd.read_csv(kept), pd.read_csv(now)
    if list(before) != list(after) or len(before) != len(after):
        return f"{len(before)} rows and {len(before.columns)} columns were, {len(after)} and {len(after.columns)} are"
    rows = (before.ne(after) & ~(before.isna() & after.isna())).any(axis=1).sum()
    most = (before.select_dtypes("number") - after.select_dtypes("number")).abs().max(axis=None)
    return f"{rows} of {len(before)} rows differ, numbers by up to {most:.2g}"
