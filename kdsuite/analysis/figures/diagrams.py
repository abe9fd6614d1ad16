"""Figures 1 to 3: SVG templates, filled in with what :mod:`kdsuite.analysis.scheme` reads.

Boxes, shapes and weights are those of the networks. The dashed arrows lead to the components that
each loss reaches, with the factor that its gradient has there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kdsuite import paths
from kdsuite.analysis import scheme
from kdsuite.settings import Settings

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


class Diagram(NamedTuple):
    """A figure of the method; without ``settings`` it shows the setting of the run."""

    title: str
    caption: str
    alt: str
    settings: tuple[str, ...] = ()


DIAGRAMS = {
    "figure1": Diagram(
        "Figure 1. The method",
        "The teacher learns from faces and is frozen. Its embedding and the labels guide the "
        "student, whose input is audio alone. The factor of each gradient was computed by "
        "automatic differentiation of the networks themselves.",
        "Diagram: video passes the frozen teacher, audio passes the student, and the teacher's "
        "embedding is the target of the student's.",
    ),
    "figure2": Diagram(
        "Figure 2. Without sequence",
        "Encoder and head of teacher and student. The peak frame's embedding is the target of "
        "the student's encoder.",
        "Diagram of the non-sequential networks with the gradients that reach encoder and head.",
        ("nonseq",),
    ),
    "figure3": Diagram(
        "Figure 3. With sequence",
        "Left, distillation at the encoder (EM): the target of each audio segment is the mean "
        "embedding of its frames. Right, at the aggregator (AGG): one target for the recording.",
        "Diagram of the sequential networks with distillation at the encoder and at the "
        "aggregator.",
        ("em", "agg"),
    ),
}


class Drawing(NamedTuple):
    """A picture as SVG text, and the data that it shows; notebooks show it by itself."""

    svg: str
    data: pd.DataFrame

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, stem: Path) -> list[Path]:
        """Write ``stem.svg`` and ``stem.csv``, and return both paths."""
        texts = {".svg": self.svg, ".csv": self.data.to_csv(index=False)}
        files = {stem.with_name(stem.name + suffix): text for suffix, text in texts.items()}
        for path, text in files.items():
            with paths.replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return list(files)


def draw(name: str, settings: Settings) -> Drawing:
    """Draw ``figure1``, ``figure2`` or ``figure3`` of the networks of ``settings``.

    Raises InvalidCorpus where a table of face measurements is named and missing.
    """
    diagram = DIAGRAMS[name]
    schemes = [scheme.read(settings, each) for each in diagram.settings or [settings.setting]]
    template = TEMPLATES.get_template(f"{name}.svg.j2")
    return Drawing(template.render(diagram=diagram, schemes=schemes), scheme.table(schemes))
