"""Fetching RAVDESS, tried with a server of this machine that has a small record in Zenodo's format."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from kdlib.errors import FullDisk, UserError
from kdsuite import demo, paths
from kdsuite.app.command_line import main
from kdsuite.data import corpora, fetch
from kdsuite.parameters import Corpus, Synthetic

pytest.importorskip("pooch", reason="pip install 'kdlib[fetch]'")
NAMES = [f"Video_{kind}_Actor_0{actor}.zip" for kind in ("Speech", "Song") for actor in (1, 2)]


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The small RAVDESS as its owners' archives: of each actor one of speech, one of song; the
    sound of all actors."""
    home, moved = tmp_path_factory.mktemp("made"), pytest.MonkeyPatch()
    moved.setattr(paths, "CORPORA", (home,))
    demo.ensure(
        Corpus(
            path="tree",
            synthetic=Synthetic(
                actors=2, takes=12, actors_without_song=[], seconds=0.5, video_size=(32, 32), modalities=["01", "03"],
            ),
        )
    )  # fmt: skip
    moved.undo()
    result = {}
    for name in NAMES:
        kind, actor = ("01" if "Speech" in name else "02"), name[-6:-4]
        files = sorted((home / "tree").rglob(f"01-{kind}-*-{actor}.mp4"))
        content = {f"Actor_{actor}/{file.name}": file.read_bytes() for file in files}
        result[name] = zipped(content | {"notes.txt": bytes(90_000)})
    sound = sorted((home / "tree").rglob("03-*.wav"))
    for kind, number in (("Speech", "01"), ("Song", "02")):
        files = [file for file in sound if file.name[3:5] == number]
        result[f"Audio_{kind}_Actors_01-24.zip"] = zipped(
            {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
        )
    assert all(len(content) > 1000 for content in result.values())
    return result


@pytest.fixture
def zenodo(own_data, archives, monkeypatch):
    """A server with the record; ``asked`` are the paths and ranges that were asked for, ``breaks``
    after how many bytes the next answers end, ``ranges`` whether it knows them."""
    state = SimpleNamespace(files=dict(archives), asked=[], breaks=[], ranges=True, wrong=set())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix("/api/records/1188976/files/").removesuffix("/content")
            state.asked.append((name, self.headers.get("Range", "")))
            if name == "/api/records/1188976":
                content, start = json.dumps(record()).encode(), 0
            else:
                content, start = state.files[name], 0
                if state.ranges:
                    start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
            if start and start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + state.breaks.pop(0) if state.breaks and "zip" in name else None
            self.wfile.write(content[start:end])

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}/api/records/1188976"

    def record():
        """The fields of Zenodo's answer that matter, and some that do not."""
        files = [
            {
                "id": "0", "key": name, "size": len(content), "links": {"self": f"{address}/files/{name}/content"},
                "checksum": f"md5:{hashlib.md5(b'' if name in state.wrong else content).hexdigest()}",
            }
            for name, content in state.files.items()
        ]  # fmt: skip
        return {"id": 1188976, "metadata": {"license": {"id": "cc-by-nc-sa-4.0"}}, "files": files}

    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(fetch, "RECORD", address)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    yield state
    server.shutdown()
    server.server_close()


def folder():
    return paths.DATA / "corpora" / "ravdess"


def downloaded(zenodo) -> list[str]:
    return [name for name, _ in zenodo.asked if name.endswith(".zip")]


def test_what_is_fetched_is_the_corpus(zenodo, capsys):
    fetch.fetch("ravdess")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:4]] == NAMES
    assert said[4].startswith("4 of 4 archives, 0.00 GB, are to be downloaded into ")
    assert "CC BY-NC-SA 4.0" in said[5]
    table = corpora.read(Corpus(path="ravdess"))
    assert len(table) == 24 and table.video.ne("").all() and table.speaker.nunique() == 2
    assert sorted(file.name for file in folder().iterdir()) == sorted(name[:-4] for name in NAMES)
    assert downloaded(zenodo) == NAMES


def test_the_sound_alone(zenodo):
    fetch.fetch("ravdess", audio=True, keep=True)
    table = corpora.read(Corpus(path="ravdess"))
    assert len(table) == 24 and table.video.eq("").all()
    assert {file.suffix for file in folder().iterdir()} == {"", ".zip"}
    assert downloaded(zenodo) == ["Audio_Speech_Actors_01-24.zip", "Audio_Song_Actors_01-24.zip"]


def test_a_dry_run_downloads_and_writes_nothing(zenodo, capsys):
    assert main(["fetch", "ravdess", "--dry-run"]) == 0
    said = capsys.readouterr().out
    size = sum(len(zenodo.files[name]) for name in NAMES)
    assert f"{NAMES[0]}: {len(zenodo.files[NAMES[0]]) / 1e6:.1f} MB, md5:" in said
    assert f"4 of 4 archives, {size / 1e9:.2f} GB, are to be downloaded" in said
    assert not downloaded(zenodo) and not paths.DATA.exists()


def test_what_is_there_is_not_downloaded_again(zenodo, capsys):
    fetch.fetch("ravdess")
    shutil.rmtree(folder() / NAMES[2][:-4])
    zenodo.asked.clear()
    capsys.readouterr()
    fetch.fetch("ravdess")
    assert downloaded(zenodo) == [NAMES[2]]
    assert capsys.readouterr().out.count(", is there") == 3
    assert len(corpora.read(Corpus(path="ravdess"))) == 24


def test_kept_archives_are_unpacked_without_a_download(zenodo):
    fetch.fetch("ravdess", keep=True)
    shutil.rmtree(folder() / NAMES[0][:-4])
    zenodo.asked.clear()
    fetch.fetch("ravdess")
    assert not downloaded(zenodo) and len(corpora.read(Corpus(path="ravdess"))) == 24


def test_a_broken_connection_goes_on_where_it_broke(zenodo):
    zenodo.breaks = [40_000, 20_000]
    fetch.fetch("ravdess")
    assert zenodo.asked[1:4] == [
        (NAMES[0], f"bytes={start}-") for start in (0, 2 * fetch.CHUNK, 3 * fetch.CHUNK)
    ]
    assert len(corpora.read(Corpus(path="ravdess"))) == 24


def test_a_connection_that_breaks_again_and_again_is_one_sentence_and_the_next_call_goes_on(
    zenodo, capsys
):
    zenodo.breaks = [20_000] * 4
    assert main(["fetch", "ravdess"]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert said.endswith("start it again, and it resumes.")
    assert not (folder() / NAMES[0][:-4]).exists()
    zenodo.asked.clear()
    fetch.fetch("ravdess")
    assert zenodo.asked[1] == (NAMES[0], f"bytes={4 * fetch.CHUNK}-")
    assert len(corpora.read(Corpus(path="ravdess"))) == 24


def test_a_server_that_sends_all_again_is_asked_once_more(zenodo):
    zenodo.breaks, zenodo.ranges = [20_000], False
    fetch.fetch("ravdess")
    assert zenodo.asked[1:4] == [(NAMES[0], f"bytes={start}-") for start in (0, fetch.CHUNK, 0)]
    assert len(corpora.read(Corpus(path="ravdess"))) == 24


def test_a_download_that_was_complete_is_not_asked_for_again(zenodo):
    folder().mkdir(parents=True)
    (folder() / f".{NAMES[0]}").write_bytes(zenodo.files[NAMES[0]])
    fetch.fetch("ravdess")
    assert downloaded(zenodo) == NAMES[1:]


def test_another_md5_is_one_sentence_and_nothing_of_it_stays(zenodo):
    zenodo.wrong = {NAMES[1]}
    with pytest.raises(UserError, match=f"{NAMES[1]} has another md5 than http") as caught:
        fetch.fetch("ravdess")
    assert str(caught.value).count(". ") == 0 and len(downloaded(zenodo)) == 1 + 4
    assert [file.name for file in folder().iterdir()] == [NAMES[0][:-4]]


def test_names_that_lead_outside_stay_inside(zenodo):
    outside = {"../../evil.txt": b"x" * 2000, "/evil.txt": b"x", "Actor_01/a.txt": b"x"}
    zenodo.files[NAMES[0]] = zipped(outside)
    fetch.fetch("ravdess")
    assert all((folder() / NAMES[0][:-4]) in file.parents for file in paths.DATA.rglob("evil.txt"))


def test_names_in_the_record_are_those_of_archives(zenodo):
    zenodo.files = {"Video_/../../evil.zip": b"", "Video_Speech_Actor_01.txt": b""}
    fetch.fetch("ravdess")
    assert not downloaded(zenodo) and not paths.DATA.exists()


def test_a_disk_without_room_is_told_before(zenodo, monkeypatch):
    usage = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        FullDisk, match=r"need 0.00 GB, but the disk of .* has 0.00 GB free; make room"
    ):
        fetch.fetch("ravdess")
    assert not downloaded(zenodo)


def test_a_disk_that_fills_is_told_and_the_next_call_goes_on(zenodo, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", full)
        with pytest.raises(FullDisk, match="is full; free some space and start this again"):
            fetch.fetch("ravdess")
    fetch.fetch("ravdess")
    assert downloaded(zenodo) == NAMES and len(corpora.read(Corpus(path="ravdess"))) == 24


def test_a_server_that_is_away_is_one_sentence(zenodo, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "RECORD", "http://127.0.0.1:9/api/records/1188976")
    assert main(["fetch", "ravdess"]) == 2
    assert capsys.readouterr().err.startswith("the download from http://127.0.0.1:9/api")


@pytest.mark.parametrize("corpus,where", [("voxceleb1", "vgg"), ("iemocap", "sail.usc.edu")])
def test_corpora_on_request_say_where_to_ask(corpus, where, capsys):
    assert main(["fetch", corpus]) == 2
    said = capsys.readouterr().err
    assert where in said and "form" in said and said.count("\n") == 1


def test_without_pooch_the_package_is_named(monkeypatch, own_data):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(UserError, match=r"pip install 'kdlib\[fetch\]'"):
        fetch.fetch("ravdess")
