"""IEMOCAP (Busso et al. 2008): dialogues of ten actors, two a session, cut into turns.

``SessionN/dialog/EmoEvaluation/DIALOGUE.txt`` says when each turn begins and ends and which emotion
it has, ``SessionN/sentences/wav/DIALOGUE/TURN.wav`` is its sound, and
``SessionN/dialog/avi/DivX/DIALOGUE.avi`` shows both people side by side, from the dialogue's begin
to its end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data import COLUMNS
from kdsuite.data.corpora.features import names
from kdsuite.parameters import Corpus

# the actor named in a dialogue sits on the left; the letter in the last part of a turn's name is
# who speaks
DIALOGUE = re.compile(r"Ses\d\d([FM])_(impro|script)\w+")
TURN = re.compile(
    r"\[(\d+\.\d+) - (\d+\.\d+)\]\s+((Ses\d\d)[FM]_\w+_([FM])[0-9A-Za-z]+)\s+(\S+)\s+\[.*\]\s*"
)
KINDS = {"impro": "improvised", "script": "scripted"}
CLASSES = {"neu": "neutral", "hap": "happy", "exc": "happy", "ang": "angry", "sad": "sad"}
# frustration, disgust, fear, surprise, others, and where the annotators disagree: of no class
OTHER_CODES = ("fru", "dis", "fea", "sur", "oth", "xxx")
# turns of the release
EXCITED, IMPROVISED = 1041, 2943
TURNS = {"neutral": 1708, "happy": 595 + EXCITED, "angry": 1103, "sad": 1084}


class Turn(NamedTuple):
    """What the label file says of one turn; ``start`` and ``end`` are seconds of the dialogue."""

    name: str
    speaker: str
    start: float
    end: float
    code: str


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`).

    There is one row a turn of the four classes that has sound and video; rows of
    ``corpus.features`` named as the turn may stand for the video (times in it are the dialogue's).
    ``folder`` is ``IEMOCAP_full_release``, its parent or that one's. Raises InvalidCorpus for a
    label file with another name than a dialogue's or with a line that cannot be read.
    """
    rows, incomplete, measured = [], {}, set(names(corpus.features))
    for session in _sessions(folder):
        files = _label_files(session)
        if not files:
            incomplete[session.name] = f"{session} has no label files in dialog/EmoEvaluation"
        for file in files:
            if KINDS[DIALOGUE.fullmatch(file.stem)[2]] in corpus.dialogues:
                rows += _rows(file, corpus, measured, incomplete)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["label"] = pd.Categorical(table.label, list(dict.fromkeys(CLASSES.values())))
    table.attrs["incomplete"] = incomplete
    return table


def _rows(
    file: Path, corpus: Corpus, measured: set[str], incomplete: dict[str, str]
) -> Iterator[tuple]:
    """Yield the rows of a dialogue; add turns that lack sound or video to ``incomplete``."""
    session, name, left = file.parents[2], file.stem, DIALOGUE.fullmatch(file.stem)[1]
    sounds = session / "sentences" / "wav" / name
    video = session / "dialog" / "avi" / "DivX" / f"{name}.avi"
    sound_files = _listing(sounds)
    filmed = not corpus.features and video.name in _listing(video.parent)
    absent = f"row of that name in {corpus.features}" if corpus.features else video
    for turn in _turns(file):
        sound, features = sounds / f"{turn.name}.wav", turn.name if turn.name in measured else ""
        if turn.code not in CLASSES or (turn.code == "exc" and corpus.excited == "omit"):
            continue
        if sound.name not in sound_files:
            incomplete[turn.name] = f"turn {turn.name} has no sound, for there is no {sound}"
        elif not filmed and not features:
            incomplete[turn.name] = f"turn {turn.name} has no video, for there is no {absent}"
        else:
            files = str(sound), str(video) if filmed else "", features
            part = 0.0, turn.start, round(turn.end - turn.start, 4)
            face = "left" if turn.speaker[-1] == left else "right"
            label = CLASSES[turn.code]
            yield turn.name, turn.speaker, label, *files, *part, face, name, session.name


def _sessions(folder: Path) -> list[Path]:
    """Return the folders of the sessions: in the folder itself, or one or two below."""
    for depth in ("", "*/", "*/*/"):
        paths = sorted(path for path in folder.glob(f"{depth}Session[0-9]*") if path.is_dir())
        if paths:
            return paths
    return []


def _listing(folder: Path) -> set[str]:
    """Return the names in a folder but for a Mac's (``._*``); none where there is no folder."""
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _label_files(session: Path) -> list[Path]:
    """Return the label file of each dialogue; single annotators' files lie in folders below."""
    folder = session / "dialog" / "EmoEvaluation"
    files = [folder / name for name in sorted(_listing(folder)) if name.endswith(".txt")]
    for file in files:
        if not DIALOGUE.fullmatch(file.stem):
            raise InvalidCorpus(
                f"{file} has no name of an IEMOCAP dialogue (such as Ses01F_impro01.txt); move it "
                "out of the corpus."
            )
    return files


def _turns(file: Path) -> Iterator[Turn]:
    """Read the lines of a label file that open a turn; others are header and annotators' lines."""
    # the annotators' comments are not all UTF-8
    with open(file, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("[") or f"{file.stem}_" in line:
                yield _turn(line, f"line {number} of {file}")


def _turn(line: str, where: str) -> Turn:
    match = TURN.fullmatch(line)
    if not match:
        raise InvalidCorpus(
            f"{where} opens no turn as '[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5, 2.5, 2.5]' "
            f"does, but reads '{line.strip()[:80]}'; mend it or fetch the file again."
        )
    start, end, name, session, letter, code = match.groups()
    if float(end) <= float(start):
        raise InvalidCorpus(
            f"{where} lets turn {name} end at {end} s, not after its start at {start} s; mend it "
            "or fetch the file again."
        )
    codes = *CLASSES, *OTHER_CODES
    if code not in codes:
        raise InvalidCorpus(
            f"{where} has the unknown emotion code '{code}'; use one of {', '.join(codes)}."
        )
    return Turn(name, session + letter, float(start), float(end), code)


def published(corpus: Corpus) -> dict[str, int]:
    """Return how many recordings, speakers and recordings of each class these parameters choose.

    Counts that are not published are absent; classes are counted where the label is the target.
    """
    kinds, omitted = set(corpus.dialogues), EXCITED if corpus.excited == "omit" else 0
    counts = {"speakers": 10}
    if kinds == set(KINDS.values()):
        counts["recordings"] = sum(TURNS.values()) - omitted
        if corpus.target == "label":
            counts |= TURNS | {"happy": TURNS["happy"] - omitted}
    elif kinds and not omitted:
        improvised = kinds == {"improvised"}
        counts["recordings"] = IMPROVISED if improvised else sum(TURNS.values()) - IMPROVISED
    return counts
