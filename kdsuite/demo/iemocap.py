"""A small IEMOCAP: its folders, label files, sound of turns and videos of dialogues, in which two
drawn people talk in turn.

Actors 2n - 1 (male) and 2n (female) meet in session n, in four dialogues: improvised and scripted,
with either of them on the left. Who has the turn shows and speaks an emotion; the other one listens
with a neutral face. Face and voice carry the label as in :mod:`.ravdess`, among the four classes:
who reads a modality without fault is right on p + (1 - p) / 4 of the turns. Every dialogue holds
one more turn, with a code that belongs to no class.
"""

import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdsuite.data.corpora.iemocap import CLASSES
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, expressed, table
from kdsuite.demo.writing import FPS, filled, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

CODES = table("codes")
LABELLED = ("neu", "hap", "ang", "sad"), ("neu", "exc", "ang", "sad")  # in turn
UNUSED = ("fru", "xxx")
DIALOGUES = ("F_impro01", "M_impro01", "F_script01_1", "M_script01_1")
# what the label file says of a turn: three annotators and the speaker agree on it
LABEL = """\
[{start:.4f} - {end:.4f}]\t{name}\t{code}\t[{valence:.4f}, {activation:.4f}, {dominance:.4f}]
C-E2:\t{word};\t()
C-E3:\t{word};\t()
C-E4:\t{word};\t()
C-{sex}1:\t{word};\t()
A-E3:\tval {valence}; act {activation}; dom  {dominance};\t()
A-E4:\tval {valence}; act {activation}; dom  {dominance};\t()
A-{sex}1:\tval {valence}; act {activation}; dom  {dominance};\t()

"""
PAUSE = (0.2, 0.6)  # seconds before and after each turn
JUNK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "  # what a Mac leaves beside a file, with ._ before its name


class Turn(NamedTuple):
    """One turn of a dialogue: its name, who speaks, the code of its label, and the number of its
    statement."""

    name: str
    actor: int
    code: str
    statement: int


def dialogue_list(synthetic: Synthetic) -> list[str]:
    """Return the names of all dialogues, such as ``Ses01F_impro01``: four a session, two sessions
    or more."""
    sessions = range(1, max(2, synthetic.actors // 2) + 1)
    return [f"Ses{session:02d}{dialogue}" for session in sessions for dialogue in DIALOGUES]


def turn_list(dialogue: str, synthetic: Synthetic) -> list[Turn]:
    """Return the turns of a dialogue in their order: the two people take turns for as long as both
    have something to say."""
    woman, place, turns = 2 * int(dialogue[3:5]), DIALOGUES.index(dialogue[5:]), []
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
        turns += [(n, actor, f"{dialogue}_{letter}{n:03d}", code) for n, code in enumerate(codes)]
    return [
        Turn(name, actor, code, 1 + number % 2)
        for number, (_, actor, name, code) in enumerate(sorted(turns))
    ]


def recording(turn: Turn, synthetic: Synthetic) -> Recording:
    """Return what a turn displays: the emotion of its code is the label, that of another class the
    error."""
    code = CODES.loc[turn.code]
    return expressed(
        code.emotion, [*dict.fromkeys(CLASSES.values())], synthetic,
        partial(_random, turn.name, synthetic), turn.actor,
        intensity=code.intensity, statement=turn.statement,
    )  # fmt: skip


def _random(name, synthetic, purpose):
    return np.random.default_rng([synthetic.seed, zlib.crc32(name.encode()), purpose])


def render(
    dialogue: str, said: list, synthetic: Synthetic
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a dialogue, float32 ``(samples,)`` at 48 kHz, and its frames, uint8 RGB
    ``(height, 2 * width, 3)``.

    ``said`` are its turns, each with its begin and end in seconds, its sound and its amplitude
    envelope as :func:`.voice.speak` returns them.
    """
    count, woman = round((said[-1][2] + PAUSE[1]) * FPS), 2 * int(dialogue[3:5])
    track, scenes = (
        np.zeros(round(count / FPS * voice.RATE), np.float32),
        {woman - 1: [], woman: []},
    )
    for turn, start, end, sound, envelope in said:
        begin, numbers = round(start * voice.RATE), np.arange(round(start * FPS), round(end * FPS))
        track[begin : begin + len(sound)] = sound
        times = (numbers + 0.5) / FPS - start
        speaking = face.animate(recording(turn, synthetic), envelope, times)
        scenes[turn.actor].append((numbers, speaking))
    people = [
        filled(scenes[actor], count, partial(_listening, _listener(actor, dialogue, synthetic)))
        for actor in sorted(scenes, reverse=dialogue[5] == "F")
    ]
    return track, map(np.hstack, zip(*people))


def _listener(actor, dialogue, synthetic):
    random = _random(f"{dialogue} {actor}", synthetic, 2)
    return Recording(synthetic, lambda _: random, (actor, "neutral"))


def _listening(listener, count):
    """Return frames of who listens, each twice: they move little, and drawing takes the time."""
    drawings = face.animate(listener, np.zeros(1), np.zeros((count + 1) // 2))
    return islice((drawing for drawing in drawings for _ in range(2)), count)


def plan(synthetic: Synthetic) -> tuple[dict, dict]:
    """Return the label file of each dialogue, and what each turn displays.

    The label file is there if and only if all of the dialogue is.
    """
    dialogues = dialogue_list(synthetic)
    files = {
        f"IEMOCAP_full_release/Session{int(dialogue[3:5])}/dialog/EmoEvaluation/{dialogue}.txt": dialogue
        for dialogue in dialogues
    }
    truth = {
        turn.name: recording(turn, synthetic).truth
        for dialogue in dialogues
        for turn in turn_list(dialogue, synthetic)
        if turn.code in CLASSES
    }
    return files, truth


def write(file: Path, dialogue: str, synthetic: Synthetic) -> None:
    """Write all files of a dialogue, its label ``file`` last: its turns one after the other with
    pauses between, times to a tenth of a millisecond."""
    session, random, said, end = file.parents[2], _random(dialogue, synthetic, 4), [], 0.0
    sounds = session / "sentences/wav" / dialogue
    video = session / "dialog/avi/DivX" / f"{dialogue}.avi"
    categories, labels = "", "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    for turn in turn_list(dialogue, synthetic):
        start = round(end + random.uniform(*PAUSE), 4)
        sound, envelope = voice.speak(recording(turn, synthetic))
        end = round(start + len(sound) / voice.RATE, 4)
        said.append((turn, start, end, sound, envelope))
        write_sound(sounds / f"{turn.name}.wav", sound)
        row = turn._asdict() | {"sex": turn.name[-4], **CODES.loc[turn.code]}
        categories += "{name} :{word}; ()\n".format(**row)
        labels += LABEL.format(start=start, end=end, **row)
    sound, frames = render(dialogue, said, synthetic)
    write_video(video, frames, sound)
    write_text(file.parent / "Categorical" / f"{dialogue}_e2_cat.txt", categories)
    for beside in (file, video, sounds / f"{said[0][0].name}.wav"):
        beside.with_name(f"._{beside.name}").write_bytes(JUNK)
    write_text(file, labels)
