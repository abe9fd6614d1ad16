"""Pictures of comparisons: gains with their intervals, and the teacher's share of the gradient."""

from typing import Any

import pandas as pd

from kdsuite.analysis.figures.style import GREY, INK, METHODS, Picture, add_legend, styled
from kdsuite.analysis.paper import network

GAIN = ["gain", "low", "high"]


@styled
def gains(rows: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric with its 95 % interval, in the colour of its method;
    controls are grey.

    ``rows`` are those of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``label``,
    from top to bottom; one without a number leaves its line empty.
    """
    picture = Picture(figsize=(7.5, 0.9 + 0.27 * len(rows)))
    picture.data = rows.filter(["label", "method", "targets", "alpha", *GAIN, "p"])
    axes = picture.subplots()
    places = range(len(rows))
    color = rows.method.map(lambda method: METHODS[method][0])
    color = color.where(rows.targets == "teacher", GREY)
    gain, low, high = (100 * rows[name] for name in GAIN)
    axes.axvline(0, color=INK, lw=1)
    axes.hlines(places, low, high, color)
    axes.scatter(gain, places, color=color)
    axes.set(yticks=places, yticklabels=rows.label, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("gain, percentage points, with 95 % interval")
    return picture


@styled
def known(rows: pd.DataFrame) -> Picture:
    """Show the gains whose truth is known with their 95 % intervals; a line parts those with a
    benefit from those without.

    ``rows`` are those of :func:`kdsuite.analysis.known.rows`.
    """
    truth = rows.benefit.map({True: "benefit: ", False: "no benefit: "})
    picture = gains(rows.assign(label=truth + rows.about))
    picture.axes[0].axhline(rows.benefit.sum() - 0.5, color=GREY, ls="--", lw=1)
    picture.data = rows
    return picture


@styled
def gradient_share(rows: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric, with its 95 % interval, against the teacher's
    ``share`` of the gradient (0 to 1).

    ``rows`` are those of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``share``;
    each point carries its alpha.
    """
    picture = Picture()
    picture.data = rows[["backbone", "setting", "method", "alpha", "share", *GAIN]]
    axes = picture.subplots()
    for method, part in rows.groupby("method", sort=False):
        color, marker, name = METHODS[method]
        share, gain, low, high = (100 * part[column] for column in ("share", *GAIN))
        axes.vlines(share, low, high, color, alpha=0.5)
        axes.scatter(share, gain, marker=marker, color=color, label=name)
        for x, y, alpha in zip(share, gain, part.alpha):
            axes.text(x, y, f"  {alpha:g}", size=8)
    axes.axhline(0, color=INK, lw=1)
    axes.set_xlabel("the teacher’s share of the encoder’s gradient, % (numbers at the points: α)")
    axes.set(ylabel="gain, percentage points", xlim=(0, 100))
    add_legend(picture)
    return picture


def named(row: dict[str, Any]) -> str:
    """Return the label of a comparison in a picture."""
    method = "" if row["method"] == "embedding" else f", {METHODS[row['method']][2]}"
    return f"{network(row['backbone'], row['setting'])}{method}, α = {row['alpha']:g}"
