"""The strokes of Figures 1 to 3: boxes, arrows, and what the networks see and hear. Units are inches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Arc, Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from kdsuite.analysis.figures.structure import Component
from kdsuite.analysis.figures.style import BLUE, GREY, INK, SOUND, VERMILION, Picture

# what flows along an arrow: colour, line style
FLOWS = {"data": (INK, "-"), "classification": (VERMILION, (0, (4, 1.5))), "distillation": (BLUE, (0, (4, 1.5)))}
TINTS = {"encoder": "#DCEBF7", "aggregator": "#E3F3EA", "head": "#FBEBDD", "frozen": "#E9EBEE"}
SKIN, DARK, QUIET = "#F0C9A0", "#4A3B32", "#555A61"
LETTERS = r"$e$, $a$: embeddings   $p$: class probabilities   $_T$: the teacher's   $y$: label   α: imitation parameter, from 0 to 1"


class Node(NamedTuple):
    """A box by its centre and size."""

    x: float
    y: float
    width: float
    height: float

    def side(self, which: str) -> tuple[float, float]:
        """Return the middle of a side: ``left``, ``right``, ``top``, ``bottom``."""
        across, up = {"left": (-0.5, 0), "right": (0.5, 0), "top": (0, 0.5), "bottom": (0, -0.5)}[which]
        return self.x + across * self.width, self.y + up * self.height


def sheet(width: float, height: float) -> tuple[Picture, Axes]:
    """Return an empty picture of this size, and axes over the whole of it."""
    figure = Picture(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    return figure, axes


def box(axes: Axes, node: Node, lines: Sequence[str], fill: str = "white", edge: str = GREY, round_by: float = 0.06) -> None:
    """Draw a box with its title and, smaller, further lines."""
    _rounded(axes, node, round_by, fc=fill, ec=edge, lw=1, zorder=2)
    step = 0.165
    for number, line in enumerate(lines):
        look = {"size": 9, "weight": "bold"} if number == 0 and len(lines) > 1 else {"size": 8}
        y = node.y + step * ((len(lines) - 1) / 2 - number)
        axes.text(node.x, y, line, ha="center", va="center", zorder=4, parse_math=True, **look)


def _rounded(axes: Axes, node: Node, radius: float, **look: Any) -> None:
    corner = (node.x - node.width / 2, node.y - node.height / 2)
    axes.add_patch(FancyBboxPatch(corner, node.width, node.height, boxstyle=f"round,pad=0,rounding_size={radius}", **look))


def component(axes: Axes, node: Node, told: Component, frozen: bool) -> None:
    """Draw a component of a network: name, layers, weights."""
    box(axes, node, [told.name.capitalize(), told.layers, f"{_number(told.weights)} weights"], TINTS["frozen" if frozen else told.name])


def _number(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def shape_text(shape: Sequence[int]) -> str:
    """Return such as ``4 × 512``."""
    return " × ".join(str(size) for size in shape)


def ground(axes: Axes, node: Node, title: str, subtitle: str, fill: str, beside: bool = False) -> None:
    """Draw the ground under a network, its title at the top: centred over the subtitle, or at the left ``beside`` it."""
    _rounded(axes, node, 0.1, fc=fill, ec="none", zorder=0)
    left, top = node.x - node.width / 2 + 0.15, node.y + node.height / 2 - 0.18
    head, tail = ((left, top), (left + 1.65, top)) if beside else ((node.x, top), (node.x, top - 0.19))
    align = "left" if beside else "center"
    axes.text(*head, title, ha=align, va="center", size=10, weight="bold", zorder=4)
    axes.text(*tail, subtitle, ha=align, va="center", size=8, color=QUIET, zorder=4)


def arrow(axes: Axes, points: Sequence[tuple[float, float]], flow: str = "data", name: str | None = None) -> None:
    """Draw an arrow along ``points``; ``name`` is its id in the SVG."""
    colour, line = FLOWS[flow]
    style = "-|>,head_length=0.32,head_width=0.16"
    path = FancyArrowPatch(path=Path(points), arrowstyle=style, mutation_scale=14, color=colour, ls=line, lw=1.25, fill=True, zorder=3)
    path.set(gid=name, joinstyle="miter", capstyle="butt")
    axes.add_patch(path)


def gradients(axes: Axes, flow: str, factors: dict[str, str], routes: dict[str, list[tuple[float, float]]]) -> None:
    """Draw where the gradient of a loss arrives: along the component's route, whose last leg carries the component's factor."""
    for name, factor in factors.items():
        points = routes[name]
        arrow(axes, points, flow, f"gradient:{flow}:{name}:{factor}")
        (x, y), (end_x, end_y) = points[-2:]
        place = ((x + end_x) / 2, end_y + 0.1) if y == end_y else (end_x + 0.07, (y + end_y) / 2)
        align = "center" if y == end_y else "left"
        text = f"× ({factor})" if " " in factor else f"× {factor}"
        axes.text(*place, text, color=FLOWS[flow][0], ha=align, va="center", size=8, zorder=5)


def loss_circle(axes: Axes, node: Node, text: str, flow: str) -> None:
    """Draw a loss."""
    axes.add_patch(Circle((node.x, node.y), node.width / 2, fc="white", ec=FLOWS[flow][0], lw=1.5, zorder=3))
    axes.text(node.x, node.y, text, ha="center", va="center", size=9.5, color=FLOWS[flow][0], zorder=4, parse_math=True)


def seen(axes: Axes, node: Node, shape: Sequence[int]) -> None:
    """Draw what the teacher sees: a strip of faces, or a row of measurements where ``shape`` is ``(…, measurements)``."""
    if len(shape) < 4:
        return _measured(axes, node)
    side = node.width / 4
    for number in range(4):
        x = node.x + side * (number - 1.5)
        axes.add_patch(Rectangle((x - side / 2, node.y - side / 2), side, side, fc="#CFE0EE", ec="white", lw=1.5, zorder=2))
        axes.add_patch(Ellipse((x, node.y + 0.06 * side), 0.66 * side, 0.72 * side, fc=DARK, ec="none", zorder=3))
        axes.add_patch(Ellipse((x, node.y - 0.04 * side), 0.54 * side, 0.7 * side, fc=SKIN, ec="none", zorder=3))
        for eye in (-0.12, 0.12):
            axes.add_patch(Circle((x + eye * side, node.y + 0.07 * side), 0.032 * side, fc=DARK, ec="none", zorder=4))
        smile = (0.10, 0.16, 0.24, 0.18)[number]
        axes.add_patch(Arc((x, node.y - 0.12 * side), 0.28 * side, smile * side, theta1=200, theta2=340, color=DARK, lw=1.1, zorder=4))


def _measured(axes: Axes, node: Node) -> None:
    """Draw a row of bars in place of the faces."""
    heights = np.sin(np.arange(16) * 2.1) * 0.35 + np.cos(np.arange(16) * 0.7) * 0.12
    for number, height in enumerate(heights * node.height):
        x = node.x + node.width * ((number + 0.5) / 16 - 0.5)
        axes.add_patch(Rectangle((x - 0.03, node.y), 0.06, height, fc=BLUE, ec="none", zorder=3))


def heard(axes: Axes, node: Node, shape: Sequence[int]) -> None:
    """Draw what the student hears: a spectrogram, cut where ``shape`` is ``(segments, 1, bins, columns)``."""
    segments = shape[0] if len(shape) == 4 else 1
    time, pitch = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 32))
    voice = np.clip(0.2 + 1.3 * np.sin(27 * time + 0.4), 0, 1) * np.exp(-2.2 * pitch)
    picture = voice * (0.55 + 0.45 * np.cos(2 * np.pi * pitch * (7 + 1.5 * np.sin(7 * time)))) + 0.06 * pitch
    edges = np.linspace(-0.5, 0.5, segments + 1) * node.width + node.x
    gap = 0.035 if segments > 1 else 0.0
    for part, left, right in zip(np.array_split(picture, segments, axis=1), edges[:-1], edges[1:], strict=True):
        extent = (left + gap / 2, right - gap / 2, node.y - node.height / 2, node.y + node.height / 2)
        axes.imshow(part, cmap=SOUND, extent=extent, origin="lower", vmin=0, vmax=1, zorder=2, aspect="equal")


def caption(shape: Sequence[int], video: bool) -> str:
    """Say what the input of a network is, of video or of sound."""
    if video:
        return f"{shape[0]} frames of {shape[-1]} × {shape[-2]}" if len(shape) == 4 else f"{shape[-1]} face measurements"
    return f"{shape[0]} segments of {shape[-2]} × {shape[-1]}" if len(shape) == 4 else f"spectrogram {shape[-2]} × {shape[-1]}"


def legend(figure: Picture, losses: dict[str, str]) -> None:
    """Explain the arrows and the letters; ``losses`` gives the text of each loss."""
    lines = {"data": "data", **losses}
    handles = [Line2D([], [], color=FLOWS[flow][0], ls=FLOWS[flow][1], lw=1.5, label=text) for flow, text in lines.items()]
    bottom = 0.26 / figure.get_figheight()
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, bottom), "borderaxespad": 0}
    for text in figure.legend(handles=handles, ncols=len(handles), handlelength=2.6, **place).get_texts():
        text.set_parse_math(True)
    figure.text(0.5, bottom / 2, LETTERS, ha="center", va="center", size=8, color=QUIET, parse_math=True)
