"""Recordings of one's own: a table (CSV, or TSV with tabs) with one line a recording.

Columns: ``audio``, ``speaker`` and, unless the speaker is the target, ``label`` are needed.
``recording`` names the line, ``video`` the file with the face, ``start`` and ``end`` the part of
both files in seconds, ``split`` (train, validation, test) or ``fold`` the part of the corpus' own
folds, ``face`` and ``source`` are as in :mod:`kdsuite.data.corpora`, and ``features`` is the
recording's name in the table of face measurements where it has another one there. Further columns
are ignored. Where some lines have a video, those without are left out, as of any corpus.

Files lie beside the manifest or below, or in a corpora folder; elsewhere only where
``corpus.outside`` allows it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import places
from kdsuite.data.corpora.features import names, read_csv
from kdsuite.data.folds import SPLIT
from kdsuite.parameters import Corpus

NEEDED = ("audio", "speaker", "label")
OPTIONAL = ("recording", "video", "start", "end", "split", "fold", "face", "source", "features")
COLUMNS = [*NEEDED, *OPTIONAL]
# columns of files, with the words in them that name none
FILES = {"audio": (), "video": ("",), "face": ("", "left", "right", "crop")}


def read(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), labels sorted.

    Raises InvalidCorpus with the line of the manifest that cannot be used.
    """
    lines = _lines(path, corpus)
    start, end = _seconds(lines.start, path).fillna(0.0), _seconds(lines.end, path)
    complaint = "ends at {:g} s, not after its start at {:g} s; mend start or end."
    _refuse(end <= start, path, complaint, end, start)
    # what is cut from one file has one source
    source = _stems(lines.video.where(lines.video != "", lines.audio))
    table = pd.DataFrame({
        "recording": _names(lines, start, path), "speaker": lines.speaker, "label": lines.label,
        "audio_start": start, "video_start": start, "seconds": end - start,
        **{column: _located(lines[column], path) for column in FILES},
        "fold": _folds(lines, path), "source": lines.source.where(lines.source != "", source),
    })  # fmt: skip
    if corpus.features:
        table = _measured(table, lines.features, corpus)
    return table.assign(label=pd.Categorical(table.label))


def _lines(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Return :data:`COLUMNS` as text, "" where one is absent, by the number of the line."""
    needed = NEEDED if corpus.target == "label" else NEEDED[:2]
    lines = _parsed(path)
    _check_columns(list(lines.columns), needed, path)
    for column in needed:
        _refuse(lines[column] == "", path, f"has an empty cell in column '{column}'; fill it.")
    lines = lines.loc[:, ~lines.columns.duplicated()].reindex(columns=COLUMNS, fill_value="")
    # the table of face measurements stands for the video
    return lines.assign(video="") if corpus.features else lines


def _parsed(path: Path) -> pd.DataFrame:
    """Return the cells as text under their columns. Raises InvalidCorpus for what is no table."""
    # the header is read as a line, so that a line with a cell more is an error; blank lines count
    options = {"header": None, "keep_default_na": False, "skip_blank_lines": False}
    try:
        cells = read_csv(path, dtype=str, **options)
    except OSError as error:
        raise InvalidCorpus(
            f"the manifest {path} cannot be read ({error.strerror}); name a file with the "
            "parameter corpus.path."
        ) from None
    cells = cells.fillna("").map(str.strip).set_axis(range(1, len(cells) + 1))
    lines = cells.iloc[1:].set_axis(list(cells.iloc[0]), axis="columns")
    return lines[(lines != "").any(axis="columns")]


def _check_columns(columns: list[str], needed: tuple[str, ...], path: Path) -> None:
    """Refuse a manifest without a needed column, with one twice, or with one that is misspelt."""
    for column in needed:
        if column not in columns:
            raise InvalidCorpus(
                f"{path} has no column '{column}' (it has {', '.join(columns)}); add it, and "
                "separate columns by commas."
            )
    for column in COLUMNS:
        if columns.count(column) > 1:
            raise InvalidCorpus(f"{path} has the column '{column}' more than once; keep one.")
    if {"split", "fold"} <= set(columns):
        raise InvalidCorpus(
            f"{path} has both the columns 'split' and 'fold'; keep the one that corpus.protocol "
            "given shall take."
        )
    absent = sorted(set(COLUMNS) - set(columns))
    for column in sorted(set(columns) - set(COLUMNS)):
        for meant in difflib.get_close_matches(column.lower(), absent, n=1, cutoff=0.8):
            raise InvalidCorpus(
                f"{path} has a column '{column}'; rename it to '{meant}' if that is meant, else to "
                "something less like it."
            )


def _refuse(wrong: pd.Series, path: Path, complaint: str, *columns: pd.Series) -> None:
    """Raise InvalidCorpus for the first wrong line; its cells of ``columns`` fill ``complaint``."""
    if wrong.any():
        line = wrong.idxmax()
        cells = (column[line] for column in columns)
        raise InvalidCorpus(f"line {line} of {path} {complaint.format(*cells)}")


def _seconds(cells: pd.Series, path: Path) -> pd.Series:
    """Return a column of times, NaN where a cell is empty."""
    seconds = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = (cells != "") & ~(np.isfinite(seconds) & (seconds >= 0))
    rule = "write seconds from 0 on, such as 12.5, or leave it empty."
    _refuse(wrong, path, f"has '{{}}' as {cells.name}; {rule}", cells)
    return seconds


def _stems(files: pd.Series) -> pd.Series:
    """Return the names of files without folder and ending; with folder where two are alike."""
    paths = files.map(lambda name: os.path.splitext(name)[0])
    stems = paths.map(os.path.basename)
    return stems.where(paths.groupby(stems).transform("nunique") == 1, paths)


def _names(lines: pd.DataFrame, start: pd.Series, path: Path) -> pd.Series:
    """Return the recordings' names, or the sound file's, with the start where lines share one."""
    parts = lines.audio.duplicated(keep=False)
    made = _stems(lines.audio) + start.map("@{:.10g}".format).where(parts, "")
    recording = lines.recording.where(lines.recording != "", made)
    other = lines.index.to_series().groupby(recording).transform("min")
    complaint = (
        "is recording {}, as line {} is; drop one, or tell them apart in a column 'recording'."
    )
    _refuse(recording.duplicated(), path, complaint, recording, other)
    return recording


def _located(files: pd.Series, path: Path) -> pd.Series:
    """Return the absolute paths of one column; a video may be a folder of pictures."""
    words, exists = FILES[files.name], os.path.exists if files.name == "video" else os.path.isfile
    homes = path.parent, *places.CORPORA

    def locate(name: str) -> str | None:
        # by os.path, for a Path raises an error where a name is too long
        paths = (str(home / name) for home in homes if exists(home / name))
        return name if name in words else next(paths, None)

    paths = {name: locate(name) for name in files.unique()}
    complaint = (
        f"names the {files.name} file {{}}, which does not exist; put it beside the manifest or "
        "into a corpora folder, or mend the name."
    )
    _refuse(files.map(paths).isna(), path, complaint, files)
    return files.map(paths)


def _folds(lines: pd.DataFrame, path: Path) -> pd.Series:
    """Return the part of the corpus' own folds: the column ``fold``, or ``split``."""
    wrong = (lines.split != "").any() & ~lines.split.isin(SPLIT)
    rule = f"choose from {', '.join(SPLIT)}, or name the column 'fold'."
    _refuse(wrong, path, f"has '{{}}' as split; {rule}", lines.split)
    return lines.fold.where(lines.fold != "", lines.split)


def _measured(table: pd.DataFrame, features: pd.Series, corpus: Corpus) -> pd.DataFrame:
    """Add the names of the face measurements; leave out recordings without."""
    table = table.assign(features=features.where(features != "", table.recording))
    present = table.features.isin(names(corpus.features))
    measured = table[present].copy()
    measured.attrs["incomplete"] = {
        row.recording: f"recording {row.recording} has no face measurements named {row.features}"
        for row in table[~present].itertuples()
    }
    return measured
