"""Pictures of data and results, one call each; a notebook shows the Figure that ends its cell.
Training never imports this.

:mod:`.style` says how they look, :mod:`.data` draws recordings and what the teacher says of them,
:mod:`.results` training and results, :mod:`.explored` students side by side. Figures 1 to 3 are
:mod:`.diagrams`.
"""

from kdsuite.analysis.figures.data import classes_by_speaker, durations, privileged, recordings
from kdsuite.analysis.figures.evidence import (
    agreement,
    agreements,
    gains,
    gradient_share,
    known,
    named,
)
from kdsuite.analysis.figures.explored import neighbourhoods, opinions
from kdsuite.analysis.figures.results import (
    accuracy_against_alpha,
    confusion,
    embedding_map,
    means_over_folds,
    training_curves,
)
from kdsuite.analysis.figures.style import save

__all__ = [
    "agreement",
    "agreements",
    "gains",
    "gradient_share",
    "known",
    "named",
    "accuracy_against_alpha",
    "classes_by_speaker",
    "confusion",
    "durations",
    "embedding_map",
    "means_over_folds",
    "neighbourhoods",
    "opinions",
    "privileged",
    "recordings",
    "save",
    "training_curves",
]
