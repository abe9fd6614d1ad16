"""VoxCeleb1 (Nagrani et al. 2017): utterances of celebrities, cut from interviews on YouTube, and lists of verification trials.

Sound lies in ``wav/id10001/<youtube id>/00001.wav`` (or below ``dev``, ``test``; or ``m4a``, ``aac``). The makers do not
distribute the video; whichever of these people have is used: videos of face crops, ``mp4/id10001/<youtube id>/00001.mp4``;
folders of crops at one picture a second, ``unzippedFaces/<VGGFace1 ID>/1.6/<youtube id>``; or the videos themselves,
``video/<youtube id>.mp4``, with the owners' face tracks, ``txt/id10001/<youtube id>/00001.txt``.
"""

from __future__ import annotations

import csv
import os
import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data.corpora.features import names
from kdsuite.data.decoding.faces import TRACK_RATE, read_track
from kdsuite.parameters import Corpus

SPEAKER, UTTERANCE = re.compile(r"id\d{5}", re.ASCII), re.compile(r"\d{5}", re.ASCII)
# in the order of preference: sound as distributed, as downloaded, of the face crops
SOUND_TREES = ("wav", "m4a", "aac", "mp4")
SOUND_ENDINGS = (".wav", ".flac", ".m4a", ".aac", ".mp4", ".mp3", ".ogg")
CROPS, FACE_TREES = "mp4", ("unzippedFaces", "faces")
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
META, SPLIT, TRACKS, VIDEOS = "vox1_meta.csv", "iden_split.txt", "txt", "video"
PEOPLE = ["VoxCeleb1 ID", "VGGFace1 ID", "Set"]
PARTS = {"1": "train", "2": "validation", "3": "test"}
# how many there are in the development set, which identification uses, in the test set, and in the lists of trials
PUBLISHED = {
    "dev": {"speakers": 1211, "video": 21819, "utterance": 148642},
    "test": {"speakers": 40, "video": 677, "utterance": 4874},
    "trials": {"veri_test.txt": 37720, "veri_test2.txt": 37611},
}
COLUMNS = ["recording", "speaker", "label", "audio", "video", "features", "video_start", "seconds", "face", "source", "fold"]


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`): one a video, of which the first utterance is used, or every utterance.

    Speakers whom the trials or ``vox1_meta.csv`` keep for verification are in it only where the official split is asked for
    and no trials. ``fold`` is the part of ``iden_split.txt``. Rows of ``corpus.features`` named as the recording stand for the
    video. Raises InvalidCorpus for what does not lie as in VoxCeleb1, for an utterance that is there twice, and for malformed
    lists and tracks.
    """
    roots, people = _roots(folder), _people(folder)
    verified = set() if _everybody(corpus) else set(people.index[people.Set == "test"])
    if corpus.trials:  # also where vox1_meta.csv is not there: whom verification compares nobody may have heard
        compared = read_trials(folder, corpus.trials)
        verified |= set(compared["first"].str.partition("/")[0]) | set(compared["second"].str.partition("/")[0])
    sounds, crops = _utterances(roots, lambda speaker: speaker not in verified)
    faces, parts, measured = _Faces(roots, crops, people), _split(folder), set(names(corpus.features))
    rows = []
    for key in _first(sounds) if corpus.unit == "video" else sounds:
        source = key.rpartition("/")[0]
        recording, speaker = source if corpus.unit == "video" else key, key.partition("/")[0]
        seen = ("", recording if recording in measured else "", 0.0, np.nan, "") if corpus.features else faces.of(key)
        rows.append((recording, speaker, speaker, sounds[key], *seen, source, parts.get(key, "")))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"label": "category"})


def _everybody(corpus: Corpus) -> bool:
    """Return whether the 40 speakers of the test set are among those told apart, as in the official split."""
    return corpus.protocol == "given" and not corpus.trials


def _first(keys: Iterable[str]) -> list[str]:
    """Return the first utterance of each video; ``keys`` are sorted."""
    first: dict[str, str] = {}
    for key in keys:
        first.setdefault(key.rpartition("/")[0], key)
    return list(first.values())


def _roots(folder: Path) -> list[str]:
    """Return the folder and those in it that archives unpack to, such as ``dev`` and ``vox1_dev_wav``."""
    trees = {*SOUND_TREES, *FACE_TREES, TRACKS, VIDEOS}
    inside = [entry.path for entry in _folders(folder) if entry.name not in trees and not SPEAKER.fullmatch(entry.name)]
    return [str(folder), *sorted(inside)]


def _entries(path: str | Path) -> list[os.DirEntry]:
    """Return what lies in a folder but for hidden files; nothing where there is no such folder."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidCorpus(f"{path} cannot be read ({error.strerror}); permit reading it, or move it out of the corpus.") from None


def _folders(path: str | Path) -> list[os.DirEntry]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _files(path: str | Path, endings: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield stem and path of the files in a folder that have one of these endings."""
    for entry in _entries(path):
        stem, ending = os.path.splitext(entry.name)
        if ending.lower() in endings:
            yield stem, entry.path


def _utterances(roots: list[str], wanted: Callable[[str], bool]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sound of each utterance of the wanted speakers, and the videos of face crops, both by ``speaker/video/utterance``.

    The sound is that of the most preferred tree that has it; it is sorted.
    """
    trees = {tree: _tree(roots, tree, wanted) for tree in SOUND_TREES}
    return dict(sorted(ChainMap(*trees.values()).items())), trees[CROPS]


def _tree(roots: list[str], tree: str, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Return the files ``<root>/<tree>/id10001/<youtube id>/00001.*`` of the wanted speakers, by their three names."""
    endings = VIDEO_ENDINGS if tree == CROPS else SOUND_ENDINGS
    found: dict[str, str] = {}
    for speaker in [entry for root in roots for entry in _inner(f"{root}/{tree}", endings)]:
        if not SPEAKER.fullmatch(speaker.name):
            raise InvalidCorpus(f"{speaker.path} is no speaker of VoxCeleb1 (such as id10001); move it out of the corpus.")
        for video in _inner(speaker.path, endings) if wanted(speaker.name) else []:
            for name, path in _files(video.path, endings):
                if not UTTERANCE.fullmatch(name):
                    raise _misplaced(path)
                other = found.setdefault(f"{speaker.name}/{video.name}/{name}", path)
                if other != path:
                    raise InvalidCorpus(f"{path} and {other} are the same utterance; move one of them out of the corpus.")
    return found


def _inner(path: str, endings: tuple[str, ...]) -> list[os.DirEntry]:
    """Return the folders in one that holds nothing else. Raises InvalidCorpus for recordings beside them."""
    entries = _entries(path)
    for entry in entries:
        if not entry.is_dir() and os.path.splitext(entry.name)[1].lower() in endings:
            raise _misplaced(entry.path)
    return [entry for entry in entries if entry.is_dir()]


def _misplaced(path: str) -> InvalidCorpus:
    return InvalidCorpus(
        f"{path} does not lie as utterances do (wav/id10001/<youtube id>/00001.wav); rename it or move it out of the corpus."
    )


def _people(folder: Path) -> pd.DataFrame:
    """Return ``vox1_meta.csv`` by speaker; empty where it is not there."""
    file = folder / META
    if not file.is_file():
        return pd.DataFrame(columns=PEOPLE).set_index(PEOPLE[0])
    try:
        table = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE, encoding_errors="replace")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InvalidCorpus(f"{file} is no table ({str(error).strip()}); fetch it again.") from None
    if not set(PEOPLE) <= set(table):
        raise InvalidCorpus(f"{file} lacks the columns VoxCeleb1 ID, VGGFace1 ID and Set, separated by tabs; fetch it again.")
    return table.set_index(PEOPLE[0])


def _split(folder: Path) -> dict[str, str]:
    """Return the part of each utterance by the official identification split; empty where it is not there."""
    if not (folder / SPLIT).is_file():
        return {}
    table = _lines(folder / SPLIT, ["part", "path"])
    _refuse(~table.part.isin(PARTS), folder / SPLIT, "1, 2 or 3 and a path")
    return dict(zip(table.path.str.rsplit(".", n=1).str[0], table.part.map(PARTS)))


def _lines(file: Path, columns: list[str]) -> pd.DataFrame:
    """Return a list whose lines have as many words as ``columns``; a list of a million lines takes a few seconds."""
    if not file.is_file():
        raise InvalidCorpus(f"the list {file} does not exist; put it there, or name others with corpus.trials.")
    lines = pd.Series(file.read_text(encoding="utf-8", errors="replace").splitlines(), dtype=str)
    table = lines.str.split(n=len(columns), expand=True).reindex(columns=range(len(columns) + 1))
    table = table[(lines.str.strip() != "").to_numpy()]
    _refuse(table[len(columns) - 1].isna() | table[len(columns)].notna(), file, f"{len(columns)} words")
    return table.iloc[:, : len(columns)].set_axis(columns, axis=1).astype(str)  # of nothing it would be numbers


def _refuse(wrong: pd.Series, file: Path, wanted: str) -> None:
    if wrong.any():
        raise InvalidCorpus(f"line {wrong.idxmax() + 1} of {file} is not {wanted}; mend that line or fetch the list again.")


class _Faces:
    """Where the face of an utterance can be seen."""

    def __init__(self, roots: list[str], crops: dict[str, str], people: pd.DataFrame) -> None:
        self._crops, self._names = crops, dict(zip(people.index, people["VGGFace1 ID"]))  # a name may be there twice
        self._pictures, self._videos = _pictures(roots), _videos(roots)
        self._tracks = [f"{root}/{TRACKS}" for root in roots]

    def of(self, key: str) -> tuple[str, str, float, float, str]:
        """Return the columns video, features, video_start, seconds and face of an utterance; empty where nothing shows it."""
        speaker, video, _ = key.split("/")
        pictures = self._pictures.get((self._names.get(speaker, ""), video)) or self._pictures.get((speaker, video), "")
        if crop := self._crops.get(key, pictures):
            return crop, "", 0.0, np.nan, "crop"
        for track in [f"{tree}/{key}.txt" for tree in self._tracks] if video in self._videos else []:
            if os.path.isfile(track):
                first, last = _ends(track)
                return self._videos[video], "", first / TRACK_RATE, (last - first + 1) / TRACK_RATE, track
        return "", "", 0.0, np.nan, ""


def _pictures(roots: list[str]) -> dict[tuple[str, str], str]:
    """Return the folders of pictures by person, in whichever of the two ways of naming, and video."""
    people = [entry for root in roots for tree in FACE_TREES for entry in _folders(f"{root}/{tree}")]
    places = [(person.name, folder) for person in people for folder in (person.path, f"{person.path}/1.6")]
    return {(name, video.name): video.path for name, folder in places for video in _folders(folder)}


def _videos(roots: list[str]) -> dict[str, str]:
    """Return the whole videos by their name on YouTube, from ``video`` and the folders in it."""
    trees = [f"{root}/{VIDEOS}" for root in roots]
    places = trees + [entry.path for tree in trees for entry in _folders(tree)]
    return dict(sorted(file for place in places for file in _files(place, VIDEO_ENDINGS)))


def _ends(track: str) -> tuple[float, float]:
    """Return the first and the last frame of a face track by its first and last row alone, for there are many tracks."""
    try:
        text = Path(track).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidCorpus(f"the face track {track} cannot be opened ({error.strerror}); see that you may read it.") from None
    rows = text.partition("\nFRAME")[2].rstrip().splitlines()[1:]
    words = [row.split() for row in rows[:1] + rows[-1:]]
    if words and all(row and row[0].isdecimal() for row in words) and float(words[0][0]) <= float(words[-1][0]) < np.inf:
        return float(words[0][0]), float(words[-1][0])
    frames = read_track(track)[:, 0]  # rows in disorder, or a line to complain of
    return frames.min(), frames.max()


def read_trials(folder: Path, lists: list[str]) -> pd.DataFrame:
    """Return the trials of these ``lists``, in their order: list, genuine (whether of one speaker), first and second.

    A line such as ``1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav`` is one trial; 1 is the same speaker.
    Raises InvalidCorpus where a list is absent or malformed.
    """
    parts = []
    for name in lists:
        table = _lines(folder / name, ["genuine", "first", "second"])
        if table.empty:
            raise InvalidCorpus(f"the list {folder / name} holds no trials; fetch it again.")
        _refuse(~table.genuine.isin(["0", "1"]), folder / name, "0 or 1 and two paths")
        parts.append(table.assign(genuine=table.genuine == "1").assign(list=name))
    return pd.concat(parts, ignore_index=True)[["list", "genuine", "first", "second"]]


def trial_files(folder: Path, trials: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the files that trials name and that are there, and the names of those that are not.

    The former have the columns recording (the name in the list), speaker and audio.
    """
    named = sorted(set(trials["first"]) | set(trials["second"]))
    speakers = {name.partition("/")[0] for name in named}
    sounds, _ = _utterances(_roots(folder), lambda speaker: speaker in speakers)
    found = {name: sounds.get(os.path.splitext(name)[0]) for name in named}
    there = {name: path for name, path in found.items() if path}
    missing = [name for name, path in found.items() if path is None]
    told = {"recording": list(there), "speaker": [name.partition("/")[0] for name in there], "audio": list(there.values())}
    return pd.DataFrame(told, dtype=str), missing


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts of the development set, with the test set where that is used too; nothing of a synthetic corpus."""
    if corpus.synthetic is not None:
        return {}
    parts = [PUBLISHED[part] for part in (("dev", "test") if _everybody(corpus) else ("dev",))]
    return {"recordings": sum(part[corpus.unit] for part in parts), "speakers": sum(part["speakers"] for part in parts)}
