"""How text, sound and video of a synthetic corpus get onto the disk, each file in one step."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import NamedTemporaryFile

import numpy as np
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe
from scipy.signal import resample_poly

from kdsuite.demo.voice import RATE
from kdsuite.paths import replacing

FPS = 30000 / 1001  # frames a second of the videos
# ffmpeg's options: for the frames that it reads, for all that it writes, and for each kind of file
FRAMES = "-y -loglevel error -f rawvideo -pix_fmt rgb24 -r 29.97 -s {0[1]}x{0[0]} -i - -i"
WRITTEN = "-preset superfast -r 30000/1001 -threads 1"
FORMATS = {
    ".mp4": "-vcodec libx264 -pix_fmt yuva420p -crf 20 -movflags +faststart -acodec aac -aac_coder fast",
    ".avi": "-vcodec mpeg4 -q:v 4 -vtag DX50 -acodec libmp3lame",
}


def write_text(file: Path, text: str) -> None:
    """Write text in one step."""
    with replacing(file) as temporary:
        temporary.write_text(text)


def write_sound(file: Path, sound: np.ndarray, rate: int = 16000) -> None:
    """Write sound, float ``(samples,)`` in -1 to 1 at ``RATE`` Hz, as 16-bit PCM at ``rate`` Hz, in
    one step."""
    with replacing(file) as temporary:
        soundfile.write(temporary, resample_poly(sound, rate, RATE), rate)


def write_video(file: Path, frames: Iterable[np.ndarray], sound: np.ndarray, *options: str) -> None:
    """Write uint8 RGB frames ``(height, width, 3)`` at :data:`FPS`, and sound ``(samples,)`` at
    ``RATE`` Hz, in one step; ``options`` are further ones for ffmpeg.

    Raises OSError where ffmpeg fails.
    """
    frames = iter(frames)
    first = next(frames)
    with NamedTemporaryFile(suffix=".wav") as wave, replacing(file) as temporary:
        soundfile.write(wave.name, sound, RATE)
        command = [get_ffmpeg_exe(), *FRAMES.format(first.shape).split(), wave.name]
        command += [*WRITTEN.split(), *FORMATS[file.suffix].split(), *options, temporary]
        with suppress(BrokenPipeError), Popen(command, stdin=PIPE) as process:
            process.stdin.writelines(chain([first], frames))
        if process.returncode:
            raise OSError(
                f"ffmpeg failed to write {file} (status {process.returncode}); is the disk full?"
            )


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
