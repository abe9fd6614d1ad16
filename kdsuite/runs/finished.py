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
    """The seconds that finished runs took, by what decides about them: stage, dataset, backbone,
    and whether the networks have an aggregator."""

    def __init__(self) -> None:
        self.seconds = defaultdict(list)

    def add(self, run: Run) -> None:
        """Take note of a run, if it is done."""
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
    return [kind[:length] for length in (4, 3, 2, 1)]


class Finished:
    """A filter of Snakemake's messages: prints a line for each of ``runs``, by folder, that is
    finished, and lets only warnings, errors and what a cluster says through.

    So many ``cores`` run side by side.
    """

    def __init__(self, runs: dict[Path, Run], cores: int) -> None:
        self.runs, self.cores, self.jobs, self.durations = runs, cores, {}, Durations()
        self.left = {folder for folder, run in runs.items() if not run.current}
        for run in runs.values():
            self.durations.add(run)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether Snakemake shows a message itself."""
        message = vars(record)
        if message.get("output"):
            self.jobs[message["jobid"]] = Path(message["output"][0]).parent
        run = self.runs.get(self.jobs.get(message.get("job_id")))
        if run:
            self.left.discard(run.folder)
            self.durations.add(run)
            print(f"{in_words(run)}; {self._rest()}", file=sys.stderr, flush=True)
        return record.levelno > logging.INFO or "executor_plugin" in record.pathname

    def _rest(self):
        """Return how many runs are left, and about how long they take."""
        count = len(self.left)
        expected = [self.durations.expected(self.runs[folder]) for folder in self.left]
        known = [seconds for seconds in expected if seconds]
        rest = f"{count} of {len(self.runs)} runs left"
        if known:
            seconds = count * mean(known) / min(self.cores, count)
            rest += f", about {timedelta(seconds=round(seconds))}"
        return rest


def in_words(run: Run) -> str:
    """Return a finished run's name, its :func:`score`, and its seconds."""
    return f"{run.name}: {score(run)}, {run.result.get('wall', 0):.0f} s"


def score(run: Run) -> str:
    """Return a finished run's mean UAR over its folds, or accuracy of speakers, and that of the
    linear baseline on the same folds."""
    metric = run.settings.corpus.metrics[0]
    kind = f"frames_{metric}" if run.stage == "teacher" else metric
    folds = {row["fold"]: row[metric] for row in run.saved.get("folds", []) if metric in row}
    # of the same recordings
    linear = run.data.result.get("folds", []) if run.stage != "data" and run.done else []
    linear = [row[kind] for row in linear if kind in row and row["fold"] in folds]
    scores = [f"{100 * mean(values):.1f} %" for values in (folds.values(), linear) if values]
    score = " (linear baseline ".join(scores) + ")" * bool(linear)
    return f"{metric.replace('uar', 'UAR')} {score}" if scores else "no test"
