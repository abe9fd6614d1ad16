"""VoxCeleb1 (Nagrani et al. 2017): utterances of celebrities, cut from interviews on YouTube.

Sound lies in ``wav/id10001/<youtube id>/00001.wav`` (or below ``dev``, ``test``; or ``m4a``,
``aac``), lists of verification trials beside it. The makers do not distribute the video; whichever
of these people have is used: videos of face crops, ``mp4/id10001/<youtube id>/00001.mp4``; folders
of crops at one picture a second, ``unzippedFaces/<VGGFace1 ID>/1.6/<youtube id>``; or the videos
themselves, ``video/<youtube id>.mp4``, with the owners' face tracks,
``txt/id10001/<youtube id>/00001.txt``.
"""

from __future__ import annotations

import os
import re
from collections import ChainMap
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data import COLUMNS
from kdsuite.data.decoding.faces import CROP, TRACK_RATE, read_track
from kdsuite.data.reading import parse, read_lines, walk
from kdsuite.parameters import Corpus

META, SPLIT, TRACKS, VIDEOS = "vox1_meta.csv", "iden_split.txt", "txt", "video"
CROPS, PICTURES = "mp4", ("unzippedFaces", "faces")
# in the order of preference: sound as distributed, as downloaded, of the face crops
SOUNDS = ("wav", "m4a", "aac", CROPS)
SOUND_ENDINGS = (".wav", ".flac", ".m4a", ".aac", ".mp4", ".mp3", ".ogg")
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
# the endings of the files in a tree, which lies in the corpus or in a folder that an archive
# unpacks to
ENDINGS = {
    **dict.fromkeys(SOUNDS, SOUND_ENDINGS), **dict.fromkeys((CROPS, VIDEOS), VIDEO_ENDINGS),
    **dict.fromkeys(PICTURES, (".jpg", ".jpeg", ".png")), TRACKS: (".txt",),
}  # fmt: skip
PLACE = re.compile(rf"(?:[^/]+/)??({'|'.join(ENDINGS)})/(.*)(\.\w+)")
UTTERANCE = re.compile(r"id\d{5}/[^/]+/\d{5}", re.ASCII)
TRIAL = r"(?P<genuine>[01])\s+(?P<first>\S+)\s+(?P<second>\S+)"
PART = r"(?P<part>[123])\s+(?P<key>\S+)\.\w+"
PERSON = r"(?P<speaker>[^\t]+)\t(?P<name>[^\t]+)\t[^\t]*\t[^\t]*\t(?P<part>dev|test|Set)"
PARTS = {"1": "train", "2": "validation", "3": "test"}
# of the development set, which identification uses, of the test set, and of the lists of trials
PUBLISHED = {
    "dev": {"speakers": 1211, "video": 21819, "utterance": 148642},
    "test": {"speakers": 40, "video": 677, "utterance": 4874},
    "trials": {"veri_test.txt": 37720, "veri_test2.txt": 37611},
}

Files = dict[str, dict[str, str]]  # paths by tree and by what is in them


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`).

    There is one a video, of which the first utterance is used, or one an utterance. Speakers whom
    the trials or ``vox1_meta.csv`` reserve for verification are in it only where the official split
    is asked for and no trials. ``fold`` is the part of ``iden_split.txt``. Raises InvalidCorpus for
    what does not lie as in VoxCeleb1, for an utterance that is there twice, and for malformed lists
    and tracks.
    """
    files, people = _files(folder), _people(folder)
    reserved = set() if _uses_all_speakers(corpus) else set(people.index[people.part == "test"])
    if corpus.trials:  # also where vox1_meta.csv is not there: they must be unknown to the networks
        trials = read_trials(folder, corpus.trials)
        reserved |= {name.partition("/")[0] for name in (*trials["first"], *trials["second"])}
    split = _optional(folder / SPLIT, PART, "1 id10001/1zcIwhmdeo4/00001.wav")
    parts, names, rows = dict(zip(split.key, split.part.map(PARTS))), people.name.to_dict(), {}
    for key, sound in sorted(_sounds(files).items()):
        speaker, video, _ = key.split("/")
        source = f"{speaker}/{video}"
        recording = source if corpus.unit == "video" else key
        if speaker not in reserved and recording not in rows:
            face = {} if corpus.features else _face(key, files, names.get(speaker))
            rows[recording] = {
                **COLUMNS, "recording": recording, "speaker": speaker, "label": speaker, "audio": sound,
                "source": source, "fold": parts.get(key, ""), **face,
            }  # fmt: skip
    return pd.DataFrame(rows.values())


def _uses_all_speakers(corpus: Corpus) -> bool:
    """Return whether the 40 speakers of the test set are used, as in the official split."""
    return corpus.protocol == "given" and not corpus.trials


def _files(folder: Path) -> Files:
    """Return the paths of the files in each tree of :data:`ENDINGS`.

    They are by ``speaker/video/utterance``, whole videos by ``video``, and pictures, of which it is
    the path of the folder, by ``person/video``.
    """
    files: Files = {tree: {} for tree in ENDINGS}
    for path in walk(folder):
        match = PLACE.fullmatch(path.removeprefix(f"{folder}/"))
        if not match or match[3].lower() not in ENDINGS[match[1]]:
            continue
        tree, key, _ = match.groups()
        if tree == VIDEOS:
            key = os.path.basename(key)
        elif tree in PICTURES:
            path, key = os.path.dirname(path), os.path.dirname(key).replace("/1.6/", "/")
        elif tree in SOUNDS and not UTTERANCE.fullmatch(key):
            raise InvalidCorpus(
                f"{path} does not lie as utterances do (wav/id10001/<youtube id>/00001.wav); "
                "rename it or move it out of the corpus."
            )
        other = files[tree].setdefault(key, path)
        if other != path and tree in SOUNDS:
            raise InvalidCorpus(
                f"{path} and {other} are the same utterance; move one of them out of the corpus."
            )
    return files


def _sounds(files: Files) -> ChainMap[str, str]:
    return ChainMap(*(files[tree] for tree in SOUNDS))


def _face(key: str, files: Files, person: str | None) -> dict[str, Any]:
    """Return the columns that say where the face of an utterance can be seen, if anywhere."""
    speaker, video, _ = key.split("/")
    crops = [files[CROPS].get(key)]
    crops += [files[tree].get(f"{name}/{video}") for name in (person, speaker) for tree in PICTURES]
    if crop := next(filter(None, crops), None):
        return {"video": crop, "face": CROP}
    whole, track = files[VIDEOS].get(video), files[TRACKS].get(key)
    if not whole or not track:
        return {}
    frames = read_track(track)[:, 0]
    start, seconds = frames.min() / TRACK_RATE, (frames.max() - frames.min() + 1) / TRACK_RATE
    return {"video": whole, "face": track, "video_start": start, "seconds": seconds}


def _people(folder: Path) -> pd.DataFrame:
    """Return the VGGFace1 ``name`` and the ``part``, dev or test, of each speaker."""
    example = "id10001 A.J._Buckley m Ireland dev (with tabs between)"
    return _optional(folder / META, PERSON, example).set_index("speaker")


def _optional(file: Path, pattern: str, example: str) -> pd.DataFrame:
    """Return what :func:`parse` does, no lines where the file is not there."""
    if file.is_file():
        return parse(read_lines(file), pattern, file, example)
    return pd.DataFrame(columns=list(re.compile(pattern).groupindex))


def read_trials(folder: Path, lists: list[str]) -> pd.DataFrame:
    """Return the trials of these lists, in their order: list, genuine, first and second.

    ``1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav`` is one trial; 1 is genuine,
    the same speaker. Raises InvalidCorpus where a list is absent or malformed.
    """
    parts, example = {}, "1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav"
    for name in lists:
        if not (folder / name).is_file():
            raise InvalidCorpus(
                f"the list {folder / name} does not exist; put it there, or name others with "
                "corpus.trials."
            )
        parts[name] = parse(read_lines(folder / name), TRIAL, folder / name, example)
    trials = pd.concat(parts, names=["list"]).droplevel(1).reset_index()
    return trials.assign(genuine=trials.genuine == "1")


def trial_files(folder: Path, trials: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the files that trials name and that are there, and the names of those that are not.

    The former have the columns recording (the name in the list), speaker and audio.
    """
    names = pd.Series(sorted({*trials["first"], *trials["second"]}), dtype=str)
    sounds = _sounds(_files(folder))
    audio = names.map(lambda name: sounds.get(os.path.splitext(name)[0]))
    table = pd.DataFrame(
        {"recording": names, "speaker": names.str.partition("/")[0], "audio": audio}
    )
    missing = audio.isna()
    return table[~missing].reset_index(drop=True), names[missing].tolist()


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts of the development set, and of the test set where that is used too."""
    parts = [PUBLISHED["dev"], *([PUBLISHED["test"]] if _uses_all_speakers(corpus) else [])]
    return {
        "recordings": sum(part[corpus.unit] for part in parts),
        "speakers": sum(part["speakers"] for part in parts),
    }
