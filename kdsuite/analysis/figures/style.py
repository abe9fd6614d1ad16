"""How every picture of the suite looks, how notebooks show it, and how it is written to files."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from kdsuite import paths

# Okabe & Ito's colours, which the colour-blind tell apart
BLUE, VERMILION, GREEN, ORANGE, SKY, GREY, INK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#8A8F98",
    "#22262B",
)
# for classes, as many as one tells apart; black stays for letters
TELLING = (BLUE, VERMILION, GREEN, ORANGE, SKY, "#CC79A7", "#8C564B", "#5B5F97", "#B2A300")
# a method keeps its colour and marker in every picture
METHODS = {
    "embedding": (BLUE, "o", "embedding (the paper's)"),
    "softlabel": (ORANGE, "s", "soft label"),
    "multitask": (GREEN, "^", "multitask"),
}
METRICS = {"uar": "UAR (%)", "accuracy": "accuracy (%)", "eer": "EER (%)"}
FILL, DIVERGING, SOUND = (
    "Blues",
    "RdBu_r",
    "magma",
)  # colour maps: counts, signed values, spectrograms
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10, "axes.labelsize": 9.5, "figure.titlesize": 10.5, "legend.fontsize": 9, "legend.frameon": False,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.grid": False, "grid.color": "#E4E6EA",
    "grid.linewidth": 0.7, "axes.axisbelow": True, "lines.linewidth": 1.6, "figure.dpi": 100, "savefig.facecolor": "white",
    "svg.fonttype": "none", "svg.hashsalt": "kdlib", "text.parse_math": False,  # for names may hold dollar signs
}  # fmt: skip


class Picture(Figure):
    """A matplotlib Figure in the suite's style that notebooks show by itself; pyplot need not know
    of it, nor close it.

    ``data`` holds the numbers that it shows, where it shows numbers.
    """

    data: pd.DataFrame | None = None

    def draw(self, renderer: Any) -> None:
        """Draw in the suite's style: ticks take it only now."""
        with matplotlib.rc_context(STYLE):
            super().draw(renderer)

    def savefig(self, *arguments: Any, **options: Any) -> None:
        """Write the file in the suite's style."""
        with matplotlib.rc_context(STYLE):
            super().savefig(*arguments, **options)

    def _repr_png_(
        self,
    ) -> tuple[bytes, dict[str, int]]:  # the hook by which IPython shows an object
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=144, metadata={"Software": None})
        return file.getvalue(), {
            "width": round(self.get_figwidth() * 96)
        }  # more dots than it is wide, for sharp screens


def styled(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Run ``draw`` in the suite's style, and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Picture:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


def save(figure: Picture, stem: Path) -> list[Path]:
    """Write ``stem.svg`` and ``stem.png``, the same bytes for the same picture, and its data as
    ``stem.csv``; return the files."""
    written = []
    for ending, options in (
        (".svg", {"metadata": {"Date": None}, "dpi": 120}),
        (".png", {"metadata": {"Software": None}, "dpi": 150}),
    ):
        written.append(stem.with_name(stem.name + ending))
        with paths.replacing(written[-1]) as temporary:
            figure.savefig(temporary, **options)
    if figure.data is not None:
        written.append(stem.with_name(stem.name + ".csv"))
        with paths.replacing(written[-1]) as temporary:
            figure.data.to_csv(temporary, index=False, float_format="%.6g")
    return written
