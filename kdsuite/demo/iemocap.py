"""A small IEMOCAP: its folders, label files, sound of turns and videos of dialogues, in which two
drawn people talk in turn.

Actors 2n - 1 (male) and 2n (female) meet in session n, in four dialogues: improvised and scripted,
with either of them on the left. Who has the turn shows and speaks an emotion; the other one listens
with a neutral face. Face and voice carry the label as in :mod:`.ravdess`, among the four classes:
who reads a modality without fault is right on p + (1 - p) / 4 of the turns. Every dialogue holds
one more turn, with a code that belongs to no class.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from kdsuite.data.corpora.iemocap import CLASSES
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, displayed, table
from kdsuite.demo.writing import FPS, filled, write_sound, write_video
from kdsuite.parameters import Synthetic
from kdsuite.paths import write_text

CODES = table("codes")
LABELLED = ("neu", "hap", "ang", "sad"), ("neu", "exc", "ang", "sad")  # in turn
UNUSED = ("fru", "xxx")
DIALOGUES = ("F_impro01", "M_impro01", "F_script01_1", "M_script01_1")
# what the label file says of a turn: three annotators and the speaker agree on it
LABEL = """\
[{2:.4f} - {3:.4f}]\t{0.name}\t{1}\t[{valence:.4f}, {activation:.4f}, {dominance:.4f}]
C-E2:\t{word};\t()
C-E3:\t{word};\t()
C-E4:\t{word};\t()
C-{4}1:\t{word};\t()
A-E3:\tval {valence}; act {activation}; dom  {dominance};\t()
A-E4:\tval {valence}; act {activation}; dom  {dominance};\t()
A-{4}1:\tval {valence}; act {activation}; dom  {dominance};\t()

"""
PAUSE = (0.2, 0.6)  # seconds before and after each turn
# what a Mac leaves beside a file, with ._ before its name
JUNK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


def turns(dialogue: str, synthetic: Synthetic) -> list[tuple[str, Recording]]:
    """Return the turns of a dialogue in their order, each the code of its label and what it
    displays: the emotion of the code is the label, that of another class the error.

    The two people take turns for as long as both have something to say.
    """
    woman, place, both = 2 * int(dialogue[3:5]), DIALOGUES.index(dialogue[5:]), []
    for letter, actor in (("M", woman - 1), ("F", woman)):
        # classes are spread evenly, and each comes in every dialogue
        codes = [
            LABELLED[(number // 4 + actor // 2) % 2][(number + actor) % 4]
            for number in range(synthetic.takes)
            if (number + number // 4) % 4 == place
        ]
        if (actor + place) % 2:
            codes.insert(0, UNUSED[(actor // 2 + place) % 2])
        codes = _random(f"{dialogue}{letter}", synthetic, 3).permutation(codes)
        both += [(n, actor, f"{dialogue}_{letter}{n:03d}", code) for n, code in enumerate(codes)]
    classes = [*dict.fromkeys(CLASSES.values())]
    return [
        (code, displayed(
            CODES.emotion[code], classes, synthetic, partial(_random, name, synthetic), actor=actor,
            intensity=CODES.intensity[code], statement=1 + number % 2, name=name,
        ))
        for number, (_, actor, name, code) in enumerate(sorted(both))
    ]  # fmt: skip


def _random(name, synthetic, purpose):
    return np.random.default_rng([synthetic.seed, zlib.crc32(name.encode()), purpose])


def render(
    dialogue: str, scenes: dict[int, list], count: int, synthetic: Synthetic
) -> Iterator[np.ndarray]:
    """Yield ``count`` frames of a dialogue, uint8 RGB ``(height, 2 * width, 3)``.

    ``scenes`` are those of each actor who speaks, as :func:`.writing.filled` takes them.
    """
    woman, people = 2 * int(dialogue[3:5]), []
    for actor in sorted((woman - 1, woman), reverse=dialogue[5] == "F"):
        random = {2: _random(f"{dialogue} {actor}", synthetic, 2)}
        listener = Recording(synthetic, random.get, (actor, "neutral"))
        people.append(filled(scenes[actor], count, partial(_listening, listener)))
    return map(np.hstack, zip(*people))


def _listening(listener, count):
    """Return frames of who listens, each twice: they move little, and drawing takes the time."""
    drawings = face.animate(listener, np.zeros(1), np.zeros((count + 1) // 2))
    return islice((drawing for drawing in drawings for _ in range(2)), count)


def plan(synthetic: Synthetic) -> tuple[dict, list[Recording]]:
    """Return the label file of each dialogue with its turns, and what those of a class display.

    The label file is there if and only if all of the dialogue is.
    """
    files = {
        f"IEMOCAP_full_release/Session{session}/dialog/EmoEvaluation/Ses{session:02d}{place}.txt":
            turns(f"Ses{session:02d}{place}", synthetic)
        for session in range(1, max(2, synthetic.actors // 2) + 1)
        for place in DIALOGUES
    }  # fmt: skip
    return files, [of for code, of in chain(*files.values()) if code in CLASSES]


def write(file: Path, turns: list[tuple[str, Recording]]) -> None:
    """Write all files of a dialogue, its label ``file`` last: its turns one after the other with
    pauses between, times to a tenth of a millisecond."""
    dialogue, session, synthetic = file.stem, file.parents[2], turns[0][1].synthetic
    sounds, video = (
        session / "sentences/wav" / dialogue,
        session / f"dialog/avi/DivX/{dialogue}.avi",
    )
    categories, labels = "", "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    random, scenes = _random(dialogue, synthetic, 4), defaultdict(list)
    end, track = 0.0, np.zeros(0, np.float32)
    for code, of in turns:
        start = round(end + random.uniform(*PAUSE), 4)
        sound, envelope = voice.speak(of)
        end = round(start + len(sound) / voice.RATE, 4)
        track = np.append(_until(start, track), sound)
        write_sound(sounds / f"{of.name}.wav", sound)
        numbers = np.arange(round(start * FPS), round(end * FPS))
        speaking = face.animate(of, envelope, (numbers + 0.5) / FPS - start)
        scenes[of.shown[0]].append((numbers, speaking))
        row = CODES.loc[code]
        categories += f"{of.name} :{row.word}; ()\n"
        labels += LABEL.format(of, code, start, end, of.name[-4], **row)
    count = round((end + PAUSE[1]) * FPS)
    write_video(video, render(dialogue, scenes, count, synthetic), _until(count / FPS, track))
    write_text(file.parent / f"Categorical/{dialogue}_e2_cat.txt", categories)
    for beside in (file, video, sounds / f"{turns[0][1].name}.wav"):
        beside.with_name(f"._{beside.name}").write_bytes(JUNK)
    write_text(file, labels)


def _until(seconds, track):
    """Return a sound with silence behind it."""
    return np.pad(track, (0, round(seconds * voice.RATE) - len(track)))
