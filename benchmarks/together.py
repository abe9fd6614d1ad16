"""Whether several students train faster at once than one after the other, in one process, on the
batches that they share.

Students that are compared start from the same weights and see the same crops in the same order, so
those of several α can hear each batch together: it is cut, turned into spectrograms and given its
targets once. Their numbers must be those of kdlib's own trainings.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks import report, timing
from benchmarks.material import STUDENTS, USUAL, batches, fold_of, noise, sized, told
from benchmarks.timing import DEVICE
from kdlib.dataset import Fold
from kdlib.losses import Targets, Terms, gradients
from kdlib.student import build_targets, predict, student_trainer
from kdlib.teacher import PrivilegedInformation
from kdlib.training import Trainer, learning_rate
from kdsuite.data.store import Store
from kdsuite.runs import stages
from kdsuite.runs.stages import Progress
from kdsuite.settings import Settings

ALPHAS = (0.25, 0.5, 0.75, 1.0)
EPOCHS = 2
# what is compared is the training, so nothing is estimated behind it
TRAINING = {"epochs": EPOCHS, "cycle": EPOCHS / 2, "batchnorm": "running"}
RECORDINGS = {"demo": 72, "paper": 128}
# a probability's largest difference that is rounding
ROUNDING = 1e-6
# from settings, store, fold and targets to the test probabilities of each student
Way = Callable[..., list[np.ndarray]]


class Batch(NamedTuple):
    """What all students share of a batch; the ``first`` of an epoch is where a run looks at the
    agreement of label and teacher."""

    spectrogram: torch.Tensor
    labels: torch.Tensor
    targets: Targets
    rate: float
    first: bool


def trainers(
    group: list[Settings], store: Store, fold: Fold, privileged: PrivilegedInformation
) -> list[Trainer]:
    """Return each student's trainer, as a run has it."""
    return [
        student_trainer(
            settings, store, fold, build_targets(settings, store, fold, privileged, None)
        )
        for settings in group
    ]


def shared(pupil: Trainer) -> Iterator[Batch]:
    """Yield the batches of all epochs, as any of the students would draw them."""
    training, task = pupil.training, pupil.task
    for epoch in range(training.epochs):
        parts = batches(len(task.rows), training.batch_size, pupil.generator)
        for step, part in enumerate(parts):
            spectrogram, rows, start = task.load(*part)
            rate = learning_rate(training, len(parts), epoch * len(parts) + step)
            yield Batch(
                spectrogram,
                task.labels[rows],
                task.targets(rows, start, spectrogram),
                rate,
                step == 0,
            )


def terms_of(pupil: Trainer, batch: Batch) -> Terms:
    """Return both losses of a batch."""
    objective = pupil.task.objective
    output = pupil.network(batch.spectrogram, objective.gradient_scale)
    return objective.terms(output.logits, output.distilled, batch.labels, batch.targets)


def learn(optimizer: torch.optim.Optimizer, loss: torch.Tensor, rate: float) -> None:
    """Take a step as a run does."""
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def tested(pupils: list[Trainer], store: Store, fold: Fold) -> list[np.ndarray]:
    """Return each student's class probabilities of the test recordings, ``(tested, classes)``."""
    return [
        predict(pupil.network, pupil.task.settings, store, fold.test)
        .logits.softmax(dim=-1)
        .cpu()
        .numpy()
        for pupil in pupils
    ]


def together(
    group: list[Settings],
    store: Store,
    fold: Fold,
    privileged: PrivilegedInformation,
    streams: bool = False,
) -> list[np.ndarray]:
    """Train a student for each of ``group``, settings that differ in α, in turns on each batch,
    with ``streams`` each on a stream of its own."""
    pupils = trainers(group, store, fold, privileged)
    own = [torch.cuda.Stream(store.device) if streams else None for _ in pupils]
    for batch in shared(pupils[0]):
        for stream in filter(None, own):
            stream.wait_stream(torch.cuda.current_stream())
        for pupil, stream in zip(pupils, own):
            with torch.cuda.stream(stream):
                terms, objective = terms_of(pupil, batch), pupil.task.objective
                if batch.first:
                    gradients(terms, objective.weights, pupil.network.encoder.parameters())
                learn(pupil.optimizer, objective.total(terms), batch.rate)
        for stream in filter(None, own):  # the next batch may take this one's memory only then
            torch.cuda.current_stream().wait_stream(stream)
    return tested(pupils, store, fold)


class Encoded(nn.Module):
    """Stands for a student's encoder while all encoders work as one: it says what was computed for
    this student."""

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Return ``said``, the embeddings ``(items, embedding)``."""
        return self.said


def stacked(
    group: list[Settings], store: Store, fold: Fold, privileged: PrivilegedInformation
) -> list[np.ndarray]:
    """Train the same students, their encoders' weights stacked and vectorised over: a convolution
    of all is one call."""
    pupils, training = trainers(group, store, fold, privileged), group[0].training
    encoders = [pupil.network.encoder for pupil in pupils]
    weights, buffers = stack_module_state(encoders)  # (students, …)
    plan = copy.deepcopy(encoders[0]).to("meta")
    encode = vmap(
        lambda weights, buffers, items: functional_call(plan, (weights, buffers), (items,)),
        in_dims=(0, 0, None),
    )
    for pupil in pupils:
        pupil.network.encoder = Encoded()
    others = [weight for pupil in pupils for weight in pupil.module.parameters()]
    optimizer = torch.optim.Adam([*weights.values(), *others], betas=training.betas, fused=True)
    for batch in shared(pupils[0]):
        embeddings = encode(
            weights,
            buffers,
            batch.spectrogram.flatten(0, 1) if group[0].sequential else batch.spectrogram,
        )
        for pupil, said in zip(pupils, embeddings):
            pupil.network.encoder.said = said
        terms, objectives = (
            [terms_of(pupil, batch) for pupil in pupils],
            [pupil.task.objective for pupil in pupils],
        )
        if batch.first:  # no student's loss hangs on another's weights, so that one pass gives the gradients of all
            gradients(Terms(*map(sum, zip(*terms))), objectives[0].weights, weights.values())
        learn(
            optimizer,
            sum(objective.total(each) for objective, each in zip(objectives, terms)),
            batch.rate,
        )
    for number, (pupil, encoder) in enumerate(zip(pupils, encoders)):
        encoder.load_state_dict(
            {name: value[number] for name, value in {**weights, **buffers}.items()}
        )
        pupil.network.encoder = encoder
    return tested(pupils, store, fold)


def apart(
    group: list[Settings], store: Store, fold: Fold, privileged: PrivilegedInformation
) -> list[np.ndarray]:
    """Train the same students one after the other, by kdlib's own
    :func:`kdsuite.runs.stages.train_student`; return the same."""
    with contextlib.redirect_stdout(io.StringIO()):
        progress = Progress("benchmark", group[0].training.epochs, len(group))
        return [
            stages.train_student(settings, store, fold, privileged, progress).probabilities
            for settings in group
        ]


def refused(way: Way, given: tuple) -> str | None:
    """Return why a way cannot go, such as for want of memory; None where it can."""
    try:
        way(*given)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return None


def compared(
    size: str, backbone: str, setting: str, recordings: int, rounds: tuple[float, int]
) -> tuple[dict[str, Any], list[str]]:
    """Return the time of each way to that apart, and by how much a test probability differs at
    most; and what could not be measured."""
    group = [
        sized(size, backbone=backbone, setting=setting, alpha=alpha, training=TRAINING)
        for alpha in ALPHAS
    ]
    store = noise(group[0], recordings)
    given = group, store, fold_of(store), told(group[0], store)
    ways: dict[str, Way] = {"together": together, "stacked": stacked}
    if DEVICE.type == "cuda":
        ways["streams"] = partial(together, streams=True)
    missing = {name: why for name in list(ways)[1:] if (why := refused(ways[name], given))}
    ways = {"apart": apart, **{name: way for name, way in ways.items() if name not in missing}}
    found: dict[str, list[np.ndarray]] = {}
    times = timing.turns(
        {name: lambda name=name: found.update({name: ways[name](*given)}) for name in ways}, *rounds
    )
    row = {
        "backbone": backbone,
        "setting": setting,
        "students": len(group),
        "rounds": len(times["apart"]),
    }
    row["difference_alphas"] = float(np.abs(found["apart"][0] - found["apart"][-1]).max())
    for name in list(ways)[1:]:
        row |= {f"{key}_{name}": value for key, value in timing.ratio(times, name, "apart").items()}
        row[f"difference_{name}"] = float(
            np.abs(np.array(found[name]) - np.array(found["apart"])).max()
        )
    return row, [f"{name} with {backbone} {setting}: {why}" for name, why in missing.items()]


def measure(quick: bool) -> dict[str, Any]:
    """Return for the nine students what training several α at once saves."""
    size = "demo" if quick else USUAL
    recordings = 8 if quick else RECORDINGS[size]
    students = STUDENTS[:: 8 if quick else 1]
    rows, missing = zip(
        *[compared(size, *names, recordings, (0, 1) if quick else (4, 3)) for names in students]
    )
    difference = max(row["difference_together"] for row in rows)
    exact = ("≤", ROUNDING) if DEVICE.type == "cpu" else ()
    goals = [
        report.goal(
            "largest difference of a test probability, together and apart", difference, *exact
        )
    ]
    found = [
        f"α of {', '.join(map(str, ALPHAS))}, {EPOCHS} epochs of {recordings} recordings, students of the {size} size; apart is kdsuite.runs.stages.train_student.",
        "together: each batch's crops, spectrograms and targets are made once; stacked: also one call of vmap for the encoders of all; streams: each α on one of its own.",
        "What is stacked is rounded otherwise, and training makes that grow; difference_alphas, between the α themselves, is the measure of the differences in the rows.",
    ]  # fmt: skip
    for way in ("together", "stacked", "streams"):
        ratios = {
            f"{row['backbone']} {row['setting']}": row[f"ratio_{way}"]
            for row in rows
            if f"ratio_{way}" in row
        }
        if ratios:
            best, worst = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
            goals.append(
                report.goal(
                    f"{len(ALPHAS)} α at once ({way}) to one after the other, best ({best})",
                    ratios[best],
                )
            )
            goals.append(report.goal(f"the same, worst ({worst})", ratios[worst]))
            slower = [name for name, ratio in ratios.items() if ratio > 0.95]
            found.append(f"{way} saves less than 5 % with {', '.join(slower) or 'none of them'}.")
    return {
        "size": size,
        "goals": goals,
        "rows": list(rows),
        "notes": found,
        "not_measured": list(chain(*missing)),
    }


if __name__ == "__main__":
    report.main("together", measure)
