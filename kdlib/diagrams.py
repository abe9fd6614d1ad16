"""Figures 1 to 3: the method, drawn from the networks that the suite trains (see :mod:`kdlib.figures.structure`).

Boxes, shapes and weights are those of the networks; the dashed arrows are those components that each loss reaches, with
the factor that its gradient has there.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes

from kdlib.figures import drawing, structure
from kdlib.figures.drawing import Node, arrow, box
from kdlib.figures.style import BACKBONES, Picture, styled
from kdlib.settings import Settings
from kdlib.store import Store

SYMBOLS = {"encoder": "e", "aggregator": "a", "head": "p"}
CLASSIFICATION = r"$\ell_\mathrm{cls}$"
DISTILLATION = {"encoder": r"$\ell_\mathrm{emb}$", "aggregator": r"$\ell_\mathrm{agg}$"}
LEVELS = {"encoder": "Encoder-level distillation (EM)", "aggregator": "Aggregator-level distillation (AGG)"}
GROUND = {"teacher": "#F4F5F7", "student": "#EEF5FB", "use": "#EFF7F1"}
WIDE, GAP = 1.8, 0.27  # of a component; between boxes
TALL = {"inputs": 0.52, "component": 0.62, "value": 0.29}


class Scheme(NamedTuple):
    """All that a figure draws: both networks, who learns from which loss, and what the embedding is compared with."""

    student: structure.Reading
    teacher: structure.Reading
    factors: dict[str, dict[str, str]]
    source: str

    @property
    def level(self) -> str:
        """The component whose output is distilled: the last one that the distillation reaches."""
        return [told.name for told in self.student.components if told.name in self.factors["distillation"]][-1]


def read(settings: Settings, store: Store | None, setting: str) -> Scheme:
    """Read the networks of ``settings`` in one of the settings ``nonseq``, ``em`` or ``agg``."""
    chosen = settings.model_copy(update={"setting": setting})
    source, _ = structure.target(chosen)
    return Scheme(structure.student(chosen, store), structure.teacher(chosen, store), structure.gradient_factors(chosen), source)


@styled
def figure2(settings: Settings, store: Store | None = None) -> Picture:
    """Draw teacher and student without aggregator (Figure 2); shapes of frames and classes are the store's where given."""
    scheme = read(settings, store, "nonseq")
    figure, axes = drawing.sheet(6.9, _height(scheme))
    _columns(axes, 0.1, scheme, BACKBONES[settings.backbone])
    drawing.legend(figure, _losses(scheme))
    return figure


@styled
def figure3(settings: Settings, store: Store | None = None) -> Picture:
    """Draw the sequential networks: distillation at the encoder left, at the aggregator right (Figure 3)."""
    schemes = [read(settings, store, setting) for setting in ("em", "agg")]
    figure, axes = drawing.sheet(13.7, _height(schemes[0]) + 0.35)
    for left, scheme in zip((0.1, 6.95), schemes, strict=True):
        _columns(axes, left, scheme, BACKBONES[settings.backbone])
        axes.text(left + 3.35, _height(scheme) + 0.15, LEVELS[scheme.level], ha="center", va="center", size=11.5, weight="bold")
    drawing.legend(figure, {**_losses(schemes[0]), "distillation": f"gradient of {' or '.join(DISTILLATION.values())}: distance to the teacher's embedding"})
    return figure


def _losses(scheme: Scheme) -> dict[str, str]:
    return {
        "classification": f"gradient of {CLASSIFICATION}: cross-entropy",
        "distillation": f"gradient of {DISTILLATION[scheme.level]}: distance to the teacher's embedding",
    }


def _ladder(scheme: Scheme) -> dict[str, float]:
    """Return the height of the centre of each rung: ``inputs``, then each component and, as ``component:value``, its output."""
    rungs, y = {"inputs": 0.97}, 0.97 + TALL["inputs"] / 2
    for told in scheme.student.components:
        rungs[told.name] = y + GAP + TALL["component"] / 2
        rungs[f"{told.name}:value"] = rungs[told.name] + TALL["component"] / 2 + GAP + TALL["value"] / 2
        y = rungs[f"{told.name}:value"] + TALL["value"] / 2
    return rungs


def _height(scheme: Scheme) -> float:
    return max(_ladder(scheme).values()) + 0.85


def _columns(axes: Axes, left: float, scheme: Scheme, backbone: str) -> None:
    """Draw teacher and student side by side, data rising, and the losses between and beside them."""
    rungs, top = _ladder(scheme), _height(scheme) - 0.08
    teacher, student, middle, lane = left + 1.05, left + 4.65, left + 3.2, left + 6.35
    for x, title, subtitle, ground in (
        (teacher, f"Teacher: video, {backbone}", "trained first, then frozen", "teacher"),
        (student, f"Student: audio, {backbone}", "all that is used at inference", "student"),
    ):
        drawing.panel(axes, Node(x, (top + 0.42) / 2, 2.1, top - 0.42), title, subtitle, GROUND[ground])
    _column(axes, teacher, rungs, scheme.teacher, "$%s_T$", frozen=True)
    nodes = _column(axes, student, rungs, scheme.student, "$%s$", frozen=False)
    distance = Node(middle, rungs[f"{scheme.level}:value"], 0.5, 0.5)
    _target(axes, scheme, rungs, teacher, distance)
    arrow(axes, [nodes[f"{scheme.level}:value"].side("left"), distance.side("right")])
    drawing.gradients(axes, distance, "distillation", nodes, scheme.factors["distillation"], "left")
    drawing.loss_circle(axes, distance, DISTILLATION[scheme.level], "distillation")
    error = Node(lane, rungs["head:value"], 0.46, 0.46)
    arrow(axes, [nodes["head:value"].side("right"), error.side("left")])
    drawing.gradients(axes, error, "classification", nodes, scheme.factors["classification"], "right")
    drawing.loss_circle(axes, error, CLASSIFICATION, "classification")
    label = Node(lane, top - 0.2, 0.7, 0.27)
    box(axes, label, ["label $y$"], round_by=0.13)
    arrow(axes, [label.side("bottom"), error.side("top")])


def _column(axes: Axes, x: float, rungs: dict[str, float], told: structure.Reading, symbol: str, frozen: bool) -> dict[str, Node]:
    """Draw one network from its input up; return its boxes by rung."""
    inputs = Node(x, rungs["inputs"], WIDE, TALL["inputs"])
    (drawing.seen if frozen else drawing.heard)(axes, inputs, told.inputs)
    axes.text(x, inputs.side("bottom")[1] - 0.12, _caption(told.inputs, frozen), ha="center", va="center", size=8)
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


def _caption(shape: tuple[int, ...], video: bool) -> str:
    """Say what the input is."""
    if video:
        return f"{shape[0]} frames of {shape[-1]} × {shape[-2]}" if len(shape) == 4 else f"{shape[-1]} face measurements"
    return f"{shape[0]} segments of {shape[-2]} × {shape[-1]}" if len(shape) == 4 else f"spectrogram {shape[-2]} × {shape[-1]}"


def _target(axes: Axes, scheme: Scheme, rungs: dict[str, float], x: float, distance: Node) -> None:
    """Draw the arrow from the teacher's embedding to the distance, and say how one is made of many."""
    sequential = "aggregator" in rungs
    text = {"frames": "mean of\neach segment", "whole": "" if sequential else "of the\npeak frame"}[scheme.source]
    start = Node(x, distance.y, 1.25, TALL["value"]).side("right")
    arrow(axes, [start, distance.side("left")])
    axes.text(x + 1.48, distance.y + 0.2, text, ha="center", va="center", size=8, linespacing=1.1)
    if not sequential and scheme.source == "whole":
        # the peak frame is the one whose class is the most probable (Eq. 4)
        y = rungs["head:value"]
        arrow(axes, [Node(x, y, 1.25, TALL["value"]).side("right"), (x + 1.48, y), (x + 1.48, distance.y + 0.4)])
        axes.text(x + 1.55, y + 0.12, r"$\max_t \max_c\ p_T$", ha="left", va="center", size=8)
