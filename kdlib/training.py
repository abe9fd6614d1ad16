"""One training loop for teacher and student."""

from __future__ import annotations

import itertools
import math
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR
from torch.optim.swa_utils import update_bn

from kdlib import devices, places
from kdlib.corpora import Fold
from kdlib.errors import InvalidParameter, NotFinite, UserError
from kdlib.parameters import Training
from kdlib.settings import digest


def device_of(training: Training) -> torch.device:
    """Return the device to train on, of several GPUs one that is free; raise InvalidParameter where CUDA is asked for and absent."""
    if training.device == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter("parameter 'training.device' is 'cuda', but no CUDA device is there; use auto or cpu.")
    if training.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda") if devices.assigned() else torch.device("cuda", devices.claim(torch.cuda.device_count()))


def autocast(training: Training, device: torch.device) -> AbstractContextManager:
    """Return the context of forward passes: bf16 where asked, float32 else."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16")


def seeded(seed: int, *purpose: object) -> torch.Generator:
    """Return a generator of its own for each purpose, and seed the global one (initial weights) the same way.

    The student's purpose names neither method nor alpha: students that are compared start from the same weights and
    see the same crops in the same order.
    """
    number = int(digest([seed, *map(str, purpose)]), 16)
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


class Progress:
    """One printed line an epoch, with the time left over all ``folds`` of a stage."""

    def __init__(self, name: str, epochs: int, folds: int = 1) -> None:
        self.name, self.epochs, self.all, self.done, self.began = name, epochs, epochs * folds, 0, time.monotonic()

    def follow(self, fold: Fold, facts: Iterator[dict[str, float]]) -> list[dict[str, float]]:
        """Train a fold to its end, which is to go through what :func:`fit` yields; print each epoch and return all of them."""
        history = []
        for epoch, found in enumerate(facts, 1):
            self.done += 1
            left = (time.monotonic() - self.began) / self.done * (self.all - self.done)
            told = f"loss {found['loss']:.4f}, rate {found['rate']:.1e}, {found['seconds']:.1f} s, {_clock(left)} left"
            print(f"{self.name} fold {fold.number} ({fold.name}) epoch {epoch}/{self.epochs}: {told}", flush=True)
            history.append({"epoch": epoch, **found})
        return history


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def batches(items: torch.Tensor, size: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Deal the shuffled items into batches of at most ``size``, as even as can be: no tiny batch upsets a batch-norm."""
    order = items[torch.randperm(len(items), generator=generator)]
    return order.tensor_split(math.ceil(len(items) / size))


def micro_batches(items: torch.Tensor, training: Training, generator: torch.Generator) -> list[tuple[torch.Tensor, ...]]:
    """Return an epoch's batches, each split into the parts that go through the network one after the other."""
    every = batches(items, training.batch_size, generator)
    return [batch.split(math.ceil(len(batch) / training.accumulate)) for batch in every]


def estimate_batchnorm(
    network: nn.Module,
    inputs_of: Callable[[torch.Tensor], torch.Tensor],
    items: torch.Tensor,
    training: Training,
    generator: torch.Generator,
) -> None:
    """Compute batch-norm's statistics from one pass over all ``items``, where ``training.batchnorm`` is ``estimated``.

    The running averages of training lag behind the weights: they remember some ten steps, in which the weights still moved.
    ``inputs_of`` gives what the network takes of a micro-batch of items; each counts the same (torch's ``update_bn``).
    """
    if training.batchnorm == "estimated":
        device = next(network.parameters()).device
        parts = itertools.chain.from_iterable(micro_batches(items, training, generator))
        with autocast(training, device):
            update_bn(map(inputs_of, parts), network)


def ahead(load: Callable[[torch.Tensor], tuple], parts: Iterable[torch.Tensor], device: torch.device) -> Iterator[tuple]:
    """Yield what ``load`` makes of each part, the next one being loaded in a thread while the ``device`` works on this one.

    Loading is one part after the other, so that what it draws at random stays what it would be.
    """
    cuda = device.type == "cuda"
    work, side = (torch.cuda.current_stream(device), torch.cuda.Stream(device)) if cuda else (None, None)
    if cuda:
        side.wait_stream(work)

    def loaded(part: torch.Tensor) -> tuple:
        """Load on a stream of its own, which need not wait for the training's kernels."""
        with torch.cuda.stream(side):
            tensors = load(part)
        if cuda:
            side.synchronize()
            for tensor in tensors:
                tensor.record_stream(work)
        return tensors

    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for part in parts:
            following = thread.submit(loaded, part)
            if waiting:
                yield waiting.result()
            waiting = following
        if waiting:
            yield waiting.result()


class Checkpoint:
    """A training's file of everything that its next epoch depends on, written now and then and gone when the training is over."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds, self.written = file, seconds, time.monotonic()

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """Return what was written, None where nothing was or where it is damaged or of a torch of another make."""
        try:
            with zipfile.ZipFile(self.file) as archive:
                if archive.testzip():  # torch looks at no checksum
                    raise zipfile.BadZipFile
            return torch.load(self.file, map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        except Exception:  # errors of many kinds
            print(f"the checkpoint {self.file} cannot be read; this training begins anew", flush=True)
            return None

    def restore(self, parts: dict[str, Any], generator: torch.Generator, device: torch.device) -> list[dict[str, float]]:
        """Set ``parts`` and ``generator`` to where :meth:`write` found them; return the epochs before, none where nothing was written.

        Raises UserError where the file is of another training.
        """
        kept = self.read(device)
        if kept is None:
            return []
        try:
            for name, part in parts.items():
                part.load_state_dict(kept[name])
            generator.set_state(kept["generator"].cpu())
            torch.set_rng_state(kept["dropout"].cpu())
            return [{**epoch, **{name: float(epoch[name]) for name in ("loss", "rate", "seconds")}} for epoch in kept["history"]]
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            raise UserError(f"the checkpoint {self.file} is not of this training; remove it and start again.") from None

    def write(self, parts: dict[str, Any], generator: torch.Generator, history: list[dict[str, float]]) -> None:
        """Write the states of ``parts`` and ``generator`` and the epochs so far, in one step, unless the last time was only just now."""
        if time.monotonic() - self.written >= self.seconds:
            states = {name: part.state_dict() for name, part in parts.items()}
            with places.replacing(self.file) as temporary:
                random = {"generator": generator.get_state(), "dropout": torch.get_rng_state()}
                torch.save({**states, **random, "history": history}, temporary)
            self.written = time.monotonic()

    def forget(self) -> None:
        """Remove the file, and what processes that were killed began to write of it: the training's own result is written."""
        for left in (self.file, *self.file.parent.glob(f".*-{self.file.name}")):
            left.unlink(missing_ok=True)


def fit(
    module: nn.Module,
    loss_of: Callable[..., torch.Tensor],
    items: torch.Tensor,
    training: Training,
    generator: torch.Generator,
    checkpoint: Checkpoint | None = None,
    told: Callable[[], dict[str, float]] = dict,
    load: Callable[[torch.Tensor], tuple] = lambda batch: (batch,),
    prefetch: bool = False,
) -> Iterator[dict[str, float]]:
    """Train with Adam and a learning rate that cycles (triangular, Smith 2017); yield each epoch's averages.

    ``loss_of`` gives the scalar loss of what ``load`` brings of a batch of ``items``, with ``prefetch`` while the batch before is trained
    on. Each epoch yields ``loss``, ``rate``, ``seconds`` and what else is
    ``told`` at its end. From a ``checkpoint`` the epochs before are yielded again, and the others end as they would have:
    on a CPU with the same bits. Raises NotFinite at the end of an epoch whose loss is no longer a number.
    """
    low, high = training.learning_rate
    steps = math.ceil(len(items) / training.batch_size)
    optimizer = torch.optim.Adam(module.parameters(), lr=low, betas=training.betas, fused=True)  # one pass over each weight, on a CPU too
    # Adam has no momentum to cycle; left alone, CyclicLR would cycle its first beta
    half = training.cycle * steps  # not rounded, so that whole cycles end at the lowest rate
    schedule = CyclicLR(optimizer, low, high, step_size_up=half, mode=training.cycle_shape, cycle_momentum=False)
    device = next(module.parameters()).device
    parts = {"module": module, "optimizer": optimizer, "schedule": schedule}
    history = checkpoint.restore(parts, generator, device) if checkpoint else []
    yield from history
    for epoch in range(len(history) + 1, training.epochs + 1):
        began, total = time.monotonic(), torch.zeros(())
        dealt = micro_batches(items, training, generator)
        pieces = itertools.chain.from_iterable(dealt)
        given = ahead(load, pieces, device) if prefetch else map(load, pieces)
        for batch in dealt:
            optimizer.zero_grad(set_to_none=True)
            for piece in batch:
                loss = loss_of(*next(given))
                share = torch.full_like(loss, len(piece) / sum(map(len, batch)))
                loss.backward(share)
                total = total.to(loss.device) + share * loss.detach()  # stays on the device: reading it would wait for every step
            optimizer.step()
            schedule.step()
        mean = total.item() / steps
        if not math.isfinite(mean):
            raise NotFinite(f"the loss became {mean} in epoch {epoch}; lower training.learning_rate, or use precision float32.")
        history.append({"loss": mean, "rate": schedule.get_last_lr()[0], "seconds": time.monotonic() - began, **told()})
        yield history[-1]
        if checkpoint and epoch < training.epochs:
            checkpoint.write(parts, generator, history)
