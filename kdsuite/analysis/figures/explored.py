"""What students of different alpha make of one recording: their opinion as it goes on, and who is
near it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kdsuite.analysis.figures.results import PROJECTIONS
from kdsuite.analysis.figures.style import GREY, INK, TELLING, Picture, styled

MANY_CLASSES = len(TELLING)  # from here on only the most probable are named


@styled
def opinions(told: dict[str, pd.DataFrame], label: str) -> Picture:
    """Show class probabilities over time, one panel a student; the true class ``label`` is drawn
    thick.

    ``told`` holds, by the student's name, what :func:`kdsuite.app.explore.opinion` returns: a row a
    window, indexed by its middle in seconds, a column a class.
    """
    figure = Picture(figsize=(4.6 * len(told) + 1.2, 3.1), layout="constrained")
    panels = figure.subplots(1, len(told), sharey=True, squeeze=False)[0]
    shown = _shown(told, label)
    for axes, (name, opinion) in zip(panels, told.items(), strict=True):
        for colour, each in zip(TELLING, shown):
            right = each == label
            axes.plot(
                opinion.index,
                opinion[each],
                color=colour,
                lw=3.2 if right else 1.2,
                marker=".",
                label=f"{each} (true)" if right else each,
            )
        mean = opinion.mean()
        axes.set(
            title=f"{name}: {mean.idxmax()}, {100 * mean.max():.0f} % on average",
            xlabel="seconds",
            ylim=(0, 1.02),
        )
        axes.grid(axis="y")
    panels[0].set_ylabel("probability")
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _shown(told: dict[str, pd.DataFrame], label: str) -> list[str]:
    """Return the classes to draw, in the order of the corpus: where they are many, the true one and
    the most probable."""
    highest = pd.concat(told.values()).max().drop(label)
    kept = {label, *highest.nlargest(MANY_CLASSES - 1).index}
    return [name for name in next(iter(told.values())).columns if name in kept]


@styled
def neighbourhoods(
    told: dict[str, np.ndarray], recordings: pd.DataFrame, chosen: int, near: dict[str, np.ndarray]
) -> Picture:
    """Lay each student's embeddings ``(recordings, embedding)`` out in a plane, and join the
    ``chosen`` one to those ``near`` it.

    The distances in the plane are not those of the embeddings, so a neighbour may lie further off
    than others that are none.
    """
    figure = Picture(figsize=(4.6 * len(told) + 1.2, 3.9), layout="constrained")
    panels = figure.subplots(1, len(told), squeeze=False)[0]
    for axes, (name, embeddings) in zip(panels, told.items(), strict=True):
        points, names = PROJECTIONS["pca"](embeddings.astype(np.float64))
        _classes(axes, points, recordings.label)
        for other in near[name]:
            axes.plot(*points[[chosen, other]].T, color=INK, lw=1, zorder=3)
        axes.scatter(
            *points[chosen],
            s=150,
            marker="*",
            color=INK,
            edgecolor="white",
            zorder=4,
            label="this recording",
        )
        alike = (recordings.label.iloc[near[name]] == recordings.label.iloc[chosen]).sum()
        axes.set(
            title=f"{name}: {alike} of {len(near[name])} nearest are of its class",
            xlabel=names[0],
            ylabel=names[1],
            xticks=[],
            yticks=[],
        )
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _classes(axes: Axes, points: np.ndarray, labels: pd.Series) -> None:
    """Draw points ``(recordings, 2)`` in the colours of their classes, in grey where these are too
    many."""
    classes = list(labels.cat.categories)
    if len(classes) > MANY_CLASSES:
        axes.scatter(*points.T, s=14, color=GREY, lw=0)
        return
    for name, colour in zip(classes, TELLING):
        axes.scatter(
            *points[(labels == name).to_numpy()].T,
            s=22,
            color=colour,
            alpha=0.8,
            lw=0.3,
            edgecolor="white",
            label=name,
        )
