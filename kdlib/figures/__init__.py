"""Pictures of data and results, one call each; a notebook shows the Figure that ends its cell. Training never imports this.

:mod:`.style` says how they look, :mod:`.data` draws recordings and what the teacher says of them, :mod:`.results` training
and results, :mod:`.explored` students side by side. Figures 1 to 3 are :mod:`kdlib.diagrams`.
"""

from kdlib.figures.data import classes_by_speaker, durations, privileged, recordings
from kdlib.figures.evidence import agreement, agreements
from kdlib.figures.explored import neighbourhoods, opinions
from kdlib.figures.results import accuracy_against_alpha, confusion, embedding_map, means_over_folds, training_curves
from kdlib.figures.style import save

__all__ = [
    "agreement",
    "agreements",
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
