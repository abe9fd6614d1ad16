"""What a suite will cost, before it is started: runs, arithmetic, hours, memory and disk (``python
-m kdlib plan SUITE``)."""

import json
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.data import corpora
from kdsuite.runs import grid
from kdsuite.runs.calibration import MEASUREMENTS, Step, workers
from kdsuite.runs.devices import device_of
from kdsuite.runs.finished import Durations
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, parameters_of_stage

# --- what is taken as given where nothing better is known; all of it is printed with the plan
# mean seconds of a recording, as published; those of RAVDESS have about the training duration
SECONDS = {"voxceleb1": 8.2, "iemocap": 4.5}
# seconds of a run that are not training, as small runs on two cores have them, and of the report
OVERHEAD = {"data": 20.0, "teacher": 7.0, "student": 6.0}
REPORT = 30.0
# seconds of video that one core decodes, crops and resizes in a second
DECODED = 15.0
# TFLOP/s of a training step of full size on one H100: bf16, channels-last, CUDA graphs, batches of
# 32. A prototype of the step was measured; `make gpu-check` measures the step itself.
H100 = {
    "student": {"vgg": 127, "resnet": 36, "seresnet": 34},
    "teacher": {"vgg": 220, "resnet": 119, "seresnet": 119},
}
# bytes of an executed notebook with its pictures, and of a line of predictions beside the class
# probabilities
NOTEBOOK, LINE = 700_000, 70


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
    """Return the size of a run's corpus and folds; of one that is not here the published one, whose
    speakers are taken as equal.

    Raises InvalidCorpus where a corpus is neither here nor published.
    """
    corpus, made = settings.corpus, settings.corpus.synthetic
    seconds = made.seconds if made else SECONDS.get(corpus.layout, settings.media.duration)
    counts = corpora.published(corpus.model_copy(update={"synthetic": None}))
    if made:
        counts |= {"speakers": made.actors, "recordings": made.actors * made.takes}
    try:
        table, source = corpora.read(corpus), "found"
    except InvalidCorpus:
        if "recordings" not in counts:
            raise
        number, source = np.arange(counts["recordings"]), "synthetic" if made else "published"
        speaker, label = number % counts["speakers"], number // counts["speakers"]
        classes = speaker if corpus.target == "speaker" else label % (len(counts) - 2)
        table = pd.DataFrame({"label": pd.Categorical(classes), "seconds": math.nan})
        # portions of each speaker's recordings are those of all
        table["speaker"] = (speaker * (corpus.protocol != "portions")).astype(str)
        table["fold"] = (speaker // 2).astype(str)  # a session has two
    folds = corpora.chosen_folds(table, settings)
    trained, tested = (
        sum(len(getattr(each, side)) for each in folds) for side in ("train", "test")
    )
    seconds = table.seconds.fillna(seconds).mean()
    return Size(len(table), table.label.nunique(), seconds, len(folds), trained, tested, source)


def work(
    run: Run, sizes: dict[str, Size], steps: dict[str, Step], durations: Durations
) -> dict[str, Any]:
    """Return what a run does: ``items`` that its trainings go through, their ``flops`` forwards and
    backwards, ``seconds`` (of a core where it decodes), ``memory_bytes`` at its peak and ``disk``,
    bytes that runs which share a ``folder`` take once.

    Where ``durations`` has runs alike, it takes their seconds. Each corpus is read once into
    ``sizes``, each other network measured once, as one of ``steps``; evaluation, one or two parts
    in a hundred of it in runs of any length, is not counted.
    """
    of, stage, known = run.settings, run.stage, durations.expected(run, alike=True)
    media, features, beside = of.media, of.corpus.features, OVERHEAD[stage]
    name = digest([of.corpus.model_dump(), str(of.folds), media.duration])
    if name not in sizes:
        sizes[name] = size(of)
    corpus = sizes[name]
    row = {"runs": 1, "stage": stage, "missing": not run.done, "dataset": of.dataset}
    row["backbone"] = of.backbone
    row["corpus"] = f"{corpus.recordings:,} recordings in {corpus.folds} fold(s), {corpus.source}"
    if stage == "data":
        frames = 4 * MEASUREMENTS if features else 3 * media.fps * media.frame_size**2
        seconds = corpus.recordings * corpus.seconds
        return row | dict.fromkeys(("items", "flops", "memory_bytes"), 0) | {
            "seconds": known or beside + seconds / DECODED * (not of.corpus.synthetic),
            "disk": seconds * (2 * media.sample_rate + frames),
            "folder": digest(parameters_of_stage(of, stage)),
        }  # fmt: skip
    step = Step(of, stage, corpus.classes)
    training, items = step.training, step.items
    step = steps.setdefault(step.name, step)
    flops, _, parameters = step.cost
    disk = parameters * training.keep_students
    if stage == "teacher":  # leaves weights and targets
        frames = 1 if features else math.ceil(corpus.seconds * media.fps / media.frame_stride)
        items = items if of.sequential else training.teacher_frames or frames
        targets = (frames + 1) * of.model.embedding + corpus.classes
        disk = parameters + corpus.recordings * targets
    elif training.targets == "audio":
        items *= 2  # its teacher is a student too
    items *= training.epochs * corpus.trained
    tables = NOTEBOOK + corpus.tested * (LINE + 9 * corpus.classes)
    return row | {
        "items": items,
        "flops": float(items * flops),
        "seconds": known or beside + items * step.seconds,
        "memory_bytes": step.memory,
        "disk": 4 * corpus.folds * disk + tables,
        "folder": run.folder,
    }


def plan(suite: str, side_by_side: int | None = None) -> dict[str, Any]:
    """Return the plan of a suite as JSON holds it: what is to do, and what was measured for it.

    ``side_by_side`` runs (all of the machine where not given) share the machine; each network is
    measured for a fraction of a second. Raises InvalidParameter where the suite does not exist,
    InvalidCorpus as :func:`size` does.
    """
    runs, durations = grid.runs(suite), Durations()
    for run in runs:
        durations.add(run)
    known = {}, {}, durations
    works = pd.DataFrame([work(run, *known) for run in runs])
    device = device_of(runs[0].settings.training)
    side_by_side = side_by_side or workers(device)
    works["hours"] = works["longest_hours"] = works.seconds / 3600
    works["hours_missing"] = works.hours * works.missing
    stages, columns = works.groupby("stage", sort=False), ["hours", "hours_missing"]
    longest = stages[["longest_hours", "memory_bytes"]].max()
    # data runs decode with all cores; none faster than the longest training
    trained = works[works.stage != "data"][columns]
    together = (works[columns].sum() / side_by_side).clip(lower=trained.max())
    gpu, speeds = rates()
    places = zip(works.stage, works.backbone, works.flops)
    hours = pd.Series(
        [flops and flops / speeds[stage][name] / 3.6e15 for stage, name, flops in places]
    )
    return {
        "suite": suite,
        "title": grid.read_suite(suite).get("title", ""),
        "machine": {"device": device.type, "side_by_side": side_by_side},
        "stages": stages[["runs", "missing", "flops", *columns]]
        .sum()
        .join(longest)
        .to_dict("index"),
        **(together + REPORT / 3600),
        "gpu": gpu,
        "gpu_hours": hours.sum(),
        "eight_gpu_hours": max(hours.sum() / 8, hours.max()),
        "disk_bytes": works.drop_duplicates("folder").groupby("stage").disk.sum().to_dict(),
        "corpora": dict(zip(works.dataset, works.corpus)),
    }


def rates() -> tuple[str, dict[str, dict[str, float]]]:
    """Return the name of a GPU and the TFLOP/s of its trainings by stage and backbone: those that
    ``make gpu-check`` measured, else :data:`H100`."""
    file = paths.REPORTS / "benchmarks" / "gpu.json"
    measured = json.loads(file.read_text()) if file.exists() else {}
    rows = [row for row in measured.get("networks", []) if "left_out" not in row]
    if not rows:
        return "H100 (speeds of a prototype)", H100
    table = pd.DataFrame(rows).pivot_table("tflops_a_second", "backbone", "stage")
    known = table.combine_first(pd.DataFrame(H100)).to_dict()
    return f"{measured['device']} (speeds measured)", known


def in_words(forecast: dict[str, Any]) -> str:
    """Return a plan as a table with a few sentences, to be read in a minute."""
    stages = pd.DataFrame.from_dict(forecast["stages"], orient="index")
    stages.columns = "runs", "missing", "FLOPs", "time", "time_missing", "longest", "memory"
    times = ["time", "time_missing", "longest"]
    stages[times], stages["memory"] = stages[times].map(_time), stages.memory.map(_size)
    device, side_by_side = forecast["machine"].values()
    names = "hours", "hours_missing", "gpu_hours", "eight_gpu_hours"
    every, missing, one, eight = (_time(forecast[name]) for name in names)
    disk = ", ".join(f"{name} {_size(size)}" for name, size in forecast["disk_bytes"].items())
    return f"""Suite {forecast["suite"]}: {forecast["title"]}

{stages.to_string(float_format="{:,.3g}".format)}

This machine ({device}, {side_by_side} run(s) side by side): {every} for all, {missing} for what is missing.
Runs take what those alike took that are done; of others the encoders' passes and Adam were measured now.
One {forecast["gpu"]}: {one} of training; eight of them: {eight}.
Disk: {disk}.
Corpora: {"; ".join(map(": ".join, forecast["corpora"].items()))}.
Assumed seconds of a run beside training: {", ".join(f"{name} {each:.0f}" for name, each in OVERHEAD.items())}; a core decodes {DECODED:.0f} seconds of video in a second.
Memory is that of the largest training step: weights, gradients, Adam's moments and activations."""


def _amount(value, units):
    """Return a value in the largest of the units that it fills, else the smallest."""
    size = next((size for size in units if value >= size), min(units))
    return f"{value / size:,.3g} {units[size]}"


def _time(hours):
    return _amount(3600 * hours, {3600: "hours", 60: "minutes", 1: "seconds"})


def _size(count):
    return _amount(count, {1e12: "TB", 1e9: "GB", 1e6: "MB"})
