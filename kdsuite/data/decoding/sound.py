"""Read the sound of a file: by libsndfile where it can, else by a process of ffmpeg."""

import math
import os
import re

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding.ffmpeg import (
    UNKNOWN_SIZE,
    check_end,
    check_file,
    check_missing,
    check_size,
    decode,
    has,
)

# formats that libsndfile reads, ten times faster than a process of ffmpeg; of MP3 without an index
# it drops the end, of NIST it does not know that a file breaks off
SOUND_FILES = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG"}
BLOCK = 2**18  # frames in memory at once
SHORTEST = 0.025  # seconds of sound, the paper's analysis window; what is longer is repeated
MALFORMED = 3  # libsndfile's number of that error


def read_sound(
    path: str, media: Media, start: float = 0.0, seconds: float = math.nan
) -> np.ndarray:
    """Return ``seconds`` (NaN: all) of a file's sound from ``start`` on.

    It is mono float32 ``(samples,)`` in -1 to 1 at ``media.sample_rate`` Hz. Raises
    UnreadableRecording for a damaged or cut-off file, one without sound, or one of less than
    :data:`SHORTEST` seconds.
    """
    check_file(path)
    samples = _sound_file(path, media, start, seconds)
    if samples is None:
        samples = sound_track(path, media, start, seconds)
    if len(samples) < SHORTEST * media.sample_rate:
        where = f" from {start:g} s on" if start else ""
        raise UnreadableRecording(
            f"{path} has {len(samples) / media.sample_rate:.3f} s of sound{where}, less than "
            f"{SHORTEST} s; remove it or record it again."
        )
    if not np.isfinite(samples).all():  # a file of floating point samples may hold anything
        raise UnreadableRecording(
            f"{path} has samples that are not finite; remove it or record it again."
        )
    return samples


def as_stored(samples: np.ndarray) -> np.ndarray:
    """Return sound ``(samples,)`` in -1 to 1 as the int16 of a store.

    A student gets the same sound of a file, whether or not it is in a store.
    """
    return (samples * 32767).clip(-32768, 32767).round().astype(np.int16)


def _sound_file(path, media, start, seconds):
    """Return the sound by libsndfile, None where ffmpeg is to read it."""
    import soundfile
    import soxr

    try:
        # by its number, for by its name libsndfile believes the ending, and takes only UTF-8
        with (
            open(path, "rb") as opened,
            soundfile.SoundFile(opened.fileno(), closefd=False) as file,
        ):
            rate, frames = file.samplerate, file.frames
            known = 0 < frames < 2**63 - 1  # writers into a pipe do not know it
            if file.format not in SOUND_FILES or not file.seekable() or not known:
                return None
            # of Ogg with pictures ffmpeg knows when the sound begins
            if len(re.findall(rb"OggS\0\x02", os.pread(opened.fileno(), 400, 0))) > 1:
                return None
            begin = file.seek(round(min(start * rate, frames)))
            count = round(np.fmin(seconds * rate, frames - begin))
            # a few bytes may promise hours, and at a sample a second they are
            check_size(path, max(count * file.channels, count / rate * media.sample_rate) * 4)
            resampler = soxr.ResampleStream(rate, media.sample_rate, 1)
            parts = [
                resampler.resample_chunk(block.mean(axis=1))
                for block in file.blocks(BLOCK, frames=count, dtype="float32", always_2d=True)
            ]
            parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            promised = frames * max(_promises(file.extra_info)) - begin
            if file.format == "OGG" and _cut_page(opened):
                promised = math.inf
    except soundfile.LibsndfileError as error:
        if error.code != MALFORMED:
            return None
        raise UnreadableRecording(
            f"{path} cannot be read as sound ({error.error_string.rstrip('.')}); remove it or "
            "fetch it again."
        ) from None
    check_missing(path, np.fmin(seconds, promised / rate) - count / rate)
    return np.concatenate(parts)


def _promises(log):
    """Return by how much longer than it is a file says it is, by libsndfile's log of its header."""
    sizes = [map(int, each) for each in re.findall(r"(\d+) \(should be (\d+)\)", log)]
    return [1.0, *(said / max(1, held) for said, held in sizes if said < UNKNOWN_SIZE)]


def _cut_page(opened):
    """Return whether of the last page of an Ogg file only a part is there."""
    size = os.path.getsize(opened.fileno())
    # not by reading: libsndfile has the same place in the file; no page is longer
    page = os.pread(opened.fileno(), 2**16, max(0, size - 2**16)).rpartition(b"OggS")[2]
    return len(page) < 23 or len(page) < 23 + page[22] + sum(page[23 : 23 + page[22]])


def sound_track(path: str, media: Media, start: float, seconds: float) -> np.ndarray:
    """Return what :func:`read_sound` does, of any length, by ffmpeg: of a video as well."""
    # a track that begins late is filled up, so that the sound stays with the pictures; mixing must
    # not make it louder
    rate, mono = f"{media.sample_rate}:async=1:first_pts=0", "out_chlayout=mono:rematrix_maxval=1"
    output = ["-af", f"aresample={rate}:{mono}", "-f", "f32le"]
    values, messages = decode(path, start, seconds, "Audio", output)
    samples = values.view(np.float32)
    # where pictures outlast the sound nothing need be missing
    pictures = math.inf if has("Video", messages) else 0.0
    check_end(path, len(samples) / media.sample_rate, messages, start, seconds, lambda: pictures)
    return samples
