"""Pictures of training and of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kdlib import metrics
from kdlib.errors import UserError
from kdsuite.analysis.figures.style import (
    FILL,
    GREY,
    INK,
    METHODS,
    METRICS,
    TELLING,
    Picture,
    styled,
)
from kdsuite.analysis.paper import AGGREGATORS, ENCODERS, network

MANY_CLASSES = 40  # from here on the confusions are drawn without numbers


@styled
def training_curves(history: dict[Any, list[dict[str, float]]]) -> Picture:
    """Show loss and learning rate by epoch, one line a fold; ``history`` is that of teacher or
    student by fold number."""
    table = pd.concat(
        [pd.DataFrame(epochs).assign(fold=int(fold)) for fold, epochs in history.items()],
        ignore_index=True,
    )
    folds = sorted(table.fold.unique())
    figure = Picture(figsize=(7.5, 3.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for fold, colour in zip(
        folds, matplotlib.colormaps["viridis"](np.linspace(0, 1, len(folds))), strict=True
    ):
        part = table[table.fold == fold]
        upper.plot(
            part.epoch,
            part.loss,
            color=colour,
            lw=1.3,
            marker="." if len(part) < 30 else None,
            label=f"fold {fold}",
        )
    lower.plot(part.epoch, part.rate, color=GREY, marker="." if len(part) < 30 else None)
    upper.set(
        ylabel="loss",
        ylim=(0, None),
        title=f"{len(folds)} fold{'s' if len(folds) > 1 else ''}, {table.seconds.sum():,.0f} s in all",
    )
    lower.set(xlabel="epoch", ylabel="rate", ylim=(0, None), xlim=(0.5, table.epoch.max() + 0.5))
    lower.ticklabel_format(axis="y", scilimits=(0, 0))
    for axes in (upper, lower):
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)
    upper.legend(loc="upper left", bbox_to_anchor=(1.01, 1), ncols=-(-len(folds) // 9))
    return figure


def _order(labels: pd.Series | Sequence[str], columns: Sequence[str] = ()) -> list[str]:
    """Return the classes in the order of the corpus: categories, else probability columns
    ``p_<class>``, else the alphabet."""
    labels = pd.Series(labels)
    if isinstance(labels.dtype, pd.CategoricalDtype):
        return list(labels.cat.categories)
    return [column[2:] for column in columns if column.startswith("p_")] or sorted(labels.unique())


@styled
def confusion(predictions: pd.DataFrame) -> Picture:
    """Show how often each class (row) was taken for each other: share of the row, and count, over
    all folds together.

    Classes are in the order of the corpus where ``predictions`` says it (see
    :func:`kdsuite.runs.results.predictions`).
    """
    classes = _order(predictions.label, predictions.columns)
    many = len(classes) > MANY_CLASSES
    counts = pd.crosstab(predictions.label.astype(str), predictions.predicted.astype(str))
    counts = counts.reindex(index=classes, columns=classes, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    figure = Picture(
        figsize=(6, 5.4) if many else (2.2 + 0.66 * len(classes), 1.6 + 0.56 * len(classes)),
        layout="constrained",
    )
    axes = figure.subplots()
    title = f"UAR {100 * metrics.uar(predictions):.1f} %, accuracy {100 * metrics.accuracy(predictions):.1f} % of {len(predictions):,}"
    if many:  # a thousand speakers have no room for numbers, nor for names
        axes.imshow(shares, cmap=FILL, vmin=0, vmax=1, interpolation="nearest")
        axes.set(
            xlabel=f"predicted, {len(classes):,} classes",
            ylabel="label",
            title=title,
            xticks=[],
            yticks=[],
        )
        return figure
    written = (100 * shares).map("{:.0f} %".format) + "\n" + counts.astype(str)
    # by hand, for seaborn's heatmap would cost each run the second that seaborn takes to import
    axes.pcolormesh(shares, cmap=FILL, vmin=0, vmax=1, edgecolor="white", lw=1)
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares.iloc[row, column] > 0.5 else INK
        axes.text(
            column + 0.5,
            row + 0.5,
            written.iloc[row, column],
            size=8,
            ha="center",
            va="center",
            color=colour,
        )
    middles = np.arange(len(classes)) + 0.5
    axes.set(xticks=middles, yticks=middles, xticklabels=classes, yticklabels=classes)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="label", title=title)
    axes.tick_params(length=0)
    axes.tick_params("y", rotation=0)
    axes.tick_params("x", rotation=45)
    return figure


@styled
def embedding_map(
    embeddings: np.ndarray,
    labels: Sequence[str],
    speakers: Sequence[str] | None = None,
    method: str = "pca",
) -> Picture:
    """Lay embeddings ``(recordings, embedding)`` out in a plane by ``pca`` or ``tsne``, coloured by
    class and, beside it, by speaker."""
    places, names = PROJECTIONS[method](np.asarray(embeddings, np.float64))
    colourings = {"class": (pd.Series(labels), _order(labels))}
    if speakers is not None:
        colourings["speaker"] = (pd.Series(speakers), _order(speakers))
    figure = Picture(figsize=(5.6 * len(colourings), 4.1), layout="constrained")
    panels = figure.subplots(1, len(colourings), squeeze=False)[0]
    for axes, (what, (values, order)) in zip(panels, colourings.items(), strict=True):
        _points(axes, places, values.astype(str).to_numpy(), order)
        axes.set(
            xlabel=names[0], ylabel=names[1], title=f"coloured by {what}", xticks=[], yticks=[]
        )
    return figure


def _points(axes: Axes, places: np.ndarray, values: np.ndarray, order: list[str]) -> None:
    """Draw points ``(recordings, 2)`` in the colours of their values; few values have a marker of
    their own as well."""
    if len(order) > MANY_CLASSES:  # no legend could name them
        codes = pd.Categorical(values, categories=[str(name) for name in order]).codes
        axes.scatter(*places.T, s=10, c=codes, cmap="turbo", alpha=0.8, lw=0, rasterized=True)
        return
    few = len(order) <= len(TELLING)
    colours = (
        TELLING[: len(order)]
        if few
        else matplotlib.colormaps["turbo"](np.linspace(0.03, 0.97, len(order)))
    )
    for number, (name, colour) in enumerate(zip(order, colours, strict=True)):
        x, y = places[values == str(name)].T
        marker = "osD^vPX"[number % 7] if few else "o"
        axes.scatter(
            x,
            y,
            s=22,
            color=colour,
            marker=marker,
            alpha=0.8,
            lw=0.3,
            edgecolor="white",
            label=name,
            rasterized=True,
        )
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1, 1),
        ncols=-(-len(order) // 16),
        handletextpad=0.2,
        columnspacing=0.8,
    )


def _pca(embeddings: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if len(embeddings) < 3:  # nothing to lay out: the points stand side by side
        return np.eye(len(embeddings), 2), ["component 1", "component 2"]
    # these two lines are all of it; scikit-learn's PCA takes longer to import than to compute
    left, sizes, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    shares = sizes**2 / max((sizes**2).sum(), np.finfo(float).tiny)
    names = [
        f"component {number} ({100 * share:.0f} % of variance)"
        for number, share in enumerate(shares[:2], 1)
    ]
    return (left * sizes)[:, :2], names


def _tsne(embeddings: np.ndarray) -> tuple[np.ndarray, list[str]]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # of points that are all the same, as of a network that died in training, scikit-learn makes
    # NaN, and crashes the process on them
    largest = np.abs(embeddings).max()
    if not np.ptp(embeddings, axis=0).max() > np.finfo(np.float32).eps * largest:
        return _pca(embeddings)[0], ["all embeddings are the same", ""]
    # the perplexity must stay below the number of points; a third of it is scikit-learn's advice
    # turned round
    perplexity = min(30, max(1, (len(embeddings) - 1) / 3))
    # so little work is done faster by one thread than by several that wait for each other
    with threadpool_limits(1):
        return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(
            embeddings / largest
        ), ["t-SNE 1", "t-SNE 2"]


PROJECTIONS = {"pca": _pca, "tsne": _tsne}


def means_over_folds(results: pd.DataFrame, metric: str = "uar") -> pd.DataFrame:
    """Return what :func:`accuracy_against_alpha` draws: one row a backbone, setting, method and
    alpha.

    Each has ``mean`` over the folds (of the means over the seeds of a fold), its ``standard_error``
    and the number of ``folds``. The undistilled student (alpha = 0), filed once, is the starting
    point of every method, and of both sequential settings.
    """
    columns = ["backbone", "setting", "method", "alpha"]
    rows = results[results.metric == metric]
    distilled, undistilled = (
        rows[rows.alpha > 0],
        rows[rows.alpha == 0].assign(sequential=lambda rows: rows.setting != "nonseq"),
    )
    lines = (
        distilled[columns[:3]]
        .drop_duplicates()
        .assign(sequential=lambda rows: rows.setting != "nonseq")
    )
    starts = lines.merge(
        undistilled.drop(columns=["setting", "method"]), on=["backbone", "sequential"]
    )
    by_fold = pd.concat([distilled, starts]).groupby([*columns, "fold"]).value.mean()
    return (
        by_fold.groupby(columns).agg(mean="mean", standard_error="sem", folds="count").reset_index()
    )


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
    panels = [
        (key, part)
        for key, part in means.groupby(["backbone", "setting"])
        if part.alpha.nunique() > 1
    ]
    if not panels or results.dataset.nunique() > 1:
        raise UserError(
            f"a picture over alpha needs runs of one dataset with two alphas and metric '{metric}'; give such rows only."
        )
    panels.sort(
        key=lambda panel: (list(ENCODERS).index(panel[0][0]), list(AGGREGATORS).index(panel[0][1]))
    )
    columns = min(3, len(panels))
    figure = Picture(
        figsize=(0.6 + max(3.1 * columns, 5.4), 0.9 + 2.5 * -(-len(panels) // columns)),
        layout="constrained",
    )
    figure.data = means
    grid = figure.subplots(-(-len(panels) // columns), columns, sharey=True, squeeze=False).ravel()
    for axes, (key, part) in zip(grid, panels, strict=False):
        _lines(axes, part)
        if not math.isnan(linear):
            axes.axhline(100 * linear, color=INK, ls=":", lw=1, zorder=1, label="linear baseline")
        axes.set_title(network(*key))
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=len(handles) if columns > 1 else 2,
    )
    figure.supylabel(METRICS.get(metric, metric), size=9.5)
    figure.supxlabel(
        f"imitation parameter α\n{_folds_in_words(pd.concat([part for _, part in panels]))}",
        size=9.5,
    )
    return figure


def _folds_in_words(means: pd.DataFrame) -> str:
    low, high = means.folds.min(), means.folds.max()
    count = f"{high} fold{'s' if high > 1 else ''}" if low == high else f"{low} to {high} folds"
    return f"lines: mean over {count}" + (
        "; bands: ± 1 standard error over the folds" if high > 1 else ""
    )


def _lines(axes: Axes, part: pd.DataFrame) -> None:
    """Draw one line a method with its band, and the undistilled level."""
    for method, (colour, marker, name) in METHODS.items():
        line = part[part.method == method].sort_values("alpha")
        if len(line):
            mean, spread = 100 * line["mean"], 100 * line.standard_error.fillna(0)
            axes.plot(line.alpha, mean, color=colour, marker=marker, ms=5, label=name)
            axes.fill_between(
                line.alpha, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0
            )
    start = part[part.alpha == 0]
    if len(start):
        axes.axhline(
            100 * start["mean"].iloc[0],
            color=GREY,
            ls="--",
            lw=1.2,
            zorder=1,
            label="undistilled student",
        )
    alphas = sorted({0.0, 1.0, *part.alpha}) if part.alpha.nunique() <= 6 else np.linspace(0, 1, 6)
    axes.set(xticks=alphas, xticklabels=[f"{alpha:g}" for alpha in alphas], xlim=(-0.04, 1.04))
    axes.grid(axis="y")
