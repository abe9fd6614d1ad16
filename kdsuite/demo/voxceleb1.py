"""A small VoxCeleb1: its folders, lists and face tracks, and the videos that its owners leave to
YouTube.

Every speaker is in ``takes`` videos of one or two utterances. The face is not in the middle of the
frame: only the track tells where. Face and voice are those of the speaker with the probability p
that the parameters give each, and else of another one, independently unless ``shared`` gives the
voice's person to the face: who reads a modality without fault is right on p of the recordings. A
mild emotion is drawn anew for each utterance, for it must not matter. Further speakers, of whom
there is only sound, are compared by the trial list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, groupby, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.data.corpora.voxceleb1 import META, SPLIT, TRACKS, VIDEOS
from kdsuite.data.decoding.faces import TRACK_RATE
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, displayed
from kdsuite.demo.writing import FPS, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

SOUND_RATE = 16000
ALPHABET = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
FIRST_OUTSIDER = 10270  # as in the corpus, where id10270 is the first speaker of the test
OUTSIDER_VIDEOS, OUTSIDER_UTTERANCES = 4, 2
PAUSE = 0.4  # seconds before, between and after the utterances of a video
INTENSITY = 0.3  # of the emotions
MARGIN = 0.5  # of the drawn picture's size that the frame is larger
HEAD = 0.6  # of the drawn picture's height that the box around the face takes
TRACK = """\
Identity  : \t{speaker}
Reference : \t{video}
Offset    : \t-1
FV Conf   : \t17.997\t(1)
ASD Conf  : \t6.338

FRAME \tX \tY \tW \tH \n"""


class Utterance(NamedTuple):
    """One utterance, such as ``id10001/AbCdEfGhIjK/00001``: the number of its speaker from 1, and
    that of its video from 0."""

    name: str
    person: int
    video: int


def utterances(synthetic: Synthetic) -> list[Utterance]:
    """Return all utterances; a speaker's videos have one and two of them in turn. Persons beyond
    ``actors`` are outsiders."""
    rows = []
    for person in range(1, synthetic.actors + synthetic.outsiders + 1):
        trained = person <= synthetic.actors
        number = 10000 + person if trained else FIRST_OUTSIDER + person - synthetic.actors - 1
        for video in range(synthetic.takes if trained else OUTSIDER_VIDEOS):
            random = np.random.default_rng([synthetic.seed, person, video, 9])
            source = "".join(random.choice(ALPHABET, 11))
            for count in range(1 + video % 2 if trained else OUTSIDER_UTTERANCES):
                rows.append(Utterance(f"id{number}/{source}/{count + 1:05d}", person, video))
    return rows


def recording(row: Utterance, synthetic: Synthetic) -> Recording:
    """Return what an utterance displays: an emotion that is drawn, by the persons whose face is
    ``shown`` and whose voice is ``spoken``; outsiders have their own."""

    def random(purpose: int) -> np.random.Generator:
        return np.random.default_rng([synthetic.seed, purpose, *row.name.encode()])

    rng, emotions = random(0), list(EMOTIONS.values())
    emotion = emotions[rng.integers(len(emotions))]
    others = [other for other in range(1, synthetic.actors + 1) if other != row.person]
    if row.person > synthetic.actors:
        others = [row.person] * (synthetic.actors - 1)
    shown, spoken = displayed(row.person, others, synthetic, rng)
    truth = {"emotion": emotion, "shown": shown, "spoken": spoken}
    return Recording(synthetic, random, (shown, emotion), (spoken, emotion), truth, INTENSITY)


def plan(folder: Path, synthetic: Synthetic) -> tuple[dict[Path, Callable], dict]:
    """Return the job that writes each file, and what each utterance displays.

    The job of a video writes its utterances and tracks too.
    """
    rows, jobs = utterances(synthetic), {}
    trained = [row for row in rows if row.person <= synthetic.actors]
    outsiders = rows[len(trained) :]
    for name, lines in (
        (META, _meta(rows, synthetic)),
        (SPLIT, _split(trained, synthetic)),
        ("veri_test.txt", _trials(outsiders, synthetic)),
    ):
        jobs[folder / name] = partial(write_text, text="".join(lines))
    for name, own in groupby(trained, lambda row: row.name.split("/")[1]):
        jobs[folder / VIDEOS / f"{name}.mp4"] = partial(_write_interview, list(own), synthetic)
    for row in outsiders:
        jobs[folder / "wav" / f"{row.name}.wav"] = partial(_write_outsider, row, synthetic)
    return jobs, {row.name: recording(row, synthetic).truth for row in rows}


def _meta(rows: list[Utterance], synthetic: Synthetic) -> Iterator[str]:
    yield "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    for speaker, person in {row.name[:7]: row.person for row in rows}.items():
        part = "dev" if person <= synthetic.actors else "test"
        yield f"{speaker}\tDrawn_Person_{person}\t{'fm'[person % 2]}\tNowhere\t{part}\n"


def _split(trained: list[Utterance], synthetic: Synthetic) -> Iterator[str]:
    """Yield 70, 10 and 20 percent of each speaker's videos as training, validation and test."""
    for row in trained:
        place = (row.video + 0.5) / synthetic.takes
        yield f"{1 + (place >= 0.7) + (place >= 0.8)} {row.name}.wav\n"


def _trials(outsiders: list[Utterance], synthetic: Synthetic) -> Iterator[str]:
    """Yield all pairs of each outsider's utterances, each followed by one with another outsider's."""
    random = np.random.default_rng([synthetic.seed, 7])
    for first, second in combinations(outsiders, 2):
        if first.person == second.person:
            others = [row for row in outsiders if row.person != first.person]
            yield f"1 {first.name}.wav {second.name}.wav\n"
            if others:
                yield f"0 {first.name}.wav {others[random.integers(len(others))].name}.wav\n"


def _write_outsider(row: Utterance, synthetic: Synthetic, file: Path) -> None:
    write_sound(file, voice.speak(recording(row, synthetic))[0], SOUND_RATE)


def _write_interview(own: list[Utterance], synthetic: Synthetic, file: Path) -> None:
    """Write sound and track of each utterance, and the video that holds them one after the other,
    last."""
    folder, pause = file.parents[1], np.zeros(round(PAUSE * voice.RATE), np.float32)
    parts, scenes = [pause], []
    for row in own:
        first = _frames(parts)
        of = recording(row, synthetic)
        sound, envelope = voice.speak(of)
        corners = _walk(of.random(3), _frames([sound]), synthetic)
        pictures = face.animate(of, envelope, (np.arange(len(corners)) + 0.5) / FPS)
        scenes.append((first, pictures, corners))
        parts += sound, pause
        write_sound(folder / "wav" / f"{row.name}.wav", sound, SOUND_RATE)
        write_text(folder / TRACKS / f"{row.name}.txt", _track(row, first, corners, synthetic))
    scene = _scene(scenes, _frames(parts), synthetic)
    write_video(file, scene, _frame_size(synthetic), np.concatenate(parts))


def _frames(parts: list[np.ndarray]) -> int:
    return round(sum(map(len, parts)) / voice.RATE * FPS)


def _frame_size(synthetic: Synthetic) -> tuple[int, int]:
    return tuple(round(side * (1 + MARGIN)) // 2 * 2 for side in synthetic.video_size)


def _walk(random: np.random.Generator, frames: int, synthetic: Synthetic) -> np.ndarray:
    """Return where the drawn picture's upper left corner is in each frame, ``(frames, 2)`` integer
    pixels: it drifts slowly."""
    begin, end = random.uniform(size=(2, 2))
    place = begin + np.linspace(0, 0.3, frames)[:, None] * (end - begin)
    return np.round(place * np.subtract(_frame_size(synthetic), synthetic.video_size)).astype(int)


def _scene(scenes: list, count: int, synthetic: Synthetic) -> Iterator[np.ndarray]:
    """Yield the frames of an interview: a striped wall, and while somebody speaks that person's
    picture on it."""
    (width, height), (wide, high) = _frame_size(synthetic), synthetic.video_size
    wall = np.full((height, width, 3), 150, np.uint8)
    wall[:, ::16] = 120
    end = 0
    for first, pictures, corners in scenes:
        yield from repeat(wall, first - end)
        for picture, (left, top) in zip(pictures, corners):
            frame = wall.copy()
            frame[top : top + high, left : left + wide] = picture
            yield frame
        end = first + len(corners)
    yield from repeat(wall, count - end)


def _track(row: Utterance, first: int, corners: np.ndarray, synthetic: Synthetic) -> str:
    """Return a face track as the owners write it, its trailing spaces and all."""
    begin, end = (round(n / FPS * TRACK_RATE) for n in (first, first + len(corners)))
    numbers, side = np.arange(begin, end), round(HEAD * synthetic.video_size[1])
    places = np.rint(numbers / TRACK_RATE * FPS).astype(int) - first
    boxes = corners[places.clip(0, len(corners) - 1)] + np.subtract(synthetic.video_size, side) // 2
    speaker, video, _ = row.name.split("/")
    rows = [f"{n:06d} \t{x} \t{y} \t{side} \t{side} \n" for n, (x, y) in zip(numbers, boxes)]
    return TRACK.format(speaker=speaker, video=video) + "".join(rows)
