"""Trials, cosines and error rates against hand computations and other libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch.nn import functional as F

from kdlib import metrics
from kdlib.errors import InvalidCorpus
from kdsuite.data import corpora, verification
from kdsuite.data.verification import Trials
from kdsuite.parameters import Corpus
from kdsuite.settings import load
from tests.conftest import noise_store

SCORES, GENUINE = (
    np.array([0.9, 0.8, 0.35, 0.7, 0.3, 0.2, 0.1, 0.05]),
    np.array([True] * 3 + [False] * 5),
)


@pytest.mark.parametrize(
    "convention,expected", [("interpolated", 0.2), ("mean", 4 / 15), ("max", 1 / 3)]
)
def test_eer_conventions_by_hand(convention, expected):
    assert metrics.eer(SCORES, GENUINE, convention) == pytest.approx(expected, abs=1e-9)
    shuffled = np.random.default_rng(0).permutation(8)
    assert metrics.eer(SCORES[shuffled], GENUINE[shuffled], convention) == pytest.approx(
        expected, abs=1e-9
    )


def test_eer_of_many_trials_agrees_with_torchmetrics():
    from torchmetrics.functional.classification import binary_eer

    random = np.random.default_rng(0)
    genuine = random.random(5000) < 0.4
    scores = 1 / (1 + np.exp(-random.normal(1.5 * genuine)))
    theirs = binary_eer(torch.from_numpy(scores), torch.from_numpy(genuine).int()).item()
    for convention in metrics.EER:
        assert metrics.eer(scores, genuine, convention) == pytest.approx(theirs, abs=1e-3)


def test_scores_that_are_equal_are_one_threshold():
    # nobody can tell these trials apart: both rates are one half on the straight line from none to
    # all
    assert metrics.eer(np.ones(10), np.arange(10) < 5) == pytest.approx(0.5)
    assert metrics.min_dcf(np.ones(10), np.arange(10) < 5) == pytest.approx(1.0)


def test_min_dcf_by_hand():
    # accepting above 0.7 alone: no false alarm, one of three missed; any false alarm costs 0.99 / 5
    # / 0.01 = 19.8
    assert metrics.min_dcf(SCORES, GENUINE) == pytest.approx(1 / 3)
    # at even odds, above 0.3: one of five false alarms, none missed: 0.5 / 5 / 0.5
    assert metrics.min_dcf(SCORES, GENUINE, target=0.5) == pytest.approx(0.2)


def test_perfect_and_reversed_scores():
    assert (
        metrics.eer(GENUINE.astype(float), GENUINE) == 0
        and metrics.eer(1.0 - GENUINE, GENUINE) == 1
    )


def test_one_kind_of_trials_is_no_test():
    with pytest.raises(ValueError, match="one kind only"):
        metrics.eer(SCORES, np.ones(8, bool))


def trials(store, count=40):
    random = np.random.default_rng(0)
    pairs = pd.DataFrame(
        {
            "list": ["one.txt"] * (count // 2) + ["two.txt"] * (count // 2),
            "genuine": np.arange(count) % 2 == 0,
        }
    )
    return Trials(
        pairs.assign(first=random.integers(0, 12, count), second=random.integers(0, 12, count)),
        store,
        [],
        {"one.txt": count, "two.txt": count // 2},
    )


def test_scores_are_cosines_of_the_pairs():
    store = noise_store()
    embeddings = np.random.default_rng(1).normal(size=(12, 8)).astype(np.float32)
    told = verification.scored({0: embeddings, 3: -embeddings}, trials(store))
    pairs = trials(store).pairs
    expected = F.cosine_similarity(
        torch.from_numpy(embeddings[pairs["first"]]), torch.from_numpy(embeddings[pairs["second"]])
    )
    np.testing.assert_allclose(told[told.fold == 0].score, expected, atol=1e-6)
    np.testing.assert_allclose(
        told[told.fold == 3].score, expected, atol=1e-6
    )  # the sign of both sides cancels
    assert told.trial.max() == 19 and list(told.columns) == [
        *"fold list trial genuine first_speaker second_speaker score".split()
    ]
    assert told.first_speaker[0] == store.recordings.speaker[pairs["first"][0]]


def test_each_list_has_its_own_metrics_in_every_fold():
    embeddings = np.random.default_rng(1).normal(size=(12, 8)).astype(np.float32)
    told = verification.scored({0: embeddings, 3: embeddings**2}, trials(noise_store()))
    table = verification.by_fold(told, trials(noise_store()))
    assert set(table.trials_scored) == {0.5} and set(table["trials_scored:two.txt"]) == {1.0}
    assert list(table.fold) == [0, 3] and {
        "eer",
        "eer_mean",
        "eer_max",
        "min_dcf",
        "eer:two.txt",
    } <= set(table)
    part = told[(told.fold == 3) & (told.list == "two.txt")]
    assert table["eer:two.txt"][1] == pytest.approx(
        metrics.eer(part.score.to_numpy(), part.genuine.to_numpy())
    )


def small_voxceleb(folder, left):
    """Write a tree of eight outsiders' sounds, of which ``left`` stay, with the trials between all,
    and return its settings."""
    names = [f"id{10270 + number // 2}/AbCdEfGhIjK/0000{number % 2 + 1}.wav" for number in range(8)]
    for number, name in enumerate(names[:left]):
        (folder / "wav" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "wav" / name, np.full(16000, number / 10), 16000)
    lines = [
        f"{int(one[:7] == other[:7])} {one} {other}"
        for one, other in itertools.combinations(names, 2)
    ]
    (folder / "veri_test.txt").write_text("\n".join(lines))
    return load(dataset="demo-voxceleb1", corpus={"path": str(folder), "synthetic": None})


def test_trials_whose_files_are_missing_are_counted_in_the_result(own_data, tmp_path):
    found = verification.prepare(small_voxceleb(tmp_path, left=5))
    facts = found.facts()
    assert (
        facts["trials"] == {"veri_test.txt": {"named": 28, "scored": 10}}
        and len(facts["missing_trial_files"]) == 3
    )
    table = verification.by_fold(verification.scored({0: np.eye(5)}, found), found)
    assert table.trials_scored[0] == pytest.approx(10 / 28)


def test_a_trial_of_a_part_that_is_missing_is_not_scored_on_another_one(own_data, tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(16000 * 4, 0.1), 16000)
    rows = ["a.wav,0,1,A,x", "a.wav,2,2.4,A,y", "b.wav,0,1,B,x", "b.wav,2,3,B,y"]
    (tmp_path / "all.csv").write_text("\n".join(["audio,start,end,speaker,label", *rows]))
    (tmp_path / "trials.txt").write_text("1 a@0 a@2.5\n0 a@2 b@2\n")
    corpus = {"layout": "manifest", "path": str(tmp_path / "all.csv"), "trials": ["trials.txt"]}
    _, files, missing = corpora.trials(Corpus(**corpus))
    assert missing == ["a@2.5"] and files.recording.to_list() == ["a@0", "a@2", "b@2"]


@pytest.mark.parametrize(
    "left,told", [(1, "not of both kinds"), (2, "not of both kinds"), (0, "none of the files")]
)
def test_too_few_trials_are_told_before_any_training(own_data, tmp_path, left, told):
    with pytest.raises(InvalidCorpus, match=told):
        verification.prepare(small_voxceleb(tmp_path, left))
