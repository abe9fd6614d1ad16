"""The corpus the suite makes itself: official names, known information, the same files whoever
writes them."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import soundfile
from moviepy import VideoFileClip
from scipy.signal import spectrogram
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdlib.errors import InvalidParameter
from kdsuite.data.corpora import features, read
from kdsuite.data.corpora.iemocap import CLASSES
from kdsuite.data.corpora.ravdess import EMOTIONS, NAME
from kdsuite.demo import claimed, ensure, face, iemocap, ravdess, voice, voxceleb1, writing
from kdsuite.demo.people import Recording, traits
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.settings import load

SMALL = Synthetic(
    actors=2, takes=4, seconds=0.8, video_size=(64, 36), modalities=["01", "02", "03"]
)


def write_ravdess(folder, synthetic, workers=1):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", str(workers))
        ensure(Corpus(layout="ravdess", path=str(folder), synthetic=synthetic))


def spoken(actor, emotion, seed, **given):
    """Return a recording of which the voice alone matters, and its random numbers are of a seed."""
    parts = {name: given.pop(name) for name in ("intensity", "statement", "sung") if name in given}
    random = np.random.default_rng
    return Recording(
        Synthetic(**given), lambda _: random(seed), (0, ""), (actor, emotion), statement=1
    )._replace(**parts)


def shown(actor, emotion, seed, intensity=1.0, **given):
    """Return a recording of which the face alone matters, and its random numbers are of a seed."""
    random = np.random.default_rng
    return Recording(
        Synthetic(**given), lambda _: random(seed), (actor, emotion), intensity=intensity
    )


def truth_of(take, synthetic):
    return ravdess.recording(take, synthetic).truth


def takes_of(synthetic):
    return [take.name for take in ravdess.plan(synthetic)[1]]


def emotions(takes):
    return Counter(EMOTIONS[take.split("-")[1]] for take in takes)


# the list of takes


def test_all_takes_are_the_official_corpus():
    takes = takes_of(Synthetic(actors=24, takes=104))
    assert len(set(takes)) == len(takes) == 2452
    assert all(NAME.fullmatch(f"01-{take}") for take in takes)
    four = dict.fromkeys(("calm", "happy", "sad", "angry", "fearful"), 376)
    assert emotions(takes) == {"neutral": 188, "disgust": 192, "surprised": 192, **four}
    assert Counter(take[:2] for take in takes if take.endswith("-18")) == {"01": 60}
    assert not [take for take in takes if take[3:8] == "01-02"], "neutral has no second intensity"


@pytest.mark.parametrize("takes", [14, 26, 40])
def test_takes_are_spread_evenly(takes):
    chosen = takes_of(Synthetic(actors=18, takes=takes))
    for actor in range(1, 19):
        own = [take for take in chosen if int(take[-2:]) == actor]
        counts = emotions(own)
        neutral = counts["neutral"] + counts["calm"]
        classes = [neutral, *(counts[name] for name in list(EMOTIONS.values())[2:])]
        assert len(own) == takes and abs(counts["neutral"] - counts["calm"]) <= 2
        assert max(classes) - min(classes) <= 1, classes
        channels = Counter(
            take[:2] for take in own if take[3:5] not in ("07", "08")
        )  # the two are never sung
        assert actor == 18 or abs(channels["01"] - channels["02"]) <= 6


# known information


RATES = [
    ("shown", "video_information", 0.9),
    ("spoken", "audio_information", 0.6),
    ("spoken", "audio_information", 0.0),
]


@pytest.mark.parametrize("modality, parameter, information", RATES)
def test_displayed_emotion_is_the_label_as_often_as_said(modality, parameter, information):
    synthetic = Synthetic(actors=48, takes=104, actors_without_song=[], **{parameter: information})
    takes = takes_of(synthetic)
    for channel, choices in (("01", 8), ("02", 6)):
        truths = [truth_of(take, synthetic) for take in takes if take.startswith(channel)]
        right = np.mean([truth[modality] == truth["labelled"] for truth in truths])
        expected = information + (1 - information) / choices
        assert abs(right - expected) < 4 * np.sqrt(expected * (1 - expected) / len(truths))
        wrong = Counter(truth[modality] for truth in truths if truth[modality] != truth["labelled"])
        assert len(wrong) == choices


def test_face_and_voice_err_independently():
    synthetic = Synthetic(actors=48, takes=104, video_information=0.5, audio_information=0.5)
    truths = [truth_of(take, synthetic) for take in takes_of(synthetic)]
    errors = np.array(
        [[truth[name] == truth["labelled"] for name in ("shown", "spoken")] for truth in truths],
        float,
    )
    assert abs(np.corrcoef(errors.T)[0, 1]) < 4 / np.sqrt(len(errors))


def test_what_is_shared_is_shown_and_spoken_alike_as_often_as_said():
    """The joint distribution of face and voice given the label, cell by cell, against the formula;
    the voice's own stays."""
    told = {"video_information": 0.3, "audio_information": 0.6, "shared": 0.5}
    synthetic = Synthetic(actors=60, takes=60, actors_without_song=list(range(1, 61)), **told)
    truths = [truth_of(take, synthetic) for take in takes_of(synthetic)]
    right = {
        name: np.array([truth[name] == truth["labelled"] for truth in truths])
        for name in ("shown", "spoken")
    }
    alike = np.array([truth["shown"] == truth["spoken"] for truth in truths])
    video, audio = (information + (1 - information) / 8 for information in (0.3, 0.6))
    # without what is shared they are alike where both are the label, or both the same one of the
    # seven others
    expected = {
        "spoken": audio,
        "shown": 0.5 * audio + 0.5 * video,
        "alike": 0.5 + 0.5 * (video * audio + (1 - video) * (1 - audio) / 7),
    }
    for name, found in (("spoken", right["spoken"]), ("shown", right["shown"]), ("alike", alike)):
        spread = np.sqrt(expected[name] * (1 - expected[name]) / len(truths))
        assert abs(found.mean() - expected[name]) < 4 * spread, name


def drawn_apart(random, labelled, choices):
    """Draw face and voice as the corpora of former versions did, independently given the label."""
    told = []
    for information in (0.95, 0.75):
        informs, other = random.random() < information, choices[random.integers(len(choices))]
        told.append(labelled if informs else other)
    return {"labelled": labelled, "shown": told[0], "spoken": told[1]}


def test_with_nothing_shared_the_draws_are_those_of_former_corpora():
    plain, shared = Synthetic(), Synthetic(shared=1.0)
    for take in takes_of(plain):
        code = int(take[:-3].replace("-", ""))
        choices = list(EMOTIONS.values())[: 8 if take.startswith("01") else 6]
        before = drawn_apart(
            np.random.default_rng([0, int(take[-2:]), code, 0]), EMOTIONS[take[3:5]], choices
        )
        assert truth_of(take, plain) == before
        assert truth_of(take, shared) == {**before, "shown": before["spoken"]}
    classes = list(dict.fromkeys(CLASSES.values()))
    for (code, turn), (_, alike) in zip(
        *(iemocap.turns("Ses01F_impro01", synthetic) for synthetic in (plain, shared))
    ):
        before = drawn_apart(turn.random(0), iemocap.CODES.emotion[code], classes)
        assert turn.truth == before
        assert alike.truth == {**before, "shown": before["spoken"]}


def test_whose_voice_it_is_the_face_shares():
    apart, shared = (
        Synthetic(outsiders=2, video_information=0.5, audio_information=0.5, shared=share)
        for share in (0.0, 1.0)
    )
    before, after = (
        [row.truth for row in voxceleb1.plan(synthetic)[1]] for synthetic in (apart, shared)
    )
    assert (
        [truth["spoken"] for truth in before]
        == [truth["spoken"] for truth in after]
        == [truth["shown"] for truth in after]
    )
    assert any(truth["shown"] != truth["spoken"] for truth in before)


def test_a_corpus_of_before_a_parameter_is_still_its_own(tmp_path):
    told = SMALL.model_dump(mode="json")
    former = {name: value for name, value in told.items() if name not in ("shared", "noise")}
    (tmp_path / "synthetic.json").write_text(json.dumps({"parameters": former, "takes": {}}))
    assert claimed(tmp_path, SMALL)
    with pytest.raises(InvalidParameter, match="other parameters"):
        claimed(tmp_path, SMALL.model_copy(update={"shared": 0.5}))


# voices


def test_noise_is_as_loud_as_said_and_leaves_the_speech():
    quiet, noisy = (
        voice.speak(spoken(3, "happy", 1, seconds=2.0, noise=noise))[0].astype(float)
        for noise in (0.0, 0.1)
    )
    added = noisy - quiet
    assert np.sqrt(np.mean(added**2)) / np.sqrt(np.mean(quiet**2)) == pytest.approx(0.1, rel=0.02)
    power = np.abs(np.fft.rfft(added)) ** 2
    assert power[: len(power) // 3].mean() == pytest.approx(
        power[-len(power) // 3 :].mean(), rel=0.05
    ), "white"


def test_duration_is_that_of_the_sound():
    for seed, emotion in enumerate(voice.PROSODY):
        recording = spoken(2, emotion, seed, seconds=0.8, intensity=1.2)
        sound, _ = voice.speak(recording)
        seconds = voice.duration(recording, np.random.default_rng(seed))
        assert seconds == len(sound) / voice.RATE


def fundamental(samples):
    """Return the most frequent period's rate in Hz, by the autocorrelation of voiced pieces of 40
    ms."""
    pieces = samples[: len(samples) // 1920 * 1920].reshape(-1, 1920)
    loud = pieces[np.abs(pieces).mean(1) > 0.5 * np.abs(pieces).mean(1).max()]
    spectrum = np.abs(np.fft.rfft(loud - loud.mean(1, keepdims=True), 4096)) ** 2
    lags = np.fft.irfft(spectrum)[:, : 48000 // 70]
    return np.median(48000 / (120 + lags[:, 120:].argmax(1)))


def test_women_speak_higher_than_men():
    actors = range(1, 11)
    pitches = [
        fundamental(voice.speak(spoken(actor, "neutral", actor, seconds=2.0))[0])
        for actor in actors
    ]
    assert max(pitches[::2]) < 145 < 165 < min(pitches[1::2]), pitches
    assert pitches == pytest.approx(
        [traits(actor, 0, "voice")["pitch"] for actor in actors], rel=0.12
    )


def voice_features(samples):
    """Return the mean and spread of log energies in bands, loudness taken away, and how they change
    in time."""
    _, _, power = spectrogram(samples[::3], 16000, nperseg=512, noverlap=352)
    bands = np.log(np.stack([part.sum(0) for part in np.array_split(power[:128], 32)]) + 1e-9)
    spoken = bands[:, bands.mean(0) > np.median(bands.mean(0))]
    shape = spoken.mean(1) - spoken.mean()
    return np.concatenate(
        [shape, spoken.std(1), np.abs(np.diff(spoken, axis=1)).mean(1), [len(samples) / 48000]]
    )


def accuracy_across_actors(features, labels, actors):
    """Return the accuracy of logistic regression on the last third of the actors, trained on the
    others."""
    test = np.array(actors) > max(actors) * 2 / 3
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(np.array(features)[~test], np.array(labels)[~test])
    return model.score(np.array(features)[test], np.array(labels)[test])


def test_emotion_is_read_from_voices_of_strangers():
    cases = [
        (actor, emotion, actor // 2 % 2) for actor in range(1, 25) for emotion in EMOTIONS.values()
    ]
    features = [
        voice_features(
            voice.speak(
                spoken(
                    actor,
                    emotion,
                    number,
                    seconds=1.2,
                    statement=1 + number // 8 % 2,
                    sung=bool(sung),
                )
            )[0]
        )
        for number, (actor, emotion, sung) in enumerate(cases)
    ]
    assert (
        accuracy_across_actors(features, [case[1] for case in cases], [case[0] for case in cases])
        > 0.7
    )


# faces


def edges(frame):
    """Return how much darker and lighter it gets downwards, summed over blocks of 3 x 3 pixels."""
    steps = np.diff(frame.mean(2), axis=0)[:51]
    signed = np.stack([np.maximum(steps, 0), np.maximum(-steps, 0)])
    return signed.reshape(2, 17, 3, 18, 3).sum((2, 4)).ravel()


def test_emotion_is_read_from_faces_of_strangers():
    cases = [
        (actor, emotion, power)
        for actor in range(1, 19)
        for emotion in face.ACTION_UNITS
        for power in (0.9, 1.2)
    ]
    features = []
    for number, (actor, emotion, power) in enumerate(cases):
        envelope = np.abs(np.sin(np.arange(5) + number))
        recording = shown(actor, emotion, number, power, video_size=(96, 54))
        frames = list(face.animate(recording, envelope, np.arange(5) / voice.STEPS))
        features.append(edges(frames[2][:, 21:75]))
    assert (
        accuracy_across_actors(features, [case[1] for case in cases], [case[0] for case in cases])
        > 0.7
    )


def test_faces_differ_between_actors_and_stay_within_the_centre():
    for size in ((160, 90), (1280, 720)):
        faces = [
            next(
                face.animate(shown(actor, "neutral", 3, video_size=size), np.zeros(1), np.zeros(1))
            ).astype(int)
            for actor in (1, 2, 3)
        ]
        assert faces[0].shape == (size[1], size[0], 3)
        assert (
            min(
                np.abs(faces[0] - faces[1]).mean(),
                np.abs(faces[0] - faces[2]).mean(),
                np.abs(faces[1] - faces[2]).mean(),
            )
            > 5
        )
        for picture in faces:
            assert np.ptp(picture[: size[1] * 3 // 4, : size[0] // 5]) < 20, (
                "beside the head there is only background"
            )


def test_face_is_neutral_at_both_ends_and_strongest_in_the_middle():
    silence = np.zeros(31)
    happy, rest = (
        np.stack(list(face.animate(shown(2, name, 3), silence, silence))).astype(int)
        for name in ("happy", "neutral")
    )
    difference = np.abs(happy - rest).mean((1, 2, 3))
    assert 8 <= difference.argmax() <= 22
    assert max(difference[0], difference[-1]) < 0.5 * difference.max()


def test_mouth_opens_with_the_sound():
    synthetic = Synthetic(video_information=1.0)
    sound, frames = ravdess.render(ravdess.recording("01-01-01-01-01-02", synthetic))
    frames = np.stack(list(frames)).astype(int)
    teeth = frames[:, 52:75, 65:95].min(-1) > 190
    loudness = [np.sqrt(np.mean(part**2)) for part in np.array_split(sound, len(frames))]
    drawn = np.s_[:: face.HELD]
    assert np.corrcoef(teeth.sum((1, 2))[drawn], loudness[drawn])[0, 1] > 0.6


def test_measurements_are_those_of_the_frames_that_are_drawn(monkeypatch):
    """Take away the person's rest and what is inexact, and what remains is what the drawn face
    does, frame by frame."""
    drawn = []
    names = list(face.ACTION_UNITS.index)
    monkeypatch.setattr(
        face, "_draw", lambda values, *rest: drawn.append([values[name] for name in names])
    )
    take = ravdess.recording("01-06-02-01-02-04", Synthetic())
    monkeypatch.setattr(face, "HELD", 1)
    list(ravdess.render(take)[1])
    measured = ravdess.measured(take)
    assert list(measured) == ["recording", "time", *names]
    assert len(measured) == len(drawn) and measured.time.to_numpy() == pytest.approx(
        np.arange(len(drawn)) * 1001 / 30000
    )
    beyond = (measured[names].to_numpy() - np.array(drawn)) / np.std(
        face.ACTION_UNITS.to_numpy(), axis=1
    )
    rest, inexact = beyond.mean(0), (beyond - beyond.mean(0)).std(0)
    assert inexact == pytest.approx(np.full(10, 0.3), rel=0.3)
    recording = ravdess.recording("01-03-01-02-01-04", Synthetic())
    other = ravdess.measured(recording)
    assert recording.shown == (4, "happy") and recording.intensity == 1.3
    moves = face.movements(recording, len(other), recording.random(2))
    again = ((other[names] - moves) / face.SPREAD).to_numpy().mean(0)
    assert np.abs(rest - again).max() < 0.3 and np.abs(rest).max() > 0.5, "one rest a person"


def test_emotion_is_read_from_measured_faces_of_strangers():
    synthetic = Synthetic(actors=18, takes=16, shared=0.0, video_information=1.0)
    takes = takes_of(synthetic)
    middle = [
        ravdess.measured(ravdess.recording(take, synthetic)).iloc[36, 2:].astype(float).to_numpy()
        for take in takes
    ]
    labels = ["neutral" if take[3:5] == "02" else EMOTIONS[take[3:5]] for take in takes]
    assert accuracy_across_actors(middle, labels, [int(take[-2:]) for take in takes]) > 0.8


# files


def test_the_table_of_faces_is_one_that_corpus_features_can_name(corpus):
    path = str(corpus / "faces.csv")
    assert features.timed(path) and features.columns(path) == list(face.ACTION_UNITS.index)
    corpus_of = Corpus(layout="ravdess", path=str(corpus), features=path)
    recordings = read(corpus_of)
    assert len(recordings) == 8 and set(recordings.video) == {""}
    rows = features.measurements(recordings, corpus_of, fps=25)
    for row, found in zip(recordings.itertuples(), rows):
        seconds = soundfile.info(row.audio).duration
        assert found.shape[1] == 10 and abs(len(found) / 25 - seconds) < 0.08


def test_sound_alone_brings_no_video(tmp_path):
    write_ravdess(tmp_path, SMALL.model_copy(update={"modalities": ["03"], "takes": 1}))
    assert {file.suffix for file in tmp_path.rglob("*.*") if not file.name.startswith(".")} == {
        ".wav",
        ".csv",
        ".json",
    }


def decoded(folder):
    """Return what the files of a corpus hold: frames, rate, length and sound by name."""
    content = {}
    for file in sorted(folder.glob("Actor_*/*.mp4")):
        with VideoFileClip(str(file), audio_fps=48000) as clip:
            # not to_soundarray: moviepy 2.2.1 goes astray where a chunk is longer than half of the
            # sound
            sound = (
                np.concatenate(list(clip.audio.iter_chunks(chunksize=4800, fps=48000)))
                if clip.audio
                else None
            )
            content[file.name] = np.stack(list(clip.iter_frames())), sound, clip.fps, clip.duration
    for file in sorted(folder.glob("Actor_*/*.wav")):
        content[file.name] = soundfile.read(file)
    return content


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "small"
    write_ravdess(folder, SMALL)
    return folder


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        for a, b in zip(first[name], second[name]):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_files_are_as_in_the_corpus(corpus):
    truth = json.loads((corpus / "synthetic.json").read_text())
    assert truth["parameters"] == SMALL.model_dump(mode="json")
    assert list(truth["takes"]) == takes_of(SMALL)
    content = decoded(corpus)
    endings = {"01": "mp4", "02": "mp4", "03": "wav"}
    assert set(content) == {
        f"{modality}-{take}.{ending}"
        for take in truth["takes"]
        for modality, ending in endings.items()
    }
    for take in truth["takes"]:
        (frames, sound, fps, seconds), silent = content[f"01-{take}.mp4"], content[f"02-{take}.mp4"]
        samples, rate = content[f"03-{take}.wav"]
        assert (
            frames.shape[1:] == (36, 64, 3)
            and fps == pytest.approx(30000 / 1001)
            and silent[1] is None
        )
        assert rate == 48000 and samples.ndim == 1
        assert (
            soundfile.info(str(corpus / f"Actor_{take[-2:]}" / f"03-{take}.wav")).subtype
            == "PCM_16"
        )
        assert 0.5 < seconds < 1.2 and len(samples) / rate == pytest.approx(seconds, abs=0.02)
        assert len(frames) == pytest.approx(
            seconds * fps, abs=1
        )  # moviepy rounds a length to hundredths of a second
        np.testing.assert_array_equal(frames, silent[0])
        length = min(len(sound), len(samples))
        assert np.corrcoef(sound[:length, 0], samples[:length])[0, 1] > 0.95


def test_two_workers_write_the_same(corpus, tmp_path, capfd):
    write_ravdess(tmp_path / "small", SMALL, workers=2)
    assert len(capfd.readouterr().out.splitlines()) <= 5
    assert (tmp_path / "small/synthetic.json").read_text() == (
        corpus / "synthetic.json"
    ).read_text()
    same(decoded(tmp_path / "small"), decoded(corpus))


def test_a_killed_run_is_completed(corpus, tmp_path):
    folder = tmp_path / "small"
    corpus_of = Corpus(layout="ravdess", path=str(folder), synthetic=SMALL).model_dump()
    command = f"from kdsuite import demo; demo.ensure(demo.Corpus(**{corpus_of!r}))"
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": paths, "LOKY_MAX_CPU_COUNT": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", command], env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("Actor_*/0*"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    written = {file: file.stat().st_mtime_ns for file in folder.glob("Actor_*/0*")}
    assert 4 <= len(written) < 24 and not (folder / "synthetic.json").exists()
    leftover = folder / "Actor_01/deeper/.99-03-01.wav"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    write_ravdess(folder, SMALL)
    assert not leftover.exists()
    assert all(file.stat().st_mtime_ns == at for file, at in written.items()), (
        "what was there is kept"
    )
    assert not list(folder.glob("Actor_*/.*"))
    same(decoded(folder), decoded(corpus))


def test_complete_corpus_is_left_alone_and_other_parameters_are_refused(corpus):
    before = sorted((file, file.stat().st_mtime_ns) for file in corpus.rglob("*"))
    write_ravdess(corpus, SMALL)
    with pytest.raises(
        InvalidParameter, match=f"{corpus}.*remove that folder or choose another path"
    ):
        write_ravdess(corpus, SMALL.model_copy(update={"seed": 1}))
    assert before == sorted((file, file.stat().st_mtime_ns) for file in corpus.rglob("*"))


def test_an_unfinished_corpus_is_not_finished_with_other_parameters(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ravdess, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        write_ravdess(tmp_path / "small", SMALL)
    with pytest.raises(InvalidParameter, match="other parameters"):
        write_ravdess(tmp_path / "small", SMALL.model_copy(update={"seconds": 1.0}))


def test_a_size_that_no_video_can_have_is_refused():
    with pytest.raises(InvalidParameter, match="video_size.*multiple of 2"):
        load(dataset="demo-ravdess", corpus={"synthetic": {"video_size": [161, 90]}})


def test_a_video_that_ffmpeg_cannot_write_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(writing.FORMATS, ".mp4", ("none", "aac", ""))
    frames, sound = np.zeros((600, 36, 64, 3), np.uint8), np.zeros(48000)
    with pytest.raises(OSError, match="ffmpeg|FFMPEG"):
        writing.write_video(tmp_path / "film.mp4", frames, sound)
    assert not os.listdir(tmp_path)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "Actor_01").mkdir()
    with pytest.raises(InvalidParameter, match="none is written there"):
        write_ravdess(tmp_path, SMALL)
    assert os.listdir(tmp_path) == ["Actor_01"]
