"""Files from strangers: every reader returns something sound, or raises one sentence of the suite's
own that names the file.

KDLIB_FUZZ=10000 tries so many cases of each reader (of those that start ffmpeg a tenth), other ones
each time; found cases stay as examples.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

import kdlib
from kdlib.errors import UNPRINTABLE, UserError
from kdlib.models.network import build_student
from kdlib.parameters import Media
from kdsuite import paths
from kdsuite.data import corpora, reading
from kdsuite.data.corpora import features, voxceleb1
from kdsuite.data.decoding.faces import cutter
from kdsuite.data.decoding.media import read_frames, read_recording
from kdsuite.data.decoding.sound import read_sound
from kdsuite.parameters import Corpus
from kdsuite.runs import grid, student_file
from kdsuite.settings import Settings, load
from tests.conftest import small
from tests.data.test_media import recording
from tests.kdlib.test_training import train

CASES = int(os.environ.get("KDLIB_FUZZ", 0))
ALL = list(HealthCheck)


def cases(usual: int, share: float = 1):
    """Return how many cases a test tries: the usual ones, always the same, or as many as are asked
    for."""
    return settings(
        max_examples=int(CASES * share) or usual,
        derandomize=not CASES,
        database=None,
        deadline=None,
        suppress_health_check=ALL,
        print_blob=False,
    )


WATCHED: list[str] = []  # while a case runs, the only folder that may be written to


def watch(event: str, arguments: tuple) -> None:
    """Stop whoever writes elsewhere, or removes something there."""
    writes = (
        event == "open"
        and isinstance(arguments[2], int)
        and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    if WATCHED and (
        writes or event in ("os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink")
    ):
        path = (
            os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
        )
        assert path in ("", os.devnull) or os.path.realpath(path).startswith(
            tempfile.gettempdir()
        ), f"{event} of {path}"


sys.addaudithook(watch)


@contextlib.contextmanager
def folder():
    """Yield an empty folder; nothing outside of temporary ones may be written."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "DATA", Path(name) / "data")
        WATCHED.append(name)
        try:
            yield Path(name)
        finally:
            WATCHED.pop()


def told(read, *names):
    """Return what ``read`` returns, None where it raises a sentence, which has to name one of
    ``names``."""
    try:
        return read()
    except UserError as error:
        sentence = str(error)
        assert (
            sentence.endswith(".")
            and not UNPRINTABLE.search(sentence)
            and any(name in sentence for name in names)
        ), sentence
        return None


def check_table(table, corpus):
    """Check what every reader promises of its table, and that all that is made of it next can be
    made."""
    assert list(table) == list(corpora.COLUMNS) and len(table) and table.recording.is_unique
    assert not any(
        UNPRINTABLE.search(name) for name in (*table.recording, *table.speaker, *table.label)
    )
    assert all(os.path.isfile(path) for path in table.audio) and all(
        not path or os.path.exists(path) for path in table.video
    )
    assert (
        np.isfinite(table.audio_start).all()
        and np.isfinite(table.video_start).all()
        and (table.seconds.isna() | (table.seconds > 0)).all()
    )
    assert len(corpora.store_name(table, Settings(corpus=corpus))) == 12
    json.dumps(table.attrs["incomplete"]), table.to_csv()


def check_corpus(home: Path, layout: str, path: Path | None = None, **given):
    """Read a corpus and return its table, None where it is refused."""
    corpus = Corpus(layout=layout, path=str(path or home), **given)
    table = told(lambda: corpora.read(corpus), home.name)
    if table is not None:
        check_table(table, corpus)
    return table


# what text files are spoilt with
NASTY = [
    b"\0", b"\n", b"\r", b",", b'"', b"\t", b" ", b"-1", b"1e999", b"nan", b"9" * 5000, b"../", b"/dev/zero", b"=cmd|' /C calc'!A0", b"<b>", b"$x_",
    b";", b'"', b' "', b"None", b"NA", b"007", b"1e5", b"true", b"0,5", b"0 days 00:00:01.5", "悲伤".encode(), b"\r\r\n",
    "²".encode(), "٣".encode(), "\u2028".encode(), "\ufeff".encode(), b"\xff\xfe", b"\x1b[2J", b"&a [*a]", b"*a", b"[" * 2000,
]  # fmt: skip


@st.composite
def near(draw, whole: bytes) -> bytes:
    """Draw a file that is not far from a good one: some of it is gone, doubled, or something else."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.sampled_from([0, 0, 1, 2, 5, 40, len(data)]))
        data[at:end] = draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from(NASTY), st.just(bytes(data[at:end]) * 2)
            )
        )
    return bytes(data)


WORDS = st.one_of(
    st.text(max_size=8),
    st.binary(max_size=6).map(os.fsdecode),
    st.sampled_from([word.decode("utf-8", "surrogateescape") for word in NASTY]),
)
NAMES = WORDS.filter(
    lambda name: (
        name not in ("", ".", "..") and not set(name) & {"/", "\0"} and len(os.fsencode(name)) < 200
    )
)


def touch(path: Path) -> None:
    """Make an empty file, and its folders."""
    with contextlib.suppress(FileExistsError, IsADirectoryError, NotADirectoryError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# --- names of files

PART = st.one_of(st.sampled_from(["01", "02", "03", "05", "12", "1", "99", "٠١", "0\n"]), NAMES)
TAKES = st.builds(
    lambda parts, ending: "-".join(parts) + ending,
    st.lists(PART, min_size=6, max_size=8),
    st.sampled_from([".mp4", ".wav", ".WAV", ".webm", ".m4v", ".flac", ".txt"]),
)
GOOD = st.tuples(
    st.sampled_from(["01", "02", "03"]),
    st.sampled_from(["01", "02"]),
    st.integers(1, 8),
    st.integers(1, 2),
    st.integers(1, 24),
).map(lambda it: f"{it[0]}-{it[1]}-{it[2]:02d}-{it[3]:02d}-01-01-{it[4]:02d}.mp4")


@cases(40)
@given(st.lists(st.one_of(GOOD, GOOD, TAKES, NAMES), min_size=1, max_size=5))
def test_names_of_ravdess(names):
    with folder() as home:
        for name in names:
            touch(home / "Actor_01" / name)
        check_corpus(home, "ravdess")


@cases(40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["id10001", "id10002", "id1000٣"]),
            NAMES,
            st.sampled_from(["00001.wav", "00001.m4a", "00002.m4a", "0001.wav"]),
        ),
        max_size=4,
    )
)
def test_names_of_voxceleb1(names):
    with folder() as home:
        for parts in [("id10001", "abc", "00001.wav"), *names]:
            touch(home.joinpath("wav", *parts))
        check_corpus(home, "voxceleb1", target="speaker")


# --- tables and lists

HEAD = "Identity  : \tid10001\nReference : \tabc\nOffset    : \t-1\nFV Conf   : \t17.997\t(1)\nASD Conf  : \t6.338\n\nFRAME \tX \tY \tW \tH \n"
TRACK = (HEAD + "".join(f"{n:06d} \t{200 + n} \t80 \t130 \t130 \n" for n in range(20, 26))).encode()


@cases(40)
@given(near(TRACK))
@example(TRACK.replace(b"000020", "²".encode()))
@example(TRACK.replace(b"000020", b"-00020"))
@example(TRACK.replace(b"000025", b"9" * 400))
def test_face_tracks(text):
    with folder() as home:
        for name in ("wav/id10001/abc/00001.wav", "video/abc.mp4", "txt/id10001/abc/00001.txt"):
            touch(home / name)
        track = home / "txt/id10001/abc/00001.txt"
        track.write_bytes(text)
        check_corpus(home, "voxceleb1", target="speaker")
        boxes = told(lambda: voxceleb1.read_track(track), track.name)
        if boxes is not None:
            assert boxes.shape[1] == 5 and np.isfinite(boxes).all() and (boxes[:, 0] >= 0).all()
            frame = Image.new("RGB", (640, 480))
            face = told(lambda: cutter(str(track), MEDIA)(frame, 0.9), track.name)
            assert face is None or face.shape == (32, 32, 3)


TRIALS = b"1 id10001/abc/00001.wav id10001/abd/00001.wav\n0 id10001/abc/00001.wav id10002/abe/00001.wav\n"
SPLIT = b"1 id10001/abc/00001.wav\n3 id10001/abd/00001.wav\n2 id10002/abe/00001.wav\n"
META = b"VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\nid10002\tA.R._Rahman\tm\tIndia\ttest\n"


def check_lists(text: dict[str, bytes], **given):
    """Read a small VoxCeleb1 with these lists; return its table and trials."""
    with folder() as home:
        for key in ("id10001/abc", "id10001/abd", "id10002/abe"):
            touch(home / "wav" / key / "00001.wav")
        for name, content in {
            voxceleb1.META: META,
            voxceleb1.SPLIT: SPLIT,
            "veri_test.txt": TRIALS,
            **text,
        }.items():
            (home / name).write_bytes(content)
        check_corpus(home, "voxceleb1", target="speaker", **given)
        found = told(
            lambda: corpora.trials(
                Corpus(layout="voxceleb1", path=str(home), trials=["veri_test.txt"])
            ),
            home.name,
        )
        if found:
            pairs, files, missing = found
            assert pairs.genuine.dtype == bool and set(pairs["first"]) | set(pairs["second"]) == {
                *files.recording,
                *missing,
            }
            assert all(path.startswith(str(home)) for path in files.audio)


@cases(40)
@given(near(TRIALS))
@example(b"1 ../../etc/passwd /etc/passwd\n")
@example(b"")
def test_trial_lists(text):
    check_lists({"veri_test.txt": text}, protocol="given", trials=["veri_test.txt"])


PAIRS = [
    TRIALS,
    b"\xef\xbb\xbf0 x y\r\n1 y z\r\n",
    b"x y target\ny z nontarget\n",
    b"label,first,second\n1,x,y\n0,y,z\n",
]


@cases(40)
@given(st.sampled_from(PAIRS).flatmap(near), st.sampled_from([".txt", ".csv", ".tsv"]))
@example(b'x,y,target\n"y\n', ".csv")
@example(b"label,abel,first,second\n1,,y,z\n", ".csv")
def test_trials_of_manifests(text, ending):
    with folder() as home:
        (home / f"pairs{ending}").write_bytes(text)
        given = {"layout": "manifest", "path": str(home / "mine.csv"), "trials": [f"pairs{ending}"]}
        check_manifest(home, MANIFEST, ".csv", trials=given["trials"])
        found = told(lambda: corpora.trials(Corpus(**given)), home.name)
        if found:
            pairs, files, missing = found
            assert {*pairs["first"], *pairs["second"]} == {*files.recording, *missing}
            assert pairs.genuine.dtype == bool and {*files.recording} <= {"x", "y", "z"} | {
                name for name in files.recording if os.path.splitext(name)[0] in "xyz"
            }


LISTED = [
    b'{"key": "mine-a", "wav": "far/a.wav", "emo": "a"}\n{"key": "b", "wav": "b.wav", "start_time": 1.5}\n',
    b"file,start,end,emotion\na.wav,0 days,,a\nb.wav,0 days 00:00:01.5,,b\n",
]


@cases(40)
@given(st.sampled_from(LISTED).flatmap(near), st.sampled_from([".jsonl", ".csv", ".tsv"]))
@example(b'{"wav": "x.wav"}\n3\n', ".jsonl")
@example(b'{"wav": ["x"]}\n', ".jsonl")
@example(b"file,file,path\nx.wav,y,z\n", ".csv")
def test_published_folds(text, ending):
    with folder() as home:
        file = home / f"test{ending}"
        file.write_bytes(text)
        lists = told(lambda: reading.read_folds(Corpus(folds_from=[str(file)])), home.name)
        assert lists is None or (lists.start.isna() | (lists.start >= 0)).all()
        check_manifest(home, MANIFEST, ".csv", protocol="given", folds_from=[str(file)])


@cases(40)
@given(near(SPLIT))
def test_identification_splits(text):
    check_lists({voxceleb1.SPLIT: text}, protocol="given")


@cases(40)
@given(near(META))
@example(META + META)
def test_lists_of_speakers(text):
    check_lists({voxceleb1.META: text})


LABELS = b"% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + b"".join(
    b"[%d.2901 - %d.2357]\tSes01F_impro01_%s00%d\t%s\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n" % (n, n + 1, who, n, code)
    for n, (who, code) in enumerate([(b"F", b"neu"), (b"M", b"hap"), (b"F", b"xxx"), (b"M", b"exc")])
)  # fmt: skip


@cases(40)
@given(near(LABELS), NAMES)
@example(LABELS.replace(b"1.2357", b"9" * 400 + b".0"), "x.txt")
def test_labels_of_iemocap(text, name):
    with folder() as home:
        for number, letter in enumerate("FMFM"):
            touch(
                home
                / "Session1/sentences/wav/Ses01F_impro01"
                / f"Ses01F_impro01_{letter}00{number}.wav"
            )
        touch(home / "Session1/dialog/avi/DivX/Ses01F_impro01.avi")
        touch(home / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt")
        (home / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").write_bytes(text)
        check_corpus(home, "iemocap")
        touch(home / "Session1/dialog/EmoEvaluation" / name)
        check_corpus(home, "iemocap")


COLUMNS = "recording,audio,video,start,end,speaker,label,split,face,source,features\n"
MANIFEST = (
    COLUMNS
    + "x,a.wav,a.mp4,0.5,2,Ann,yes,train,left,film,\ny,b.wav,faces,,1.5,Bob,no,test,crop,,a\nz,b.wav,b.mp4,1.5,,Bob,no,test,track.txt,,\n"
).encode()
FEATURES = b"recording,time,brow,lip\n" + b"".join(
    b"%s,%.1f,%.2f,%d\n" % (name, t / 10, t / 7, t)
    for name in (b"x", b"y", b"z", b"a")
    for t in range(4)
)


def check_manifest(home: Path, text: bytes, ending: str, **given):
    """Read a manifest."""
    for name in ("a.wav", "b.wav", "a.mp4", "b.mp4", "faces/1.jpg", "track.txt"):
        touch(home / name)
    (home / f"mine{ending}").write_bytes(text)
    return check_corpus(home, "manifest", home / f"mine{ending}", **given)


@cases(40)
@given(near(MANIFEST), st.sampled_from([".csv", ".tsv", ".csv.gz"]))
@example(MANIFEST.replace(b"a.wav", b"a" * 5000), ".csv")
@example(MANIFEST, ".csv.gz")
@example(MANIFEST.replace(b",", b"; "), ".csv")
@example(b"\n\n" + MANIFEST.replace(b",", b', "').replace(b"\n", b'"\n'), ".csv")
@example(MANIFEST.replace(b"Ann", b"None").replace(b"yes", b"NA").replace(b"no", b"1e5"), ".csv")
@example(MANIFEST.replace(b"Ann", b"=HYPERLINK(1)"), ".csv")
def test_manifests(text, ending):
    with folder() as home:
        check_manifest(home, text.replace(b",", b"\t") if ending == ".tsv" else text, ending)


@cases(40)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        "a.wav",
                        "b.wav",
                        "a.mp4",
                        "Ann",
                        "Bob",
                        "yes",
                        "1",
                        "2.5",
                        "None",
                        "NA",
                        "007",
                        "1e5",
                        "YES",
                        "0 days 00:00:01.5",
                        "train",
                        "left",
                        "",
                    ]
                ),
                WORDS,
            ),
            min_size=5,
            max_size=5,
        ),
        max_size=5,
    )
)
def test_cells_of_manifests(rows):
    with folder() as home:
        text = "\n".join(
            ",".join('"' + cell.replace('"', '""') + '"' for cell in row)
            for row in [["audio", "speaker", "label", "start", "recording"], *rows]
        )
        check_manifest(home, text.encode("utf-8", "surrogateescape"), ".csv")


@cases(40)
@given(near(FEATURES))
@example(FEATURES.replace(b"0.14", b"1e300"))
@example(FEATURES.replace(b",", b", ").replace(b"time", b"Time"))
@example(FEATURES.replace(b"0.14", b'"0,14"'))
@example(b"recording,brow\nx,1\ny,2\ny,4\n")  # a speaker of a single row
def test_tables_of_face_measurements(text):
    with folder() as home:
        (home / "faces.csv").write_bytes(text)
        given = {"features": str(home / "faces.csv"), "standardise": "speaker"}
        table = check_manifest(home, MANIFEST, ".csv", **given)
        if table is not None:
            corpus = Corpus(layout="manifest", path=str(home), **given)
            rows = told(lambda: features.measurements(table, corpus, 25), "face measurements")
            assert rows is None or all(np.isfinite(part).all() and len(part) for part in rows)
            assert features.columns(str(home / "faces.csv"))


# --- parameters

YAML = (paths.PARAMS / "grid-example.yaml").read_bytes()
SECTIONS = [
    Settings,
    *(Settings.model_fields[name].annotation for name in ("corpus", "media", "model", "training")),
]
FIELDS = [name for section in SECTIONS for name in section.model_fields]
ODD = ["all", "0-99999999999", "1\n2", "vgg", "9" * 5000, 1e308, 1e-308, 2**70, 0.4]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.binary(max_size=3),
    st.sampled_from(ODD),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), LEAVES), inner, max_size=4),
    ),
    max_leaves=8,
)


def check_settings(text: bytes, **given) -> None:
    """Load a dataset's file, and name and fingerprint what it holds."""
    with folder() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PARAMS", home)
        (home / "fuzz.yaml").write_bytes(text)
        found = told(lambda: load(**{"dataset": "fuzz", **given}), "parameter", "fuzz.yaml")
        if found is not None:
            for stage in grid.STAGES:
                assert (
                    grid.Run(stage, found).fingerprint
                    and "/" not in grid.Run(stage, found).key
                    and not UNPRINTABLE.search(grid.Run(stage, found).key)
                )


@cases(40)
@given(near(YAML))
@example(b"corpus: &a\n  path: *a\n")
@example(b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n")
@example(b"seed: !!bool x\n")
@example(b"seed: !!int ''\n")
@example(b"seed: 2001-99-99\n")
@example(b"\xff")
@example(b"[" * 2000)
def test_files_of_parameters(text):
    check_settings(text)


@cases(40)
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
    st.dictionaries(
        st.sampled_from(["corpus", "media", "model", "training", "folds", "alpha", "seed"]),
        VALUES,
        max_size=3,
    ),
)
@example({"media": {"duration": 1e308, "segment": 1e-308}}, {})
@example({"folds": "0-99999999999"}, {})
@example({"folds": "0,\n1"}, {})
@example({"folds": "5-3"}, {})
@example({5: None, True: 1}, {})
@example({}, {"media": {"duration": math.inf}})
@example({}, {"seed": date(2026, 1, 1)})
def test_values_of_parameters(of_file, given):
    check_settings(yaml.safe_dump(of_file).encode(), **given)


# --- what trainings leave


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Return the bytes of a student's file, and the facts in its header."""
    file = tmp_path_factory.mktemp("student") / "fold-0.safetensors"
    chosen = small()
    facts = {
        "classes": ["a", "b"], "settings": chosen.model_dump(mode="json"), "fold": {"number": 0}, "provenance": {},
        "verification": {"threshold": 0.5, "eer": 0.1, "recordings_of": "train", "recordings": 4, "speakers": 2, "pairs": {"same": 2, "different": 4}},
    }  # fmt: skip
    student_file.write(file, build_student(chosen, 2).eval(), facts)
    return file.read_bytes(), {"version": 1, **facts}


def check_student(content: bytes) -> None:
    with folder() as home:
        file = home / "fold-0.safetensors"
        file.write_bytes(content)
        loaded = told(lambda: kdlib.load_student(file), file.name)
        assert loaded is None or len(loaded.classes) == 2


@cases(30)
@given(data=st.data())
def test_students(student, data):
    check_student(data.draw(near(student[0])))


@cases(30)
@given(data=st.data())
def test_facts_of_students(student, data):
    content, facts = student
    length = int.from_bytes(content[:8], "little")
    header, facts = json.loads(content[8 : 8 + length]), json.loads(json.dumps(facts))
    inside = facts
    while True:  # to somewhere in the facts, and something else there
        key = data.draw(st.sampled_from(sorted(inside)))
        if (
            not isinstance(inside[key], dict)
            or not inside[key]
            or data.draw(st.integers(0, 3)) == 0
        ):
            break
        inside = inside[key]
    inside[key] = data.draw(
        st.one_of(
            st.sampled_from([0, -1, 1, 2**40, 1e300, 1e-300, "", "vgg", 0.001, 1024, 16384]),
            VALUES.filter(lambda value: _json(value)),
        )
    )
    header["__metadata__"][student_file.ENTRY] = json.dumps(facts)
    head = json.dumps(header).encode()
    check_student(len(head).to_bytes(8, "little") + head + content[8 + length :])


def _json(value) -> bool:
    try:
        return bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return the bytes of the checkpoint of an unfinished training."""
    file = tmp_path_factory.mktemp("checkpoint") / "epochs.pt"
    train(file)
    return file.read_bytes()


def check_checkpoint(content: bytes) -> None:
    with folder() as home:
        (home / "epochs.pt").write_bytes(content)
        told(lambda: train(home / "epochs.pt", seconds=math.inf), "epochs.pt")


@cases(30)
@given(data=st.data())
def test_checkpoints(checkpoint, data):
    check_checkpoint(data.draw(near(checkpoint)))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"history": [1]},
        {"generator": 3},
        {"schedule": {}},
        {"optimizer": {}},
        {"module": {}},
        {"module": {"x": torch.zeros(2)}},
    ],
)
def test_checkpoints_of_something_else(checkpoint, tmp_path, change):
    (tmp_path / "whole.pt").write_bytes(checkpoint)
    state = {**torch.load(tmp_path / "whole.pt", weights_only=True), **change} if change else {}
    torch.save(state, tmp_path / "changed.pt")
    check_checkpoint((tmp_path / "changed.pt").read_bytes())


# --- sound, pictures and video

MEDIA = Media(frame_size=32)
ENDINGS = [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".mkv", ".mpg", ".avi"]


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Return the bytes of half a second of sound or video in each format."""
    home, found = tmp_path_factory.mktemp("media"), {}
    soundfile.write(home / "x.wav", 0.3 * np.sin(np.arange(4000) / 5), 8000)
    for ending in ENDINGS:
        sight = (
            ["-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=0.5"]
            if ending in (".mp4", ".mkv", ".mpg", ".avi")
            else []
        )
        if ending != ".wav":
            command = [
                get_ffmpeg_exe(),
                "-loglevel",
                "error",
                *sight,
                "-i",
                home / "x.wav",
                "-ar",
                "24000" if ending == ".mp3" else "48000",
                "-strict",
                "-2",
                home / f"y{ending}",
            ]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        found[ending] = (home / ("x.wav" if ending == ".wav" else f"y{ending}")).read_bytes()
    for ending in (".png", ".jpg"):
        Image.fromarray(np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)).save(
            home / f"z{ending}"
        )
        found[ending] = (home / f"z{ending}").read_bytes()
    return found


def check_sound(content: bytes, ending: str) -> None:
    with folder() as home:
        file = home / f"a{ending}"
        file.write_bytes(content)
        samples = told(lambda: read_sound(str(file), MEDIA), str(file))
        assert samples is None or samples.dtype == np.float32 and np.isfinite(samples).all()


@cases(20)
@given(data=st.data())
def test_sound_by_libsndfile(media, data):
    ending = data.draw(st.sampled_from([".wav", ".flac", ".ogg", ".mp3"]))
    check_sound(data.draw(near(media[ending])), data.draw(st.sampled_from([ending, ".wav"])))


@cases(8, 0.1)
@given(data=st.data())
def test_sound_by_ffmpeg(media, data):
    check_sound(data.draw(near(media[data.draw(st.sampled_from(ENDINGS))])), ".m4a")


@cases(8, 0.1)
@given(data=st.data())
def test_video(media, data):
    with folder() as home:
        file = home / data.draw(st.sampled_from(["a.mp4", "a.mpg"]))
        file.write_bytes(
            data.draw(near(media[data.draw(st.sampled_from([".mp4", ".mkv", ".mpg", ".avi"]))]))
        )
        found = told(
            lambda: read_recording(recording(audio=file, video=file), MEDIA),
            str(file),
            "recording take",
        )
        assert found is None or (
            len(found[0]) == 640 * len(found[1])
            and found[1].shape[1:] == (32, 32, 3)
            and np.isfinite(found[0]).all()
        )


@cases(20)
@given(data=st.data())
def test_still_pictures(media, data):
    with folder() as home:
        (home / "1.jpg").write_bytes(
            data.draw(near(media[data.draw(st.sampled_from([".png", ".jpg"]))]))
        )
        frames = told(lambda: read_frames(str(home), MEDIA), "1.jpg")
        assert frames is None or frames.shape == (25, 32, 32, 3)
