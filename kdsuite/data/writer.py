"""The files of a store while it is made: recordings are appended, and continued after a kill."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

SYNC_SECONDS = 5.0  # of work that a killed process may lose
PROGRESS = "progress.jsonl"


class StoreWriter:
    """Append recordings to ``<name>.bin``, raw rows, and a line for each to ``progress.jsonl``.

    ``rows`` is the type of a row by name, ``numpy.dtype((numpy.uint8, (224, 224, 3)))``. A line is
    written once the rows it counts are on the disk, so that it is true even after power loss; what
    lies behind the last line is cut off by the next writer. ``done`` are the lines, in order.
    """

    def __init__(self, folder: Path, rows: Mapping[str, np.dtype]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rows, self._synced, self._unwritten = rows, time.monotonic(), b""
        self._progress = open(folder / PROGRESS, "a+b")
        self.done = _read_lines(self._progress)
        self._files = {name: open(folder / f"{name}.bin", "ab") for name in rows}
        for name, file in self._files.items():
            file.truncate(sum(line.get(name, 0) for line in self.done) * rows[name].itemsize)

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Append the rows of the next recording, for each name an array ``(rows, …)``."""
        for name, values in arrays.items():
            self._files[name].write(np.ascontiguousarray(values, self._rows[name].base))
        self._add_line({name: len(values) for name, values in arrays.items()})

    def leave_out(self, reason: str) -> None:
        """Note that the next recording has no rows, and why."""
        self._add_line({"left_out": reason})

    def _add_line(self, line: dict[str, Any]) -> None:
        self.done.append(line)
        self._unwritten += json.dumps(line).encode() + b"\n"
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._progress.write(self._unwritten)
        self._progress.flush()
        os.fsync(self._progress.fileno())
        self._unwritten, self._synced = b"", time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        try:
            self._sync()
        finally:
            for file in (*self._files.values(), self._progress):
                file.close()


def _read_lines(file: IO[bytes]) -> list[dict[str, Any]]:
    """Return the lines of a progress file; cut off its end from the first incomplete line on."""
    file.seek(0)
    lines, end = [], 0
    for line in file:
        try:
            entry = json.loads(line) if line.endswith(b"}\n") else None
        except ValueError:
            entry = None
        if entry is None:
            break
        lines.append(entry)
        end += len(line)
    file.truncate(end)
    return lines
