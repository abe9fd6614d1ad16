"""How text, sound and video of a synthetic corpus get onto the disk, each file in one step."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import soundfile
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter
from scipy.signal import resample_poly

from kdsuite.demo.voice import RATE
from kdsuite.paths import replacing

FPS = 30000 / 1001  # frames a second of the videos
# codecs of video and sound, and ffmpeg's options
FORMATS = {
    ".mp4": ("libx264", "aac", "-crf 20 -movflags +faststart"),
    ".avi": ("mpeg4", "libmp3lame", "-q:v 4 -vtag DX50"),
}


def write_sound(file: Path, sound: np.ndarray, rate: int = 16000) -> None:
    """Write sound, float ``(samples,)`` in -1 to 1 at ``RATE`` Hz, as 16-bit PCM at ``rate`` Hz, in
    one step."""
    with replacing(file) as temporary:
        soundfile.write(temporary, resample_poly(sound, rate, RATE), rate)


def write_video(file: Path, frames: Iterable[np.ndarray], sound: np.ndarray | None) -> None:
    """Write uint8 RGB frames ``(height, width, 3)`` at :data:`FPS`, and sound ``(samples,)`` at
    ``RATE`` Hz, in one step.

    Raises OSError where ffmpeg fails.
    """
    video, audio, options = FORMATS[file.suffix]
    frames = iter(frames)
    first = next(frames)
    with NamedTemporaryFile(suffix=".wav") as wave, replacing(file) as temporary:
        if sound is not None:
            soundfile.write(wave.name, sound, RATE)
        with FFMPEG_VideoWriter(
            str(temporary), first.shape[1::-1], FPS, video,
            wave.name if sound is not None else None,
            audio, preset="ultrafast", threads=1,
            # moviepy rounds the rate to 29.97, hence the second -r
            ffmpeg_params=["-r", "30000/1001", "-aac_coder", "fast", *options.split()],
        ) as writer:  # fmt: skip
            process = writer.proc
            for frame in chain([first], frames):
                writer.write_frame(frame)
        if process.returncode:
            number = 256 - process.returncode  # ffmpeg ends with the lowest byte of -errno
            raise OSError(number, f"{os.strerror(number)}: ffmpeg failed to write", str(file))


def filled(
    scenes: Iterable[tuple[np.ndarray, Iterable]], count: int, between: Callable[[int], Iterable]
) -> Iterator[np.ndarray]:
    """Yield ``count`` frames: those of the scenes, each with the numbers of its frames, and those
    of ``between(number)`` before, between and after them."""
    end = 0
    for numbers, frames in scenes:
        yield from between(numbers[0] - end)
        yield from frames
        end = numbers[-1] + 1
    yield from between(count - end)
