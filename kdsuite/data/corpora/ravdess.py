"""RAVDESS (Livingstone & Russo 2018): acted speech and song of 24 actors.

A name is modality-channel-emotion-intensity-statement-repetition-actor, two digits each; the six
parts behind the modality name the take. Any tree of folders will do, and any kind of file that
ffmpeg reads.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data.corpora.features import names
from kdsuite.parameters import Corpus

NAME = re.compile(r"(0[123])-((0[12])-(\d\d)-(0[12])-(0[12])-(0[12])-(\d\d))", re.ASCII)
SOUND_FILES = {".wav", ".flac", ".mp3", ".m4a", ".ogg"}
MEDIA = {".mp4", ".avi", ".mov", ".mkv", *SOUND_FILES}
CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
    "07": "disgust", "08": "surprised",
}  # fmt: skip
# modality 03 is the sound as recorded; the sound in 01 was compressed with the video
SOUND, VIDEO = ("03", "01"), ("01", "02")
# the published design: every statement twice, in two intensities but for neutral; song has neither
# disgust nor surprised
ACTORS = {"speech": 24, "song": 23}
SUNG = tuple(EMOTIONS.values())[:6]


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), one row a complete take.

    The sound is that of modality 03 or else 01, the video that of 01 or else 02, or a row of
    ``corpus.features``. Raises InvalidCorpus for a sound or video file whose name is not
    RAVDESS's.
    """
    measured = {name.partition("-")[2]: name for name in names(corpus.features)}
    rows, incomplete = [], {}
    for take, files in _takes(folder).items():
        channel, emotion, *_, actor = take.split("-")
        label = _label(EMOTIONS[emotion], corpus)
        if CHANNELS[channel] not in corpus.channels or not label:
            continue
        sound, video = (next(filter(None, map(files.get, kinds)), "") for kinds in (SOUND, VIDEO))
        face = ("", measured.get(take, "")) if corpus.features else (video, "")
        if sound and any(face):
            rows.append((take, f"Actor_{actor}", label, sound, *face))
        else:
            incomplete[take] = f"take {take} has no {'video' if sound else 'sound'}"
    columns = ["recording", "speaker", "label", "audio", "video", "features"]
    table = pd.DataFrame(rows, columns=columns)
    labels = dict.fromkeys(_label(emotion, corpus) for emotion in EMOTIONS.values())
    table["label"] = pd.Categorical(table.label, list(filter(None, labels)))
    table.attrs["incomplete"] = incomplete
    return table


def _takes(folder: Path) -> dict[str, dict[str, str]]:
    """Return the files of each take by modality."""
    takes: dict[str, dict[str, str]] = {}
    for parent, _, files in os.walk(folder, onerror=_stop):
        for name in files:
            stem, ending = os.path.splitext(name)
            if ending.lower() not in MEDIA or name.startswith("."):
                continue
            path = os.path.join(parent, name)
            modality, take = _parts(stem, path)
            # sound that somebody took out of a video and left its name is no video
            modality = "03" if ending.lower() in SOUND_FILES else modality
            other = takes.setdefault(take, {}).setdefault(modality, path)
            if other != path:
                raise InvalidCorpus(
                    f"{path} and {other} are the same take; move one of them out of the corpus."
                )
    return takes


def _parts(stem: str, path: str) -> tuple[str, str]:
    """Return modality and take. Raises InvalidCorpus for what is not RAVDESS's."""
    match = NAME.fullmatch(stem)
    if not match:
        raise InvalidCorpus(
            f"{path} is not a RAVDESS file name (such as 01-01-05-02-01-01-12.mp4); move it out of "
            "the corpus."
        )
    modality, take, _, emotion, *_ = match.groups()
    if emotion not in EMOTIONS:
        raise InvalidCorpus(
            f"{path} has the unknown emotion code {emotion} (RAVDESS has 01 to 08); rename it or "
            "move it out of the corpus."
        )
    return modality, take


def _stop(error: OSError) -> None:
    """Stop where a folder cannot be listed, which os.walk would skip."""
    raise error


def _label(emotion: str, corpus: Corpus) -> str:
    """Return the class of an emotion, "" where it is omitted."""
    calm = {"neutral": "neutral", "own": "calm", "omit": ""}[corpus.calm]
    return calm if emotion == "calm" else emotion


def published(corpus: Corpus) -> dict[str, int]:
    """Return how many recordings, speakers and recordings of each class these parameters choose.

    Classes are counted where the label is the target.
    """
    classes, channels = Counter(), set(corpus.channels)
    for channel in channels:
        for emotion in EMOTIONS.values() if channel == "speech" else SUNG:
            takes = 4 if emotion == "neutral" else 8
            classes[_label(emotion, corpus)] += takes * ACTORS[channel]
    classes.pop("", None)
    speakers = max((ACTORS[channel] for channel in channels), default=0)
    counts = {"recordings": classes.total(), "speakers": speakers}
    return counts | classes if corpus.target == "label" else counts
