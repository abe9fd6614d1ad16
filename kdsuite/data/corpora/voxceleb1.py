"""VoxCeleb1 (Nagrani et al. 2017): utterances of celebrities, cut from interviews on YouTube.

Sound lies in ``wav/id10001/<youtube id>/00001.wav`` (or below ``dev``, ``test``; or ``m4a``,
``aac``), lists of verification trials beside it. The makers do not distribute the video; whichever
of these people have is used: videos of face crops, ``mp4/id10001/<youtube id>/00001.mp4``; folders
of crops at one picture a second, ``unzippedFaces/<VGGFace1 ID>/1.6/<youtube id>``; or the videos
themselves, ``video/<youtube id>.mp4``, with the owners' face tracks,
``txt/id10001/<youtube id>/00001.txt``.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data import COLUMNS, SOUND_FILES, VIDEO_FILES
from kdsuite.data.decoding.faces import CROP, TRACK_RATE, read_track
from kdsuite.data.reading import find, read_lines
from kdsuite.parameters import Corpus

META, SPLIT, TRACKS, VIDEOS = "vox1_meta.csv", "iden_split.txt", "txt", "video"
# in the order of preference: sound as distributed, as downloaded, of the face crops
SOUNDS = ("wav", "m4a", "aac", "mp4")
SOUND, VIDEO = (f"(?:{'|'.join(map(re.escape, each))})" for each in (SOUND_FILES, VIDEO_FILES))
# the trees, in the corpus or in a folder that an archive unpacks to; a group is the name of a file
# in its tree, and of pictures that of their folder
PLACE = re.compile(
    rf"""(?:[^/]+/)??(?:(?:wav/(?P<wav>.*)|m4a/(?P<m4a>.*)|aac/(?P<aac>.*))(?:{SOUND}|\.mp4)
    |mp4/(?P<mp4>.*){VIDEO}|txt/(?P<txt>.*)\.txt|video/(?:.*/)?(?P<video>[^/]*){VIDEO}
    |(?:unzippedFaces|faces)/(?P<faces>.*)/[^/]*)""",
    re.IGNORECASE | re.VERBOSE,
)
UTTERANCE = re.compile(r"id\d{5}/[^/]+/\d{5}", re.ASCII)
# what the lines of lists are made of, and one of them
PERSON = (
    r"(?P<speaker>[^\t]+)\t(?P<name>[^\t]+)\t[^\t]*\t[^\t]*\t(?P<part>dev|test|Set)",
    "id10001 A.J._Buckley m Ireland dev (with tabs between)",
)
PART = r"(?P<part>[123])\s+(?P<key>\S+)\.\w+", "1 id10001/1zcIwhmdeo4/00001.wav"
PARTS = {"1": "train", "2": "validation", "3": "test"}


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`).

    There is one a video, of which the first utterance is used, or one an utterance. Speakers whom
    the trials or ``vox1_meta.csv`` reserve for verification are in it only where the official split
    is asked for and no trials. ``fold`` is the part of ``iden_split.txt``. Raises InvalidCorpus for
    what does not lie as in VoxCeleb1, for two files of an utterance that differ, and for malformed
    lists and tracks.
    """
    files, rows = _files(folder, corpus), []
    people, split = _optional(folder / META, *PERSON), _optional(folder / SPLIT, *PART)
    names, parts = dict(zip(people.speaker, people.name)), dict(zip(split.key, split.part))
    # the official split uses the speakers of the test set too
    official = corpus.protocol == "given" and not corpus.trials
    reserved = set() if official else {*people.speaker[people.part == "test"]}
    trees = {} if corpus.features else {tree: files[tree].dropna().to_dict() for tree in files}
    for _, key, speaker, sound in _sounds(files).itertuples():
        source = os.path.dirname(key)
        recording = source if corpus.unit == "video" else key
        if speaker not in reserved and recording not in [row["recording"] for row in rows[-1:]]:
            rows.append({
                **COLUMNS, "recording": recording, "speaker": speaker, "label": speaker,
                "audio": sound, "source": source, "fold": PARTS.get(parts.get(key), ""),
                **_face(key, trees, names.get(speaker, speaker)),
            })  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs = files.attrs
    return table


def _files(folder, corpus):
    """Return the paths of the files, or folders of pictures, by their names in each tree."""

    def place(path):
        """Return a file's name, its tree and what is read of it; None for any other file."""
        match = PLACE.fullmatch(path.removeprefix(f"{folder}/"))
        if not match:
            return None
        tree, key = match.lastgroup, match[match.lastgroup].replace("/1.6/", "/")
        if tree in SOUNDS and not UTTERANCE.fullmatch(key):
            raise InvalidCorpus(
                f"{path} is not an utterance's path (wav/id10001/<youtube id>/00001.wav); "
                "rename it or move it out of the corpus."
            )
        return key, tree, os.path.dirname(path) if tree == "faces" else path

    return find(folder, corpus, place, PLACE.groupindex)


def _sounds(files):
    """Return all utterances: recording, speaker and audio."""
    audio = files[[*SOUNDS]].bfill(axis=1).iloc[:, 0].dropna()
    key = audio.index.astype(str)
    return pd.DataFrame({"recording": key, "speaker": key.str[: len("id10001")], "audio": audio})


def _face(key, trees, person):
    """Return the columns that say where the face of an utterance can be seen, if anywhere."""
    speaker, video, _ = key.split("/")
    places = ("mp4", key), ("faces", f"{person}/{video}"), ("faces", f"{speaker}/{video}")
    places += (VIDEOS, video), (TRACKS, key)
    *crops, whole, track = (trees.get(tree, {}).get(name) for tree, name in places)
    if crop := next(filter(None, crops), None):
        return {"video": crop, "face": CROP}
    if not whole or not track:
        return {}
    frames = read_track(track)[:, 0]
    start, seconds = frames.min() / TRACK_RATE, (np.ptp(frames) + 1) / TRACK_RATE
    return {"video": whole, "face": track, "video_start": start, "seconds": seconds}


def _optional(file, pattern, example):
    """Return the lines of a list, none where it is not there."""
    if file.is_file():
        return read_lines(file, pattern, example)
    return pd.Series(dtype=str).str.extract(pattern)


def utterances(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return all utterances, as trials name them: recording (without ending), speaker and audio."""
    return _sounds(_files(folder, corpus))
