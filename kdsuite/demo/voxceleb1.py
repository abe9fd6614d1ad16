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

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.data.corpora.voxceleb1 import META, SPLIT, TRACKS, VIDEOS
from kdsuite.data.decoding.faces import TRACK_RATE
from kdsuite.demo import face, voice
from kdsuite.demo.writing import FPS, write_corpus, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

SOUND_RATE = 16000
ALPHABET = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
FIRST_OUTSIDER = 270  # as in the corpus, where id10270 is the first speaker of the test
OUTSIDER_VIDEOS, OUTSIDER_UTTERANCES = 4, 2
PAUSE = 0.4  # seconds before, between and after the utterances of a video
INTENSITY = 0.3  # of the emotions
MARGIN = 0.5  # of the drawn picture's size that the frame is larger
HEAD = 0.6  # of the drawn picture's height that the box around the face takes
TRIALS = "veri_test.txt"


def speakers(synthetic: Synthetic) -> dict[str, int]:
    """Return the number of the drawn person by the name of the speaker, of those of training and of
    the outsiders."""
    trained = {f"id{10000 + number}": number for number in range(1, synthetic.actors + 1)}
    return trained | {
        f"id{10000 + FIRST_OUTSIDER + number}": synthetic.actors + 1 + number
        for number in range(synthetic.outsiders)
    }


def utterances(synthetic: Synthetic) -> list[str]:
    """Return all utterances, such as ``id10001/AbCdEfGhIjK/00001``; a speaker's videos have one and
    two of them in turn."""
    names = []
    for speaker, person in speakers(synthetic).items():
        trained = person <= synthetic.actors
        for video in range(synthetic.takes if trained else OUTSIDER_VIDEOS):
            count = 1 + video % 2 if trained else OUTSIDER_UTTERANCES
            name = "".join(
                np.random.default_rng([synthetic.seed, person, video, 9]).choice(ALPHABET, 11)
            )
            names += [f"{speaker}/{name}/{number:05d}" for number in range(1, count + 1)]
    return names


def displayed(utterance: str, synthetic: Synthetic) -> dict[str, int | str]:
    """Return the emotion of an utterance, and the persons whose face is ``shown`` and whose voice
    is ``spoken``."""
    random, person = _random(utterance, synthetic, 0), speakers(synthetic)[utterance[:7]]
    truth: dict[str, int | str] = {
        "emotion": list(EMOTIONS.values())[random.integers(len(EMOTIONS))]
    }
    for modality, information in (
        ("shown", synthetic.video_information),
        ("spoken", synthetic.audio_information),
    ):
        informs, other = (
            random.random() < information,
            int(random.integers(1, max(2, synthetic.actors))),
        )
        # one of the others: the numbers behind the person's own move up by one
        truth[modality] = (
            person if informs or person > synthetic.actors else other + (other >= person)
        )
    if random.random() < synthetic.shared:
        truth["shown"] = truth["spoken"]
    return truth


def _random(utterance: str, synthetic: Synthetic, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one utterance, whoever draws it and when."""
    return np.random.default_rng([synthetic.seed, purpose, *utterance.encode()])


def write_voxceleb1(folder: Path, synthetic: Synthetic, workers: int | None = None) -> None:
    """Write what is missing of the corpus; see :func:`.writing.write_corpus` for how, and for what
    it raises.

    Each video brings its utterances and tracks, each outsider's utterance itself.
    """
    folder, names = Path(folder), utterances(synthetic)
    trained = [name for name in names if speakers(synthetic)[name[:7]] <= synthetic.actors]
    videos = [
        folder / VIDEOS / f"{name.split('/')[1]}.mp4" for name in trained if name.endswith("00001")
    ]
    sounds = [folder / "wav" / f"{name}.wav" for name in names if name not in trained]
    lists = [folder / name for name in LISTS]
    write_corpus(
        folder,
        synthetic,
        [*lists, *videos, *sounds],
        _write,
        {name: displayed(name, synthetic) for name in names},
        workers,
    )


def _write(file: Path, synthetic: Synthetic) -> None:
    if file.name in LISTS:
        write_text(file, "".join(f"{line}\n" for line in LISTS[file.name](synthetic)))
    elif file.suffix == ".wav":
        _write_utterance(file, _speak("/".join([*file.parts[-3:-1], file.stem]), synthetic)[0])
    else:
        _write_interview(file, synthetic)


def _speak(utterance: str, synthetic: Synthetic) -> tuple[np.ndarray, np.ndarray]:
    truth, random = displayed(utterance, synthetic), _random(utterance, synthetic, 1)
    speaker = voice.Voice.of(int(truth["spoken"]), synthetic.seed)
    return voice.speak(
        speaker,
        str(truth["emotion"]),
        synthetic.seconds,
        random,
        int(random.integers(1, 3)),
        INTENSITY,
        noise=synthetic.noise,
    )


def _write_utterance(file: Path, sound: np.ndarray) -> None:
    write_sound(file, resample_poly(sound, SOUND_RATE, voice.RATE), SOUND_RATE)


def _write_interview(file: Path, synthetic: Synthetic) -> None:
    """Write sound and track of each utterance, and the video that holds them one after the other,
    last."""
    folder, names = (
        file.parent.parent,
        [name for name in utterances(synthetic) if name.split("/")[1] == file.stem],
    )
    pause, parts, pictures = np.zeros(round(PAUSE * voice.RATE), np.float32), [], []
    for name in names:
        parts.append(pause)
        first = round(sum(map(len, parts)) / voice.RATE * FPS)
        sound, envelope = _speak(name, synthetic)
        frames = round(len(sound) / voice.RATE * FPS)
        place = _walk(name, frames, synthetic)
        pictures.append((first, name, envelope, place))
        parts.append(sound)
        _write_utterance(folder / "wav" / f"{name}.wav", sound)
        _write_track(folder / TRACKS / f"{name}.txt", name, first, place, synthetic)
    parts.append(pause)
    sound = np.concatenate(parts)
    count = round(len(sound) / voice.RATE * FPS)
    write_video(file, _scene(pictures, count, synthetic), _frame_size(synthetic), sound)


def _frame_size(synthetic: Synthetic) -> tuple[int, int]:
    width, height = (round(size * (1 + MARGIN)) // 2 * 2 for size in synthetic.video_size)
    return width, height


def _walk(utterance: str, frames: int, synthetic: Synthetic) -> np.ndarray:
    """Return where the drawn picture's upper left corner is in each frame, ``(frames, 2)`` integer
    pixels: it drifts slowly."""
    random = _random(utterance, synthetic, 3)
    room = np.array(_frame_size(synthetic)) - synthetic.video_size
    begin, end = random.uniform(0, 1, 2), random.uniform(0, 1, 2)
    return np.round((begin + np.linspace(0, 0.3, frames)[:, None] * (end - begin)) * room).astype(
        int
    )


def _scene(pictures: list, count: int, synthetic: Synthetic) -> Iterator[np.ndarray]:
    """Yield the frames of an interview: a striped wall, and while somebody speaks that person's
    picture on it."""
    width, height = _frame_size(synthetic)
    wall = np.full((height, width, 3), 150, np.uint8)
    wall[:, ::16] = 120
    begins = {first: drawn for first, *drawn in pictures}
    running: Iterator = iter(())
    for number in range(count):
        if number in begins:
            name, envelope, place = begins[number]
            running = zip(_faces(name, envelope, len(place), synthetic), place)
        shown = next(running, None)
        frame = wall.copy()
        if shown is not None:
            (picture, (left, top)), (wide, high) = shown, synthetic.video_size
            frame[top : top + high, left : left + wide] = picture
        yield frame


def _faces(
    utterance: str, envelope: np.ndarray, frames: int, synthetic: Synthetic
) -> Iterator[np.ndarray]:
    truth = displayed(utterance, synthetic)
    looks = face.Identity.of(int(truth["shown"]), synthetic.seed)
    heard = voice.amplitude(envelope, (np.arange(frames) + 0.5) / FPS)
    return face.animate(
        looks,
        str(truth["emotion"]),
        heard,
        _random(utterance, synthetic, 2),
        INTENSITY,
        synthetic.video_size,
    )


def _write_track(
    file: Path, utterance: str, first: int, place: np.ndarray, synthetic: Synthetic
) -> None:
    """Write a face track as the owners do, its trailing spaces and all."""
    speaker, video, _ = utterance.split("/")
    width, height = synthetic.video_size
    side = round(HEAD * height)
    lines = [
        f"Identity  : \t{speaker}",
        f"Reference : \t{video}",
        "Offset    : \t-1",
        "FV Conf   : \t17.997\t(1)",
        "ASD Conf  : \t6.338",
        "",
    ]
    lines.append("FRAME \tX \tY \tW \tH ")
    begin, end = (round(number / FPS * TRACK_RATE) for number in (first, first + len(place)))
    for number in range(begin, end):
        left, top = place[min(max(round(number / TRACK_RATE * FPS) - first, 0), len(place) - 1)]
        lines.append(
            f"{number:06d} \t{left + (width - side) // 2} \t{top + (height - side) // 2} \t{side} \t{side} "
        )
    write_text(file, "\n".join(lines) + "\n")


def _meta_lines(synthetic: Synthetic) -> Iterator[str]:
    yield "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    for speaker, person in speakers(synthetic).items():
        part = "dev" if person <= synthetic.actors else "test"
        yield f"{speaker}\tDrawn_Person_{person}\t{'m' if person % 2 else 'f'}\tNowhere\t{part}"


def _split_lines(synthetic: Synthetic) -> Iterator[str]:
    """Yield 70, 10 and 20 percent of each speaker's videos as training, validation and test."""
    for _, names in itertools.groupby(utterances(synthetic), key=lambda name: name[:7]):
        names = list(names)
        videos = list(dict.fromkeys(name.split("/")[1] for name in names))
        if speakers(synthetic)[names[0][:7]] <= synthetic.actors:
            for name in names:
                place = (videos.index(name.split("/")[1]) + 0.5) / len(videos)
                yield f"{1 if place < 0.7 else 2 if place < 0.8 else 3} {name}.wav"


def _trial_lines(synthetic: Synthetic) -> Iterator[str]:
    """Yield all pairs of each outsider's utterances, each followed by one with another outsider's."""
    outsiders = [
        name for name in utterances(synthetic) if speakers(synthetic)[name[:7]] > synthetic.actors
    ]
    random = np.random.default_rng([synthetic.seed, 7])
    for first, second in itertools.combinations(outsiders, 2):
        if first[:7] == second[:7]:
            others = [name for name in outsiders if name[:7] != first[:7]]
            yield f"1 {first}.wav {second}.wav"
            if others:
                yield f"0 {first}.wav {others[random.integers(len(others))]}.wav"


LISTS = {META: _meta_lines, SPLIT: _split_lines, TRIALS: _trial_lines}
