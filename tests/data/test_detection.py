"""Faces found by a detector: one face is followed, its track is written once, and without a face the
centre stays. Most tests have a detector that finds green squares."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from moviepy import VideoClip

from kdlib.errors import InvalidParameter
from kdsuite import demo, paths
from kdsuite.data import corpora, store
from kdsuite.data.decoding import detection
from kdsuite.data.decoding.faces import read_track
from kdsuite.runs.run import Run
from kdsuite.settings import load, relevant

SMALL = {"actors": 4, "takes": 2, "actors_without_song": [], "seconds": 1.2}
GREEN, GREY = (0, 255, 0), (90, 90, 90)


def green(picture):
    """Find one green square in the left and one in the right half of a picture."""
    pixels = np.asarray(picture).astype(int)
    there, middle = pixels[..., 1] - pixels[..., 0] > 100, picture.width // 2
    found = []
    for begin, part in ((0, there[:, :middle]), (middle, there[:, middle:])):
        rows, columns = np.nonzero(part)
        if len(rows):
            found.append((begin + columns.mean() + 0.5, rows.mean() + 0.5, float(np.ptp(rows) + 1)))
    return found


@pytest.fixture
def corpus(own_data, monkeypatch):
    """Return a function that writes a manifest of a second of video with squares (from when on,
    x in pixels at its beginning and end, side), and returns settings."""
    monkeypatch.setattr(detection, "detect", green)

    def write(*squares, where="", **media):
        def frame(t):
            pixels = np.full((96, 160, 3), GREY, np.uint8)
            for since, x, end, side in squares:
                left = round(x + (end - x) * t)
                if t >= since:
                    pixels[20 : 20 + side, left : left + side] = GREEN
            return pixels

        VideoClip(frame, duration=1).write_videofile(
            str(own_data / "a.mp4"), fps=25, codec="libx264rgb", pixel_format="rgb24", ffmpeg_params=["-qp", "0"],
            logger=None,
        )  # fmt: skip
        soundfile.write(own_data / "a.wav", np.zeros(16000), 16000)
        table = {"audio": "a.wav", "video": "a.mp4", "speaker": ["Ann", "Ben"], "label": ["x", "y"]}
        table |= {"recording": ["one", "two"], "face": where}
        pd.DataFrame(table).to_csv(own_data / "own.csv", index=False)
        own = {"layout": "manifest", "path": str(own_data / "own.csv"), "synthetic": None}
        return load(
            dataset="demo-ravdess", corpus=own, media={"frame_size": 32, "face": "detect", **media}
        )

    return write


def tracks(settings):
    return detection.track_files(corpora.read(settings.corpus), settings)


def share_of_green(data):
    frames = data.frames.values.numpy().astype(int)
    return (frames[..., 1] - frames[..., 0] > 100).mean((1, 2))


def test_a_moving_face_is_followed(corpus):
    data = store.prepare(settings := corpus((0, 10, 40, 30)))
    # in a crop as large as the face, for the detector of this test adds no margin
    assert data.frames.lengths.tolist() == [25, 25] and share_of_green(data).min() > 0.65
    track = read_track(tracks(settings)[0])
    assert track[:, 0].tolist() == [0, 5, 10, 15, 20] and detection.share(tracks(settings)[0]) == 1
    # at both ends the median is of fewer boxes, and ffmpeg's picture is up to 0.1 s later
    assert np.abs(track[:, 1] - (10 + 30 * track[:, 0] / 25)).max() < 10
    assert (np.diff(track[:, 1]) >= 0).all() and np.ptp(track[:, 1]) >= 10


def test_a_track_is_made_once_and_serves_frames_of_any_size(corpus, monkeypatch):
    settings = corpus((0, 10, 40, 30))
    first = store.prepare(settings)
    (file,) = {*tracks(settings)}  # one part of one video
    before = file.read_bytes(), file.stat().st_mtime_ns
    monkeypatch.setattr(detection, "detect", None)
    other = store.prepare(settings.changed(media={"frame_size": 48}))
    assert other.fingerprint != first.fingerprint
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_the_largest_face_is_kept_where_another_is_seen_before_it_and_beside_it(corpus):
    data = store.prepare(settings := corpus((0, 5, 5, 20), (0.3, 100, 100, 40)))
    left = read_track(tracks(settings)[0])[:, 1]
    assert (left[2:] == 100).all() and share_of_green(data)[12:25].min() > 0.9


def test_where_only_another_face_is_seen_for_a_moment_the_track_stays():
    way = pd.DataFrame({"FRAME": np.arange(0, 100, 5.0), "X": 50.0, "Y": 40.0, "W": 30.0})
    other = way.assign(X=150.0, W=20.0)  # smaller, and always there
    faces = pd.concat([way.drop(index=[8, 9]), other]).sort_values("FRAME", ignore_index=True)
    track = detection.follow(faces)
    assert track.FRAME.tolist() == way.FRAME.tolist()
    assert (track.X + track.W / 2).unique().tolist() == [50]


def test_without_a_face_the_centre_stays(corpus):
    data = store.prepare(settings := corpus())
    assert [detection.share(file) for file in tracks(settings)] == [0, 0]
    centre = store.prepare(settings.changed(media={"face": "centre"}))
    assert (data.frames.values == centre.frames.values).all()
    assert data.fingerprint != centre.fingerprint


def test_only_the_half_of_the_recording_is_looked_at(corpus):
    settings = corpus((0, 20, 20, 24), (0, 100, 100, 40), where="left")
    store.prepare(settings)
    assert (read_track(tracks(settings)[0])[:, 1] == 20).all()


@pytest.mark.parametrize("face", ["detect", "centre", "track"])
def test_a_track_of_the_corpus_wins_unless_the_centre_is_asked_for(corpus, own_data, face):
    (own_data / "a.txt").write_text("FRAME X Y W H\n0 0 0 10 10\n")
    data = store.prepare(settings := corpus((0, 60, 60, 40), where="a.txt", face=face))
    assert tracks(settings) == [None, None]
    assert (share_of_green(data).max() > 0) == (face == "centre")


def test_pictures_in_a_folder(corpus, own_data):
    from PIL import Image

    settings = corpus((0, 60, 60, 40), picture_rate=5.0)
    (own_data / "stills").mkdir()
    for number in range(5):
        pixels = np.full((96, 160, 3), GREY, np.uint8)
        pixels[10:40, 10 * number : 10 * number + 30] = GREEN
        Image.fromarray(pixels).save(own_data / "stills" / f"{number}.png")
    manifest = own_data / "own.csv"
    manifest.write_text(manifest.read_text().replace("a.mp4", "stills"))
    store.prepare(settings)
    track = read_track(tracks(settings)[0])
    assert track[:, 0].tolist() == [0, 5, 10, 15, 20] and np.ptp(track[:, 1]) == 20
    # the share is of the pictures that there are, however often each is shown
    slower = settings.changed(media={"picture_rate": 2.5})
    store.prepare(slower)
    assert detection.share(tracks(settings)[0]) == detection.share(tracks(slower)[0]) == 1


def test_an_unreadable_video_is_left_out_where_that_is_asked(corpus, own_data):
    settings = corpus((0, 60, 60, 40)).changed(corpus={"unreadable": "leave_out"})
    (own_data / "b.mp4").write_bytes((own_data / "a.mp4").read_bytes()[:900])
    manifest = own_data / "own.csv"
    manifest.write_text(manifest.read_text()[::-1].replace("4pm.a", "4pm.b", 1)[::-1])
    assert [*store.prepare(settings).left_out] == ["two"]


def test_where_dlib_is_absent_one_sentence_says_so(corpus, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "dlib", None)
    detection._detector.cache_clear()
    with pytest.raises(
        InvalidParameter, match=r"dlib is not installed; pip install 'kdlib\[faces\]', or"
    ):
        detection._detector(0)


def test_runs_without_a_detector_keep_their_names_and_hashes():
    given = ({}, {"face": "detect"}, {"face": "centre"})
    usual, *others = (load(dataset="grid-example", media=media) for media in given)
    for stage in ("data", "teacher", "student"):
        assert "face" not in relevant(usual, stage)["media"] and "-x" not in Run(stage, usual).key
        runs = [Run(stage, each) for each in (usual, *others)]
        assert len({run.fingerprint for run in runs}) == len({run.key for run in runs}) == 3
        assert runs[1].given["media"] == {"face": "detect"}


# with the real detector


@pytest.fixture
def dlib(own_data):
    """Skip where the detector is not installed."""
    detection._detector.cache_clear()
    pytest.importorskip("dlib", reason="dlib is not installed: pip install 'kdlib[faces]'")


def test_the_detector_finds_real_faces(dlib, real, monkeypatch):
    monkeypatch.setattr(paths, "CORPORA", (real, paths.PARAMS / "examples"))
    settings = load(dataset="grid-example", media={"face": "detect"})
    table = corpora.read(settings.corpus)
    for row, file in zip(table.itertuples(), detection.track_files(table, settings)):
        track = read_track(detection.placed(row, settings.media, file).face)
        assert detection.share(file) == 1
        # below the centre of 360 by 288 pixels, as large as half of their height or more
        x, y = (track[:, side] + track[:, 3] / 2 for side in (1, 2))
        assert 145 < x.min() <= x.max() < 205 and 155 < y.min() <= y.max() < 210
        assert 135 < track[:, 3].min() <= track[:, 3].max() < 200


def test_the_detector_finds_drawn_faces(dlib):
    settings = load(
        dataset="demo-ravdess",
        corpus={"synthetic": SMALL, "path": "small"},
        media={"face": "detect"},
    )
    demo.ensure(settings.corpus)
    data = store.prepare(settings)
    shares = [detection.share(file) for file in tracks(settings)]
    assert len(shares) == len(data.recordings) == 8 and np.mean(shares) > 0.6
