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

from kdlib.errors import UnreadableRecording, UserError

# the banner stays: it has the duration; one thread, because there is a process a core
OPTIONS = "-hide_banner -nostats -nostdin -threads 1 -filter_threads 1".split()
# containers of sound and video, but no playlists and lists (hls, dash, concat, …) of further files
FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,dv,eac3,flac,flv,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,"
    "mxf,nistsphere,ogg,rm,w64,wav,wv"
)
SAFE = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
# of one process: seconds of computing, bytes of memory, bytes of a decoded file
SECONDS, LARGEST = 600, 4 * 2**30
LIMITS = {
    resource.RLIMIT_CPU: SECONDS,
    resource.RLIMIT_AS: LARGEST,
    resource.RLIMIT_FSIZE: LARGEST,
}
# how files without an index begin, MPEG program and transport streams: after a jump ffmpeg has no
# picture before the next key frame, and times are off at first, so it begins this much earlier:
# enough for x264's 250 pictures between key frames, from 9 pictures a second on
UNINDEXED = re.compile(rb"\0\0\x01[\xb3\xba]|(.{4})?G.{187}(.{4})?G", re.DOTALL)
SEEK_MARGIN = 30.0
# of these, and of Ogg, ffmpeg takes as time 0 the first packet of the streams that it uses: it must
# use both for sound and pictures to have one time
RELATIVE = re.compile(UNINDEXED.pattern + b"|OggS", re.DOTALL)
UNUSED = "-sn -dn -c copy -f null -".split()
# messages of a file beyond the limits (24 is SIGXCPU), and of what is not the file's fault
BEYOND = "received signal 24|Received > 3 system signals|Cannot allocate memory"
OUTSIDE = "No space left on device|received signal"
# kinds of streams: what a file lacks without one, and the arguments that leave only them. Of
# several ffmpeg takes the one that players play: that marked as default, no cover picture
STREAMS = {"Video": ("pictures", "-an"), "Audio": ("sound track", "-vn")}
# ffmpeg's messages of a file that ends before the end of its contents
DAMAGE = "partial file|corrupt input packet|File ended prematurely"
# containers whose promised length counts from 0, not from where their first stream begins
FROM_ZERO = "Input #0, (matroska|asf)"
TOLERANCE = 0.15  # seconds: a container may promise a frame or two more than it holds
# what programs write for the size of a file that they do not know yet: this or more
UNKNOWN_SIZE = 2**31 - 2**16


def decode(
    path: str,
    start: float,
    seconds: float,
    kind: str,
    output: Sequence[str],
    read: Callable[[IO[bytes]], None] | None = None,
    alone: bool = False,
) -> tuple[np.ndarray, str]:
    """Decode ``seconds`` (NaN: all) of a file's ``Video`` or ``Audio`` from ``start`` on.

    ``output`` are ffmpeg's arguments for what it writes. Returns that, uint8 ``(bytes,)``, mapped
    from a temporary file; it is empty where ``read`` takes it from a pipe. Returns ffmpeg's
    messages about the file, too. What lies before ``start`` is skipped, but for the frames
    from the last key frame on. ``alone`` says that the file has no stream of the other kind. Raises
    UnreadableRecording where the file cannot be decoded, OSError where that is not the file's
    fault.
    """
    from imageio_ffmpeg import get_ffmpeg_exe  # late: most sound needs no ffmpeg

    head = check_file(path)
    margin = min(start, SEEK_MARGIN) if UNINDEXED.match(head) else 0.0
    length = [] if math.isnan(seconds) else ["-t", f"{seconds + margin:.6f}"]
    command = [get_ffmpeg_exe(), *OPTIONS, *_seek(start - margin), *length, *SAFE]
    command += ["-i", f"file:{path}", STREAMS[kind][1], "-sn", "-dn", *output, *_seek(margin)]
    if margin and length:  # that of the input does not bound the output behind a jump
        command += ["-t", f"{seconds:.6f}"]
    command += ["pipe:1"]
    if both := not alone and RELATIVE.match(head):
        command += [*(other for name, (_, other) in STREAMS.items() if name != kind), *UNUSED]
    with TemporaryFile() as file, TemporaryFile() as log:
        streams = {"stdout": subprocess.PIPE if read else file, "stderr": log}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams) as process:
            try:
                for resource_, limit in LIMITS.items():
                    # it has ended, or has a lower limit; macOS has no prlimit
                    with suppress(OSError, ValueError, AttributeError):
                        resource.prlimit(process.pid, resource_, (limit, limit + SECONDS))
                if read:
                    read(process.stdout)
                status = process.wait()
            finally:
                process.kill()
        log.seek(0)
        messages = log.read().decode(errors="replace")
        if both and status:  # the other kind is absent or damaged
            return decode(path, start, seconds, kind, output, read, alone=True)
        _check(path, status, messages, kind)
        some = os.fstat(file.fileno()).st_size
        return np.memmap(file, np.uint8, "r") if some else np.zeros(0, np.uint8), messages


def _seek(seconds):
    return ["-ss", f"{seconds:.6f}"] if seconds > 0 else []


def _check(path, status, messages, kind):
    if status == -signal.SIGXFSZ or (status and re.search(BEYOND, messages)):
        check_size(path, math.inf)
    if status == -signal.SIGKILL or re.search(OUTSIDE, messages):
        raise OSError(
            f"ffmpeg was stopped while it decoded {path} (status {status}); check memory and disk "
            "space and start again."
        )
    if status:
        absent = "Duration:" in messages and not has(kind, messages)
        complaint = f"has no {STREAMS[kind][0]}" if absent else "cannot be decoded"
        raise UnreadableRecording(f"{path} {complaint}; remove it or fetch it again.")


def check_file(path: str, kind: type[UserError] = UnreadableRecording) -> bytes:
    """Return how a file begins; raise an error of that ``kind`` where ``path`` is no regular file
    with contents to read."""
    try:
        # a pipe would be waited for
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise kind(f"{path} is no file; remove it or name a file.")
        with open(path, "rb") as file:
            if head := file.read(400):
                return head
            raise kind(f"{path} is empty; remove it or fetch it again.")
    except OSError as error:
        raise kind(
            f"{path} cannot be opened ({error.strerror}); check that it exists and that you may "
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


def check_end(
    path: str,
    length: float,
    messages: str,
    start: float,
    seconds: float,
    other: Callable[[], float],
) -> None:
    """Raise UnreadableRecording where a file ends before it promised.

    ``length`` is how many seconds were decoded of those from ``start`` on, ``other`` returns the
    same of the other kind of streams: a file of which one outlasts the other is complete.
    """
    head, damaged = check_file(path), re.search(DAMAGE, messages)
    whole, size = duration(messages), int.from_bytes(head[4:8], "little")
    if head[8:12] == b"AVI " and os.path.getsize(path) < size < UNKNOWN_SIZE:
        whole, damaged = whole * size / os.path.getsize(path), True  # ffmpeg tells what is there
    missing = np.fmin(whole - start, seconds) - length
    if missing > TOLERANCE and not damaged:
        missing = min(missing, missing + length - other())
    check_missing(path, missing)


def check_missing(path: str, missing: float) -> None:
    """Raise UnreadableRecording for a file whose last ``missing`` seconds are not there, inf where
    their number is unknown."""
    if missing > TOLERANCE:
        by = f"{missing:.1f} s " if math.isfinite(missing) else ""
        complaint = f"breaks off {by}before its end; remove it or fetch it again."
        raise UnreadableRecording(f"{path} {complaint}")


def duration(messages: str) -> float:
    """Return the length in seconds that a file promises, NaN where it promises none."""
    match = re.search(
        r"^ *Duration: (\d+):(\d+):(\d+\.\d+)(?:, start: ([\d.]+))?", messages, re.MULTILINE
    )
    if not match or "Estimating duration" in messages:
        return math.nan
    hours, minutes, seconds, begin = (float(number or 0) for number in match.groups())
    offset = begin if re.search(FROM_ZERO, messages) else 0.0
    return hours * 3600 + minutes * 60 + seconds - offset
