"""Decode one recording: its sound, and its pictures from a video or a folder."""

from __future__ import annotations

import math
import os

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding import faces
from kdsuite.data.decoding.ffmpeg import Decoding, check_size, damaged, decoded, duration, has
from kdsuite.data.decoding.sound import check_file, checked, read_sound, sound_output, sound_track
from kdsuite.data.decoding.stills import read_stills

# a container may promise a frame or two more than it holds
MISSING_FRAMES = 3


def read_recording(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    """Return sound and frames of a row of the table of recordings, cut to their common length.

    Sound is float32 ``(samples,)`` in -1 to 1, frames are uint8 ``(frames, height, width, 3)``,
    with exactly ``sample_rate / fps`` samples a frame, so that time means the same in both. Without
    video there are no frames, and the sound keeps its length. Raises UnreadableRecording.
    """
    if not recording.video:
        samples = read_sound(recording.audio, media, recording.audio_start, recording.seconds)
        return samples, np.zeros(_shape(0, media), np.uint8)
    same_file = recording.audio == recording.video
    same_part = same_file and recording.audio_start == recording.video_start
    one_process = same_part and not faces.is_track(recording.face)
    samples, frames = (_together if one_process else _apart)(recording, media)
    return common(recording, samples, frames, media)


def common(
    recording, samples: np.ndarray, frames: np.ndarray, media: Media
) -> tuple[np.ndarray, np.ndarray]:
    """Cut sound ``(samples,)`` and frames ``(frames, …)`` to the complete frames that both have.

    The frames may be timed rows of measurements. Raises UnreadableRecording where there is none.
    """
    samples_per_frame = media.sample_rate // media.fps
    count = min(len(frames), len(samples) // samples_per_frame)
    if not count:
        raise UnreadableRecording(
            f"recording {recording.recording} has less than one frame of sound and pictures "
            "together; mend its start and length or leave it out."
        )
    return samples[: count * samples_per_frame], frames[:count]


def _apart(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    seconds, video = recording.seconds, recording.video
    samples = read_sound(recording.audio, media, recording.audio_start, seconds)
    stills = os.path.isdir(video)
    if stills:  # pictures of an interview: no more of them than there is sound
        seconds = np.fmin(seconds, len(samples) / media.sample_rate)
    frames = read_frames(video, media, recording.video_start, seconds, recording.face)
    if stills:  # too few pictures are shown again, for they must not shorten the sound
        count = max(len(frames), len(samples) * media.fps // media.sample_rate)
        check_size(video, math.prod(_shape(count, media)))
        frames = frames[np.arange(count) % len(frames)]
    return samples, frames


def _together(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    path, start, seconds = recording.video, recording.video_start, recording.seconds
    check_file(path)
    outputs = _picture_output(recording.face, media), sound_output(media)
    (pixels, sound), messages = decoded(path, start, seconds, *outputs)
    frames, samples = _framed(pixels, media), sound.view(np.float32)
    _check_end(path, len(frames), len(samples), messages, media, start, seconds)
    return checked(samples, path, media, start), frames


def read_frames(
    path: str, media: Media, start: float = 0.0, seconds: float = math.nan, face: str = ""
) -> np.ndarray:
    """Return ``seconds`` (NaN: all) of a file's pictures from ``start`` on.

    They are uint8 RGB ``(frames, frame_size, frame_size, 3)`` at ``media.fps`` a second. The face
    is cut out of each (see :mod:`.faces`; of the centre, ``media.crop`` of the shorter side) and
    scaled. ``path`` is a video, or a folder of still pictures, ``media.picture_rate`` a second in
    the order of their names. Raises UnreadableRecording for a damaged or cut-off file.
    """
    if os.path.isdir(path):
        return read_stills(path, media, start, seconds, face)
    check_file(path)
    if faces.is_track(face):
        frames, messages = _tracked_frames(path, media, start, seconds, face)
    else:
        (pixels,), messages = decoded(path, start, seconds, _picture_output(face, media))
        frames = _framed(pixels, media)
    _check_end(path, len(frames), None, messages, media, start, seconds)
    return frames


def _tracked_frames(
    path: str, media: Media, start: float, seconds: float, face: str
) -> tuple[np.ndarray, str]:
    """Cut each frame by itself, because the box moves; only one complete picture is in memory."""
    track, cuts = faces.Track(face), []
    # PPM, because it has the size of the picture
    output = ["-map", "0:v:0", "-vf", _rate(media), "-c:v", "ppm", "-f", "image2pipe"]
    with Decoding(path, start, seconds, {"pipe:1": output}) as decoding:
        while picture := _next_picture(decoding.stdout):
            box = track.box(start + len(cuts) / media.fps, *picture.size)
            cuts.append(faces.cut(picture, box, media.frame_size))
            check_size(path, math.prod(_shape(len(cuts), media)))
        messages = decoding.messages()
    return np.array(cuts, np.uint8).reshape(_shape(len(cuts), media)), messages


def _next_picture(stream):
    """Return the next PPM picture of a stream, None at its end, which may be within a picture."""
    from PIL import Image

    _, size, highest = (stream.readline() for _ in range(3))  # the first one is the format
    if not highest:
        return None
    width, height = map(int, size.split())
    pixels = stream.read(3 * width * height)
    complete = len(pixels) == 3 * width * height
    return Image.frombytes("RGB", (width, height), pixels) if complete else None


def _picture_output(face: str, media: Media) -> list[str]:
    chain = f"{_rate(media)},{faces.filters(face, media)}"
    return ["-map", "0:v:0", "-vf", chain, "-pix_fmt", "rgb24", "-f", "rawvideo"]


def _rate(media: Media) -> str:
    # a video that begins late is filled up with its first frame
    return f"fps={media.fps}:start_time=0"


def _shape(count: int, media: Media) -> tuple[int, int, int, int]:
    return count, media.frame_size, media.frame_size, 3


def _framed(pixels: np.ndarray, media: Media) -> np.ndarray:
    size = math.prod(_shape(1, media))
    count = len(pixels) // size
    return pixels[: count * size].reshape(_shape(count, media))


def _check_end(
    path: str,
    frames: int,
    samples: int | None,
    messages: str,
    media: Media,
    start: float,
    seconds: float,
) -> None:
    """Raise UnreadableRecording where a file ends before it promised.

    A file whose sound outlasts its pictures is complete; ``samples`` is None where the sound was
    not decoded.
    """
    if not frames:
        where = f" from {start:g} s on" if start else ""
        raise UnreadableRecording(f"{path} has no pictures{where}; remove it or fetch it again.")
    promised = np.fmin(duration(messages) - start, seconds) * media.fps
    missing = 0 if math.isnan(promised) else round(promised) - frames
    if missing <= MISSING_FRAMES:
        return
    if samples is None and has("Audio", messages):
        samples = len(sound_track(path, media, start, seconds))
    sound = (samples or 0) / media.sample_rate * media.fps
    if damaged(messages) or sound + MISSING_FRAMES < promised:
        raise UnreadableRecording(
            f"{path} breaks off {missing} frames before its end; remove it or fetch it again."
        )
