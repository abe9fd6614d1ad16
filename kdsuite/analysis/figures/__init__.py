"""Pictures of data and results, one call each; a notebook shows the Figure that ends its cell.
Training never imports this.

:mod:`.style` says how they look, :mod:`.data` draws recordings and the teacher's outputs,
:mod:`.results` training and results, :mod:`.evidence` comparisons, :mod:`.explored` students side by
side, :mod:`.diagrams` Figures 1 to 3.
"""

from kdsuite.analysis.figures.data import classes_by_speaker, durations, recordings
from kdsuite.analysis.figures.diagrams import draw
from kdsuite.analysis.figures.evidence import gains, gradient_share, known, named
from kdsuite.analysis.figures.explored import neighbourhoods, opinions
from kdsuite.analysis.figures.results import (
    accuracy_against_alpha,
    agreement,
    confusion,
    embedding_map,
    means_over_folds,
    training_curves,
)
from kdsuite.analysis.figures.style import save

__all__ = [
    "accuracy_against_alpha",
    "agreement",
    "classes_by_speaker",
    "confusion",
    "draw",
    "durations",
    "embedding_map",
    "gains",
    "gradient_share",
    "known",
    "means_over_folds",
    "named",
    "neighbourhoods",
    "opinions",
    "recordings",
    "save",
    "training_curves",
]
