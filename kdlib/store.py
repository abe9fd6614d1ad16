"""Prepared recordings: decoded once, kept as flat arrays on disk, read as windows of any length.

A store lies in ``data/stores/<fingerprint of corpus and decoding>`` and holds ``recordings.csv``, ``waveforms.npy``
(int16), ``frames.npy`` (uint8 images, or float32 rows of face measurements) and ``store.json``, written last: it
exists if and only if the store is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kdlib import corpora, places
from kdlib.corpora.features import measurements
from kdlib.media import read_recording
from kdlib.settings import Media, Settings, digest


@dataclass(frozen=True)
class Ragged:
    """Rows of different length, laid end to end in one tensor.

    ``values`` is ``(total, …)``; row ``i`` is ``values[starts[i] : starts[i] + lengths[i]]``. All on one device.
    """

    values: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, values: torch.Tensor, lengths: torch.Tensor) -> Ragged:
        """Lay out ``values`` as rows of the given lengths."""
        return cls(values, lengths.cumsum(0) - lengths, lengths)

    def to(self, device: torch.device) -> Ragged:
        """Return the same rows on ``device``."""
        return Ragged(self.values.to(device), self.starts.to(device), self.lengths.to(device))

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.values[self.starts[row] : self.starts[row] + self.lengths[row]]

    def windows(self, rows: torch.Tensor, first: torch.Tensor, length: int, step: int = 1) -> torch.Tensor:
        """Return ``length`` items of each of ``rows`` from ``first`` on, every ``step``-th: ``(rows, length, …)``.

        A row that ends too soon starts over, which is the paper's padding by repetition.
        """
        items = first[:, None] + step * torch.arange(length, device=rows.device)  # (rows, length)
        return self.values[self.starts[rows, None] + items % self.lengths[rows, None]]


@dataclass(frozen=True)
class Store:
    """The prepared recordings of one corpus on one device.

    ``waveforms`` rows are int16 samples; ``frames`` rows are uint8 images or float32 measurements. ``fps`` is the rate
    of the frames, None where rows of measurements carry no time. ``labels`` ``(recordings,)`` index ``classes``.
    """

    recordings: pd.DataFrame
    classes: list[str]
    waveforms: Ragged
    frames: Ragged
    labels: torch.Tensor
    sample_rate: int
    fps: int | None
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        return self.labels.device

    def to(self, device: torch.device) -> Store:
        """Return the same store on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ("waveforms", "frames", "labels")}
        return Store(**{**self.__dict__, **moved})

    def sound(self, rows: torch.Tensor, first: torch.Tensor, samples: int) -> torch.Tensor:
        """Return windows of sound as float32 in -1 to 1, ``(rows, samples)``."""
        return self.waveforms.windows(rows, first, samples).float() / 32768

    def seconds(self) -> np.ndarray:
        """Return the length of each recording in seconds."""
        return self.waveforms.lengths.cpu().numpy() / self.sample_rate


def prepare(settings: Settings, workers: int | None = None) -> Store:
    """Return the store of the settings' corpus, on the CPU; decode the recordings first if nobody has.

    Raises InvalidCorpus and UnreadableRecording.
    """
    recordings = corpora.read(settings.corpus)
    fingerprint = digest([corpora.fingerprint(recordings, settings.corpus), settings.upto("data")])
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
        arrays[name] = Ragged.of(values, torch.tensor(facts[f"{name}_lengths"]))
    return Store(
        recordings=recordings,
        classes=list(recordings.label.cat.categories),
        labels=torch.tensor(recordings.label.cat.codes.to_numpy(np.int64)),
        sample_rate=facts["sample_rate"],
        fps=facts["fps"],
        fingerprint=folder.name,
        **arrays,
    )


def _build(folder: Path, recordings: pd.DataFrame, settings: Settings, workers: int) -> None:
    """Decode every recording into a part of its own, then join the parts; parts of an earlier, broken-off run count."""
    parts = [folder / "parts" / f"{number}.npz" for number in range(len(recordings))]
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    features = measurements(recordings, settings.corpus) if settings.corpus.features else None
    todo = [number for number, part in enumerate(parts) if not part.exists()]
    began, told = time.monotonic(), time.monotonic()
    # threads, because the work is done by ffmpeg and libsndfile outside the interpreter's lock
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_decode, parts[number], recordings.iloc[number], settings.media) for number in todo]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                if time.monotonic() - told > 10 or done == len(jobs):
                    told = time.monotonic()
                    print(f"prepared {done} of {len(jobs)} recordings, {(told - began) / done * (len(jobs) - done):.0f} s left", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    lengths = {"waveforms": _join(folder / "waveforms.npy", parts, "sound")}
    lengths["frames"] = _join(folder / "frames.npy", parts, "frames") if features is None else _write_rows(folder / "frames.npy", features)
    recordings.drop(columns=["audio", "video"]).to_csv(folder / "recordings.csv", index=False)
    timed = settings.media.fps if features is None else None
    places.write_json(
        folder / "store.json",
        {"sample_rate": settings.media.sample_rate, "fps": timed, **{f"{name}_lengths": value for name, value in lengths.items()}},
    )
    shutil.rmtree(folder / "parts")


def _decode(part: Path, recording: pd.Series, media: Media) -> None:
    samples, frames = read_recording(recording.audio, recording.video, media)
    sound = (samples * 32767).clip(-32768, 32767).round().astype(np.int16)
    with places.replacing(part) as temporary, open(temporary, "wb") as file:
        np.savez(file, sound=sound, **({} if frames is None else {"frames": frames}))


def _join(path: Path, parts: list[Path], name: str) -> list[int]:
    """Lay the arrays ``name`` of all parts end to end in one file; return their lengths."""
    headers = [_header(part, name) for part in parts]
    lengths = [shape[0] for shape, _ in headers]
    joined = np.lib.format.open_memmap(path, "w+", headers[0][1], (sum(lengths), *headers[0][0][1:]))
    end = 0
    for part, length in zip(parts, lengths):
        joined[end : end + length] = np.load(part)[name]
        end += length
    joined.flush()
    return lengths


def _header(part: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    array = np.load(part)[name]
    return array.shape, array.dtype


def _write_rows(path: Path, rows: list[np.ndarray]) -> list[int]:
    np.save(path, np.concatenate(rows))
    return [len(row) for row in rows]
