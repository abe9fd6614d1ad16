"""Faces drawn with PIL: ``people.yaml`` shapes them, the action units of ``face.csv`` move
brows, lids, nose and mouth, and ``face.yaml`` has the shapes that are painted.

Lengths are in units of half a head's height around the head's centre, y downwards; outlines of the
head and the hair are complex numbers x + iy.
"""

from collections.abc import Iterator
from functools import cache
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
FACE = yaml.safe_load((FOLDER / "face.yaml").read_text())


@cache
def _compiled(formula):
    return compile(str(formula), "face.yaml", "eval")


def _value(formula, values):
    """Return the value of a formula of ``face.yaml`` for the ``values`` of its names."""
    return eval(_compiled(formula), vars(np), values)


def _shape(actor, seed):
    """Return what :func:`_draw` needs of an actor's face, head and shoulders, by its names in
    ``face.yaml``: colours are taken in turn, so that neighbours by number share none; sizes are
    drawn."""
    person, turn = traits(actor, seed, "face"), actor + seed
    values = person | {"actor": actor, "turn": turn}
    for name, (step, choices) in person["in_turn"].items():
        values[name] = choices[turn * step % len(choices)]
    for name, formula in FACE["outlines"].items():
        values[name] = _value(formula, values)
    return values


def _draw(values, image):
    """Draw a face on an image.

    ``values`` are those of its :func:`_shape`, the action units, ``speech`` (0 to 1), which opens
    the mouth, and how the head moves: ``x``, ``y`` (half a head's height) and ``angle`` (radians).
    """
    polygon, scale = ImageDraw.Draw(image).polygon, 0.37 * image.height
    centre = complex(0.5 * image.width, 0.46 * image.height)

    def curve(formula):
        return _value(formula, values)

    for layer in FACE["layers"]:
        x, y, angle = map(curve, layer["moves"])
        move, turn = complex(x, y), np.exp(1j * angle)
        for values["side"], part in product(layer.get("sides", [1]), layer["shapes"]):
            for name, formula in part.get("curves", {}).items():
                values[name] = curve(formula)
            if curve(part.get("when", 1)) <= 0:
                continue
            x, ys = curve(part["x"]), map(curve, part.get("y", [0]))
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
