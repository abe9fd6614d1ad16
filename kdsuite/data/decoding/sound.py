"""Read the sound of a file: by libsndfile where it can, else by a process of ffmpeg."""

import math

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding.ffmpeg import check_file, check_size, decode

# formats that libsndfile reads; it is ten times faster than a process of ffmpeg
SOUND_FILES = (".wav", ".flac", ".ogg", ".mp3")


def read_sound(
    path: str, media: Media, start: float = 0.0, seconds: float = math.nan
) -> np.ndarray:
    """Return ``seconds`` (NaN: all) of a file's sound from ``start`` on.

    It is mono float32 ``(samples,)`` in -1 to 1 at ``media.sample_rate`` Hz. Raises
    UnreadableRecording for a damaged file, one without sound, or one shorter than an analysis
    window.
    """
    read = _sound_file if path.lower().endswith(SOUND_FILES) else sound_track
    samples = read(path, media, start, seconds)
    if len(samples) < media.window * media.sample_rate:
        where = f" from {start:g} s on" if start else ""
        raise UnreadableRecording(
            f"{path} has {len(samples) / media.sample_rate:.3f} s of sound{where}, less than one "
            f"window of {media.window} s; remove it or record it again."
        )
    if not np.isfinite(samples).all():  # a file of floating point samples may hold anything
        raise UnreadableRecording(
            f"{path} holds samples that are no numbers; remove it or record it again."
        )
    return samples


def as_stored(samples: np.ndarray) -> np.ndarray:
    """Return sound ``(samples,)`` in -1 to 1 as the int16 of a store.

    A student gets the same sound of a file, whether or not it is in a store.
    """
    return (samples * 32767).clip(-32768, 32767).round().astype(np.int16)


def _sound_file(path, media, start, seconds):
    import soundfile
    import soxr

    check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            begin = file.seek(round(min(start * rate, file.frames)))
            count = round(np.fmin(seconds * rate, file.frames - begin))
            # a few bytes may promise hours, and at a sample a second they are
            check_size(path, max(count * file.channels, count / rate * media.sample_rate) * 4)
            samples = file.read(count, "float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise UnreadableRecording(
            f"{path} cannot be read as sound ({reason}); remove it or fetch it again."
        ) from None
    return soxr.resample(samples.mean(axis=1), rate, media.sample_rate).astype(np.float32)


def sound_track(path: str, media: Media, start: float, seconds: float) -> np.ndarray:
    """Return what :func:`read_sound` does, of any length, by ffmpeg: of a video as well."""
    # a track that begins late is filled up, so that the sound stays with the pictures; mixing must
    # not make it louder
    rate, mono = f"{media.sample_rate}:async=1:first_pts=0", "out_chlayout=mono:rematrix_maxval=1"
    output = ["-map", "0:a:0", "-af", f"aresample={rate}:{mono}", "-f", "f32le"]
    return decode(path, start, seconds, output)[0].view(np.float32)
