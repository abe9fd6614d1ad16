"""Who a drawn person is: colours, hair, and the sizes of head and features, whatever is felt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]
# skin and hair
COLOURS = [
    ((255, 219, 190), (128, 62, 32)),
    ((141, 93, 63), (40, 30, 28)),
    ((241, 194, 152), (214, 170, 96)),
    ((99, 64, 46), (28, 24, 26)),
    ((224, 172, 126), (62, 41, 30)),
    ((255, 212, 184), (164, 158, 156)),
    ((190, 135, 94), (36, 28, 40)),
    ((248, 206, 170), (98, 66, 42)),
]
IRISES = [(94, 62, 38), (66, 112, 156), (86, 126, 82), (52, 38, 32), (108, 118, 130)]
SHIRTS = [(52, 64, 84), (110, 58, 62), (58, 90, 84), (84, 76, 104), (46, 46, 52), (142, 116, 84)]
# volume above the head, hairline, how far it covers the temples, how far it falls behind, curls,
# parting
SHORT = [
    (0.10, -0.62, -0.15, 0.0, 0.0, -0.3),
    (0.16, -0.55, -0.20, 0.0, 0.05, 0.0),
    (0.05, -0.72, -0.35, 0.0, 0.0, 0.2),
    (0.20, -0.58, -0.10, 0.0, 0.0, 0.4),
]
LONG = [
    (0.14, -0.60, 0.20, 1.35, 0.0, -0.2),
    (0.24, -0.58, 0.10, 0.75, 0.06, 0.1),
    (0.12, -0.50, 0.30, 0.85, 0.0, 0.45),
    (0.16, -0.64, -0.05, 1.15, 0.04, 0.0),
]


@dataclass(frozen=True)
class Identity:
    """What a face looks like whatever it feels: colours, and sizes in units of half a head's
    height."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    style: tuple[float, ...]
    male: bool
    head: float  # half width
    jaw: float  # 0 pointed, 1 square
    eye_distance: float
    eye: float
    brow: float
    nose: float  # seen in no picture, but drawn by lot before the mouth, which would have another size without it
    mouth: float
    beard: bool
    glasses: bool

    @classmethod
    def of(cls, actor: int, seed: int = 0) -> Identity:
        """Return the face of an actor; odd numbers are male, as in RAVDESS."""
        rng, male, turn = np.random.default_rng([seed, actor, 2]), actor % 2 == 1, actor + seed
        # neighbours by number share no colour; sizes are drawn
        skin, hair = COLOURS[turn * 3 % 8]
        colours = skin, hair, IRISES[turn * 2 % 5], SHIRTS[turn * 5 % 6]
        style = (SHORT if male else LONG)[turn // 2 % 4]
        spans = (
            (0.70, 0.80),
            (0.5, 0.9) if male else (0.1, 0.5),
            (0.31, 0.35),
            (0.155, 0.18),
            (0.055, 0.075) if male else (0.042, 0.055),
        )
        sizes = [rng.uniform(*span) for span in (*spans, (0.16, 0.24), (0.27, 0.31))]
        return cls(
            *colours,
            style,
            male,
            *sizes,
            beard=bool(male and actor % 3 == 0),
            glasses=bool(turn % 5 == 3),
        )
