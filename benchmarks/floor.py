"""How much an epoch costs beyond forward, backward and optimizer step.

The floor is the same network, losses and batches with Adam, on tensors that already lie on the
device, and nothing else. A real epoch is kdlib's own: crops and spectrograms (students) or frames
(teachers) from the store, targets, schedule, progress and, once an epoch, the agreement of label
and teacher, whose cost is told apart: two more passes backwards through the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import report, timing
from benchmarks.material import (
    BACKBONES,
    CLASSES,
    STUDENTS,
    TEACHERS,
    USUAL,
    crop_waveforms,
    noise,
    sized,
    told,
    train_student,
    train_teacher,
)
from benchmarks.timing import DEVICE, Epochs
from kdlib.losses import Targets, build_objective, gradients
from kdlib.models.network import build_student, build_teacher
from kdlib.teacher import to_input
from kdsuite.settings import Settings

# recordings of a student's and of a teacher's epoch: as many as the demo has, and 8 steps or 48
# clips of the paper's size
RECORDINGS = {"demo": (72, 72), "paper": (256, 48)}
USUAL_STEPS = 74  # of an epoch of RAVDESS: 2,350 training recordings by 32
BATCH_OF_SEQUENCES = 8  # at the paper's size 32 sequences of 224² frames need tens of gigabytes


def main_loop(
    module: nn.Module, losses: Callable[[], Iterator[torch.Tensor]], training
) -> Callable[[], None]:
    """Return an epoch of nothing but steps on the given losses, each computed when its turn comes."""
    optimizer = torch.optim.Adam(
        module.parameters(), lr=training.learning_rate[0], betas=training.betas, fused=True
    )

    def epoch() -> None:
        for loss in losses():
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return epoch


def student_floor(
    settings: Settings, recordings: int
) -> tuple[Callable[[], None], Callable[[], float]]:
    """Return the floor of a student's epoch, and a function that returns the seconds of one
    agreement."""
    network = build_student(settings, CLASSES).to(DEVICE).train()
    goal = build_objective(settings).to(DEVICE)
    store = noise(settings, recordings)
    batches = []
    for rows in torch.arange(recordings, device=DEVICE).tensor_split(
        -(-recordings // settings.training.batch_size)
    ):
        x = network.front_end(
            crop_waveforms(settings, store, rows, torch.zeros_like(rows), settings.segments)
        )
        level = (len(rows), settings.segments) if settings.setting == "em" else (len(rows),)
        targets = Targets(
            torch.rand(*level, settings.model.embedding, device=DEVICE),
            torch.rand(len(rows), CLASSES, device=DEVICE),
        )
        batches.append((x, store.labels[rows], targets))

    def losses() -> Iterator[torch.Tensor]:
        for x, labels, targets in batches:
            output = network(x, goal.gradient_scale)
            yield goal(output.logits, output.distilled, labels, targets)

    def agreed() -> float:
        x, labels, targets = batches[0]
        output = network(x, goal.gradient_scale)
        terms = goal.terms(output.logits, output.distilled, labels, targets)
        return timing.seconds(lambda: gradients(terms, goal.weights, network.encoder.parameters()))

    return main_loop(nn.ModuleList([network, goal]), losses, settings.training), agreed


def teacher_floor(settings: Settings, recordings: int) -> Callable[[], None]:
    """Return the floor of a teacher's epoch."""
    media, training, side = settings.media, settings.teacher_training(), settings.media.frame_size
    network = build_teacher(settings, CLASSES, torch.Size((side, side, 3))).to(DEVICE).train()
    frames = round(media.duration * media.fps) // media.frame_stride
    if settings.sequential:
        items, shape = recordings, (frames,)
    else:
        items, shape = (
            recordings
            * (
                training.teacher_frames
                or -(-round(1.25 * media.duration * media.fps) // media.frame_stride)
            ),
            (),
        )
    batches = [
        (
            to_input(
                torch.randint(
                    0, 255, (len(part), *shape, side, side, 3), dtype=torch.uint8, device=DEVICE
                )
            ),
            part % CLASSES,
        )
        for part in torch.arange(items, device=DEVICE).tensor_split(
            -(-items // training.batch_size)
        )
    ]
    return main_loop(
        network,
        lambda: (F.cross_entropy(network(x).logits, labels) for x, labels in batches),
        training,
    )


def measure(quick: bool) -> dict[str, Any]:
    """Return the ratio of a real epoch to the floor for the nine students and six teachers, on a
    CPU also for three of the paper's size."""
    size, budget, least = ("demo", 0, 1) if quick else (USUAL, 5, 3)
    of_student, of_teacher = (8, 8) if quick else RECORDINGS[size]
    chosen = [
        (size, backbone, setting, of_student, {})
        for backbone, setting in STUDENTS[:: 8 if quick else 1]
    ]
    if USUAL == "demo" and not quick:
        chosen += [
            ("paper", backbone, "nonseq", 4, {"training": {"batch_size": 2}})
            for backbone in BACKBONES
        ]
    rows, small = [], {"training": {"teacher_frames": 1}} if quick else {}
    for which, backbone, setting, recordings, given in chosen:
        settings = sized(which, backbone=backbone, setting=setting, **given)
        epoch, agreed = student_floor(settings, recordings)
        epochs = Epochs(
            {"floor": lambda epoch=epoch: timing.seconds(epoch), "agreement": agreed}, budget, least
        )
        store = noise(settings, recordings)
        train_student(settings, store, told(settings, store), epochs)
        rows.append(
            row("student", which, settings, epochs, -(-recordings // settings.training.batch_size))
        )
    for backbone, setting in TEACHERS[:: 6 if quick else 1]:
        given = (
            {"media": {"frame_stride": 5}, "training": {"batch_size": BATCH_OF_SEQUENCES}}
            if size == "paper"
            else small
        )
        given = given if setting == "agg" or size != "paper" else {"media": {"frame_stride": 5}}
        settings = sized(size, backbone=backbone, setting=setting, **given)
        epoch = teacher_floor(settings, of_teacher)
        epochs = Epochs({"floor": lambda epoch=epoch: timing.seconds(epoch)}, budget, least)
        train_teacher(settings, noise(settings, of_teacher, frames=True), epochs)
        rows.append(row("teacher", size, settings, epochs))
    return {
        "goals": [
            goal
            for which in ("demo", "paper")
            for goal in _goals([row for row in rows if row["size"] == which])
        ],
        "rows": rows,
        "notes": [
            f"{of_student} recordings an epoch ({' and '.join(sorted({row['size'] for row in rows}))} size); agreement is two backward passes an "
            f"epoch, whatever the steps in it: of the {USUAL_STEPS} steps of an epoch of RAVDESS it takes a {USUAL_STEPS}th of what it takes of one."
        ],
        "not_measured": [],
    }


def _goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of the table: the worst ratio of each kind of network of one size."""
    goals = []
    for network, what, ratio, most in (
        ("student", "real epoch to floor, worst of the students", "ratio", 1.05),
        ("student", "the same without agreement, worst", "without_agreement", 1.05),
        (
            "student",
            f"the same with agreement in an epoch of {USUAL_STEPS} steps, worst",
            "usual_epoch",
            1.05,
        ),
        ("teacher", "real epoch to floor, worst of the teachers", "ratio", 1.10),
    ):
        found = [row for row in rows if row["network"] == network]
        if found:
            worst = max(found, key=lambda row: row[ratio])
            goals.append(
                report.goal(
                    f"{worst['size']} size, {what} ({_name(worst)})", worst[ratio], "≤", most
                )
            )
    return goals


def _name(row: dict[str, Any]) -> str:
    return f"{row['backbone']} {row['setting']}"


def row(
    network: str, size: str, settings: Settings, epochs: Epochs, steps: int | None = None
) -> dict[str, Any]:
    """Return what was found of one network; of a student also the share of agreement, in epochs of
    the floor, and the ratio in a usual epoch."""
    times = epochs.times
    found = {
        "network": network, "size": size, "backbone": settings.backbone, "setting": settings.setting,
        **timing.ratio(times, "kdlib", "floor"), "rounds": len(times["floor"]),
    }  # fmt: skip
    if steps is not None:
        share = timing.ratio(times, "agreement", "floor")["ratio"]
        without = timing.spread(
            [
                (real - extra) / floor
                for real, floor, extra in zip(times["kdlib"], times["floor"], times["agreement"])
            ]
        )
        usual = round(without["ratio"] + share * steps / USUAL_STEPS, 3)
        found |= {
            "steps": steps,
            "agreement": share,
            "without_agreement": without["ratio"],
            "usual_epoch": usual,
        }
    return found


if __name__ == "__main__":
    report.main("floor", measure)
