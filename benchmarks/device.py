"""What a device can be made to do: a training step in each kind of arithmetic, beside what the
device can do at most.

A step is forward, backward and Adam on tensors that lie on the device. Ceilings are those of a
large product of matrices and of a large copy, measured in the same run. What only a GPU has is told
as not measured elsewhere.
"""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import report, timing
from benchmarks.material import CLASSES, USUAL, crop_waveforms, noise, sized, train_student
from benchmarks.timing import DEVICE, Epochs
from kdlib.dataset import Fold
from kdlib.models.network import build_student, build_teacher
from kdlib.teacher import to_input
from kdsuite.data.store import Store
from kdsuite.runs import stages
from kdsuite.runs.stages import Progress
from kdsuite.settings import Settings

CUDA = DEVICE.type == "cuda"
NETWORKS = (
    ("student", "seresnet", "nonseq"),
    ("student", "vgg", "agg"),
    ("teacher", "vgg", "nonseq"),
    ("teacher", "seresnet", "agg"),
)
BATCH = {"demo": 8, "paper": 32}
SEQUENCES = 2  # of a sequential teacher in a step
STEPS = 20  # of a turn on a GPU, whose single step is too short to be timed; a CPU does a tenth
SEEDS = range(3)
GIGABYTE = 2**30


def batch(kind: str, settings: Settings) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Return a network, what it takes of ``BATCH`` recordings (or so many frames), and labels."""
    size = BATCH["paper" if settings.dataset == "ravdess" else "demo"]
    if kind == "student":
        store = noise(settings, size)
        rows, network = (
            torch.arange(size, device=DEVICE),
            build_student(settings, CLASSES).to(DEVICE),
        )
        x = network.front_end(
            crop_waveforms(settings, store, rows, torch.zeros_like(rows), settings.segments)
        )
    else:
        side, shape = settings.media.frame_size, (SEQUENCES, 20) if settings.sequential else (size,)
        x = to_input(
            torch.randint(0, 255, (*shape, side, side, 3), dtype=torch.uint8, device=DEVICE)
        )
        network = build_teacher(settings, CLASSES, torch.Size((side, side, 3)))
    return network.to(DEVICE).train(), x, torch.arange(len(x), device=DEVICE) % CLASSES


def step(
    kind: str,
    settings: Settings,
    bf16: bool = False,
    fused: bool = True,
    layout: bool = False,
    compiled: bool = False,
):
    """Return a function that does one training step."""
    network, x, labels = batch(kind, settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=fused, foreach=not fused)
    if layout:
        network = network.to(memory_format=torch.channels_last)
    forward = torch.compile(network) if compiled else network

    def once() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            logits = forward(x).logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return once


def graph(kind: str, settings: Settings) -> Callable[[], None]:
    """Return a function that replays one training step from a CUDA graph."""
    network, x, labels = batch(kind, settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, capturable=True, fused=True)

    def once() -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(network(x).logits, labels).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        once()
    return captured.replay


def ways(
    kind: str, settings: Settings, compiled: bool
) -> tuple[dict[str, Callable[[], None]], dict[str, float], list[str]]:
    """Return a step for each way that goes here, the seconds it took to compile, and what does not
    go, and why."""
    makers: dict[str, Callable[[], Callable[[], None]]] = {
        "float32": partial(step, kind, settings),
        "bf16": partial(step, kind, settings, bf16=True),
        "foreach Adam": partial(step, kind, settings, fused=False),
    }
    if CUDA:
        makers |= {
            "channels_last bf16": partial(step, kind, settings, bf16=True, layout=True),
            "CUDA graph": partial(graph, kind, settings),
        }
    if compiled and (CUDA or shutil.which("g++")):
        makers["compiled"] = partial(step, kind, settings, compiled=True)
    found, began, missing = {}, {}, []
    for name, maker in makers.items():
        try:
            found[name] = maker()
            began[name] = timing.seconds(found[name])
        except (
            Exception
        ) as error:  # of many kinds: out of memory, what a compiler or a graph cannot do
            found.pop(name, None)
            missing.append(
                f"{name} of {settings.backbone} {settings.setting}: {str(error).splitlines()[0][:120]}"
            )
    return found, began, missing


def compared(
    kind: str, settings: Settings, compiled: bool, rounds: tuple[float, int]
) -> tuple[dict[str, Any], list[str]]:
    """Return what each way of a step takes of the time of float32, and the FLOP/s of that."""
    found, began, missing = ways(kind, settings, compiled)
    steps = STEPS if CUDA else STEPS // 10
    times = timing.turns(
        {name: lambda way=way: [way() for _ in range(steps)] for name, way in found.items()},
        *rounds,
    )
    row: dict[str, Any] = {
        "network": kind,
        "backbone": settings.backbone,
        "setting": settings.setting,
    }
    row |= {
        f"ratio_{name}": timing.ratio(times, name, "float32")["ratio"] for name in list(found)[1:]
    }
    each = {name: np.median(taken) / steps for name, taken in times.items()}
    with FlopCounterMode(display=False) as counter:
        found["float32"]()
    row |= {
        "gflop": round(counter.get_total_flops() / 1e9, 2),
        "gflops_float32": round(counter.get_total_flops() / each["float32"] / 1e9, 1),
    }
    if "compiled" in found:
        saved = each["float32"] - each["compiled"]
        row["compile_seconds"] = round(began["compiled"], 1)
        row["compile_pays_after_steps"] = round(began["compiled"] / saved) if saved > 0 else None
    return row, missing


def ceilings() -> dict[str, float]:
    """Return GFLOP/s of a product of large matrices, in float32, TF32 (GPU) and bf16, and GB/s read
    and written by a large copy."""
    side, found = (8192 if CUDA else 512), {}
    kinds = {"float32": (torch.float32, "highest"), "bf16": (torch.bfloat16, "highest")} | (
        {"tf32": (torch.float32, "high")} if CUDA else {}
    )
    for name, (dtype, precision) in kinds.items():
        a = torch.randn(side, side, device=DEVICE, dtype=dtype)
        torch.set_float32_matmul_precision(precision)
        times = timing.turns({"product": lambda a=a: a @ a}, 0, 5, 5)["product"]
        found[f"gflops_{name}"] = round(2 * side**3 / min(times) / 1e9, 1)
    torch.set_float32_matmul_precision("highest")
    source = torch.empty(GIGABYTE // (1 if CUDA else 8), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    seconds = min(timing.turns({"copy": lambda: target.copy_(source)}, 0, 5, 5)["copy"])
    return {**found, "gigabytes_a_second": round(2 * source.numel() / seconds / 1e9, 1)}


def tones(settings: Settings, recordings: int) -> Store:
    """Return recordings whose class is the pitch of a tone in noise: something to learn without a
    corpus."""
    store = noise(settings, recordings)
    waveforms, random = store.waveforms, np.random.default_rng(1)
    for row in range(recordings):
        samples = waveforms[row]
        time = torch.arange(len(samples), device=DEVICE) / store.sample_rate
        pitch = 200 * 1.3 ** int(store.labels[row]) * random.uniform(0.97, 1.03)
        samples.copy_((samples / 9 + 300 * (2 * torch.pi * pitch * time).sin()).to(torch.int16))
    return store


def spread(quick: bool) -> dict[str, list[float]]:
    """Return the accuracies of students of several seeds in float32 and in bf16."""
    found: dict[str, list[float]] = {}
    recordings, epochs = (28, 1) if quick else (112, 8)
    for precision in ("float32", "bf16"):
        for seed in SEEDS[: 1 if quick else None]:
            given = {"precision": precision, "epochs": epochs, "cycle": 0.5}
            settings = sized("demo", alpha=0.0, seed=seed, training=given)
            store = tones(settings, recordings)
            half = np.arange(recordings) < recordings // 2
            fold = Fold(0, "half", np.flatnonzero(half), np.flatnonzero(~half))
            with redirect_stdout(io.StringIO()):
                told = stages.train_student(
                    settings, store, fold, None, Progress("seed", epochs)
                ).probabilities
            found.setdefault(precision, []).append(
                float((told.argmax(1) == store.labels[fold.test].cpu().numpy()).mean())
            )
    return found


def synchronisations(settings: Settings) -> int:
    """Return how often an epoch of a student waits for the GPU, but for the one reading of its
    loss."""
    seen: list[int] = []

    def rival() -> float:
        seen.append(len(caught))
        return 1.0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        train_student(settings, noise(settings, 64), None, Epochs({"count": rival}, 0, 2))
        torch.cuda.set_sync_debug_mode("default")
    return seen[-1] - seen[-2]


def memory(settings: Settings, sequences: int) -> float:
    """Return the gigabytes that a step of a sequential teacher of ``sequences`` of 125 frames takes
    at most."""
    torch.cuda.reset_peak_memory_stats()
    side = settings.media.frame_size
    network = build_teacher(settings, CLASSES, torch.Size((side, side, 3))).to(DEVICE).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    for _ in range(settings.training.accumulate):
        seen = torch.randint(
            0,
            255,
            (sequences // settings.training.accumulate, 125, side, side, 3),
            dtype=torch.uint8,
            device=DEVICE,
        )
        with torch.autocast("cuda", torch.bfloat16):
            logits = network(to_input(seen)).logits
        logits.float().sum().backward()
    optimizer.step()
    return torch.cuda.max_memory_allocated() / GIGABYTE


def measure(quick: bool) -> dict[str, Any]:
    """Return the ratios of each network, the ceilings, and what bf16 does to the accuracy."""
    size, rounds = ("demo", (0, 1, 1)) if quick else (USUAL, (3, 3))
    networks = [
        (kind, sized(size, backbone=backbone, setting=setting))
        for kind, backbone, setting in NETWORKS[:: 4 if quick else 1]
    ]
    # a CPU's compiler takes minutes, so one network tells
    compiled = [not quick and (CUDA or number == 0) for number in range(len(networks))]
    rows, missing = zip(
        *[compared(*network, each, rounds) for network, each in zip(networks, compiled)]
    )
    top, accuracies = ceilings(), spread(quick)
    rows = [
        {**row, "of_ceiling": round(row["gflops_float32"] / top["gflops_float32"], 3)}
        for row in rows
    ]
    best = max(rows, key=lambda row: row["of_ceiling"])
    means = {precision: float(np.mean(each)) for precision, each in accuracies.items()}
    apart, luck = abs(means["bf16"] - means["float32"]), float(np.ptp(accuracies["float32"]))
    goals = [
        report.goal("product of matrices, float32", top["gflops_float32"], unit="GFLOP/s"),
        report.goal("large copy", top["gigabytes_a_second"], unit="GB/s"),
        report.goal(f"best share of that product's speed in a step ({best['network']} {best['backbone']} {best['setting']})", best["of_ceiling"]),
        *(report.goal(f"step in {way} to float32, {row['network']} {row['backbone']} {row['setting']}", row[f"ratio_{way}"])
          for row in rows for way in ("bf16", "foreach Adam", "compiled", "channels_last bf16", "CUDA graph") if f"ratio_{way}" in row),
        report.goal("accuracy of bf16 beside float32, to the range of float32's seeds", apart, "≤", max(luck, 0.02)),
    ]  # fmt: skip
    absent = [each for some in missing for each in some]
    if CUDA:
        teacher_of = partial(sized, "paper", backbone="vgg", setting="agg")
        for card, given in (
            (80, {"frames_at_once": 125}),
            (24, {"frames_at_once": 25, "accumulate": 16}),
        ):
            try:
                goals.append(
                    report.goal(
                        f"batch of 32 × 125 frames for {card} GB",
                        memory(teacher_of(training=given), 32),
                        "≤",
                        card,
                        "GB",
                    )
                )
            except torch.cuda.OutOfMemoryError as error:
                absent.append(f"memory for {card} GB: {str(error).splitlines()[0][:120]}")
        goals.append(
            report.goal(
                "waits for the GPU in a student's epoch",
                synchronisations(sized("demo", alpha=0.0)),
                "≤",
                1,
            )
        )
    else:
        absent.append(
            "TF32, channels_last, CUDA graphs, peak memory and waits for the device, which need a GPU"
        )
        absent += [] if shutil.which("g++") else ["torch.compile, which needs a C++ compiler"]
    return {
        "goals": goals, "rows": rows, "ceilings": top, "accuracies": accuracies, "not_measured": absent,
        "notes": [f"networks of the {size} size; accuracy of students of {len(SEEDS)} seeds that tell tones apart."],
    }  # fmt: skip


if __name__ == "__main__":
    report.main("device", measure)
