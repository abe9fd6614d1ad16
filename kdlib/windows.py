"""Which part of a recording is seen and heard: a random crop in training, all of it or its middle afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from kdlib.parameters import Media
from kdlib.settings import Settings

if TYPE_CHECKING:  # whoever only uses a student reads no corpus
    from kdlib.store import Store


def samples_a_frame(media: Media) -> int:
    """Return how many samples of sound one video frame lasts."""
    return media.sample_rate // media.fps


def samples_a_segment(media: Media) -> int:
    """Return how many samples of sound a segment lasts."""
    return round(media.segment * media.sample_rate)


def random_crops(store: Store, rows: torch.Tensor, media: Media, generator: torch.Generator) -> torch.Tensor:
    """Return where a random crop of the training duration begins in each recording, in frames ``(rows,)``.

    A recording no longer than that begins at 0, and is repeated.
    """
    slack = store.waveforms.lengths[rows] - round(media.duration * media.sample_rate)
    # on the grid of the frames that the teacher sees, so that sound and targets are the same stretch of time
    places = slack.clamp(min=0) // (samples_a_frame(media) * media.frame_stride) + 1
    return (torch.rand(len(rows), generator=generator).to(places.device) * places).long() * media.frame_stride


def whole(samples, media: Media):
    """Return the segments that hold ``samples`` of sound, a number or a tensor of them; the last one may be filled up."""
    segment = samples_a_segment(media)
    return (samples + segment - 1) // segment


def middle(samples: torch.Tensor, segments: int, media: Media) -> torch.Tensor:
    """Return where the middle of recordings ``(recordings,)`` begins, in frames: 0 where they are no longer than ``segments``."""
    slack = samples - segments * samples_a_segment(media)
    return slack.clamp(min=0) // 2 // (samples_a_frame(media) * media.frame_stride) * media.frame_stride


def inference_windows(store: Store, rows: torch.Tensor, settings: Settings) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """Yield batches of recordings of one length: rows, first frame of each ``(rows,)``, and length in segments.

    ``inference: fixed`` takes the middle of the training duration; ``whole`` repeats each recording up to a whole number
    of segments, so that its result depends on nothing but itself.
    """
    samples = store.waveforms.lengths[rows]
    fixed = settings.media.inference == "fixed"
    count = torch.full_like(samples, settings.segments) if fixed else whole(samples, settings.media)
    for segments in count.unique().tolist():
        alike = rows[count == segments]
        first = middle(store.waveforms.lengths[alike], segments, settings.media)
        # minutes of sound go through in smaller batches than the seconds of training
        size = max(1, settings.training.batch_size * settings.segments // max(segments, settings.segments))
        for chosen, begin in zip(alike.split(size), first.split(size)):
            yield chosen, begin, segments
