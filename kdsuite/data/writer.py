"""The files of a store while it is made: recordings are appended, and continued after a kill."""

import json
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

SYNC_SECONDS = 5.0  # of work that a killed process may lose
LINES = "recordings.jsonl"


class StoreWriter(ExitStack):
    """Append recordings to ``<name>.bin``, raw rows, and a line for each to ``recordings.jsonl``.

    ``rows`` is the type of a row by name, ``numpy.dtype((numpy.uint8, (224, 224, 3)))``. A line is
    written once the rows it counts are on the disk, so that it is true even after power loss; what
    lies behind the last line is cut off by the next writer. ``lines`` are all of them, in order.
    """

    def __init__(self, folder: Path, rows: dict[str, np.dtype]) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._index = self.enter_context(open(folder / LINES, "ab+"))
        self._index.seek(0)
        complete = re.match(rb"(\{[^\0\n]*\}\n)*", self._index.read())[0]
        self._index.truncate(len(complete))
        self.lines = [*map(json.loads, complete.splitlines())]
        self._rows, self._unwritten, self._synced = rows, b"", time.monotonic()
        self._arrays = {}
        for name, row in rows.items():
            file = self._arrays[name] = self.enter_context(open(folder / f"{name}.bin", "ab"))
            file.truncate(sum(line.get(name, 0) for line in self.lines) * row.itemsize)
        self.callback(self._sync)

    def append(self, arrays: dict[str, np.ndarray]) -> None:
        """Append the rows of the next recording, for each name an array ``(rows, …)``."""
        for name, values in arrays.items():
            self._arrays[name].write(np.ascontiguousarray(values, self._rows[name].base))
        self.add_line({name: len(values) for name, values in arrays.items()})

    def add_line(self, line: dict) -> None:
        """Note how many rows the next recording has, or why it has none: ``left_out``."""
        self.lines.append(line)
        self._unwritten += json.dumps(line).encode() + b"\n"
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self):
        _flush(*self._arrays.values())
        text, self._unwritten = self._unwritten, b""  # never twice, where the disk is full
        self._index.write(text)
        _flush(self._index)
        self._synced = time.monotonic()


def _flush(*files):
    """Wait until files are on the disk."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())
