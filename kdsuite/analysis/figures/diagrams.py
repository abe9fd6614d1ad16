"""Figures 1 to 3: SVG templates, filled in with what :mod:`kdsuite.analysis.scheme` reads.

Boxes, shapes and weights are those of the networks. The dashed arrows lead to the components that
each loss reaches, with the factor that its gradient has there.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kdsuite.settings import Settings

# the settings that a figure shows; Figure 1 shows that of the run
SETTINGS = {"figure1": [], "figure2": ["nonseq"], "figure3": ["em", "agg"]}


class Drawing(NamedTuple):
    """A picture as SVG text, and the data that it shows; notebooks show it by itself."""

    svg: str
    data: pd.DataFrame

    formats = ("svg",)

    def savefig(self, path: Path, **options: Any) -> None:
        """Write the SVG file."""
        path.write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self):
        return self.svg


def draw(name: str, settings: Settings) -> Drawing:
    """Draw ``figure1``, ``figure2`` or ``figure3`` of the networks of ``settings``.

    Raises InvalidCorpus where a table of face measurements is named and missing.
    """
    # only the question on the method needs torch
    from kdsuite.analysis import report, scheme

    schemes = [scheme.read(settings, each) for each in SETTINGS[name] or [settings.setting]]
    return Drawing(report.render(f"{name}.svg.j2", schemes=schemes), scheme.table(schemes))
