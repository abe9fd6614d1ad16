"""RAVDESS (Livingstone & Russo 2018): acted speech and song of 24 actors, labels in the file names.

A name is modality-channel-emotion-intensity-statement-repetition-actor, two digits each; the six parts behind the
modality name the take. Any tree of folders will do, and any kind of file that ffmpeg reads.
"""

from __future__ import annotations

import os
import re
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
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
# modality 03 is the sound as recorded; the sound in 01 was compressed with the video
SOUND, VIDEO = ("03", "01"), ("01", "02")
# the published design: every statement twice, in two intensities but for neutral; song has neither disgust nor surprised
ACTORS = {"speech": 24, "song": 23}
SUNG = tuple(EMOTIONS.values())[:6]


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), one row a take that has both sound and video.

    The sound is that of modality 03 or else 01, the video that of 01 or else 02, or a row of ``corpus.features``.
    Raises InvalidCorpus for a sound or video file whose name is not RAVDESS's.
    """
    measured = {name.partition("-")[2]: name for name in names(corpus.features)}
    rows, incomplete = [], {}
    for take, files in _takes(folder).items():
        channel, emotion, *_, actor = take.split("-")
        label = _label(EMOTIONS[emotion], corpus.calm)
        if CHANNELS[channel] not in corpus.channels or label is None:
            continue
        sound = next((files[modality] for modality in SOUND if modality in files), "")
        video = (
            ""
            if corpus.features
            else next((files[modality] for modality in VIDEO if modality in files), "")
        )
        features = measured.get(take, "")
        if sound and (video or features):
            rows.append((take, f"Actor_{actor}", label, sound, video, features))
        else:
            incomplete[take] = f"take {take} has no {'video' if sound else 'sound'}"
    table = pd.DataFrame(
        rows, columns=["recording", "speaker", "label", "audio", "video", "features"]
    )
    labels = dict.fromkeys(_label(emotion, corpus.calm) for emotion in EMOTIONS.values())
    table["label"] = pd.Categorical(table.label, [label for label in labels if label])
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
    if match is None:
        raise InvalidCorpus(
            f"{path} is not a RAVDESS file name (such as 01-01-05-02-01-01-12.mp4); move it out of the corpus."
        )
    if match.group(4) not in EMOTIONS:
        raise InvalidCorpus(
            f"{path} has the unknown emotion code {match.group(4)} (RAVDESS has 01 to 08); rename it or move it out of the corpus."
        )
    return match.group(1), match.group(2)


def _stop(error: OSError) -> None:
    """Stop where a folder cannot be listed, which os.walk would pass over in silence."""
    raise error


def _label(emotion: str, calm: str) -> str | None:
    return (
        {"neutral": "neutral", "own": "calm", "omit": None}[calm] if emotion == "calm" else emotion
    )


def published(corpus: Corpus) -> dict[str, int]:
    """Return how many recordings, speakers and recordings of each class the whole corpus has under these parameters.

    Of a synthetic corpus nothing is published, and of a task of telling speakers no class is counted.
    """
    if corpus.synthetic is not None:
        return {}
    classes: dict[str, int] = {}
    for emotion in EMOTIONS.values():
        label, takes = _label(emotion, corpus.calm), 4 if emotion == "neutral" else 8
        for channel in set(corpus.channels):
            if label and (channel == "speech" or emotion in SUNG):
                classes[label] = classes.get(label, 0) + takes * ACTORS[channel]
    counts = {
        "recordings": sum(classes.values()),
        "speakers": max((ACTORS[channel] for channel in corpus.channels), default=0),
    }
    return {**counts, **(classes if corpus.target == "label" else {})}
