"""Faces drawn with PIL: ``people.yaml`` shapes them, the action units of ``emotions.csv`` move
brows, lids, nose and mouth.

Outlines are complex numbers x + iy, in units of half a head's height around the head's centre, y
downwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from kdsuite.demo.people import EMOTIONS, Recording, traits
from kdsuite.demo.voice import STEPS

ACTION_UNITS = EMOTIONS.loc["face"]
SPREAD = ACTION_UNITS.to_numpy().std(1)
PERSONAL, INEXACT = 0.5, 0.3  # of the spread: a person's face at rest, and each measurement
BLINK = (0.5, 0.1, 0.0, 0.3, 0.8)  # how far the lids are open, frame by frame

ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)
RING = np.exp(1j * ANGLES)
ACROSS = -np.cos(np.linspace(0, np.pi, 17))  # closer together at the ends, where outlines bend
ARCH = 1 - ACROSS**2
BULGE = np.sqrt(ARCH)
OUT = (ACROSS + 1) / 2  # of a brow: 0 at the nose, 1 at the temple

Colour = Sequence[int]
Curve = np.ndarray | float
Shapes = Iterator[tuple[np.ndarray, Colour]]  # outlines, complex (points,), and what fills them


def mix(colour: Colour, amount: float, other: Colour = (0, 0, 0)) -> Colour:
    """Return the colour ``amount`` (0 to 1) of the way to another one; to black it is a shade."""
    return [round(a + (b - a) * amount) for a, b in zip(colour, other)]


def _oval(centre: complex, width: float, height: float) -> Curve:
    return centre + width * RING.real[::2] + 1j * height * RING.imag[::2]


def _between(x: Curve, upper: Curve, lower: Curve) -> Curve:
    return np.concatenate([x + 1j * upper, (x + 1j * lower)[::-1]])


def _rounded(x: Curve, power: Curve) -> Curve:
    return np.sign(x) * np.abs(x) ** power


class Face(SimpleNamespace):
    """The face of an actor, head and shoulders, with the traits of ``people.yaml``: colours are
    taken in turn, so that neighbours by number share none; sizes are drawn."""

    def __init__(self, actor: int, seed: int = 0) -> None:
        super().__init__(**traits(actor, seed, "face"))
        turn = actor + seed
        self.skin, self.hair = self.skin_and_hair[turn * 3 % 8]
        self.iris, self.shirt = self.irises[turn * 2 % 5], self.shirts[turn * 5 % 6]
        self.has_beard, self.has_glasses = actor % 6 == 3, turn % 5 == 3
        volume, line, temple, self.fall, curls, parting = self.hair_styles[turn // 2 % 4]

        x, y, low = RING.real, RING.imag, RING.imag > 0
        narrow = 1 - (0.16 - 0.1 * self.jaw) * np.maximum(y, 0) ** 2  # the jaw than the skull
        side = _rounded(x, np.where(low, 1 - 0.35 * self.jaw, 0.85)) * self.head * narrow
        self.skull = side + 1j * y
        self.chin = np.interp(ACROSS * self.head, side[low][::-1], y[low][::-1])

        wide = _rounded(x, np.where(low, 0.45, 0.9)) * (self.head + volume + 0.02)
        tall = y * np.where(low, self.fall, 1 + volume)
        self.hair_behind = (wide + 1j * tall) * (1 + curls * np.cos(9 * ANGLES))

        # the hair in front: over the head from temple to temple, and back along the hairline, which
        # is highest at the parting
        angles = np.linspace(np.arcsin(temple), -np.pi - np.arcsin(temple), 72)
        x, y = np.cos(angles), np.sin(angles)
        wide = self.head * 0.98 + (0.4 * volume + 0.03) * np.clip(0.2 - y, 0, 1)
        over = _rounded(x, 0.85) * wide + 1j * y * (1 + volume * (y < 0))
        away = np.maximum((parting - ACROSS) / (1 + parting), (ACROSS - parting) / (1 - parting))
        hairline = ACROSS * self.head * 0.93 + 1j * (line + (temple - line) * away**2.5)
        self.hair_in_front = np.concatenate([over * (1 + curls * np.cos(14 * angles)), hairline])

    def draw(
        self, units: NamedTuple, mouth: float, angle: float, shift: complex, image: Image.Image
    ) -> None:
        """Draw the face on an image.

        ``units`` are the action units by their names, ``mouth`` (0 to 1) opens it to speak,
        ``angle`` (radians) and ``shift`` (half a head's height) move the head.
        """
        polygon, scale = ImageDraw.Draw(image).polygon, 0.37 * image.height
        centre = complex(0.5 * image.width, 0.46 * image.height)
        head, turned = shift + 0.05j * units.nod, np.exp(1j * angle)
        # the features move more than the head does: a little depth
        features = 1.5 * head.real + 1j * (head.imag + 0.04 * units.nod)
        for shapes, turn, move in (
            (self._hair_behind(), turned, head),
            (self._torso(), 1, 0.3 * shift.real),
            (self._head(units), turned, head),
            (self._features(units, mouth), turned, features),
        ):
            for outline, colour in shapes:  # turned about the chin
                points = ((outline - 1j) * turn + 1j + move) * scale + centre
                polygon(points.view(float).tolist(), fill=tuple(colour))

    def _hair_behind(self) -> Shapes:
        if self.fall:
            yield self.hair_behind, mix(self.hair, 0.25)

    def _torso(self) -> Shapes:
        yield _between(ACROSS * self.shoulders, 1.72 - 0.45 * BULGE**0.7, 3.0), self.shirt
        yield _oval(1.28j, self.neck * 1.05, 0.12), mix(self.skin, 0.1)
        yield _between(ACROSS * self.neck, 0.5, 1.3), mix(self.skin, 0.1)
        yield _between(ACROSS * self.neck, 0.8, 0.95 + 0.22 * ARCH), mix(self.skin, 0.22)

    def _head(self, units: NamedTuple) -> Shapes:
        for side in (-1, 1):
            yield _oval(side * (self.head + 0.02) + 0.08j, 0.11, 0.19), mix(self.skin, 0.12)
        yield self.skull + 0.06j * units.jaw * (self.skull.imag > 0.3), self.skin
        yield self.hair_in_front, self.hair

    def _features(self, units: NamedTuple, mouth: float) -> Shapes:
        rise = units.brow_inner * (1 - OUT) + units.brow_outer * OUT
        brow = -0.32 - 0.13 * rise - 0.05 * np.sin(np.pi * OUT * 0.8)
        frown, thick = 0.03 * min(units.brow_inner, 0), self.brow * (0.675 - 0.4 * OUT**2)
        for side in (-1, 1):
            blush = mix(self.skin, 0.08 + 0.3 * units.blush, self.blood)
            yield _oval(side * 0.43 + 0.3j, 0.15, 0.1), blush
            yield from self._eye(units, side * self.eye_distance)
            x = side * (self.eye_distance - 0.17 + frown + 0.4 * OUT)
            yield _between(x, brow - thick, brow + thick), mix(self.hair, 0.35, self.brown)
        if self.has_beard:
            upper = 0.42 + 0.07 * np.cos(3 * np.pi * ACROSS) - 0.3 * ACROSS**8
            lower = self.chin + 0.06 * units.jaw * ARCH
            beard = _between(ACROSS * self.head * 0.98, np.minimum(upper, self.chin), lower)
            yield beard, mix(self.skin, 0.8, self.hair)
        yield from self._nose(units.sneer)
        yield from self._mouth(units, mouth)

    def _eye(self, units: NamedTuple, centre: float) -> Shapes:
        tall, x = self.eye * 0.85, centre + self.eye * 1.15 * ACROSS
        lower = -0.06 + tall * (0.6 - 0.75 * units.squint) * ARCH
        upper = np.minimum(lower, -0.06 + tall * (0.6 - 1.5 * max(units.eyes, 0)) * BULGE)
        yield _between(x, -0.06 - tall * 1.05 * BULGE, lower), mix(self.skin, 0.14)
        yield _between(x, upper, lower), self.eyeball
        gaze = 0.05j * units.nod - 0.07j
        for offset, radius, colour in (
            (gaze, 0.62, self.iris),
            (gaze, 0.3, self.pupil),
            (0.03 - 0.11j, 0.2, self.eyeball),
        ):
            disc = centre + offset + radius * self.eye * RING[::3]
            lids = (np.interp(disc.real, x, lid) for lid in (upper, lower))
            yield disc.real + 1j * np.clip(disc.imag, *lids), colour
        yield (
            _between(x, upper - self.lash, upper + self.lash),
            mix(mix(self.hair, 0.6, self.brown), 0.2),
        )
        if self.has_glasses:
            rim = np.append(RING, 1)  # around outside, and back inside
            rim = np.concatenate([rim, 0.88 * rim[::-1]])
            yield centre - 0.04j + 0.25 * rim.real + 0.22j * rim.imag, self.glasses

    def _nose(self, sneer: float) -> Shapes:
        dark, y = mix(self.skin, 0.2), 0.28 - 0.05 * sneer
        yield _between(ACROSS * 0.12, y, y + 0.01 + 0.07 * BULGE), dark
        bridge = _between(ACROSS * 0.095, y - 0.02 - 0.2 * ARCH**2, y - 0.01 + 0.06 * BULGE)
        yield bridge, mix(self.skin, 0.12, (255, 255, 255))
        if sneer > 0.1:
            for y in (-0.02, 0.05):
                y, thick = y + 0.03 * ARCH, 0.011 * sneer
                yield _between(ACROSS * 0.1, y - thick, y + thick), dark

    def _mouth(self, units: NamedTuple, mouth: float) -> Shapes:
        x = self.mouth * units.width * (1 - 0.12 * mouth) * ACROSS
        rest = 0.57 - 0.15 * units.corners * (ACROSS**2 - 0.35) - 0.05 * units.sneer * ACROSS
        opening = np.clip(units.jaw, 0, 1.2) * 0.34 + 0.2 * mouth
        gap, lip = opening * BULGE, self.lips * BULGE
        upper, lower = rest - 0.25 * gap, rest + 0.75 * gap
        lips = mix(mix(self.skin, 0.18), self.redness, self.lipstick)
        yield _between(x * 1.06, upper - lip, lower + lip * 1.2), lips
        yield _between(x, upper, lower), self.throat
        yield _between(x * 0.8, np.maximum(upper, lower - 0.3 * gap), lower), self.tongue
        yield _between(x * 0.96, upper, np.minimum(lower, upper + 0.085 * BULGE)), self.teeth
        if units.sneer > 0.2:
            yield _between(x * 0.5, rest, lower + 0.2 * units.sneer * BULGE), self.tongue
        if opening < 0.04:
            yield _between(x, rest - 0.015, rest + 0.015), mix(lips, 0.4)


def animate(recording: Recording, envelope: np.ndarray, times: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames at ``times`` (seconds), uint8 RGB ``(height, width, 3)``, of who shows an
    emotion while speaking.

    The mouth follows an amplitude ``envelope`` that :func:`.voice.speak` returned. The face is
    neutral at both ends and strongest near the middle.
    """
    synthetic, rng = recording.synthetic, recording.random(2)
    face = Face(recording.shown[0], synthetic.seed)
    moves = movements(recording, len(times), rng)
    speed, phase = rng.uniform((0.3, 0), (0.8, 1), (3, 2)).T
    progress = (np.arange(len(times))[:, None] + 0.5) / len(times)
    sway = (0.04, 0.04, 0.03) * np.sin(2 * np.pi * (speed * progress + phase))
    background = rng.integers(214, 236) + rng.integers(-4, 5, 3)
    width, height = synthetic.video_size
    fine = 2 if height > 300 else 3  # drawn larger and reduced, edges are smooth
    amplitude = np.interp(times, np.arange(len(envelope)) / STEPS, envelope)
    for units, mouth, (x, y, angle) in zip(moves.itertuples(), amplitude, sway):
        image = Image.new("RGB", (width * fine, height * fine), tuple(background))
        face.draw(units, mouth, angle, complex(x, y + 0.03 * mouth), image)
        yield np.asarray(image.reduce(fine))


def movements(recording: Recording, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the action units, by their names, of the face at each of ``count`` frames.

    With a generator in the same state they are those of the frames that :func:`animate` draws.
    """
    progress, neutral = (np.arange(count) + 0.5) / count, ACTION_UNITS.neutral
    strength = np.sin(np.pi * progress ** rng.uniform(0.8, 1.2)) ** 0.6
    shown = ACTION_UNITS[recording.shown[1]] - neutral
    moves = np.outer(recording.intensity * strength, shown) + neutral.to_numpy()
    table = pd.DataFrame(moves, columns=neutral.index)
    lids = np.ones(count + len(BLINK))
    for start in np.flatnonzero(rng.random(count) < 1 / 60):  # one about every two seconds
        lids[start : start + len(BLINK)] = BLINK
    table["eyes"] *= lids[:count]
    return table


def measure(
    moves: pd.DataFrame, at_rest: np.random.Generator, rng: np.random.Generator
) -> pd.DataFrame:
    """Return movements as an instrument measures them, which is not exact and does not know the
    face at rest.

    What is added, in units of how far each action unit spreads over the emotions: half of a normal
    number that ``at_rest`` draws, which is the person's own, and 0.3 of one for each frame.
    """
    personal = PERSONAL * at_rest.standard_normal(len(SPREAD))
    return moves + SPREAD * (personal + INEXACT * rng.standard_normal(moves.shape))
