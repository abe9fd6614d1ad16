"""One student and one recording: its output over time, and the recording's neighbours."""

import numpy as np
import pandas as pd

from kdsuite.analysis.figures.style import (
    CLASS_COLORS,
    INK,
    Picture,
    add_legend,
    draw_map,
    styled,
)


@styled
def opinion(output: pd.DataFrame, label: str, student: str) -> Picture:
    """Show a student's class probabilities over time; the true class ``label`` is drawn thick.

    ``output`` has a row a window, indexed by its middle in seconds, and a column a class
    (:func:`kdsuite.app.explore.opinion`). Of many classes the true and the most probable ones are
    shown.
    """
    highest = output.max()
    highest[label] = np.inf
    names = highest.index[highest.rank(method="first", ascending=False) <= len(CLASS_COLORS)]
    picture = Picture(figsize=(5.8, 3.1))
    axes = picture.subplots()
    lines = axes.plot(output[names], marker=".", lw=1.2, label=list(names))
    lines[names.get_loc(label)].set(linewidth=3.2, label=f"{label} (true)")
    mean = output.mean()
    title = f"{student}: {mean.idxmax()}, {100 * mean.max():.0f} % on average"
    axes.set(title=title, xlabel="seconds", ylabel="probability", ylim=(0, 1.02))
    add_legend(picture)
    return picture


@styled
def neighbourhood(
    embeddings: np.ndarray, labels: pd.Series, chosen: int, near: np.ndarray, student: str
) -> Picture:
    """Show a student's embeddings ``(recordings, embedding)`` in a plane, and join row ``chosen``
    to the rows ``near`` it.

    The distances in the plane are not those of the embeddings, so a neighbour may lie further off
    than others that are none.
    """
    picture = Picture(figsize=(5.8, 3.9))
    axes, alike = picture.subplots(), (labels[near] == labels[chosen]).sum()
    title = f"{student}: {alike} of {len(near)} nearest are of its class"
    points = draw_map(axes, embeddings, labels, title)
    for other in near:
        axes.plot(*points[[chosen, other]].T, color=INK, lw=1)
    star = {"s": 150, "marker": "*", "color": INK, "ec": "white", "zorder": 4}
    axes.scatter(*points[chosen], label="this recording", **star)
    add_legend(picture)
    return picture
