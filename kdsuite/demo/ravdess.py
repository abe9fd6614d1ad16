"""A small RAVDESS: its folders, names and file formats, with drawn actors whose faces and voices
say what is known.

Each modality of a take displays the labelled emotion with the probability p that the parameters
give it, and else one drawn uniformly among the k emotions of the take's channel (8 in speech, 6 in
song), face and voice independently unless ``shared`` gives both one emotion
(:func:`kdsuite.demo.shown_and_spoken`). Who reads a modality without fault is therefore right on p
+ (1 - p) / k of the takes: at 0.95 on 0.96 of them and at 0.75 on 0.78 of speech and 0.79 of song
(a little more where calm counts as neutral). That is the ceiling of any model of one modality. The
mouth follows the sound, so that a video holds a trace of the voice, as everywhere.

``faces.csv`` has the same faces as measurements: a row a frame of the video, whether or not there
is one, with its ``time`` and the numbers of :class:`.face.Expression`, which the mouth's speaking
is none of. ``corpus.features`` can name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from kdsuite.data.corpora.features import TIME
from kdsuite.data.corpora.ravdess import EMOTIONS
from kdsuite.demo import face, shown_and_spoken, voice
from kdsuite.demo.writing import FPS, write_corpus, write_sound, write_text, write_video
from kdsuite.parameters import Synthetic

CHANNEL_EMOTIONS = {"01": tuple(EMOTIONS), "02": tuple(EMOTIONS)[:6]}
INTENSITY = {"01": 0.9, "02": 1.2}
FACES = "faces.csv"
ENDINGS = {"01": ".mp4", "02": ".mp4", "03": ".wav"}


def official_takes(song: bool = True) -> list[str]:
    """Return the takes of one actor, without modality and actor: 60 of speech and 44 of song, in
    the order of their names."""
    channels = CHANNEL_EMOTIONS if song else {"01": CHANNEL_EMOTIONS["01"]}
    every = product(channels, EMOTIONS, ("01", "02"), ("01", "02"), ("01", "02"))
    return [
        "-".join(take)
        for take in every
        if take[1] in channels[take[0]] and take[1:3] != ("01", "02")
    ]


def take_list(synthetic: Synthetic) -> list[str]:
    """Return all takes of a corpus, such as ``01-05-02-01-01-12``, spread evenly over classes,
    channels and the rest."""
    return [
        take
        for actor in range(1, synthetic.actors + 1)
        for take in sorted(_takes_of(actor, synthetic))
    ]


def _takes_of(actor: int, synthetic: Synthetic) -> list[str]:
    cells: dict[tuple[str, str], list[str]] = {}
    for take in np.random.default_rng([synthetic.seed, actor, 3]).permutation(
        official_takes(actor not in synthetic.actors_without_song)
    ):
        cells.setdefault((take[3:5], take[:2]), []).append(f"{take}-{actor:02d}")
    classes: dict[str, list[list[str]]] = {}
    for (emotion, _), cell in sorted(cells.items()):
        # neutral and calm are one class of the default protocol
        classes.setdefault("01" if emotion == "02" else emotion, []).append(cell)
    # the first in turn changes with the actor, so that no class or channel is favoured over all
    # actors
    chosen = _in_turn(
        [_in_turn(cells, actor) for cells in classes.values()], actor * synthetic.takes
    )
    return chosen[: synthetic.takes]


def _in_turn(lists: Sequence[list[str]], first: int) -> list[str]:
    """Take one of each list in turn, beginning with list ``first`` (modulo their number), until all
    are used up."""
    first %= len(lists)
    rounds = zip_longest(*lists[first:], *lists[:first])
    return [item for one_round in rounds for item in one_round if item is not None]


def displayed(take: str, synthetic: Synthetic) -> dict[str, str]:
    """Return the names of the emotions that a take is ``labelled`` with, that are ``shown`` by the
    face and ``spoken`` by the voice."""
    channel, emotion = take.split("-")[:2]
    names = [EMOTIONS[code] for code in CHANNEL_EMOTIONS[channel]]
    return shown_and_spoken(EMOTIONS[emotion], names, synthetic, _random(take, synthetic, 0))


def _random(take: str, synthetic: Synthetic, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one take, whoever draws it and when."""
    return np.random.default_rng(
        [synthetic.seed, int(take[-2:]), int(take[:-3].replace("-", "")), purpose]
    )


def render(take: str, synthetic: Synthetic) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a take, float32 ``(samples,)`` at 48 kHz, and frames as long, uint8 RGB
    ``(height, width, 3)`` at :data:`FPS`."""
    channel, _, intensity, statement, _, actor = take.split("-")
    truth, force = displayed(take, synthetic), INTENSITY[intensity]
    speaker, looks = (
        voice.Voice.of(int(actor), synthetic.seed),
        face.Identity.of(int(actor), synthetic.seed),
    )
    sound, envelope = voice.speak(
        speaker,
        truth["spoken"],
        synthetic.seconds,
        _random(take, synthetic, 1),
        int(statement),
        force,
        sung=channel == "02",
        noise=synthetic.noise,
    )
    times = _times(len(sound) / voice.RATE)
    heard = voice.amplitude(envelope, times + 0.5 / FPS)
    frames = face.animate(
        looks, truth["shown"], heard, _random(take, synthetic, 2), force, synthetic.video_size
    )
    return sound[: round(len(times) / FPS * voice.RATE)], frames


def measured(take: str, synthetic: Synthetic) -> pd.DataFrame:
    """Return the face of a take as measured at each frame of its video: ``recording``, ``time`` in
    seconds, and ten numbers."""
    truth, force = displayed(take, synthetic), INTENSITY[take[6:8]]
    times = _times(
        voice.duration(truth["spoken"], synthetic.seconds, _random(take, synthetic, 1), force)
    )
    moves = face.movements(truth["shown"], len(times), _random(take, synthetic, 2), force)
    at_rest = np.random.default_rng([synthetic.seed, int(take[-2:]), 4])
    table = pd.DataFrame(
        face.measure(moves, at_rest, _random(take, synthetic, 3)), columns=face.Expression._fields
    )
    table.insert(0, "recording", f"01-{take}")
    table.insert(1, TIME, times)
    return table


def _times(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * FPS)) / FPS


def write_ravdess(folder: Path, synthetic: Synthetic, workers: int | None = None) -> None:
    """Write what is missing of the corpus; see :func:`.writing.write_corpus` for how, and for what
    it raises."""
    folder, takes = Path(folder), take_list(synthetic)
    files = [
        folder / f"Actor_{take[-2:]}" / f"{modality}-{take}{ENDINGS[modality]}"
        for take in takes
        for modality in synthetic.modalities
    ]
    write_corpus(
        folder,
        synthetic,
        [*files, folder / FACES],
        _write,
        {take: displayed(take, synthetic) for take in takes},
        workers,
    )


def _write(file: Path, synthetic: Synthetic) -> None:
    if file.name == FACES:
        rows = pd.concat([measured(take, synthetic) for take in take_list(synthetic)])
        return write_text(file, rows.to_csv(index=False, float_format="%.4f"))
    modality, _, take = file.stem.partition("-")
    sound, frames = render(take, synthetic)
    if modality == "03":
        write_sound(file, sound)
    else:
        write_video(file, frames, synthetic.video_size, sound if modality == "01" else None)
