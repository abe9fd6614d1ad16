"""A small RAVDESS: its folders, names and file formats, with drawn actors whose faces and voices
say what is known.

Each modality of a take displays the labelled emotion with the probability p that the parameters
give it, and else one drawn uniformly among the k emotions of the take's channel (8 in speech, 6 in
song), face and voice independently unless ``shared`` gives both one emotion
(:func:`.people.displayed`). Who reads a modality without fault is therefore right on p
+ (1 - p) / k of the takes: at 0.95 on 0.96 of them and at 0.75 on 0.78 of speech and 0.79 of song
(a little more where calm counts as neutral). That is the ceiling of any model of one modality. The
mouth follows the sound, so that a video holds a trace of the voice, as everywhere.

``faces.csv`` has the same faces as measurements: a row a frame of the video, whether or not there
is one, with its ``time`` and the action units of :mod:`.face`, which the mouth's speaking is none
of. ``corpus.features`` can name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from kdsuite.data.corpora.features import TIME
from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, displayed
from kdsuite.demo.writing import FPS, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

INTENSITY = {"01": 0.9, "02": 1.2}
# neutral has no second intensity; neither disgust nor surprised is sung
NOT_OFFICIAL = re.compile("0.-01-02|02-0[78]")


def take_list(synthetic: Synthetic) -> list[str]:
    """Return all takes of a corpus, such as ``01-05-02-01-01-12``, spread evenly over classes,
    channels and the rest."""
    return [
        f"{take}-{actor:02d}"
        for actor in range(1, synthetic.actors + 1)
        for take in sorted(_takes_of(actor, synthetic))
    ]


def _takes_of(actor: int, synthetic: Synthetic) -> pd.Series:
    """Return the takes of an actor, without modality and actor, out of 60 of speech and 44 of song."""
    channels = ["01"] if actor in synthetic.actors_without_song else ["01", "02"]
    every = map("-".join, product(channels, EMOTIONS, *[("01", "02")] * 3))
    official = [take for take in every if not NOT_OFFICIAL.match(take)]
    takes = pd.Series(np.random.default_rng([synthetic.seed, actor, 3]).permutation(official))
    # neutral and calm are one class of the default protocol
    emotion, channel, label = takes.str[3:5], takes.str[:2], takes.str[3:5].replace("01", "02")
    # the first in turn changes with the actor, so that no class or channel is favoured over all
    # actors
    classes = [_in_turn(own, emotion + channel, actor) for _, own in takes.groupby(label)]
    return _in_turn(pd.concat(classes), label, actor * synthetic.takes)[: synthetic.takes]


def _in_turn(takes: pd.Series, group: pd.Series, first: int) -> pd.Series:
    """Take one of each group in turn, beginning with group ``first`` (modulo their number), until
    all are used up."""
    codes, groups = pd.factorize(group[takes.index], sort=True)
    turn = (codes - first) % len(groups)
    return takes.iloc[np.lexsort([turn, takes.groupby(codes).cumcount()])]


def recording(take: str, synthetic: Synthetic) -> Recording:
    """Return what a take displays: its emotion is the label, another one of its channel the error."""
    channel, code, intensity, statement, _, actor = take.split("-")
    label, number = EMOTIONS[code], int(take[:-3].replace("-", ""))

    def random(purpose: int) -> np.random.Generator:
        return np.random.default_rng([synthetic.seed, int(actor), number, purpose])

    sung = channel == "02"
    emotions = list(EMOTIONS.values())[: 6 if sung else 8]
    shown, spoken = displayed(label, emotions, synthetic, random(0))
    return Recording(
        synthetic,
        random,
        (int(actor), shown),
        (int(actor), spoken),
        {"labelled": label, "shown": shown, "spoken": spoken},
        INTENSITY[intensity],
        int(statement),
        sung,
    )


def render(take: str, synthetic: Synthetic) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a take, float32 ``(samples,)`` at 48 kHz, and frames as long, uint8 RGB
    ``(height, width, 3)`` at :data:`.writing.FPS`."""
    rendered = recording(take, synthetic)
    sound, envelope = voice.speak(rendered)
    times = _times(len(sound) / voice.RATE)
    frames = face.animate(rendered, envelope, times + 0.5 / FPS)
    return sound[: round(len(times) / FPS * voice.RATE)], frames


def measured(take: str, synthetic: Synthetic) -> pd.DataFrame:
    """Return the face of a take as measured at each frame of its video: ``recording``, ``time`` in
    seconds, and ten action units."""
    of = recording(take, synthetic)
    times = _times(voice.duration(of, of.random(1)))
    moves = face.movements(of, len(times), of.random(2))
    at_rest = np.random.default_rng([synthetic.seed, of.shown[0], 4])
    table = face.measure(moves, at_rest, of.random(3))
    table.insert(0, "recording", f"01-{take}")
    table.insert(1, TIME, times)
    return table


def _times(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * FPS)) / FPS


def plan(folder: Path, synthetic: Synthetic) -> tuple[dict[Path, Callable], dict]:
    """Return the job that writes each file, and what each take displays."""
    takes, jobs = take_list(synthetic), {}
    for take, modality in product(takes, synthetic.modalities):
        ending = "wav" if modality == "03" else "mp4"
        file = folder / f"Actor_{take[-2:]}" / f"{modality}-{take}.{ending}"
        jobs[file] = partial(_write, take, synthetic)
    jobs[folder / "faces.csv"] = partial(_write_faces, takes, synthetic)
    return jobs, {take: recording(take, synthetic).truth for take in takes}


def _write(take: str, synthetic: Synthetic, file: Path) -> None:
    sound, frames = render(take, synthetic)
    if file.suffix == ".wav":
        write_sound(file, sound)
    else:
        silent = file.name.startswith("02")
        write_video(file, frames, synthetic.video_size, None if silent else sound)


def _write_faces(takes: list[str], synthetic: Synthetic, file: Path) -> None:
    rows = pd.concat([measured(take, synthetic) for take in takes])
    write_text(file, rows.to_csv(index=False, float_format="%.4f"))
