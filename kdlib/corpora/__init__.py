"""From a corpus on disk to one table of recordings, and from the table to folds.

The table has one row a recording and the columns of :data:`COLUMNS`; ``label`` is a pandas categorical whose
categories are the classes in the order of the corpus. ``audio`` and ``video`` are absolute paths; where a table of face
measurements stands for the video, ``video`` is empty and ``features`` the recording's name in that table.
``attrs["incomplete"]`` names what was left out, and why.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib import places
from kdlib.corpora import ravdess
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.settings import Corpus, Settings, choose_folds, digest

COLUMNS = ("recording", "speaker", "label", "audio", "video", "features")
READERS = {"ravdess": ravdess.read}
WRITERS = {"ravdess": ravdess.write_synthetic}


def read(corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings of a corpus, sorted by name.

    Makes the small synthetic corpus first where the parameters ask for one. Raises InvalidCorpus where the folder is
    missing, has no recordings, or holds a file that does not belong there.
    """
    folder = places.corpus(corpus.path)
    if corpus.synthetic is not None:
        with places.lock(folder):
            WRITERS[corpus.layout](folder, corpus.synthetic)
    if not folder.is_dir():
        raise InvalidCorpus(
            f"the corpus folder {folder} does not exist; put the corpus there, or name its folder with -y 'corpus: {{path: FOLDER}}'."
        )
    recordings = READERS[corpus.layout](folder, corpus)
    if recordings.empty:
        raise InvalidCorpus(
            f"no usable recording lies in {folder}; check the parameters corpus.path and corpus.channels{_why(recordings)}."
        )
    return recordings.sort_values("recording", ignore_index=True)


def _why(recordings: pd.DataFrame) -> str:
    incomplete = recordings.attrs.get("incomplete", {})
    return f" ({len(incomplete)} were left out, the first because {next(iter(incomplete.values()))})" if incomplete else ""


def fingerprint(recordings: pd.DataFrame, corpus: Corpus) -> str:
    """Return a short hash of the recordings' names, labels and file sizes and of the table of face measurements.

    It is the same wherever the corpus lies.
    """
    paths = sorted({path for column in ("audio", "video") for path in recordings[column] if path})
    sizes = [(Path(path).name, Path(path).stat().st_size) for path in paths]
    measured = hashlib.sha256(places.corpus(corpus.features).read_bytes()).hexdigest() if corpus.features else ""
    return digest([sizes, measured, recordings[["recording", "speaker", "label", "features"]].astype(str).values.tolist()])


@dataclass(frozen=True)
class Fold:
    """One split of the recordings: ``train`` and ``test`` are sorted row numbers of the table."""

    number: int
    name: str
    train: np.ndarray
    test: np.ndarray


def folds(recordings: pd.DataFrame, groups: int = 0) -> list[Fold]:
    """Leave one speaker out at a time, or one group of speakers where ``groups`` is above 0.

    Neighbours by name share a group, which mixes the sexes where they alternate, as in RAVDESS.
    Raises InvalidCorpus where a class to be tested has no training example, InvalidParameter for more groups than speakers.
    """
    speakers = sorted(recordings.speaker.unique())
    if groups > len(speakers) or len(speakers) < 2:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {groups}, but the corpus has {len(speakers)} speaker(s); leaving out needs 2 or more, at most one group a speaker."
        )
    return [_fold(recordings, number, list(group)) for number, group in enumerate(np.array_split(speakers, groups or len(speakers)))]


def _fold(recordings: pd.DataFrame, number: int, left_out: list[str]) -> Fold:
    tested = recordings.speaker.isin(left_out).to_numpy()
    missing = set(recordings.label[tested]) - set(recordings.label[~tested])
    if missing:
        raise InvalidCorpus(
            f"fold {number} tests class '{sorted(missing)[0]}', of which no training recording is left without speaker {', '.join(left_out)}; use more speakers or other classes."
        )
    return Fold(number, "+".join(left_out), np.flatnonzero(~tested), np.flatnonzero(tested))


def chosen_folds(recordings: pd.DataFrame, settings: Settings) -> list[Fold]:
    """Return the folds that the parameter ``folds`` names."""
    every = folds(recordings, settings.corpus.groups)
    return [every[number] for number in choose_folds(settings.folds, len(every))]
