"""Prepared recordings: decoded once, stored as flat arrays, read as windows of any length.

A store lies in ``data/stores/<fingerprint of corpus and decoding>``. ``waveforms.bin`` (int16
samples) and ``frames.bin`` (uint8 images, or float32 rows of face measurements) hold one recording
after the other, in the order of ``recordings.csv``; the same line of ``recordings.jsonl`` has their
numbers, or why the recording is left out. ``store.json`` (rates, types of rows) is written last: it
exists if and only if the store is complete.
"""

import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kdlib.dataset import Dataset, Ragged
from kdlib.errors import UnreadableRecording
from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.data import STORE_FORMAT, corpora
from kdsuite.data.corpora.features import measurements, timed
from kdsuite.data.decoding.detection import placed, track_files
from kdsuite.data.decoding.media import read_recording
from kdsuite.data.decoding.sound import as_stored
from kdsuite.data.writer import LINES, StoreWriter
from kdsuite.settings import Settings

PROGRESS_SECONDS = 10  # between two lines that say how far a build is


@dataclass(frozen=True, kw_only=True)
class Store(Dataset):
    """The prepared recordings of one corpus on one device, and the table of ``recordings``."""

    recordings: pd.DataFrame
    fingerprint: str

    @property
    def left_out(self) -> dict[str, str]:
        """The recordings of the corpus that could not be decoded, and why; they have no row."""
        return self.recordings.attrs.get("left_out", {})


def prepare(settings: Settings, workers: int | None = None) -> Store:
    """Return the store of the settings' corpus, on the CPU; decode the recordings unless it exists.

    Raises InvalidCorpus, and UnreadableRecording unless ``corpus.unreadable`` leaves them out.
    """
    recordings = corpora.read(settings.corpus)
    return _prepared(corpora.store_name(recordings, settings), recordings, settings, workers)


def is_prepared(settings: Settings) -> bool:
    """Return whether the settings' corpus is there and its store complete."""
    name = corpora.on_disk(settings)["store"]
    return bool(name) and (paths.DATA / "stores" / name / "store.json").exists()


def prepare_trials(files: pd.DataFrame, settings: Settings) -> Store:
    """Return a store of the sound of ``files``, as :func:`kdsuite.data.corpora.trials` returns
    them.

    They keep their order and have no labels. Raises UnreadableRecording unless
    ``corpus.unreadable`` leaves such files out.
    """
    unlabelled = {**corpora.COLUMNS, "label": pd.Categorical([None] * len(files), [])}
    recordings = pd.DataFrame(unlabelled | {**files}, files.index).reset_index(drop=True)
    prints = corpora.identified(files, settings.corpus)
    decoding = settings.corpus.unreadable, settings.media.sample_rate
    fingerprint = digest([STORE_FORMAT, "trials", prints, *decoding])
    return _prepared(fingerprint, recordings, settings)


def _prepared(fingerprint, recordings, settings, workers=None):
    """Open the store of that name; build it unless it exists, while other processes wait."""
    folder = paths.DATA / "stores" / fingerprint
    if not (folder / "store.json").exists():  # what is complete needs no lock, which is a file
        from joblib import cpu_count  # late: most stores are built

        with paths.lock(folder):
            if not (folder / "store.json").exists():
                build(folder, recordings, settings, workers or cpu_count())
    return open_store(folder, recordings)


def open_store(folder: Path, recordings: pd.DataFrame) -> Store:
    """Return the store in ``folder``; its arrays stay on disk, and pages are read as they are used.

    ``recordings`` is the table it was built from.
    """
    facts = json.loads((folder / "store.json").read_text())
    rows, index = facts.pop("rows"), (folder / LINES).read_bytes().splitlines()
    lines = pd.DataFrame(map(json.loads, index), recordings.index, columns=["left_out", *rows])
    decoded = lines.left_out.isna()
    table = recordings[decoded].reset_index(drop=True)
    left_out = dict(zip(recordings.recording[~decoded], lines.left_out[~decoded]))
    table.attrs = {**recordings.attrs, "left_out": left_out}
    arrays = {}
    for name, (dtype, row) in rows.items():
        lengths = torch.tensor(lines[name][decoded].to_numpy(int))
        shape, values = (int(lengths.sum()), *row), np.empty((0, *row), dtype)
        if shape[0]:  # an empty file has no map
            # copy-on-write, because torch wants memory it might write to
            values = np.memmap(folder / f"{name}.bin", dtype, "c", shape=shape)
        arrays[name] = Ragged.of(torch.from_numpy(values), lengths)
    classes, labels = [*table.label.cat.categories], table.label.cat.codes.to_numpy(int)
    return Store(
        recordings=table, classes=classes, labels=torch.tensor(labels), fingerprint=folder.name,
        **arrays, **facts,
    )  # fmt: skip


def build(folder: Path, recordings: pd.DataFrame, settings: Settings, workers: int) -> None:
    """Decode the recordings in the table's order, from where an interrupted build ended."""
    media, features, size = settings.media, settings.corpus.features, settings.media.frame_size
    fps = media.fps if not features or timed(features) else None
    measured, row = repeat(None), (np.uint8, (size, size, 3))
    if recordings.features.any():
        measured = measurements(recordings, settings.corpus, fps)
        row = np.float32, measured[0].shape[1:]
    rows = {"waveforms": np.dtype(np.int16), "frames": np.dtype(row)}
    tracks = track_files(recordings, settings)
    jobs = zip(recordings.itertuples(), tracks, measured, repeat(media), repeat(fps))
    with StoreWriter(folder, rows) as writer:
        before, start = len(writer.lines), time.monotonic()
        with closing(_decoded(islice(jobs, before, None), workers)) as decoded:
            printed, todo = start, len(recordings) - before
            for done, recording in enumerate(decoded, 1):
                try:
                    writer.append(recording.result())
                except UnreadableRecording as error:
                    if settings.corpus.unreadable == "stop":
                        raise
                    writer.add_line({"left_out": str(error)})
                now = time.monotonic()
                if now - printed > PROGRESS_SECONDS or done == todo:
                    printed, left = now, (now - start) / done * (todo - done)
                    print(f"prepared {done} of {todo} recordings, {left:.0f} s left", flush=True)
    reasons = [line["left_out"] for line in writer.lines if "left_out" in line]
    if len(reasons) == len(recordings):
        (folder / LINES).unlink()  # the next build tries them again
        raise UnreadableRecording(
            f"none of the {len(reasons)} recordings can be decoded, the first because {reasons[0]}"
        )
    recordings.drop(columns=["audio", "video"]).to_csv(folder / "recordings.csv", index=False)
    types = {name: [row.base.str, row.shape] for name, row in rows.items()}
    facts = {"sample_rate": media.sample_rate, "fps": fps, "rows": types}
    paths.write_json(folder / "store.json", facts)


def _decoded(jobs, workers):
    """Decode in a pool and yield in order; memory holds two recordings a worker."""
    # threads, because ffmpeg and libsndfile do the work outside the interpreter's lock
    pool, ahead = ThreadPoolExecutor(workers), deque()
    try:
        for job in jobs:
            ahead.append(pool.submit(_decode, *job))
            if len(ahead) == 2 * workers:
                yield ahead.popleft()
        yield from ahead
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(recording, track, measured, media, fps):
    """Return the arrays of one recording; ``measured`` are rows that stand for its frames.

    They keep their number where ``fps`` is None. ``track`` is the file of a face that is to be
    found.
    """
    recording = placed(recording, media, track)
    samples, frames = read_recording(recording, media, measured if fps else None)
    if measured is not None and not fps:
        frames = measured
    return {"waveforms": as_stored(samples), "frames": frames}
