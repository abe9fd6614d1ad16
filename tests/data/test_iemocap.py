"""IEMOCAP: turns from label files, who speaks and sits where, folds over sessions, and the small
tree the suite makes."""

from __future__ import annotations

import json
import os
import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from moviepy import VideoFileClip

from kdlib.errors import InvalidCorpus
from kdsuite import demo
from kdsuite.data import checks, corpora
from kdsuite.data.corpora import iemocap
from kdsuite.demo import iemocap as small
from kdsuite.demo import writing
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
            "turn Ses01F_impro01_F000 end at 6.2901 s",
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
    with pytest.raises(InvalidCorpus, match=f"{closed} cannot be read .Permission denied.; permit"):
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


# the small tree

PLAN = Synthetic(actors=4, takes=4, seconds=0.8, video_size=(64, 36), video_information=1.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "iemocap"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            writing, "_cores", lambda: 1
        )  # processes take longer to start than this takes to write
        demo.ensure(Corpus(layout="iemocap", path=str(folder), synthetic=PLAN))
    return folder


@pytest.fixture(scope="module")
def table(tree):
    return read(tree)


@pytest.mark.parametrize("actors,takes", [(2, 1), (5, 7), (10, 20)])
def test_turns_are_spread_evenly(actors, takes):
    synthetic = Synthetic(actors=actors, takes=takes)
    dialogues = small.dialogue_list(synthetic)
    turns = {dialogue: small.turn_list(dialogue, synthetic) for dialogue in dialogues}
    assert len(dialogues) == 4 * max(2, actors // 2) and all(
        len({turn.name for turn in own}) == len(own) for own in turns.values()
    )
    for actor in range(1, len(dialogues) // 2 + 1):
        codes = Counter(
            turn.code
            for own in turns.values()
            for turn in own
            if turn.actor == actor and turn.code in iemocap.CLASSES
        )
        classes = [codes["neu"], codes["hap"] + codes["exc"], codes["ang"], codes["sad"]]
        met = {
            (turn.name[:-5], iemocap.CLASSES.get(turn.code))
            for own in turns.values()
            for turn in own
            if turn.actor == actor
        }
        assert takes < 16 or len([name for name, label in met if label]) == 16, (
            "every class in each of the four dialogues"
        )
        assert (
            sum(codes.values()) == takes
            and max(classes) - min(classes) <= 1
            and abs(codes["hap"] - codes["exc"]) <= 1
        )
    unused = [
        [turn.code for turn in own if turn.code not in iemocap.CLASSES] for own in turns.values()
    ]
    assert set(map(len, unused)) == {1} and {code for own in unused for code in own} == {
        "fru",
        "xxx",
    }


@pytest.mark.parametrize(
    "modality,parameter", [("shown", "video_information"), ("spoken", "audio_information")]
)
def test_displayed_emotion_is_the_label_as_often_as_said(modality, parameter):
    synthetic = Synthetic(**{parameter: 0.6})
    turns = [small.Turn(f"Ses01F_impro01_F{number:03d}", 2, "exc") for number in range(4000)]
    rate = np.mean([small.displayed(turn, synthetic)[modality] == "happy" for turn in turns])
    assert rate == pytest.approx(0.6 + 0.4 / 4, abs=4 * np.sqrt(0.7 * 0.3 / 4000))


def test_every_turn_of_the_tree_is_read(tree, table):
    truth = json.loads((tree / "synthetic.json").read_text())
    assert truth["parameters"] == PLAN.model_dump(mode="json") and table.attrs["incomplete"] == {}
    assert dict(zip(table.recording, table.label)) == {
        name: turn["labelled"] for name, turn in truth["takes"].items()
    }
    assert table.label.value_counts().to_dict() == dict.fromkeys(
        ("neutral", "happy", "angry", "sad"), 4
    )
    assert table.speaker.value_counts().to_dict() == dict.fromkeys(
        ("Ses01F", "Ses01M", "Ses02F", "Ses02M"), 4
    )
    labels = "".join(file.read_text() for file in tree.rglob("EmoEvaluation/Ses*.txt"))
    codes = Counter(re.findall(r"_[FM]\d{3}\t(\w+)\t", labels))
    assert (
        codes == {"neu": 4, "hap": 2, "exc": 2, "ang": 4, "sad": 4, "fru": 4, "xxx": 4}
        and len(list(tree.rglob("._*"))) == 24
    )


def test_sounds_are_the_turns_of_the_video(table):
    for row in table[table.source == "Ses02M_impro01"].itertuples():
        sound, rate = soundfile.read(row.audio)
        assert rate == 16000 and len(sound) / rate == pytest.approx(row.seconds, abs=1e-4)
        with VideoFileClip(row.video, audio_fps=16000) as clip:
            track = np.concatenate(list(clip.audio.iter_chunks(chunksize=1600, fps=16000)))[:, 0]
        # where in the dialogue the turn's sound is found
        found = np.correlate(track, sound, "valid").argmax() / rate
        assert found == pytest.approx(row.video_start, abs=0.1)


def mouths(frames):
    """Return how much the lower half of each face moves, ``(left, right)``."""
    middle = frames.shape[2] // 2
    halves = (
        frames[:, 16:26, middle // 3 : middle * 2 // 3],
        frames[:, 16:26, middle * 4 // 3 : middle * 5 // 3],
    )
    return [np.abs(np.diff(half.astype(int), axis=0)).mean() for half in halves]


def test_who_speaks_moves_the_mouth(table):
    assert set(table.face) == {"left", "right"}
    for video, turns in table.groupby("video"):
        with VideoFileClip(video, audio=False) as clip:
            frames, fps = np.stack(list(clip.iter_frames())), clip.fps
        assert (
            frames.shape[1:] == (36, 128, 3)
            and len(frames) / fps > (turns.video_start + turns.seconds).max()
        )
        for row in turns.itertuples():
            begin = round(row.video_start * fps)
            left, right = mouths(frames[begin : begin + round(row.seconds * fps)])
            assert left > 1.5 * right if row.face == "left" else right > 1.5 * left, row.recording


def test_who_speaks_shows_the_emotion_and_who_listens_shows_none(monkeypatch):
    turn, sound = (
        small.Turn("Ses01F_impro01_F000", 2, "ang"),
        np.zeros(round(0.8 * small.voice.RATE), np.float32),
    )
    said = [small.Said(turn, 0.5, sound, np.zeros(80))]
    felt = np.stack(list(small.render("Ses01F_impro01", said, PLAN)[1])).astype(int)
    # the same once more, with nobody able to show anything
    monkeypatch.setattr(
        small.face, "EXPRESSIONS", dict.fromkeys(small.face.EXPRESSIONS, small.face.RELAXED)
    )
    changed = np.abs(felt - np.stack(list(small.render("Ses01F_impro01", said, PLAN)[1]))).mean(
        (1, 3)
    )
    spoken = np.arange(round(0.5 * small.FPS), round(1.3 * small.FPS))
    assert changed[:, 64:].max() == 0 and np.delete(changed, spoken, 0).max() == 0
    assert changed[spoken, :64].mean(1).min() > 0 and changed[spoken[12], :64].mean() > 0.5


def test_dialogues_are_the_same_whoever_writes_them(tree, tmp_path):
    name = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    leftover = tmp_path / "Session1/sentences/wav/Ses01F_impro01/.99-Ses01F_impro01_F000.wav"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    small._write(tmp_path / name, PLAN)
    written = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file())
    assert not leftover.exists() and len(written) > 6
    for file in written:
        assert (tmp_path / file).read_bytes() == (
            tree / "IEMOCAP_full_release" / file
        ).read_bytes(), file


def test_a_dialogue_is_there_only_if_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(small, "write_video", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError):
        small.write_iemocap(tmp_path / "broken", PLAN, workers=1)
    assert (
        not list(tmp_path.rglob("EmoEvaluation/*.txt"))
        and not (tmp_path / "broken/synthetic.json").exists()
    )


# folds


def test_one_session_is_left_out_at_a_time(table):
    corpus = Corpus(layout="iemocap", protocol="given")
    folds = corpora.folds(table, corpus)
    assert [fold.name for fold in folds] == ["Session1", "Session2"]
    for fold in folds:
        assert set(table.speaker.iloc[fold.test]) == {
            f"Ses0{fold.number + 1}F",
            f"Ses0{fold.number + 1}M",
        }
        assert sorted([*fold.train, *fold.test]) == list(range(16))
    assert (
        checks.verdict(checks.leaks(table, folds), corpus)
        == "Protocol given: no speaker is on both sides, and no source is."
    )


def test_random_folds_are_told_to_leak(table):
    corpus = Corpus(layout="iemocap", protocol="random", groups=2)
    folds = corpora.folds(table, corpus)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(16))
    for fold in folds:
        assert table.label.iloc[fold.test].value_counts().to_dict() == dict.fromkeys(
            ("neutral", "happy", "angry", "sad"), 2
        )
    leaks = checks.leaks(table, folds)
    assert leaks["speakers on both sides"].min() > 0 and leaks["sources on both sides"].min() > 0
    assert "LEAK: protocol random has speakers on both sides" in checks.verdict(leaks, corpus)
