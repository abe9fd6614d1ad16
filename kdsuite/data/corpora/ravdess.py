"""RAVDESS (Livingstone & Russo 2018): acted speech and song of 24 actors.

A name is modality-channel-emotion-intensity-statement-repetition-actor, two digits each; the six
parts behind the modality name the take. Any tree of folders will do, and any kind of file that
ffmpeg reads.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data.corpora.features import names
from kdsuite.data.reading import SOUND_FILES, VIDEO_FILES, one_each, walk
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
    measured = {name.partition("-")[2]: name for name in names(corpus.features)}
    rows, classes = [], EMOTIONS | {"02": CALM[corpus.calm]}
    takes, copies = _takes(folder, corpus)
    for take, files in takes.items():
        channel, emotion, *_, actor = take.split("-")
        if CHANNELS[channel] in corpus.channels:
            # modality 03 is the sound as recorded; that in 01 was compressed with the video
            sound = files.get("03") or files.get("01", "")
            face = files.get("01") or files.get("02", ""), measured.get(take, "")
            rows.append((take, f"Actor_{actor}", classes[emotion], sound, *face))
    columns = ["recording", "speaker", "label", "audio", "video", "features"]
    order = dict.fromkeys(filter(None, classes.values()))
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["copies"] = copies
    return table.assign(label=pd.Categorical(table.label, [*order]))


def _takes(folder, corpus):
    """Return the files of each take by modality, and what is to be said of copies."""
    found = defaultdict(list)
    for path in walk(folder, corpus):
        stem, ending = os.path.splitext(os.path.basename(path.lower()))
        if ending not in (*SOUND_FILES, *VIDEO_FILES):
            continue
        match = NAME.fullmatch(stem)
        if not match:
            raise InvalidCorpus(
                f"{path} is not a RAVDESS file name (such as 01-01-05-02-01-01-12.mp4, with "
                "emotions from 01 to 08); move it out of the corpus."
            )
        # sound that somebody took out of a video and left its name is no video
        found[match[2], "03" if ending in SOUND_FILES else match[1]].append(path)
    takes, (files, copies) = defaultdict(dict), one_each(found, corpus)
    for (take, modality), path in files.items():
        takes[take][modality] = path
    return takes, copies
