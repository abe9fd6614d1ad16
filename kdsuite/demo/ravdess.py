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

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from kdsuite.data.corpora.features import TIME
from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.demo import face, voice
from kdsuite.demo.people import Recording, displayed
from kdsuite.demo.writing import FPS, write_sound, write_video
from kdsuite.parameters import Synthetic
from kdsuite.paths import write_text

ENDING = {"01": "mp4", "02": "mp4", "03": "wav"}  # by modality
INTENSITY = {"01": 1.3, "02": 1.7}
# neutral has no second intensity; neither disgust nor surprised is sung
NOT_OFFICIAL = re.compile("0.-01-02|02-0[78]")


def _takes_of(actor, synthetic):
    """Return the takes of an actor, such as ``01-05-02-01-01`` (without modality and actor), out of
    60 of speech and 44 of song, spread evenly over classes, channels and the rest."""
    channels = ["01"] if actor in synthetic.actors_without_song else ["01", "02"]
    every = map("-".join, product(channels, EMOTIONS, *[("01", "02")] * 3))
    official = [take for take in every if not NOT_OFFICIAL.match(take)]
    takes = pd.Series(np.random.default_rng([synthetic.seed, actor, 3]).permutation(official))
    # neutral and calm are one class of the default protocol
    kind, label = takes.str[3:5] + takes.str[:2], takes.str[3:5].replace("01", "02")
    # the first in turn changes with the actor, so that no class or channel is favoured over all
    # actors
    takes = takes.groupby(label, group_keys=False).apply(_in_turn, kind, actor)
    return _in_turn(takes, label, actor * synthetic.takes)[: synthetic.takes]


def _in_turn(takes, group, first):
    """Take one of each group in turn, beginning with group ``first`` (modulo their number), until
    all are used up."""
    codes, groups = pd.factorize(group[takes.index], sort=True)
    turn = (codes - first) % len(groups)
    return takes.iloc[np.lexsort([turn, takes.groupby(codes).cumcount()])]


def recording(take: str, synthetic: Synthetic) -> Recording:
    """Return what a take displays: its emotion is the label, another one of its channel the
    error."""
    channel, code, intensity, statement, _, actor = take.split("-")
    actor, number, sung = int(actor), int(take[:-3].replace("-", "")), channel == "02"
    return displayed(
        EMOTIONS[code], [*EMOTIONS.values()][: 6 if sung else 8], synthetic,
        lambda purpose: np.random.default_rng([synthetic.seed, actor, number, purpose]),
        actor=actor,
        intensity=INTENSITY[intensity], statement=int(statement), sung=sung, name=take,
    )  # fmt: skip


def render(take: Recording) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a take, float32 ``(samples,)`` at 48 kHz, and frames as long, uint8 RGB
    ``(height, width, 3)`` at :data:`.writing.FPS`."""
    sound, envelope = voice.speak(take)
    times = _times(len(sound) / voice.RATE)
    frames = face.animate(take, envelope, times + 0.5 / FPS)
    return sound[: round(len(times) / FPS * voice.RATE)], frames


def measured(take: Recording) -> pd.DataFrame:
    """Return the face of a take as measured at each frame of its video: ``recording``, ``time`` in
    seconds, and ten action units."""
    times = _times(voice.duration(take, take.random(1)))
    return pd.DataFrame(
        {"recording": f"01-{take.name}", TIME: times, **face.measure(take, len(times))}
    )


def _times(seconds):
    return np.arange(int(seconds * FPS)) / FPS


def plan(synthetic: Synthetic) -> tuple[dict, list[Recording]]:
    """Return the take of each file (of ``faces.csv`` all of them), and all takes."""
    takes = [
        recording(f"{take}-{actor:02d}", synthetic)
        for actor in range(1, synthetic.actors + 1)
        for take in sorted(_takes_of(actor, synthetic))
    ]
    files = {
        f"Actor_{take.name[-2:]}/{modality}-{take.name}.{ENDING[modality]}": take
        for take, modality in product(takes, synthetic.modalities)
    }
    return files | {"faces.csv": takes}, takes


def write(file: Path, take: Recording | list[Recording]) -> None:
    """Write a file of the :func:`plan`."""
    if file.suffix == ".csv":
        rows = pd.concat(map(measured, take))
        return write_text(file, rows.to_csv(index=False, float_format="%.4f"))
    sound, frames = render(take)
    if file.suffix == ".wav":
        return write_sound(file, sound, voice.RATE)
    silent = file.name.startswith("02")
    write_video(file, frames, None if silent else sound)
