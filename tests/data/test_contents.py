"""Files are known by all their bytes, which are read again only where a file has changed."""

from __future__ import annotations

import os

import pytest

from kdsuite.data import contents
from kdsuite.parameters import Corpus

CORPUS = Corpus(path="mine")


@pytest.fixture
def file(own_data, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "SETTLED", -1)
    made = tmp_path / "a.wav"
    made.write_bytes(b"a" + bytes(20000) + b"b")
    return made


def hash_of(file):
    return contents.hashes([str(file), ""], CORPUS)[str(file)]


def test_a_change_of_equal_length_beside_the_middle_is_another_file(file):
    before, times = hash_of(file), os.stat(file)
    file.write_bytes(b"c" + bytes(20000) + b"b")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_of(file) != before
    file.write_bytes(b"a" + bytes(20000) + b"b")
    assert hash_of(file) == before


def test_an_unchanged_file_is_not_read_again(file, monkeypatch):
    before = hash_of(file)
    monkeypatch.setattr(contents, "_hash", None)
    assert hash_of(file) == before


def test_a_file_written_just_now_is_read_again(file, monkeypatch):
    monkeypatch.setattr(contents, "SETTLED", 1000)
    hash_of(file)
    monkeypatch.setattr(contents, "_hash", lambda path: "read")
    assert hash_of(file) == "read"


def test_folders_are_what_is_in_them_and_pipes_are_not_waited_for(file):
    folder = file.parent / "faces"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"x")
    os.mkfifo(folder / "pipe")
    before = hash_of(folder)
    (folder / "1.jpg").write_bytes(b"y")
    assert hash_of(folder) != before and hash_of(folder / "pipe")
    before = hash_of(folder)
    (folder / "1.jpg").rename(folder / "1.jpg.bad")  # set aside
    assert hash_of(folder) != before
    with pytest.raises(FileNotFoundError):
        hash_of(folder / "2.jpg")
    assert contents.hashes([""], CORPUS) == {"": ""}


def test_a_damaged_or_unwritable_memory_is_no_error(file, own_data, monkeypatch):
    before = hash_of(file)
    for memory in (own_data / "data" / "hashes").glob("*.json"):
        memory.write_text("{")
    assert hash_of(file) == before
    monkeypatch.setattr(contents.paths, "DATA", file)  # no folder
    assert hash_of(file) == before
