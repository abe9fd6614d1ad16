"""How time is taken: rivals in turns, so that a machine that slows down slows all of them, and
medians over the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import torch

from kdlib.dataset import Fold
from kdsuite.runs.stages import Progress

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    """Return the time in seconds, once the device has done what it was told."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], Any]) -> float:
    """Return how long ``work`` takes."""
    began = now()
    work()
    return now() - began


def turns(
    ways: dict[str, Callable[[], Any]], budget: float, least: int = 3, most: int = 15
) -> dict[str, list[float]]:
    """Return the seconds of each way, round by round; one round before them does not count.

    There are at least ``least`` rounds, and up to ``most`` while ``budget`` seconds last. Every
    other round goes backwards.
    """
    until = time.monotonic() + budget
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(most + 1):
        if number > least and time.monotonic() > until:
            break
        for name in list(ways)[:: 1 if number % 2 else -1]:
            times[name].append(seconds(ways[name]))
    return {name: taken[1:] for name, taken in times.items()}


def ratio(times: dict[str, list[float]], of: str, to: str) -> dict[str, float]:
    """Return the median of the rounds' ratios, and the quartiles it lies between."""
    return spread([ours / theirs for ours, theirs in zip(times[of], times[to])])


def spread(values: list[float]) -> dict[str, float]:
    """Return ``ratio``, the median, with ``low`` and ``high``, the quartiles."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"ratio": round(median(values), 3), "low": round(low, 3), "high": round(high, 3)}


class Epochs(Progress):
    """A stage's progress that times each of its epochs, its printed line included, and then lets
    the rivals have a turn.

    ``rivals`` return the seconds they took. ``times`` holds them round by round, and the stage's
    own as ``kdlib``. The first round does not count; after ``least`` more the stage is broken off
    as soon as ``budget`` seconds are over.
    """

    def __init__(
        self, rivals: dict[str, Callable[[], float]], budget: float, least: int = 3
    ) -> None:
        super().__init__("benchmark", 1)
        self.rivals, self.least, self.until = rivals, least, time.monotonic() + budget
        self.rounds: dict[str, list[float]] = {name: [] for name in ("kdlib", *rivals)}

    @property
    def times(self) -> dict[str, list[float]]:
        """The seconds of each round that counts, by name."""
        return {name: taken[1:] for name, taken in self.rounds.items()}

    def follow(self, fold: Fold, epochs: Iterator[dict[str, float]]) -> list[dict[str, float]]:
        """Go through what :meth:`kdlib.training.Trainer.epochs` yields, as every stage does."""
        return super().follow(fold, self._timed(epochs))

    def _timed(self, epochs: Iterator[dict[str, float]]) -> Iterator[dict[str, float]]:
        began = now()
        for values in epochs:
            yield values  # its line is printed here
            self.rounds["kdlib"].append(now() - began)
            for name, rival in self.rivals.items():
                self.rounds[name].append(rival())
            if len(self.rounds["kdlib"]) > self.least and time.monotonic() > self.until:
                return
            began = now()
