"""Frames from a folder of still pictures, each repeated for as long as it is shown."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding import faces
from kdsuite.data.decoding.ffmpeg import check_size
from kdsuite.data.decoding.sound import check_file

PICTURES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG", "WEBP")  # what such files hold, whatever their names say


def read_stills(folder: str, media: Media, start: float, seconds: float, face: str) -> np.ndarray:
    """Return what :func:`kdsuite.data.decoding.media.read_frames` does, of a folder of pictures."""
    files = _files(folder)
    length = np.fmin(len(files) / media.picture_rate - start, seconds)
    # a hair more, because 0.28 * 25 is a little less than 7
    count = max(0, math.floor(length * media.fps + 1e-6))
    check_size(folder, count * media.frame_size**2 * 3)
    if not count:
        raise UnreadableRecording(
            f"the folder {folder} has no pictures from {start:g} s on; put them there or leave the "
            "recording out."
        )
    times = start + np.arange(count) / media.fps
    numbers = (times * media.picture_rate + 1e-6).astype(int).clip(max=len(files) - 1)
    shown, repeated = np.unique(numbers, return_inverse=True)
    track = faces.Track(face) if faces.is_track(face) else None
    cuts = [_cut(files[n], n / media.picture_rate, media, face, track) for n in shown]
    return np.stack(cuts)[repeated]


def _files(folder: str) -> list[Path]:
    """Return the pictures of a folder in the order of their names, numbers in them by value."""
    try:
        files = [file for file in Path(folder).iterdir() if file.suffix.lower() in PICTURES]
    except OSError as error:
        raise UnreadableRecording(
            f"the folder {folder} cannot be opened ({error.strerror}); see that you may read it."
        ) from None
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        raise UnreadableRecording(
            f"the folder {folder} holds no pictures ({', '.join(PICTURES)}); put them there or "
            "leave the recording out."
        )
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[int | str]:
    parts = re.split(r"(\d+)", file.stem)
    return [int(part) if part.isdecimal() else part for part in parts]


def _cut(file: Path, time: float, media: Media, face: str, track: faces.Track | None) -> np.ndarray:
    from PIL import Image, ImageOps

    check_file(str(file))
    try:
        # of other formats Pillow hands some to further programs
        with Image.open(file, formats=FORMATS) as image:
            picture = ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # of a damaged file Pillow raises errors of many kinds
        raise UnreadableRecording(
            f"{file} cannot be decoded as a picture; remove it or fetch it again."
        ) from None
    size = picture.size
    box = track.box(time, *size) if track else faces.box(face, *size, media.crop)
    return faces.cut(picture, box, media.frame_size)
