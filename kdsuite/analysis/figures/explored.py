"""Students of different alpha and one recording: their outputs over time, and its neighbours."""

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
def opinions(outputs: dict[str, pd.DataFrame], label: str) -> Picture:
    """Show class probabilities over time, one panel a student; the true class ``label`` is drawn
    thick.

    ``outputs`` holds, by the student's name, a row a window, indexed by its middle in seconds, and
    a column a class (:func:`kdsuite.app.explore.opinion`). Of many classes the true and the most
    probable ones are shown.
    """
    highest = pd.concat(outputs.values()).max()
    highest[label] = np.inf
    names = highest.index[highest.rank(method="first", ascending=False) <= len(CLASS_COLORS)]
    picture = Picture(figsize=(4.6 * len(outputs) + 1.2, 3.1))
    panels = picture.subplots(1, len(outputs), sharey=True, squeeze=False).flat
    for axes, (name, output) in zip(panels, outputs.items()):
        lines = axes.plot(output[names], marker=".", lw=1.2, label=list(names))
        lines[names.get_loc(label)].set(linewidth=3.2, label=f"{label} (true)")
        mean = output.mean()
        title = f"{name}: {mean.idxmax()}, {100 * mean.max():.0f} % on average"
        axes.set(title=title, xlabel="seconds", ylim=(0, 1.02))
    picture.axes[0].set_ylabel("probability")
    add_legend(picture)
    return picture


@styled
def neighbourhoods(
    embeddings: dict[str, np.ndarray],
    recordings: pd.DataFrame,
    chosen: int,
    near: dict[str, np.ndarray],
) -> Picture:
    """Show each student's embeddings ``(recordings, embedding)`` in a plane, and join the
    ``chosen`` one to those ``near`` it.

    The distances in the plane are not those of the embeddings, so a neighbour may lie further off
    than others that are none.
    """
    picture = Picture(figsize=(4.6 * len(embeddings) + 1.2, 3.9))
    panels = picture.subplots(1, len(embeddings), squeeze=False).flat
    labels = recordings.label
    for axes, (name, values) in zip(panels, embeddings.items()):
        alike = (labels[near[name]] == labels[chosen]).sum()
        title = f"{name}: {alike} of {len(near[name])} nearest are of its class"
        points = draw_map(axes, values, labels, title)
        for other in near[name]:
            axes.plot(*points[[chosen, other]].T, color=INK, lw=1)
        axes.scatter(
            *points[chosen],
            s=150,
            marker="*",
            color=INK,
            ec="white",
            zorder=4,
            label="this recording",
        )
    add_legend(picture)
    return picture
