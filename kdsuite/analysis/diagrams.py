"""Figures 1 to 3: the method, drawn from the networks that the suite trains (see :mod:`kdsuite.analysis.figures.structure`).

Boxes, shapes and weights are those of the networks; the dashed arrows are those components that each loss reaches, with
the factor that its gradient has there.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from kdsuite.analysis.figures import drawing, structure
from kdsuite.analysis.figures.drawing import Node, arrow, box
from kdsuite.analysis.figures.style import Picture, styled
from kdsuite.analysis.paper.findings import ENCODERS
from kdsuite.data.store import Store
from kdsuite.settings import Settings

SYMBOLS = {"encoder": "e", "aggregator": "a", "head": "p"}
CLASSIFICATION = r"$\ell_\mathrm{cls}$"
DISTILLATION = {"encoder": r"$\ell_\mathrm{emb}$", "aggregator": r"$\ell_\mathrm{agg}$"}
LEVELS = {"encoder": "Encoder-level distillation (EM)", "aggregator": "Aggregator-level distillation (AGG)"}
GROUND = {"teacher": "#F4F5F7", "student": "#EEF5FB", "use": "#EFF7F1"}
WIDE, GAP = 1.75, 0.27  # of a component; between boxes
PAIR, BASE = 7.0, 0.62  # width of teacher and student side by side; height of what is below them
TALL = {"inputs": 0.52, "component": 0.62, "value": 0.29}
# centre and height of the bands of Figure 1
BANDS = {"teacher": (5.0, 1.28), "student": (2.92, 1.62), "use": (1.36, 1.06)}
TITLES = (
    ("Teacher: video", "{}, trained first, then frozen", "teacher"),
    ("Student: audio", "{}", "student"),
    ("Inference", "audio alone: neither video nor teacher", "use"),
)


class Scheme(NamedTuple):
    """All that a figure draws: both networks, who learns from which loss, and what the embedding is compared with."""

    student: structure.Reading
    teacher: structure.Reading
    factors: dict[str, dict[str, str]]
    source: str
    target: tuple[int, ...]

    @property
    def level(self) -> str:
        """The component whose output is distilled: the last one that the distillation reaches."""
        return [told.name for told in self.student.components if told.name in self.factors["distillation"]][-1]


def read(settings: Settings, store: Store | None, setting: str) -> Scheme:
    """Read the networks of ``settings`` in one of the settings ``nonseq``, ``em`` or ``agg``."""
    chosen = settings.model_copy(update={"setting": setting})
    networks = structure.student(chosen, store), structure.teacher(chosen, store)
    return Scheme(*networks, structure.gradient_factors(chosen), *structure.target(chosen))


def parts(*schemes: Scheme) -> pd.DataFrame:
    """Return what a figure of these schemes tells, one row a component: layers, weights, shape of its output, shares of both gradients."""
    return pd.DataFrame(
        {
            "distilled": scheme.level, "network": network, **part._asdict(), "shape": drawing.shape_text(part.shape),
            **{f"{loss} gradient": factors.get(part.name, "") if network == "student" else "" for loss, factors in scheme.factors.items()},
        }
        for scheme in schemes
        for network in ("teacher", "student")
        for part in getattr(scheme, network).components
    )  # fmt: skip


def _families(scheme: Scheme, settings: Settings) -> dict[str, str]:
    """Return what kind of network each is; where faces are measured the teacher needs no convolutions."""
    backbone = ENCODERS[settings.backbone]
    return {"student": backbone, "teacher": backbone if len(scheme.teacher.inputs) == 4 else "measurements"}


@styled
def figure1(settings: Settings, store: Store | None = None) -> Picture:
    """Draw the method as a whole, in the setting of ``settings``: training with the frozen teacher, inference without (Figure 1)."""
    scheme = read(settings, store, settings.setting)
    columns = _stations(scheme)
    figure, axes = drawing.sheet(columns["loss"] + 0.45, 5.72)
    figure.data = parts(scheme)
    families = _families(scheme, settings)
    for (y, height), (title, subtitle, fill) in zip(BANDS.values(), TITLES, strict=True):
        node = Node((columns["loss"] - 0.25) / 2, y, columns["loss"] - 0.45, height)
        drawing.ground(axes, node, title, subtitle.format(families.get(fill)), GROUND[fill], beside=True)
    nodes = _row(axes, columns, BANDS["student"][0] + 0.1, scheme.student, brief=False)
    _row(axes, columns, BANDS["use"][0] - 0.06, scheme.student, brief=True)
    distance, error = _lesson(axes, scheme, columns, nodes)
    above, below = distance.y, nodes["head"].y - 0.72
    for loss, flow, leave, lane, enter in (
        (distance, "distillation", "left", above, "top"),
        (error, "classification", "bottom", below, "bottom"),
    ):
        routes = {name: _around(loss.side(leave), lane, nodes[name].side(enter)) for name in scheme.factors[flow]}
        drawing.gradients(axes, flow, scheme.factors[flow], routes)
    drawing.loss_circle(axes, distance, DISTILLATION[scheme.level], "distillation")
    drawing.loss_circle(axes, error, CLASSIFICATION, "classification")
    drawing.legend(figure, _losses(scheme))
    return figure


def _stations(scheme: Scheme) -> dict[str, float]:
    """Return where along the row each part stands: ``inputs``, each component and its output, and the ``loss``."""
    stations, x = {"inputs": 1.0}, 1.0 + 0.75
    for told in scheme.student.components:
        stations[told.name] = x + GAP + WIDE / 2
        stations[f"{told.name}:value"] = stations[told.name] + WIDE / 2 + GAP + 0.5
        x = stations[f"{told.name}:value"] + 0.5
    return {**stations, "loss": x + 0.62}


def _row(axes: Axes, columns: dict[str, float], y: float, told: structure.Reading, brief: bool) -> dict[str, Node]:
    """Draw the student from left to right, ``brief`` with its names only; return its boxes by station."""
    nodes, before = {}, Node(columns["inputs"], y, 1.5, 0.42 if brief else TALL["inputs"])
    drawing.heard(axes, before, told.inputs)
    if not brief:
        axes.text(before.x, before.side("bottom")[1] - 0.12, drawing.caption(told.inputs, video=False), ha="center", va="center", size=8)
    for part in told.components:
        nodes[part.name] = node = Node(columns[part.name], y, WIDE, 0.4 if brief else TALL["component"])
        nodes[f"{part.name}:value"] = value = Node(columns[f"{part.name}:value"], y, 1.0, TALL["value"])
        if brief:
            box(axes, node, [part.name.capitalize()], drawing.TINTS[part.name])
        else:
            drawing.component(axes, node, part, frozen=False)
        box(axes, value, [f"${SYMBOLS[part.name]}$   {drawing.shape_text(part.shape)}"], round_by=0.14)
        arrow(axes, [before.side("right"), node.side("left")])
        arrow(axes, [node.side("right"), value.side("left")])
        before = value
    return nodes


def _lesson(axes: Axes, scheme: Scheme, columns: dict[str, float], nodes: dict[str, Node]) -> tuple[Node, Node]:
    """Draw the teacher and the label, and their arrows to the losses; return the places of both losses."""
    y, level = BANDS["teacher"][0] - 0.08, nodes[f"{scheme.level}:value"]
    faces, told = Node(columns["inputs"], y, 1.5, 0.375), scheme.teacher.components
    left, right = columns["encoder"] - WIDE / 2, columns[scheme.level] + WIDE / 2
    network, value = Node((left + right) / 2, y, right - left, TALL["component"]), Node(level.x, y, 1.0, TALL["value"])
    drawing.seen(axes, faces, scheme.teacher.inputs)
    axes.text(faces.x, y - 0.37, drawing.caption(scheme.teacher.inputs, video=True), ha="center", va="center", size=8)
    parts = structure.Component("teacher", ", ".join(part.name for part in told), sum(part.weights for part in told), ())
    drawing.component(axes, network, parts, frozen=True)
    box(axes, value, [f"${SYMBOLS[scheme.level]}_T$   {drawing.shape_text(scheme.target)}"], round_by=0.14)
    distance = Node(level.x, 4.05, 0.5, 0.5)  # between the bands
    error = Node(columns["loss"], level.y, 0.46, 0.46)
    label = Node(error.x, distance.y, 0.7, 0.27)
    box(axes, label, ["label $y$"], round_by=0.13)
    arrow(axes, [faces.side("right"), network.side("left")])
    arrow(axes, [network.side("right"), value.side("left")])
    arrow(axes, [value.side("bottom"), distance.side("top")])
    arrow(axes, [level.side("top"), distance.side("bottom")])
    arrow(axes, [nodes["head:value"].side("right"), error.side("left")])
    arrow(axes, [label.side("bottom"), error.side("top")])
    return distance, error


def _around(start: tuple[float, float], lane: float, end: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the way from a loss along a horizontal lane to a component."""
    return [start, (start[0], lane), (end[0], lane), end]


@styled
def figure2(settings: Settings, store: Store | None = None) -> Picture:
    """Draw teacher and student without aggregator (Figure 2); shapes of frames and classes are the store's where given."""
    scheme = read(settings, store, "nonseq")
    figure, axes = drawing.sheet(PAIR, _height(scheme))
    figure.data = parts(scheme)
    _columns(axes, 0.1, scheme, _families(scheme, settings))
    drawing.legend(figure, _losses(scheme))
    return figure


@styled
def figure3(settings: Settings, store: Store | None = None) -> Picture:
    """Draw the sequential networks: distillation at the encoder left, at the aggregator right (Figure 3)."""
    schemes = [read(settings, store, setting) for setting in ("em", "agg")]
    figure, axes = drawing.sheet(2 * PAIR + 0.15, _height(schemes[0]) + 0.35)
    figure.data = parts(*schemes)
    for left, scheme in zip((0.1, PAIR + 0.25), schemes, strict=True):
        _columns(axes, left, scheme, _families(scheme, settings))
        axes.text(left + PAIR / 2, _height(scheme) + 0.15, LEVELS[scheme.level], ha="center", va="center", size=11.5, weight="bold")
    drawing.legend(figure, _losses(*schemes))
    return figure


def _losses(*schemes: Scheme) -> dict[str, str]:
    distances = " or ".join(DISTILLATION[scheme.level] for scheme in schemes)
    told = {"classification": f"{CLASSIFICATION}: cross-entropy", "distillation": f"{distances}: distance of embeddings"}
    return {flow: f"gradient of {text}" for flow, text in told.items()}


def _ladder(scheme: Scheme) -> dict[str, float]:
    """Return the height of the centre of each rung: ``inputs``, then each component and, as ``component:value``, its output."""
    rungs, y = {"inputs": BASE + 0.55}, BASE + 0.55 + TALL["inputs"] / 2
    for told in scheme.student.components:
        rungs[told.name] = y + GAP + TALL["component"] / 2
        rungs[f"{told.name}:value"] = rungs[told.name] + TALL["component"] / 2 + GAP + TALL["value"] / 2
        y = rungs[f"{told.name}:value"] + TALL["value"] / 2
    return rungs


def _height(scheme: Scheme) -> float:
    return max(_ladder(scheme).values()) + 0.85


def _columns(axes: Axes, left: float, scheme: Scheme, families: dict[str, str]) -> None:
    """Draw teacher and student side by side, data rising, and the losses between and beside them."""
    rungs, top = _ladder(scheme), _height(scheme) - 0.08
    teacher, student, middle, lane = left + 1.05, left + 4.8, left + 3.38, left + 6.42
    for who, x, name, role in (
        ("teacher", teacher, "Teacher: video", "trained first, frozen"),
        ("student", student, "Student: audio", "alone at inference"),
    ):
        node = Node(x, (top + BASE) / 2, 2.1, top - BASE)
        drawing.ground(axes, node, name, f"{families[who]}, {role}", GROUND[who])
    _column(axes, teacher, rungs, scheme.teacher, "$%s_T$", frozen=True)
    nodes = _column(axes, student, rungs, scheme.student, "$%s$", frozen=False)
    distance, error = Node(middle, rungs[f"{scheme.level}:value"], 0.5, 0.5), Node(lane, rungs["head:value"], 0.46, 0.46)
    _target(axes, scheme, rungs, teacher, distance)
    arrow(axes, [nodes[f"{scheme.level}:value"].side("left"), distance.side("right")])
    arrow(axes, [nodes["head:value"].side("right"), error.side("left")])
    label = Node(lane, top - 0.2, 0.7, 0.27)
    box(axes, label, ["label $y$"], round_by=0.13)
    arrow(axes, [label.side("bottom"), error.side("top")])
    for loss, flow, side in ((distance, "distillation", "left"), (error, "classification", "right")):
        ends = {name: nodes[name].side(side) for name in scheme.factors[flow]}
        routes = {name: [loss.side("bottom"), (loss.x, end[1]), end] for name, end in ends.items()}
        drawing.gradients(axes, flow, scheme.factors[flow], routes)
    drawing.loss_circle(axes, distance, DISTILLATION[scheme.level], "distillation")
    drawing.loss_circle(axes, error, CLASSIFICATION, "classification")


def _column(axes: Axes, x: float, rungs: dict[str, float], told: structure.Reading, symbol: str, frozen: bool) -> dict[str, Node]:
    """Draw one network from its input up; return its boxes by rung."""
    inputs = Node(x, rungs["inputs"], WIDE, TALL["inputs"])
    (drawing.seen if frozen else drawing.heard)(axes, inputs, told.inputs)
    axes.text(x, inputs.side("bottom")[1] - 0.12, drawing.caption(told.inputs, frozen), ha="center", va="center", size=8)
    nodes, below = {}, inputs
    for part in told.components:
        nodes[part.name] = Node(x, rungs[part.name], WIDE, TALL["component"])
        nodes[f"{part.name}:value"] = value = Node(x, rungs[f"{part.name}:value"], 1.25, TALL["value"])
        drawing.component(axes, nodes[part.name], part, frozen)
        box(axes, value, [f"{symbol % SYMBOLS[part.name]}   {drawing.shape_text(part.shape)}"], round_by=0.14)
        arrow(axes, [below.side("top"), nodes[part.name].side("bottom")])
        arrow(axes, [nodes[part.name].side("top"), value.side("bottom")])
        below = value
    return nodes


def _target(axes: Axes, scheme: Scheme, rungs: dict[str, float], x: float, distance: Node) -> None:
    """Draw the arrow from the teacher's embedding to the distance, and say how one is made of many."""
    sequential = "aggregator" in rungs
    text = {"frames": "mean of\neach segment", "whole": "" if sequential else "of the\npeak frame"}[scheme.source]
    start = Node(x, distance.y, 1.25, TALL["value"]).side("right")
    arrow(axes, [start, distance.side("left")])
    axes.text(x + 1.55, distance.y + 0.2, text, ha="center", va="center", size=8, linespacing=1.1)
    if not sequential and scheme.source == "whole":
        # the peak frame is the one whose class is the most probable (Eq. 4)
        y = rungs["head:value"]
        arrow(axes, [Node(x, y, 1.25, TALL["value"]).side("right"), (x + 1.55, y), (x + 1.55, distance.y + 0.4)])
        axes.text(x + 1.63, (y + distance.y) / 2 + 0.2, "the most\nconfident", ha="left", va="center", size=8, linespacing=1.1)
