"""One training loop for teacher and student: Adam, a cyclical learning rate, and batch-norm
estimated at the end."""

import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from kdlib.dataset import Dataset, Fold
from kdlib.device import autocast
from kdlib.errors import NotFinite
from kdlib.graph import StepGraphs
from kdlib.parameters import Settings, Training, digest


def seeded(seed: int, *purpose: object) -> torch.Generator:
    """Return a generator of its own for each purpose, and seed the global one (initial weights,
    dropout) the same way.

    The student's purpose names neither method nor alpha: students that are compared start from the
    same weights and see the same crops in the same order.
    """
    number = int(digest([seed, *map(str, purpose)]), 16)
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def learning_rate(training: Training, steps: int, step: int) -> float:
    """Return the rate after ``step`` of ``steps`` an epoch: triangles from the lowest to the
    highest (Smith 2017)."""
    low, high = training.learning_rate
    # not rounded, so that whole cycles end at the lowest rate
    number, place = divmod(1 + step / (2 * training.cycle * steps), 1)
    height = 2 * min(place, 1 - place)
    halvings = number - 1 if training.cycle_shape == "triangular2" else 0
    return low + (high - low) * height / 2**halvings


class Adam(torch.optim.Adam):
    """torch's Adam, to the bit, whose methods do not import torch's compiler: that takes a second
    of every training."""

    step = torch.no_grad()(torch.optim.Adam.step.__wrapped__)
    add_param_group, state_dict, load_state_dict, zero_grad = (
        inspect.unwrap(getattr(torch.optim.Adam, name))
        for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    )


@dataclass(eq=False)
class Task:
    """What ``network`` learns of a fold: the recording of each example is in ``rows``, the label
    that training uses of each recording in ``labels``.

    A micro-batch has the numbers of its ``items`` ``(part,)`` and a uniform random number of each,
    ``draws``; ``load(items, draws)`` returns the network's input, then what else ``loss`` takes.
    ``loss(loaded, batch, first)`` returns the scalar loss of a micro-batch; those of a ``batch`` of
    items sum up to the batch's mean. ``first`` is true of an epoch's first one, of which values
    ``MEASURED`` may be written into the tensor ``measured``. Where ``crops``, each example draws a
    random number in each epoch.
    """

    network: nn.Module
    settings: Settings
    dataset: Dataset
    fold: Fold
    crops = True
    MEASURED = ()

    def __post_init__(self):
        device = self.dataset.device
        self.labels = self.dataset.training_labels(self.fold)
        self.rows = torch.from_numpy(self.fold.train).to(device)
        self.measured = torch.full((len(self.MEASURED),), torch.nan, device=device)


@dataclass(eq=False)
class Trainer:
    """Trains ``network``, and what else ``module`` holds, on a task.

    ``epochs()`` yields each epoch's ``loss``, ``rate``, ``seconds`` and the task's own values,
    which ``history`` keeps. ``state_dict()`` is all that the next epoch depends on: a training that
    continues from it ends, on a CPU, with the same bits. ``prefetch`` loads a micro-batch while the
    one before is trained on. An epoch's order and draws are moved to the device at once and its
    values read at its end: no step waits for a GPU, and steps can be replayed as CUDA graphs.
    """

    network: nn.Module
    module: nn.Module
    task: Task
    training: Training
    generator: torch.Generator
    prefetch: bool = False

    def __post_init__(self):
        self.device = next(self.network.parameters()).device
        gpu = self.device.type == "cuda"
        self.rate = torch.zeros((), device=self.device)
        self.total = torch.zeros_like(self.rate)
        # fused: one pass over each weight, on a CPU too
        self.optimizer = Adam(
            self.module.parameters(), 0.0, self.training.betas, fused=True, capturable=gpu
        )
        # gradient checkpointing reads the random state, which cannot be captured
        graph = gpu and self.training.graph == "auto" and not self.network.items_at_once
        self.graphs = StepGraphs() if graph else None
        self.history = []

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train to the last epoch, and yield each; raise NotFinite after one whose loss is no
        longer a number."""
        self.network.train()
        while len(self.history) < self.training.epochs:
            yield self._epoch()
        self._estimate_batchnorm()

    def _epoch(self):
        began, batches = time.monotonic(), self._batches()
        steps, parts = len(batches), itertools.chain(*batches)
        inputs = prefetch(self.task.load, parts, self.device) if self.prefetch else parts
        step = partial(self.graphs, self._step) if self.graphs else self._step
        self.total.zero_()
        for number, batch in enumerate(batches):
            rate = learning_rate(self.training, steps, len(self.history) * steps + number)
            if self.device.type == "cuda":  # a graph reads a tensor; a number keeps a CPU's bits
                rate = self.rate.fill_(rate)
            self.optimizer.param_groups[0]["lr"] = rate
            items = torch.cat([items for items, _ in batch])
            step(not number, [(items,), *itertools.islice(inputs, len(batch))])
        total, *measured = torch.cat([self.total[None], self.task.measured]).tolist()
        mean = total / steps
        if not math.isfinite(mean):
            raise NotFinite(
                f"the loss became {mean} in epoch {len(self.history) + 1}; lower"
                " training.learning_rate, or use precision float32."
            )
        rate = learning_rate(self.training, steps, (len(self.history) + 1) * steps)
        values = {"loss": mean, "rate": rate, "seconds": time.monotonic() - began}
        measured = zip(self.task.MEASURED, measured)
        values |= {name: value for name, value in measured if not math.isnan(value)}
        self.history.append(values)
        return values

    def _step(self, first, batch):
        """Train on the items ``batch[0]``, whose micro-batches follow as parts or, where
        ``prefetch``, loaded."""
        (items,), *inputs = batch
        self.optimizer.zero_grad()
        for number, part in enumerate(inputs):
            loaded = part if self.prefetch else self.task.load(*part)
            loss = self.task.loss(loaded, items, first and not number)
            loss.backward()
            self.total += loss.detach()
        self.optimizer.step()

    def _batches(self):
        """Return an epoch's shuffled examples as batches of micro-batches, drawn and moved to the
        device at once.

        Batches are as even as can be, at most ``training.batch_size``: no tiny batch upsets a
        batch-norm.
        """
        count, accumulate = len(self.task.rows), self.training.accumulate
        order, draws = torch.randperm(count, generator=self.generator), torch.zeros(count)
        if self.task.crops:
            draws.uniform_(generator=self.generator)
        split = math.ceil(count / self.training.batch_size)
        batches = zip(*(values.to(self.device).tensor_split(split) for values in (order, draws)))
        return [list(zip(*(values.chunk(accumulate) for values in batch))) for batch in batches]

    def _estimate_batchnorm(self):
        """Compute batch-norm's statistics from one pass over all examples, where
        ``training.batchnorm`` is ``estimated``.

        The running averages of training lag behind the weights: they hold some ten steps, in which
        the weights moved. Each micro-batch counts the same (torch's ``update_bn``).
        """
        if self.training.batchnorm == "estimated":
            inputs = itertools.starmap(self.task.load, itertools.chain(*self._batches()))
            with autocast(self.device, self.training):
                update_bn(inputs, self.network)

    def state_dict(self) -> dict:
        """Return everything that the next epoch depends on."""
        return {
            "module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(), "dropout": torch.get_rng_state(),
            "history": self.history,
        }  # fmt: skip

    def load_state_dict(self, state: dict):
        """Continue from what :meth:`state_dict` returned of a training of the same kind."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.param_groups[0]["capturable"] = self.device.type == "cuda"
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["dropout"].cpu())
        self.history = [dict(epoch) for epoch in state["history"]]  # of a damaged file an error


def prefetch(
    load: Callable[..., tuple], parts: Iterable[tuple], device: torch.device
) -> Iterator[tuple]:
    """Yield what ``load`` makes of each part; a thread loads the next one while the ``device``
    works on this one."""
    work = side = None
    if device.type == "cuda":
        work, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        side.wait_stream(work)

    def loaded(part):
        """Load on a stream of its own, which need not wait for the training's kernels."""
        with torch.cuda.stream(side):
            tensors = load(*part)
        if side:
            side.synchronize()
            for tensor in tensors:
                tensor.record_stream(work)
        return tensors

    with ThreadPoolExecutor(1) as thread:
        futures = (thread.submit(loaded, part) for part in parts)
        # a pair holds the part that is used and, already submitted, the one after it
        for future, _ in itertools.pairwise(itertools.chain(futures, [None])):
            yield future.result()
