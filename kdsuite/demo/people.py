"""Who displays what in the recordings of a synthetic corpus, and the tables of people."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from kdsuite.parameters import Synthetic

FOLDER = Path(__file__).parent
PEOPLE = yaml.safe_load((FOLDER / "people.yaml").read_text())


def table(name: str) -> pd.DataFrame:
    """Return the table ``name.csv``, whose rows have the names in its first column."""
    return pd.read_csv(FOLDER / f"{name}.csv", comment="#", index_col=0)


def traits(actor: int, seed: int, part: str) -> dict:
    """Return the traits of an actor's ``face`` or ``voice``, by their names in ``people.yaml``; odd
    numbers are male, as in RAVDESS."""
    common = PEOPLE["male" if actor % 2 else "female"]
    spans = common[part]
    rng = np.random.default_rng([seed, actor, {"voice": 1, "face": 2}[part]])
    return common | dict(zip(spans, rng.uniform(*np.transpose([*spans.values()]))))


class Recording(NamedTuple):
    """What a recording displays: ``shown`` by a face and ``spoken`` by a voice, each the number of
    an actor and an emotion; ``truth`` is what ``synthetic.json`` says of it.

    ``name`` is that of the take, turn or utterance. ``random`` returns the generator of a purpose
    (0 truth, 1 voice, 2 face, others of the layout), whoever draws from it and when. An
    ``intensity`` above 1 exaggerates the emotion.
    """

    synthetic: Synthetic
    random: Callable[[int], np.random.Generator]
    shown: tuple[int, str]
    spoken: tuple[int, str] = (0, "")
    truth: dict | None = None
    intensity: float = 1.0
    statement: int = 0  # 0: drawn
    sung: bool = False
    name: str = ""


def displayed(
    label: str | int, choices: Sequence, synthetic: Synthetic, random: Callable,
    generator: np.random.Generator | None = None, actor: int = 0, emotion: str = "", **how,
) -> Recording:  # fmt: skip
    """Return a recording with this label: what its face shows and what its voice expresses, by the
    ``generator`` or that of purpose 0.

    The voice expresses the label with probability ``audio_information`` and else one of the
    ``choices``, drawn uniformly. With probability ``shared`` the face shows what the voice
    expresses; else it shows the label with probability ``video_information`` and one drawn
    uniformly otherwise. So of k choices, with label y, face v and voice a::

        P(a | y)    = audio_information [a = y] + (1 - audio_information) / k P(v | y, a) = shared
        [v = a] + (1 - shared) (video_information [v = y] + (1 - video_information) / k)

    ``shared`` 0 is independence given the label, ``shared`` 0 with ``video_information`` 0 a face
    that tells of neither. Labels are emotions of an ``actor``, or actors who display an
    ``emotion``.
    """
    values, generator = [], generator or random(0)
    for information in (synthetic.video_information, synthetic.audio_information):
        informs, other = generator.random() < information, choices[generator.integers(len(choices))]
        values.append(label if informs else other)
    # drawn last, so that the draws above are those of every corpus
    if generator.random() < synthetic.shared:
        values[0] = values[1]
    truth = {"emotion": emotion} if emotion else {"labelled": label}
    truth |= dict(zip(("shown", "spoken"), values))
    pairs = [(actor or value, emotion or value) for value in values]
    return Recording(synthetic, random, *pairs, truth, **how)
