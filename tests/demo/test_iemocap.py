"""The synthetic IEMOCAP: turns are spread evenly, who speaks and listens, folds over sessions."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from moviepy import VideoFileClip

from kdsuite import demo
from kdsuite.data import checks, corpora
from kdsuite.data.corpora import iemocap
from kdsuite.data.folds import folds as folds_of
from kdsuite.demo import iemocap as small
from kdsuite.parameters import Corpus, Synthetic


def read(folder, **given):
    return corpora.read(Corpus(layout="iemocap", path=str(folder), **given))


PLAN = Synthetic(actors=4, takes=4, seconds=0.8, video_size=(64, 36), video_information=1.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "iemocap"
    with pytest.MonkeyPatch.context() as patch:
        # processes take longer to start than this takes to write
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        demo.ensure(Corpus(layout="iemocap", path=str(folder), synthetic=PLAN))
    return folder


@pytest.fixture(scope="module")
def table(tree):
    return read(tree)


@pytest.mark.parametrize("actors,takes", [(2, 1), (5, 7), (10, 20)])
def test_turns_are_spread_evenly(actors, takes):
    synthetic = Synthetic(actors=actors, takes=takes)
    files, _ = small.plan(synthetic)
    dialogues = [Path(name).stem for name in files]
    turns = [turn for own in files.values() for turn in own]
    assert len(dialogues) == 4 * max(2, actors // 2)
    assert len({turn.name for _, turn in turns}) == len(turns)
    for actor in range(1, len(dialogues) // 2 + 1):
        own = [(code, turn) for code, turn in turns if turn.spoken[0] == actor]
        codes = Counter(code for code, _ in own if code in iemocap.CLASSES)
        classes = [codes["neu"], codes["hap"] + codes["exc"], codes["ang"], codes["sad"]]
        met = {(turn.name[:-5], iemocap.CLASSES.get(code)) for code, turn in own}
        assert takes < 16 or len([name for name, label in met if label]) == 16, (
            "every class in each of the four dialogues"
        )
        assert (
            sum(codes.values()) == takes
            and max(classes) - min(classes) <= 1
            and abs(codes["hap"] - codes["exc"]) <= 1
        )
    unused = [(turn.name[:-5], code) for code, turn in turns if code not in iemocap.CLASSES]
    assert [dialogue for dialogue, _ in unused] == dialogues, "one each"
    assert {code for _, code in unused} == {"fru", "xxx"}


@pytest.mark.parametrize(
    "modality,parameter", [("shown", "video_information"), ("spoken", "audio_information")]
)
def test_displayed_emotion_is_the_label_as_often_as_said(modality, parameter):
    _, turns = small.plan(Synthetic(actors=30, takes=104, **{parameter: 0.6}))
    rate = np.mean([turn.truth[modality] == turn.truth["labelled"] for turn in turns])
    assert rate == pytest.approx(0.6 + 0.4 / 4, abs=4 * np.sqrt(0.7 * 0.3 / len(turns)))


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
    _, turns = small.plan(PLAN)
    angry = (turn for turn in turns if turn.truth["labelled"] == "angry")
    turn = next(turn for turn in angry if turn.name[5] == turn.name[-4])  # who sits on the left
    spoken = np.arange(round(0.5 * small.FPS), round(1.3 * small.FPS))

    def rendered():
        speaking = small.face.animate(turn, np.zeros(80), (spoken + 0.5) / small.FPS - 0.5)
        scenes = defaultdict(list, {turn.shown[0]: [(spoken, speaking)]})
        return np.stack(list(small.render(turn.name[:-5], scenes, 50, PLAN))).astype(int)

    felt = rendered()
    # the same once more, with nobody able to show anything
    units = small.face.ACTION_UNITS
    neutral = units.apply(lambda column: units.neutral)
    monkeypatch.setattr(small.face, "ACTION_UNITS", neutral)
    changed = np.abs(felt - rendered()).mean((1, 3))
    assert changed[:, 64:].max() == 0 and np.delete(changed, spoken, 0).max() == 0
    assert changed[spoken, :64].mean(1).min() > 0 and changed[spoken[12], :64].mean() > 0.5


def test_dialogues_are_the_same_whoever_writes_them(tree, tmp_path):
    name = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    small.write(tmp_path / name, small.turns("Ses01F_impro01", PLAN))
    written = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file())
    assert len(written) > 6
    for file in written:
        assert (tmp_path / file).read_bytes() == (
            tree / "IEMOCAP_full_release" / file
        ).read_bytes(), file


def test_a_dialogue_is_there_only_if_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(small, "write_video", lambda *_: (_ for _ in ()).throw(OSError("full")))
    corpus = Corpus(layout="iemocap", path=str(tmp_path / "broken"), synthetic=PLAN)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with pytest.raises(OSError):
        demo.ensure(corpus)
    assert (
        not list(tmp_path.rglob("EmoEvaluation/*.txt"))
        and not (tmp_path / "broken/synthetic.json").exists()
    )


# folds


def test_one_session_is_left_out_at_a_time(table):
    corpus = Corpus(layout="iemocap", protocol="given")
    folds = folds_of(table, corpus)
    assert [fold.name for fold in folds] == ["Session1", "Session2"]
    for fold in folds:
        assert set(table.speaker.iloc[fold.test]) == {
            f"Ses0{fold.number + 1}F",
            f"Ses0{fold.number + 1}M",
        }
        assert sorted([*fold.train, *fold.test]) == list(range(16))
    assert (
        checks.verdict(checks.leaks(table, folds, corpus), corpus)
        == "Protocol given: no speaker is on both sides, and no source is."
    )


def test_random_folds_are_told_to_leak(table):
    corpus = Corpus(layout="iemocap", protocol="random", groups=2)
    folds = folds_of(table, corpus)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(16))
    for fold in folds:
        assert table.label.iloc[fold.test].value_counts().to_dict() == dict.fromkeys(
            ("neutral", "happy", "angry", "sad"), 2
        )
    leaks = checks.leaks(table, folds, corpus)
    assert leaks["speakers on both sides"].min() > 0 and not leaks["sources on both sides"].any()
    assert "LEAK: protocol random has speakers on both sides" in checks.verdict(leaks, corpus)
