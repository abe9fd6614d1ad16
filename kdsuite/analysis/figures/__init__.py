"""Pictures of data and results, one call each; a notebook shows the Figure that ends its cell.
Training never imports this.

:mod:`.style` says how they look, :mod:`.data` draws recordings and the teacher's outputs,
:mod:`.results` training, results and comparisons, :mod:`.explored` students side by side,
:mod:`.diagrams` Figures 1 to 3. A picture of one question alone is drawn in its notebook.
"""

from kdsuite.analysis.figures.data import classes_by_speaker, durations, recordings
from kdsuite.analysis.figures.diagrams import draw
from kdsuite.analysis.figures.explored import neighbourhood, opinion
from kdsuite.analysis.figures.results import confusion, embedding_map, gains, training_curves
from kdsuite.analysis.figures.style import save

__all__ = [
    "classes_by_speaker",
    "confusion",
    "draw",
    "durations",
    "embedding_map",
    "gains",
    "neighbourhood",
    "opinion",
    "recordings",
    "save",
    "training_curves",
]
