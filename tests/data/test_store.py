"""Windows of ragged rows, and preparation: once, whole or not at all, resumed, without what cannot
be decoded where that is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kdlib import dataset as ragged
from kdlib.dataset import Ragged
from kdlib.errors import FullDisk, UnreadableRecording
from kdsuite import paths
from kdsuite.data import corpora, store
from kdsuite.data.store import prepare, prepare_trials
from kdsuite.data.writer import StoreWriter
from kdsuite.settings import load
from tests.conftest import noise_store


@pytest.fixture
def corpus(own_data):
    """Four takes of two actors as sound, with a table of face measurements."""
    folder = own_data / "corpus"
    names = [
        f"01-01-{emotion}-01-01-01-{actor}" for emotion in ("03", "04") for actor in ("01", "02")
    ]
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
        corpus={
            "path": str(corpus / "corpus"),
            "features": str(corpus / "faces.csv"),
            "synthetic": None,
            "groups": 2,
            **given,
        },
    )


def test_windows_by_hand():
    rows = Ragged.of(torch.arange(10), torch.tensor([3, 2, 5]))
    window = rows.windows(torch.tensor([2, 0, 1]), torch.tensor([1, 1, 0]), 4)
    assert window.tolist() == [
        [6, 7, 8, 9],
        [1, 2, 0, 1],
        [3, 4, 3, 4],
    ]  # the short ones start over
    assert rows.windows(torch.tensor([2]), torch.tensor([0]), 3, step=2).tolist() == [[5, 7, 9]]
    assert rows[2].tolist() == [5, 6, 7, 8, 9]


def test_prepared_sound_is_what_was_on_disk(corpus):
    data = prepare(settings_of(corpus))
    assert data.recordings.recording.to_list() == [
        "01-03-01-01-01-01",
        "01-03-01-01-01-02",
        "01-04-01-01-01-01",
        "01-04-01-01-01-02",
    ]
    assert data.waveforms.lengths.tolist() == [16000, 16800, 17600, 18400]
    torch.testing.assert_close(
        data.audio(torch.tensor([2]), torch.tensor([0]), 5),
        torch.full((1, 5), 0.3),
        atol=1e-4,
        rtol=0,
    )
    assert (
        data.fps is None and data.frames.values.shape == (4, 2) and data.classes == ["happy", "sad"]
    )


def test_measurements_standardised_within_each_speaker(corpus):
    stores = [prepare(settings_of(corpus, standardise=how)) for how in ("none", "speaker")]
    raw, scaled = (torch.cat([data.frames[row] for row in range(4)]) for data in stores)
    assert raw[:, 0].tolist() == [1.0, 2.0, 3.0, 6.0]
    # actor 1: 1 and 3, mean 2, deviation sqrt 2; actor 2: 2 and 6, mean 4, deviation sqrt 8; a
    # constant column stays 0
    torch.testing.assert_close(
        scaled[:, 0],
        torch.tensor([-1, -2 / 8**0.5, 1, 2 / 8**0.5]) * torch.tensor([0.5**0.5, 1, 0.5**0.5, 1]),
    )
    assert scaled[[1, 3], 1].tolist() == [0.0, 0.0]


def test_nothing_is_decoded_twice(corpus, monkeypatch):
    first = prepare(settings_of(corpus))
    monkeypatch.setattr(store, "_decode", lambda *_: pytest.fail("decoded again"))
    assert prepare(settings_of(corpus)).fingerprint == first.fingerprint


def test_an_interrupted_preparation_continues(corpus, monkeypatch):
    decode, decoded = store._decode, []

    def interrupted(recording, *more):
        if len(decoded) == 2:
            raise KeyboardInterrupt
        decoded.append(recording.recording)
        return decode(recording, *more)

    monkeypatch.setattr(store, "_decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(settings_of(corpus), workers=1)
    assert not list((corpus / "data" / "stores").glob("*/store.json"))
    again = []
    monkeypatch.setattr(
        store,
        "_decode",
        lambda recording, *more: (again.append(recording.recording), decode(recording, *more))[1],
    )
    data = prepare(settings_of(corpus), workers=1)
    assert len(decoded) == 2 and decoded + again == data.recordings.recording.to_list()
    assert data.waveforms.lengths.tolist() == [16000, 16800, 17600, 18400]
    for row in range(4):
        assert data.audio(
            torch.tensor([row]), torch.tensor([0]), 16000
        ).unique().tolist() == pytest.approx([0.1 * (row + 1)], abs=1e-4)


def test_the_same_bytes_however_many_workers(corpus, monkeypatch):
    decode, files = store._decode, []

    def late_first(recording, *more):
        time.sleep(0.2 * recording.recording.startswith("01-03-01-01-01-01"))
        return decode(recording, *more)

    monkeypatch.setattr(store, "_decode", late_first)
    for workers in (1, 2, 4):
        monkeypatch.setattr(paths, "DATA", corpus / f"data-{workers}")
        folder = (
            corpus
            / f"data-{workers}"
            / "stores"
            / prepare(settings_of(corpus), workers).fingerprint
        )
        files.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert (
        set(files[0])
        == {"waveforms.bin", "frames.bin", "recordings.csv", "recordings.jsonl", "store.json"}
        and files[0] == files[1] == files[2]
    )


def test_no_more_is_decoded_ahead_than_two_recordings_a_worker(monkeypatch):
    begun, taken = [], 0
    monkeypatch.setattr(store, "_decode", begun.append)
    for _ in store._decoded(((number,) for number in range(50)), workers=3):
        time.sleep(0.002)
        assert len(begun) - taken <= 6
        taken += 1
    assert sorted(begun) == list(range(50))


KILLED = """
import os, sys, time
from kdsuite.data import store, writer
from kdsuite.settings import load

decode, writer.SYNC_SECONDS = store._decode, 0.0
store._decode = lambda *job: (time.sleep(0.02), decode(*job), os.write(1, b"decoded\\n"))[1]
store.prepare(load(dataset="demo-ravdess", corpus={"layout": "manifest", "path": sys.argv[1], "synthetic": None}), workers=2)
"""


def test_killed_at_random_moments_a_store_continues_and_ends_with_the_same_bytes(tmp_path):
    generator, count = np.random.default_rng(0), 40
    for number in range(count):
        sound = generator.uniform(-1, 1, 8000 + 100 * number)
        soundfile.write(tmp_path / f"{number:02d}.wav", sound, 16000)
    lines = [f"{number:02d}.wav,{'AB'[number % 2]},{'xy'[number % 2]}" for number in range(count)]
    (tmp_path / "list.csv").write_text("\n".join(["audio,speaker,label", *lines]))

    def start(folder):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "list.csv")]
        environment = {**os.environ, "KDLIB_DATA": str(tmp_path / folder)}
        return subprocess.Popen(
            command, env=environment, cwd=paths.ROOT, stdout=subprocess.PIPE, text=True
        )

    def stored(folder):
        return {file.name: file.read_bytes() for file in (tmp_path / folder / "stores").glob("*/*")}

    assert start("undisturbed").communicate()[0].count("decoded") == count
    decoded, (kills, each) = 0, (3, 10)
    for _ in range(kills):
        process = start("killed")
        for _ in range(each):
            assert process.stdout.readline() == "decoded\n"
        time.sleep(generator.uniform(0, 0.02))
        process.kill()
        decoded += each + process.communicate()[0].count("decoded")
        assert process.returncode == -9 and "store.json" not in stored("killed")
    again = start("killed").communicate()[0].count("decoded")
    # at most what two workers had ahead is decoded twice
    assert count <= decoded + again <= count + kills * 5 and again < count - kills * (each - 5)
    assert stored("killed") == stored("undisturbed") and len(stored("killed")) == 5


def test_a_changed_corpus_is_another_store(corpus):
    before = prepare(settings_of(corpus)).fingerprint
    file = next((corpus / "corpus").rglob("*.wav"))
    soundfile.write(file, np.zeros(20000), 16000)
    assert prepare(settings_of(corpus)).fingerprint != before


def test_a_recording_too_short_stops_without_a_store(corpus):
    soundfile.write(next((corpus / "corpus").rglob("*.wav")), np.zeros(100), 16000)
    with pytest.raises(UnreadableRecording, match=r"\.wav has 0.006 s of sound, less than 0.025 s"):
        prepare(settings_of(corpus))
    assert not list((corpus / "data" / "stores").glob("*/store.json"))


def test_store_names_its_rates(corpus):
    prepare(settings_of(corpus))
    facts = json.loads(next((corpus / "data" / "stores").glob("*/store.json")).read_text())
    assert facts["sample_rate"] == 16000 and facts["fps"] is None
    lines = next((corpus / "data" / "stores").glob("*/recordings.jsonl")).read_text().splitlines()
    assert [json.loads(line)["waveforms"] for line in lines] == [16000, 16800, 17600, 18400]


def spoil(corpus, *names):
    for name in names:
        (corpus / "corpus" / f"Actor_{name[-2:]}" / f"03-{name}.wav").write_text("not a recording")


def test_what_cannot_be_decoded_is_left_out_where_asked(corpus, capsys):
    spoil(corpus, "01-03-01-01-01-02")
    with pytest.raises(UnreadableRecording, match="03-01-03-01-01-01-02.wav cannot be decoded"):
        prepare(settings_of(corpus))
    data = prepare(settings_of(corpus, unreadable="leave_out"))
    assert data.recordings.recording.to_list() == [
        "01-03-01-01-01-01",
        "01-04-01-01-01-01",
        "01-04-01-01-01-02",
    ]
    assert list(data.recordings.index) == [0, 1, 2] and data.labels.tolist() == [0, 1, 1]
    assert data.waveforms.lengths.tolist() == [16000, 17600, 18400] and data.frames.values[
        :, 0
    ].shape == (3,)
    torch.testing.assert_close(
        data.audio(torch.tensor([1]), torch.tensor([0]), 5),
        torch.full((1, 5), 0.3),
        atol=1e-4,
        rtol=0,
    )
    assert (
        list(data.left_out) == ["01-03-01-01-01-02"]
        and "cannot be decoded" in data.left_out["01-03-01-01-01-02"]
    )


def test_a_store_opens_later_without_what_was_left_out(corpus, monkeypatch):
    spoil(corpus, "01-03-01-01-01-02", "01-04-01-01-01-02")
    first = prepare(settings_of(corpus, unreadable="leave_out"))
    monkeypatch.setattr(store, "_decode", lambda *_: pytest.fail("decoded again"))
    again = prepare(settings_of(corpus, unreadable="leave_out"))
    pd.testing.assert_frame_equal(again.recordings, first.recordings)
    assert (
        again.left_out == first.left_out == again.recordings.attrs["left_out"]
        and len(again.left_out) == 2
    )
    assert again.to(torch.device("cpu")).left_out == first.left_out
    lines = map(
        json.loads,
        next((corpus / "data" / "stores").glob("*/recordings.jsonl")).read_text().splitlines(),
    )
    assert [line["left_out"] for line in lines if "left_out" in line] == list(
        first.left_out.values()
    )


def test_nothing_is_left_to_train_on(corpus):
    spoil(
        corpus, "01-03-01-01-01-01", "01-03-01-01-01-02", "01-04-01-01-01-01", "01-04-01-01-01-02"
    )
    for _ in range(2):  # the second time too, from the start
        with pytest.raises(
            UnreadableRecording,
            match="none of the 4 recordings can be decoded, the first because .*cannot be decoded",
        ):
            prepare(settings_of(corpus, unreadable="leave_out"))
        assert not list((corpus / "data" / "stores").glob("*/*.jsonl"))


def test_a_full_disk_is_no_unreadable_recording(corpus, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreWriter, "append", full)
    with pytest.raises(FullDisk, match="is full; free some space"):
        prepare(settings_of(corpus, unreadable="leave_out"))


def table_of(corpus, videos):
    """Return recordings of the corpus' sound files, with the given videos."""
    files = sorted((corpus / "corpus").rglob("*.wav"))[: len(videos)]
    given = {
        "recording": [file.stem for file in files],
        "audio": list(map(str, files)),
        "video": videos,
    }
    table = pd.DataFrame(
        {
            **{name: [value] * len(files) for name, value in corpora.COLUMNS.items()},
            **given,
            "speaker": "a",
        }
    )
    return table.assign(label=pd.Categorical(["x"] * len(files)))


@pytest.fixture
def stills(corpus):
    """A folder of one picture."""
    from PIL import Image

    (corpus / "stills").mkdir()
    Image.new("RGB", (40, 40), (200, 100, 0)).save(corpus / "stills" / "1.png")
    return str(corpus / "stills")


@pytest.mark.parametrize(
    "seen,frames", [((), [0, 0, 0]), ((1,), [0, 27, 0]), ((0, 2), [25, 0, 26])]
)
def test_recordings_without_video(corpus, stills, monkeypatch, seen, frames):
    monkeypatch.setattr(
        corpora,
        "read",
        lambda _: table_of(corpus, [stills if row in seen else "" for row in range(3)]),
    )
    data = prepare(load(dataset="demo-ravdess", media={"frame_size": 32}))
    assert data.frames.lengths.tolist() == frames and data.fps == 25
    assert data.frames.values.shape[1:] == (32, 32, 3) and data.frames.values.dtype == torch.uint8
    for row in range(3):
        assert data.frames[row].shape[0] == frames[row]
        sound = len(soundfile.read(data.recordings.audio[row])[0])
        # the picture of one second is shown for as long as there is sound, to the last whole frame
        assert data.waveforms.lengths[row] == (sound // 640 * 640 if row in seen else sound)
    for row in seen:
        assert (data.frames[row] == torch.tensor([200, 100, 0])).all()


def test_measurements_with_a_time_are_frames(corpus):
    """Two rows, at 0 s and 0.8 s, are interpolated at 25 frames a second, and the sound is cut to
    them."""
    names = [
        f"01-01-{emotion}-01-01-01-{actor}" for emotion in ("03", "04") for actor in ("01", "02")
    ]
    rows = [
        {"name": name, "time": time, "brow": 10 * time} for name in names for time in (0.0, 0.8)
    ]
    pd.DataFrame(rows).to_csv(corpus / "faces.csv", index=False)
    data = prepare(settings_of(corpus, standardise="none"))
    assert (
        data.fps == 25
        and data.frames.lengths.tolist() == [21] * 4
        and data.waveforms.lengths.tolist() == [21 * 640] * 4
    )
    torch.testing.assert_close(data.frames[2][:, 0], torch.arange(21) * 0.4)


def test_trials_are_a_store_of_sound(corpus):
    files = sorted((corpus / "corpus").rglob("*.wav"))[::-1]
    table = pd.DataFrame(
        {
            "recording": [f"b/{file.stem}" for file in files],
            "speaker": list("stuv"),
            "audio": list(map(str, files)),
        },
        index=[7, 3, 5, 1],
    )
    data = prepare_trials(table, settings_of(corpus))
    assert data.recordings.recording.to_list() == table.recording.to_list()  # in the order given
    assert data.recordings.speaker.to_list() == list("stuv")
    assert data.waveforms.lengths.tolist() == [18400, 16800, 17600, 16000]
    assert data.audio(
        torch.tensor([0, 3]), torch.tensor([0, 0]), 1
    ).flatten().tolist() == pytest.approx([0.4, 0.1], abs=1e-4)
    assert (
        data.frames.lengths.tolist() == [0, 0, 0, 0]
        and data.classes == []
        and data.labels.tolist() == [-1] * 4
    )
    assert (
        prepare_trials(table, settings_of(corpus)).fingerprint
        == data.fingerprint
        != prepare(settings_of(corpus)).fingerprint
    )


def test_what_is_left_out_does_not_depend_on_the_window(corpus):
    """One data run serves students of any window."""
    file = corpus / "corpus" / "Actor_01" / "03-01-03-01-01-01-01.wav"
    for samples, count in ((480, 4), (380, 3)):  # 0.030 and 0.024 s
        soundfile.write(file, np.full(samples, 0.2), 16000)
        stores = [
            prepare(settings_of(corpus, unreadable="leave_out").changed(media={"window": window}))
            for window in (0.05, 0.02)
        ]
        assert [len(data.recordings) for data in stores] == [count] * 2
        assert stores[0].fingerprint == stores[1].fingerprint


def test_trials_that_cannot_be_decoded(corpus):
    files = sorted((corpus / "corpus").rglob("*.wav"))
    files[1].write_text("not a recording")
    table = pd.DataFrame(
        {"recording": [file.stem for file in files], "speaker": "s", "audio": list(map(str, files))}
    )
    with pytest.raises(UnreadableRecording):
        prepare_trials(table, settings_of(corpus))
    data = prepare_trials(table, settings_of(corpus, unreadable="leave_out"))
    assert list(data.left_out) == [files[1].stem] and len(data.recordings) == 3


def test_real_talking_faces_in_a_store(own_data, real, monkeypatch):
    files = [str(file) for file in sorted((real / "grid").glob("*.mpg"))]
    table = pd.DataFrame(
        {
            **{name: [value] * len(files) for name, value in corpora.COLUMNS.items()},
            "audio": files,
            "video": files,
        }
    )
    table = table.assign(
        recording=[f"take-{number}" for number in range(len(files))],
        label=pd.Categorical(["x"] * len(files)),
    )
    monkeypatch.setattr(corpora, "read", lambda _: table)
    data = prepare(load(dataset="demo-ravdess", media={"frame_size": 64}))
    assert (
        set(data.frames.lengths.tolist()) <= {74, 75}
        and (data.waveforms.lengths == 640 * data.frames.lengths).all()
    )
    assert (data.frames.values.shape[1:] == (64, 64, 3)) and data.fps == 25
    faces = data.frames.windows(torch.arange(len(files)), torch.full((len(files),), 30), 1).float()
    assert faces.std() > 20 and data.waveforms.values.float().abs().max() > 1000


def test_files_that_change_places_or_contents_make_another_store(tmp_path):
    for name, level in (("a", 0.1), ("b", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(16000, level), 16000)
    manifest = tmp_path / "recordings.csv"

    def fingerprint(first, second):
        manifest.write_text(
            f"recording,audio,speaker,label\none,{first}.wav,Ann,x\ntwo,{second}.wav,Ben,y\n"
        )
        settings = load(
            dataset="demo-ravdess",
            corpus={"layout": "manifest", "path": str(manifest), "synthetic": None},
        )
        return corpora.store_name(corpora.read(settings.corpus), settings)

    straight, crossed = fingerprint("a", "b"), fingerprint("b", "a")
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.9), 16000)  # of the same size
    assert len({straight, crossed, fingerprint("a", "b")}) == 3


def test_arrays_that_do_not_fit_stay_with_the_cpu(monkeypatch):
    data, meta = noise_store(), torch.device("meta")
    monkeypatch.setattr(
        ragged,
        "free_memory",
        lambda device: 2 * data.waveforms.values.nbytes / ragged.MAX_MEMORY_SHARE,
    )
    moved = data.to(meta)
    assert data.frames.values.nbytes > 2 * data.waveforms.values.nbytes
    assert moved.device == moved.waveforms.values.device == moved.frames.starts.device == meta
    assert moved.frames.values.device.type == "cpu"
