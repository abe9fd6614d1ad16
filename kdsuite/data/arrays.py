"""Arrays on disk that grow by the rows of one item after the other, and go on where they were broken off."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kdsuite.places import sync

PACE = 5.0  # seconds of work that a killed process may have done in vain


class GrowingArrays:
    """Files ``<name>.npy`` in a folder, to which any thread adds items, in any order and each in one step.

    ``rows`` holds for each name the type of a row, ``numpy.dtype((numpy.uint8, (224, 224, 3)))``. A journal says which
    items are in, with how many rows; what was written and not noted, because the process ended there, is written over.
    Items are noted every :data:`PACE` seconds, once they are on the disk: power loss leaves no note of what is not there.
    Nothing is held in memory, so that the arrays may be larger than it.
    """

    def __init__(self, folder: Path, rows: Mapping[str, np.dtype]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rows, self._lock, self._journal = rows, threading.Lock(), folder / "journal.csv"
        self._items = self._noted()  # first row and number of rows by item and name, in the order in which they lie
        self._totals = {name: max((sum(places[name]) for places in self._items.values()), default=0) for name in rows}
        self._unnoted, self._synced = "", time.monotonic()
        for name in rows:
            (folder / f"{name}.npy").touch()
        self._files = {name: open(folder / f"{name}.npy", "r+b") for name in rows}
        self._heads = {name: self._write_header(name) for name in rows}

    def _noted(self) -> dict[int, dict[str, tuple[int, int]]]:
        """Read the journal; half a line, or what power loss made of its end, is dropped."""
        self._journal.touch()
        text = self._journal.read_text(errors="replace")
        whole = re.match(rf"(\d+(,\d+){{{2 * len(self._rows)}}}\n)*", text, re.ASCII).group()
        os.truncate(self._journal, len(whole))
        numbers = [list(map(int, line.split(","))) for line in whole.splitlines()]
        return {item: dict(zip(self._rows, zip(places[::2], places[1::2]))) for item, *places in numbers}

    def __contains__(self, item: int) -> bool:
        return item in self._items

    def add(self, item: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the rows of one item, for each name an array ``(rows, …)`` of its type, and note where they are."""
        with self._lock:
            places = {name: (self._totals[name], self._write(name, arrays[name])) for name in self._rows}
            self._unnoted += ",".join(str(number) for number in (item, *sum(places.values(), ()))) + "\n"
            self._items[item] = places
            self._totals = {name: sum(place) for name, place in places.items()}
            if time.monotonic() - self._synced >= PACE:
                self._note()

    def _note(self) -> None:
        """Note the items written since the last time, after they have reached the disk."""
        for file in self._files.values():
            os.fsync(file.fileno())
        with open(self._journal, "a") as journal:
            journal.write(self._unnoted)
        sync(self._journal)
        self._unnoted, self._synced = "", time.monotonic()

    def pause(self) -> None:
        """Note all that is written, for another process may go on from here."""
        with self._lock:
            self._note()

    def _write(self, name: str, values: np.ndarray) -> int:
        """Write behind the rows that are noted, over what a failed attempt may have left there; return the number of rows."""
        row, file = self._rows[name], self._files[name]
        file.seek(self._heads[name] + self._totals[name] * row.itemsize)
        file.write(np.ascontiguousarray(values, row.base))
        file.flush()
        return len(values)

    def _write_header(self, name: str) -> int:
        """Write the array's head and return its length, which stays: numpy leaves room for the number of rows to grow."""
        row, file = self._rows[name], self._files[name]
        shape = (self._totals[name], *row.shape)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {"descr": row.base.str, "fortran_order": False, "shape": shape})
        file.flush()
        return file.tell()

    def finish(self) -> dict[int, dict[str, tuple[int, int]]]:
        """Make the files whole and close them; return the first row and the number of rows by item and name."""
        for name, file in self._files.items():
            file.truncate(self._heads[name] + self._totals[name] * self._rows[name].itemsize)
            self._write_header(name)
            file.close()
        return self._items

    def forget(self) -> None:
        """Remove the journal, once the places of the items are kept elsewhere."""
        self._journal.unlink()
