"""What a suite will cost, before it is started: runs, arithmetic, hours, memory and disk (``python
-m kdlib plan SUITE``)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from kdlib.errors import InvalidCorpus
from kdlib.parameters import Training
from kdsuite import places
from kdsuite.data import corpora
from kdsuite.data.corpora.voxceleb1 import PUBLISHED
from kdsuite.runs import calibration, grid
from kdsuite.runs.calibration import Cost
from kdsuite.runs.devices import device_of
from kdsuite.runs.grid import Run
from kdsuite.settings import Settings, choose_folds, digest, parameters_of_stage

# --- what is taken as given where nothing better is known; all of it is printed with the plan
# mean seconds of a recording, as published; those of RAVDESS have about the training duration
SECONDS = {"voxceleb1": 8.2, "iemocap": 4.5}
# seconds of a run that are not training, as small runs on two cores have them: wall less device of
# a result, and what comes before that wall begins
OVERHEAD = {"data": 40.0, "teacher": 13.0, "student": 9.5}
STARTING, REPORT = 2.7, 45.0
CALIBRATION = 30.0  # seconds that measuring steps of training may take
# seconds of video that one core decodes, crops and resizes in a second
DECODED = 15.0
# FLOP/s that trainings are assumed to reach on an H200: a quarter of its 989 (bf16) and 494 (TF32)
# TFLOP/s. Nobody has measured it.
H200 = {"bf16": 250e12, "float32": 120e12}
# bytes of an executed notebook with its pictures, and of a line of predictions and of trials beside
# the class probabilities
NOTEBOOK, LINE, TRIAL = 700_000, 70, 90


@dataclass(frozen=True)
class Size:
    """How large a corpus is: ``trained`` and ``tested`` are recordings of each chosen fold,
    ``seconds`` the mean length of one.

    ``source`` says whether that was ``found`` on disk, is ``published``, or belongs to a
    ``synthetic`` corpus.
    """

    recordings: int
    classes: int
    seconds: float
    trained: list[int]
    tested: list[int]
    source: str


def size(settings: Settings) -> Size:
    """Return the size of a run's corpus and folds; of one that cannot be split yet the published
    one, whose folds are taken as equal.

    Raises InvalidCorpus where a corpus is neither here nor published.
    """
    corpus, made = settings.corpus, settings.corpus.synthetic
    seconds = made.seconds if made else SECONDS.get(corpus.layout, settings.media.duration)
    counts = corpora.published(corpus.model_copy(update={"synthetic": None}))
    try:
        if not made:  # reading it would make a synthetic one
            return _found(settings, seconds)
    except InvalidCorpus:
        if "recordings" not in counts:
            raise
    speakers, total = (
        (made.actors, made.actors * made.takes)
        if made
        else (counts["speakers"], counts["recordings"])
    )
    every = {
        "speakers": corpus.groups or speakers,
        "random": corpus.groups,
        "given": max(1, speakers // 2),
        "portions": 1,
    }[corpus.protocol]
    test = corpus.portions[2] if corpus.protocol == "portions" else 1 / every
    train = (
        corpus.portions[0]
        if corpus.protocol == "portions"
        else 1 - test - corpus.validation / speakers
    )
    chosen = choose_folds(settings.folds, every)
    classes = speakers if corpus.target == "speaker" else len(counts) - 2
    source = "synthetic" if made else "published"
    return Size(
        total,
        classes,
        seconds,
        [round(total * train * corpus.fraction)] * len(chosen),
        [round(total * test)] * len(chosen),
        source,
    )


def _found(settings: Settings, seconds: float) -> Size:
    """Return the size of a corpus as it lies on disk, its recordings of so many ``seconds`` where
    it does not say."""
    recordings = corpora.read(settings.corpus)
    folds = corpora.chosen_folds(recordings, settings)
    known = recordings.seconds.mean()
    trained, tested = ([len(getattr(fold, side)) for fold in folds] for side in ("train", "test"))
    return Size(
        len(recordings),
        recordings.label.nunique(),
        seconds if math.isnan(known) else known,
        trained,
        tested,
        "found",
    )


@dataclass(frozen=True)
class Work:
    """What one run does: steps of training, FLOPs forwards and backwards, peak bytes of memory, and
    bytes it leaves on disk."""

    run: Run
    size: Size
    steps: int
    flops: float
    memory: float
    disk: float


class Planner:
    """Counts the work of runs, each corpus and each network once."""

    def __init__(self) -> None:
        self._sizes: dict[str, Size] = {}
        self._costs: dict[str, Cost] = {}

    def size(self, settings: Settings) -> Size:
        """Return the size of a run's corpus and folds, as the function of that name does."""
        known = digest([settings.corpus.model_dump(), str(settings.folds), settings.media.duration])
        return self._sizes.get(known) or self._sizes.setdefault(known, size(settings))

    def cost(self, settings: Settings, stage: str) -> Cost:
        """Return the cost of an item, which is the same in all runs of a network."""
        seen = calibration.item(settings, stage)[1]
        known = digest(
            [
                stage,
                settings.backbone,
                settings.model.model_dump(),
                settings.training.precision,
                seen,
            ]
        )
        return self._costs.get(known) or self._costs.setdefault(
            known, calibration.cost(settings, stage, self.size(settings).classes)
        )

    def step(self, settings: Settings, stage: str, training: Training) -> float:
        """Return the FLOPs of a step of training."""
        return (
            training.batch_size
            * calibration.item(settings, stage)[0]
            * self.cost(settings, stage).flops
        )

    def work(self, run: Run) -> Work:
        """Return what a run does.

        Evaluation, one or two parts in a hundred of it in runs of any length, is not counted.
        """
        settings, found = run.settings, self.size(run.settings)
        if run.stage == "data":
            return Work(run, found, 0, 0, 0, store_bytes(settings, found) + NOTEBOOK)
        training = calibration.training_of(settings, run.stage)
        of, items = self.cost(settings, run.stage), calibration.item(settings, run.stage)[0]
        examples = [
            count * frames_an_example(settings, found, run.stage) for count in found.trained
        ]
        students = (
            2 if run.stage == "student" and training.targets == "audio" else 1
        )  # the teacher that hears is a student too
        trainings = training.epochs * students
        steps = trainings * sum(math.ceil(count / training.batch_size) for count in examples)
        disk = (
            NOTEBOOK
            + sum(found.tested) * (LINE + 9 * found.classes)
            + left(settings, found, run.stage, of)
        )
        memory = calibration.peak_memory(of, items, training)
        return Work(run, found, steps, trainings * sum(examples) * items * of.flops, memory, disk)


def shape(settings: Settings, stage: str) -> str:
    """Return what the time of a training step hangs on: two runs of one shape take the same."""
    training = calibration.training_of(settings, stage)
    batch = [
        getattr(training, name)
        for name in (
            "batch_size",
            "precision",
            "accumulate",
            "frames_at_once",
            "teacher_frames",
            "device",
        )
    ]
    sections = [
        settings.model.model_dump(),
        settings.media.model_dump(exclude={"inference"}),
        bool(settings.corpus.features),
    ]
    return digest([stage, settings.backbone, settings.sequential, batch, sections])


def frames_of(settings: Settings, found: Size) -> int:
    """Return how many frames of a recording the teacher sees."""
    return (
        1
        if settings.corpus.features
        else math.ceil(found.seconds * settings.media.fps / settings.media.frame_stride)
    )


def frames_an_example(settings: Settings, found: Size, stage: str) -> int:
    """Return how many training examples a recording makes: frames for a teacher without aggregator,
    else one."""
    if stage == "student" or settings.sequential:
        return 1
    return settings.training.teacher_frames or frames_of(settings, found)


def store_bytes(settings: Settings, found: Size) -> float:
    """Return the bytes of a corpus' store, and of its verification trials' one."""
    media = settings.media
    sound = 2 * media.sample_rate
    seen = (
        4 * calibration.MEASUREMENTS
        if settings.corpus.features
        else 3 * media.fps * media.frame_size**2
    )
    heard = (
        PUBLISHED["test"]["utterance"]
        if settings.corpus.trials and not settings.corpus.synthetic
        else 0
    )
    return found.seconds * (found.recordings * (sound + seen) + heard * sound)


def left(settings: Settings, found: Size, stage: str, of: Cost) -> float:
    """Return the bytes that all folds leave beside predictions: a teacher's weights and targets, a
    student's scores and weights."""
    if stage == "teacher":
        told = found.recordings * (
            frames_of(settings, found) * settings.model.embedding
            + settings.model.embedding
            + found.classes
        )
        return 4 * len(found.trained) * (told + of.parameters)
    scored = (
        0
        if settings.corpus.synthetic
        else sum(PUBLISHED["trials"].get(name, 0) for name in settings.corpus.trials)
    )
    return len(found.trained) * (
        TRIAL * scored + (4 * of.parameters if settings.training.keep_students else 0)
    )


def overheads(runs: Iterable[Run]) -> dict[str, tuple[float, int]]:
    """Return for each stage the seconds of a run that are not training, and from how many finished
    runs of the suite that is known."""
    seconds: dict[str, list[float]] = {stage: [] for stage in grid.STAGES}
    for run in runs:
        if run.done:
            told = json.loads((run.folder / "result.json").read_bytes())["seconds"]
            seconds[run.stage].append(told["wall"] - told["device"])
    return {
        stage: (median(found) if found else OVERHEAD[stage], len(found))
        for stage, found in seconds.items()
    }


def plan(suite: str, side_by_side: int | None = None) -> dict[str, Any]:
    """Return the plan of a suite as JSON holds it: what is to do, what was measured for it, and
    what is assumed.

    ``side_by_side`` runs (all of the machine where not given) share the machine; calibration takes
    half a minute. Raises InvalidParameter where the suite does not exist, InvalidCorpus as
    :func:`size` does.
    """
    runs, planner = grid.runs(suite), Planner()
    works = [planner.work(run) for run in runs]
    device = device_of(runs[0].settings.training)
    side_by_side = side_by_side or calibration.workers(device)
    speeds = measured(planner, works, side_by_side, CALIBRATION, device.type == "cpu")
    disk, spent = calibration.write_speed(places.DATA), overheads(runs)
    hours = {
        id(work): (
            STARTING
            + spent[work.run.stage][0]
            + _own_seconds(work, speeds, disk, side_by_side, spent)
        )
        / 3600
        for work in works
    }
    stages = {
        stage: _stage([work for work in works if work.run.stage == stage], hours)
        for stage in grid.STAGES
    }
    return {
        "suite": suite,
        "title": grid.read_suite(suite).get("title", ""),
        "machine": {
            "device": device.type,
            "side_by_side": side_by_side,
            "disk_bytes_a_second": disk,
        },
        "stages": stages,
        "hours": {which: _wall(stages, which, side_by_side) for which in ("all", "missing")},
        "h200": _h200(works, spent),
        "dominates": _shares(works),
        "disk": _disk(works),
        "corpora": {
            work.run.settings.dataset: {
                "recordings": work.size.recordings,
                "folds": len(work.size.trained),
                "counts": work.size.source,
            }
            for work in works
        },
        "overhead_seconds": {
            stage: {"seconds": found, "from_runs": count} for stage, (found, count) in spent.items()
        },
    }


def measured(
    planner: Planner, works: list[Work], side_by_side: int, seconds: float, cpu: bool
) -> dict[str, float]:
    """Return the seconds of a training step for each shape; large steps are measured on a part and
    scaled by their FLOPs."""
    wanted, scale, kinds = {}, {}, {}
    for work in sorted(
        works, key=lambda work: -work.run.settings.alpha
    ):  # of one shape the student that has a teacher
        stage, settings, known = (
            work.run.stage,
            work.run.settings,
            shape(work.run.settings, work.run.stage),
        )
        if stage == "data" or known in scale:
            continue
        whole, scale[known] = (
            planner.step(settings, stage, calibration.training_of(settings, stage)),
            1.0,
        )
        if cpu and whole > calibration.LARGE:
            settings = calibration.reduced(settings)
            scale[known] = whole / planner.step(settings, stage, settings.training)
        kinds[known] = shape(settings, stage)
        wanted[kinds[known]] = settings, stage
    found = calibration.calibrate(wanted, side_by_side, seconds)
    return {known: found[kinds[known]] * scale[known] for known in scale}


def _own_seconds(
    work: Work,
    speeds: dict[str, float],
    disk: float,
    cores: int,
    spent: dict[str, tuple[float, int]],
) -> float:
    """Return the seconds of a run's training, or of its decoding where no finished run tells."""
    if work.run.stage != "data":
        return work.steps * speeds[shape(work.run.settings, work.run.stage)]
    if work.run.settings.corpus.synthetic or spent["data"][1]:
        return 0.0
    return max(work.size.recordings * work.size.seconds / DECODED / cores, work.disk / disk)


def _stage(works: list[Work], hours: dict[int, float]) -> dict[str, Any]:
    """Return the sums of a stage, of all of its runs and of those that are missing."""
    missing = [work for work in works if not work.run.done]
    return {
        which: {
            "runs": len(part),
            "flops": sum(work.flops for work in part),
            "hours": sum(hours[id(work)] for work in part),
            "longest_hours": max((hours[id(work)] for work in part), default=0.0),
            "memory_bytes": max((work.memory for work in part), default=0),
        }
        for which, part in (("all", works), ("missing", missing))
    }


def _wall(stages: dict[str, Any], which: str, side_by_side: int) -> float:
    """Return the hours of a suite: data runs have the machine to themselves, the others go side by
    side, none faster than the longest."""
    data, *others = (stages[stage][which] for stage in grid.STAGES)
    together = sum(stage["hours"] for stage in others) / side_by_side
    return (
        data["hours"]
        + max([together, *(stage["longest_hours"] for stage in others)])
        + REPORT / 3600
    )


def _h200(works: list[Work], spent: dict[str, tuple[float, int]]) -> dict[str, Any]:
    """Return the hours of the trainings on one H200, by what is assumed of it."""
    flops: Counter[str] = Counter()
    for work in works:
        flops[work.run.settings.training.precision] += work.flops
    return {
        "hours": sum(total / H200[precision] for precision, total in flops.items()) / 3600,
        "overhead_hours": sum(
            STARTING + spent[work.run.stage][0] for work in works if work.run.stage != "data"
        )
        / 3600,
        "assumed_flops_a_second": {precision: H200[precision] for precision in flops},
    }


def _shares(works: list[Work]) -> dict[str, float]:
    """Return each network's share of all FLOPs, the greatest first."""
    total, found = sum(work.flops for work in works) or 1.0, Counter()
    for work in works:
        if work.run.stage != "data":
            found[f"{work.run.settings.dataset} {work.run.stage} {work.run.settings.backbone}"] += (
                work.flops / total
            )
    return dict(found.most_common())


def _disk(works: list[Work]) -> dict[str, float]:
    """Return the bytes of stores (each once, whatever the folds), of targets with their teachers,
    and of results."""
    stores = {
        digest(parameters_of_stage(work.run.settings, "data")): work.disk
        for work in works
        if work.run.stage == "data"
    }
    teachers, students = (
        sum(work.disk for work in works if work.run.stage == stage)
        for stage in ("teacher", "student")
    )
    return {"stores": sum(stores.values()), "teachers": teachers, "students": students}
