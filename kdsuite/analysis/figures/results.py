"""Pictures of training, of results, and of comparisons."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from kdsuite.analysis.figures.style import (
    GREY,
    INK,
    METHODS,
    Picture,
    add_legend,
    draw_map,
    draw_table,
    styled,
)
from kdsuite.runs import metrics

CURVES = {"loss": "loss", "agreement": "cosine of gradients", "rate": "learning rate"}


@styled
def training_curves(history: dict[Any, list[dict[str, float]]]) -> Picture:
    """Show a teacher's or student's epochs by the number of the fold, one line a fold: loss,
    learning rate, and the cosine between the gradients of label and teacher where it was computed.
    """
    parts = [pd.DataFrame(epochs).assign(fold=int(fold)) for fold, epochs in history.items()]
    epochs = pd.concat(parts).pivot(index="epoch", columns="fold")
    curves = [curve for curve in CURVES if curve in epochs]
    picture = Picture(figsize=(7.5, 0.6 + 1.4 * len(curves)))
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(history)))
    for axes, curve in zip(picture.subplots(len(curves), sharex=True), curves):
        axes.set_prop_cycle(color=colors)
        folds = epochs[curve]
        axes.plot(folds, marker=".", ms=3, label=[f"fold {fold}" for fold in folds])
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_ylabel(CURVES[curve])
    axes.set_xlabel("epoch")
    axes.locator_params("x", integer=True)
    picture.suptitle(f"{len(history)} fold(s), {np.nansum(epochs.seconds):,.0f} s in all")
    add_legend(picture)
    return picture


@styled
def confusion(predictions: pd.DataFrame) -> Picture:
    """Show how often each class (row) was predicted as each other, over all folds: the share of the
    row, and the count.

    ``predictions`` are those of :func:`kdsuite.runs.results.predictions`; their columns
    ``p_<class>`` give the order of the classes.
    """
    classes = predictions.filter(regex="^p_").columns.str[2:]
    counts = pd.crosstab(predictions.label.astype(str), predictions.predicted.astype(str))
    counts = counts.reindex(index=classes, columns=classes, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    return draw_table(
        counts,
        shares,
        "{:.0f} %\n{}",
        xlabel=f"predicted, {len(classes):,} classes",
        ylabel="label",
        title=f"UAR {100 * metrics.uar(predictions):.1f} %, "
        f"accuracy {100 * metrics.accuracy(predictions):.1f} % of {len(predictions):,}",
    )


@styled
def embedding_map(
    embeddings: np.ndarray, labels: Sequence[str], speakers: Sequence[str]
) -> Picture:
    """Show embeddings ``(recordings, embedding)`` by their first two principal components, coloured
    by class and, beside it, by speaker.

    For another layout, such as t-SNE, give its points ``(recordings, 2)``: they are only rotated.
    """
    picture = Picture(figsize=(11.2, 4.1))
    colourings = {"class": labels, "speaker": speakers}
    for block, (what, values) in zip(picture.subfigures(1, 2), colourings.items()):
        draw_map(block.subplots(), embeddings, values, f"coloured by {what}")
        add_legend(block)
    return picture


@styled
def gains(rows: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric with its 95 % interval, in the colour of its method;
    controls are grey.

    ``rows`` are those of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``label``,
    from top to bottom; one without a number leaves its line empty.
    """
    picture = Picture(figsize=(7.5, 0.9 + 0.27 * len(rows)))
    picture.data = rows.filter("label method targets alpha gain low high p".split())
    axes, places = picture.subplots(), range(len(rows))
    color = rows.method.map(lambda method: METHODS[method][0]).where(
        rows.targets == "teacher", GREY
    )
    axes.axvline(0, color=INK, lw=1)
    axes.hlines(places, 100 * rows.low, 100 * rows.high, color)
    axes.scatter(100 * rows.gain, places, color=color)
    axes.set(yticks=places, yticklabels=rows.label, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("gain, percentage points, with 95 % interval")
    return picture
