"""Recordings as tensors on a device: rows of different length, folds, random crops for training,
windows for inference."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from kdlib.parameters import Media, Settings

# share of a device's free memory that one kind of arrays may take; networks and batches need the
# rest
MAX_MEMORY_SHARE = 0.4


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; the CPU's arrays lie on disk and need none."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


@dataclass(frozen=True)
class Ragged:
    """Rows of different length in one tensor.

    ``values`` is ``(total, …)``; row ``i`` is ``values[starts[i] : starts[i] + lengths[i]]``.
    ``starts`` and ``lengths`` are on the device where work is done; ``values`` too where they fit,
    and else they stay on the CPU and are not ``resident``.
    """

    values: Tensor
    starts: Tensor
    lengths: Tensor
    longest: int
    resident: bool = True

    @classmethod
    def of(cls, values: Tensor, lengths: Tensor) -> Self:
        """Lay out ``values`` ``(total, …)`` as consecutive rows of ``lengths`` ``(rows,)``, which
        sum up to the total."""
        longest = max(lengths.tolist(), default=0)  # read once, for a GPU would wait
        return cls(values, lengths.cumsum(0) - lengths, lengths, longest)

    def to(self, device: torch.device, upload: bool = True) -> Self:
        """Return the same rows for work on ``device``; without ``upload``, or where they do not
        fit, ``values`` stay."""
        # what is there already needs no memory
        fit = "cpu" != self.values.device.type == device.type or (
            (upload or device.type == "cpu")
            and self.values.nbytes <= MAX_MEMORY_SHARE * free_memory(device)
        )
        values = self.values.to(device) if fit else self.values
        starts, lengths = self.starts.to(device), self.lengths.to(device)
        return Ragged(values, starts, lengths, self.longest, fit)

    def take(self, items: Tensor) -> Tensor:
        """Return ``(*items.shape, …)``: items by their place in ``values``, on the device of
        ``items``."""
        if self.resident:
            return self.values[items]
        # from pinned memory a GPU copies by itself, while the CPU gathers the next batch
        shape = (items.numel(), *self.values.shape[1:])
        gathered = torch.empty(shape, dtype=self.values.dtype, pin_memory=items.is_cuda)
        torch.index_select(self.values, 0, items.flatten().cpu(), out=gathered)
        return gathered.unflatten(0, items.shape).to(items.device, non_blocking=True)

    def __getitem__(self, row: int) -> Tensor:
        return self.values[self.starts[row] : self.starts[row] + self.lengths[row]]

    def every(self, step: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places in ``values`` of every ``step``-th item of ``rows``, ``(items,)``, and
        the number of each row, ``(rows,)``."""
        pairs = zip(self.starts[rows].tolist(), self.lengths[rows].tolist())
        items = [torch.arange(start, start + length, step) for start, length in pairs]
        return torch.cat(items).to(self.starts.device), -(-self.lengths[rows] // step)

    def windows(self, rows: Tensor, start: Tensor | None, length: int, step: int = 1) -> Tensor:
        """Return ``length`` items of each of ``rows`` from ``start`` on, every ``step``-th:
        ``(rows, length, …)``; where that is None all items, as many as the longest row has.

        A row that ends too soon starts over, which is the paper's padding by repetition.
        """
        if start is None:
            start, length, step = torch.zeros_like(rows), self.longest, 1
        if self.resident and rows.device.type == "cpu":
            # an index for each sample would take longer than a slice
            pairs = zip(rows.tolist(), start.tolist())
            return torch.stack(
                [_window(self[row], begin, step * length)[::step] for row, begin in pairs]
            )
        items = start[:, None] + step * torch.arange(length, device=rows.device)  # (rows, length)
        return self.take(self.starts[rows, None] + items % self.lengths[rows, None])


def _window(row, start, length):
    """Return ``length`` items of one row from ``start`` on; a row that ends too soon starts
    over."""
    times = -(-(start + length) // len(row))
    return (row if times == 1 else torch.cat([row] * times))[start : start + length]


@dataclass(frozen=True)
class Fold:
    """One split of the recordings: ``train``, ``validation`` and ``test`` are sorted row numbers.

    Nothing is trained on validation recordings; alpha can be chosen on them. ``labels``
    ``(train,)`` are the class codes that training uses, -1 where it uses none (``corpus.labelled``,
    ``corpus.label_noise``); None: each recording's own.
    """

    number: int
    name: str
    train: ndarray
    test: ndarray
    validation: ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    labels: ndarray | None = None

    def training_labels(self, own: ndarray) -> ndarray:
        """Return the class code that training uses of each recording, ``(recordings,)``, -1 where
        it uses none."""
        used = np.full(len(own), -1, np.int64)
        used[self.train] = own[self.train] if self.labels is None else self.labels
        return used


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Recordings on one device.

    ``waveforms`` rows are int16 samples; ``frames`` rows are uint8 images or float32 measurements,
    and empty for a recording that is audio only. ``fps`` is the rate of the frames, None where rows
    of measurements have no times. ``labels`` ``(recordings,)`` index ``classes``; -1 is a recording
    without label.
    """

    classes: list[str]
    waveforms: Ragged
    frames: Ragged
    labels: Tensor
    sample_rate: int
    fps: int | None

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        return self.labels.device

    def to(self, device: torch.device, frames: bool = True) -> Self:
        """Return the same recordings on ``device``; without ``frames`` those stay on the CPU, for
        students need none."""
        moved = {name: getattr(self, name).to(device) for name in ("waveforms", "labels")}
        return replace(self, frames=self.frames.to(device, frames), **moved)

    def audio(self, rows: Tensor, start: Tensor, samples: int) -> Tensor:
        """Return windows of the waveforms as float32 in -1 to 1, ``(rows, samples)``."""
        return self.waveforms.windows(rows, start, samples).float() / 32768

    def seconds(self) -> ndarray:
        """Return the length of each recording in seconds, ``(recordings,)``."""
        return self.waveforms.lengths.cpu().numpy() / self.sample_rate

    def training_labels(self, fold: Fold) -> Tensor:
        """Return what :meth:`Fold.training_labels` does, on the dataset's device."""
        return torch.from_numpy(fold.training_labels(self.labels.cpu().numpy())).to(self.device)


def segments_in(samples, media: Media):
    """Return how many segments hold ``samples`` of audio, a number or a tensor; the last one may be
    filled up."""
    # not -(-samples // …): torch.export gets that wrong for a length that is not known yet
    return (samples + media.samples_per_segment - 1) // media.samples_per_segment


def random_starts(dataset: Dataset, rows: Tensor, draws: Tensor, media: Media) -> Tensor:
    """Return the frame at which a crop of the training duration starts in each recording,
    ``(rows,)``.

    ``draws`` ``(rows,)`` are uniform in 0 to 1. A recording no longer than the crop starts at 0,
    and is repeated.
    """
    slack = dataset.waveforms.lengths[rows] - round(media.duration * media.sample_rate)
    # on the grid of the frames that the teacher sees, so that audio and targets are the same
    # stretch of time
    starts = slack.clamp(min=0) // (media.samples_per_frame * media.frame_stride) + 1
    return (draws * starts).long() * media.frame_stride


def center_start(samples: Tensor, segments: int, media: Media) -> Tensor:
    """Return the frame at which the middle ``segments`` of recordings ``(recordings,)`` start, 0
    for shorter ones."""
    slack = (samples - segments * media.samples_per_segment).clamp(min=0)
    return slack // 2 // (media.samples_per_frame * media.frame_stride) * media.frame_stride


def inference_windows(
    dataset: Dataset, rows: Tensor, settings: Settings
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield batches of recordings of one length: rows, start frame of each ``(rows,)``, and length
    in segments.

    ``inference: fixed`` takes the middle of the training duration; ``whole`` repeats each recording
    up to a whole number of segments, so that its result depends on nothing but itself.
    """
    media, usual, samples = settings.media, settings.segments, dataset.waveforms.lengths[rows]
    count = segments_in(samples, media)
    if media.inference == "fixed":
        count = torch.full_like(samples, usual)
    for segments in count.unique().tolist():
        alike = rows[count == segments]
        start = center_start(samples[count == segments], segments, media)
        # minutes of audio go through in smaller batches than the seconds of training
        size = max(1, settings.training.batch_size * usual // max(segments, usual))
        for chosen, begin in zip(alike.split(size), start.split(size)):
            yield chosen, begin, segments
