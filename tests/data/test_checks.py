"""What 01_data says of a corpus: counts, warnings and leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kdsuite.data import checks, corpora
from kdsuite.data.folds import Fold
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus


@pytest.fixture(autouse=True)
def contents(monkeypatch):
    """Take the name of a file for what it holds."""
    monkeypatch.setattr(checks, "hashes", lambda files, corpus: dict(zip(files, files)))


def table(labels=("neutral", "happy", "sad"), speakers=4, takes=5):
    names = [
        f"{speaker}-{label}-{take}"
        for speaker in range(speakers)
        for label in labels
        for take in range(takes)
    ]
    split = [name.split("-") for name in names]
    label = pd.Categorical([part[1] for part in split], categories=list(labels))
    return pd.DataFrame(
        {
            "recording": names,
            "speaker": [part[0] for part in split],
            "label": label,
            "source": names,
            "fold": "",
            "audio": names,
            "audio_start": 0.0,
            "seconds": np.nan,
        }
    )


def test_a_difference_to_the_published_counts_is_a_warning_that_names_what_was_left_out(
    monkeypatch,
):
    recordings = table()
    recordings.attrs["incomplete"] = {"x": "take x has no sound"}
    monkeypatch.setattr(
        corpora,
        "published",
        lambda corpus: {"recordings": 61, "speakers": 4, "happy": 20, "surprised": 1},
    )
    counts = checks.counts(recordings, Corpus())
    assert (
        counts.found["recordings"] == 60
        and counts.difference["recordings"] == -1
        and counts.difference["speakers"] == 0
    )
    assert np.isnan(counts.published["sad"]) and counts.difference["surprised"] == -1
    assert checks.warnings(recordings, Corpus()) == [
        "recordings: 60 found, 61 published (-1).",
        "surprised: 0 found, 1 published (-1).",
        "take x has no sound.",
    ]


def test_nothing_published_is_no_warning(monkeypatch):
    monkeypatch.setattr(corpora, "published", lambda corpus: {})
    recordings = table()
    recordings.attrs["incomplete"] = {}
    assert checks.warnings(recordings, Corpus()) == []
    recordings.attrs["remarks"] = ["2 files are there twice"]
    recordings.loc[[0, 20, 40], "audio"] = "one recording"
    assert checks.warnings(recordings, Corpus()) == [
        "2 files are there twice.",
        "3 recordings have, byte for byte, the same sound as another one, such as 0-neutral-0 and "
        "1-happy-0.",
    ]
    recordings.loc[40, "audio_start"] = 2.5  # another part of it
    assert checks.warnings(recordings, Corpus())[1].startswith("2 recordings")


@pytest.mark.parametrize(
    "protocol,groups,shared", [("speakers", 0, 0), ("portions", 0, 4), ("random", 3, 4)]
)
def test_speakers_on_both_sides_are_counted(protocol, groups, shared):
    corpus, recordings = Corpus(protocol=protocol, groups=groups), table()
    leaks = checks.leaks(recordings, folds_of(recordings, corpus), corpus)
    assert set(leaks["speakers on both sides"]) == {shared} and set(
        leaks["sources on both sides"]
    ) == {0}
    told = {
        "speakers": "no speaker is on both sides, and no source is",
        "portions": "not of new voices",
        "random": "LEAK",
    }
    assert told[protocol] in checks.verdict(leaks, corpus)


@pytest.mark.parametrize("protocol", ["given", "random"])
def test_of_speakers_as_target_only_one_video_on_both_sides_is_a_leak(protocol):
    corpus, recordings = Corpus(protocol=protocol, target="speaker"), table()
    folds = [Fold(0, "by hand", np.arange(0, 60, 2), np.arange(1, 60, 2))]
    told = checks.verdict(checks.leaks(recordings, folds, corpus), corpus)
    assert "so the test is of new recordings, not of new voices" in told and "LEAK" not in told
    recordings.loc[[0, 1], "source"] = "one video"
    told = checks.verdict(checks.leaks(recordings, folds, corpus), corpus)
    assert told.startswith(f"LEAK: protocol {protocol} has sources on both sides")


def test_one_video_on_both_sides_is_a_leak():
    recordings = table()
    recordings.loc[[0, 20], "source"] = "one video"
    folds = [Fold(0, "by hand", np.arange(0, 10), np.arange(10, 60))]
    leaks = checks.leaks(recordings, folds, Corpus())
    assert leaks["sources on both sides"][0] == 1
    assert checks.verdict(leaks, Corpus(protocol="portions")).startswith(
        "LEAK: protocol portions has sources on both sides"
    )


def test_one_sound_under_two_names_on_both_sides_is_a_leak():
    recordings = table()
    recordings.loc[[0, 20], "audio"] = "one recording"
    folds = [Fold(number, "by hand", np.arange(0, 10), np.arange(10, 60)) for number in (0, 1)]
    leaks = checks.leaks(recordings, folds, Corpus())
    assert leaks["same sound on both sides"].to_list() == [1, 1]
    verdict = checks.verdict(leaks, Corpus(protocol="given"))
    assert verdict.startswith("LEAK: 2 sounds of the test are, byte for byte, in training too")
    assert "1-happy-0 is 0-neutral-0" in verdict
