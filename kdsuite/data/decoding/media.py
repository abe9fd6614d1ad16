"""Decode one recording: sound as :mod:`kdsuite.data.decoding.sound` reads it, pictures (and the sound of the same file) by one process of ffmpeg."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding import faces
from kdsuite.data.decoding.ffmpeg import LARGEST, Decoding, damaged, decoded, duration, has, too_much
from kdsuite.data.decoding.sound import check_file, long_enough, read_sound, sound_output, sound_track

PICTURES = (".jpg", ".jpeg", ".png")
STILLS = ("JPEG", "PNG", "WEBP")  # what such files hold, whatever their names say
# a container may promise a frame or two more than it holds
MISSING_FRAMES = 3


def read_recording(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    """Return sound and frames of a recording, a row of the table of :mod:`kdsuite.data.corpora`, cut to their common length.

    Sound is float32 ``(samples,)`` in -1 to 1, frames are uint8 ``(frames, height, width, 3)``, with exactly ``sample_rate / fps``
    samples a frame, so that time means the same in both. Without video there are no frames, and the sound keeps its length. Raises
    UnreadableRecording.
    """
    if not recording.video:
        return read_sound(recording.audio, media, recording.audio_start, recording.seconds), np.zeros(_shape(0, media), np.uint8)
    return common(recording, *(_together if _is_together(recording) else _apart)(recording, media), media)


def common(recording, samples: np.ndarray, frames: np.ndarray, media: Media) -> tuple[np.ndarray, np.ndarray]:
    """Cut sound ``(samples,)`` and frames ``(frames, …)`` (or timed rows of measurements) to the whole frames that both have.

    Raises UnreadableRecording where there is none.
    """
    a_frame = media.sample_rate // media.fps
    count = min(len(frames), len(samples) // a_frame)
    if not count:
        raise UnreadableRecording(
            f"recording {recording.recording} has less than one frame of sound and pictures together; mend its start and length or leave it out."
        )
    return samples[: count * a_frame], frames[:count]


def _is_together(recording) -> bool:
    """Return whether sound and frames are the same part of one file, and come out of one process."""
    same = recording.audio == recording.video and recording.audio_start == recording.video_start
    return same and not faces.is_track(recording.face)


def _apart(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    samples = read_sound(recording.audio, media, recording.audio_start, recording.seconds)
    still = os.path.isdir(recording.video)  # pictures of a whole interview: no more of them than there is sound
    seconds = np.fmin(recording.seconds, len(samples) / media.sample_rate) if still else recording.seconds
    frames = read_frames(recording.video, media, recording.video_start, seconds, recording.face)
    if still:  # too few pictures are shown again, for they must not shorten the sound
        count = max(len(frames), len(samples) * media.fps // media.sample_rate)
        _check_size(count, recording.video, media)
        frames = frames[np.arange(count) % len(frames)]
    return samples, frames


def _together(recording, media: Media) -> tuple[np.ndarray, np.ndarray]:
    path, part = recording.video, (recording.video_start, recording.seconds)
    check_file(path)
    (pixels, sound), messages = decoded(path, *part, _picture_output(recording.face, media), sound_output(media))
    frames, samples = _framed(pixels, media), sound.view(np.float32)
    _check_end(path, len(frames), len(samples) / media.sample_rate, messages, media, *part)
    return long_enough(samples, path, media, recording.audio_start), frames


def read_frames(path: str, media: Media, start: float = 0.0, seconds: float = math.nan, face: str = "") -> np.ndarray:
    """Return frames as uint8 RGB ``(frames, frame_size, frame_size, 3)`` at ``media.fps`` a second: ``seconds`` (NaN: all) from ``start`` on.

    Of each frame the face is cut out (see :mod:`kdsuite.data.decoding.faces`; of the centre, ``media.crop`` of the shorter side) and
    scaled. ``path`` is a video, or a folder of still pictures, ``media.picture_rate`` a second in the order of their
    names. Raises UnreadableRecording for a damaged or cut-off file.
    """
    if os.path.isdir(path):
        return _still_frames(path, media, start, seconds, face)
    check_file(path)
    read = _tracked_frames if faces.is_track(face) else _placed_frames
    frames, messages = read(path, media, start, seconds, face)
    _check_end(path, len(frames), None, messages, media, start, seconds)
    return frames


def _placed_frames(path: str, media: Media, start: float, seconds: float, face: str) -> tuple[np.ndarray, str]:
    (pixels,), messages = decoded(path, start, seconds, _picture_output(face, media))
    return _framed(pixels, media), messages


def _tracked_frames(path: str, media: Media, start: float, seconds: float, face: str) -> tuple[np.ndarray, str]:
    """Cut each frame by itself, because the box moves; only one whole frame is in memory at a time."""
    track, cuts = faces.Track(face), []
    # PPM, because it tells the size of the frame
    whole = ["-map", "0:v:0", "-vf", _rate(media), "-c:v", "ppm", "-f", "image2pipe"]
    with Decoding(path, start, seconds, {"pipe:1": whole}) as decoding:
        while frame := _next_picture(decoding.stdout):
            box = track.box(start + len(cuts) / media.fps, *frame.size)
            cuts.append(faces.cut(frame, box, media.frame_size))
            _check_size(len(cuts), path, media)
        return np.array(cuts, np.uint8).reshape(_shape(len(cuts), media)), decoding.messages()


def _next_picture(stream):
    """Return the next of several PPM pictures one after the other, None at the end, which may be in the middle of one."""
    from PIL import Image

    lines = [stream.readline() for _ in range(3)]  # the format, width and height, the highest value
    if not lines[2]:
        return None
    width, height = map(int, lines[1].split())
    pixels = stream.read(3 * width * height)
    return Image.frombytes("RGB", (width, height), pixels) if len(pixels) == 3 * width * height else None


def _picture_output(face: str, media: Media) -> list[str]:
    chain = f"{_rate(media)},{faces.filters(face, media)}"
    return ["-map", "0:v:0", "-vf", chain, "-pix_fmt", "rgb24", "-f", "rawvideo"]


def _rate(media: Media) -> str:
    # a video that begins late is filled up with its first frame
    return f"fps={media.fps}:start_time=0"


def _shape(count: int, media: Media) -> tuple[int, int, int, int]:
    return count, media.frame_size, media.frame_size, 3


def _check_size(count: int, path: str, media: Media) -> None:
    """Raise UnreadableRecording for more frames than a decoded file may have."""
    if math.prod(_shape(count, media)) > LARGEST:
        raise UnreadableRecording(too_much(path))


def _framed(pixels: np.ndarray, media: Media) -> np.ndarray:
    whole = len(pixels) // math.prod(_shape(1, media))
    return pixels[: whole * math.prod(_shape(1, media))].reshape(_shape(whole, media))


def _check_end(path: str, frames: int, sound: float | None, messages: str, media: Media, start: float, seconds: float) -> None:
    """Raise UnreadableRecording where a file ends before it promised; ``sound`` is how long its sound was, None if not decoded.

    A file whose sound outlasts its pictures is whole.
    """
    if not frames:
        raise UnreadableRecording(f"{path} has no pictures{f' from {start:g} s on' if start else ''}; remove it or fetch it again.")
    promised = np.fmin(duration(messages) - start, seconds)
    missing = 0 if math.isnan(promised) else round(promised * media.fps) - frames
    if missing <= MISSING_FRAMES:
        return
    if sound is None and has("Audio", messages):
        sound = len(sound_track(path, media, start, seconds)) / media.sample_rate
    if damaged(messages) or sound is None or sound * media.fps + MISSING_FRAMES < promised * media.fps:
        raise UnreadableRecording(f"{path} breaks off {missing} frames before its end; remove it or fetch it again.")


def _still_frames(folder: str, media: Media, start: float, seconds: float, face: str) -> np.ndarray:
    """Repeat each picture of a folder for as long as it is shown."""
    files = _stills(folder)
    end = np.fmin(len(files) / media.picture_rate, start + seconds)
    # a hair more, because 0.28 * 25 is a little less than 7
    count = max(0, math.floor((end - start) * media.fps + 1e-6))
    _check_size(count, folder, media)
    times = start + np.arange(count) / media.fps
    shown, again = np.unique((times * media.picture_rate + 1e-6).astype(int).clip(max=len(files) - 1), return_inverse=True)
    if not len(shown):
        raise UnreadableRecording(f"the folder {folder} has no pictures from {start:g} s on; put them there or leave the recording out.")
    track = faces.Track(face) if faces.is_track(face) else None
    cuts = [_still(files[number], number / media.picture_rate, media, face, track) for number in shown]
    return np.stack(cuts)[again]


def _stills(folder: str) -> list[Path]:
    """Return the pictures of a folder in the order of their names, numbers in them by their value."""
    try:
        files = [file for file in Path(folder).iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")]
    except OSError as error:
        raise UnreadableRecording(f"the folder {folder} cannot be opened ({error.strerror}); see that you may read it.") from None
    if not files:
        raise UnreadableRecording(
            f"the folder {folder} holds no pictures ({', '.join(PICTURES)}); put them there or leave the recording out."
        )
    return sorted(files, key=lambda file: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.stem)])


def _still(file: Path, time: float, media: Media, face: str, track: faces.Track | None) -> np.ndarray:
    from PIL import Image, ImageOps

    check_file(str(file))
    try:
        with Image.open(file, formats=STILLS) as opened:  # of others Pillow hands some to further programs
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except Exception:  # of a damaged file Pillow raises errors of many kinds
        raise UnreadableRecording(f"{file} cannot be decoded as a picture; remove it or fetch it again.") from None
    box = track.box(time, *picture.size) if track else faces.box(face, *picture.size, media.crop)
    return faces.cut(picture, box, media.frame_size)
