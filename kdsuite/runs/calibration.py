"""What a step of training costs: counted on a device that computes nothing, and measured on this
one, on noise."""

import math
import time
import timeit
from functools import cached_property, partial

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from kdlib.device import autocast, place, precision
from kdlib.models.network import build_student, build_teacher
from kdlib.parameters import digest
from kdlib.spectrogram import Spectrogram
from kdsuite.runs.devices import cores, device_of, share
from kdsuite.settings import Settings

# values in a row of face measurements, as OpenFace gives them; they cost next to nothing
MEASUREMENTS = 35
# a step of more FLOPs is measured on a CPU with fewer items, but two at least
LARGE = 3e10


class Step:
    """A training step of the ``teacher`` or ``student`` of ``settings``, whose training is
    ``training``.

    One example has ``items`` (pictures or spectrograms; 1 without aggregator) of ``shape``; the
    activations of ``at_once`` items are kept at once. Steps of one ``name`` cost the same.
    """

    def __init__(self, settings: Settings, stage: str, classes: int) -> None:
        media, training, self.items = settings.media, settings.training, 1
        if stage == "student":
            samples = settings.segments * media.samples_per_segment
            sound = Spectrogram(media, settings.sequential)(torch.zeros(1, samples))
            self.items, self.shape = sound.shape[:-3].numel(), sound.shape[-3:]
            self.build = partial(build_student, settings)
        else:
            training = settings.teacher_training()
            side = media.frame_size
            self.shape = torch.Size([MEASUREMENTS] if settings.corpus.features else [3, side, side])
            if settings.sequential and not settings.corpus.features:
                self.items = settings.segments * media.frames_per_segment
            self.build = partial(build_teacher, settings, frame_shape=self.shape)
        self.training, self.classes = training, classes
        most = math.ceil(training.batch_size / training.accumulate) * self.items
        self.at_once = min(most, self.items > 1 and training.frames_at_once or most)
        kind = stage, settings.backbone, settings.model.model_dump(), training.precision
        self.name = digest([*kind, self.shape, self.at_once])

    @cached_property
    def cost(self) -> tuple[int, int, int]:
        """What an item asks of the encoder: FLOPs forwards and backwards, and bytes saved between;
        and the parameters of the whole network. All are counted on the meta device.

        The aggregator's share, a thousandth, is not counted.
        """
        saved = {}
        with torch.device("meta"):
            network = self.build(self.classes)
            items = torch.empty(2, *self.shape)

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
        return flops.get_total_flops() // 2, sum(saved.values()) // halved, parameters

    @property
    def memory(self) -> int:
        """About how many bytes the step takes: weights, gradients and Adam's moments, and what is
        saved of the items at once.

        Gradients of activations come on top while they are made: a tenth is added for them. On a
        CPU, teachers took 0.9 to 1.1 times that, students up to 1.8 times.
        """
        _, saved, parameters = self.cost
        return round(16 * parameters + 1.1 * self.at_once * saved)

    @cached_property
    def seconds(self) -> float:
        """The seconds that training takes for an item: forwards, backwards and Adam, measured for a
        fifth of a second or one step.

        Crops, spectrograms, aggregator and distance, which take little in networks of usual size,
        are not measured.
        """
        device, count, clock = device_of(self.training), self.at_once, time.monotonic
        if device.type == "cpu":  # one thread, and seconds of work, whatever else goes on there
            torch.set_num_threads(1)
            count, clock = max(2, min(count, int(LARGE / self.cost[0]))), time.process_time
        network = place(self.build(self.classes), device)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        items = torch.rand(count, *self.shape, device=device)

        def step():
            with autocast(device, self.training):
                loss = network.encoder(items).float().sum()
            loss.backward()
            optimizer.step()
            loss.item()  # waits for a GPU

        timer = timeit.Timer(step, timer=clock)
        number, seconds = 1, timer.timeit(1)  # a short step only warms up
        if seconds < 0.2 or device.type == "cuda":
            number, seconds = timer.autorange()
        return seconds / number / count


def workers(device: torch.device) -> int:
    """Return how many runs go side by side on all of this machine: one a core, or one a GPU (or
    $KDLIB_GPU_SHARE)."""
    if device.type == "cpu":
        return cores()
    return torch.cuda.device_count() * max(1, share())
