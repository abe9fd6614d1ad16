"""Face measurements in a table (such as action units), which stand for the video where it cannot be had.

The first column names the recording; a recording may have several rows, in the order of time. All other columns are numbers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kdlib import places
from kdlib.errors import InvalidCorpus
from kdlib.settings import Corpus


def _table(path: str) -> pd.DataFrame:
    """Return the measurements by recording. Raises InvalidCorpus where the table is missing or is not made of numbers."""
    file = places.corpus(path)
    if not file.is_file():
        raise InvalidCorpus(
            f"the table of face measurements {file} does not exist; put it there, or name it with the parameter corpus.features."
        )
    table = pd.read_csv(file, index_col=0, dtype={0: str})
    unusable = [column for column in table if not pd.api.types.is_numeric_dtype(table[column]) or not np.isfinite(table[column]).all()]
    if unusable:
        raise InvalidCorpus(f"column '{unusable[0]}' of {file} holds something that is no finite number; mend or drop that column.")
    return table


def names(path: str) -> list[str]:
    """Return the recordings that a table measures; none where ``path`` is empty."""
    return list(dict.fromkeys(_table(path).index)) if path else []


def measurements(recordings: pd.DataFrame, corpus: Corpus) -> list[np.ndarray]:
    """Return one float32 array ``(rows, measurements)`` a recording, standardised within each speaker where asked.

    Standardising for each speaker looks at all of that speaker's recordings and at no label: it takes away what a face
    at rest looks like.
    """
    table = _table(corpus.features)
    rows = table.loc[table.index.isin(recordings.features)]
    if corpus.standardise == "speaker":
        speaker = recordings.set_index("features").speaker.reindex(rows.index)
        scaled = rows.groupby(speaker.to_numpy())
        rows = (rows - scaled.transform("mean")) / scaled.transform("std").replace(0.0, 1.0)
    found = dict(iter(rows.groupby(level=0, sort=False)))
    return [found[name].to_numpy(np.float32) for name in recordings.features]
