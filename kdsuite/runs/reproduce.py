"""Do a suite's numbers come out again? A random sample of its finished runs, run once more
elsewhere and compared number by number.

    python -m kdlib reproduce demo --sample 3        # make verify SUITE=demo SAMPLE=3

On one CPU, with the same packages and threads, every number has the same bits. On a GPU metrics may
differ, fold by fold, by what another training of the same network would change.
"""

import csv
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from kdlib.errors import UserError
from kdsuite import paths
from kdsuite.runs import grid

# of a result: what differs by nature, or says how it was made
IGNORED = {"settings", "seconds", "finished"}
TABLES = ("predictions.csv", "trials.csv")
SHOWN = 10  # differences a run
# change of a metric's mean over folds on a GPU that is not called chance, whatever its folds say
LARGEST = 0.05


def reproduce(suite: str, sample: int = 3, seed: int = 0, from_scratch: bool = False) -> bool:
    """Run ``sample`` finished runs of a suite again, print what differs, and return whether nothing
    does; raise UserError where no run is finished.

    ``seed`` draws the runs. Trained teachers are used again unless ``from_scratch``, which trains
    them again too; recordings are not decoded again.
    """
    done = [
        run
        for run in grid.runs(suite)
        if (run.folder / TABLES[0]).exists() and run.result.get("folds")
    ]
    if not done:
        raise UserError(
            "no run of this suite is done, so there is nothing to compare with; make reports runs"
            " them."
        )
    done.sort(key=lambda run: run.name)
    same = True
    for run in random.Random(seed).sample(done, min(sample, len(done))):
        with tempfile.TemporaryDirectory(prefix="kdlib-") as scratch:
            lines = _again(run, Path(scratch), from_scratch)
        fine = "within the spread of trainings" if _spread(run) else "every number is the same"
        print(f"{run.name}:", "\n    ".join(lines or [fine]), flush=True)
        same &= not lines
    return same


def _spread(run):
    """Return whether the run's numbers repeat but for the spread of trainings, as on a GPU."""
    return run.result.get("repeat") == "spread"


def _again(run, scratch, from_scratch):
    """Run a run again below ``scratch`` and return what differs."""
    (scratch / "data").mkdir()
    for name in ("corpora", "stores", *(() if from_scratch else ["teachers"])):
        if (paths.DATA / name).exists():
            (scratch / "data" / name).symlink_to(paths.DATA / name)
    environment = {"KDLIB_DATA": f"{scratch}/data", "KDLIB_REPORTS": f"{scratch}/reports"}
    # sums of other parts round otherwise
    if threads := re.search(r"(\d+) thread", run.result["device"]):
        environment["OMP_NUM_THREADS"] = threads[1]
    done = subprocess.run(
        [sys.executable, "-m", "kdlib", "run", run.stage, "-y", grid.as_yaml(run.given)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    if done.returncode:
        return [f"the run failed: {(done.stderr.strip() or 'nothing was said').splitlines()[-1]}"]
    again = scratch / "reports" / run.folder.relative_to(paths.REPORTS)
    lines = (beyond_spread if _spread(run) else differences)(run.folder, again)
    numbers = [line for line in lines if not line.startswith("provenance")]
    if not numbers:
        return []
    provenance = [line for line in lines if line not in numbers]
    return [f"{len(numbers)} numbers differ", *numbers[:SHOWN], *provenance]


def differences(before: Path, after: Path) -> list[str]:
    """Return a line for each number, and each entry of the provenance, that differs between two
    folders of one run."""
    old, new = (dict(_leaves(_contents(folder))) for folder in (before, after))
    return [
        f"{name} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in old | new
        if old.get(name) != new.get(name)
    ]


def beyond_spread(before: Path, after: Path) -> list[str]:
    """Return a line for each metric whose mean over folds has changed, in two folders of one run,
    by more than chance.

    That is by more than :data:`LARGEST`, or significantly at 5 %: paired t test of the folds, which
    have the same recordings and seed.
    """
    old, new = (
        pd.DataFrame(_contents(folder)["folds"]).set_index("fold") for folder in (before, after)
    )
    change = (new - old).drop(columns="recordings", errors="ignore")
    with np.errstate(divide="ignore", invalid="ignore"):  # one fold has no p value
        p = stats.ttest_1samp(change, 0.0).pvalue
    wrong = (change.mean().abs() > LARGEST) | (p < 0.05)
    return [
        f"metrics.{name} was {old[name].mean():.4g}, is {new[name].mean():.4g}, beyond the spread"
        " of trainings"
        for name in change.columns[wrong]
    ]


def _contents(folder):
    """Return a run's result, and the rows of its tables."""
    contents = json.loads((folder / "result.json").read_text())
    for file in filter(Path.exists, (folder / name for name in TABLES)):
        contents[file.name] = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    return contents


def _leaves(value, *place):
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if isinstance(inner, dict):
        for name in [name for name in inner if name not in IGNORED]:
            yield from _leaves(inner[name], *place, name)
    else:
        yield ".".join(map(str, place)), value
