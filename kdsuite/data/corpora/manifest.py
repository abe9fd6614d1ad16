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

import os
from pathlib import Path

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import paths
from kdsuite.data import SPLIT
from kdsuite.data.decoding.faces import CROP, PARTS
from kdsuite.data.reading import read_table, refuse, seconds
from kdsuite.parameters import Corpus

NEEDED = ("audio", "speaker", "label")
OPTIONAL = ("recording", "video", "start", "end", "split", "fold", "face", "source", "features")
COLUMNS = [*NEEDED, *OPTIONAL]
# columns of files, and the words in them that name none
FILES, WORDS = ("audio", "video", "face"), (*PARTS, CROP)


def read(path: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), labels sorted.

    Raises InvalidCorpus with the line of the manifest that cannot be used.
    """
    lines = _lines(path, corpus)
    start, end = seconds(lines.start, path).fillna(0.0), seconds(lines.end, path)
    complaint = "ends at {:g} s, not after its start at {:g} s; correct start or end."
    refuse(end <= start, path, complaint, end, start)
    complaint = f"has '{{}}' as split; choose from {', '.join(SPLIT)}, or name the column 'fold'."
    wrong = lines.split.notna().any() & ~lines.split.isin(SPLIT)
    refuse(wrong, path, complaint, lines.split.fillna(""))
    part = start.map("@{:.10g}".format).where(lines.audio.duplicated(keep=False), "")
    recording = lines.recording.fillna(_stems(lines.audio) + part)
    other = lines.index.to_series().groupby(recording).transform("min")
    complaint = (
        "has the recording name {} of line {}; drop one, or give it another name in a column"
        " 'recording'."
    )
    refuse(recording.duplicated(), path, complaint, recording, other)
    files = {name: _located(lines[name].fillna(""), path) for name in FILES}
    # what is cut from one file has one source
    source = lines.source.fillna(_stems(lines.video.fillna(lines.audio)))
    return pd.DataFrame({
        "recording": recording, "speaker": lines.speaker, "label": lines.label.fillna(""),
        "audio_start": start, "video_start": start, "seconds": end - start, **files,
        "source": source,
        "fold": lines.fold.fillna(lines.split), "features": lines.features,
    })  # fmt: skip


def _lines(path, corpus):
    """Return :data:`COLUMNS` as text, NaN where one is empty, by the number of the line.

    Raises InvalidCorpus for an absent column, one that is there twice, or one of another name.
    """
    needed = NEEDED if corpus.target == "label" else NEEDED[:2]
    table = read_table(path, {*needed, *OPTIONAL})
    if {"split", "fold"} <= {*table}:
        raise InvalidCorpus(
            f"{path} has both the columns 'split' and 'fold'; keep the one that corpus.protocol "
            "given shall take."
        )
    for column in needed:
        if column not in table:
            raise InvalidCorpus(
                f"{path} has no column '{column}' (it has {', '.join(table)}); add it."
            )
        refuse(table[column].isna(), path, f"has an empty cell in column '{column}'; fill it.")
    if corpus.features:  # which stands for the video
        table = table.drop(columns="video", errors="ignore")
    return table.loc[:, table.columns.isin(COLUMNS)].reindex(columns=COLUMNS).astype(str)


def _stems(files):
    """Return the names of files without folder and ending; with folder where two are alike."""
    paths = files.map(lambda name: os.path.splitext(name)[0])
    stems = paths.map(os.path.basename)
    return stems.where(paths.groupby(stems).transform("nunique") == 1, paths)


def _located(files, path):
    """Return the absolute paths of one column; a video may be a folder of pictures."""
    homes = path.parent, *paths.CORPORA

    def locate(name):
        # by os.path, for a Path raises an error where a name is too long
        there = (str(home / name) for home in homes if os.path.exists(home / name))
        return name if name in WORDS else next(there, None)

    located = files.map(locate)
    complaint = (
        f"names the {files.name} file {{}}, which does not exist; put it beside the manifest or "
        "into a corpora folder, or correct the name."
    )
    refuse(located.isna(), path, complaint, files)
    return located
