"""Pictures of what the numbers prove: gains with their intervals, controls, and when label and
teacher agree."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdsuite.analysis.figures.style import BLUE, GREY, INK, METHODS, Picture, styled
from kdsuite.analysis.paper import network


@styled
def agreement(epochs: pd.DataFrame) -> Picture:
    """Show the cosine between what label and teacher ask of the encoder, by epoch; one line a value
    of the column ``line``.

    ``epochs`` has the columns line, epoch and agreement, one row an epoch and training; several
    trainings of a line are averaged, and a band shows one standard error. Raises UserError where
    there are none.
    """
    if not len(epochs):
        raise UserError(
            "no run of these kept the agreement of label and teacher; it is kept for alpha above 0 and below 1."
        )
    figure = Picture(figsize=(7.5, 3.2), layout="constrained")
    figure.data = (
        epochs.groupby(["line", "epoch"]).agreement.agg(["mean", "sem", "count"]).reset_index()
    )
    axes = figure.subplots()
    lines = list(epochs.line.unique())
    for name, colour in zip(
        lines, matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, len(lines))), strict=True
    ):
        line = figure.data[figure.data.line == name]
        spread = line["sem"].fillna(0)
        axes.plot(line.epoch, line["mean"], color=colour, lw=1.4, label=str(name))
        axes.fill_between(
            line.epoch, line["mean"] - spread, line["mean"] + spread, color=colour, alpha=0.18, lw=0
        )
    axes.axhline(0, color=GREY, lw=1, ls="--")
    axes.set(
        xlabel="epoch", ylabel="cosine of the two gradients", xlim=(0.5, epochs.epoch.max() + 0.5)
    )
    axes.grid(axis="y")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), ncols=-(-len(lines) // 9))
    return figure


def agreements(history: dict[Any, list[dict[str, float]]]) -> pd.DataFrame:
    """Return the epochs of a student's ``history`` by fold number as :func:`agreement` draws them,
    one line a fold."""
    rows = [
        {"line": f"fold {fold}", **epoch}
        for fold, epochs in history.items()
        for epoch in epochs
        if "agreement" in epoch
    ]
    return pd.DataFrame(rows, columns=["line", "epoch", "agreement"])


@styled
def gains(found: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric with its 95 % interval; the paper's method stands out.

    ``found`` are rows of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``label``,
    from top to bottom.
    """
    figure = Picture(figsize=(7.5, 0.9 + 0.27 * len(found)), layout="constrained")
    figure.data = found[
        [
            name
            for name in ("label", "method", "targets", "alpha", "gain", "low", "high", "p")
            if name in found
        ]
    ]
    axes = figure.subplots()
    for place, row in enumerate(found.to_dict("records")):
        colour, marker, _ = (
            METHODS[row["method"]]
            if row.get("targets", "teacher") == "teacher"
            else (GREY, "D", "")
        )
        axes.plot(
            [100 * row["low"], 100 * row["high"]],
            [place, place],
            color=colour,
            lw=1.6,
            solid_capstyle="butt",
        )
        axes.plot(100 * row["gain"], place, marker=marker, ms=5.5, color=colour)
    axes.axvline(0, color=INK, lw=1)
    axes.set(
        yticks=range(len(found)),
        yticklabels=list(found.label),
        ylim=(len(found) - 0.4, -0.6),
        xlabel="gain by distillation (percentage points) and its 95 % interval",
    )
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    return figure


@styled
def gradient_share(found: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric, with its 95 % interval, against the teacher's
    ``share`` of the gradient (0 to 1).

    ``found`` are rows of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``share``;
    each point carries its α.
    """
    figure = Picture(figsize=(7.5, 3.6), layout="constrained")
    figure.data = found[["backbone", "setting", "method", "alpha", "share", "gain", "low", "high"]]
    axes = figure.subplots()
    for method, rows in found.groupby("method", sort=False):
        colour, marker, name = METHODS[method]
        axes.vlines(
            100 * rows.share, 100 * rows.low, 100 * rows.high, color=colour, lw=1.2, alpha=0.5
        )
        axes.plot(
            100 * rows.share,
            100 * rows.gain,
            marker=marker,
            ls="",
            ms=5.5,
            color=colour,
            label=name,
        )
        for row in rows.itertuples():
            axes.annotate(
                f"{row.alpha:g}",
                (100 * row.share, 100 * row.gain),
                (4, 4),
                textcoords="offset points",
                fontsize="small",
            )
    axes.axhline(0, color=INK, lw=1)
    axes.set(
        xlabel="the teacher’s share of the encoder’s gradient, % (numbers at the points: α)",
        ylabel="gain, percentage points",
        xlim=(0, 100),
    )
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


@styled
def known(rows: pd.DataFrame) -> Picture:
    """Show the gains whose truth is known with their 95 % intervals, where a benefit is there apart
    from where none is.

    ``rows`` are those of :func:`kdsuite.analysis.tables.known.known_rows`; one without a number
    leaves its line empty.
    """
    figure = Picture(figsize=(7.5, 1.5 + 0.27 * len(rows)), layout="constrained")
    figure.data = rows
    groups = [
        (told, part)
        for told, part in (
            ("a benefit is there", rows[rows.benefit]),
            ("none is there", rows[~rows.benefit]),
        )
        if len(part)
    ]
    panels = figure.subplots(
        len(groups),
        sharex=True,
        squeeze=False,
        height_ratios=[len(part) + 0.6 for _, part in groups],
    )[:, 0]
    for axes, (told, part) in zip(panels, groups):
        for place, row in enumerate(part.itertuples()):
            colour, marker = (BLUE, "o") if row.benefit else (GREY, "D")
            axes.plot(
                [100 * row.low, 100 * row.high],
                [place, place],
                color=colour,
                lw=1.6,
                solid_capstyle="butt",
            )
            axes.plot(100 * row.gain, place, marker=marker, ms=5.5, color=colour)
        axes.axvline(0, color=INK, lw=1)
        axes.set(
            yticks=range(len(part)), yticklabels=list(part.about), ylim=(len(part) - 0.4, -0.6)
        )
        axes.set_title(told[0].upper() + told[1:], loc="left", weight="bold")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[-1].set_xlabel("gain by distillation (percentage points) and its 95 % interval")
    return figure


def named(row: dict[str, Any]) -> str:
    """Return what a comparison is called in a picture."""
    what = "" if row["method"] == "embedding" else f", {METHODS[row['method']][2]}"
    return f"{network(row['backbone'], row['setting'])}{what}, α = {row['alpha']:g}"
