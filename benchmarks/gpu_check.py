"""What a GPU does with the trainings of the paper, in four minutes: right results, nothing that
waits, milliseconds and TFLOP/s of each network.

It needs kdlib and what kdlib imports, and no recordings: ``python -m benchmarks.gpu_check [--device
cpu] [--output FILE]``, or ``make gpu-check``. A CPU does the same with small networks and without
graphs, which shows that the script works. The file it writes holds rates that ``kdlib plan`` takes.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from kdlib.dataset import Dataset, Fold, Ragged
from kdlib.device import autocast, configure, precision
from kdlib.graph import WARM_UP
from kdlib.models.network import BACKBONES, SETTINGS, Network, build_student, build_teacher
from kdlib.parameters import Settings
from kdlib.student import build_targets, predict, student_trainer
from kdlib.teacher import build_privileged, extract_privileged, teacher_trainer
from kdlib.training import Trainer

CLASSES, STEPS, SECONDS = 7, 8, 240
SMALL = {
    "media": {
        "duration": 0.8,
        "segment": 0.4,
        "frame_size": 32,
        "frame_stride": 5,
        "fft": 128,
        "window": 0.008,
    },
    "model": {
        "embedding": 16,
        "width": 0.1,
        "teacher_width": 0.1,
        "reduction": 4,
        "teacher_layers": 2,
    },
}
PAPER = {"media": {"frame_stride": 5}, "model": {}}
# milliseconds that issue and measurements before it name; of an H100
GOALS = {"student seresnet nonseq": 26.0, "teacher resnet nonseq": 6.0}
# kernels by a part of their name, the first that fits
KERNELS = {
    "batch-norm": ("batch_norm", "bn_", "batchnorm"),
    "convolution": ("conv", "gemm", "xmma", "cutlass", "wgrad", "dgrad", "cudnn", "nchw", "nhwc"),
    "optimiser": ("adam", "multi_tensor"),
    "pooling": ("pool",),
    "elementwise": ("elementwise", "vectorized", "reduce", "copy", "cat", "fill"),
}


def settings(sizes: dict[str, Any], training: dict[str, Any], **axes: Any) -> Settings:
    """Return settings of some ``sizes``."""
    training = {"cycle": 0.5, "teacher_frames": 4, "batch_size": 32, **training}
    return Settings(**axes, **sizes, training=training)


def noise(of: Settings, recordings: int, device: torch.device, seconds: float = 1.25) -> Dataset:
    """Return recordings of noise, ``seconds`` times as long as a crop."""
    media, generator = of.media, torch.Generator().manual_seed(0)
    frames = math.ceil(seconds * media.duration * media.fps)
    lengths = torch.full((recordings,), frames)

    def random(*shape: int, low: int, high: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator, dtype=dtype)

    samples, side = recordings * frames * media.samples_per_frame, media.frame_size
    sound = random(samples, low=-9000, high=9000, dtype=torch.int16)
    pictures = random(recordings * frames, side, side, 3, low=0, high=255, dtype=torch.uint8)
    dataset = Dataset(
        classes=[str(number) for number in range(CLASSES)],
        waveforms=Ragged.of(sound, lengths * media.samples_per_frame),
        frames=Ragged.of(pictures, lengths),
        labels=torch.arange(recordings) % CLASSES,
        sample_rate=media.sample_rate,
        fps=media.fps,
    )
    return dataset.to(device)


def everything(recordings: int) -> Fold:
    """Return a fold that trains on all recordings and tests two of them."""
    return Fold(0, "all", np.arange(recordings), np.arange(2))


def end_to_end(device: torch.device) -> list[dict[str, Any]]:
    """Train teacher and student of em and agg for the three backbones, once with graphs and once
    without; raise AssertionError where they disagree by more than rounding."""
    rows = []
    for backbone, setting in itertools.product(BACKBONES, ("em", "agg")):
        losses = {}
        for graph in ("off", "auto"):
            training = {"epochs": 6, "batch_size": 8, "graph": graph, "precision": "float32"}
            of = settings(SMALL, training, backbone=backbone, setting=setting)
            configure(of.training, device)
            dataset, fold = noise(of, 16, device), everything(16)
            teacher = teacher_trainer(of, dataset, fold)
            taught = [epoch["loss"] for epoch in teacher.epochs()]
            outputs = extract_privileged(teacher.network, of, dataset)
            privileged = build_privileged(outputs, device)
            targets = build_targets(of, dataset, fold, privileged, None)
            student = student_trainer(of, dataset, fold, targets)
            learned = [epoch["loss"] for epoch in student.epochs()]
            logits = predict(student.network, of, dataset, fold.test).logits
            assert torch.isfinite(logits).all(), f"{backbone} {setting}: logits are not finite"
            losses[graph] = taught + learned
        apart = max(abs(a - b) / abs(b) for a, b in zip(losses["auto"], losses["off"]))
        assert apart < 0.02, f"{backbone} {setting}: replayed steps differ by {apart:.1%}"
        rows.append({"backbone": backbone, "setting": setting, "largest_difference": apart})
    return rows


def trainer_of(stage: str, of: Settings, device: torch.device) -> tuple[Trainer, int]:
    """Return a trainer of ``STEPS`` steps an epoch, and the items of a step."""
    training = of.training
    recordings = STEPS * training.batch_size
    if stage == "student":
        dataset, fold = noise(of, recordings, device), everything(recordings)
        shape = (12, of.model.embedding)
        privileged = build_privileged(
            {
                "frames": torch.rand(recordings * 12, of.model.embedding),
                "lengths": torch.full((recordings,), shape[0]),
                "recording_embedding": torch.rand(recordings, of.model.embedding),
                "probabilities": torch.rand(recordings, CLASSES).softmax(-1),
            },
            device,
        )
        targets = build_targets(of, dataset, fold, privileged, None)
        return student_trainer(of, dataset, fold, targets), training.batch_size
    # without aggregator a frame is an example
    recordings = recordings if of.sequential else recordings // training.teacher_frames
    dataset = noise(of, recordings, device, 1.0)
    return teacher_trainer(of, dataset, everything(recordings)), training.batch_size


def seconds_a_step(trainer: Trainer) -> float:
    """Return the median seconds of a step over the last epochs, in which graphs are replayed."""
    seconds = [epoch["seconds"] for epoch in trainer.epochs()][WARM_UP + 1 :]
    return statistics.median(seconds) / STEPS


def plain_network(stage: str, of: Settings, device: torch.device) -> float:
    """Return the seconds of a plain step of the network alone: channels first, order and draws
    uploaded in the step, no graph; no crops, no spectrogram, no teacher's loss."""
    network, items = network_and_items(stage, of)
    network.to(device).train()
    count, *shape = items
    x = torch.rand(of.training.batch_size * count, *shape, device=device)
    labels = torch.arange(of.training.batch_size, device=device) % CLASSES
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        order = torch.arange(len(x)).to(device)
        torch.rand(len(labels)).to(device)
        optimizer.zero_grad()
        with autocast(device, of.training):
            e = network.encoder(x[order])
            if network.aggregator is not None:
                e = network.aggregator(e.unflatten(0, (-1, count)))
            logits = network.head(e)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return timed(step, device, STEPS)


def timed(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Return the seconds of a step, after two that warm up."""
    step(), step()
    synchronize(device)
    began = time.monotonic()
    for _ in range(steps):
        step()
    synchronize(device)
    return (time.monotonic() - began) / steps


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def network_and_items(stage: str, of: Settings) -> tuple[Network, tuple[int, ...]]:
    """Return a network, how many items its encoder sees of an example, and the shape of an item."""
    media, side = of.media, of.media.frame_size
    if stage == "student":
        count = of.segments if of.sequential else 1
        columns = round(media.duration / media.hop) // count
        return build_student(of, CLASSES), (count, 1, media.fft // 2 + 1, columns)
    count = of.segments * media.frames_per_segment if of.sequential else 1
    return build_teacher(of, CLASSES, torch.Size((side, side, 3))), (count, 3, side, side)


def flops(stage: str, of: Settings) -> int:
    """Return the FLOPs of an example forwards and backwards, counted on the meta device."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network, (count, *shape) = network_and_items(stage, of)
        network.encoder(torch.empty(2 * count, *shape)).sum().backward()
    return counter.get_total_flops() // 2


def networks(device: torch.device, until: float) -> Iterator[dict[str, Any]]:
    """Yield milliseconds and TFLOP/s of a step of each network, a plain step of the network beside it, until the time is over."""
    gpu = device.type == "cuda"
    for stage, backbone, setting in itertools.product(("student", "teacher"), BACKBONES, SETTINGS):
        name = f"{stage} {backbone} {setting}"
        if time.monotonic() > until:
            yield {"network": name, "left_out": "the time was over"}
            continue
        training = {"epochs": 2 * WARM_UP if gpu else 2, "batch_size": 32 if gpu else 8}
        if stage == "teacher" and setting != "nonseq":
            training["batch_size"] = 4  # sequences of 20 frames
        of = settings(PAPER if gpu else SMALL, training, backbone=backbone, setting=setting)
        configure(of.training, device)
        try:
            plain = plain_network(stage, of, device)
            if gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            trainer, examples = trainer_of(stage, of, device)
            step = seconds_a_step(trainer) if gpu else first_epoch(trainer)
        except torch.cuda.OutOfMemoryError as error:
            yield {"network": name, "left_out": str(error).splitlines()[0]}
            continue
        arithmetic = examples * flops(stage, of)
        yield {
            "network": name, "stage": stage, "backbone": backbone, "setting": setting, "examples": examples,
            "precision": precision(of.training, device), "milliseconds_plain": 1000 * plain, "milliseconds": 1000 * step,
            "ratio": step / plain, "tflops_a_second": arithmetic / step / 1e12,
            "peak_gigabytes": torch.cuda.max_memory_allocated(device) / 1e9 if gpu else None,
            "goal_milliseconds": GOALS.get(name) if gpu else None,
        }  # fmt: skip
        del trainer


def first_epoch(trainer: Trainer) -> float:
    """Return the seconds of a step of one epoch, which is enough to see that a CPU works."""
    return next(trainer.epochs())["seconds"] / STEPS


def waits(device: torch.device) -> str:
    """Return "none" where no warmed step waits for the GPU; torch raises RuntimeError else."""
    if device.type != "cuda":
        return "needs a GPU"
    for setting in SETTINGS:
        of = settings(SMALL, {"epochs": 8, "batch_size": 8}, setting=setting)
        configure(of.training, device)
        trainer, _ = trainer_of("student", of, device)
        epochs = trainer.epochs()
        for _ in range(WARM_UP + 2):
            next(epochs)
        assert trainer.graphs.graphs, "nothing was recorded"
        trainer.graphs = partial(strict, trainer.graphs)
        next(epochs)
        trainer.graphs, trainer._step = None, partial(strict, trainer._step)
        next(epochs)
    return "none"


def strict(step: Callable[..., None], *given: Any) -> None:
    """Do a step that may not wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    step(*given)
    torch.cuda.set_sync_debug_mode("default")


def fold_of_ravdess(device: torch.device) -> dict[str, float]:
    """Return the seconds of an epoch of a student on a fold of RAVDESS' size, and their share that
    is not steps."""
    gpu = device.type == "cuda"
    recordings, epochs = (1152, WARM_UP + 3) if gpu else (32, 2)
    of = settings(PAPER if gpu else SMALL, {"epochs": epochs}, backbone="seresnet", alpha=0.0)
    configure(of.training, device)
    dataset = noise(
        of.model_copy(update={"media": of.media.model_copy(update={"frame_size": 32})}),
        recordings,
        device,
    )
    trainer = student_trainer(of, dataset, everything(recordings), None)
    whole, within = [epoch["seconds"] for epoch in trainer.epochs()], []

    def timed_step(inner, *given) -> None:
        began = time.monotonic()
        inner(*given)
        synchronize(device)
        within.append(time.monotonic() - began)

    trainer.history.clear()
    if trainer.graphs:
        trainer.graphs = partial(timed_step, trainer.graphs)
    else:
        trainer._step = partial(timed_step, trainer._step)
    next(trainer.epochs())
    steps = math.ceil(recordings / of.training.batch_size)
    return {
        "recordings": recordings, "seconds_an_epoch": whole[-1], "steps": steps,
        "epoch_by_steps": whole[-1] / sum(within[-steps:]), "goal": 1.05,
    }  # fmt: skip


def kernels(device: torch.device) -> dict[str, float] | None:
    """Return the share of a step's GPU time by kind of kernel, SE-ResNet student."""
    if device.type != "cuda":
        return None
    of = settings(PAPER, {"epochs": 2, "graph": "off"}, backbone="seresnet")
    configure(of.training, device)
    trainer, _ = trainer_of("student", of, device)
    epochs = trainer.epochs()
    next(epochs)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        next(epochs)
    times = Counter()
    for event in profiled.key_averages():
        name = event.key.lower()
        kind = next(
            (kind for kind, parts in KERNELS.items() if any(part in name for part in parts)),
            "other",
        )
        times[kind] += event.self_device_time_total
    total = sum(times.values())
    return {kind: round(spent / total, 3) for kind, spent in times.most_common()}


def determinism(device: torch.device) -> float | None:
    """Return what deterministic kernels cost: the ratio of a step's time, SE-ResNet student."""
    if device.type != "cuda":
        return None
    seconds = {}
    for deterministic in (False, True):
        training = {"epochs": 2 * WARM_UP, "deterministic": deterministic}
        of = settings(PAPER, training, backbone="seresnet")
        configure(of.training, device)
        seconds[deterministic] = seconds_a_step(trainer_of("student", of, device)[0])
    torch.use_deterministic_algorithms(False)
    return seconds[True] / seconds[False]


def compiled(device: torch.device) -> dict[str, float] | None:
    """Return milliseconds of the SE-ResNet student's step with a compiled encoder, and the seconds
    that compiling took."""
    if device.type != "cuda":
        return None
    of = settings(PAPER, {"epochs": 2 * WARM_UP, "compile": True}, backbone="seresnet")
    configure(of.training, device)
    began = time.monotonic()
    trainer, _ = trainer_of("student", of, device)
    next(trainer.epochs())
    seconds = time.monotonic() - began
    return {"milliseconds": 1000 * seconds_a_step(trainer), "seconds_to_compile": seconds}


def measure(device: torch.device) -> dict[str, Any]:
    """Return all that was measured; what fails is told by its sentence, and the rest goes on."""
    began = time.monotonic()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    results: dict[str, Any] = {"device": name, "torch": torch.__version__, "failures": []}
    parts = {
        "end_to_end": end_to_end,
        "waits_in_a_step": waits,
        "networks": lambda device: list(networks(device, began + 0.7 * SECONDS)),
        "fold": fold_of_ravdess,
        "kernels": kernels,
        "deterministic_ratio": determinism,
        "compiled": compiled,
    }
    for part, function in parts.items():
        if time.monotonic() - began > 0.85 * SECONDS:
            results["failures"].append(f"{part}: left out, the time was over")
            continue
        try:
            results[part] = function(device)
        except Exception as error:  # of any kind: the other parts are wanted all the same
            results["failures"].append(f"{part}: {type(error).__name__}: {str(error)[:300]}")
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        results.setdefault("seconds", {})[part] = round(time.monotonic() - began, 1)
        print(f"{part}: done after {time.monotonic() - began:.0f} s", flush=True)
    return results


def table(results: dict[str, Any]) -> str:
    """Return the networks as lines of text."""
    lines = ["network                    plain ms   now ms  ratio  TFLOP/s  peak GB"]
    for row in results.get("networks", []):
        if "left_out" in row:
            lines.append(f"{row['network']:26} left out: {row['left_out']}")
            continue
        peak = f"{row['peak_gigabytes']:8.1f}" if row["peak_gigabytes"] else "       –"
        lines.append(
            f"{row['network']:26}{row['milliseconds_plain']:10.1f}{row['milliseconds']:9.1f}"
            f"{row['ratio']:7.2f}{row['tflops_a_second']:9.2f} {peak}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table and write the file; return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    # plans take the speeds of that file, so a CPU writes it only where it is asked to
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    results = measure(torch.device(given.device))
    if given.output is None and given.device != "cpu":
        given.output = (
            Path(os.environ.get("KDLIB_REPORTS") or "reports") / "benchmarks" / "gpu.json"
        )
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(results, indent=1))
    print(table(results))
    for name in ("waits_in_a_step", "fold", "kernels", "deterministic_ratio", "compiled"):
        print(f"{name}: {results.get(name)}")
    for failure in results["failures"]:
        print(f"FAILED {failure}")
    print(f"written: {given.output or 'nothing, on a CPU'}")
    return bool(results["failures"])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main())
