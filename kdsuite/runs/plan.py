"""What a suite will cost, before it is started: runs, arithmetic, hours, memory and disk (``python
-m kdlib plan SUITE``)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdlib.parameters import digest
from kdsuite.data import corpora
from kdsuite.data.corpora.voxceleb1 import TRIALS, VERIFIED
from kdsuite.runs import calibration, grid
from kdsuite.runs.devices import device_of
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, choose_folds, parameters_of_stage

# --- what is taken as given where nothing better is known; all of it is printed with the plan
# mean seconds of a recording, as published; those of RAVDESS have about the training duration
SECONDS = {"voxceleb1": 8.2, "iemocap": 4.5}
# seconds of a run that are not training, as small runs on two cores have them, and of the report
OVERHEAD = {"data": 42.7, "teacher": 15.7, "student": 12.2}
REPORT = 45.0
# seconds of video that one core decodes, crops and resizes in a second
DECODED = 15.0
# FLOP/s that trainings are assumed to reach on an H200: a quarter of its 989 (bf16) and 494 (TF32)
# TFLOP/s. Nobody has measured it.
H200 = {"bf16": 250e12, "float32": 120e12}
# bytes of an executed notebook with its pictures, and of a line of predictions and of trials beside
# the class probabilities
NOTEBOOK, LINE, TRIAL = 700_000, 70, 90


class Size(NamedTuple):
    """How large a corpus is: ``trained`` and ``tested`` are recordings of all chosen ``folds``
    together, ``seconds`` the mean length of one.

    ``source`` says whether that was ``found`` on disk, is ``published``, or belongs to a
    ``synthetic`` corpus.
    """

    recordings: int
    classes: int
    seconds: float
    folds: int
    trained: int
    tested: int
    source: str


def size(settings: Settings) -> Size:
    """Return the size of a run's corpus and folds; of one that cannot be split yet the published
    one, whose folds are taken as equal.

    Raises InvalidCorpus where a corpus is neither here nor published.
    """
    corpus, made = settings.corpus, settings.corpus.synthetic
    seconds = made.seconds if made else SECONDS.get(corpus.layout, settings.media.duration)
    counts = corpora.published(corpus.model_copy(update={"synthetic": None}))
    if made:  # reading it would write it
        counts |= {"speakers": made.actors, "recordings": made.actors * made.takes}
    else:
        try:
            table = corpora.read(corpus)
            folds = corpora.chosen_folds(table, settings)
            trained, tested = (
                sum(len(getattr(fold, side)) for fold in folds) for side in ("train", "test")
            )
            seconds = table.seconds.fillna(seconds).mean()
            return Size(
                len(table), table.label.nunique(), seconds, len(folds), trained, tested, "found"
            )
        except InvalidCorpus:
            if "recordings" not in counts:
                raise
    total, speakers = counts["recordings"], counts["speakers"]
    every = {
        "speakers": corpus.groups or speakers,
        "random": corpus.groups,
        "given": max(1, speakers // 2),
        "portions": 1,
    }[corpus.protocol]
    train, _, test = corpus.portions
    if corpus.protocol != "portions":
        train, test = 1 - 1 / every - corpus.validation / speakers, 1 / every
    folds = len(choose_folds(settings.folds, every))
    trained, tested = folds * round(total * train * corpus.fraction), folds * round(total * test)
    classes = speakers if corpus.target == "speaker" else len(counts) - 2
    source = "synthetic" if made else "published"
    return Size(total, classes, seconds, folds, trained, tested, source)


@dataclass
class Planner:
    """Counts the work of runs; each corpus is read and each network measured once."""

    sizes: dict[str, Size] = field(default_factory=dict)
    # what an item costs, and the seconds of training that it takes here
    networks: dict[str, tuple[calibration.Cost, float]] = field(default_factory=dict)

    def work(self, run: Run) -> dict[str, Any]:
        """Return what a run does: ``items`` that its trainings go through, their ``flops`` forwards
        and backwards, ``seconds``, peak ``memory`` and ``disk`` in bytes, and the ``size`` of its
        corpus.

        Evaluation, one or two parts in a hundred of it in runs of any length, is not counted.
        """
        of, stage, media = run.settings, run.stage, run.settings.media
        name = digest([of.corpus.model_dump(), str(of.folds), media.duration])
        corpus = self.sizes[name] = self.sizes.get(name) or size(of)
        lists = [] if of.corpus.synthetic else of.corpus.trials
        frames = math.ceil(corpus.seconds * media.fps / media.frame_stride)
        work = {"run": run, "stage": stage, "missing": not run.done, "size": corpus}
        if stage == "data":
            sound, row = 2 * media.sample_rate, 3 * media.fps * media.frame_size**2
            if of.corpus.features:
                row = 4 * calibration.MEASUREMENTS
            disk = corpus.recordings * (sound + row) + bool(lists) * VERIFIED * sound
            store = digest(parameters_of_stage(of, "data"))
            nothing = dict.fromkeys(("items", "flops", "seconds", "memory"), 0)
            return work | nothing | {"disk": corpus.seconds * disk, "folder": store}
        training, (items, shape) = calibration.training_of(of, stage), calibration.item(of, stage)
        at_once = calibration.at_once(of, stage)
        name = digest(
            [stage, of.backbone, of.model.model_dump(), training.precision, shape, at_once]
        )
        if name not in self.networks:
            cost = calibration.cost(of, stage, corpus.classes)
            self.networks[name] = cost, calibration.seconds_an_item(of, stage, cost.flops)
        cost, seconds = self.networks[name]
        if stage == "teacher":  # leaves weights and targets
            frames = 1 if of.corpus.features else frames
            items = items if of.sequential else training.teacher_frames or frames
            targets = corpus.recordings * ((frames + 1) * of.model.embedding + corpus.classes)
            disk = 4 * (targets + cost.parameters)
        else:
            items *= 2 if training.targets == "audio" else 1  # its teacher is a student too
            disk = TRIAL * sum(TRIALS.get(name, 0) for name in lists)
            disk += 4 * cost.parameters * training.keep_students
        items *= training.epochs * corpus.trained
        tables = NOTEBOOK + corpus.tested * (LINE + 9 * corpus.classes)
        return work | {
            "items": items,
            "flops": float(items * cost.flops),
            "seconds": items * seconds,
            "memory": calibration.peak_memory(cost, at_once),
            "disk": corpus.folds * disk + tables,
            "folder": run.folder,
        }


def plan(suite: str, side_by_side: int | None = None) -> dict[str, Any]:
    """Return the plan of a suite as JSON holds it: what is to do, what was measured for it, and
    what is assumed.

    ``side_by_side`` runs (all of the machine where not given) share the machine; each network is
    measured for half a second. Raises InvalidParameter where the suite does not exist,
    InvalidCorpus as :func:`size` does.
    """
    runs, planner = grid.runs(suite), Planner()
    works = pd.DataFrame([planner.work(run) for run in runs])
    device = device_of(runs[0].settings.training)
    side_by_side = side_by_side or calibration.workers(device)
    # data runs, which have the machine to themselves, decode
    decoded = [of.recordings * of.seconds * (of.source != "synthetic") for of in works["size"]]
    decoding = (works.stage == "data") * decoded / DECODED / side_by_side
    works["hours"] = (works.stage.map(OVERHEAD) + decoding + works.seconds) / 3600
    works["hours_missing"] = works.hours * works.missing
    stages = works.groupby("stage", sort=False).agg(
        runs=("stage", "size"),
        missing=("missing", "sum"),
        flops=("flops", "sum"),
        hours=("hours", "sum"),
        hours_missing=("hours_missing", "sum"),
        longest_hours=("hours", "max"),
        memory_bytes=("memory", "max"),
    )
    columns, data = ["hours", "hours_missing"], works.stage == "data"
    # none faster than the longest run
    trained = works[~data][columns]
    together = (trained.sum() / side_by_side).clip(lower=trained.max())
    precision = works.run.map(lambda run: run.settings.training.precision)
    return {
        "suite": suite,
        "title": grid.read_suite(suite).get("title", ""),
        "machine": {"device": device.type, "side_by_side": side_by_side},
        "stages": stages.to_dict("index"),
        **(works[data][columns].sum() + together + REPORT / 3600).to_dict(),
        "h200_hours": (works.flops / precision.map(H200)).sum() / 3600,
        "h200_assumed_flops_a_second": {name: H200[name] for name in precision.unique()},
        "disk_bytes": works.drop_duplicates("folder").groupby("stage").disk.sum().to_dict(),
        "corpora": {
            run.settings.dataset: f"{of.recordings:,} recordings in {of.folds} fold(s), {of.source}"
            for run, of in zip(runs, works["size"])
        },
        "overhead_seconds": OVERHEAD,
    }


def in_words(forecast: dict[str, Any]) -> str:
    """Return a plan as a table with a few sentences, to be read in a minute."""
    shown = {
        "runs": "{:,.0f}".format,
        "missing": "{:,.0f}".format,
        "flops": "{:.3g}".format,
        "hours": duration,
        "longest_hours": duration,
        "memory_bytes": gigabytes,
    }
    stages, machine = (
        pd.DataFrame.from_dict(forecast["stages"], orient="index"),
        forecast["machine"],
    )
    rates = forecast["h200_assumed_flops_a_second"].items()

    def listed(items: Iterable[tuple[str, Any]], pattern: str, scale: float = 1) -> str:
        return ", ".join(pattern.format(name, value / scale) for name, value in items)

    return f"""Suite {forecast["suite"]}: {forecast["title"]}

{stages.to_string(columns=list(shown), formatters=shown)}

This machine ({machine["device"]}, {machine["side_by_side"]} run(s) side by side): {duration(forecast["hours"])} for all, {duration(forecast["hours_missing"])} for what is missing.
Measured now were the encoders' passes and Adam; small networks take longer, for crops and spectrograms.
One H200: {duration(forecast["h200_hours"])} of training at an ASSUMED {listed(rates, "{1:.0f} TFLOP/s ({0})", 1e12)}, not measured.
Disk: {listed(forecast["disk_bytes"].items(), "{} {:,.3g} GB", 1e9)}.
Corpora: {"; ".join(map(": ".join, forecast["corpora"].items()))}.
Assumed seconds of a run beside training: {listed(forecast["overhead_seconds"].items(), "{} {:.0f}")}; a core decodes {DECODED:.0f} seconds of video in a second.
Memory is that of the largest training step: weights, gradients, Adam's moments and activations."""


def gigabytes(count: float) -> str:
    """Return bytes in words."""
    return f"{count / 1e9:,.3g} GB"


def duration(hours: float) -> str:
    """Return hours in words: minutes, hours, days or years, whichever are few."""
    for unit, length, least in (("years", 8766, 8766), ("days", 24, 48), ("hours", 1, 1)):
        if hours >= least:
            return f"{hours / length:,.3g} {unit}"
    return f"{60 * hours:.3g} minutes"
