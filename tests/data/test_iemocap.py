"""IEMOCAP: turns from label files, who speaks and sits where, folds over sessions, and the small
tree the suite makes."""

from __future__ import annotations

import os
import re

import pytest

from kdlib.errors import InvalidCorpus
from kdsuite.data import corpora
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.settings import load

# as the makers write it: a header, blocks that open with a turn, annotators and the speaker's own
# view below
LABELS = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
C-E2:	Neutral;	()
C-E3:	Neutral;	()
C-E4:	Neutral;	()
C-F1:	Neutral;	()
A-E3:	val 3; act 2; dom  2;	()
A-E4:	val 2; act 3; dom  3;	()
A-F1:	val 3; act 2; dom  1;	()

[10.0100 - 11.3925]	Ses01F_impro01_M000	xxx	[2.5000, 3.0000, 3.0000]
C-E2:	Neutral; Frustration;	()
C-E4:	Other;	(asks [again] - bored)
C-M1:	Excited;	()
A-E3:	val 3; act 3; dom  3;	()

[14.8872 - 18.0175]	Ses01F_impro01_M001	exc	[4.5000, 4.0000, 3.0000]
C-E2:	Excited;	()
A-E3:	val 5; act 4; dom  3;	()

[19.2900 - 20.7875]	Ses01F_impro01_F001	hap	[4.0000, 3.0000, 3.0000]
C-E2:	Happiness;	()
"""


def lay(folder, text=LABELS, dialogue="Ses01F_impro01", video=True):
    """Lay a dialogue down as in the release: labels, an empty sound file a turn, an empty video."""
    session = folder / f"Session{int(dialogue[3:5])}"
    parts = [
        session / "dialog" / "EmoEvaluation",
        session / "dialog" / "avi" / "DivX",
        session / "sentences" / "wav" / dialogue,
    ]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    text = text.replace("Ses01F_impro01", dialogue)
    (parts[0] / f"{dialogue}.txt").write_text(text)
    for turn in re.findall(rf"{dialogue}_\w+", text):
        (parts[2] / f"{turn}.wav").touch()
    if video:
        (parts[1] / f"{dialogue}.avi").touch()
    return parts[0] / f"{dialogue}.txt"


def read(folder, **given):
    return corpora.read(Corpus(layout="iemocap", path=str(folder), **given))


def opening(name, code="neu", start=1.0):
    return f"[{start:.4f} - {start + 1:.4f}]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]\n"


# label files


def test_turns_of_a_label_file(tmp_path):
    lay(tmp_path)
    table = read(tmp_path)
    assert table.recording.to_list() == [
        "Ses01F_impro01_F000",
        "Ses01F_impro01_F001",
        "Ses01F_impro01_M001",
    ]
    assert table.label.to_list() == ["neutral", "happy", "happy"] and list(
        table.label.cat.categories
    ) == ["neutral", "happy"]
    assert table.video_start.to_list() == [6.2901, 19.29, 14.8872] and table.seconds.to_list() == [
        1.9456,
        1.4975,
        3.1303,
    ]
    session = tmp_path / "Session1"
    assert table.audio[0] == str(session / "sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    assert set(table.video) == {str(session / "dialog/avi/DivX/Ses01F_impro01.avi")} and set(
        table.audio_start
    ) == {0.0}
    assert (
        set(table.source) == {"Ses01F_impro01"}
        and set(table.fold) == {"Session1"}
        and table.attrs["incomplete"] == {}
    )


@pytest.mark.parametrize(
    "dialogue,faces",
    [("Ses01F_impro01", ["left", "right"]), ("Ses03M_script01_1b", ["right", "left"])],
)
def test_speaker_and_seat_follow_the_turn(tmp_path, dialogue, faces):
    lay(tmp_path, opening(f"{dialogue}_F003") + opening(f"{dialogue}_MXX1"), dialogue)
    table = read(tmp_path)
    assert (
        table.speaker.to_list() == [f"{dialogue[:5]}F", f"{dialogue[:5]}M"]
        and table.face.to_list() == faces
    )


def test_classes_are_in_their_order_and_other_codes_in_none(tmp_path):
    codes = ["xxx", "sad", "ang", "fru", "exc", "neu", "dis", "fea", "sur", "oth"]
    lay(
        tmp_path,
        "".join(
            opening(f"Ses01F_impro01_F{number:03d}", code) for number, code in enumerate(codes)
        ),
    )
    table = read(tmp_path)
    assert table.label.to_list() == ["sad", "angry", "happy", "neutral"]
    assert list(table.label.cat.categories) == ["neutral", "happy", "angry", "sad"]


@pytest.mark.parametrize(
    "excited,turns", [("happy", {"F000", "F001", "M001"}), ("omit", {"F000", "F001"})]
)
def test_excited_turns(tmp_path, excited, turns):
    lay(tmp_path)
    assert {name[-4:] for name in read(tmp_path, excited=excited).recording} == turns


def test_kinds_of_dialogue(tmp_path):
    names = {"improvised": "Ses01F_impro01", "scripted": "Ses01M_script02_1"}
    for name in names.values():
        lay(tmp_path, dialogue=name)
    assert set(read(tmp_path).source) == set(names.values())
    for kind, name in names.items():
        assert set(read(tmp_path, dialogues=[kind]).source) == {name}


@pytest.mark.parametrize(
    "line,message",
    [
        ("[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu", "is not written as"),
        ("[6.2901 8.2357]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]", "is not written as"),
        ("[6.2901 - 8.2357]\tSes01F_impro01\tneu\t[2.5, 2.5, 2.5]", "is not written as"),
        ("6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]", "is not written as"),
        (
            "[8.2357 - 6.2901]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
            "ends turn Ses01F_impro01_F000 at 6.2901 s",
        ),
        (
            "[6.2901 - 6.2901]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
            "not after its start at 6.2901 s",
        ),
        (
            "[6.2901 - 8.2357]\tSes01F_impro01_F000\tjoy\t[2.5, 2.5, 2.5]",
            "unknown emotion code 'joy'.*neu, hap",
        ),
    ],
)
def test_lines_that_cannot_be_read(tmp_path, line, message):
    file = lay(tmp_path, f"{LABELS}\n{line}\n")
    number = LABELS.count("\n") + 2
    with pytest.raises(InvalidCorpus, match=f"line {number} of {file}.*{message}"):
        read(tmp_path)


def test_comments_that_are_not_utf8_and_windows_lines(tmp_path):
    file = lay(tmp_path)
    file.write_bytes(
        LABELS.replace("(asks", "(d\xe9j\xe0 vu").replace("\n", "\r\n").encode("latin-1")
    )
    assert len(read(tmp_path)) == 3


# files that are missing or do not belong


def test_a_missing_video_is_named_turn_by_turn(tmp_path):
    lay(tmp_path)
    lay(tmp_path, dialogue="Ses01M_impro02", video=False)
    table = read(tmp_path)
    assert set(table.source) == {"Ses01F_impro01"}
    assert table.attrs["incomplete"] == {
        f"Ses01M_impro02_{turn}": f"recording Ses01M_impro02_{turn} has no video"
        for turn in ("F000", "M001", "F001")
    }


def test_missing_sound(tmp_path):
    lay(tmp_path)
    folder = tmp_path / "Session1/sentences/wav/Ses01F_impro01"
    (folder / "Ses01F_impro01_M001.wav").rename(folder / "._Ses01F_impro01_M001.wav")
    table = read(tmp_path)
    reason = "recording Ses01F_impro01_M001 has no sound"
    assert len(table) == 2 and table.attrs["incomplete"] == {"Ses01F_impro01_M001": reason}


def test_a_session_without_labels_is_named(tmp_path):
    lay(tmp_path)
    (tmp_path / "Session2/sentences").mkdir(parents=True)
    (tmp_path / "Session2/sentences/readme.txt").touch()
    assert read(tmp_path).attrs["incomplete"] == {
        "Session2": f"{tmp_path / 'Session2'} has no label files in dialog/EmoEvaluation"
    }


def test_face_measurements_stand_for_the_video(tmp_path):
    lay(tmp_path, video=False)
    (tmp_path / "faces.csv").write_text(
        "name,brow\nSes01F_impro01_F000,1.5\nSes01F_impro01_F001,2\n"
    )
    table = read(tmp_path, features=str(tmp_path / "faces.csv"))
    assert (
        table.features.to_list()
        == table.recording.to_list()
        == ["Ses01F_impro01_F000", "Ses01F_impro01_F001"]
    )
    assert (
        set(table.video) == {""}
        and "has no row in" in table.attrs["incomplete"]["Ses01F_impro01_M001"]
    )


def test_what_lies_beside_the_label_files(tmp_path):
    file = lay(tmp_path)
    (file.parent / f"._{file.name}").write_bytes(b"\x00\x05\x16\x07")
    (file.parent / "Categorical").mkdir()
    (file.parent / "Categorical" / "Ses01F_impro01_e2_cat.txt").write_text(
        "Ses01F_impro01_F000 :Neutral; ()\n"
    )
    assert len(read(tmp_path)) == 3
    (file.parent / "notes.txt").touch()
    with pytest.raises(InvalidCorpus, match="notes.txt in .* has no name of an IEMOCAP dialogue"):
        read(tmp_path)


@pytest.mark.parametrize("inside", ["", "IEMOCAP_full_release", "downloads/IEMOCAP_full_release"])
def test_the_release_is_found_below_the_folder(tmp_path, inside):
    lay(tmp_path / inside)
    assert len(read(tmp_path)) == 3


@pytest.mark.parametrize(
    "part", ["dialog/EmoEvaluation", "dialog/avi/DivX", "sentences/wav/Ses01F_impro01"]
)
def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch, part):
    lay(tmp_path)
    scandir, closed = os.scandir, str(tmp_path / "Session1" / part)

    def refusing(folder):
        if str(folder) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(
        InvalidCorpus, match=f"{closed} cannot be read .Permission denied.; put it there and permit"
    ):
        read(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InvalidCorpus, match="no usable recording"):
        read(tmp_path)


# counts


@pytest.mark.parametrize(
    "given,expected",
    [
        (
            {},
            {
                "recordings": 5531,
                "speakers": 10,
                "neutral": 1708,
                "happy": 1636,
                "angry": 1103,
                "sad": 1084,
            },
        ),
        (
            {"excited": "omit"},
            {
                "recordings": 4490,
                "speakers": 10,
                "neutral": 1708,
                "happy": 595,
                "angry": 1103,
                "sad": 1084,
            },
        ),
        ({"dialogues": ["improvised"]}, {"recordings": 2943, "speakers": 10}),
        ({"dialogues": ["scripted"]}, {"recordings": 2588, "speakers": 10}),
        ({"dialogues": ["improvised"], "excited": "omit"}, {"speakers": 10}),
        ({"target": "speaker"}, {"recordings": 5531, "speakers": 10}),
        ({"synthetic": Synthetic()}, {}),
    ],
)
def test_published_counts(given, expected):
    assert corpora.published(Corpus(layout="iemocap", **given)) == expected


@pytest.mark.parametrize("dataset", ["iemocap", "demo-iemocap"])
def test_parameter_files(dataset):
    corpus = load(dataset=dataset).corpus
    assert (corpus.layout, corpus.protocol, corpus.path) == ("iemocap", "given", dataset)
