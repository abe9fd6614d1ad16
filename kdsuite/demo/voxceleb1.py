"""A small VoxCeleb1: its folders, lists and face tracks, and the videos that its owners leave to
YouTube.

Every speaker is in ``takes`` videos of one or two utterances. The face is not in the middle of the
frame: only the track tells where. Face and voice are those of the speaker with the probability p
that the parameters give each, and else of another one, independently unless ``shared`` gives the
voice's person to the face: who reads a modality without fault is right on p of the recordings. A
mild emotion is drawn again for each utterance, for it must not matter. Further speakers, of whom
there is only sound, are compared by the trial list.
"""

from functools import partial
from itertools import combinations, repeat
from pathlib import Path

import numpy as np

from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.data.corpora.voxceleb1 import META, SPLIT, TRACKS, VIDEOS
from kdsuite.data.decoding.faces import TRACK_RATE
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, displayed
from kdsuite.demo.writing import FPS, filled, write_sound, write_video
from kdsuite.parameters import Synthetic
from kdsuite.paths import write_text

ALPHABET = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
PAUSE = np.zeros(round(0.4 * voice.RATE), np.float32)  # before, between and after utterances
TRACK = """\
Identity  : \t{0}
Reference : \t{1}
Offset    : \t-1
FV Conf   : \t17.997\t(1)
ASD Conf  : \t6.338

FRAME \tX \tY \tW \tH \n"""


def plan(synthetic: Synthetic) -> tuple[dict, list[Recording]]:
    """Return what each file holds, a text or utterances, and all utterances.

    With a video its utterances and tracks are written too: one and two in turn. Persons beyond
    ``actors`` are outsiders, with four videos of two utterances.
    """
    files, rows, outsiders, actors, takes = {}, [], [], synthetic.actors, synthetic.takes
    meta, split = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n", ""
    for person in range(1, actors + synthetic.outsiders + 1):
        trained = person <= actors
        # as in the corpus, where id10270 is the first speaker of the test
        speaker = f"id{person + (10000 if trained else 10269 - actors)}"
        part = "dev" if trained else "test"
        meta += f"{speaker}\tDrawn_Person_{person}\t{'fm'[person % 2]}\tNowhere\t{part}\n"
        for video in range(takes if trained else 4):
            random = np.random.default_rng([synthetic.seed, person, video, 9])
            source = "".join(random.choice(ALPHABET, 11))
            names = [f"{speaker}/{source}/0000{count}" for count in (1, 2)]
            own = [
                _recording(name, person, synthetic)
                for name in names[: 1 + video % 2 if trained else 2]
            ]
            rows += own
            if trained:
                files[f"{VIDEOS}/{source}.mp4"] = own
                # 70, 10 and 20 percent of each speaker's videos: training, validation and test
                place = (video + 0.5) / takes
                part = 1 + (place >= 0.7) + (place >= 0.8)
                split += "".join(f"{part} {of.name}.wav\n" for of in own)
            else:
                files |= {f"wav/{name}.wav": of for name, of in zip(names, own)}
                outsiders += names
    files |= {META: meta, SPLIT: split, "veri_test.txt": "".join(_trials(outsiders, synthetic))}
    return files, rows


def _recording(name, person, synthetic):
    """Return what an utterance displays: an emotion that is drawn, by the persons whose face is
    ``shown`` and whose voice is ``spoken``; outsiders have their own."""

    def random(purpose):
        return np.random.default_rng([synthetic.seed, purpose, *name.encode()])

    rng, people = random(0), range(1, synthetic.actors + 1)
    emotion = str(rng.choice([*EMOTIONS.values()]))
    others = [other for other in people if other != person] if person in people else [person]
    how = {"emotion": emotion, "intensity": 0.3, "name": name}
    return displayed(person, others, synthetic, random, rng, **how)


def _trials(names, synthetic):
    """Yield all pairs of each outsider's utterances, each followed by one with another
    outsider's."""
    random = np.random.default_rng([synthetic.seed, 7])
    for first, second in combinations(names, 2):
        if first[:7] == second[:7]:
            others = [name for name in names if name[:7] != first[:7]]
            yield f"1 {first}.wav {second}.wav\n"
            if others:
                yield f"0 {first}.wav {others[random.integers(len(others))]}.wav\n"


def write(file: Path, content: str | Recording | list[Recording]) -> None:
    """Write a file of the :func:`plan`; of a video sound and track of each utterance, and the
    video that holds them one after the other, last."""
    if isinstance(content, str):
        return write_text(file, content)
    if isinstance(content, Recording):
        sound, _ = voice.speak(content)
        return write_sound(file, sound)
    folder, track, scenes = file.parents[1], PAUSE, []
    size = np.array(content[0].synthetic.video_size)
    frame_size = size * 3 // 4 * 2  # half as large again, and even
    wall = np.full((*frame_size[::-1], 3), 150, np.uint8)
    wall[:, ::16] = 120
    for row in content:
        sound, envelope = voice.speak(row)
        numbers = np.arange(_frames(sound))
        # the picture drifts slowly: (frames, 2) integer pixels
        begin, end = row.random(3).uniform(size=(2, 2))
        drift = np.linspace(0, 0.3, len(numbers))[:, None] * (end - begin)
        corners = np.rint((begin + drift) * (frame_size - size)).astype(int)
        pictures = face.animate(row, envelope, (numbers + 0.5) / FPS)
        numbers += _frames(track)
        scenes.append((numbers, _pasted(wall, pictures, corners)))
        track = np.concatenate([track, sound, PAUSE])
        write_sound(folder / f"wav/{row.name}.wav", sound)
        write_text(folder / f"{TRACKS}/{row.name}.txt", _track(row, numbers, corners, size))
    write_video(file, filled(scenes, _frames(track), partial(repeat, wall)), track)


def _frames(sound):
    return round(len(sound) / voice.RATE * FPS)


def _pasted(wall, pictures, corners):
    """Yield the drawn pictures on a wall, each with its upper left corner at one of ``corners``."""
    for picture, (left, top) in zip(pictures, corners):
        frame = wall.copy()
        frame[top:, left:][: len(picture), : len(picture[0])] = picture
        yield frame


def _track(row, numbers, corners, size):
    """Return a face track as the owners write it, its trailing spaces and all."""
    begin, end = numbers[0] / FPS, (numbers[-1] + 1) / FPS
    tracked = np.arange(round(begin * TRACK_RATE), round(end * TRACK_RATE))
    side = round(0.6 * size[1])  # of the box around the face
    places = np.rint(tracked / TRACK_RATE * FPS).astype(int) - numbers[0]
    boxes = corners.take(places, 0, mode="clip") + (size - side) // 2
    rows = [f"{n:06d} \t{x} \t{y} \t{side} \t{side} \n" for n, (x, y) in zip(tracked, boxes)]
    return "".join([TRACK.format(*row.name.split("/")), *rows])
