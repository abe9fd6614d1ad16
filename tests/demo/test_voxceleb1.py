"""The synthetic VoxCeleb1: every recording has face, sound and split, and is whose it should be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kdlib.parameters import Media
from kdsuite.data import corpora
from kdsuite.data.decoding.media import read_recording
from kdsuite.demo import ensure
from kdsuite.demo import voxceleb1 as small
from kdsuite.parameters import Corpus, Synthetic

SMALL = Synthetic(actors=2, takes=3, outsiders=2, seconds=1.0, video_size=(64, 36))


def write(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        ensure(Corpus(layout="voxceleb1", path=str(folder), synthetic=SMALL))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voxceleb1")
    write(folder)
    return folder


def test_every_recording_of_the_synthetic_tree_has_face_sound_and_split(made):
    corpus = Corpus(
        layout="voxceleb1",
        path=str(made),
        target="speaker",
        protocol="given",
        trials=["veri_test.txt"],
    )
    table = corpora.read(corpus)
    assert (
        len(table) == 6
        and set(table.speaker) == {"id10001", "id10002"}
        and set(table.fold) == {"train", "test"}
    )
    for row in table.itertuples():
        sound, frames = read_recording(row, Media(frame_size=32))
        assert abs(len(frames) / 25 - row.seconds) < 0.2 and len(sound) == 640 * len(frames)
    trials, files, missing = corpora.trials(corpus)
    assert not missing and len(files) == 16 and trials.genuine.sum() == len(trials) / 2 == 56
    assert not set(trials["first"].str[:7]) & set(table.speaker)


def test_the_box_of_the_track_holds_the_face(made):
    """The wall behind is grey, the drawn person is not: the box must hold far less of the wall than
    the frame does."""
    table = corpora.read(Corpus(layout="voxceleb1", path=str(made), target="speaker"))
    grey = []
    for face in (table.face[0], "crop"):
        _, frames = read_recording(table.assign(face=face).iloc[0], Media(frame_size=32))
        grey.append(np.mean(np.ptp(frames.astype(int), axis=-1) < 3))
    assert grey[0] < 0.5 * grey[1]


def test_the_same_parameters_make_the_same_sound_and_lists(made, tmp_path):
    write(tmp_path)
    for file in itertools.chain(made.rglob("*.wav"), made.rglob("*.txt"), made.rglob("*.csv")):
        assert file.read_bytes() == (tmp_path / file.relative_to(made)).read_bytes()


def test_modalities_show_whom_they_should():
    whole = Synthetic(actors=9, takes=60, video_information=1.0, audio_information=0.5)
    told = {row.name: row.truth for row in small.plan(whole)[1]}
    person = {name: int(name[2:7]) - 10000 for name in told}
    assert all(told[name]["shown"] == person[name] for name in told)
    assert np.mean([told[name]["spoken"] == person[name] for name in told]) == pytest.approx(
        0.5, abs=0.06
    )
    assert {one["spoken"] for one in told.values()} == set(range(1, 10))
