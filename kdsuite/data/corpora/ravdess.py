"""RAVDESS (Livingstone & Russo 2018): acted speech and song of 24 actors.

A name is modality-channel-emotion-intensity-statement-repetition-actor, two digits each; the six
parts behind the modality name the take. Any tree of folders will do, and any kind of file that
ffmpeg reads.
"""

import os
import re
from pathlib import Path

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data import ENDINGS, SOUND_FILES
from kdsuite.data.corpora.features import names
from kdsuite.data.reading import find
from kdsuite.parameters import Corpus

EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
    "07": "disgust", "08": "surprised",
}  # fmt: skip
# the class of calm takes by the parameter; None: they are omitted
CALM = {"neutral": "neutral", "own": "calm", "omit": None}
NAME = re.compile(r"(0[123])-((0[12])-(0[1-8])(?:-0[12]){3}-(\d\d))", re.ASCII)
CHANNELS = {"01": "speech", "02": "song"}


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), one row a take.

    In a table of face measurements, names may begin with any modality. Raises InvalidCorpus for a
    sound or video file whose name is not RAVDESS's, and for two files of a take that differ.
    """
    # of several rows of a take that of its first modality
    measured = {
        name.partition("-")[2]: name for name in sorted(names(corpus.features), reverse=True)
    }
    classes = EMOTIONS | {"02": CALM[corpus.calm]}
    files = find(folder, corpus, _take, ["01", "02", "03"])
    take = files.index.to_series()
    label = pd.Categorical(
        take.str[3:5].map(classes), [*dict.fromkeys(filter(None, classes.values()))]
    )
    table = pd.DataFrame({
        "recording": take, "speaker": "Actor_" + take.str[-2:], "label": label,
        # modality 03 is the sound as recorded; that in 01 was compressed with the video
        "audio": files["03"].fillna(files["01"]), "video": files["01"].fillna(files["02"]),
        "features": take.map(measured).astype(str),
    })  # fmt: skip
    table.attrs = files.attrs
    return table[take.str[:2].map(CHANNELS).isin(corpus.channels)]


def _take(path):
    """Return take, modality and path of a sound or video file."""
    stem, ending = os.path.splitext(os.path.basename(path.lower()))
    if ending not in ENDINGS:
        return None
    if not (match := NAME.fullmatch(stem)):
        raise InvalidCorpus(
            f"{path} is not a RAVDESS file name (such as 01-01-05-02-01-01-12.mp4, with emotions "
            "from 01 to 08); move it out of the corpus."
        )
    # sound that somebody took out of a video and left its name is no video
    return match[2], "03" if ending in SOUND_FILES else match[1], path
