"""How every synthetic corpus gets onto the disk: in parallel, each file in one step, resumable,
with the truth beside it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from joblib import Parallel, delayed
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

from kdsuite.demo import TRUTH, claimed, voice
from kdsuite.parameters import Synthetic
from kdsuite.places import replacing, write_json

FPS = 30000 / 1001  # frames a second of the videos


def write_corpus(
    folder: Path,
    synthetic: Synthetic,
    files: Sequence[Path],
    write: Callable[[Path, Synthetic], None],
    truth: dict,
    workers: int | None = None,
) -> None:
    """Write those of ``files`` that are missing by ``write(file, synthetic)``, in ``workers``
    processes (one a core unless given).

    The same parameters give the same files, however many workers there are. ``synthetic.json``
    comes last: the parameters, and ``truth``, what each recording displays. Hold
    :func:`kdsuite.places.lock` where several processes may write. Raises InvalidParameter where the
    folder holds something else.
    """
    if claimed(folder, synthetic):
        return
    missing = [file for file in files if not file.exists()]
    _report(_written(missing, write, synthetic, workers or _cores()), len(missing), folder)
    for leftover in (
        [found for file in files for found in file.parent.glob(f".*-{file.name}")]
        if missing
        else []
    ):
        leftover.unlink()  # temporary file of a run that was killed
    write_json(folder / TRUTH, {"parameters": synthetic.model_dump(mode="json"), "takes": truth})


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _written(
    files: Sequence[Path],
    write: Callable[[Path, Synthetic], None],
    synthetic: Synthetic,
    workers: int,
) -> Iterator[None]:
    """Write the files, yielding once for each that is done; an error in a worker is raised here."""
    workers = max(
        1, min(workers, len(files) // 4)
    )  # a process takes about as long to start as four recordings to write
    # joblib's processes, unlike multiprocessing's, do not run the caller's script again
    return Parallel(workers, return_as="generator_unordered")(
        delayed(write)(file, synthetic) for file in files
    )


def _report(done: Iterable[None], count: int, folder: Path) -> None:
    """Print a line about every ten seconds."""
    said = time.monotonic()
    for number, _ in enumerate(done, 1):
        if time.monotonic() - said > 10 or number == count:
            print(f"synthetic corpus {folder.name}: {number} of {count} files written", flush=True)
            said = time.monotonic()


def write_text(file: Path, text: str) -> None:
    """Write text in one step."""
    with replacing(file) as temporary:
        temporary.write_text(text)


def write_sound(file: Path, sound: np.ndarray, rate: int = voice.RATE) -> None:
    """Write sound, float ``(samples,)`` or ``(samples, channels)`` in -1 to 1, in the format of the
    file's ending, in one step."""
    with replacing(file) as temporary:
        soundfile.write(temporary, sound, rate, "PCM_16")


def write_video(
    file: Path,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    sound: np.ndarray | None,
    codecs: tuple[str, str] = ("libx264", "aac"),
    options: Sequence[str] = ("-crf", "20", "-movflags", "+faststart"),
) -> None:
    """Write uint8 RGB frames of ``size`` (width, height) at :data:`FPS`, and sound ``(samples,)``
    at ``voice.RATE`` Hz, in one step.

    Frames are ``(height, width, 3)``. Raises OSError where ffmpeg fails.
    """
    with tempfile.TemporaryDirectory() as scratch, replacing(file) as temporary:
        wave = None
        if sound is not None:
            wave = str(Path(scratch, "sound.wav"))
            soundfile.write(wave, sound, voice.RATE, "PCM_16")
        # moviepy rounds the rate to 29.97, hence the second -r
        given = ["-r", "30000/1001", "-aac_coder", "fast", *options]
        with FFMPEG_VideoWriter(
            str(temporary),
            size,
            FPS,
            codecs[0],
            wave,
            codecs[1],
            preset="superfast",
            threads=1,
            ffmpeg_params=given,
            pixel_format="rgb24",
        ) as writer:
            process = writer.proc
            for frame in frames:
                writer.write_frame(frame)
        if process.returncode:
            raise OSError(
                f"ffmpeg failed to write {file} (status {process.returncode}); is the disk full?"
            )
