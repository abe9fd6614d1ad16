"""One process of ffmpeg decodes one part of a file, pictures and sound together where both are
used.

The program is the one that moviepy brings. moviepy's readers would start three processes a
recording (for the file's facts, for the pictures, for the sound), scale what is cut away
afterwards, and report missing frames by warnings, which get lost among threads.
"""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Self

import numpy as np

from kdlib.errors import UnreadableRecording

# the banner stays: it has the duration; one thread, because there is a process a core
OPTIONS = "-hide_banner -nostats -nostdin -threads 1 -filter_threads 1".split()
# containers of sound and video, but no playlists and lists (hls, dash, concat, …) of further files
FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,dv,eac3,flac,flv,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,"
    "mxf,ogg,rm,w64,wav,wv"
)
SAFE = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
# of one process: seconds of computing, bytes of memory, bytes of a decoded file
SECONDS, LARGEST = 600, 4 * 2**30
LIMITS = {
    resource.RLIMIT_CPU: SECONDS,
    resource.RLIMIT_AS: LARGEST,
    resource.RLIMIT_FSIZE: LARGEST,
}
# files without an index: what ffmpeg decodes first after a jump is up to two frames off, so it
# begins some seconds before the part
UNINDEXED = (".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts")
SEEK_MARGIN = 1.0
# messages of a file beyond the limits (24 is SIGXCPU), of what is not the file's fault, and of
# files that end too soon
BEYOND = "received signal 24|Received > 3 system signals|Cannot allocate memory"
OUTSIDE = "No space left on device|received signal"
DAMAGE = "partial file|corrupt input packet|File ended prematurely"
# what a file lacks where ffmpeg's arguments name a stream and its messages do not
STREAMS = {"0:v:0": ("Video", "pictures"), "0:a:0": ("Audio", "sound track")}


class Decoding:
    """A running ffmpeg that decodes ``seconds`` (NaN: all) of ``path`` from ``start`` on.

    ``outputs`` are ffmpeg's arguments by output: ``pipe:1`` is read from ``stdout``, ``pipe:N`` is
    the one of ``files`` whose descriptor is N. What lies before ``start`` is skipped, but for the
    few frames from the last key frame on. The process ends with the ``with`` statement.
    """

    def __init__(
        self,
        path: str,
        start: float,
        seconds: float,
        outputs: Mapping[str, Sequence[str]],
        files: Sequence[IO] = (),
    ) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe  # late: most sound needs no ffmpeg

        margin = min(start, SEEK_MARGIN) if path.lower().endswith(UNINDEXED) else 0.0
        length = [] if math.isnan(seconds) else ["-t", f"{seconds + margin:.6f}"]
        self._path, self._messages = path, tempfile.TemporaryFile()
        self._arguments = [*OPTIONS, *_seek(start - margin), *length, *SAFE, "-i", f"file:{path}"]
        for output, arguments in outputs.items():
            self._arguments += [*arguments, *_seek(margin), output]
        self._process = subprocess.Popen(
            [get_ffmpeg_exe(), *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            pass_fds=[file.fileno() for file in files],
        )
        self.stdout, pid = self._process.stdout, self._process.pid
        for kind, limit in LIMITS.items():
            with suppress(OSError, ValueError):  # it has ended already, or there is a lower limit
                resource.prlimit(pid, kind, (limit, resource.prlimit(pid, kind)[1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self.stdout.close()
        self._process.wait()
        self._messages.close()

    def messages(self) -> str:
        """Wait for the end and return ffmpeg's messages about the file.

        Raises UnreadableRecording where it could not decode, OSError where that is not the file's
        fault.
        """
        status = self._process.wait()
        self._messages.seek(0)
        messages = self._messages.read().decode(errors="replace")
        if status == -signal.SIGXFSZ or (status and re.search(BEYOND, messages)):
            raise too_much(self._path)
        if status == -signal.SIGKILL or re.search(OUTSIDE, messages):
            raise OSError(
                f"ffmpeg was stopped while it decoded {self._path} (status {status}); see to "
                "memory and disk space and start again."
            )
        if status:
            complaint = self._complaint(messages)
            raise UnreadableRecording(f"{self._path} {complaint}; remove it or fetch it again.")
        return messages

    def _complaint(self, messages: str) -> str:
        for stream, (kind, name) in STREAMS.items():
            if stream in self._arguments and "Duration:" in messages and not has(kind, messages):
                return f"has no {name}"
        return "cannot be decoded"


def too_much(path: str) -> UnreadableRecording:
    """Return the error for a file beyond the limits."""
    return UnreadableRecording(
        f"{path} takes more than {SECONDS // 60} min of computing or {LARGEST >> 30} GiB to "
        "decode; cut it into parts or leave it out."
    )


def check_size(path: str, size: float) -> None:
    """Raise UnreadableRecording where a file is ``size`` bytes decoded, and these are too many."""
    if size > LARGEST:
        raise too_much(path)


def _seek(seconds: float) -> list[str]:
    return ["-ss", f"{seconds:.6f}"] if seconds > 0 else []


def decoded(
    path: str, start: float, seconds: float, *outputs: Sequence[str]
) -> tuple[list[np.ndarray], str]:
    """Decode one part of a file; return the uint8 ``(bytes,)`` of each output, and the messages.

    ffmpeg writes into temporary files, because it would have to wait at a pipe; they are mapped,
    not loaded.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in outputs]
        pipes = {f"pipe:{file.fileno()}": output for file, output in zip(files, outputs)}
        with Decoding(path, start, seconds, pipes, files) as decoding:
            messages = decoding.messages()
        return [_mapped(file) for file in files], messages


def _mapped(file: IO) -> np.ndarray:
    empty = not os.fstat(file.fileno()).st_size
    return np.zeros(0, np.uint8) if empty else np.memmap(file, np.uint8, "r")


def has(kind: str, messages: str) -> bool:
    """Return whether a file has a stream of a kind, ``Video`` or ``Audio``, by its messages."""
    return bool(re.search(rf"^ *Stream #0:.*: {kind}: ", messages, re.MULTILINE))


def damaged(messages: str) -> bool:
    """Return whether ffmpeg met the end of a file before the end of its contents."""
    return bool(re.search(DAMAGE, messages))


def duration(messages: str) -> float:
    """Return the length in seconds that a file promises, NaN where it promises none."""
    match = re.search(r"^ *Duration: (\d+):(\d+):(\d+\.\d+)", messages, re.MULTILINE)
    hours, minutes, seconds = map(float, match.groups()) if match else (math.nan,) * 3
    return hours * 3600 + minutes * 60 + seconds
