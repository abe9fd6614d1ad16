"""What one sees of a suite while Snakemake runs it: a line for each finished run, with what is
left."""

import logging
import sys
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from statistics import mean

from kdsuite.runs.run import Run


class Durations:
    """The seconds that runs took, by what decides about them: stage, dataset, backbone, and whether
    the networks have an aggregator."""

    def __init__(self) -> None:
        self.seconds = defaultdict(list)

    def add(self, run: Run) -> None:
        """Take note of a run that is done."""
        wall = run.result.get("wall", 0)
        for kind in _kinds(run) if wall > 0 else ():
            self.seconds[kind].append(wall)

    def expected(self, run: Run, alike: bool = False) -> float | None:
        """Return the mean seconds of those most like a run; None where none of its stage was seen,
        or none that is ``alike`` in all of that."""
        kinds = _kinds(run)[: 1 if alike else None]
        return next((mean(self.seconds[kind]) for kind in kinds if kind in self.seconds), None)


def _kinds(run):
    """Return what decides about the seconds of a run, the most exact first."""
    of = run.settings
    kind = run.stage, of.dataset, of.backbone, of.sequential
    return [kind[:length] for length in range(len(kind), 0, -1)]


class Finished:
    """A filter of Snakemake's messages: prints a line for each of ``runs``, by folder, that is
    finished, and lets only warnings, errors and what a cluster says through.

    So many ``cores`` run side by side.
    """

    def __init__(self, runs: dict[Path, Run], cores: int) -> None:
        self.runs, self.cores, self.jobs, self.durations = runs, cores, {}, Durations()
        self.left = dict(runs)
        for folder, run in runs.items():
            if run.done:
                self._note(folder)

    def _note(self, folder):
        self.durations.add(self.left.pop(folder, self.runs[folder]))

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether Snakemake shows a message itself."""
        message = vars(record)
        if message.get("output"):
            self.jobs[message["jobid"]] = Path(message["output"][0]).parent
        folder = self.jobs.get(message.get("job_id"))
        if folder in self.runs:
            self._note(folder)
            print(in_words(self.runs[folder]), self._rest(), sep="; ", file=sys.stderr, flush=True)
        return record.levelno > logging.INFO or "executor_plugin" in record.pathname

    def _rest(self):
        """Return how many runs are left, and about how long they take."""
        if not self.left:
            return "no run is left"
        expected = [self.durations.expected(run) for run in self.left.values()]
        known = [seconds for seconds in expected if seconds]
        seconds = len(expected) * mean(known or [0]) / min(self.cores, len(expected))
        about = f", about {timedelta(seconds=round(seconds))}" if known else ""
        return f"{len(expected)} of {len(self.runs)} runs left{about}"


def in_words(run: Run) -> str:
    """Return a finished run's name, its mean UAR with that of the linear baseline on the same
    folds, and its seconds."""
    result, kind = run.result, "frames_uar" if run.stage == "teacher" else "uar"
    linear = {row["fold"]: row.get(kind) for row in run.data.result.get("folds", [])}
    rows = result.get("folds", [])
    ours = [row["uar"] for row in rows]
    theirs = [linear[row["fold"]] for row in rows if linear.get(row["fold"]) is not None]
    score = f"UAR {100 * mean(ours):.1f} %" if ours else "no score"
    if run.stage == "data":
        score = f"{score} of the linear baseline"
    elif theirs:
        score += f" (linear baseline {100 * mean(theirs):.1f} %)"
    return f"{run.name}: {score}, {result.get('wall', 0):.0f} s"
