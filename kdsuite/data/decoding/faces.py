"""Where the face is in a picture, and cutting it out as a square.

The column ``face`` of :mod:`kdsuite.data.corpora` says where: empty for the centre, ``left`` or
``right`` for the centre of that half, ``crop`` for pictures that show nothing else, or the path of
a face track: boxes by frame number at 25 a second.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from kdlib.errors import InvalidCorpus, UnreadableRecording
from kdlib.parameters import Media

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


def box(face: str, width: int, height: int, crop: float) -> Box:
    """Return the box of a face without track, in a picture of this size."""
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
    malformed line.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    header = next((row for row, line in enumerate(lines) if line.split()[:1] == ["FRAME"]), None)
    if header is None:
        raise InvalidCorpus(
            f"{path} has no line that begins with FRAME, so it is no face track; fetch it again."
        )
    numbered = enumerate(lines[header + 1 :], header + 2)
    rows = [_row(line, f"line {number} of {path}") for number, line in numbered if line.strip()]
    if not rows:
        raise InvalidCorpus(f"{path} has no boxes behind its line FRAME; fetch it again.")
    return np.array(rows)


def _row(line: str, where: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != 5 or not np.isfinite(values).all() or values[0] < 0:
        raise InvalidCorpus(
            f"{where} is not a frame number and the four numbers of a box; mend it or fetch the "
            "file again."
        )
    return values


class Track:
    """The boxes of a face track file, in pixels or in fractions of the picture, by time."""

    def __init__(self, path: str) -> None:
        try:
            rows = read_track(path)  # (rows, 5)
        except OSError as error:
            raise UnreadableRecording(
                f"the face track {path} cannot be opened ({error.strerror}); see that you may read "
                "it."
            ) from None
        self._path, rows = path, rows[rows[:, 0].argsort(kind="stable")]
        self._times, self._boxes = rows[:, 0] / TRACK_RATE, rows[:, 1:]
        self._fractions = (self._boxes[:, 2:] <= 1).all()

    def box(self, time: float, width: int, height: int) -> Box:
        """Return the square around the middle of the box at ``time`` (seconds of the video).

        Between the frames of the track boxes are interpolated; before and after it the first and
        the last one hold. Raises UnreadableRecording where the box is not in the picture, which is
        ``width`` by ``height``.
        """
        scale = (width, height, width, height) if self._fractions else (1, 1, 1, 1)
        columns = zip(scale, self._boxes.T)
        x, y, w, h = (factor * np.interp(time, self._times, column) for factor, column in columns)
        side = max(w, h)
        left, top, right, bottom = square = _square(x + w / 2, y + h / 2, side)
        inside = left < width and top < height and right > 0 and bottom > 0
        if not (inside and 0 < side <= LARGEST * max(width, height)):
            raise UnreadableRecording(
                f"the face track {self._path} has at {time:.2f} s a box of {w:g} by {h:g} at "
                f"{x:g}, {y:g}, outside of the frame of {width} by {height}; mend it or leave the "
                "recording out."
            )
        return square


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
