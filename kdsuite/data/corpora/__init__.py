"""From a corpus on disk to one table of recordings (the folds follow in :mod:`.protocols`).

A reader returns one row a recording, and of the columns of :data:`COLUMNS` those it has something to say of:

- ``recording``, a name that no other row has; ``speaker``; ``label``, a pandas categorical in the order of the corpus;
- ``audio`` and ``video``: absolute paths; ``video`` may also be a folder of still pictures, and is empty where a table of
  face measurements stands for it, or where there is none;
- ``features``: the recording's name in the table of face measurements;
- ``audio_start``, ``video_start`` and ``seconds``: which part of the files it is, in seconds; ``seconds`` NaN is up to the end;
- ``face``: where the face is in the frame, empty for the centre, ``left`` or ``right`` for that half, or the path of a face
  track file; ``crop`` for pictures that are face crops already, which are used whole;
- ``source``: the longer recording (video, dialogue) it was cut from; ``fold``: the corpus' own fold, or train, validation, test.

``attrs["incomplete"]`` names what was left out, and why.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus, InvalidParameter, UserError, printable
from kdsuite import places
from kdsuite.data import STORE_FORMAT
from kdsuite.data.corpora import iemocap, manifest, ravdess, voxceleb1
from kdsuite.data.decoding.faces import is_track
from kdsuite.data.protocols import Fold, chosen_folds, folds
from kdsuite.parameters import Corpus
from kdsuite.settings import Settings, digest, parameters_of_stage

__all__ = ["COLUMNS", "Fold", "chosen_folds", "fingerprint", "folds", "published", "read", "file_fingerprint", "trials"]

# column and what it holds where a reader says nothing
COLUMNS = {
    "recording": "", "speaker": "", "label": "", "audio": "", "video": "", "features": "",
    "audio_start": 0.0, "video_start": 0.0, "seconds": np.nan, "face": "", "source": "", "fold": "",
}  # fmt: skip
# how a cell begins that a spreadsheet computes: with = or @, or with + or - before a call or a command
FORMULA = re.compile(r"[=@]|[+-].*[(|!]")
READERS: dict[str, Callable[[Path, Corpus], pd.DataFrame]] = {
    "ravdess": ravdess.read,
    "voxceleb1": voxceleb1.read,
    "iemocap": iemocap.read,
    "manifest": manifest.read,
}
# corpora with lists of verification trials: how to read the lists, and where their files are
TRIALS = {"voxceleb1": (voxceleb1.read_trials, voxceleb1.trial_files)}
PUBLISHED: dict[str, Callable[[Corpus], dict[str, int]]] = {
    "ravdess": ravdess.published,
    "voxceleb1": voxceleb1.published,
    "iemocap": iemocap.published,
    "manifest": manifest.published,
}


def read(corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings of a corpus, sorted by name.

    Raises InvalidCorpus where the folder is missing, has no recordings, or holds a file that does not belong there.
    """
    folder = places.corpus(corpus.path)
    if not folder.exists():
        what, name = ("manifest", "FILE") if corpus.layout == "manifest" else ("corpus folder", "FOLDER")
        raise InvalidCorpus(f"the {what} {folder} does not exist; put it there, or name another with -y 'corpus: {{path: {name}}}'.")
    with _opened():
        recordings = READERS[corpus.layout](folder, corpus)
    if recordings.empty:
        raise InvalidCorpus(
            f"no usable recording lies in {folder}; check the parameters corpus.path and those of the {corpus.layout} layout{_why(recordings)}."
        )
    table = _completed(recordings, folder, corpus)
    for column in ("recording", "speaker", "label", "fold"):
        _check_names(table[column], folder)
    tracks = table.face[table.face.map(is_track)]
    _check_places({*table.audio, *table.video, *tracks} - {""}, folder, corpus)
    return table


@contextmanager
def _opened() -> Iterator[None]:
    """Tell of what may not be opened in one sentence."""
    try:
        yield
    except OSError as error:
        raise InvalidCorpus(
            f"{error.filename} cannot be read ({error.strerror}); permit reading it, or move it out of the corpus."
        ) from None


def _check_names(names: pd.Series, folder: Path) -> None:
    """Refuse names that do harm where they are shown: that break a line, command a terminal, or compute in a spreadsheet."""
    for name in names.unique():
        if printable(name) != name or FORMULA.match(name):
            raise InvalidCorpus(
                f"the {names.name} '{name}' in {folder} has signs that cannot be shown, or would be a formula in a spreadsheet; rename it."
            )


def _check_places(files: Iterable[str], folder: Path, corpus: Corpus) -> None:
    """Refuse files outside of the corpus and the corpora folders, links followed: a manifest or an archive may come from anybody."""
    if corpus.outside:
        return
    real, home = cache(os.path.realpath), folder.parent if corpus.layout == "manifest" else folder
    homes = tuple(os.path.join(real(place), "") for place in (home, *places.CORPORA))
    for file in files:
        found = os.path.realpath(file) if os.path.islink(file) else os.path.join(real(os.path.dirname(file)), os.path.basename(file))
        if not found.startswith(homes):
            raise InvalidCorpus(
                f"{file} lies outside of {home} and of the corpora folders; move it there, or allow it with -y 'corpus: {{outside: true}}'."
            )


def trials(corpus: Corpus) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return verification trials (list, genuine, first, second), the files they name (recording, speaker, audio), and those missing.

    Raises InvalidParameter where the layout has no trials, InvalidCorpus where a list is absent or malformed.
    """
    if corpus.layout not in TRIALS:
        raise InvalidParameter(f"parameter 'corpus.trials' needs a layout with trial lists ({', '.join(TRIALS)}), not {corpus.layout}.")
    folder, (read_lists, find) = places.corpus(corpus.path), TRIALS[corpus.layout]
    with _opened():
        pairs = read_lists(folder, corpus.trials)
        files, missing = find(folder, pairs)
    _check_places(files.audio, folder, corpus)
    return pairs, files, missing


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts that the corpus' owners or the paper print for this choice of recordings; empty where none are."""
    return PUBLISHED[corpus.layout](corpus)


def _completed(recordings: pd.DataFrame, folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Fill in what the reader says nothing of, choose the target, and sort by name."""
    incomplete = dict(recordings.attrs.get("incomplete", {}))
    table = recordings.assign(**{name: value for name, value in COLUMNS.items() if name not in recordings})
    table["source"] = table.source.where(table.source != "", table.recording)
    if corpus.target == "speaker":
        table["label"] = pd.Categorical(table.speaker)
    else:
        table["label"] = table.label.cat.remove_unused_categories()
    seen = (table.video != "") | (table.features != "")
    if seen.any():  # all runs of a corpus are compared on the same recordings, those that a teacher can see
        incomplete |= {name: f"recording {name} has no video" for name in table.recording[~seen]}
        table = table[seen]
    if table.recording.duplicated().any():
        name = table.recording[table.recording.duplicated()].iloc[0]
        raise InvalidCorpus(f"recording {name} is more than once in {folder}; keep one of its files.")
    table = table[list(COLUMNS)].sort_values("recording", ignore_index=True)
    table.attrs["incomplete"] = incomplete
    return table


def _why(recordings: pd.DataFrame) -> str:
    incomplete = recordings.attrs.get("incomplete", {})
    return f" ({len(incomplete)} were left out, the first because {next(iter(incomplete.values()))})" if incomplete else ""


def fingerprint(recordings: pd.DataFrame, corpus: Corpus) -> str:
    """Return a short hash of the rows, of what their files hold, and of the table of face measurements.

    It is the same wherever the corpus lies. Of a file its name, its size and a block of its middle are looked at, so that
    one that was changed for another of equal length is noticed.
    """
    tracks = recordings.face.map(is_track)
    rows = recordings.assign(face=recordings.face.where(~tracks, "track"), track=recordings.face.where(tracks, ""))
    # the folds are not decoded: whoever trains looks at them
    rows = rows.drop(columns="fold").astype(str)
    for column in ("audio", "video", "track"):
        rows[column] = rows[column].map({path: file_fingerprint(path) for path in rows[column].unique()})
    measured = hashlib.sha256(places.corpus(corpus.features).read_bytes()).hexdigest() if corpus.features else ""
    return digest([measured, rows.values.tolist()])


def store_name(recordings: pd.DataFrame, settings: Settings) -> str:
    """Return the name of the store of recordings, a short hash of them and of how they are decoded."""
    return digest([STORE_FORMAT, fingerprint(recordings, settings.corpus), parameters_of_stage(settings, "data")])


def on_disk(settings: Settings) -> str:
    """Return the name of the store of a corpus as it lies there now, "" where none can be read."""
    try:
        return store_name(read(settings.corpus), settings)
    except (UserError, OSError):
        return ""


def trials_on_disk(settings: Settings) -> str:
    """Return a short hash of the verification trials and of the files they name as they lie there now, "" where there are none to read.

    So of a synthetic corpus, which is told by its parameters.
    """
    if settings.corpus.synthetic or not settings.corpus.trials:
        return ""
    try:
        pairs, files, _ = trials(settings.corpus)
    except (UserError, OSError):
        return ""
    return digest([pairs.astype(str).values.tolist(), [file_fingerprint(path) for path in files.audio]])


def file_fingerprint(path: str) -> list:
    """Return what tells a file from another: name, size and a hash of 4 KB from its middle; of a folder those of its pictures."""
    if not path:
        return []
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            return sorted([entry.name, entry.stat().st_size] for entry in entries)
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        file.seek(size // 2)
        return [os.path.basename(path), size, hashlib.sha256(file.read(4096)).hexdigest()[:12]]
