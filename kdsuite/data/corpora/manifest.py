"""Recordings of one's own: a table (CSV, or TSV with tabs) with one line a recording.

Columns: ``audio``, ``speaker`` and, unless the speaker is the target, ``label`` are needed. ``recording`` names the line,
``video`` the file with the face, ``start`` and ``end`` the part of both files in seconds, ``split`` (train, validation, test)
or ``fold`` whose turn it is in the test, ``face`` and ``source`` are as in :mod:`kdsuite.data.corpora`, and ``features`` is the
recording's name in the table of face measurements where it has another one there. Further columns are not looked at. Where
some lines have a video, those without are left out, as of any corpus.

Files lie beside the manifest or below, or in a corpora folder; elsewhere only where ``corpus.outside`` allows it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdlib.parameters import Corpus
from kdsuite import places
from kdsuite.data.corpora.features import names, read_csv
from kdsuite.data.folds import SPLIT

NEEDED = ("audio", "speaker", "label")
OPTIONAL = ("recording", "video", "start", "end", "split", "fold", "face", "source", "features")
FACES = ("", "left", "right", "crop")


def read(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`); labels are in the order of the alphabet.

    Raises InvalidCorpus with the line of the manifest that cannot be used.
    """
    lines = _lines(path, corpus)
    start, end = _seconds(lines, "start", path).fillna(0.0), _seconds(lines, "end", path)
    _refuse(
        end <= start,
        path,
        "ends at {:g} s, not after its start at {:g} s; mend start or end.",
        end,
        start,
    )
    recording = _names(lines, start, path)
    part = {"audio_start": start, "video_start": start, "seconds": end - start}
    table = pd.DataFrame({
        "recording": recording, "speaker": lines.speaker, "label": lines.label, **_files(lines, path), **part, "fold": _folds(lines, path),
        # what is cut from one file has one source
        "source": lines.source.where(lines.source != "", _stems(lines.video.where(lines.video != "", lines.audio))),
    })  # fmt: skip
    table = _measured(table, lines.features, corpus) if corpus.features else table
    return table.assign(label=pd.Categorical(table.label))


def _lines(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Return all known columns as text, "" where a column is absent, indexed by the number of the line in the file."""
    lines = _parsed(path)
    _check_columns(list(lines.columns), path, corpus)
    for column in _needed(corpus):
        _refuse(lines[column] == "", path, f"has an empty cell in column '{column}'; fill it.")
    absent = {"video"} if corpus.features else set()  # the table of face measurements stands for it
    return pd.DataFrame(
        {
            column: "" if column in absent else lines.get(column, "")
            for column in (*NEEDED, *OPTIONAL)
        },
        index=lines.index,
    )


def _needed(corpus: Corpus) -> tuple[str, ...]:
    return NEEDED if corpus.target == "label" else NEEDED[:2]


def _parsed(path: Path) -> pd.DataFrame:
    """Return the cells as text under their columns. Raises InvalidCorpus where the file is no table."""
    try:
        # the header is read as a line, so that a line with a cell more is an error; blank lines count as lines
        cells = read_csv(
            path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False
        )
    except OSError as error:
        raise InvalidCorpus(
            f"the manifest {path} cannot be read ({error.strerror}); name a file with the parameter corpus.path."
        ) from None
    cells = cells.fillna("").map(str.strip).set_axis(range(1, len(cells) + 1))
    lines = cells.iloc[1:].set_axis(list(cells.iloc[0]), axis="columns")
    return lines[(lines != "").any(axis="columns")]


def _check_columns(found: list[str], path: Path, corpus: Corpus) -> None:
    """Refuse a manifest without a needed column, with one twice, or with one that is misspelt."""
    for column in _needed(corpus):
        if column not in found:
            raise InvalidCorpus(
                f"{path} has no column '{column}' (it has {', '.join(found)}); add it, and separate columns by commas."
            )
    known = [*NEEDED, *OPTIONAL]
    for column in known:
        if found.count(column) > 1:
            raise InvalidCorpus(f"{path} has the column '{column}' more than once; keep one.")
    if {"split", "fold"} <= set(found):
        raise InvalidCorpus(
            f"{path} has both the columns 'split' and 'fold'; keep the one that corpus.protocol given shall take."
        )
    for column in sorted(set(found) - set(known)):
        meant = difflib.get_close_matches(
            column.lower(), sorted(set(known) - set(found)), n=1, cutoff=0.8
        )
        if meant:
            raise InvalidCorpus(
                f"{path} has a column '{column}'; rename it to '{meant[0]}' if that is meant, else to something less like it."
            )


def _refuse(wrong: pd.Series, path: Path, complaint: str, *columns: pd.Series) -> None:
    """Raise InvalidCorpus for the first line that is wrong; ``complaint`` has a place for its cell of each of ``columns``."""
    if wrong.any():
        line = wrong.idxmax()
        raise InvalidCorpus(
            f"line {line} of {path} {complaint.format(*(column[line] for column in columns))}"
        )


def _seconds(lines: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Return a column of times, NaN where a cell is empty."""
    seconds = pd.to_numeric(lines[column], errors="coerce").astype(float)
    wrong = (lines[column] != "") & ~(np.isfinite(seconds) & (seconds >= 0))
    _refuse(
        wrong,
        path,
        f"has '{{}}' as {column}; write seconds from 0 on, such as 12.5, or leave it empty.",
        lines[column],
    )
    return seconds


def _stems(files: pd.Series) -> pd.Series:
    """Return the names of files without folder and ending; with folder where two files differ in nothing else."""
    paths = files.map(lambda name: os.path.splitext(name)[0])
    stems = paths.map(os.path.basename)
    alike = paths.groupby(stems).transform("nunique") > 1
    return stems.where(~alike, paths)


def _names(lines: pd.DataFrame, start: pd.Series, path: Path) -> pd.Series:
    """Return the recordings' names: as given, or the sound file's, with the start where lines share a file."""
    parts = lines.audio.duplicated(keep=False)
    made = _stems(lines.audio) + start.map("@{:.10g}".format).where(parts, "")
    recording = lines.recording.where(lines.recording != "", made)
    first = recording.map(dict(zip(recording[::-1], recording.index[::-1])))
    complaint = (
        "is recording {}, as line {} is; drop one, or tell them apart in a column 'recording'."
    )
    _refuse(recording.duplicated(), path, complaint, recording, first)
    return recording


def _files(lines: pd.DataFrame, path: Path) -> dict[str, pd.Series]:
    """Return the columns that name files, as absolute paths; a video may be a folder of pictures."""
    return {
        column: _located(lines[column], words, path)
        for column, words in {"audio": (), "video": ("",), "face": FACES}.items()
    }


def _located(files: pd.Series, words: tuple[str, ...], path: Path) -> pd.Series:
    """Return the absolute paths of one column, whose ``words`` name no file."""
    where = {
        name: name if name in words else _where(name, path.parent, files.name)
        for name in files.unique()
    }
    complaint = f"names the {files.name} file {{}}, which does not exist; put it beside the manifest or into a corpora folder, or mend the name."
    _refuse(files.map(where).isna(), path, complaint, files)
    return files.map(where)


def _where(name: str, folder: Path, column: str) -> str | None:
    """Return a file's absolute path: beside the manifest, else in the first corpora folder that has it."""
    candidates = (home / name for home in (folder, *places.CORPORA))
    # os.path's, for a Path raises an error where a name is too long
    return next(
        (
            str(path)
            for path in candidates
            if os.path.isfile(path) or (column == "video" and os.path.isdir(path))
        ),
        None,
    )


def _folds(lines: pd.DataFrame, path: Path) -> pd.Series:
    """Return whose turn it is in the test: the column ``fold``, or ``split`` with its three words."""
    wrong = (lines.split != "").any() & ~lines.split.isin(SPLIT)
    _refuse(
        wrong,
        path,
        f"has '{{}}' as split; choose from {', '.join(SPLIT)}, or name the column 'fold'.",
        lines.split,
    )
    return lines.fold.where(lines.fold != "", lines.split)


def _measured(table: pd.DataFrame, features: pd.Series, corpus: Corpus) -> pd.DataFrame:
    """Let face measurements stand for the video; recordings without are left out and named in ``incomplete``."""
    table = table.assign(video="", features=features.where(features != "", table.recording))
    there = table.features.isin(names(corpus.features))
    measured = table[there].copy()
    measured.attrs["incomplete"] = {
        row.recording: f"recording {row.recording} has no face measurements named {row.features}"
        for row in table[~there].itertuples()
    }
    return measured


def published(corpus: Corpus) -> dict[str, int]:
    """Return nothing: nobody has published how many recordings of one's own there are."""
    return {}
