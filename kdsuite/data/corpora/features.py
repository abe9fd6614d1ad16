"""Face measurements in a table (such as action units), which stand for an absent video.

The first column names the recording; a recording may have several rows, in the order of time. A
column ``time`` holds seconds on the clock of the video, as ``video_start`` does; the rows then
count as frames. All other columns are numbers that measure the face. Columns are separated by
commas, in a file ``.tsv`` by tabs.
"""

import math
from functools import lru_cache

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import paths
from kdsuite.data.reading import read_table, refuse, reported
from kdsuite.parameters import Corpus

TIME = "time"
LARGEST = float(np.finfo(np.float32).max)


def names(path: str) -> set[str]:
    """Return the recordings that a table measures; none where ``path`` is empty."""
    return {*_table(path).index} if path else set()


def timed(path: str) -> bool:
    """Return whether a table has the time of each row."""
    return TIME in _table(path)


def columns(path: str) -> list[str]:
    """Return the names of the measurements in a table, without the time."""
    return _table(path).columns.drop(TIME, errors="ignore").tolist()


def measurements(
    recordings: pd.DataFrame, corpus: Corpus, fps: int | None = None
) -> list[np.ndarray]:
    """Return one float32 array ``(rows, measurements)`` a recording.

    They are standardised within each speaker where ``corpus.standardise`` says so: over all of
    that speaker's recordings and without labels, which takes away what a face at rest looks like.
    Where the table is timed and ``fps`` is not None, the rows are interpolated at
    ``video_start + n / fps`` seconds up to the last row or the recording's end, whichever comes
    first: as many frames a second as a video would have. Raises InvalidCorpus where the rows end
    before a recording begins, or the other way round.
    """
    table = _table(corpus.features)
    table = table[table.index.isin(recordings.features)]
    values = table.drop(columns=TIME, errors="ignore")
    if corpus.standardise == "speaker":
        values = _standardised(values, recordings)
    rows, values = table.groupby(level=0).indices, values.to_numpy(float)
    parts = [(part, rows[part.features]) for part in recordings.itertuples()]
    if fps and TIME in table:
        times = table[TIME].to_numpy()
        return [_frames(part, times[own], values[own], fps) for part, own in parts]
    return [values[own].astype(np.float32) for _, own in parts]


def _standardised(values, recordings):
    """Return measurements of zero mean and unit variance over the rows of each speaker."""
    # several recordings may be cut from one course of measurements, of one face
    speakers = recordings.groupby("features").speaker
    if speakers.nunique().max() > 1:
        raise InvalidCorpus(
            f"the face measurements '{speakers.nunique().idxmax()}' belong to recordings of "
            "several speakers, so none can be standardised; give each speaker rows of their own, "
            "or set corpus.standardise to none."
        )
    groups = values.groupby(speakers.first().reindex(values.index).to_numpy())
    # of a single row there is no variance
    deviation = groups.transform("std").replace(0, np.nan).fillna(1)
    return (values - groups.transform("mean")) / deviation


def _frames(part, times, rows, fps):
    """Interpolate ``(rows, measurements)`` at the frames of one recording.

    Before the first row that one holds.
    """
    begin, end = part.video_start, part.video_start + np.nan_to_num(part.seconds, nan=math.inf)
    if times[-1] < begin or times[0] >= end:
        raise InvalidCorpus(
            f"the face measurements of recording {part.recording} are from {times[0]:g} to "
            f"{times[-1]:g} s, not in its part from {begin:g} s on; correct their column 'time' or "
            "leave it out."
        )
    # a hair more, because 0.28 * 25 is a little less than 7
    count = math.floor((min(times[-1], end - 1 / fps) - begin) * fps + 1e-6) + 1
    moments = begin + np.arange(max(count, 1)) / fps
    columns = [np.interp(moments, times, column) for column in rows.T]
    return np.stack(columns, axis=1).astype(np.float32)


@reported()
def _table(path):
    """Return the measurements by recording.

    Raises InvalidCorpus where the table is missing or not made of numbers.
    """
    file = paths.corpus(path)
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(1)  # several of its readers follow each other
def _read(file, changed):
    table = read_table(file, [TIME])
    names, cells = table.iloc[:, 0], table.iloc[:, 1:]
    if not {*cells} - {TIME}:
        raise InvalidCorpus(
            f"{file} has no column of measurements; put the recording's name first and its numbers "
            "behind it."
        )
    refuse(names.isna(), file, "names no recording; write its name into the first column.")
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = ~(numbers.abs() <= LARGEST)
    complaint = "has '{}' where a finite number is needed; correct it or drop its column."
    refuse(
        wrong.any(axis=1), file, complaint, cells.fillna("").where(wrong).bfill(axis=1).iloc[:, 0]
    )
    if TIME in numbers:
        times = numbers[TIME]
        late = (times < 0) | (times.groupby(names, sort=False).diff() <= 0)
        complaint = (
            "has the time {:g} s, before 0 or not after the row before it of recording {}; sort "
            "its rows by time."
        )
        refuse(late, file, complaint, times, names)
    return numbers.set_axis(names)
