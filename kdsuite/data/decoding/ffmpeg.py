"""One process of ffmpeg decodes the pictures or the sound of one part of a file.

The program is the one that moviepy brings. moviepy's readers would start a further process for the
file's facts, scale what is cut away afterwards, and report missing frames by warnings, which get
lost among threads.
"""

import math
import os
import re
import resource
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

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
# messages of a file beyond the limits (24 is SIGXCPU), and of what is not the file's fault
BEYOND = "received signal 24|Received > 3 system signals|Cannot allocate memory"
OUTSIDE = "No space left on device|received signal"
# what a file lacks where ffmpeg's arguments name a stream and its messages do not
STREAMS = {"0:v:0": ("Video", "pictures"), "0:a:0": ("Audio", "sound track")}


def decode(
    path: str,
    start: float,
    seconds: float,
    output: Sequence[str],
    read: Callable[[IO[bytes]], None] | None = None,
) -> tuple[np.ndarray, str]:
    """Decode ``seconds`` (NaN: all) of a file from ``start`` on.

    ``output`` are ffmpeg's arguments for what it writes. Returns that, uint8 ``(bytes,)``, mapped
    from a temporary file; it is empty where ``read`` takes it from a pipe. Returns ffmpeg's
    messages about the file, too. What lies before ``start`` is skipped, but for the few frames
    from the last key frame on. Raises UnreadableRecording where the file cannot be decoded, OSError
    where that is not the file's fault.
    """
    from imageio_ffmpeg import get_ffmpeg_exe  # late: most sound needs no ffmpeg

    check_file(path)
    margin = min(start, SEEK_MARGIN) if path.lower().endswith(UNINDEXED) else 0.0
    length = [] if math.isnan(seconds) else ["-t", f"{seconds + margin:.6f}"]
    command = [get_ffmpeg_exe(), *OPTIONS, *_seek(start - margin), *length, *SAFE]
    command += ["-i", f"file:{path}", *output, *_seek(margin), "pipe:1"]
    with TemporaryFile() as file, TemporaryFile() as log:
        streams = {"stdout": subprocess.PIPE if read else file, "stderr": log}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams) as process:
            try:
                for kind, limit in LIMITS.items():
                    with suppress(OSError, ValueError):  # it has ended, or has a lower limit
                        resource.prlimit(process.pid, kind, (limit, limit + SECONDS))
                if read:
                    read(process.stdout)
                status = process.wait()
            finally:
                process.kill()
        log.seek(0)
        messages = log.read().decode(errors="replace")
        _check(path, status, messages, output)
        some = os.fstat(file.fileno()).st_size
        return np.memmap(file, np.uint8, "r") if some else np.zeros(0, np.uint8), messages


def _seek(seconds):
    return ["-ss", f"{seconds:.6f}"] if seconds > 0 else []


def _check(path, status, messages, output):
    if status == -signal.SIGXFSZ or (status and re.search(BEYOND, messages)):
        check_size(path, math.inf)
    if status == -signal.SIGKILL or re.search(OUTSIDE, messages):
        raise OSError(
            f"ffmpeg was stopped while it decoded {path} (status {status}); see to memory and disk "
            "space and start again."
        )
    if status:
        complaint = "cannot be decoded"
        for stream, (kind, name) in STREAMS.items():
            if stream in output and "Duration:" in messages and not has(kind, messages):
                complaint = f"has no {name}"
        raise UnreadableRecording(f"{path} {complaint}; remove it or fetch it again.")


def check_file(path: str) -> None:
    """Raise UnreadableRecording where ``path`` is no regular file with contents to read."""
    try:
        # a pipe would be waited for
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableRecording(f"{path} is no file; remove it or name a file.")
        with open(path, "rb") as file:
            if not file.read(1):
                raise UnreadableRecording(f"{path} is empty; remove it or fetch it again.")
    except OSError as error:
        raise UnreadableRecording(
            f"{path} cannot be opened ({error.strerror}); see that it is there and that you may "
            "read it."
        ) from None


def check_size(path: str, size: float) -> None:
    """Raise UnreadableRecording where a file is ``size`` bytes decoded, and these are too many."""
    if size > LARGEST:
        raise UnreadableRecording(
            f"{path} takes more than {SECONDS // 60} min of computing or {LARGEST >> 30} GiB to "
            "decode; cut it into parts or leave it out."
        )


def has(kind: str, messages: str) -> bool:
    """Return whether a file has a stream of a kind, ``Video`` or ``Audio``, by its messages."""
    return bool(re.search(rf"^ *Stream #0:.*: {kind}: ", messages, re.MULTILINE))


def duration(messages: str) -> float:
    """Return the length in seconds that a file promises, NaN where it promises none."""
    match = re.search(r"^ *Duration: (\d+):(\d+):(\d+\.\d+)", messages, re.MULTILINE)
    hours, minutes, seconds = map(float, match.groups()) if match else (math.nan,) * 3
    return hours * 3600 + minutes * 60 + seconds
