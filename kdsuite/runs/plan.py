"""What a suite will cost, before it is started: runs, arithmetic, hours, memory and disk (``python
-m kdlib plan SUITE``)."""

import json
import math
import time
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import EngFormatter
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import benchmark
from torch.utils.flop_counter import FlopCounterMode

from kdlib.device import autocast, place, precision
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.models.network import build_student, build_teacher
from kdlib.parameters import digest
from kdlib.spectrogram import Spectrogram
from kdsuite import paths
from kdsuite.data import corpora
from kdsuite.data.folds import chosen_folds
from kdsuite.runs import grid
from kdsuite.runs.devices import cores, device_of, share
from kdsuite.runs.finished import Durations
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, relevant

# --- what is taken as given where nothing better is known; all of it is printed with the plan
# mean seconds of a recording, as published; those of RAVDESS have about the training duration
SECONDS = {"voxceleb1": 8.2, "iemocap": 4.5}
# seconds of a run that are not training, as small runs on two cores have them, and of the report
OVERHEAD = {"data": 12.0, "teacher": 7.0, "student": 6.0}
REPORT = 30.0
# seconds of video that one core decodes, crops and resizes in a second; of a synthetic corpus,
# which it draws and encodes before
DECODED, DRAWN = 15.0, 9.0
# TFLOP/s of a training step of full size on one H100: bf16, channels-last, CUDA graphs, batches of
# 32. A prototype of the step was measured; `make gpu-check` measures the step itself.
H100 = {
    ("student", "vgg"): 127, ("student", "resnet"): 36, ("student", "seresnet"): 34,
    ("teacher", "vgg"): 220, ("teacher", "resnet"): 119, ("teacher", "seresnet"): 119,
}  # fmt: skip
# bytes of an executed notebook with its pictures, and of a line of predictions beside the class
# probabilities
NOTEBOOK, LINE = 700_000, 70
# values in a row of face measurements, as OpenFace gives them; they cost next to nothing
MEASUREMENTS = 35
# a step of more FLOPs is measured on a CPU with fewer items
LARGE = 1.5e10
SUMS, LARGEST = (
    ("runs", "missing", "flops", "hours", "hours_missing"),
    ("longest_hours", "memory_bytes"),
)


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
        # of two utterances of every other video the usual unit is the first
        utterances = 1.5 if (corpus.layout, corpus.unit) == ("voxceleb1", "utterance") else 1
        recordings = int(made.actors * made.takes * utterances)
        counts |= {"speakers": made.actors, "recordings": recordings}
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
        table["source"] = table.index  # each is whole
        table["fold"] = (speaker // 2).astype(str)  # a session has two
        settings = settings.changed(corpus={"folds_from": []})  # an absent corpus cannot be matched
    folds = chosen_folds(table, settings)
    trained, tested = (
        sum(len(getattr(each, side)) for each in folds) for side in ("train", "test")
    )
    seconds = table.seconds.fillna(seconds).mean()
    return Size(len(table), table.label.nunique(), seconds, len(folds), trained, tested, source)


class Step:
    """A training step of the ``teacher`` or ``student`` of ``settings``, whose training is
    ``training``.

    One example has ``items`` (pictures or spectrograms; 1 without aggregator) of ``shape``; the
    activations of ``at_once`` items are kept at once. Steps of one ``name`` cost the same.
    """

    def __init__(self, settings: Settings, stage: str, classes: int) -> None:
        media, training = settings.media, settings.training
        self.sequential, self.samples = settings.sequential, 0
        if stage == "student":
            self.samples = settings.segments * media.samples_per_segment
            sound = torch.zeros(1, self.samples)
            shape = Spectrogram(media, settings.sequential)(sound).shape[1:]
            build = build_student
        else:
            training, side = settings.teacher_training(), media.frame_size
            frames = [settings.segments * media.frames_per_segment] * settings.sequential
            shape = (MEASUREMENTS,) if settings.corpus.features else (*frames, 3, side, side)
            build = partial(build_teacher, frame_shape=shape[-3:])
        self.items, self.shape, self.training = math.prod(shape[:-3]), shape[-3:], training
        self.build = partial(build, settings, classes)
        most = math.ceil(training.batch_size / training.accumulate) * self.items
        self.at_once = min(most, self.items > 1 and training.frames_at_once or most)
        kind = stage, settings.backbone, settings.model.model_dump(), training.precision
        self.name = digest([*kind, self.items, self.shape, self.at_once])

    @cached_property
    def cost(self) -> tuple[int, int, int]:
        """What is counted on the meta device: an item's FLOPs in the encoder, forwards and
        backwards; the step's bytes; and the parameters of the whole network.

        The bytes are those of weights, gradients, Adam's moments, and what is saved of the items at
        once. A tenth of the latter is added for gradients of activations. On a CPU, teachers took
        0.9 to 1.1 times that, students up to 1.8 times. The aggregator's share of the FLOPs, a
        thousandth, is not counted.
        """
        saved = {}
        with torch.device("meta"):
            network, items = self.build(), torch.empty(2, *self.shape)

        def save(value):
            storage = value.untyped_storage()
            saved[storage._cdata] = storage.nbytes()
            return value

        with (
            FlopCounterMode(display=False) as flops,
            saved_tensors_hooks(save, lambda value: value),
        ):
            network.encoder(items).sum().backward()
        weights = list(network.parameters())
        for value in weights:
            saved.pop(value.untyped_storage()._cdata, None)
        halved = 4 if precision(self.training, device_of(self.training)) == "bf16" else 2
        parameters = sum(value.numel() for value in weights)
        memory = 16 * parameters + 1.1 * self.at_once * (sum(saved.values()) // halved)
        return flops.get_total_flops() // 2, round(memory), parameters

    def _example(self, items):
        """Return the shape of an example of so many items: a waveform, or pictures or rows."""
        if self.samples:
            return (self.samples * items // self.items,)
        return (items, *self.shape) if self.sequential else self.shape

    @cached_property
    def seconds(self) -> float:
        """The seconds that training takes for an item: forwards, backwards and Adam, measured for a
        fifth of a second, or in one step behind a first one.

        Gathering a batch and the distance, which take little, are not measured.
        """
        device, clock = device_of(self.training), {}
        items, count = self.items, self.at_once // self.items or 1
        if device.type == "cpu":  # one thread, and seconds of work, whatever else goes on there
            most, clock = int(LARGE / self.cost[0]) or 1, {"timer": time.process_time}
            items = min(items, most)  # a long sequence is measured by its beginning
            count = min(count, most // items)
        network = place(self.build(), device)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        examples = torch.rand(count, *self._example(items), device=device)

        def step():
            with autocast(device, self.training):
                loss = network(examples).logits.float().sum()
            loss.backward()
            optimizer.step()

        timer = benchmark.Timer("step()", globals={"step": step}, **clock)
        return timer.blocked_autorange().median / (count * items)


def work(
    run: Run, sizes: dict[str, Size], steps: dict[str, Step], durations: Durations
) -> dict[str, Any]:
    """Return what a run does: ``items`` that its trainings go through, their ``flops`` forwards and
    backwards, ``seconds`` (of a core where it decodes), ``memory_bytes`` at its peak and ``disk``,
    bytes that runs which share a ``folder`` take once; a data run has neither items nor FLOPs.

    Where ``durations`` has runs alike, it takes their seconds. Each corpus is read once into
    ``sizes``, each other network measured once, as one of ``steps``; evaluation, one or two parts
    in a hundred of it in runs of any length, is not counted.
    """
    of, stage, known = run.settings, run.stage, durations.expected(run, alike=True)
    media, features, beside = of.media, of.corpus.features, OVERHEAD[stage]
    name = digest([of.corpus.model_dump(), str(of.folds), media.duration])
    corpus = sizes[name] = sizes.get(name) or size(of)
    row = {
        "runs": 1,
        "stage": stage,
        "backbone": of.backbone,
        "missing": not run.done,
        "dataset": of.dataset,
        "corpus": f"{corpus.recordings:,} recordings in {corpus.folds} fold(s), {corpus.source}",
    }
    if stage == "data":
        frames = 4 * MEASUREMENTS if features else 3 * media.fps * media.frame_size**2
        seconds = corpus.recordings * corpus.seconds
        rate = DRAWN if of.corpus.synthetic else DECODED
        return row | {
            "seconds": known or beside + seconds / rate * (not features),
            "disk": seconds * (2 * media.sample_rate + frames),
            "folder": digest(relevant(of, stage, decoding=True)),
        }
    step = Step(of, stage, corpus.classes)
    training, items = step.training, step.items
    step = steps.setdefault(step.name, step)
    flops, memory, parameters = step.cost
    disk = parameters * run.keeps_students
    if stage == "teacher":  # leaves weights and targets
        frames = 1 if features else math.ceil(corpus.seconds * media.fps / media.frame_stride)
        items = items if of.sequential else training.teacher_frames or frames
        targets = (frames + 1) * of.model.embedding + corpus.classes
        disk = parameters + corpus.recordings * targets
    elif training.targets == "audio":
        items *= 2  # its teacher is a student too
    items *= training.epochs * corpus.trained
    seconds, flops = beside + items * step.seconds, float(items * flops)
    if stage == "student" and training.cross_fit and of.needs_teacher:
        # as many teachers less one, for each lacks a part of the recordings
        teacher = work(Run("teacher", of), sizes, steps, durations)
        seconds += (training.cross_fit - 1) * teacher["seconds"]
        flops += (training.cross_fit - 1) * teacher["flops"]
    tables = NOTEBOOK + corpus.tested * (LINE + 9 * corpus.classes)
    return row | {
        "items": items,
        "flops": flops,
        "seconds": known or seconds,
        "memory_bytes": memory,
        "disk": 4 * corpus.folds * disk + tables,
        "folder": run.folder,
    }


def plan(suite: str, side_by_side: int | None = None) -> dict[str, Any]:
    """Return the plan of a suite as JSON holds it: what is to do, and what was measured for it.

    ``side_by_side`` runs (all of the machine where not given: one a core, or one a GPU or
    $KDLIB_GPU_SHARE) share the machine; each network is measured for a fraction of a second. Raises
    InvalidParameter where the suite does not exist, InvalidCorpus as :func:`size` does.
    """
    runs, durations = grid.runs(suite), Durations()
    if not runs:
        raise InvalidParameter(f"suite {suite!r} has no runs; write some into its file.")
    for run in runs:
        durations.add(run)
    known = {}, {}, durations
    works = pd.DataFrame([work(run, *known) for run in runs])
    device = device_of(runs[0].settings.training)
    gpus = torch.cuda.device_count() * max(1, share())
    side_by_side = side_by_side or (gpus if device.type == "cuda" else cores())
    works["hours"] = works["longest_hours"] = works.seconds / 3600
    works["hours_missing"] = works.hours * works.missing
    stages, columns = works.groupby("stage", sort=False), ["hours", "hours_missing"]
    # data runs decode with all cores; none faster than the longest training
    trained = works[works.stage != "data"][columns]
    together = (works[columns].sum() / side_by_side).clip(lower=trained.max())
    gpu, speeds = rates()
    hours = works.flops / 3.6e15 / speeds.reindex([*zip(works.stage, works.backbone)]).to_numpy()
    totals = dict.fromkeys(SUMS, "sum") | dict.fromkeys(LARGEST, "max")
    return {
        "suite": suite,
        "title": grid.read_suite(suite).get("title", ""),
        "machine": {"device": device.type, "side_by_side": side_by_side},
        "stages": stages.agg(totals).fillna(0).to_dict("index"),
        **(together + REPORT / 3600),
        "gpu": gpu,
        "gpu_hours": hours.sum(),
        "eight_gpu_hours": max(hours.sum() / 8, hours.max()),
        "disk_bytes": works.drop_duplicates("folder").groupby("stage").disk.sum().to_dict(),
        "corpora": dict(zip(works.dataset, works.corpus)),
    }


def rates() -> tuple[str, pd.Series]:
    """Return the name of a GPU and the TFLOP/s of its trainings by stage and backbone: those that
    ``make gpu-check`` measured, else :data:`H100`."""
    file, known = paths.REPORTS / "benchmarks" / "gpu.json", pd.Series(H100)
    measured = json.loads(file.read_text()) if file.exists() else {}
    rows = [row for row in measured.get("networks", []) if "left_out" not in row]
    if not rows:
        return "H100 (speeds of a prototype)", known
    speeds = pd.DataFrame(rows).groupby(["stage", "backbone"]).tflops_a_second.mean()
    return f"{measured['device']} (speeds measured)", speeds.combine_first(known)


def in_words(forecast: dict[str, Any]) -> str:
    """Return a plan as a table with a few sentences, to be read in a minute; times are in hours,
    minutes and seconds."""
    stages, size = forecast["stages"], EngFormatter("B", places=0)
    table = pd.DataFrame.from_dict(stages, orient="index", columns=[*SUMS, *LARGEST])
    formats = dict.fromkeys(["hours", "hours_missing", "longest_hours"], _time)
    formats |= {"flops": "{:.3g}".format, "memory_bytes": size}
    header = ["runs", "missing", "FLOPs", "time", "time missing", "longest", "memory"]
    disk = ", ".join(f"{name} {size(value)}" for name, value in forecast["disk_bytes"].items())
    beside = ", ".join(f"{name} {seconds:.0f}" for name, seconds in OVERHEAD.items())
    machine, of = forecast["machine"], ("hours", "hours_missing", "gpu_hours", "eight_gpu_hours")
    every, missing, one, eight = (_time(forecast[name]) for name in of)
    return f"""Suite {forecast["suite"]}: {forecast["title"]}

{table.to_string(formatters=formats, header=header)}

This machine ({machine["device"]}, {machine["side_by_side"]} run(s) side by side): {every} for \
all, {missing} for what is missing.
Times are those of finished runs of the same kind; for others, one training step per network was \
measured.
One {forecast["gpu"]}: {one} of training; eight of them: {eight}.
Disk: {disk}.
Corpora: {"; ".join(map(": ".join, forecast["corpora"].items()))}.
Assumed seconds of a run beside training: {beside}; a core decodes {DECODED:.0f} seconds of video \
in a second.
Memory is that of the largest training step: weights, gradients, Adam's moments and activations."""


def _time(hours):
    return str(timedelta(seconds=round(3600 * hours)))
