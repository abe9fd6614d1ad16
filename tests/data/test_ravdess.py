"""RAVDESS: which files make a take, which takes make the corpus, and the folds over its actors."""

from __future__ import annotations

import itertools
import os
import time

import numpy as np
import pytest

from kdlib.errors import InvalidCorpus, InvalidParameter
from kdsuite.data import corpora
from kdsuite.data.corpora import ravdess
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus, Synthetic


def official_takes():
    """Yield the 2,452 takes of the corpus, from its published design."""
    for actor, channel, emotion, intensity, statement, repetition in itertools.product(
        range(1, 25), (1, 2), range(1, 9), (1, 2), (1, 2), (1, 2)
    ):
        if (emotion == 1 and intensity == 2) or (channel == 2 and (emotion > 6 or actor == 18)):
            continue
        yield f"{channel:02d}-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The official archives' folders with empty files: names are all that the reader looks at."""
    folder = tmp_path_factory.mktemp("ravdess")
    for take in official_takes():
        kind = "Speech" if take.startswith("01") else "Song"
        home = folder / f"Video_{kind}_Actor_{take[-2:]}" / f"Actor_{take[-2:]}"
        home.mkdir(parents=True, exist_ok=True)
        (home / f"01-{take}.mp4").touch()
        (home / f"02-{take}.mp4").touch()
    return folder


def read(folder, **given):
    return corpora.read(Corpus(path=str(folder), **given))


@pytest.mark.parametrize(
    "given,count,classes",
    [
        ({}, 2452, 7),
        ({"calm": "omit"}, 2076, 7),
        ({"calm": "own"}, 2452, 8),
        ({"channels": ["speech"]}, 1440, 7),
        ({"channels": ["song"]}, 1012, 5),
    ],
)
def test_published_counts(whole, given, count, classes):
    table = read(whole, **given)
    assert (
        len(table) == count == table.recording.nunique()
        and len(table.label.cat.categories) == classes
    )


def test_published_classes(whole):
    assert read(whole).label.value_counts().to_dict() == {
        "neutral": 564,
        "happy": 376,
        "sad": 376,
        "angry": 376,
        "fearful": 376,
        "disgust": 192,
        "surprised": 192,
    }


@pytest.mark.parametrize("channels", [["speech", "song"], ["speech"], ["song"]])
@pytest.mark.parametrize("calm", ["neutral", "own", "omit"])
def test_the_whole_corpus_has_what_is_published(whole, channels, calm):
    table = read(whole, channels=channels, calm=calm)
    counts = {
        "recordings": len(table),
        "speakers": table.speaker.nunique(),
        **table.label.value_counts().to_dict(),
    }
    assert corpora.published(Corpus(channels=channels, calm=calm)) == counts


def test_published_numbers():
    four = dict.fromkeys(("happy", "sad", "angry", "fearful"), 376)
    rest = {"disgust": 192, "surprised": 192}
    own = corpora.published(Corpus(calm="own"))
    assert own == {
        "recordings": 2452,
        "speakers": 24,
        "neutral": 188,
        "calm": 376,
        **four,
        **rest,
    } and list(own)[2:4] == [
        "neutral",
        "calm",
    ]
    assert corpora.published(Corpus(calm="omit")) == {
        "recordings": 2076,
        "speakers": 24,
        "neutral": 188,
        **four,
        **rest,
    }
    assert corpora.published(Corpus(target="speaker")) == {"recordings": 2452, "speakers": 24}
    assert corpora.published(Corpus(synthetic=Synthetic())) == {}


def test_the_whole_corpus_is_indexed_quickly(whole):
    began = time.monotonic()
    assert len(read(whole)) == 2452
    assert time.monotonic() - began < 5


def test_one_actor_is_left_out_at_a_time(whole):
    table = read(whole)
    folds = folds_of(table, Corpus())
    assert len(folds) == 24 and sorted(np.concatenate([fold.test for fold in folds])) == list(
        range(2452)
    )
    for fold in folds:
        assert not set(table.speaker[fold.train]) & set(table.speaker[fold.test])
        assert sorted([*fold.train, *fold.test]) == list(range(2452))


def test_groups_of_actors_mix_the_sexes(whole):
    table = read(whole)
    folds = folds_of(table, Corpus(groups=6))
    assert [fold.name for fold in folds][:2] == [
        "Actor_01+Actor_02+Actor_03+Actor_04",
        "Actor_05+Actor_06+Actor_07+Actor_08",
    ]
    with pytest.raises(InvalidParameter, match="corpus.groups.*25"):
        folds_of(table, Corpus(groups=25))


def test_a_take_is_one_recording_whatever_its_files(tmp_path):
    tails = {
        "01-03-01-01-01-01": ("01", "02", "03"),
        "01-03-01-01-01-02": ("02", "03"),
        "01-04-01-01-01-01": ("01",),
        "01-04-01-01-01-02": ("02",),
        "01-05-01-01-01-02": ("03",),
    }
    for tail, modalities in tails.items():
        for modality in modalities:
            (tmp_path / f"{modality}-{tail}.{'wav' if modality == '03' else 'mp4'}").touch()
    table = read(tmp_path)
    assert table.recording.to_list() == [
        "01-03-01-01-01-01",
        "01-03-01-01-01-02",
        "01-04-01-01-01-01",
    ]
    assert [path[-24:-22] for path in table.audio] == ["03", "03", "01"]
    assert [path[-24:-22] for path in table.video] == ["01", "02", "01"]
    assert table.attrs["incomplete"] == {
        "01-04-01-01-01-02": "recording 01-04-01-01-01-02 has no sound",
        "01-05-01-01-01-02": "recording 01-05-01-01-01-02 has no video",
    }


@pytest.mark.parametrize(
    "tree", ["Video_Speech_Actor_01/Actor_01", "Actor_01", "", "my films/février"]
)
def test_any_tree_will_do(tmp_path, tree):
    home = tmp_path / tree
    home.mkdir(parents=True, exist_ok=True)
    for name in (
        "02-01-03-01-01-01-01.mp4",
        "03-01-03-01-01-01-01.wav",
        "01-02-04-01-01-01-01.MP4",
    ):
        (home / name).touch()
    table = read(tmp_path)
    assert table.recording.to_list() == ["01-03-01-01-01-01", "02-04-01-01-01-01"]
    assert table.audio.to_list() == [
        str(home / "03-01-03-01-01-01-01.wav"),
        str(home / "01-02-04-01-01-01-01.MP4"),
    ]
    assert table.video.to_list() == [
        str(home / "02-01-03-01-01-01-01.mp4"),
        str(home / "01-02-04-01-01-01-01.MP4"),
    ]


@pytest.mark.parametrize("modality, ending", [("01", "mp4"), ("02", "mp4"), ("03", "wav")])
def test_a_take_that_is_there_twice(tmp_path, modality, ending):
    name = f"{modality}-01-03-01-01-01-01.{ending}"
    for folder in ("Actor_01", "audio_video/Actor_01"):
        (tmp_path / folder).mkdir(parents=True)
        for file in (name, "01-01-04-01-01-01-01.mp4", "01-01-05-01-01-01-01.mp4"):
            (tmp_path / folder / file).write_text(f"the same {file}")
    table = read(tmp_path)
    (copies,) = table.attrs["remarks"]
    assert copies.startswith("duplicate files: 3, such as ") and "one of each is used" in copies
    (tmp_path / "Actor_01" / name).write_text(f"another {name}")
    with pytest.raises(InvalidCorpus, match="are the same recording and differ; move") as caught:
        read(tmp_path)
    assert all(
        f"{tmp_path / folder / name}" in str(caught.value)
        for folder in ("Actor_01", "audio_video/Actor_01")
    )


@pytest.mark.parametrize("ending", ["webm", "M4V", "avi", "mpeg"])
def test_videos_of_any_kind(tmp_path, ending):
    for emotion in ("03", "04"):
        (tmp_path / f"01-01-{emotion}-01-01-01-01.{ending}").touch()
        (tmp_path / f"03-01-{emotion}-01-01-01-01.wav").touch()
    assert [path.endswith(ending) for path in read(tmp_path).video] == [True, True]


def test_sound_alone(tmp_path):
    for emotion in ("03", "04"):
        (tmp_path / f"03-01-{emotion}-01-01-01-01.wav").touch()
    assert read(tmp_path).video.to_list() == ["", ""] and not read(tmp_path).attrs["incomplete"]


def test_sound_taken_out_of_a_video_is_no_video(tmp_path):
    for name in (
        "01-01-03-01-01-01-01.mp4",
        "01-01-03-01-01-01-01.wav",
        "01-01-04-01-01-01-01.wav",
    ):
        (tmp_path / name).touch()
    table = read(tmp_path)
    assert [path[-4:] for path in (*table.audio, *table.video)] == [".wav", ".mp4"]
    assert table.attrs["incomplete"] == {
        "01-04-01-01-01-01": "recording 01-04-01-01-01-01 has no video"
    }


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    (tmp_path / "Actor_01").mkdir()
    (tmp_path / "01-01-03-01-01-01-02.mp4").touch()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("Actor_01"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(
        InvalidCorpus,
        match=r"Actor_01 cannot be read \(Permission denied\); put it there and permit reading it",
    ):
        read(tmp_path)


def test_an_actor_behind_a_link(tmp_path):
    name, corpus = "01-01-03-01-01-01-01.mp4", tmp_path / "ravdess"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / name).touch()
    (corpus / "films").mkdir(parents=True)
    (corpus / "films" / name.replace("-03-", "-04-", 1)).touch()
    (corpus / "films" / "again").symlink_to(corpus)  # a loop
    (corpus / "twice").symlink_to(corpus / "films")
    assert len(read(corpus)) == 1
    (corpus / "Actor_01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidCorpus, match="ravdess/Actor_01 lies outside of .*ravdess"):
        read(corpus)
    assert len(read(corpus, outside=True)) == 2


def test_hidden_folders_are_no_part_of_a_corpus(tmp_path):
    for folder in ("Actor_01", ".Trash-1000/files", ".ipynb_checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "01-01-03-01-01-01-01.mp4").touch()
    assert len(read(tmp_path)) == 1


def test_an_unknown_emotion(tmp_path):
    (tmp_path / "01-01-09-01-01-01-01.mp4").touch()
    with pytest.raises(
        InvalidCorpus,
        match="01-01-09-01-01-01-01.mp4 is not a RAVDESS file name .*emotions from 01 to 08",
    ):
        read(tmp_path)


def test_files_that_do_not_belong(tmp_path):
    (tmp_path / "01-01-03-01-01-01-01.mp4").touch()
    (tmp_path / "._01-01-03-01-01-01-01.mp4").touch()  # what a Mac leaves behind
    (tmp_path / "README.txt").touch()
    assert len(read(tmp_path)) == 1
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(InvalidCorpus, match="holiday.mp4 is not a RAVDESS file name"):
        read(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(InvalidCorpus, match="absent does not exist"):
        read(tmp_path / "absent")
    with pytest.raises(InvalidCorpus, match="no usable recording"):
        read(tmp_path)


def test_a_class_without_training_example(tmp_path):
    for name in ("01-01-03-01-01-01-01", "01-01-04-01-01-01-01", "01-01-03-01-01-01-02"):
        (tmp_path / f"{name}.mp4").touch()
    with pytest.raises(
        InvalidCorpus, match="fold 0 tests class 'sad', but no training recording of it"
    ):
        folds_of(read(tmp_path), Corpus())


def test_labels_are_in_the_order_of_the_corpus(whole):
    assert list(read(whole, calm="own").label.cat.categories) == list(ravdess.EMOTIONS.values())


def test_of_measurements_of_two_modalities_the_first_is_taken(tmp_path):
    """Whatever the order of a set of names, which differs by process."""
    rows = []
    for take in [f"0{emotion}-01-01-0{n}-01" for emotion in range(3, 7) for n in (1, 2)]:
        (tmp_path / f"03-01-{take}.wav").touch()
        rows += [f"0{modality}-01-{take},{modality}" for modality in (2, 1)]
    (tmp_path / "faces.csv").write_text("name,brow\n" + "\n".join(rows) + "\n")
    table = read(tmp_path, features=str(tmp_path / "faces.csv"))
    assert table.features.to_list() == [f"01-{name}" for name in table.recording]


def test_features_that_are_no_numbers(tmp_path):
    (tmp_path / "03-01-03-01-01-01-01.wav").touch()
    (tmp_path / "faces.csv").write_text("name,brow\n01-01-03-01-01-01-01,high\n")
    with pytest.raises(
        InvalidCorpus, match="line 2 of .*faces.csv has 'high' where a finite number is needed"
    ):
        read(tmp_path, features=str(tmp_path / "faces.csv"))
    with pytest.raises(InvalidCorpus, match="none.csv cannot be read .*No such file"):
        read(tmp_path, features=str(tmp_path / "none.csv"))
