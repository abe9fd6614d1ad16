"""How every picture of the suite looks, how notebooks show it, and how it is written to files."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from kdsuite import paths
from kdsuite.analysis.figures.fonts import make_readable

# over matplotlib's defaults, not over what the user has in a matplotlibrc
STYLE = matplotlib.rc_params_from_file(Path(__file__).with_name("suite.mplstyle"))
STYLE = {name: STYLE[name] for name in STYLE if not name.startswith(("backend", "interactive"))}
# a decorator: the function draws in this style and leaves matplotlib's own settings as they were
styled = matplotlib.rc_context(STYLE)

CLASS_COLORS = STYLE["axes.prop_cycle"].by_key()["color"]
BLUE, VERMILION, GREEN, ORANGE, SKY, *_ = CLASS_COLORS
GREY, INK = "#8A8F98", "#22262B"
# a method keeps its colour and marker in every picture
METHODS = {
    "embedding": (BLUE, "o", "embedding (the paper's)"),
    "softlabel": (ORANGE, "s", "soft label"),
    "multitask": (GREEN, "^", "multitask"),
}
MANY_NAMES = 40  # more classes or speakers are drawn without their names


class Picture(Figure):
    """A matplotlib Figure in the suite's style, which notebooks show without pyplot.

    ``data`` holds the numbers that it shows, where it shows numbers.
    """

    formats = ("svg", "png")
    data: pd.DataFrame | None = None

    @styled
    def savefig(self, *arguments: Any, **options: Any) -> None:
        """Write a file; matplotlib makes the ticks only now, so the style is needed again."""
        make_readable(self)
        super().savefig(*arguments, **options)

    def _repr_png_(self):
        """Return the file that notebooks show, by IPython's hook."""
        # laid out apart: with a layout engine, savefig draws all twice
        file, layout = io.BytesIO(), self.get_layout_engine()
        with matplotlib.rc_context({**STYLE, "figure.constrained_layout.use": False}):
            make_readable(self)
            layout.execute(self)
            self.set_layout_engine(None)
            self.savefig(file, pil_kwargs={"compress_level": 1})
        self.set_layout_engine(layout)
        return file.getvalue(), {"width": round(self.get_figwidth() * 96)}


def save(figure: Any, stem: Path) -> list[Path]:
    """Write a Picture (``stem.svg`` and ``stem.png``) or a Drawing (``stem.svg``), the same bytes
    each time, and its data as ``stem.csv``; return the paths."""
    files = []
    for suffix in [*figure.formats, *["csv"] * (figure.data is not None)]:
        files.append(stem.with_name(f"{stem.name}.{suffix}"))
        with paths.replacing(files[-1]) as temporary:
            if suffix == "csv":
                figure.data.to_csv(temporary, index=False, float_format="%.6g")
            else:
                figure.savefig(temporary, format=suffix, metadata={"Date": None})
    return files


def add_legend(figure: FigureBase) -> None:
    """Name each kind of line or point once, to the right of the panels."""
    entries = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        entries |= zip(names, handles)
    figure.legend(
        entries.values(), entries, loc="outside right upper", ncols=-(-len(entries) // 14)
    )


def draw_map(axes: Axes, embeddings: np.ndarray, values: Sequence[str], title: str) -> np.ndarray:
    """Draw embeddings ``(recordings, embedding)`` by their first two principal components, with a
    colour and a marker for each of the ``values``; return the points ``(recordings, 2)``."""
    centered = (embeddings - embeddings.mean(axis=0)).astype(np.float64)
    # scikit-learn's PCA takes longer to import than these lines to compute
    variances, directions = np.linalg.eigh(centered.T @ centered)  # ascending
    points = centered @ directions[:, :-3:-1]
    percent = np.abs(100 * variances / ((centered**2).sum() or 1))
    x, y = (f"component {n} ({percent[-n]:.0f} % of variance)" for n in (1, 2))
    axes.set(title=title, xlabel=x, ylabel=y, xticks=[], yticks=[])
    values = pd.Categorical(values)
    count = len(values.categories)
    if count > len(CLASS_COLORS):
        axes.set_prop_cycle(color=matplotlib.colormaps["turbo"](np.linspace(0, 1, count)))
    for name, marker in zip(values.categories, cycle("osD^vPX")):
        label = str(name) if count <= MANY_NAMES else None
        axes.scatter(
            *points[values == name].T,
            s=22,
            marker=marker,
            label=label,
            alpha=0.8,
            lw=0.3,
            ec="white",
            rasterized=True,
        )
    return points


def draw_table(counts: pd.DataFrame, shares: pd.DataFrame, text: str, **labels: str) -> Picture:
    """Draw ``counts`` with colours by ``shares`` from 0 to 1.

    ``text`` is the format of a cell, with the share in percent and the count. A table of more than
    40 rows has room for neither texts nor names.
    """
    height, width = counts.shape
    named = height <= MANY_NAMES
    left, below = (1 + 0.08 * each.str.len().max() for each in (counts.index, counts.columns))
    size = max(4.5, left + 0.45 * width), below + 0.4 * height
    picture = Picture(figsize=size if named else (6, 5))
    axes = picture.subplots()
    # up to 1.6, so that no cell is too dark for letters
    axes.pcolormesh(shares, vmin=0, vmax=1.6, ec="white", lw=named, rasterized=not named, zorder=1)
    axes.invert_yaxis()
    axes.set(xticks=[], yticks=[], **labels)
    if named:
        axes.set_xticks(np.arange(width) + 0.5, counts.columns, rotation=90)
        axes.set_yticks(np.arange(height) + 0.5, counts.index)
        for (row, column), count in np.ndenumerate(counts):
            content = text.format(100 * shares.iat[row, column], count)
            axes.text(column + 0.5, row + 0.5, content, ha="center", va="center", size=8)
    return picture
