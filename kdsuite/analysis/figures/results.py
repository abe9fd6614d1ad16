"""Pictures of training and of results."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from kdsuite.analysis.figures.style import (
    INK,
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
    epochs = pd.concat(parts)
    curves = [curve for curve in CURVES if curve in epochs]
    picture = Picture(figsize=(7.5, 0.6 + 1.4 * len(curves)))
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(history)))
    for axes, curve in zip(picture.subplots(len(curves), sharex=True), curves):
        table = epochs.pivot(index="epoch", columns="fold", values=curve)
        axes.set_prop_cycle(color=colors)
        axes.plot(table, marker=".", ms=3, label=table.columns.map("fold {}".format))
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_ylabel(CURVES[curve])
    axes.set_xlabel("epoch")
    axes.locator_params("x", integer=True)
    picture.suptitle(f"{len(history)} fold(s), {epochs.seconds.sum():,.0f} s in all")
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
