"""The store's files while they grow: what a line counts is there, whatever was broken off, in no
more memory than a recording."""

from __future__ import annotations

import json
import multiprocessing
import resource

import numpy as np
import pytest

from kdsuite.data import writer as module
from kdsuite.data.writer import StoreWriter

ROWS = {"sound": np.dtype(np.int16), "frames": np.dtype((np.uint8, (2, 3)))}


def item(number: int) -> dict[str, np.ndarray]:
    """Return the rows of a recording, which show its number; every third one has no frames."""
    return {"sound": np.full(number + 1, number), "frames": np.full((number % 3, 2, 3), number)}


def check(folder, numbers):
    """Hold the files against what was appended."""
    for name, row in ROWS.items():
        expected = np.concatenate(
            [np.zeros((0, *row.shape)), *(item(number)[name] for number in numbers)]
        )
        values = np.fromfile(folder / f"{name}.bin", row.base).reshape(-1, *row.shape)
        np.testing.assert_array_equal(values, expected)


def test_recordings_lie_one_after_the_other(tmp_path):
    with StoreWriter(tmp_path, ROWS) as writer:
        for number in range(20):
            writer.append(item(number))
        writer.add_line({"left_out": "it is damaged"})
    check(tmp_path, range(20))
    lines = [json.loads(line) for line in (tmp_path / "recordings.jsonl").read_text().splitlines()]
    assert (
        writer.lines == lines
        and lines[4] == {"sound": 5, "frames": 1}
        and lines[20] == {"left_out": "it is damaged"}
    )


def test_nothing_at_all(tmp_path):
    with StoreWriter(tmp_path, ROWS) as writer:
        assert writer.lines == []
    check(tmp_path, [])


@pytest.mark.parametrize(
    "end",
    [
        b'{"sound": 3, "frames": 2}',
        b'{"sound": 3, "fra',
        b"\0\0\0\0\n",
        b'\0\0\0}\n{"sound": 1, "frames": 0}\n',
    ],
)
def test_the_next_writer_continues_behind_the_last_complete_line(tmp_path, end):
    with StoreWriter(tmp_path, ROWS) as writer:
        for number in (4, 1):
            writer.append(item(number))
    # killed while it wrote the next recording, and again while it wrote its line
    with open(tmp_path / "sound.bin", "ab") as file:
        file.write(b"half a recording" * 50)
    with open(tmp_path / "recordings.jsonl", "ab") as file:
        file.write(end)
    with StoreWriter(tmp_path, ROWS) as writer:
        assert writer.lines == [{"sound": 5, "frames": 1}, {"sound": 2, "frames": 1}]
        writer.append(item(2))
    check(tmp_path, [4, 1, 2])
    with StoreWriter(tmp_path, ROWS) as writer:
        assert len(writer.lines) == 3
    check(tmp_path, [4, 1, 2])


def test_no_line_before_its_rows_are_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)
    synced, fsync = [], module.os.fsync
    monkeypatch.setattr(
        module.os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor))
    )
    with StoreWriter(tmp_path, ROWS) as writer:
        for number in (4, 1):
            sound = (tmp_path / "sound.bin").stat().st_size
            writer.append(item(number))
            assert (tmp_path / "sound.bin").stat().st_size == sound + 2 * (number + 1)
        assert (tmp_path / "recordings.jsonl").read_text().count("\n") == 2
        assert (
            synced
            == [*[file.fileno() for file in writer._arrays.values()], writer._index.fileno()] * 2
        )


def test_a_recording_that_fails_half_way_is_cut_off(tmp_path):
    with pytest.raises(ValueError), StoreWriter(tmp_path, ROWS) as writer:
        writer.append(item(5))
        writer.append(
            {"sound": item(8)["sound"], "frames": "no rows"}
        )  # fails after the sound is written
    with StoreWriter(tmp_path, ROWS) as writer:
        writer.append(item(3))
    check(tmp_path, [5, 3])


def test_a_disk_that_is_full_for_a_moment_doubles_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)
    fsync = module.os.fsync
    with pytest.raises(OSError, match="No space"), StoreWriter(tmp_path, ROWS) as writer:
        writer.append(item(4))

        def full_once(descriptor):
            if descriptor == writer._index.fileno():
                monkeypatch.setattr(module.os, "fsync", fsync)
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(module.os, "fsync", full_once)
        writer.append(item(1))
    assert (tmp_path / "recordings.jsonl").read_text().count("\n") == 2
    with StoreWriter(tmp_path, ROWS) as writer:
        assert len(writer.lines) == 2
    check(tmp_path, [4, 1])


def grow(folder, told):
    """Tell by how many megabytes the peak memory of a process grows while it writes 240 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with StoreWriter(folder, {"frames": np.dtype((np.uint8, (200, 200, 3)))}) as writer:
        for number in range(40):
            writer.append({"frames": np.full((50, 200, 200, 3), number, np.uint8)})  # 6 MB
    told.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def test_memory_does_not_grow_with_the_arrays(tmp_path):
    # a process of its own, whose peak does not know what the tests before have used
    fork = multiprocessing.get_context("fork")
    told = fork.Queue()
    child = fork.Process(target=grow, args=(tmp_path, told))
    child.start()
    assert told.get(timeout=60) < 40  # measured: 7
    child.join()
    values = np.memmap(tmp_path / "frames.bin", np.uint8, "r").reshape(-1, 200, 200, 3)
    assert len(values) == 2000 and values[[0, 49, 50, 1999], 7, 7, 1].tolist() == [0, 0, 1, 39]
