"""Windows of ragged rows, and preparation: once, whole or not at all, resumed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kdlib import store
from kdlib.errors import UnreadableRecording
from kdlib.settings import load
from kdlib.store import Ragged, prepare


@pytest.fixture
def corpus(own_data):
    """Four takes of two actors as sound, with a table of face measurements."""
    folder = own_data / "corpus"
    names = [f"01-01-{emotion}-01-01-01-{actor}" for emotion in ("03", "04") for actor in ("01", "02")]
    for number, name in enumerate(names):
        file = folder / f"Actor_{name[-2:]}" / f"03{name[2:]}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.full(16000 + 800 * number, 0.1 * (number + 1)), 16000)
    table = pd.DataFrame({"name": names, "brow": [1.0, 2.0, 3.0, 6.0], "lip": [0.0, 0.0, 1.0, 0.0]})
    table.to_csv(own_data / "faces.csv", index=False)
    return own_data


def settings_of(corpus, **given):
    return load(
        dataset="demo-ravdess",
        corpus={"path": str(corpus / "corpus"), "features": str(corpus / "faces.csv"), "synthetic": None, "groups": 2, **given},
    )


def test_windows_by_hand():
    rows = Ragged.of(torch.arange(10), torch.tensor([3, 2, 5]))
    window = rows.windows(torch.tensor([2, 0, 1]), torch.tensor([1, 1, 0]), 4)
    assert window.tolist() == [[6, 7, 8, 9], [1, 2, 0, 1], [3, 4, 3, 4]]  # the short ones start over
    assert rows.windows(torch.tensor([2]), torch.tensor([0]), 3, step=2).tolist() == [[5, 7, 9]]
    assert rows[2].tolist() == [5, 6, 7, 8, 9]


def test_prepared_sound_is_what_was_on_disk(corpus):
    data = prepare(settings_of(corpus))
    assert data.recordings.recording.to_list() == ["01-03-01-01-01-01", "01-03-01-01-01-02", "01-04-01-01-01-01", "01-04-01-01-01-02"]
    assert data.waveforms.lengths.tolist() == [16000, 16800, 17600, 18400]
    torch.testing.assert_close(data.sound(torch.tensor([2]), torch.tensor([0]), 5), torch.full((1, 5), 0.3), atol=1e-4, rtol=0)
    assert data.fps is None and data.frames.values.shape == (4, 2) and data.classes == ["happy", "sad"]


def test_measurements_standardised_within_each_speaker(corpus):
    raw, scaled = (prepare(settings_of(corpus, standardise=how)).frames.values for how in ("none", "speaker"))
    assert raw[:, 0].tolist() == [1.0, 2.0, 3.0, 6.0]
    # actor 1: 1 and 3, mean 2, deviation sqrt 2; actor 2: 2 and 6, mean 4, deviation sqrt 8; a constant column stays 0
    torch.testing.assert_close(scaled[:, 0], torch.tensor([-1, -2 / 8**0.5, 1, 2 / 8**0.5]) * torch.tensor([0.5**0.5, 1, 0.5**0.5, 1]))
    assert scaled[[1, 3], 1].tolist() == [0.0, 0.0]


def test_nothing_is_decoded_twice(corpus, monkeypatch):
    first = prepare(settings_of(corpus))
    monkeypatch.setattr(store, "_decode", lambda *_: pytest.fail("decoded again"))
    assert prepare(settings_of(corpus)).fingerprint == first.fingerprint


def test_a_broken_off_preparation_goes_on(corpus, monkeypatch):
    decode, seen = store._decode, []

    def tired(part, recording, media):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(recording.recording)
        decode(part, recording, media)

    monkeypatch.setattr(store, "_decode", tired)
    with pytest.raises(KeyboardInterrupt):
        prepare(settings_of(corpus), workers=1)
    assert not list((corpus / "data" / "stores").glob("*/store.json"))
    again = []
    monkeypatch.setattr(
        store, "_decode", lambda part, recording, media: (again.append(recording.recording), decode(part, recording, media))
    )
    data = prepare(settings_of(corpus), workers=1)
    assert len(seen) == 2 and len(again) == 2 and not set(seen) & set(again) and len(data.waveforms.lengths) == 4
    assert not list((corpus / "data" / "stores").glob("*/parts"))


def test_a_changed_corpus_is_another_store(corpus):
    before = prepare(settings_of(corpus)).fingerprint
    file = next((corpus / "corpus").rglob("*.wav"))
    soundfile.write(file, np.zeros(20000), 16000)
    assert prepare(settings_of(corpus)).fingerprint != before


def test_a_recording_too_short_stops_without_a_store(corpus):
    soundfile.write(next((corpus / "corpus").rglob("*.wav")), np.zeros(100), 16000)
    with pytest.raises(UnreadableRecording, match=r"\.wav has 0.006 s of sound, less than one window of 0.03 s"):
        prepare(settings_of(corpus))
    assert not list((corpus / "data" / "stores").glob("*/store.json"))


def test_store_names_its_rates(corpus):
    prepare(settings_of(corpus))
    facts = json.loads(next((corpus / "data" / "stores").glob("*/store.json")).read_text())
    assert facts["sample_rate"] == 16000 and facts["fps"] is None and facts["waveforms_lengths"] == [16000, 16800, 17600, 18400]
