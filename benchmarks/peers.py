"""How much an epoch of distillation costs beside its peers, and what a sweep over α costs in all.

kdlib decodes each recording once and asks its frozen teacher once; the peers ask it at every step
(see :mod:`.rivals`). All train the same student on the same clips, which the suite's own writer of
synthetic corpora makes, in the same batches.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from benchmarks import report, rivals, timing
from benchmarks.material import SIZES, STUDENTS, USUAL, sized, train_student
from benchmarks.timing import DEVICE, Epochs
from kdlib.losses import METHODS
from kdlib.models.network import Network, build_teacher
from kdlib.teacher import PrivilegedInformation, build_privileged, extract_privileged
from kdsuite import demo
from kdsuite.data import corpora
from kdsuite.data import store as stores
from kdsuite.data.store import Store
from kdsuite.settings import Settings, load

# speakers, clips of each, their seconds and size; as many clips as the demo trains on, or two
# batches of the paper's size
CORPUS = {"demo": (12, 6, 2.4, (160, 90)), "paper": (16, 4, 4.0, (320, 180))}
# those of the sweep, whose video has the size of RAVDESS's: decoding it at every epoch is what a
# sweep pays for
SWEPT = {"demo": (4, 6, 2.4, (1280, 720)), "paper": (8, 4, 4.0, (1280, 720))}
# rounds against torchdistill
ROUNDS = {"demo": 5, "paper": 3}
# the teacher of the nine students sees every n-th frame: the demo's own, and as few as make the
# paper's size bearable
STRIDE = {"demo": 10, "paper": 5}
ALPHAS = 10
# processes that decode for the peers: on a CPU all have one thread
WORKERS = min(8, len(os.sched_getaffinity(0))) if DEVICE.type == "cuda" else 0

# epochs by the name of whose they are
Ways = dict[str, Callable[[], Any]]


class Clips:
    """Clips in a folder, as files for the loop and as a prepared store; ``decoding`` is the seconds
    that preparing it took."""

    def __init__(
        self, size: str, folder: Path, of: tuple[int, int, float, tuple[int, int]], few: bool
    ) -> None:
        actors, takes, seconds, shape = of
        synthetic = {
            "actors": 2 if few else actors,
            "takes": 4 if few else takes,
            "seconds": seconds,
            "video_size": shape,
        }
        self.size, self.corpus = size, {"path": str(folder / "corpus"), "synthetic": synthetic}
        settings = self.settings()
        with contextlib.redirect_stdout(io.StringIO()):
            demo.ensure(settings.corpus)
            self.recordings: pd.DataFrame = corpora.read(settings.corpus)
            self.decoding = timing.seconds(
                lambda: stores.build(folder / "store", self.recordings, settings, max(1, WORKERS))
            )
        self.store: Store = stores.open_store(folder / "store", self.recordings).to(DEVICE)

    def settings(self, **given: Any) -> Settings:
        """Return the settings of the clips' size."""
        return sized(self.size, corpus=self.corpus, **given)


def trained(settings: Settings, store: Store) -> Network:
    """Return a teacher as if it had been trained: its weights are random, which take as long."""
    torch.manual_seed(0)
    return (
        build_teacher(settings, len(store.classes), store.frames.values.shape[1:]).to(DEVICE).eval()
    )


def asked(
    settings: Settings, store: Store, network: Network
) -> tuple[PrivilegedInformation, float]:
    """Ask the teacher once of all recordings, as kdlib does; return what it said and the seconds it
    took."""
    told: dict[str, torch.Tensor] = {}
    seconds = timing.seconds(lambda: told.update(extract_privileged(network, settings, store)))
    crop = settings.training.target_stretch == "crop"
    return build_privileged(told, store.device, network if crop else None), seconds


def against(
    settings: Settings, clips: Clips, privileged: PrivilegedInformation, ways: Ways, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of kdlib's epochs and of its rivals', in turns."""
    epochs = Epochs(
        {name: lambda epoch=epoch: timing.seconds(epoch) for name, epoch in ways.items()}, 0, rounds
    )
    train_student(settings, clips.store, privileged, epochs)
    return epochs.times


def compared(
    settings: Settings, clips: Clips, boxed: bool, rounds: tuple[int, int], decoding: bool = False
) -> dict[str, Any]:
    """Return the ratios of kdlib's epoch to those of the peers, and what asking the teacher once
    costs, in seconds.

    ``rounds`` are those against torchdistill and, many times slower, against the loop; with
    ``decoding`` also against an epoch of nothing else.
    """
    network = trained(settings, clips.store)
    privileged, once = asked(settings, clips.store, network)
    fast = {"torchdistill": rivals.hooked(settings, clips.store, network)} if boxed else {}
    slow = {"loop": rivals.plain(settings, clips.recordings, network, WORKERS)}
    if decoding:
        items = rivals.loader(settings, clips.recordings, WORKERS)
        slow["decoding"] = lambda: deque(items, maxlen=0)
    row = {
        "method": settings.method,
        "backbone": settings.backbone,
        "setting": settings.setting,
        "stride": settings.media.frame_stride,
    }
    own: list[float] = []
    for ways, count in zip((fast, slow), rounds):
        times = against(settings, clips, privileged, ways, count) if ways else {"kdlib": []}
        own += times["kdlib"]
        for name in ways:
            row |= {
                f"{key}_to_{name}": value
                for key, value in timing.ratio(times, "kdlib", name).items()
            }
            row[f"rounds_{name}"] = len(times[name])
    to_faster = max(row[f"ratio_to_{name}"] for name in (*fast, "loop"))
    return {**row, "to_faster": to_faster, "seconds": median(own), "teacher_once": once}


def swept(rows: list[dict[str, Any]], decoding: float, epochs: int) -> dict[str, float]:
    """Return the seconds of a sweep, all of it sums and products of what was measured.

    ``rows`` are of one epoch of each method, ``decoding`` is the seconds of preparing the store. A
    peer's epoch takes kdlib's seconds over the ratio to it. The teacher's training, which all need
    alike, is left out.
    """

    def epoch(*names: str) -> float:
        return (
            ALPHAS
            * epochs
            * sum(row["seconds"] / row[f"ratio_to_{name}"] for row in rows for name in names)
        )

    found = {
        "kdlib": decoding
        + max(row["teacher_once"] for row in rows)
        + ALPHAS * epochs * sum(row["seconds"] for row in rows)
    }
    found["loop"] = epoch("loop")
    if "ratio_to_torchdistill" in rows[0]:
        found["torchdistill in memory"] = decoding + epoch("torchdistill")
        found["torchdistill"] = epoch("torchdistill", "decoding")
    return found


def measure(quick: bool) -> dict[str, Any]:
    """Return ratios of epochs for the nine students, and of a sweep over α by three methods."""
    size, missing = "demo" if quick else USUAL, []
    try:
        rivals.torchdistill()
    except Exception as error:  # one that was installed by halves raises errors of many kinds
        missing.append(f"torchdistill, which cannot be imported ({type(error).__name__}: {error})")
    with tempfile.TemporaryDirectory(prefix="kdlib-peers-") as folder:
        clips = Clips(size, Path(folder) / "nine", CORPUS[size], quick)
        rounds = (1, 1) if quick else (ROUNDS[size], 1)
        nine = [
            compared(
                clips.settings(
                    backbone=backbone, setting=setting, media={"frame_stride": STRIDE[size]}
                ),
                clips,
                not missing,
                rounds,
            )
            for backbone, setting in STUDENTS[:: 8 if quick else 1]
        ]
        rounds = (1, 1) if quick else (3, 2)
        clips = clips if quick else Clips(size, Path(folder) / "swept", SWEPT[size], quick)
        rows = [
            compared(
                clips.settings(setting="agg", method=method, media={"frame_stride": 1}),
                clips,
                not missing,
                rounds,
                decoding=True,
            )
            for method in list(METHODS)[:: 3 if quick else 1]
        ]
    epochs = load(dataset=SIZES[size]).training.epochs
    totals = swept(rows, clips.decoding, epochs)
    worst = max(nine, key=lambda row: row["to_faster"])
    times = {name: seconds / totals["kdlib"] for name, seconds in totals.items()}
    goals = [
        report.goal(f"epoch to that of the faster peer, worst of the students ({worst['backbone']} {worst['setting']})", worst["to_faster"], "≤", 1.0),
        *[report.goal(f"sweep over α by {name}, times kdlib's", times[name], "≥", 10.0) for name in ("loop", "torchdistill") if name in times],
        *[report.goal(f"the same by {name}", times[name]) for name in ("torchdistill in memory",) if name in times],
    ]  # fmt: skip
    parts = {
        "clips": len(clips.recordings),
        "runs": ALPHAS * len(rows),
        "epochs_a_run": epochs,
        "store_once": clips.decoding,
    }
    return {
        "size": size,
        "goals": goals,
        "rows": [*nine, *rows],
        "sweep": {
            "parts": parts,
            "seconds": {name: round(seconds, 1) for name, seconds in totals.items()},
        },
        "notes": notes(size, CORPUS[size], SWEPT[size], len(rows), epochs),
        "not_measured": missing,
    }


def notes(size: str, nine: tuple, swept: tuple, methods: int, epochs: int) -> list[str]:
    """Return what each rival does, and what the sweep is the sum of."""
    return [
        f"{nine[0] * nine[1]} clips of {nine[3][0]}×{nine[3][1]} pixels an epoch, in the sweep {swept[0] * swept[1]} of {swept[3][0]}×{swept[3][1]}, "
        f"as RAVDESS has them; students of the {size} size, α = 0.5; kdlib's epochs are those of a run, with agreement of label and teacher, which no peer has.",
        "torchdistill: its DistillationBox, forward hooks on student and teacher and an online teacher, on kdlib's store in memory, crops and spectrograms.",
        f"loop: a DataLoader ({WORKERS} processes) decodes each item by kdlib's own readers (faster than moviepy's), then crops and transforms it; the teacher at every step.",
        f"The nine students' teacher sees each {STRIDE[size]}th frame, the sweep's all 25 a second; it has random weights, and looks at the crop, in kdlib at the whole clip.",
        f"The sweep is computed: {ALPHAS} α × {methods} methods × {epochs} epochs × the seconds of one epoch, a peer's being kdlib's over the ratio; "
        "for kdlib also decoding and asking the teacher once; for torchdistill decoding its items at every epoch, or once where they stay in memory. "
        "The teacher's training, the same for all, is left out.",
    ]  # fmt: skip


if __name__ == "__main__":
    report.main("peers", measure)
