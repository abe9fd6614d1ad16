"""VoxCeleb1 (Nagrani et al. 2017): utterances of celebrities, cut from interviews on YouTube, and lists of verification trials.

Sound lies in ``wav/id10001/<youtube id>/00001.wav`` (or below ``dev``, ``test``; or ``m4a``, ``aac``). The makers do not
distribute the video; whichever of these people have is used: videos of face crops, ``mp4/id10001/<youtube id>/00001.mp4``;
folders of crops at one picture a second, ``unzippedFaces/<VGGFace1 ID>/1.6/<youtube id>``; or the videos themselves,
``video/<youtube id>.mp4``, with the owners' face tracks, ``txt/id10001/<youtube id>/00001.txt``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdlib.settings import Corpus, Synthetic

SPEAKER = re.compile(r"id\d{5}")
# in the order of preference: sound as distributed, as downloaded, of the face crops
SOUND_TREES = ("wav", "m4a", "aac", "mp4")
SOUND_ENDINGS = (".wav", ".flac", ".m4a", ".aac", ".mp4", ".mp3", ".ogg")
FACE_TREES = ("unzippedFaces", "faces")
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
META, SPLIT, TRACKS, VIDEOS = "vox1_meta.csv", "iden_split.txt", "txt", "video"
PARTS = {"1": "train", "2": "validation", "3": "test"}
TRACK_RATE = 25  # frames a second that the tracks count
COLUMNS = ["recording", "speaker", "label", "audio", "video", "video_start", "seconds", "face", "source", "fold"]


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdlib.corpora`): one a video, of which the first utterance is used, or every utterance.

    Speakers whom ``vox1_meta.csv`` keeps for verification are not in it. ``fold`` is the part of ``iden_split.txt``.
    Raises InvalidCorpus for a folder that is no speaker's, and for malformed lists and tracks.
    """
    roots, people = _roots(folder), _people(folder)
    found = _utterances(roots)
    if not people.empty:
        found = {key: path for key, path in found.items() if people.Set.get(key[0], "dev") != "test"}
    if corpus.unit == "video":
        first = {key[:2]: key for key in sorted(found, reverse=True)}
        found = {key: found[key] for key in sorted(first.values())}
    faces, parts = _Faces(roots, people), _split(folder)
    rows = []
    for (speaker, video, name), path in found.items():
        source = f"{speaker}/{video}"
        recording = source if corpus.unit == "video" else f"{source}/{name}"
        rows.append((recording, speaker, speaker, path, *faces.of(speaker, video, name), source, parts.get(f"{source}/{name}", "")))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"label": "category"})


def _roots(folder: Path) -> list[Path]:
    """Return the folder and those in it that archives unpack to, such as ``dev`` and ``vox1_dev_wav``."""
    trees = {*SOUND_TREES, *FACE_TREES, TRACKS, VIDEOS}
    inside = [
        entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name not in trees and not SPEAKER.fullmatch(entry.name)
    ]
    return [folder, *inside]


def _folders(path: str | Path) -> Iterator[os.DirEntry]:
    """Yield the folders inside a folder, none where there is no such folder."""
    try:
        with os.scandir(path) as entries:
            yield from (entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidCorpus(f"{path} cannot be read ({error.strerror}); permit reading it, or move it out of the corpus.") from None


def _utterances(roots: list[Path]) -> dict[tuple[str, str, str], str]:
    """Return the sound of each utterance by speaker, video and name; the most preferred tree that has it counts."""
    found: dict[tuple[str, str, str], str] = {}
    for tree in SOUND_TREES:
        for speaker in [entry for root in roots for entry in _folders(root / tree)]:
            if not SPEAKER.fullmatch(speaker.name):
                raise InvalidCorpus(f"{speaker.path} is no speaker of VoxCeleb1 (such as id10001); move it out of the corpus.")
            for video in _folders(speaker.path):
                for name, ending, path in _files(video.path):
                    if ending in SOUND_ENDINGS:
                        found.setdefault((speaker.name, video.name, name), path)
    return dict(sorted(found.items()))


def _files(folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield stem, ending and path of the files in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, ending = os.path.splitext(entry.name)
            if not entry.name.startswith("."):
                yield stem, ending.lower(), entry.path


def _people(folder: Path) -> pd.DataFrame:
    """Return ``vox1_meta.csv`` by speaker; empty where it is not there."""
    if not (folder / META).is_file():
        return pd.DataFrame()
    table = pd.read_csv(folder / META, sep="\t", dtype=str, keep_default_na=False)
    if not {"VoxCeleb1 ID", "VGGFace1 ID", "Set"} <= set(table):
        raise InvalidCorpus(f"{folder / META} lacks the columns VoxCeleb1 ID, VGGFace1 ID and Set, separated by tabs; fetch it again.")
    return table.set_index("VoxCeleb1 ID")


def _split(folder: Path) -> dict[str, str]:
    """Return the part of each utterance by the official identification split; empty where it is not there."""
    if not (folder / SPLIT).is_file():
        return {}
    table = _lines(folder / SPLIT, ["part", "path"])
    _refuse(~table.part.isin(PARTS), folder / SPLIT, "1, 2 or 3 and a path")
    return dict(zip(table.path.str.rsplit(".", n=1).str[0], table.part.map(PARTS)))


def _lines(file: Path, columns: list[str]) -> pd.DataFrame:
    """Return a list whose lines have as many words as ``columns``; lists of a million lines are read in a second."""
    if not file.is_file():
        raise InvalidCorpus(f"the list {file} does not exist; put it there, or name others with corpus.trials.")
    lines = pd.Series(file.read_text(encoding="utf-8", errors="replace").splitlines(), dtype=str)
    table = lines.str.split(n=len(columns), expand=True).reindex(columns=range(len(columns) + 1))
    table = table[(lines.str.strip() != "").to_numpy()]
    _refuse(table[len(columns) - 1].isna() | table[len(columns)].notna(), file, f"{len(columns)} words")
    return table.iloc[:, : len(columns)].set_axis(columns, axis=1)


def _refuse(wrong: pd.Series, file: Path, wanted: str) -> None:
    if wrong.any():
        raise InvalidCorpus(f"line {wrong.idxmax() + 1} of {file} is not {wanted}; mend that line or fetch the list again.")


class _Faces:
    """Where the face of an utterance can be seen."""

    def __init__(self, roots: list[Path], people: pd.DataFrame) -> None:
        self._crops = [root / "mp4" for root in roots if (root / "mp4").is_dir()]
        self._tracks = [root / TRACKS for root in roots if (root / TRACKS).is_dir()]
        self._pictures = [root / tree for root in roots for tree in FACE_TREES if (root / tree).is_dir()]
        self._names = dict(people["VGGFace1 ID"]) if len(people) else {}
        self._videos: dict[str, str] = {}
        for folder in [root / VIDEOS for root in roots if (root / VIDEOS).is_dir()]:
            for place in (folder, *(Path(entry.path) for entry in _folders(folder))):
                self._videos |= {stem: path for stem, ending, path in _files(str(place)) if ending in VIDEO_ENDINGS}

    def of(self, speaker: str, video: str, name: str) -> tuple[str, float, float, str]:
        """Return the columns video, video_start, seconds and face of an utterance; empty where nothing shows it."""
        for tree in self._crops:
            for ending in VIDEO_ENDINGS:
                if (crop := tree / speaker / video / f"{name}{ending}").is_file():
                    return str(crop), 0.0, np.nan, "crop"
        for tree in self._pictures:
            for person in (self._names.get(speaker, speaker), speaker):
                for pictures in (tree / person / "1.6" / video, tree / person / video):
                    if pictures.is_dir():
                        return str(pictures), 0.0, np.nan, "crop"
        for track in [tree / speaker / video / f"{name}.txt" for tree in self._tracks] if video in self._videos else []:
            if track.is_file():
                frames = read_track(track)[:, 0]
                return self._videos[video], frames[0] / TRACK_RATE, (frames[-1] - frames[0] + 1) / TRACK_RATE, str(track)
        return "", 0.0, np.nan, ""


def read_track(path: str | Path) -> np.ndarray:
    """Return a face track, ``(rows, 5)``: frame number at 25 a second, then left, top, width and height of the box.

    The box is in pixels, or in fractions of the frame as in VoxCeleb2. Raises InvalidCorpus for a malformed line.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    first = next((number for number, line in enumerate(lines, 1) if line.split()[:1] == ["FRAME"]), None)
    if first is None:
        raise InvalidCorpus(f"{path} has no line that begins with FRAME, so it is no face track; fetch it again.")
    rows = []
    for number, line in enumerate(lines[first:], first + 1):
        if line.strip():
            rows.append(_box(line, number, path))
    if not rows:
        raise InvalidCorpus(f"{path} has no boxes behind its line FRAME; fetch it again.")
    return np.array(rows)


def _box(line: str, number: int, path: str | Path) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != 5 or not np.isfinite(values).all():
        raise InvalidCorpus(
            f"line {number} of {path} is not a frame number and the four numbers of a box; mend it or fetch the file again."
        )
    return values


def read_trials(folder: Path, names: list[str]) -> pd.DataFrame:
    """Return the trials of the lists ``names``, in their order: list, genuine (whether of one speaker), first and second.

    A line such as ``1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav`` is one trial; 1 is the same speaker.
    Raises InvalidCorpus where a list is absent or malformed.
    """
    parts = []
    for name in names:
        table = _lines(folder / name, ["genuine", "first", "second"])
        _refuse(~table.genuine.isin(["0", "1"]), folder / name, "0 or 1 and two paths")
        parts.append(table.assign(genuine=table.genuine == "1").assign(list=name))
    return pd.concat(parts, ignore_index=True)[["list", "genuine", "first", "second"]]


def trial_files(folder: Path, trials: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the files that trials name and that are there (recording: the name in the list, audio), and the names of those that are not."""
    names = pd.unique(pd.concat([trials["first"], trials["second"]]))
    sounds = {"/".join(key): path for key, path in _utterances(_roots(folder)).items()}
    found = {name: sounds.get(os.path.splitext(name)[0]) for name in sorted(names)}
    there = {name: path for name, path in found.items() if path}
    missing = [name for name, path in found.items() if path is None]
    return pd.DataFrame({"recording": list(there), "audio": list(there.values())}, dtype=str), missing


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts of the development set, which identification uses; nothing of a synthetic corpus."""
    if corpus.synthetic is not None:
        return {}
    return {"recordings": 21819 if corpus.unit == "video" else 148642, "speakers": 1211}


def write_synthetic(folder: Path, synthetic: Synthetic) -> None:
    """Write the small tree (see :mod:`kdlib.corpora.synthetic.voxceleb1`); imported late, for it needs moviepy."""
    from kdlib.corpora.synthetic.voxceleb1 import write_voxceleb1

    write_voxceleb1(folder, synthetic)
