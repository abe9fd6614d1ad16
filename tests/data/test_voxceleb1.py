"""VoxCeleb1: the trees people have, splits, tracks and trials; on files in the official formats,
real and made."""

from __future__ import annotations

import os
import re

import numpy as np
import pandas as pd
import pytest

from kdlib.errors import InvalidCorpus
from kdlib.parameters import Media
from kdsuite.data import corpora
from kdsuite.data.corpora import voxceleb1
from kdsuite.data.decoding.media import read_recording
from kdsuite.data.folds import folds as folds_of
from kdsuite.data.reading import read_trials
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.settings import load

VIDEO, OTHER = "1zcIwhmdeo4", "xTV-jFAUKcw"
TRACK = "Identity  : \tid10001\nReference : \t1zcIwhmdeo4\nOffset    : \t-1\nFV Conf   : \t17.997\t(1)\nASD Conf  : \t6.338\n\nFRAME \tX \tY \tW \tH \n"
META = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\n"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.fixture
def tree(tmp_path):
    touch(
        tmp_path,
        *(f"wav/id10001/{VIDEO}/0000{number}.wav" for number in (2, 1)),
        f"wav/id10002/{OTHER}/00007.wav",
    )
    return tmp_path


def read(folder, **given):
    return voxceleb1.read(folder, Corpus(layout="voxceleb1", **given))


def test_a_video_is_a_recording_with_its_first_utterance_or_every_utterance_is(tree):
    videos = read(tree)
    assert list(videos.recording) == [f"id10001/{VIDEO}", f"id10002/{OTHER}"] and list(
        videos.speaker
    ) == ["id10001", "id10002"]
    assert [path[-9:] for path in videos.audio] == ["00001.wav", "00007.wav"] and set(
        videos.video
    ) == {""}
    every = read(tree, unit="utterance")
    assert list(every.recording) == [
        f"id10001/{VIDEO}/00001",
        f"id10001/{VIDEO}/00002",
        f"id10002/{OTHER}/00007",
    ]
    assert list(every.source) == [f"id10001/{VIDEO}"] * 2 + [f"id10002/{OTHER}"]


@pytest.mark.parametrize("place", ["wav", "dev/wav", "vox1_dev_wav/wav", "m4a", "aac", "mp4"])
def test_trees_as_archives_unpack_them(tmp_path, place):
    ending = {"wav": "wav", "mp4": "mp4"}.get(place.split("/")[-1], "m4a")
    touch(tmp_path, f"{place}/id10001/{VIDEO}/00001.{ending}")
    table = read(tmp_path)
    assert list(table.recording) == [f"id10001/{VIDEO}"] and table.audio[0].endswith(
        f"00001.{ending}"
    )


def test_speakers_of_the_verification_are_not_trained_on(tree):
    touch(tree, f"wav/id10270/{OTHER}/00001.wav")
    assert "id10270" in set(read(tree).speaker)
    (tree / "vox1_meta.csv").write_text(META)
    assert set(read(tree).speaker) == {"id10001", "id10002"}
    # the official split names all speakers; with trials between some of them, those must stay
    # unheard
    assert "id10270" in set(read(tree, protocol="given").speaker)
    (tree / "veri_test.txt").write_text(f"1 id10270/{OTHER}/00001.wav id10270/{OTHER}/00002.wav\n")
    given = {"layout": "voxceleb1", "path": str(tree), "trials": ["veri_test.txt"]}
    assert "id10270" not in set(corpora.read(Corpus(**given, protocol="given")).speaker)
    (tree / "vox1_meta.csv").unlink()  # then the list alone says whom nobody may have heard
    assert "id10270" not in set(corpora.read(Corpus(**given)).speaker)


@pytest.mark.parametrize("person", ["A.J._Buckley", "id10001"])
@pytest.mark.parametrize("folder", ["unzippedFaces/{}/1.6/" + VIDEO, "faces/{}/" + VIDEO])
def test_face_crops_as_pictures(tree, person, folder):
    (tree / "vox1_meta.csv").write_text(META)
    touch(tree, folder.format(person) + "/0000025.jpg")
    table = read(tree)
    assert (
        table.video[0].endswith(folder.format(person))
        and table.face[0] == "crop"
        and table.video[1] == ""
    )


def test_face_crops_as_videos_belong_to_their_utterance(tree):
    touch(tree, f"mp4/id10001/{VIDEO}/00002.mp4")
    table = read(tree, unit="utterance").set_index("recording")
    assert (
        table.video[f"id10001/{VIDEO}/00002"].endswith("00002.mp4")
        and table.face[f"id10001/{VIDEO}/00002"] == "crop"
    )
    assert table.video[f"id10001/{VIDEO}/00001"] == "" and table.audio[
        f"id10001/{VIDEO}/00002"
    ].endswith(".wav")


@pytest.mark.parametrize("place", [f"video/{VIDEO}.webm", f"video/id10001/{VIDEO}.mp4"])
def test_whole_videos_are_cut_by_their_tracks(tree, place):
    touch(tree, place, f"txt/id10001/{VIDEO}/00001.txt")
    (tree / f"txt/id10001/{VIDEO}/00001.txt").write_text(
        TRACK + "".join(f"{2316 + n:06d} \t223 \t80 \t130 \t130 \n" for n in range(50))
    )
    row = read(tree).iloc[0]
    assert row.video.endswith(place) and row.face.endswith("00001.txt")
    assert row.video_start == 2316 / 25 and row.seconds == 2.0


def test_official_split(tree):
    (tree / "iden_split.txt").write_text(
        f"3 id10001/{VIDEO}/00001.wav\n1 id10001/{VIDEO}/00002.wav\n2 id10002/{OTHER}/00007.wav\n"
    )
    assert list(read(tree, unit="utterance").fold) == ["test", "train", "validation"]
    assert list(read(tree).fold) == ["test", "validation"]  # that of the utterance that is used
    (tree / "iden_split.txt").write_text(
        f"3 id10001/{VIDEO}/00001.wav\n4 id10001/{VIDEO}/00002.wav\n"
    )
    with pytest.raises(
        InvalidCorpus, match="line 2 of .*iden_split.txt is not written as '1 id10001/"
    ):
        read(tree)


def test_folders_that_are_no_speakers(tree):
    touch(tree, "wav/Adele/x/00001.wav")
    with pytest.raises(InvalidCorpus, match="wav/Adele/x/00001.wav is not an utterance's path"):
        read(tree)


@pytest.mark.parametrize(
    "name",
    [
        "wav/00001.wav",
        "wav/id10001/00001.wav",
        f"wav/id10001/{VIDEO}/first.wav",
        f"mp4/id10001/{VIDEO}/00001 (2).mp4",
    ],
)
def test_files_that_do_not_lie_as_utterances_do(tree, name):
    touch(tree, name)
    with pytest.raises(
        InvalidCorpus,
        match=f"{re.escape(str(tree / name))} is not an utterance's path .*; rename it or move it",
    ):
        read(tree)


def test_what_else_may_lie_in_the_trees(tree):
    touch(
        tree,
        "wav/readme.txt",
        f"wav/id10001/{VIDEO}/._00001.wav",
        f"wav/id10001/{VIDEO}/00001.json",
        "wav/.cache/x",
        "notes/a.wav",
    )
    assert len(read(tree, unit="utterance")) == 3


def test_an_utterance_that_is_there_twice(tree):
    touch(tree, f"wav/id10001/{VIDEO}/00001.m4a")
    assert read(tree).audio[0].endswith("00001.wav") and not read(tree).attrs["remarks"]
    again = tree / f"dev/wav/id10001/{VIDEO}/00001.wav"
    touch(tree, again.relative_to(tree))
    assert read(tree).attrs["remarks"][0].startswith("duplicate files: 1, such as ")
    again.write_text("another")
    with pytest.raises(InvalidCorpus, match="00001.wav are the same recording and differ; move"):
        read(tree)


def test_sound_as_distributed_is_preferred_to_that_of_face_crops(tree):
    for place in ("mp4", "m4a"):
        touch(
            tree,
            *(
                f"{place}/id10001/{VIDEO}/0000{number}.{place}"
                for number in (1, 2, 3, 4)
                if (place, number) != ("m4a", 4)
            ),
        )
    table = read(tree, unit="utterance")
    assert [path.rsplit(".")[-1] for path in table.audio] == ["wav", "wav", "m4a", "mp4", "wav"]
    assert [path.rsplit("/")[-1] for path in table.video] == [
        "00001.mp4",
        "00002.mp4",
        "00003.mp4",
        "00004.mp4",
        "",
    ]


def test_a_whole_video_without_a_track_shows_no_face(tree):
    touch(tree, f"video/{VIDEO}.mp4")
    assert set(read(tree).video) == {""} and set(read(tree).face) == {""}


def test_crops_of_the_utterance_come_before_pictures_and_those_before_the_whole_video(tree):
    touch(tree, f"video/{VIDEO}.mp4")
    seen = []
    track = tree / f"txt/id10001/{VIDEO}/00001.txt"
    track.parent.mkdir(parents=True)
    track.write_text(TRACK + "000000 \t1 \t1 \t9 \t9 \n")
    for name in (
        "wav/readme.txt",
        f"faces/id10001/{VIDEO}/1.jpg",
        f"mp4/id10001/{VIDEO}/00001.mp4",
    ):
        touch(tree, name)
        seen.append(read(tree).video[0].removeprefix(f"{tree}/"))
    assert seen == [
        f"video/{VIDEO}.mp4",
        f"faces/id10001/{VIDEO}",
        f"mp4/id10001/{VIDEO}/00001.mp4",
    ]


def test_face_measurements_stand_for_the_video(tree):
    touch(tree, f"mp4/id10001/{VIDEO}/00001.mp4")
    (tree / "faces.csv").write_text(f"name,brow\nid10001/{VIDEO},1.5\n")
    table = corpora.read(
        Corpus(layout="voxceleb1", path=str(tree), features=str(tree / "faces.csv"))
    )
    assert list(table.features) == [f"id10001/{VIDEO}"] and set(table.video) == {""}
    assert list(table.attrs["incomplete"]) == [f"id10002/{OTHER}"]


@pytest.mark.parametrize(
    "part", ["", "wav", "wav/id10001", f"wav/id10001/{VIDEO}", "faces/id10001", "video"]
)
def test_a_folder_that_may_not_be_read(tree, monkeypatch, part):
    touch(tree, f"faces/id10001/{VIDEO}/1.jpg", f"video/{VIDEO}.mp4")
    scandir, closed = os.scandir, str(tree / part)

    def refusing(path):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(voxceleb1.os, "scandir", refusing)
    with pytest.raises(
        InvalidCorpus, match=f"{closed} cannot be read .Permission denied.; put it there and permit"
    ):
        corpora.read(Corpus(layout="voxceleb1", path=str(tree)))


@pytest.mark.parametrize(
    "text,told",
    [
        ("a,b\n", "is not written as"),
        ("", "has no line such as"),
        (META + "id10003\tA\tf\tUSA\tdev\textra\n", "is not written as"),
    ],
)
def test_a_list_of_people_that_cannot_be_read(tree, text, told):
    (tree / "vox1_meta.csv").write_text(text)
    with pytest.raises(InvalidCorpus, match=f"vox1_meta.csv {told}.*fetch"):
        read(tree)


def test_a_quotation_mark_in_a_name_swallows_nobody(tree):
    touch(tree, f"wav/id10270/{OTHER}/00001.wav")
    (tree / "vox1_meta.csv").write_text(META.replace("A.J._Buckley", '"A.J._Buckley'))
    assert set(read(tree).speaker) == {"id10001", "id10002"}


@pytest.mark.parametrize(
    "given,expected",
    [
        ({}, {"recordings": 21819, "speakers": 1211}),
        ({"unit": "utterance"}, {"recordings": 148642, "speakers": 1211}),
        ({"synthetic": Synthetic()}, {}),
    ],
)
def test_published_counts(given, expected):
    assert corpora.published(Corpus(layout="voxceleb1", **given)) == expected


@pytest.mark.parametrize("dataset,unit", [("voxceleb1", "video"), ("demo-voxceleb1", "utterance")])
def test_parameter_files(dataset, unit):
    settings = load(dataset=dataset)
    corpus = settings.corpus
    assert (corpus.layout, corpus.path, corpus.target, corpus.protocol, corpus.unit) == (
        "voxceleb1",
        dataset,
        "speaker",
        "portions",
        unit,
    )
    assert corpus.trials == ["veri_test.txt"] and settings.media.inference == "whole"
    assert dataset == "demo-voxceleb1" or (
        settings.media.duration,
        settings.segments,
        corpus.portions,
    ) == (5.0, 5, (0.7, 0.1, 0.2))


# face tracks


@pytest.mark.parametrize("conf", ["17.997\t(1)", "17.997"])
def test_tracks_in_pixels_and_in_fractions(tmp_path, conf):
    track = tmp_path / "00001.txt"
    track.write_text(
        TRACK.replace("17.997\t(1)", conf)
        + "002316 \t223 \t80 \t130 \t130 \n002318\t0.25\t0.1\t0.5\t0.4\n\n"
    )
    np.testing.assert_allclose(
        voxceleb1.read_track(track), [[2316, 223, 80, 130, 130], [2318, 0.25, 0.1, 0.5, 0.4]]
    )


@pytest.mark.parametrize(
    "line",
    ["002317 \t223 \t80 \t130", "002317 \tx \t80 \t130 \t130", "002317 \tnan \t80 \t130 \t130"],
)
def test_a_malformed_line_of_a_track_is_named(tmp_path, line):
    track = tmp_path / "00001.txt"
    track.write_text(TRACK + "002316 \t223 \t80 \t130 \t130 \n" + line + "\n")
    with pytest.raises(
        InvalidCorpus,
        match="00001.txt is no face track.*at row|00001.txt is no face track.*a row is no frame number",
    ):
        voxceleb1.read_track(track)


@pytest.mark.parametrize("text,told", [("", "there is none"), (TRACK, "there is none")])
def test_a_track_without_boxes(tmp_path, text, told):
    (tmp_path / "00001.txt").write_text(text)
    with pytest.raises(InvalidCorpus, match=told):
        voxceleb1.read_track(tmp_path / "00001.txt")


@pytest.mark.parametrize(
    "rows,start,seconds",
    [
        ("000050 \t1 \t1 \t9 \t9 \n000074 \t1 \t1 \t9 \t9 \n\n", 2.0, 1.0),
        ("000074 \t1 \t1 \t9 \t9 \n000050 \t1 \t1 \t9 \t9 \n", 2.0, 1.0),  # in disorder
        ("000050 \t1 \t1 \t9 \t9 \n", 2.0, 0.04),
    ],
)
def test_the_part_of_the_video_is_from_the_first_to_the_last_box(tree, rows, start, seconds):
    touch(tree, f"video/{VIDEO}.mp4", f"txt/id10001/{VIDEO}/00001.txt")
    # a name on YouTube may hold the word
    (tree / f"txt/id10001/{VIDEO}/00001.txt").write_text(TRACK.replace(VIDEO, "xxFRAMEyyyy") + rows)
    row = read(tree).iloc[0]
    assert row.video_start == start and row.seconds == pytest.approx(seconds)


def test_a_track_that_does_not_begin_with_a_box_stops_the_reading(tree):
    touch(tree, f"video/{VIDEO}.mp4", f"txt/id10001/{VIDEO}/00001.txt")
    for text, told in (
        (TRACK, "there is none"),
        ("", "no face track, a line that begins with FRAME"),
        (TRACK + "x \t1 \t1 \t9 \t9\n", "could not convert"),
    ):
        (tree / f"txt/id10001/{VIDEO}/00001.txt").write_text(text)
        with pytest.raises(InvalidCorpus, match=told):
            read(tree)


# trials


def test_files_that_are_missing_are_listed(tree):
    (tree / "one.txt").write_text(
        f"1 id10001/{VIDEO}/00001.wav id10001/{VIDEO}/00002.wav\n0 id10001/{VIDEO}/00001.wav id10270/x/00001.wav\n"
    )
    corpus = Corpus(layout="voxceleb1", path=str(tree), trials=["one.txt"])
    trials, files, missing = corpora.trials(corpus)
    assert list(trials.genuine) == [True, False] and missing == ["id10270/x/00001.wav"]
    assert list(files.recording) == [f"id10001/{VIDEO}/00001.wav", f"id10001/{VIDEO}/00002.wav"]


@pytest.mark.parametrize(
    "line", ["1 a/b/c.wav", "2 a/b/c.wav a/b/d.wav", "1 a/b/c.wav a/b/d.wav e"]
)
def test_a_malformed_trial_is_named(tree, line):
    (tree / "one.txt").write_text(f"1 a/b/c.wav a/b/d.wav\n\n{line}\n")
    with pytest.raises(InvalidCorpus, match="line 3 of .*one.txt is not"):
        read_trials(tree, ["one.txt"])
    with pytest.raises(InvalidCorpus, match="two.txt cannot be read .No such file.*corpus.path"):
        corpora.trials(Corpus(layout="voxceleb1", path=str(tree), trials=["two.txt"]))


# real samples


def test_the_real_lists_and_utterances(real):
    folder = real / "voxceleb1"
    trials = read_trials(folder, ["veri_test.txt"])
    assert len(trials) == 37720 and trials.genuine.sum() == 18860
    corpus = Corpus(layout="voxceleb1", path=str(folder), trials=["veri_test.txt"])
    _, files, missing = corpora.trials(corpus)
    assert len(files) == 0 and len(missing) == len(set(trials["first"]) | set(trials["second"]))
    people = pd.read_csv(folder / "vox1_meta.csv", sep="\t")
    assert people.Set.value_counts().to_dict() == {"dev": 1211, "test": 40}
    # nobody whom the trials name is trained on
    assert set(
        people.set_index("VoxCeleb1 ID").Set[[*trials["first"].str[:7], *trials["second"].str[:7]]]
    ) == {"test"}
    table = read(folder, unit="utterance")
    assert len(table) == 6 and table.fold.value_counts().to_dict() == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }
    corpus = Corpus(
        layout="voxceleb1", path=str(folder), target="speaker", unit="utterance", protocol="given"
    )
    recordings = corpora.read(corpus)
    (fold,) = folds_of(recordings, corpus)
    assert [len(rows) for rows in (fold.train, fold.validation, fold.test)] == [2, 2, 2]
    sound, frames = read_recording(recordings.iloc[0], Media())
    assert len(sound) > 4 * 16000 and len(frames) == 0
