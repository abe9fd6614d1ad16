"""Pictures of training and of results."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdsuite.analysis.figures.style import (
    INK,
    METHODS,
    Picture,
    add_legend,
    draw_map,
    draw_table,
    styled,
)
from kdsuite.analysis.paper import AGGREGATORS, ENCODERS, METRICS, network
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
def agreement(rows: pd.DataFrame) -> Picture:
    """Show the cosine between the gradients of label and teacher on the encoder by epoch, one line
    a value of the column ``line``.

    ``rows`` has the columns line, epoch and agreement, one row an epoch and training. A line is the
    mean over the trainings, its band one standard error.
    """
    import seaborn as sns  # takes a second, which training need not wait for

    picture = Picture()
    groups = rows.groupby(["line", "epoch"]).agreement
    picture.data = groups.agg(["mean", "sem", "count"]).reset_index()
    axes = picture.subplots()
    sns.lineplot(
        rows, x="epoch", y="agreement", hue="line", palette="viridis", errorbar="se", ax=axes
    )
    axes.get_legend().remove()
    add_legend(picture)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylabel("cosine of the two gradients")
    axes.locator_params("x", integer=True)
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


def means_over_folds(results: pd.DataFrame, metric: str = "uar") -> pd.DataFrame:
    """Return the numbers of :func:`accuracy_against_alpha`, one row a backbone, setting, method and
    alpha.

    Each has ``mean`` over the folds (of the means over the seeds of a fold), its ``standard_error``
    and the number of ``folds``. The undistilled student (alpha = 0), stored once, is the starting
    point of every method, and of both sequential settings.
    """
    line, start = ["backbone", "setting", "method"], ["backbone", "sequential"]
    rows = results[results.metric == metric]
    rows = rows.assign(sequential=rows.setting != "nonseq")
    distilled, undistilled = rows[rows.alpha > 0], rows[rows.alpha == 0]
    lines = distilled[[*line, "sequential"]].drop_duplicates()
    starts = lines.merge(undistilled.drop(columns=line[1:]), on=start)
    by_fold = pd.concat([distilled, starts]).groupby([*line, "alpha", "fold"]).value.mean()
    means = by_fold.groupby([*line, "alpha"])
    return means.agg(mean="mean", standard_error="sem", folds="count").reset_index()


@styled
def accuracy_against_alpha(
    results: pd.DataFrame, metric: str = "uar", linear: float = math.nan
) -> Picture:
    """Show a metric over the imitation parameter: one panel a network with more than one alpha, one
    line a method.

    ``results`` is the tidy table of one dataset. The band is one standard error of the mean over
    the folds to both sides, the dashed line the undistilled student, the dotted one the ``linear``
    baseline, a fraction, where there is one. Raises UserError where no network has more than one
    alpha.
    """
    means = means_over_folds(results, metric)
    groups = {
        key: part
        for key, part in means.groupby(["backbone", "setting"])
        if part.alpha.nunique() > 1
    }
    backbones = ENCODERS | dict.fromkeys(means.backbone)  # the paper's first
    networks = [key for key in product(backbones, AGGREGATORS) if key in groups]
    if not networks or results.dataset.nunique() > 1:
        raise UserError(
            f"a picture over alpha needs runs of one dataset with two alphas and metric '{metric}'; give such rows only."
        )
    columns = min(3, len(networks))
    lines = -(-len(networks) // columns)
    picture = Picture(figsize=(2.6 + 3 * columns, 0.6 + 2.5 * lines))
    picture.data = means
    panels = picture.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, key in zip(panels, networks):
        axes.set(title=network(*key), xlim=(-0.04, 1.04), xticks=np.linspace(0, 1, 5))
        start = groups[key]["mean"][groups[key].alpha == 0].max()  # the same for all methods
        levels = [("undistilled student", start, "--"), ("linear baseline", linear, ":")]
        for name, level, dashes in levels:
            if level >= 0:
                axes.axhline(100 * level, color=INK, ls=dashes, lw=1, label=name)
        for method, line in groups[key].groupby("method"):
            color, marker, name = METHODS[method]
            mean, error = 100 * line["mean"], 100 * line.standard_error
            axes.plot(line.alpha, mean, color=color, marker=marker, ms=5, label=name)
            axes.fill_between(line.alpha, mean - error, mean + error, color=color, alpha=0.15, lw=0)
    for axes in panels[len(networks) :]:
        axes.set_axis_off()
    add_legend(picture)
    folds = means.folds.max()
    explained = f"line: mean over up to {folds} folds, band: ± 1 standard error"
    explained = explained if folds > 1 else "line: one fold"
    picture.supxlabel(f"imitation parameter α\n{explained}")
    picture.supylabel(f"{METRICS[metric]} (%)")
    return picture
