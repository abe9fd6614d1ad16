"""Faces drawn with PIL: who it is (:mod:`.identity`) shapes them; what is felt moves brows, lids,
nose and mouth.

Geometry is in units of half a head's height around the head's centre, y downwards. What each
emotion moves follows the action units of Ekman & Friesen's EMFACS (happy 6+12, sad 1+4+15, angry
4+5+7+23, fearful 1+2+4+5+20+26, ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from kdsuite.demo.identity import Colour, Identity

CENTRE, HEIGHT = (0.5, 0.46), 0.74  # of the head, relative to the image
MOUTH_INSIDE, TONGUE, TEETH, WHITE = (84, 26, 32), (206, 104, 104), (250, 248, 242), (252, 252, 250)


class Expression(NamedTuple):
    """What a face does; zero is at rest, apart from the eyes, which are open at 1."""

    brow_inner: float = 0.0  # up
    brow_outer: float = 0.0  # up
    eyes: float = 1.0  # 0 shut, 1 open, more: wide
    squint: float = 0.0  # lower lids up
    corners: float = 0.0  # of the mouth, up
    jaw: float = 0.0  # down
    width: float = 1.0  # of the mouth
    sneer: float = 0.0  # nose wrinkled, mouth awry, tongue out
    blush: float = 0.0  # redder cheeks
    nod: float = 0.0  # head and gaze down


EXPRESSIONS = {
    "neutral": Expression(),
    "calm": Expression(brow_inner=0.15, brow_outer=-0.1, eyes=0.4, corners=0.55, nod=0.2),
    "happy": Expression(
        brow_inner=0.3,
        brow_outer=0.35,
        eyes=0.85,
        squint=0.75,
        corners=1.1,
        jaw=0.4,
        width=1.3,
        blush=0.7,
    ),
    "sad": Expression(
        brow_inner=0.95, brow_outer=-0.55, eyes=0.6, corners=-1.0, width=0.8, nod=0.8
    ),
    "angry": Expression(
        brow_inner=-1.0,
        brow_outer=0.45,
        eyes=0.85,
        squint=0.35,
        corners=-0.7,
        jaw=0.14,
        width=1.1,
        blush=0.9,
        nod=0.2,
    ),
    "fearful": Expression(
        brow_inner=1.0, brow_outer=0.25, eyes=1.4, corners=-0.6, jaw=0.35, width=1.2, nod=-0.3
    ),
    "disgust": Expression(
        brow_inner=-0.8,
        brow_outer=-0.3,
        eyes=0.55,
        squint=0.7,
        corners=-0.6,
        jaw=0.1,
        sneer=1.0,
        nod=-0.5,
    ),
    "surprised": Expression(
        brow_inner=1.1, brow_outer=1.2, eyes=1.5, jaw=1.0, width=0.62, nod=-0.2
    ),
}

SPREAD = np.std(list(EXPRESSIONS.values()), axis=0)
OWN, INEXACT = 0.5, 0.3


@lru_cache(1024)
def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour darker (factor below 1) or nearer to white (above 1)."""
    target = 0 if factor < 1 else 255
    return tuple(round(part + (target - part) * abs(1 - factor)) for part in colour)


def mix(colour: Colour, other: Colour, amount: float) -> Colour:
    """Return the colour ``amount`` (0 to 1) of the way from one to another."""
    return tuple(round(a + (b - a) * amount) for a, b in zip(colour, other))


class _Pencil:
    """Fills shapes in head units on an image several times too large, which makes edges smooth once
    it is reduced."""

    def __init__(self, size: tuple[int, int], background: Colour) -> None:
        self.fine = 2 if size[1] > 300 else 3
        self.image = Image.new("RGB", (size[0] * self.fine, size[1] * self.fine), background)
        self.draw = ImageDraw.Draw(self.image)
        self.scale = HEIGHT * size[1] * self.fine / 2
        self.origin = complex(CENTRE[0] * self.image.width, CENTRE[1] * self.image.height)

    def pose(self, angle: float, shift: tuple[float, float]) -> None:
        """Turn what follows by an angle in radians about the chin, then shift it; points are
        complex numbers x + iy."""
        turn, chin = np.exp(1j * angle), 1j
        self.turn, self.shift = (
            turn * self.scale,
            self.origin + (complex(*shift) + chin - turn * chin) * self.scale,
        )

    def fill(self, x: np.ndarray, y: np.ndarray, colour: Colour) -> None:
        points = (x + 1j * y) * self.turn + self.shift
        self.draw.polygon(points.view(float).tolist(), fill=colour)

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self.fill(x + width * COS[::2], y + height * SIN[::2], colour)

    def between(self, x: np.ndarray, upper: np.ndarray, lower: np.ndarray, colour: Colour) -> None:
        self.fill(np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]]), colour)

    def stroke(
        self, x: np.ndarray, y: np.ndarray, thickness: float | np.ndarray, colour: Colour
    ) -> None:
        self.between(x, y - thickness / 2, y + thickness / 2, colour)

    def finished(self) -> np.ndarray:
        return np.asarray(self.image.reduce(self.fine))


ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)
COS, SIN = np.cos(ANGLES), np.sin(ANGLES)
# a ring: around outside, and back inside
RIM_X, RIM_Y = (
    np.concatenate([line, line[:1], 0.88 * line[:1], 0.88 * line[::-1]]) for line in (COS, SIN)
)
ACROSS = -np.cos(np.linspace(0, np.pi, 17))  # closer together at the ends, where outlines bend
BULGE = np.sqrt(1 - ACROSS**2)
ARCH = 1 - ACROSS**2

RELAXED = Expression()


def draw_face(
    identity: Identity,
    expression: Expression = RELAXED,
    mouth: float = 0.0,
    size: tuple[int, int] = (160, 90),
    angle: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    background: Colour = (226, 226, 222),
) -> np.ndarray:
    """Draw one person, head and shoulders; returns uint8 RGB ``(height, width, 3)`` for a ``size``
    of (width, height) pixels.

    ``mouth`` (0 to 1) opens it to speak; ``angle`` (radians) and ``shift`` (half a head's height)
    move the head.
    """
    pencil = _Pencil(size, background)
    sway = (shift[0], shift[1] + 0.05 * expression.nod)
    pencil.pose(angle, sway)
    if identity.style[3]:  # hair behind the head
        pencil.fill(*_fall(identity), shade(identity.hair, 0.75))
    pencil.pose(0, (shift[0] * 0.3, 0))
    _shoulders(pencil, identity)
    pencil.pose(angle, sway)
    _head(pencil, identity, expression)
    # the features move more than the head does: a little depth
    pencil.pose(angle, (sway[0] * 1.5, sway[1] + 0.04 * expression.nod))
    for part in (_cheeks, _beard, _eyes, _nose):
        part(pencil, identity, expression)
    _mouth(pencil, identity, expression, mouth)
    _brows(pencil, identity, expression)
    return pencil.finished()


@lru_cache
def _fall(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of hair that falls behind the head."""
    volume, _, _, fall, curls, _ = identity.style
    low, bumps = SIN > 0, 1 + curls * np.cos(9 * ANGLES)
    x = np.sign(COS) * np.abs(COS) ** np.where(low, 0.45, 0.9) * (identity.head + volume + 0.02)
    return x * bumps, SIN * np.where(low, fall, 1 + volume) * bumps


def _shoulders(pencil: _Pencil, identity: Identity) -> None:
    neck, width = (0.40, 1.4) if identity.male else (0.32, 1.15)
    pencil.between(ACROSS * width, 1.72 - 0.45 * BULGE**0.7, np.full(17, 3.0), identity.shirt)
    pencil.oval(0, 1.28, neck * 1.05, 0.12, shade(identity.skin, 0.9))
    pencil.between(ACROSS * neck, np.full(17, 0.5), np.full(17, 1.3), shade(identity.skin, 0.9))
    pencil.between(ACROSS * neck, np.full(17, 0.8), 0.95 + 0.22 * ARCH, shade(identity.skin, 0.78))


@lru_cache
def _outline(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return the head's outline; the jaw is narrower than the skull."""
    power = np.where(SIN > 0, 1.0 - 0.35 * identity.jaw, 0.85)
    narrow = 1 - (0.16 - 0.1 * identity.jaw) * np.clip(SIN, 0, 1) ** 2
    return np.sign(COS) * np.abs(COS) ** power * identity.head * narrow, SIN


@lru_cache
def _chin(identity: Identity) -> np.ndarray:
    """Return the y of the lower outline at ACROSS of the head's width."""
    x, y = _outline(identity)
    lower = y > 0
    return np.interp(ACROSS * identity.head, x[lower][::-1], y[lower][::-1])


def _head(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    for side in (-1, 1):
        pencil.oval(side * (identity.head + 0.02), 0.08, 0.11, 0.19, shade(identity.skin, 0.88))
    x, y = _outline(identity)
    pencil.fill(x, y + (y > 0.3) * 0.06 * expression.jaw, identity.skin)
    pencil.fill(*_hair(identity), identity.hair)


@lru_cache
def _hair(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of the hair in front: an arc over the head from temple to temple, and the
    hairline back."""
    volume, line, temple, _, curls, parting = identity.style
    angles = np.linspace(np.arcsin(temple), -np.pi - np.arcsin(temple), 72)
    bumps = 1 + curls * np.cos(14 * angles)
    wide = identity.head * 0.98 + (0.4 * volume + 0.03) * np.clip(0.2 - np.sin(angles), 0, 1)
    x = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** 0.85 * wide
    y = np.where(np.sin(angles) < 0, np.sin(angles) * (1 + volume), np.sin(angles))
    # the hairline is highest at the parting and comes down to the temples
    away = np.where(
        ACROSS < parting, (parting - ACROSS) / (1 + parting), (ACROSS - parting) / (1 - parting)
    )
    fringe = line + (temple - line) * away**2.5
    return np.concatenate([x * bumps, ACROSS * identity.head * 0.93]), np.concatenate(
        [y * bumps, fringe]
    )


def _cheeks(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    for side in (-1, 1):
        pencil.oval(
            side * 0.43,
            0.30,
            0.15,
            0.10,
            mix(identity.skin, (226, 84, 78), 0.08 + 0.3 * expression.blush),
        )


def _beard(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    if identity.beard:
        inner = 0.42 + 0.07 * np.cos(3 * np.pi * ACROSS) - 0.3 * ACROSS**8
        pencil.between(
            ACROSS * identity.head * 0.98,
            np.minimum(inner, _chin(identity)),
            _chin(identity) + 0.06 * expression.jaw * ARCH,
            mix(identity.skin, identity.hair, 0.8),
        )


def _eyes(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    tall, dark = identity.eye * 0.85, shade(mix(identity.hair, (30, 20, 20), 0.6), 0.8)
    for side in (-1, 1):
        x = side * identity.eye_distance + identity.eye * 1.15 * ACROSS
        lower = -0.06 + tall * (0.6 - 0.75 * expression.squint) * ARCH
        upper = np.minimum(lower, -0.06 + tall * (0.6 - 1.5 * max(expression.eyes, 0)) * BULGE)
        pencil.between(x, -0.06 - tall * 1.05 * BULGE, lower, shade(identity.skin, 0.86))
        pencil.between(x, upper, lower, WHITE)
        for radius, colour in ((0.62, identity.iris), (0.3, (16, 14, 16))):
            _within(
                pencil,
                x,
                upper,
                lower,
                side * identity.eye_distance,
                -0.07 + 0.05 * expression.nod,
                radius * identity.eye,
                colour,
            )
        _within(
            pencil,
            x,
            upper,
            lower,
            side * identity.eye_distance + 0.03,
            -0.11,
            0.2 * identity.eye,
            WHITE,
        )
        pencil.stroke(x, upper, 0.035 if identity.male else 0.05, dark)
        if identity.glasses:
            pencil.fill(
                side * identity.eye_distance + 0.25 * RIM_X, 0.22 * RIM_Y - 0.04, (48, 46, 52)
            )


def _within(
    pencil: _Pencil,
    x: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    at: float,
    y: float,
    radius: float,
    colour: Colour,
) -> None:
    """Fill the part of a disc that lies between two lids."""
    inside = at + radius * COS[::3]
    pencil.fill(
        inside,
        np.clip(y + radius * SIN[::3], np.interp(inside, x, upper), np.interp(inside, x, lower)),
        colour,
    )


def _nose(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    dark, lift = shade(identity.skin, 0.8), 0.05 * expression.sneer
    pencil.between(ACROSS * 0.12, np.full(17, 0.28 - lift), 0.29 - lift + 0.07 * BULGE, dark)
    pencil.between(
        ACROSS * 0.095,
        0.26 - lift - 0.2 * ARCH**2,
        0.27 - lift + 0.06 * BULGE,
        shade(identity.skin, 1.12),
    )
    for step in (0.0, 0.07):
        if expression.sneer > 0.1:
            pencil.stroke(ACROSS * 0.1, -0.02 + step + 0.03 * ARCH, 0.022 * expression.sneer, dark)


def _mouth(pencil: _Pencil, identity: Identity, expression: Expression, mouth: float) -> None:
    x = identity.mouth * expression.width * (1 - 0.12 * mouth) * ACROSS
    rest = 0.57 - 0.15 * expression.corners * (ACROSS**2 - 0.35) - 0.05 * expression.sneer * ACROSS
    opening = np.clip(expression.jaw, 0, 1.2) * 0.34 + 0.2 * mouth
    upper, lower = rest - 0.25 * opening * BULGE, rest + 0.75 * opening * BULGE
    lips = mix(shade(identity.skin, 0.82), (190, 62, 72), 0.5 if identity.male else 0.6)
    thick = 0.05 if identity.male else 0.065
    pencil.between(x * 1.06, upper - thick * BULGE, lower + thick * 1.2 * BULGE, lips)
    pencil.between(x, upper, lower, MOUTH_INSIDE)
    pencil.between(x * 0.8, np.maximum(upper, lower - 0.3 * opening * BULGE), lower, TONGUE)
    pencil.between(x * 0.96, upper, np.minimum(lower, upper + 0.085 * BULGE), TEETH)
    if expression.sneer > 0.2:
        pencil.between(x * 0.5, rest, lower + 0.2 * expression.sneer * BULGE, TONGUE)
    if opening < 0.04:
        pencil.stroke(x, rest, 0.03, shade(lips, 0.6))


def _brows(pencil: _Pencil, identity: Identity, expression: Expression) -> None:
    out = (ACROSS + 1) / 2  # 0 at the nose, 1 at the temple
    rise = expression.brow_inner * (1 - out) + expression.brow_outer * out
    for side in (-1, 1):
        x = side * (identity.eye_distance - 0.17 + 0.03 * min(expression.brow_inner, 0) + 0.4 * out)
        y = -0.32 - 0.13 * rise - 0.05 * np.sin(np.pi * out * 0.8)
        pencil.stroke(
            x, y, identity.brow * (1.35 - 0.8 * out**2), mix(identity.hair, (30, 20, 20), 0.35)
        )


def animate(
    identity: Identity,
    emotion: str,
    envelope: np.ndarray,
    rng: np.random.Generator,
    intensity: float = 1.0,
    size: tuple[int, int] = (160, 90),
) -> Iterator[np.ndarray]:
    """Yield the frames, uint8 RGB ``(height, width, 3)``, of somebody who shows an emotion while
    speaking.

    ``envelope`` ``(frames,)`` has the amplitude of the sound, 0 to 1, at each frame. The face is
    neutral at both ends and strongest near the middle. ``intensity`` above 1 exaggerates.
    """
    count = len(envelope)
    time = (np.arange(count) + 0.5) / count
    felt = movements(emotion, count, rng, intensity)
    sway = [
        reach * np.sin(2 * np.pi * (rng.uniform(0.3, 0.8) * time + rng.uniform()))
        for reach in (0.04, 0.04, 0.03)
    ]
    background = tuple(int(part) for part in rng.integers(214, 236) + rng.integers(-4, 5, 3))
    for frame in range(count):
        move = (sway[0][frame], sway[1][frame] + 0.03 * envelope[frame])
        shown = Expression(*felt[frame])
        yield draw_face(
            identity,
            shown,
            float(envelope[frame]),
            size,
            angle=sway[2][frame],
            shift=move,
            background=background,
        )


def movements(
    emotion: str, count: int, rng: np.random.Generator, intensity: float = 1.0
) -> np.ndarray:
    """Return what a face that shows an emotion does at each frame, the numbers of
    :class:`Expression` as ``(count, 10)``.

    With a generator in the same state they are those of the frames that :func:`animate` draws.
    """
    time, rest = (np.arange(count) + 0.5) / count, np.array(EXPRESSIONS["neutral"])
    strength = intensity * np.sin(np.pi * time ** rng.uniform(0.8, 1.2)) ** 0.6
    felt = rest + strength[:, None] * (np.array(EXPRESSIONS[emotion]) - rest)
    felt[:, Expression._fields.index("eyes")] *= _blinks(count, rng)
    return felt


def measure(
    moves: np.ndarray, at_rest: np.random.Generator, rng: np.random.Generator
) -> np.ndarray:
    """Return movements ``(frames, 10)`` as an instrument gives them, that knows neither the face at
    rest nor is exact.

    What is added, in units of how far each number spreads over the emotions: half of a normal
    number that ``at_rest`` draws, which is the person's own, and 0.3 of one for each frame.
    """
    return moves + SPREAD * (
        OWN * at_rest.standard_normal(len(SPREAD)) + INEXACT * rng.standard_normal(moves.shape)
    )


def _blinks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how far the lids are open at each frame: one short blink about every two seconds."""
    lids = np.ones(count)
    for start in np.flatnonzero(rng.random(count) < 1 / 60):
        lids[start : start + 5] = [0.5, 0.1, 0.0, 0.3, 0.8][: count - start]
    return lids
