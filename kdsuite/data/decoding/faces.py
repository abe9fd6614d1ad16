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


def cutter(face: str | Callable, media: Media) -> Callable[..., np.ndarray]:
    """Return a function that cuts the face out of a Pillow picture and scales it to uint8 RGB
    ``(frame_size, frame_size, 3)``.

    Its parameters are the picture and its time (seconds of the video); such a function is returned
    as it is. Between the frames of a track boxes are interpolated; before and after it the first
    and the last one hold. Beyond the picture its edge is repeated. Raises InvalidCorpus and
    UnreadableRecording where a track cannot be used; the function raises the latter where the box
    is not in the picture.
    """
    from PIL import Image

    if callable(face):
        return face
    rows = np.zeros((0, 5))
    if is_track(face):
        check_file(face)
        rows = read_track(face)
        rows = rows[rows[:, 0].argsort(kind="stable")]
    times, fractions = rows[:, 0] / TRACK_RATE, (rows[:, 3:] <= 1).all()

    def cut(picture, time):
        """Return the resized square of the face in a picture at ``time`` seconds."""
        width, height = picture.size
        if face in PARTS:
            begin, end = PARTS[face]
            side = media.crop * min((end - begin) * width, height)
            x, y = (begin + end) / 2 * width, height / 2
        elif is_track(face):
            scale = np.array([width, height] * 2) if fractions else np.ones(4)
            left, top, w, h = scale * [np.interp(time, times, column) for column in rows[:, 1:].T]
            x, y, side = left + w / 2, top + h / 2, max(w, h)
            inside = 0 < x + side / 2 < width + side and 0 < y + side / 2 < height + side
            if not (inside and 0 < side <= LARGEST * max(width, height)):
                raise UnreadableRecording(
                    f"the face track {face} has at {time:.2f} s a box of {w:g} by {h:g} at"
                    f" {left:g}, {top:g}, outside of the frame of {width} by {height}; correct it"
                    " or leave the recording out."
                )
        box = 0, 0, width, height
        if face != CROP:
            box = x - side / 2, y - side / 2, x + side / 2, y + side / 2
        beyond = math.ceil(max(0, -box[0], -box[1], box[2] - width, box[3] - height))
        if beyond:
            padding = ((beyond, beyond), (beyond, beyond), (0, 0))
            picture = Image.fromarray(np.pad(np.asarray(picture), padding, "edge"))
        moved, size = [edge + beyond for edge in box], (media.frame_size, media.frame_size)
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=moved))

    return cut


def read_track(path: str | Path) -> np.ndarray:
    """Return a face track, ``(rows, 5)``: frame number, then left, top, width, height of the box.

    The box is in pixels of the frame as players show it, or in fractions as in VoxCeleb2. Raises
    InvalidCorpus for a malformed file.
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
            "correct it or fetch it again."
        ) from None
    return boxes
