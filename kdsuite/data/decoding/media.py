"""Decode one recording: its sound, and its pictures from a video or a folder."""

import math
import os
import re
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding import faces
from kdsuite.data.decoding.ffmpeg import check_end, check_file, check_size, decode, has
from kdsuite.data.decoding.sound import read_sound, sound_track

PICTURE = re.compile(r"[^.].*\.(jpg|jpeg|png)", re.IGNORECASE | re.DOTALL)
FORMATS = ("JPEG", "PNG", "WEBP")  # what such files hold, whatever their names say


def read_recording(
    recording, media: Media, measured: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sound and frames of a row of the table of recordings, cut to their common length.

    Sound is float32 ``(samples,)`` in -1 to 1, frames are uint8 ``(frames, height, width, 3)``,
    with exactly ``sample_rate / fps`` samples a frame, so that time means the same in both. Rows of
    measurements ``measured`` ``(frames, measurements)`` may stand for the frames. Without either
    there are no frames, and the sound keeps its length. Raises UnreadableRecording.
    """
    seconds, video, frames = recording.seconds, recording.video, measured
    samples = read_sound(recording.audio, media, recording.audio_start, seconds)
    if video:
        if os.path.isdir(video):  # as many pictures of an interview as there is sound
            seconds = len(samples) / media.sample_rate
        frames = read_frames(video, media, recording.video_start, seconds, recording.face)
    if frames is None:
        return samples, np.zeros(_shape(0, media), np.uint8)
    sound_frames = len(samples) // media.samples_per_frame
    if len(frames) == 1 and video:  # a cover picture, which must not shorten the sound
        check_size(video, math.prod(_shape(sound_frames, media)))
        frames = np.broadcast_to(frames, _shape(sound_frames, media))
    count = min(len(frames), sound_frames)
    if 2 * count < max(len(frames), sound_frames):
        of_frames, of_sound = (number / media.fps for number in (len(frames), sound_frames))
        raise UnreadableRecording(
            f"recording {recording.recording} has {of_sound:.2f} s of sound, but {of_frames:.2f} s "
            "of pictures, so that most of it would be lost; correct its start and length or leave "
            "it out."
        )
    return samples[: count * media.samples_per_frame], frames[:count]


def read_frames(
    path: str,
    media: Media,
    start: float = 0.0,
    seconds: float = math.nan,
    face: str | Callable = "",
) -> np.ndarray:
    """Return ``seconds`` (NaN: all) of a file's pictures from ``start`` on.

    They are uint8 RGB ``(frames, frame_size, frame_size, 3)`` at ``media.fps`` a second. The face
    is cut out of each (see :mod:`.faces`; of the centre, ``media.crop`` of the shorter side) and
    scaled; ``face`` may also be a function as :func:`.faces.cutter` returns. ``path`` is a video,
    or a folder of still pictures, ``media.picture_rate`` a second in the order of their names,
    shown again where they are too few. Raises UnreadableRecording for a damaged or cut-off file.
    """
    if os.path.isdir(path):
        return _stills(path, media, start, seconds, face)
    # a video that begins late shows its first frame longer, and pixels that are not square as
    # players do
    shown = f"fps={media.fps}:start_time=0,scale=iw*sar:ih"
    output, size = ["-vf", shown], math.prod(_shape(1, media))
    if faces.is_track(face):  # cut by itself, for the box moves
        cut, cuts = faces.cutter(face, media), []

        def read(stream):
            while picture := _next_picture(stream):
                cuts.append(cut(picture, start + len(cuts) / media.fps))
                check_size(path, len(cuts) * size)

        # PPM, because it has the size of the picture; of 8 bits whatever the video has
        output += ["-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe"]
        _, messages = decode(path, start, seconds, "Video", output, read)
        pixels = np.array(cuts, np.uint8).ravel()
    else:
        output[-1] += f",{faces.filters(face, media)}"
        output += ["-pix_fmt", "rgb24", "-f", "rawvideo"]
        pixels, messages = decode(path, start, seconds, "Video", output)
    count = len(pixels) // size
    if not count:
        where = f" from {start:g} s on" if start else ""
        raise UnreadableRecording(f"{path} has no pictures{where}; remove it or fetch it again.")

    def sound():
        """Return how many seconds of sound there are."""
        audio = sound_track(path, media, start, seconds) if has("Audio", messages) else ()
        return len(audio) / media.sample_rate

    check_end(path, count / media.fps, messages, start, seconds, sound)
    return pixels[: count * size].reshape(_shape(count, media))


def _stills(folder, media, start, seconds, face):
    """Return the pictures of a folder, each repeated for as long as it is shown."""
    try:
        names = sorted(filter(PICTURE.fullmatch, os.listdir(folder)), key=_natural)
    except OSError as error:
        raise UnreadableRecording(
            f"the folder {folder} cannot be opened ({error.strerror}); check its permissions."
        ) from None
    # a hair more, because 0.28 * 25 is a little less than 7
    there = math.floor((len(names) / media.picture_rate - start) * media.fps + 1e-6)
    count = there if math.isnan(seconds) else math.floor(seconds * media.fps + 1e-6)
    check_size(folder, math.prod(_shape(count, media)))
    if min(there, count) < 1:
        raise UnreadableRecording(
            f"the folder {folder} has no pictures (.jpg, .jpeg, .png) from {start:g} s on; put "
            "them there or leave the recording out."
        )
    times = start + np.arange(count) % there / media.fps
    numbers = (times * media.picture_rate + 1e-6).astype(int).clip(max=len(names) - 1)
    shown, repeated = np.unique(numbers, return_inverse=True)
    cut = faces.cutter(face, media)
    cuts = [
        cut(_picture(os.path.join(folder, names[number])), number / media.picture_rate)
        for number in shown
    ]
    return np.stack(cuts)[repeated]


def _natural(name):
    """Return a key to sort names by, numbers in them by value."""
    parts = re.findall(r"(\d*)(\D*)", os.path.splitext(name)[0])
    return [(int(number or 0), word) for number, word in parts]


def _picture(file):
    """Return a Pillow picture in RGB, the right side up."""
    from PIL import Image, ImageOps

    check_file(file)
    try:
        # of other formats Pillow hands some to further programs
        with Image.open(file, formats=FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # of a damaged file Pillow raises errors of many kinds
        raise UnreadableRecording(
            f"{file} cannot be decoded as a picture; remove it or fetch it again."
        ) from None


def _next_picture(stream):
    """Return the next PPM picture of a stream, None at its end, which may be within a picture."""
    from PIL import Image

    _, size, _ = (stream.readline() for _ in range(3))  # format and highest value
    with suppress(ValueError):
        width, height = map(int, size.split())
        return Image.frombytes("RGB", (width, height), stream.read(3 * width * height))
    return None


def _shape(count, media):
    return count, media.frame_size, media.frame_size, 3
