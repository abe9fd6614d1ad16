"""One process of ffmpeg decodes one part of a file, pictures and sound together where both are wanted.

The program is the one that moviepy brings. moviepy's readers would start three processes a recording (to look at the
file, for the pictures, for the sound), scale what is cut away afterwards, and tell of missing frames by warnings, which
get lost among threads.
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
from typing import IO

import numpy as np

from kdlib.errors import UnreadableRecording

# the banner stays: it tells the duration; one thread, because there is a process a core
OPTIONS = ("-hide_banner", "-nostats", "-nostdin", "-threads", "1", "-filter_threads", "1")
# containers of sound and video; playlists and lists of files (hls, dash, concat, …), which name further files, are none
FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,dv,eac3,flac,flv,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,mxf,ogg,rm,w64,wav,wv"
SAFE = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
# of one process: seconds of computing, bytes of memory, bytes of a decoded file
SECONDS, LARGEST = 600, 4 * 2**30
LIMITS = {resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_AS: LARGEST, resource.RLIMIT_FSIZE: LARGEST}
BEYOND = ("received signal 24", "Received > 3 system signals", "Cannot allocate memory")  # 24 is SIGXCPU
STREAMS = {"0:v:0": ("Video", "pictures"), "0:a:0": ("Audio", "sound track")}
# files without an index: what ffmpeg finds first after a jump is up to two frames off, so it begins a second before the part
UNINDEXED = (".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts")
LEAD = 1.0
# not the file's fault
OUTSIDE = ("No space left on device", "received signal")
DAMAGE = ("partial file", "corrupt input packet", "File ended prematurely")


class Decoding:
    """A running ffmpeg that decodes ``seconds`` (NaN: all) of ``path`` from ``start`` on, in a with statement that it never outlives.

    ``outputs`` are ffmpeg's arguments by output: ``pipe:1`` is read from ``stdout``, ``pipe:N`` is the one of ``files``
    whose descriptor is N. What lies before ``start`` is skipped, but for the few frames from the last key frame on.
    """

    def __init__(self, path: str, start: float, seconds: float, outputs: Mapping[str, Sequence[str]], files: Sequence[IO] = ()) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe  # late: most sound needs no ffmpeg

        lead = min(start, LEAD) if path.lower().endswith(UNINDEXED) else 0.0
        end = [] if math.isnan(seconds) else ["-t", f"{seconds + lead:.6f}"]
        self._arguments = [word for output, given in outputs.items() for word in (*given, *_skip(lead), output)]
        command = [get_ffmpeg_exe(), *OPTIONS, *_skip(start - lead), *end, *SAFE, "-i", f"file:{path}", *self._arguments]
        self._path, self._messages = path, tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._messages, pass_fds=[file.fileno() for file in files]
        )
        self.stdout = self._process.stdout
        for kind, limit in LIMITS.items():
            with suppress(OSError, ValueError):  # it has ended already, or somebody set a lower limit
                resource.prlimit(self._process.pid, kind, (limit, resource.prlimit(self._process.pid, kind)[1]))

    def __enter__(self) -> Decoding:
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self.stdout.close()
        self._process.wait()
        self._messages.close()

    def messages(self) -> str:
        """Wait for the end and return what ffmpeg says of the file.

        Raises UnreadableRecording where it could not decode, OSError where that is not the file's fault.
        """
        status = self._process.wait()
        self._messages.seek(0)
        said = self._messages.read().decode(errors="replace")
        if status == -signal.SIGXFSZ or (status and any(words in said for words in BEYOND)):
            raise UnreadableRecording(too_much(self._path))
        if status == -signal.SIGKILL or any(words in said for words in OUTSIDE):
            raise OSError(
                f"ffmpeg was stopped while it decoded {self._path} (status {status}); see to memory and disk space and start again."
            )
        if status:
            raise UnreadableRecording(f"{self._path} {self._complaint(said)}; remove it or fetch it again.")
        return said

    def _complaint(self, said: str) -> str:
        for stream, (kind, words) in STREAMS.items():
            if stream in self._arguments and "Duration:" in said and not has(kind, said):
                return f"has no {words}"
        return "cannot be decoded"


def too_much(path: str) -> str:
    """Return the sentence for a file beyond the limits."""
    return f"{path} takes more than {SECONDS // 60} min of computing or {LARGEST >> 30} GiB to decode; cut it into parts or leave it out."


def _skip(seconds: float) -> list[str]:
    return ["-ss", f"{seconds:.6f}"] if seconds > 0 else []


def decoded(path: str, start: float, seconds: float, *outputs: Sequence[str]) -> tuple[list[np.ndarray], str]:
    """Decode one part of a file; return the bytes of each of ``outputs`` as uint8 ``(bytes,)``, and what ffmpeg says of the file.

    ffmpeg writes into temporary files, because it would have to wait at a pipe; what it wrote is mapped, not loaded.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in outputs]
        named = {f"pipe:{file.fileno()}": output for file, output in zip(files, outputs)}
        with Decoding(path, start, seconds, named, files) as decoding:
            messages = decoding.messages()
        return [_bytes(file) for file in files], messages


def _bytes(file: IO) -> np.ndarray:
    return np.memmap(file, np.uint8, "r") if os.fstat(file.fileno()).st_size else np.zeros(0, np.uint8)


def has(kind: str, messages: str) -> bool:
    """Return whether a file has a stream of a kind (``Video`` or ``Audio``), from what ffmpeg says of it."""
    return re.search(rf"^ *Stream #0:.*: {kind}: ", messages, re.MULTILINE) is not None


def damaged(messages: str) -> bool:
    """Return whether ffmpeg met the end of a file before the end of its contents."""
    return any(words in messages for words in DAMAGE)


def duration(messages: str) -> float:
    """Return the length in seconds that a file promises, from what ffmpeg says of it; NaN where it promises none."""
    found = re.search(r"^ *Duration: (\d+):(\d+):(\d+\.\d+)", messages, re.MULTILINE)
    return math.nan if found is None else float(found[1]) * 3600 + float(found[2]) * 60 + float(found[3])
