"""What a step of training costs: counted on a device that computes nothing, and measured on this
one, on noise."""

from __future__ import annotations

import math
import os
import time
from statistics import median
from typing import NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from kdlib.models.network import Network, build_student, build_teacher
from kdlib.parameters import Training
from kdlib.training import autocast
from kdsuite.runs.devices import device_of, share
from kdsuite.settings import Settings

# values in a row of face measurements, as OpenFace gives them; they cost next to nothing
MEASUREMENTS = 35
# a step of more FLOPs is measured on a CPU with fewer items, but two at least
LARGE = 3e10
SECONDS = 0.5  # that measuring a network takes, or one step


class Cost(NamedTuple):
    """What training asks of the encoder for one item (a picture or a spectrogram).

    That is ``flops`` forwards and backwards, and ``bytes`` saved between; ``parameters`` are the
    whole network's. The aggregator's share, a thousandth, is not counted.
    """

    flops: int
    bytes: int
    parameters: int


def training_of(settings: Settings, stage: str) -> Training:
    """Return the training of a stage."""
    return settings.teacher_training() if stage == "teacher" else settings.training


def item(settings: Settings, stage: str) -> tuple[int, tuple[int, ...]]:
    """Return how many items one example of a stage's training has (1 without aggregator), and the
    shape of an item."""
    media, segments = settings.media, settings.segments if settings.sequential else 1
    if stage == "student":
        bins = media.bins if media.front_end == "logmel" else media.fft // 2 + 1
        columns = round(media.duration * media.sample_rate) // round(media.hop * media.sample_rate)
        return segments, (1, bins, columns // segments)
    if settings.corpus.features:
        return 1, (MEASUREMENTS,)
    pictures = segments * round(media.segment * media.fps) // media.frame_stride
    return pictures if settings.sequential else 1, (3, media.frame_size, media.frame_size)


def at_once(settings: Settings, stage: str) -> int:
    """Return the items whose activations a training step keeps at once."""
    training, items = training_of(settings, stage), item(settings, stage)[0]
    most = math.ceil(training.batch_size / training.accumulate) * items
    return min(most, (training.frames_at_once or most) if items > 1 else most)


def _network(settings: Settings, stage: str, classes: int) -> Network:
    """Return a network of a stage; its weights are not those of a file."""
    model = settings.model.model_copy(update={"teacher_weights": ""})
    settings = settings.model_copy(update={"model": model})
    if stage == "student":
        return build_student(settings, classes)
    return build_teacher(settings, classes, torch.Size(item(settings, stage)[1]))


def cost(settings: Settings, stage: str, classes: int) -> Cost:
    """Return the cost of one item of ``teacher`` or ``student``, counted on the meta device."""
    saved: dict[int, int] = {}
    with torch.device("meta"):
        network = _network(settings, stage, classes)
        items = torch.empty(2, *item(settings, stage)[1])

    def save(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        return value

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(save, lambda value: value):
        network.encoder(items).sum().backward()
    weights = list(network.parameters())
    for value in weights:
        saved.pop(value.untyped_storage()._cdata, None)
    halved = 4 if settings.training.precision == "bf16" else 2
    parameters = sum(value.numel() for value in weights)
    return Cost(counter.get_total_flops() // 2, sum(saved.values()) // halved, parameters)


def peak_memory(of: Cost, items: int) -> int:
    """Return about how many bytes a training step takes: weights, gradients and Adam's moments, and
    what is saved of the ``items`` at once.

    Gradients of activations come on top while they are made: a tenth is added for them. On a CPU,
    teachers took 0.9 to 1.1 times that, students up to 1.8 times.
    """
    return round(16 * of.parameters + 1.1 * items * of.bytes)


def seconds_an_item(settings: Settings, stage: str, flops: int) -> float:
    """Return the seconds that training takes for an item of ``flops``: forwards, backwards and
    Adam, measured for :data:`SECONDS`; the first of several steps warms up.

    Crops, spectrograms, aggregator and distance, which take little in networks of usual size, are
    not measured.
    """
    device = device_of(settings.training)
    network, count = _network(settings, stage, 2).to(device), at_once(settings, stage)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    clock = time.monotonic
    if device.type == "cpu":  # one thread, and seconds of work, whatever else goes on there
        torch.set_num_threads(1)
        count, clock = max(2, min(count, int(LARGE / flops))), time.process_time
    items = torch.rand(count, *item(settings, stage)[1], device=device)
    times, end = [], time.monotonic() + SECONDS
    while not times or time.monotonic() < end:
        began = clock()
        with autocast(settings.training, device):
            loss = network.encoder(items).float().sum()
        loss.backward()
        optimizer.step()
        loss.item()  # waits for a GPU
        times.append(clock() - began)
    return median(times[1:] or times) / count


def workers(device: torch.device) -> int:
    """Return how many runs go side by side on all of this machine: one a core, or one a GPU (or
    $KDLIB_GPU_SHARE)."""
    if device.type == "cpu":
        return len(os.sched_getaffinity(0))
    return torch.cuda.device_count() * max(1, share())
