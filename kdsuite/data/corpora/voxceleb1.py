"""VoxCeleb1 (Nagrani et al. 2017): utterances of celebrities, cut from interviews on YouTube.

Sound lies in ``wav/id10001/<youtube id>/00001.wav`` (or below ``dev``, ``test``; or ``m4a``,
``aac``), lists of verification trials beside it. The makers do not distribute the video; whichever
of these people have is used: videos of face crops, ``mp4/id10001/<youtube id>/00001.mp4``; folders
of crops at one picture a second, ``unzippedFaces/<VGGFace1 ID>/1.6/<youtube id>``; or the videos
themselves, ``video/<youtube id>.mp4``, with the owners' face tracks,
``txt/id10001/<youtube id>/00001.txt``.
"""

from __future__ import annotations

import csv
import os
import re
from collections import ChainMap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data import COLUMNS
from kdsuite.data.corpora.features import names
from kdsuite.data.decoding.faces import TRACK_RATE, read_track
from kdsuite.parameters import Corpus

SPEAKER = re.compile(r"id\d{5}", re.ASCII)
UTTERANCE = re.compile(r"id\d{5}/[^/]+/\d{5}", re.ASCII)
# in the order of preference: sound as distributed, as downloaded, of the face crops
SOUND_TREES = ("wav", "m4a", "aac", "mp4")
SOUND_ENDINGS = (".wav", ".flac", ".m4a", ".aac", ".mp4", ".mp3", ".ogg")
CROPS, FACE_TREES = "mp4", ("unzippedFaces", "faces")
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
META, SPLIT, TRACKS, VIDEOS = "vox1_meta.csv", "iden_split.txt", "txt", "video"
PEOPLE = ["VoxCeleb1 ID", "VGGFace1 ID", "Set"]
PARTS = {"1": "train", "2": "validation", "3": "test"}
# of the development set, which identification uses, of the test set, and of the lists of trials
PUBLISHED = {
    "dev": {"speakers": 1211, "video": 21819, "utterance": 148642},
    "test": {"speakers": 40, "video": 677, "utterance": 4874},
    "trials": {"veri_test.txt": 37720, "veri_test2.txt": 37611},
}


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`).

    There is one a video, of which the first utterance is used, or one an utterance. Speakers whom
    the trials or ``vox1_meta.csv`` reserve for verification are in it only where the official split
    is asked for and no trials. ``fold`` is the part of ``iden_split.txt``. Rows of
    ``corpus.features`` named as the recording stand for the video. Raises InvalidCorpus for what
    does not lie as in VoxCeleb1, for an utterance that is there twice, and for malformed lists and
    tracks.
    """
    roots, people = _roots(folder), _people(folder)
    reserved = set() if _uses_all_speakers(corpus) else set(people.index[people.Set == "test"])
    if corpus.trials:  # also where vox1_meta.csv is not there: they must be unknown to the networks
        trials = read_trials(folder, corpus.trials)
        reserved |= {name.partition("/")[0] for name in (*trials["first"], *trials["second"])}
    sounds, crops = _utterances(roots, lambda speaker: speaker not in reserved)
    faces, parts = _Faces(roots, crops, people), _split(folder)
    rows, measured = {}, set(names(corpus.features))
    for key, sound in sounds.items():
        speaker, source = key.partition("/")[0], key.rpartition("/")[0]
        recording = source if corpus.unit == "video" else key
        if recording not in rows:
            features = recording if recording in measured else ""
            face = ("", features, 0.0, 0.0, np.nan, "") if corpus.features else faces.of(key)
            fold = parts.get(key, "")
            rows[recording] = (recording, speaker, speaker, sound, *face, source, fold)
    return pd.DataFrame(rows.values(), columns=list(COLUMNS)).astype({"label": "category"})


def _uses_all_speakers(corpus: Corpus) -> bool:
    """Return whether the 40 speakers of the test set are used, as in the official split."""
    return corpus.protocol == "given" and not corpus.trials


def _roots(folder: Path) -> list[str]:
    """Return the folder and those that archives unpack to, such as ``dev`` and ``vox1_dev_wav``."""
    trees = {*SOUND_TREES, *FACE_TREES, TRACKS, VIDEOS}
    inside = {name: path for name, path in _folders(folder).items() if name not in trees}
    return [str(folder), *sorted(p for name, p in inside.items() if not SPEAKER.fullmatch(name))]


def _entries(path: str | Path) -> list[os.DirEntry]:
    """Return what lies in a folder but for hidden files; nothing where there is no such folder."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []


def _folders(path: str | Path) -> dict[str, str]:
    return {entry.name: entry.path for entry in _entries(path) if entry.is_dir()}


def _utterances(
    roots: list[str], wanted: Callable[[str], bool]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sound of the wanted speakers' utterances, and the videos of face crops.

    Both are by ``speaker/video/utterance``. The sound is sorted, and that of the most preferred
    tree that has it.
    """
    trees = {tree: _tree(roots, tree, wanted) for tree in SOUND_TREES}
    return dict(sorted(ChainMap(*trees.values()).items())), trees[CROPS]


def _tree(roots: list[str], tree: str, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Return the files ``<root>/<tree>/id10001/<youtube id>/00001.*`` by their three names."""
    endings = VIDEO_ENDINGS if tree == CROPS else SOUND_ENDINGS
    files: dict[str, str] = {}
    for root in roots:
        for path in _walk(f"{root}/{tree}", wanted):
            key, ending = os.path.splitext(path.removeprefix(f"{root}/{tree}/"))
            if ending.lower() not in endings:
                continue
            if not UTTERANCE.fullmatch(key):
                raise InvalidCorpus(
                    f"{path} does not lie as utterances do (wav/id10001/<youtube id>/00001.wav); "
                    "rename it or move it out of the corpus."
                )
            other = files.setdefault(key, path)
            if other != path:
                raise InvalidCorpus(
                    f"{path} and {other} are the same utterance; move one of them out of the "
                    "corpus."
                )
    return files


def _walk(folder: str, wanted: Callable[[str], bool], depth: int = 0) -> Iterator[str]:
    """Yield the files in a tree of folders by speaker and video, of the wanted speakers."""
    for entry in _entries(folder):
        if not entry.is_dir():
            yield entry.path
        elif depth == 0 and not SPEAKER.fullmatch(entry.name):
            raise InvalidCorpus(
                f"{entry.path} is no speaker of VoxCeleb1 (such as id10001); move it out of the "
                "corpus."
            )
        elif depth == 1 or (depth == 0 and wanted(entry.name)):
            yield from _walk(entry.path, wanted, depth + 1)


def _people(folder: Path) -> pd.DataFrame:
    """Return ``vox1_meta.csv`` by speaker; empty where it is not there."""
    file = folder / META
    if not file.is_file():
        return pd.DataFrame(columns=PEOPLE).set_index(PEOPLE[0])
    options = {"sep": "\t", "dtype": str, "keep_default_na": False, "quoting": csv.QUOTE_NONE}
    try:
        table = pd.read_csv(file, encoding_errors="replace", **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InvalidCorpus(f"{file} is no table ({str(error).strip()}); fetch it again.") from None
    if not set(PEOPLE) <= set(table):
        raise InvalidCorpus(
            f"{file} lacks the columns VoxCeleb1 ID, VGGFace1 ID and Set, separated by tabs; fetch "
            "it again."
        )
    return table.set_index(PEOPLE[0])


def _split(folder: Path) -> dict[str, str]:
    """Return the part of each utterance by the official identification split, where it is there."""
    file = folder / SPLIT
    if not file.is_file():
        return {}
    table = _lines(file, ["part", "path"])
    _refuse(~table.part.isin(PARTS), file, "1, 2 or 3 and a path")
    return dict(zip(table.path.str.rsplit(".", n=1).str[0], table.part.map(PARTS)))


def _lines(file: Path, columns: list[str]) -> pd.DataFrame:
    """Return a list with one word a column; one of a million lines takes a few seconds."""
    if not file.is_file():
        raise InvalidCorpus(
            f"the list {file} does not exist; put it there, or name others with corpus.trials."
        )
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    words = pd.Series(lines, dtype=str).str.split()
    words = words[words.str.len() > 0]
    _refuse(words.str.len() != len(columns), file, f"{len(columns)} words")
    return pd.DataFrame(words.tolist(), words.index, columns, dtype=str)


def _refuse(wrong: pd.Series, file: Path, expected: str) -> None:
    if wrong.any():
        raise InvalidCorpus(
            f"line {wrong.idxmax() + 1} of {file} is not {expected}; mend that line or fetch the "
            "list again."
        )


class _Faces:
    """Where the face of an utterance can be seen."""

    def __init__(self, roots: list[str], crops: dict[str, str], people: pd.DataFrame) -> None:
        # a name may be there twice
        self._crops, self._names = crops, dict(zip(people.index, people["VGGFace1 ID"]))
        self._pictures, self._videos = _pictures(roots), _videos(roots)
        self._tracks = [f"{root}/{TRACKS}" for root in roots]

    def of(self, key: str) -> tuple[str, str, float, float, float, str]:
        """Return the columns from video to face of an utterance.

        They are empty where nothing shows it.
        """
        speaker, video, _ = key.split("/")
        person = self._names.get(speaker, "")
        pictures = self._pictures.get((person, video)) or self._pictures.get((speaker, video), "")
        if crop := self._crops.get(key, pictures):
            return crop, "", 0.0, 0.0, np.nan, "crop"
        for track in (
            [f"{tree}/{key}.txt" for tree in self._tracks] if video in self._videos else []
        ):
            if os.path.isfile(track):
                begin, end = _ends(track)
                seconds = (end - begin + 1) / TRACK_RATE
                return self._videos[video], "", 0.0, begin / TRACK_RATE, seconds, track
        return "", "", 0.0, 0.0, np.nan, ""


def _pictures(roots: list[str]) -> dict[tuple[str, str], str]:
    """Return the folders of pictures by person, named in either way, and video."""
    trees = [_folders(f"{root}/{tree}") for root in roots for tree in FACE_TREES]
    people = [person for tree in trees for person in tree.items()]
    places = [(name, f"{path}{below}") for name, path in people for below in ("", "/1.6")]
    return {
        (name, video): path for name, place in places for video, path in _folders(place).items()
    }


def _videos(roots: list[str]) -> dict[str, str]:
    """Return the complete videos by their name on YouTube, from ``video`` and folders in it."""
    trees = [f"{root}/{VIDEOS}" for root in roots]
    places = [*trees, *(path for tree in trees for path in _folders(tree).values())]
    names = [(*os.path.splitext(e.name), e.path) for place in places for e in _entries(place)]
    return dict(sorted((stem, p) for stem, ending, p in names if ending.lower() in VIDEO_ENDINGS))


def _ends(track: str) -> tuple[float, float]:
    """Return the first and last frame of a face track.

    Only its first and last row are parsed, for there are many tracks.
    """
    text = Path(track).read_text(encoding="utf-8", errors="replace")
    rows = text.partition("\nFRAME")[2].rstrip().splitlines()[1:]
    ends = [row.split()[:1] for row in rows[:1] + rows[-1:]]
    if ends and all(words and words[0].isdecimal() for words in ends):
        begin, end = float(ends[0][0]), float(ends[1][0])
        if begin <= end < np.inf:
            return begin, end
    frames = read_track(track)[:, 0]  # rows in disorder, or malformed ones
    return frames.min(), frames.max()


def read_trials(folder: Path, lists: list[str]) -> pd.DataFrame:
    """Return the trials of these lists, in their order: list, genuine, first and second.

    ``1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav`` is one trial; 1 is genuine,
    the same speaker. Raises InvalidCorpus where a list is absent or malformed.
    """
    parts = {}
    for name in lists:
        parts[name] = table = _lines(folder / name, ["genuine", "first", "second"])
        if table.empty:
            raise InvalidCorpus(f"the list {folder / name} holds no trials; fetch it again.")
        _refuse(~table.genuine.isin(["0", "1"]), folder / name, "0 or 1 and two paths")
    trials = pd.concat(parts, names=["list"]).reset_index("list").reset_index(drop=True)
    return trials.assign(genuine=trials.genuine == "1")


def trial_files(folder: Path, trials: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the files that trials name and that are there, and the names of those that are not.

    The former have the columns recording (the name in the list), speaker and audio.
    """
    recordings = pd.Series(sorted({*trials["first"], *trials["second"]}), dtype=str)
    table = pd.DataFrame({"recording": recordings, "speaker": recordings.str.partition("/")[0]})
    sounds, _ = _utterances(_roots(folder), set(table.speaker).__contains__)
    table["audio"] = [sounds.get(os.path.splitext(name)[0]) for name in recordings]
    present = table.audio.notna()
    return table[present].reset_index(drop=True), recordings[~present].tolist()


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts of the development set, and of the test set where that is used too."""
    parts = [PUBLISHED["dev"], *([PUBLISHED["test"]] if _uses_all_speakers(corpus) else [])]
    return {
        "recordings": sum(part[corpus.unit] for part in parts),
        "speakers": sum(part["speakers"] for part in parts),
    }
