"""IEMOCAP (Busso et al. 2008): dialogues of ten actors, two a session, cut into turns.

``SessionN/dialog/EmoEvaluation/DIALOGUE.txt`` says when each turn begins and ends and which emotion
it has, ``SessionN/sentences/wav/DIALOGUE/TURN.wav`` is its sound, and
``SessionN/dialog/avi/DivX/DIALOGUE.avi`` shows both people side by side, from the dialogue's begin
to its end. The sessions may lie at any depth.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.data.reading import read_lines, refuse, walk
from kdsuite.parameters import Corpus

SESSION = re.compile(r"(.*/(Session\d[^/]*))/(?:dialog/EmoEvaluation/([^/]*)\.txt|.*)")
# the actor named in a dialogue sits on the left; the letter in the last part of a turn's name is
# who speaks
DIALOGUE = re.compile(r"Ses\d\d([FM])_(impro|script)\w+")
TURN = (
    r"\[(?P<start>\d+\.\d+) - (?P<end>\d+\.\d+)\]\s+"
    r"(?P<turn>(?P<session>Ses\d\d)[FM]_\w+_(?P<who>[FM])[0-9A-Za-z]+)\s+(?P<code>\S+)\s+\[.*\]"
)
EXAMPLE = "[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5, 2.5, 2.5]"
KINDS = {"impro": "improvised", "script": "scripted"}
CLASSES = {"neu": "neutral", "hap": "happy", "exc": "happy", "ang": "angry", "sad": "sad"}
# frustration, disgust, fear, surprise, others, and where the annotators disagree: of no class
CODES = (*CLASSES, "fru", "dis", "fea", "sur", "oth", "xxx")


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings (see :mod:`kdsuite.data.corpora`), one row a turn.

    Times in a table of face measurements are the dialogue's. Raises InvalidCorpus for a label file
    with another name than a dialogue's or with a line that cannot be read.
    """
    files, tables = set(walk(folder, corpus)), []
    matches = sorted(match.groups("") for match in map(SESSION.fullmatch, files) if match)
    labelled = {session for session, _, dialogue in matches if dialogue}
    for session, name, dialogue in matches:
        match = DIALOGUE.fullmatch(dialogue)
        if dialogue and not match:
            raise InvalidCorpus(
                f"{dialogue}.txt in {session}/dialog/EmoEvaluation has no name of an IEMOCAP "
                "dialogue (such as Ses01F_impro01.txt); move it out of the corpus."
            )
        if match and KINDS[match[2]] in corpus.dialogues:
            tables.append(_turns(session, match, files).assign(fold=name))
    table = pd.concat(tables) if tables else pd.DataFrame(columns=["label"])
    classes = CLASSES | ({"exc": None} if corpus.excited == "omit" else {})
    order = list(dict.fromkeys(CLASSES.values()))
    table["label"] = pd.Categorical(table.label.map(classes), order)
    table.attrs["incomplete"] = {
        name: f"{session} has no label files in dialog/EmoEvaluation"
        for session, name, _ in matches
        if session not in labelled
    }
    return table


def _turns(session, dialogue, files):
    """Return the turns of a dialogue, their emotion's code as label.

    Other lines of its label file are the header and the annotators'.
    """
    name, left = dialogue[0], dialogue[1]
    file = f"{session}/dialog/EmoEvaluation/{name}.txt"
    turns = read_lines(file, TURN, EXAMPLE, rf"^\[|{name}_")
    start, end = turns.start.astype(float), turns.end.astype(float)
    complaint = "ends turn {} at {:g} s, not after its start at {:g} s; correct that line."
    refuse(end <= start, file, complaint, turns.turn, end, start)
    complaint = f"has the unknown emotion code '{{}}'; use one of {', '.join(CODES)}."
    refuse(~turns.code.isin(CODES), file, complaint, turns.code)
    audio = f"{session}/sentences/wav/{name}/" + turns.turn + ".wav"
    video = f"{session}/dialog/avi/DivX/{name}.avi"
    return pd.DataFrame({
        "recording": turns.turn, "speaker": turns.session + turns.who, "label": turns.code,
        "audio": audio.where(audio.isin(files), ""), "video": video if video in files else "",
        "video_start": start, "seconds": (end - start).round(4),
        "face": np.where(turns.who == left, "left", "right"), "source": name,
    })  # fmt: skip
