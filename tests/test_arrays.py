"""Arrays that grow on disk: every item where it is said to be, whatever was broken off, in no more memory than an item."""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kdsuite.data.arrays import GrowingArrays

ROWS = {"sound": np.dtype(np.int16), "frames": np.dtype((np.uint8, (2, 3)))}


def item(number: int) -> dict[str, np.ndarray]:
    """Return the rows of an item, which show its number; every third one has no frames."""
    return {"sound": np.full(number + 1, number), "frames": np.full((number % 3, 2, 3), number)}


def check(folder, places, numbers):
    """Hold every item against what was added."""
    assert sorted(places) == sorted(numbers)
    for name, row in ROWS.items():
        values = np.load(folder / f"{name}.npy", mmap_mode="r")
        assert values.dtype == row.base and values.shape == (sum(len(item(number)[name]) for number in numbers), *row.shape)
        for number in numbers:
            first, length = places[number][name]
            np.testing.assert_array_equal(values[first : first + length], item(number)[name])


def test_items_of_many_threads(tmp_path):
    arrays = GrowingArrays(tmp_path, ROWS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: arrays.add(number, item(number)), range(60)))
    check(tmp_path, arrays.finish(), range(60))
    arrays.forget()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["frames.npy", "sound.npy"]


def test_nothing_at_all(tmp_path):
    check(tmp_path, GrowingArrays(tmp_path, ROWS).finish(), [])


def test_going_on_behind_what_was_broken_off(tmp_path):
    first = GrowingArrays(tmp_path, ROWS)
    for number in (4, 1):
        first.add(number, item(number))
    first.pause()
    first.add(6, item(6))  # not yet on the disk for sure, so not noted
    # killed while it wrote the next item, and again while it noted it
    with open(tmp_path / "sound.npy", "ab") as file:
        file.write(b"half an item" * 50)
    with open(tmp_path / "journal.csv", "a") as file:
        file.write("7,7,\0\0\0\0\n")
    second = GrowingArrays(tmp_path, ROWS)
    assert 4 in second and 1 in second and 6 not in second and 7 not in second
    second.add(2, item(2))
    check(tmp_path, second.finish(), [4, 1, 2])


def test_going_on_after_a_full_disk(tmp_path):
    arrays = GrowingArrays(tmp_path, ROWS)
    arrays.add(5, item(5))
    with pytest.raises(ValueError):  # after the sound is written
        arrays.add(8, {"sound": item(8)["sound"], "frames": "no rows"})
    arrays.add(3, item(3))
    check(tmp_path, arrays.finish(), [5, 3])


def grow(folder, told):
    """Tell by how many megabytes the peak memory of a process grows while it writes 240 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    arrays = GrowingArrays(folder, {"frames": np.dtype((np.uint8, (200, 200, 3)))})
    for number in range(40):
        arrays.add(number, {"frames": np.full((50, 200, 200, 3), number, np.uint8)})  # 6 MB
    arrays.finish()
    told.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def test_memory_does_not_grow_with_the_arrays(tmp_path):
    # a process of its own, whose peak does not know what the tests before have used
    fork = multiprocessing.get_context("fork")
    told = fork.Queue()
    child = fork.Process(target=grow, args=(tmp_path, told))
    child.start()
    assert told.get(timeout=60) < 40  # measured: 7
    child.join()
    values = np.load(tmp_path / "frames.npy", mmap_mode="r")
    assert values.shape == (2000, 200, 200, 3) and values[[0, 49, 50, 1999], 7, 7, 1].tolist() == [0, 0, 1, 39]
