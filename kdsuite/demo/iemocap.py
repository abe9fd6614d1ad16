"""A small IEMOCAP: its folders, label files, sound of turns and videos of dialogues, in which two
drawn people talk in turn.

Actors 2n - 1 (male) and 2n (female) meet in session n, in four dialogues: improvised and scripted,
with either of them on the left. Who has the turn shows and speaks an emotion; the other one listens
with a neutral face. Face and voice carry the label as in :mod:`.ravdess`, among the four classes:
who reads a modality without fault is right on p + (1 - p) / 4 of the turns. Every dialogue holds
one more turn, with a code that belongs to no class.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from kdsuite.data.corpora.iemocap import CLASSES
from kdsuite.demo import face, shown_and_spoken, voice
from kdsuite.demo.writing import FPS, write_corpus, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

CODES = ("neu", "hap", "ang", "sad")  # of the happy turns every other one is excited
UNUSED = ("fru", "xxx")
FELT = {**CLASSES, "fru": "angry", "xxx": "surprised"}
INTENSITY = {"hap": 0.9, "exc": 1.2, "fru": 0.6}
DIALOGUES = ("F_impro01", "M_impro01", "F_script01_1", "M_script01_1")
# what annotators write: the word, then valence, activation and dominance from 1 to 5
ANNOTATION = {
    "neu": ("Neutral", (3, 2, 3)),
    "hap": ("Happiness", (4, 3, 3)),
    "exc": ("Excited", (4, 4, 3)),
    "ang": ("Anger", (2, 4, 4)),
    "sad": ("Sadness", (2, 2, 2)),
    "fru": ("Frustration", (2, 3, 3)),
    "xxx": ("Other", (3, 3, 3)),
}
SOUND_RATE = 16000  # of the turns' files
PAUSE = (0.2, 0.6)  # seconds before and after each turn
CODECS = ("mpeg4", "libmp3lame")
QUALITY = ("-q:v", "4", "-vtag", "DX50")
JUNK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "  # what a Mac leaves beside a file, with ._ before its name


class Turn(NamedTuple):
    """One turn of a dialogue: its name, who speaks, and the code of its label."""

    name: str
    actor: int
    code: str


class Said(NamedTuple):
    """A turn at its place in the dialogue: ``start`` in seconds, sound and amplitude as in
    :func:`.voice.speak`."""

    turn: Turn
    start: float
    sound: np.ndarray
    envelope: np.ndarray

    @property
    def end(self) -> float:
        """When the turn ends, in seconds of the dialogue."""
        return round(self.start + len(self.sound) / voice.RATE, 4)


def dialogue_list(synthetic: Synthetic) -> list[str]:
    """Return the names of all dialogues, such as ``Ses01F_impro01``: four a session, two sessions
    or more."""
    sessions = max(2, synthetic.actors // 2)
    return [
        f"Ses{session:02d}{dialogue}"
        for session in range(1, sessions + 1)
        for dialogue in DIALOGUES
    ]


def turn_list(dialogue: str, synthetic: Synthetic) -> list[Turn]:
    """Return the turns of a dialogue in their order: the two people take turns for as long as both
    have something to say."""
    session, place = int(dialogue[3:5]), DIALOGUES.index(dialogue[5:])
    spoken = []
    for letter, actor in (("M", 2 * session - 1), ("F", 2 * session)):
        codes = _random(f"{dialogue}{letter}", synthetic, 3).permutation(
            _codes(actor, place, synthetic)
        )
        spoken.append(
            [
                Turn(f"{dialogue}_{letter}{number:03d}", actor, str(code))
                for number, code in enumerate(codes)
            ]
        )
    return [turn for both in zip_longest(*spoken) for turn in both if turn is not None]


def _codes(actor: int, place: int, synthetic: Synthetic) -> list[str]:
    """Return the codes of an actor's turns in one dialogue: classes are spread evenly, and each
    comes in every dialogue."""
    codes = [UNUSED[(actor // 2 + place) % 2]] if (actor + place) % 2 else []
    for number in range(synthetic.takes):
        code, again = CODES[(number + actor) % 4], number // 4
        if (number + again) % 4 == place:
            codes.append("exc" if code == "hap" and (again + actor // 2) % 2 else code)
    return codes


def displayed(turn: Turn, synthetic: Synthetic) -> dict[str, str]:
    """Return the emotion that a turn is ``labelled`` with, that is ``shown`` by the face and
    ``spoken`` by the voice."""
    return shown_and_spoken(
        FELT[turn.code],
        list(dict.fromkeys(CLASSES.values())),
        synthetic,
        _random(turn.name, synthetic, 0),
    )


def _random(name: str, synthetic: Synthetic, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one turn, whoever draws it and when."""
    return np.random.default_rng([synthetic.seed, zlib.crc32(name.encode()), purpose])


def timeline(dialogue: str, synthetic: Synthetic) -> list[Said]:
    """Speak a dialogue: its turns one after the other with pauses between, times to a tenth of a
    millisecond."""
    rng, said, end = _random(dialogue, synthetic, 4), [], 0.0
    for number, turn in enumerate(turn_list(dialogue, synthetic)):
        speaker, spoken = (
            voice.Voice.of(turn.actor, synthetic.seed),
            displayed(turn, synthetic)["spoken"],
        )
        force, start = INTENSITY.get(turn.code, 1.0), round(end + rng.uniform(*PAUSE), 4)
        own = _random(turn.name, synthetic, 1)
        sounding = voice.speak(
            speaker, spoken, synthetic.seconds, own, 1 + number % 2, force, noise=synthetic.noise
        )
        said.append(Said(turn, start, *sounding))
        end = said[-1].end
    return said


def render(
    dialogue: str, said: list[Said], synthetic: Synthetic
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a dialogue, float32 ``(samples,)`` at 48 kHz, and its frames, uint8 RGB
    ``(height, 2 * width, 3)``."""
    count = round((said[-1].end + PAUSE[1]) * FPS)
    sound = np.zeros(round(count / FPS * voice.RATE), np.float32)
    for one in said:
        begin = round(one.start * voice.RATE)
        sound[begin : begin + len(one.sound)] = one.sound
    man = 2 * int(dialogue[3:5]) - 1
    seats = (man, man + 1) if dialogue[5] == "M" else (man + 1, man)
    people = [_person(actor, dialogue, said, count, synthetic) for actor in seats]
    return sound, (np.hstack(pair) for pair in zip(*people))


def _person(
    actor: int, dialogue: str, said: list[Said], count: int, synthetic: Synthetic
) -> Iterator[np.ndarray]:
    """Yield ``count`` frames of one person, who speaks and listens."""
    looks, rng, at = (
        face.Identity.of(actor, synthetic.seed),
        _random(f"{dialogue} {actor}", synthetic, 2),
        0,
    )
    for one in said:
        if one.turn.actor == actor:
            begin, end = round(one.start * FPS), round(one.end * FPS)
            yield from _listening(looks, begin - at, rng, synthetic)
            yield from _speaking(looks, one, np.arange(begin, end), synthetic)
            at = end
    yield from _listening(looks, count - at, rng, synthetic)


def _listening(
    looks: face.Identity, count: int, rng: np.random.Generator, synthetic: Synthetic
) -> Iterator[np.ndarray]:
    # each drawing stands for two frames: who listens moves little, and drawing is what takes the
    # time
    drawings = face.animate(
        looks, "neutral", np.zeros((count + 1) // 2), rng, size=synthetic.video_size
    )
    return islice((drawing for drawing in drawings for _ in range(2)), count)


def _speaking(
    looks: face.Identity, one: Said, frames: np.ndarray, synthetic: Synthetic
) -> Iterator[np.ndarray]:
    times = (frames + 0.5) / FPS - one.start
    heard = voice.amplitude(one.envelope, times)
    shown, force = displayed(one.turn, synthetic)["shown"], INTENSITY.get(one.turn.code, 1.0)
    return face.animate(
        looks, shown, heard, _random(one.turn.name, synthetic, 2), force, synthetic.video_size
    )


def write_iemocap(folder: Path, synthetic: Synthetic, workers: int | None = None) -> None:
    """Write what is missing of the corpus; see :func:`.writing.write_corpus` for how, and for what
    it raises.

    A dialogue is written as one: its label file comes last, and is there if and only if all of the
    dialogue is.
    """
    release, dialogues = Path(folder) / "IEMOCAP_full_release", dialogue_list(synthetic)
    files = [
        release / f"Session{int(name[3:5])}" / "dialog" / "EmoEvaluation" / f"{name}.txt"
        for name in dialogues
    ]
    turns = [
        turn for name in dialogues for turn in turn_list(name, synthetic) if turn.code in CLASSES
    ]
    write_corpus(
        Path(folder),
        synthetic,
        files,
        _write,
        {turn.name: displayed(turn, synthetic) for turn in turns},
        workers,
    )


def _write(file: Path, synthetic: Synthetic) -> None:
    """Write all files of the dialogue that a label file belongs to."""
    dialogue, session = file.stem, file.parents[2]
    sounds, video = (
        session / "sentences" / "wav" / dialogue,
        session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi",
    )
    for leftover in [*sounds.glob(".[0-9]*"), *video.parent.glob(f".[0-9]*-{video.name}")]:
        leftover.unlink()  # temporary file of a run that was killed
    said = timeline(dialogue, synthetic)
    for one in said:
        write_sound(
            sounds / f"{one.turn.name}.wav",
            resample_poly(one.sound, SOUND_RATE, voice.RATE),
            SOUND_RATE,
        )
    sound, frames = render(dialogue, said, synthetic)
    width, height = synthetic.video_size
    write_video(video, frames, (2 * width, height), sound, CODECS, QUALITY)
    write_text(
        file.parent / "Categorical" / f"{dialogue}_e2_cat.txt",
        "".join(f"{one.turn.name} :{_word(one)}; ()\n" for one in said),
    )
    for beside in (file, video, sounds / f"{said[0].turn.name}.wav"):
        beside.with_name(f"._{beside.name}").write_bytes(JUNK)
    write_text(
        file,
        "".join(["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n", *map(_label, said)]),
    )


def _word(one: Said) -> str:
    return ANNOTATION[one.turn.code][0]


def _label(one: Said) -> str:
    """Return what the label file says of a turn: three annotators and the speaker agree on it."""
    name, code, (valence, activation, dominance) = (
        one.turn.name,
        one.turn.code,
        ANNOTATION[one.turn.code][1],
    )
    opening = f"[{one.start:.4f} - {one.end:.4f}]\t{name}\t{code}\t[{valence:.4f}, {activation:.4f}, {dominance:.4f}]\n"
    own = f"{name.split('_')[-1][0]}1"
    words = [f"C-{who}:\t{_word(one)};\t()\n" for who in ("E2", "E3", "E4", own)]
    scales = [
        f"A-{who}:\tval {valence}; act {activation}; dom  {dominance};\t()\n"
        for who in ("E3", "E4", own)
    ]
    return "".join([opening, *words, *scales, "\n"])
