"""Faces drawn with PIL: ``people.yaml`` shapes them, the action units of ``face.csv`` move
brows, lids, nose and mouth, and ``face.yaml`` has the shapes that are painted.

Lengths are in units of half a head's height around the head's centre, y downwards; outlines of the
head and the hair are complex numbers x + iy.
"""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

from kdsuite.demo.people import FOLDER, Recording, table, traits
from kdsuite.demo.voice import STEPS

ACTION_UNITS = table("face")
SPREAD = ACTION_UNITS.to_numpy().std(1)
HELD = 2  # frames that one picture is shown for: 15 a second look the same, and take half the time
BLINK = (0.5, 0.1, 0.0, 0.3, 0.8)  # how far the lids are open, frame by frame
LAYERS = yaml.safe_load((FOLDER / "face.yaml").read_text())

ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)
RING = np.exp(1j * ANGLES)
ACROSS = -np.cos(np.linspace(0, np.pi, 17))  # closer together at the ends, where outlines bend
OUT = (ACROSS + 1) / 2  # of a brow: 0 at the nose, 1 at the temple
# of glasses: around outside, and back inside
RIM = np.concatenate([RING, [1, 0.88], 0.88 * RING[::-1]])
# the functions along outlines in face.yaml
ALONG = {
    "one": 1.0, "across": ACROSS, "out": OUT, "arch": 1 - ACROSS**2,
    "bulge": np.sqrt(1 - ACROSS**2), "dome": np.sqrt(1 - ACROSS**2) ** 0.7,
    "tips": ACROSS**8, "curl": np.cos(3 * np.pi * ACROSS), "sweep": np.sin(0.8 * np.pi * OUT),
    "cos": RING.real[::2], "sin": RING.imag[::2],
    "disc_x": RING.real[::3], "disc_y": RING.imag[::3],
    "rim_x": RIM.real, "rim_y": RIM.imag,
}  # fmt: skip


def _rounded(x, power):
    return np.sign(x) * np.abs(x) ** power


def _shape(actor, seed):
    """Return what :func:`_draw` needs of an actor's face, head and shoulders, by its names in
    ``face.yaml``: colours are taken in turn, so that neighbours by number share none; sizes are
    drawn."""
    person, turn = traits(actor, seed, "face"), actor + seed
    head, jaw = person["head"], person["jaw"]
    volume, line, temple, fall, curls, parting = person["hair_styles"][turn // 2 % 4]

    x, y, below = RING.real, RING.imag, RING.imag > 0
    narrow = 1 - (0.16 - 0.1 * jaw) * np.maximum(y, 0) ** 2  # the jaw than the skull
    side = _rounded(x, np.where(below, 1 - 0.35 * jaw, 0.85)) * head * narrow
    wide = _rounded(x, np.where(below, 0.45, 0.9)) * (head + volume + 0.02)
    tall = y * np.where(below, fall, 1 + volume)

    # the hair in front: over the head from temple to temple, and back along the hairline, which is
    # highest at the parting
    angles = np.linspace(np.arcsin(temple), -np.pi - np.arcsin(temple), 72)
    across, up = np.cos(angles), np.sin(angles)
    width = head * 0.98 + (0.4 * volume + 0.03) * np.clip(0.2 - up, 0, 1)
    over = _rounded(across, 0.85) * width + 1j * up * (1 + volume * (up < 0))
    away = np.maximum((parting - ACROSS) / (1 + parting), (ACROSS - parting) / (1 - parting))
    hairline = ACROSS * head * 0.93 + 1j * (line + (temple - line) * away**2.5)
    in_turn = {
        name: choices[turn * step % len(choices)]
        for name, (step, choices) in person["in_turn"].items()
    }
    return ALONG | person | in_turn | {
        "fall": fall, "has_beard": actor % 6 == 3,
        "skull": side + 1j * y, "low": y > 0.3,
        "chin": np.interp(ACROSS * head, side[below][::-1], y[below][::-1]),
        "hair_behind": (wide + 1j * tall) * (1 + curls * np.cos(9 * ANGLES)),
        "hair_in_front": np.concatenate([over * (1 + curls * np.cos(14 * angles)), hairline]),
    }  # fmt: skip


def _draw(values, image):
    """Draw a face on an image.

    ``values`` are those of its :func:`_shape`, the action units, ``speech`` (0 to 1), which opens
    the mouth, and how the head moves: ``x``, ``y`` (half a head's height) and ``angle`` (radians).
    """
    polygon, scale = ImageDraw.Draw(image).polygon, 0.37 * image.height
    centre = complex(0.5 * image.width, 0.46 * image.height)

    def curve(sums):
        if isinstance(sums, list):
            return np.minimum(*map(curve, sums))
        return sum(
            math.prod([factor, *map(values.get, names.split())]) for names, factor in sums.items()
        )

    for layer in LAYERS:
        x, y, angle = map(curve, layer["moves"])
        move, turn = complex(x, y), np.exp(1j * angle)
        for values["side"], part in product(layer.get("sides", [1]), layer["shapes"]):
            for name, sums in part.get("curves", {}).items():
                values[name] = curve(sums)
            if curve(part.get("when", {"one": 1})) <= 0:
                continue
            x, ys = curve(part["x"]), map(curve, part.get("y", [{}]))
            if "within" in part:
                lids = (np.interp(x, values["eye_x"], values[lid]) for lid in part["within"])
                ys = [np.clip(*ys, *lids)]
            there, *back = (x + 1j * y for y in ys)
            outline = np.concatenate([there, *(line[::-1] for line in back)])
            # turned about the chin
            points = ((outline - 1j) * turn + 1j + move) * scale + centre
            colour = np.zeros(3)
            for name, amount in part["colour"]:
                colour = np.rint(colour + (values[name] - colour) * values.get(amount, amount))
            polygon(points.view(float).tolist(), fill=tuple(map(int, colour)))


def animate(recording: Recording, envelope: np.ndarray, times: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames at ``times`` (seconds), uint8 RGB ``(height, width, 3)``, of who shows an
    emotion while speaking.

    The mouth follows an amplitude ``envelope`` that :func:`.voice.speak` returned. The face is
    neutral at both ends and strongest near the middle.
    """
    synthetic, rng = recording.synthetic, recording.random(2)
    face, moves = _shape(recording.shown[0], synthetic.seed), movements(recording, len(times), rng)
    moves["speech"] = np.interp(times, np.arange(len(envelope)) / STEPS, envelope)
    speed, phase = rng.uniform((0.3, 0), (0.8, 1), (3, 2)).T
    progress = (np.arange(len(times))[:, None] + 0.5) / len(times)
    sway = np.sin(2 * np.pi * (speed * progress + phase))
    moves[["x", "y", "angle"]] = (0.04, 0.04, 0.03) * sway
    background = rng.integers(214, 236) + rng.integers(-4, 5, 3)
    width, height = synthetic.video_size
    fine = 2 if height > 300 else 3  # drawn larger and reduced, edges are smooth
    for number, each in enumerate(moves.to_dict("records")):
        if number % HELD == 0:
            image = Image.new("RGB", (width * fine, height * fine), tuple(background))
            _draw(face | each, image)
            picture = np.asarray(image.reduce(fine))
        yield picture


def movements(recording: Recording, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the action units, by their names, of the face at each of ``count`` frames.

    With a generator in the same state they are those of the face that :func:`animate` draws, at
    every :data:`HELD`-th frame.
    """
    progress, neutral = (np.arange(count) + 0.5) / count, ACTION_UNITS.neutral
    strength = np.sin(np.pi * progress ** rng.uniform(0.8, 1.2)) ** 0.6
    shown = ACTION_UNITS[recording.shown[1]] - neutral
    moves = pd.DataFrame(np.outer(recording.intensity * strength, shown), columns=shown.index)
    moves += neutral
    lids = np.ones(count + len(BLINK))
    for start in np.flatnonzero(rng.random(count) < 1 / 60):  # one about every two seconds
        lids[start : start + len(BLINK)] = BLINK
    moves["eyes"] *= lids[:count]
    return moves


def measure(recording: Recording, count: int) -> pd.DataFrame:
    """Return the movements of ``count`` frames as an instrument measures them, which is not exact
    and does not know the face at rest.

    What is added, in units of how far each action unit spreads over the emotions: half of a normal
    number that is the person's own, and 0.3 of one for each frame.
    """
    moves = movements(recording, count, recording.random(2))
    own = np.random.default_rng([recording.synthetic.seed, recording.shown[0], 4])
    personal = 0.5 * own.standard_normal(len(SPREAD))
    inexact = 0.3 * recording.random(3).standard_normal(moves.shape)
    return moves + SPREAD * (personal + inexact)
