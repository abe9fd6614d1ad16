"""Prepared recordings: decoded once, kept as flat arrays on disk, read as windows of any length.

A store lies in ``data/stores/<fingerprint of corpus and decoding>`` and holds ``recordings.csv``, ``waveforms.npy``
(int16), ``frames.npy`` (uint8 images, or float32 rows of face measurements) and ``store.json`` (where each
recording lies in them, rates, what was left out), written last: it exists if and only if the store is whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kdlib.dataset import Dataset, Ragged
from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media, digest
from kdsuite import places
from kdsuite.data import STORE_FORMAT, corpora
from kdsuite.data.arrays import GrowingArrays
from kdsuite.data.corpora.features import measurements, timed
from kdsuite.data.decoding.media import common, read_recording
from kdsuite.data.decoding.sound import as_stored
from kdsuite.settings import Settings

# what the table of recordings holds for a sound file by itself
SOUND_ONLY = {name: value for name, value in corpora.COLUMNS.items() if name not in ("recording", "speaker", "audio")}


@dataclass(frozen=True, kw_only=True)
class Store(Dataset):
    """The prepared recordings of one corpus on one device, with the table of ``recordings``, row by row."""

    recordings: pd.DataFrame
    fingerprint: str

    @property
    def left_out(self) -> dict[str, str]:
        """The recordings of the corpus that could not be decoded, and why; they have no row."""
        return self.recordings.attrs.get("left_out", {})


def prepare(settings: Settings, workers: int | None = None) -> Store:
    """Return the store of the settings' corpus, on the CPU; decode the recordings first if nobody has.

    Raises InvalidCorpus, and UnreadableRecording unless ``corpus.unreadable`` leaves such recordings out.
    """
    recordings = corpora.read(settings.corpus)
    return _prepared(corpora.store_name(recordings, settings), recordings, settings, workers)


def prepare_trials(files: pd.DataFrame, settings: Settings) -> Store:
    """Return a store of the sound alone of ``files`` (columns ``recording``, ``speaker``, ``audio``), in their order and without labels.

    Raises UnreadableRecording unless ``corpus.unreadable`` leaves such files out.
    """
    unlabelled = pd.Categorical([None] * len(files), categories=[])
    recordings = files[["recording", "speaker", "audio"]].reset_index(drop=True).assign(**{**SOUND_ONLY, "label": unlabelled})
    held = [(row.recording, corpora.stamp(row.audio)) for row in files.itertuples()]
    fingerprint = digest([STORE_FORMAT, "trials", held, settings.corpus.unreadable, settings.media.sample_rate])
    return _prepared(fingerprint, recordings, settings)


def _prepared(fingerprint: str, recordings: pd.DataFrame, settings: Settings, workers: int | None = None) -> Store:
    """Open the store of that name; make it first if nobody has, while other processes that want it wait."""
    folder = places.DATA / "stores" / fingerprint
    with places.lock(folder):
        if not (folder / "store.json").exists():
            _build(folder, recordings, settings, workers or len(os.sched_getaffinity(0)))
    return _open(folder, recordings)


def _open(folder: Path, recordings: pd.DataFrame) -> Store:
    facts = json.loads((folder / "store.json").read_text())
    arrays = {}
    for name in ("waveforms", "frames"):
        # copy-on-write, because torch wants memory it might write to; pages come from disk as they are used
        values = torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
        arrays[name] = Ragged(values, *(torch.tensor(facts[f"{name}_{what}"], dtype=torch.long) for what in ("starts", "lengths")))
    kept = recordings[~recordings.recording.isin(facts["left_out"])].reset_index(drop=True)
    kept.attrs = {**recordings.attrs, "left_out": facts["left_out"]}
    return Store(
        recordings=kept,
        classes=list(kept.label.cat.categories),
        labels=torch.tensor(kept.label.cat.codes.to_numpy(np.int64)),
        sample_rate=facts["sample_rate"],
        fps=facts["fps"],
        fingerprint=folder.name,
        **arrays,
    )


def _build(folder: Path, recordings: pd.DataFrame, settings: Settings, workers: int) -> None:
    """Decode the recordings that are not in yet, those of an earlier, broken-off run being in, and say what is there."""
    media, features = settings.media, settings.corpus.features
    clock = media.fps if not features or timed(features) else None
    rows = measurements(recordings, settings.corpus, clock) if recordings.features.any() else None
    frame = np.dtype((np.uint8, (media.frame_size, media.frame_size, 3))) if rows is None else np.dtype((np.float32, rows[0].shape[1:]))
    arrays = GrowingArrays(folder, {"waveforms": np.dtype(np.int16), "frames": frame})
    left_out = _decode_all(arrays, recordings, settings, rows, clock, workers)
    places_of, kept = arrays.finish(), recordings[~recordings.recording.isin(left_out)]
    facts = {"sample_rate": media.sample_rate, "fps": clock, "left_out": left_out}
    for name in ("waveforms", "frames"):
        facts[f"{name}_starts"], facts[f"{name}_lengths"] = map(list, zip(*(places_of[number][name] for number in kept.index)))
    kept.drop(columns=["audio", "video"]).to_csv(folder / "recordings.csv", index=False)
    places.write_json(folder / "store.json", facts)
    arrays.forget()


def _decode_all(
    arrays: GrowingArrays, recordings: pd.DataFrame, settings: Settings, rows: list[np.ndarray] | None, clock: int | None, workers: int
) -> dict[str, str]:
    """Decode what is not there yet; return the recordings to leave out, and why."""
    left_out = {}
    # pandas copies the attributes, which may name many that were left out, with every row it gives
    recordings = recordings.set_axis(recordings.columns, axis=1)
    recordings.attrs = {}
    todo = [number for number in recordings.index if number not in arrays]
    # threads, because the work is done by ffmpeg and libsndfile outside the interpreter's lock
    with ThreadPoolExecutor(workers) as pool:
        measured = dict.fromkeys(todo) if rows is None else dict(enumerate(rows))
        jobs = {pool.submit(_decode, arrays, number, recordings, settings.media, measured[number], clock): number for number in todo}
        try:
            for job in _reported(as_completed(jobs), len(jobs)):
                try:
                    job.result()
                except UnreadableRecording as error:
                    if settings.corpus.unreadable == "stop":
                        raise
                    left_out[recordings.recording[jobs[job]]] = str(error)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            arrays.pause()
            raise
    if len(left_out) == len(recordings):
        raise UnreadableRecording(
            f"none of the {len(recordings)} recordings can be decoded, the first because {next(iter(left_out.values()))}"
        )
    return dict(sorted(left_out.items()))


def _reported(jobs: Iterable[Future], count: int) -> Iterator[Future]:
    """Pass the jobs on as they end, and print a line about every ten seconds."""
    began = told = time.monotonic()
    for done, job in enumerate(jobs, 1):
        yield job
        if time.monotonic() - told > 10 or done == count:
            told = time.monotonic()
            print(f"prepared {done} of {count} recordings, {(told - began) / done * (count - done):.0f} s left", flush=True)


def _decode(arrays: GrowingArrays, number: int, recordings: pd.DataFrame, media: Media, rows: np.ndarray | None, clock: int | None) -> None:
    """Add one recording: its sound, and its frames or the rows of measurements that stand for them."""
    recording = recordings.iloc[number]
    samples, frames = read_recording(recording, media)
    if rows is not None:
        samples, frames = (samples, rows) if clock is None else common(recording, samples, rows, media)
    arrays.add(number, {"waveforms": as_stored(samples), "frames": frames})
