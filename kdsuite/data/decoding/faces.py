"""Where the face is in a picture, and cutting it out as a square.

The column ``face`` of :mod:`kdsuite.data.corpora` says where: empty for the centre, ``left`` or
``right`` for the centre of that half, ``crop`` for pictures that show nothing else, or the path of
a face track: boxes by frame number at 25 a second.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kdlib.errors import InvalidCorpus, UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.decoding.ffmpeg import check_file
from kdsuite.data.reading import read_text

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

CROP = "crop"
# which part of a picture's width has the face: from where to where
PARTS = {"": (0.0, 1.0), "left": (0.0, 0.5), "right": (0.5, 1.0)}
TRACK_RATE = 25  # frames a second that the numbers in face tracks count
# a box larger than this many pictures is a slip of the pen, and would fill the memory with padding
LARGEST = 3


def is_track(face: str) -> bool:
    """Return whether ``face`` names a face track file."""
    return face not in (*PARTS, CROP)


def filters(face: str, media: Media) -> str:
    """Return ffmpeg's filters that cut out a face without track and scale it to the frame size."""
    scale = f"scale={media.frame_size}:{media.frame_size}:flags=bicubic"
    if face == CROP:
        return scale
    begin, end = PARTS[face]
    half = f"crop=iw*{end - begin}:ih:iw*{begin}:0," if face else ""
    side = rf"min(iw\,ih)*{media.crop}"
    return f"{half}crop={side}:{side},{scale}"


def finder(face: str, crop: float) -> Callable[[float, int, int], Box]:
    """Return a function that returns the box of a face.

    Its parameters are the time (seconds of the video), width and height of a picture. Between the
    frames of a track boxes are interpolated; before and after it the first and the last one hold.
    Raises InvalidCorpus and UnreadableRecording where a track cannot be used; the function raises
    the latter where the box is not in the picture.
    """
    if not is_track(face):
        return lambda time, width, height: _box(face, width, height, crop)
    check_file(face)
    rows = read_track(face)  # (rows, 5)
    rows = rows[rows[:, 0].argsort(kind="stable")]
    times, fractions = rows[:, 0] / TRACK_RATE, (rows[:, 3:] <= 1).all()

    def find(time: float, width: int, height: int) -> Box:
        scale = np.array([width, height] * 2) if fractions else np.ones(4)
        x, y, w, h = scale * [np.interp(time, times, column) for column in rows[:, 1:].T]
        side = max(w, h)
        left, top, right, bottom = square = _square(x + w / 2, y + h / 2, side)
        inside = left < width and top < height and right > 0 and bottom > 0
        if not (inside and 0 < side <= LARGEST * max(width, height)):
            raise UnreadableRecording(
                f"the face track {face} has at {time:.2f} s a box of {w:g} by {h:g} at {x:g}, "
                f"{y:g}, outside of the frame of {width} by {height}; mend it or leave the "
                "recording out."
            )
        return square

    return find


def _box(face: str, width: int, height: int, crop: float) -> Box:
    if face == CROP:
        return 0.0, 0.0, float(width), float(height)
    begin, end = PARTS[face]
    side = crop * min((end - begin) * width, height)
    return _square((begin + end) / 2 * width, height / 2, side)


def _square(x: float, y: float, side: float) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def read_track(path: str | Path) -> np.ndarray:
    """Return a face track, ``(rows, 5)``: frame number, then left, top, width, height of the box.

    The box is in pixels, or in fractions of the frame as in VoxCeleb2. Raises InvalidCorpus for a
    malformed file.
    """
    _, _, rows = f"\n{read_text(path)}".partition("\nFRAME")
    rows = [row for row in rows.splitlines()[1:] if row.strip()]
    try:
        if not rows:
            raise ValueError("there is none")
        boxes = np.loadtxt(rows, ndmin=2, comments=None)
        if boxes.shape[1] != 5 or not np.isfinite(boxes).all() or boxes[:, 0].min() < 0:
            raise ValueError("a row is no frame number and the four numbers of a box")
    except ValueError as error:
        raise InvalidCorpus(
            f"{path} is no face track, a line that begins with FRAME and boxes below ({error}); "
            "mend it or fetch it again."
        ) from None
    return boxes


def cut(picture, box: Box, size: int) -> np.ndarray:
    """Cut ``box`` out of a Pillow picture and scale it to uint8 RGB ``(size, size, 3)``.

    Beyond the picture its edge is repeated.
    """
    from PIL import Image

    left, top, right, bottom = box
    beyond = math.ceil(max(0.0, -left, -top, right - picture.width, bottom - picture.height))
    if beyond:
        padding = ((beyond, beyond), (beyond, beyond), (0, 0))
        picture = Image.fromarray(np.pad(np.asarray(picture), padding, "edge"))
    moved = tuple(edge + beyond for edge in box)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=moved))
