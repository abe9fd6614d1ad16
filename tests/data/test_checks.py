"""What 01_data says of a corpus: counts, warnings and leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kdsuite.data import checks, corpora
from kdsuite.data.folds import Fold
from kdsuite.parameters import Corpus


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
    assert checks.warnings(table(), Corpus()) == []


@pytest.mark.parametrize(
    "protocol,groups,shared", [("speakers", 0, 0), ("portions", 0, 4), ("random", 3, 4)]
)
def test_speakers_on_both_sides_are_counted(protocol, groups, shared):
    corpus, recordings = Corpus(protocol=protocol, groups=groups), table()
    leaks = checks.leaks(recordings, corpora.folds(recordings, corpus))
    assert set(leaks["speakers on both sides"]) == {shared} and set(
        leaks["sources on both sides"]
    ) == {0}
    told = {
        "speakers": "no speaker is on both sides, and no source is",
        "portions": "not of new voices",
        "random": "LEAK",
    }
    assert told[protocol] in checks.verdict(leaks, corpus)


def test_one_video_on_both_sides_is_a_leak():
    recordings = table()
    recordings.loc[[0, 20], "source"] = "one video"
    leaks = checks.leaks(recordings, [Fold(0, "by hand", np.arange(0, 10), np.arange(10, 60))])
    assert leaks["sources on both sides"][0] == 1
    assert checks.verdict(leaks, Corpus(protocol="portions")).startswith(
        "LEAK: protocol portions has sources on both sides"
    )
