"""Faces found by a detector where the corpus has no face track (``media.face: detect``).

The detector is that of dlib, an optional package: histograms of oriented gradients, which find
upright faces that look towards the camera. Each part of a video gets one face track in
``data/faces``, as :mod:`.faces` reads it; frames of another size use it again.
"""

import math
from functools import cache
from pathlib import Path
from threading import Lock, get_ident

import numpy as np
import pandas as pd

from kdlib.errors import InvalidParameter
from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.data import STORE_FORMAT
from kdsuite.data.contents import hashes
from kdsuite.data.decoding.faces import PARTS, TRACK_RATE, is_track
from kdsuite.data.decoding.media import read_frames
from kdsuite.parameters import Media
from kdsuite.settings import Settings

RATE = 5  # pictures a second that are looked at
LONGER_SIDE = 640  # pixels of what the detector sees, at most: its time grows with the area
# the detector's boxes go from brow to chin; so much larger they are those of VGGFace2
LARGER = 1.3
WRITING = Lock()  # threads of one process have one temporary name


def track_files(recordings: pd.DataFrame, settings: Settings) -> list[Path | None]:
    """Return where the detected track of each recording lies or will lie; None where no face is to
    be found: there is no video, or the corpus has a track or pictures of faces only."""
    media = settings.media
    if media.face != "detect":
        return [None] * len(recordings)
    content = hashes(recordings.video, settings.corpus)
    found_with = [STORE_FORMAT, RATE, LONGER_SIDE, LARGER, media.picture_rate]
    parts = recordings[["video", "video_start", "seconds", "face"]].values.tolist()
    return [
        paths.DATA / "faces" / digest([*found_with, content[video], *part])
        if video and part[-1] in PARTS
        else None
        for video, *part in parts
    ]


def placed(recording, media: Media, file: Path | None):
    """Return a row of the table of recordings with its face where ``media.face`` wants it.

    A detected track is written to ``file`` unless it is there. Where no face is found the centre
    stays. Raises InvalidParameter where dlib is absent, and UnreadableRecording.
    """
    face = recording.face
    if file and not file.exists():
        track = _track(recording, media)
        with WRITING:
            paths.write_text(file, track)
    if file and share(file):
        face = str(file)
    elif media.face == "centre" and is_track(face):
        face = ""
    return recording._replace(face=face)


def share(file: Path) -> float:
    """Return in which share of the pictures that were looked at a detected track has a face."""
    pictures, _, *rows = file.read_text().splitlines()
    return len(rows) / int(pictures)


def _track(recording, media):
    """Return the text of a detected track: how many pictures were looked at, and the boxes."""
    pictures, rows, (begin, end) = [], [], PARTS[recording.face]

    def see(picture, time):
        """Note the faces in the recording's part of a picture."""
        pictures.append(time)
        for x, y, side in detect(picture):
            if begin <= x / picture.width <= end:
                rows.append((time * TRACK_RATE, x, y, side))
        return np.zeros(3 * media.frame_size**2, np.uint8)

    sampled = media.model_copy(update={"fps": RATE})
    part = recording.video, sampled, recording.video_start, recording.seconds
    read_frames(*part, see)
    faces = pd.DataFrame(rows, columns=["FRAME", "X", "Y", "W"])
    return f"{len(pictures)}\n{follow(faces).round(2).to_csv(sep=' ', index=False)}"


def follow(faces: pd.DataFrame) -> pd.DataFrame:
    """Return the box of one face for each picture that has any: columns FRAME, X, Y, W and H.

    ``faces`` are those of all pictures: frame number, centre and side. It is the face that is
    nearest to where the largest ones usually are. Its way is smoothed over a second, its size over
    five, because the detector's sizes are steps of a fifth.
    """
    usual = faces.loc[faces.W.groupby(faces.FRAME).idxmax()].median()
    # the frame number is one for all faces of a picture
    distance = (faces - usual).abs().sum(axis=1)
    face = faces.loc[distance.groupby(faces.FRAME).idxmin()]
    way, size = (face.rolling(n, 1, center=True).median() for n in (RATE, 5 * RATE))
    corner = way[["X", "Y"]].sub(size.W / 2, axis=0)
    return face[["FRAME"]].join(corner).assign(W=size.W, H=size.W)


def detect(picture) -> list[tuple[float, float, float]]:
    """Return the faces in a Pillow picture, in its pixels: x and y of the centre, and the side of a
    square.

    Where there are none, smaller ones are looked for, from 40 pixels on in place of 80. Raises
    InvalidParameter where dlib is absent.
    """
    factor = math.ceil(max(picture.size) / LONGER_SIDE)
    find, pixels = _detector(get_ident()), np.asarray(picture.convert("L").reduce(factor))
    boxes = find(pixels) or find(pixels, 1)
    return [
        (factor * box.dcenter().x, factor * box.dcenter().y, factor * LARGER * box.width())
        for box in boxes
    ]


@cache
def _detector(thread):
    """Return the detector of a thread: it keeps what it works on."""
    try:
        from dlib import get_frontal_face_detector  # late: an optional package
    except ImportError:
        raise InvalidParameter(
            "parameter 'media.face' is 'detect', but dlib is not installed; pip install "
            "'kdlib[faces]', or choose centre or track."
        ) from None
    return get_frontal_face_detector()
