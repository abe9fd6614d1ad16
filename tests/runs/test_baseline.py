"""The linear baseline: its statistics against numpy, what it learns, and what it must not see."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kdlib.dataset import Fold, Ragged
from kdsuite.analysis.results import collect
from kdsuite.data.folds import folds
from kdsuite.data.verification import Trials, by_fold, scored
from kdsuite.parameters import Corpus
from kdsuite.runs import baseline, results
from kdsuite.runs.grid import Run
from kdsuite.settings import load
from tests.conftest import noise_store

GROUPS = Corpus(groups=2)


def tone_store(classes: int = 3, speakers: int = 4, takes: int = 3):
    """Return a store whose classes have a pitch of their own, whoever speaks, and pictures of
    noise."""
    store = noise_store(recordings=classes * speakers * takes, speakers=speakers, classes=classes)
    random = np.random.default_rng(1)
    codes, pitch = store.labels.numpy(), np.array([300, 900, 2700])
    rows = [
        0.2
        * np.sin(2 * np.pi * pitch[code] * random.uniform(0.95, 1.05) * np.arange(count) / 16000)
        + 0.02 * random.normal(size=count)
        for code, count in zip(codes, store.waveforms.lengths.tolist())
    ]
    sound = torch.from_numpy((np.concatenate(rows) * 32767).astype(np.int16))
    return replace(store, waveforms=Ragged.of(sound, store.waveforms.lengths))


def test_statistics_of_the_sound_are_those_of_numpy():
    """The log-mel spectrogram by numpy's FFT and triangles on the mel scale of HTK: 512 points,
    Hamming window of 400, step 160, 40 bands."""
    store = noise_store(recordings=2)
    found = baseline.of_sound(store)
    assert found.shape == (2, 120)
    sound = store.waveforms[1].numpy() / 32768
    padded = np.pad(sound, 256, mode="reflect")
    window = np.zeros(512)
    window[56:456] = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    columns = [
        padded[place : place + 512] * window for place in range(0, 160 * (len(sound) // 160), 160)
    ]
    power = np.abs(np.fft.rfft(columns, axis=1)) ** 2
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    bins = np.linspace(0, 8000, 257)
    bands = [np.interp(bins, corners[place : place + 3], [0, 1, 0]) for place in range(40)]
    heard = np.log(power @ np.transpose(bands) + 1e-5)
    heard = (heard - heard.mean()) / heard.std()
    expected = np.concatenate([heard.mean(0), heard.std(0), np.diff(heard, axis=0).std(0)])
    assert found[1] == pytest.approx(expected, abs=2e-3)


def test_a_fast_rate_and_a_recording_of_a_few_samples_have_statistics():
    store = noise_store(recordings=2)
    short = replace(
        store,
        sample_rate=48000,
        waveforms=Ragged.of(store.waveforms.values[:700], torch.tensor([100, 600])),
    )
    assert np.isfinite(baseline.of_sound(short)).all()


def test_statistics_of_the_frames_are_those_of_numpy():
    store = noise_store(recordings=3)
    frames = store.frames[2].numpy()
    chosen = frames[np.round(np.linspace(0, len(frames) - 1, 16)).astype(int)].mean(-1)
    grey = chosen.reshape(16, 16, 2, 16, 2).mean((2, 4)).reshape(16, 256)
    assert baseline._of_frames(store)[2] == pytest.approx(
        np.concatenate([grey.mean(0), grey.std(0)]), rel=1e-4
    )
    measured = noise_store(recordings=3, measurements=5)
    rows = Ragged.of(
        torch.cat([measured.frames.values, measured.frames.values + 2]), torch.tensor([1, 2, 3])
    )
    told = baseline._of_frames(replace(measured, frames=rows))
    of = rows[2].numpy()
    assert told.shape == (3, 10) and told[2] == pytest.approx(
        np.concatenate([of.mean(0), of.std(0)]), rel=1e-4
    )


def test_classes_that_differ_in_pitch_are_told_by_the_sound_and_not_by_pictures_of_noise():
    store = tone_store()
    split = folds(store.recordings, GROUPS)
    linear = baseline.trained(store, split)
    heard, seen = (results.predictions(store, split, of) for of in (linear.sound, linear.frames))
    table = results.RunResult(store=store, predictions=heard, frames=seen).by_fold()
    assert (
        table.fold.tolist() == [0, 1] and (table.uar == 1).all() and (table.frames_uar < 0.7).all()
    )
    assert not linear.trials and set(linear.facts["penalties"]["sound"].values()) <= set(
        baseline.PENALTIES
    )
    no_video = replace(
        store, frames=Ragged.of(store.frames.values[:0], torch.zeros_like(store.frames.lengths))
    )
    alone = baseline.trained(no_video, split)
    assert (
        not alone.frames
        and "frames_uar"
        not in results.RunResult(
            store=store, predictions=results.predictions(store, split, alone.sound)
        ).by_fold()
    )


def test_nothing_of_the_test_recordings_gets_into_the_model():
    store = noise_store(recordings=24, speakers=4, classes=3)
    fold = folds(store.recordings, GROUPS)[0]
    statistics = np.random.default_rng(0).normal(size=(24, 10))
    model = baseline._fitted(statistics, store, fold)
    labels, other = store.labels.clone(), statistics.copy()
    labels[fold.test] = (labels[fold.test] + 1) % 3
    other[fold.test] += 7
    again = baseline._fitted(other, replace(store, labels=labels), fold)
    assert (model[-1].coef_ == again[-1].coef_).all() and (model[0].mean_ == again[0].mean_).all()
    labels[fold.train] = (labels[fold.train] + 1) % 3
    assert (
        model[-1].coef_
        != baseline._fitted(statistics, replace(store, labels=labels), fold)[-1].coef_
    ).any()


def test_hidden_labels_are_not_used_and_wrong_ones_are():
    store = tone_store()
    fold = folds(store.recordings, GROUPS)[0]
    own = store.labels.numpy()[fold.train]
    hidden = replace(fold, labels=np.where(np.arange(len(own)) % 2, -1, own))
    statistics = baseline.of_sound(store)
    model = baseline._fitted(statistics, store, hidden)
    labels = store.labels.clone()
    labels[fold.train[1::2]] = 0
    assert (
        model[-1].coef_
        == baseline._fitted(statistics, replace(store, labels=labels), hidden)[-1].coef_
    ).all()
    # every label is that of the next class, and so are the answers
    shifted = baseline._fitted(statistics, store, replace(fold, labels=(own + 1) % 3))
    assert (
        shifted.predict(statistics[fold.test]) == (store.labels.numpy()[fold.test] + 1) % 3
    ).all()


def test_the_penalty_is_chosen_on_speakers_left_out_where_the_fold_tests_unknown_ones():
    store = noise_store(recordings=24, speakers=4, classes=2)
    speakers, codes = store.recordings.speaker.to_numpy(str), store.labels.numpy()
    unknown = Fold(0, "unknown", np.arange(18), np.arange(18, 24))  # three speakers, and a fourth
    splits = baseline._splits(codes[:18], speakers, np.arange(18), unknown)
    assert len(splits) == 3 and all(
        not set(speakers[train]) & set(speakers[held]) for train, held in splits
    )
    known = Fold(0, "known", np.arange(0, 24, 2), np.arange(1, 24, 2))
    codes = np.arange(12) % 2
    for train, held in baseline._splits(codes, speakers, known.train, known):
        assert set(codes[held]) == {0, 1} and set(speakers[known.train[train]]) & set(
            speakers[known.train[held]]
        )


def test_a_label_a_class_and_a_single_class_make_a_model_too():
    store = tone_store()
    recordings = store.recordings.assign(source=store.recordings.recording)
    fold = folds(recordings, Corpus(protocol="random", groups=2))[0]
    own = store.labels.numpy()[fold.train]
    first = np.isin(np.arange(len(own)), np.unique(own, return_index=True)[1])
    statistics = baseline.of_sound(store)
    model = baseline._fitted(statistics, store, replace(fold, labels=np.where(first, own, -1)))
    assert (
        model[-1].C == baseline.PENALTIES[1]
        and model.predict(statistics[fold.test]).tolist() == store.labels[fold.test].tolist()
    )
    single = baseline.trained(store, [replace(fold, labels=np.where(own == 1, 1, -1))])
    assert (single.sound[0] == [0, 1, 0]).all()
    assert single.facts["penalties"]["sound"] == {0: None}


def test_trials_are_scored_by_the_cosine_of_standardised_statistics():
    store = tone_store()
    split = folds(store.recordings, GROUPS)
    pairs = pd.DataFrame(
        {
            "list": "trials.txt",
            "genuine": [True, False, True, False],
            "first": [0, 0, 1, 2],
            "second": [3, 4, 7, 10],
        }
    )
    trials = Trials(pairs, store, [], {"trials.txt": 4})
    linear = baseline.trained(store, split, store)
    told = scored(linear.trials, trials)
    sound = baseline.of_sound(store).astype(np.float64)
    train = sound[split[1].train]
    first, second = ((sound[row] - train.mean(0)) / train.std(0) for row in (0, 4))
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert told.score[(told.fold == 1) & (told.trial == 1)].item() == pytest.approx(
        expected, abs=1e-4
    )
    assert by_fold(told, trials).fold.tolist() == [0, 1]


def test_a_data_run_leaves_the_numbers_of_both_baselines(own_data):
    store, settings = tone_store(), load(dataset="demo-ravdess", corpus={"groups": 2})
    split = folds(store.recordings, settings.corpus)
    linear = baseline.trained(store, split)
    heard, seen = (results.predictions(store, split, of) for of in (linear.sound, linear.frames))
    facts = {"linear": linear.facts}
    result = results.RunResult(store=store, predictions=heard, frames=seen, facts=facts)
    file = results.write(Run("data", settings), result)
    assert (
        json.loads(file.read_text())["linear"]["seconds"] > 0
        and (file.parent / "predictions.csv").exists()
    )
    rows = collect([Run("data", settings)])
    assert set(rows.metric) == {"uar", "accuracy", "frames_uar", "frames_accuracy"} and set(
        rows.stage
    ) == {"data"}
    assert rows[rows.metric == "uar"].value.tolist() == [1, 1] and rows.recordings.sum() == 4 * len(
        store.recordings
    )
