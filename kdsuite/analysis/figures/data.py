"""Pictures of the recordings, and of what the teacher says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kdlib.spectrogram import Spectrogram
from kdlib.teacher import PrivilegedInformation
from kdsuite.analysis.figures.style import (
    BLUE,
    DIVERGING,
    FILL,
    GREY,
    SKY,
    SOUND,
    VERMILION,
    Picture,
    styled,
)
from kdsuite.data.store import Store
from kdsuite.settings import Settings

FRAMES_SHOWN = 8  # in a strip
MANY_SPEAKERS = 60  # from here on a histogram stands for the table of counts
MANY_CLASSES = 12  # from here on only the most probable are shown


@styled
def recordings(store: Store, rows: Sequence[int], settings: Settings) -> Picture:
    """Show recordings ``rows``: frames (or measurements) over the spectrogram as the student hears
    it, in seconds."""
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Picture(
        figsize=(4.2 * columns, (2.9 if store.fps else 3.4) * lines), layout="constrained"
    )
    blocks = figure.subfigures(lines, columns, squeeze=False).flat
    for block, row in zip(blocks, rows, strict=False):
        upper, lower = block.subplots(2, 1, height_ratios=(1, 2.9) if store.fps else (1, 1.2))
        block.suptitle(_name(store, row))
        _face(upper, store, row)
        _spectrogram(lower, store, row, settings)
    return figure


def _name(store: Store, row: int) -> str:
    recording = store.recordings.iloc[row]
    return f"{recording.recording}\n{recording.speaker} · {recording.label}"


def _face(axes: Axes, store: Store, row: int, peak: int | None = None) -> None:
    """Draw what the teacher sees of a recording: a strip of frames, with frame ``peak`` framed, or
    its measurements."""
    frames = store.frames[row].cpu().numpy()
    if not len(frames):
        axes.text(
            0.5, 0.5, "no video", color=GREY, ha="center", va="center", transform=axes.transAxes
        )
        return axes.set_axis_off()
    if frames.ndim == 2:
        return _measurements(axes, frames)
    edges = np.linspace(0, len(frames), min(FRAMES_SHOWN, len(frames)) + 1)
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        is_peak = peak is not None and begin <= peak < end
        left, right = begin / store.fps, end / store.fps
        axes.imshow(
            frames[peak if is_peak else int((begin + end) / 2)],
            extent=(left, right, 0, right - left),
        )
        if is_peak:
            axes.add_patch(
                Rectangle(
                    (left, 0),
                    right - left,
                    right - left,
                    fill=False,
                    ec=VERMILION,
                    lw=2.5,
                    zorder=3,
                )
            )
    # equal units make the frames square and the strip as wide as the panel below
    axes.set(
        xlim=(0, edges[-1] / store.fps), ylim=(0, edges[1] / store.fps), aspect="equal", anchor="S"
    )
    axes.set_axis_off()


def _measurements(axes: Axes, rows: np.ndarray) -> None:
    """Draw face measurements ``(rows, measurements)``: bars where there is one row, else a map of
    all."""
    if len(rows) == 1:
        axes.bar(
            np.arange(rows.shape[1]), rows[0], color=np.where(rows[0] < 0, SKY, BLUE), width=0.8
        )
        axes.axhline(0, color=GREY, lw=0.8)
        axes.set(xlabel="face measurement", ylabel="value", xlim=(-0.7, rows.shape[1] - 0.3))
    else:
        limit = np.abs(rows).max()
        axes.imshow(
            rows.T, aspect="auto", cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest"
        )
        axes.set(xlabel="row", ylabel="measurement")


def _spectrogram(axes: Axes, store: Store, row: int, settings: Settings) -> None:
    media = settings.media
    sound = store.waveforms[row].float()[None] / 32768
    picture = Spectrogram(media).to(sound.device)(sound)[0, 0].cpu().numpy()  # (bins, columns)
    high, unit = (
        (media.sample_rate / 2000, "kHz")
        if media.front_end == "stft"
        else (len(picture), "mel band")
    )
    seconds = sound.shape[1] / store.sample_rate
    axes.imshow(
        picture,
        origin="lower",
        aspect="auto",
        cmap=SOUND,
        extent=(0, picture.shape[1] * media.hop, 0, high),
        vmin=-2,
        vmax=3,
    )
    axes.set(xlabel="seconds", ylabel=unit, xlim=(0, seconds))
    axes.locator_params("x", nbins=6)


@styled
def classes_by_speaker(store: Store) -> Picture:
    """Count the recordings of each class and speaker (with very many speakers: how many have how
    many recordings)."""
    import seaborn as sns  # late, here and below: it takes a second, and notebooks that train need none of it

    counts = pd.crosstab(store.recordings.label, store.recordings.speaker).reindex(
        store.classes, fill_value=0
    )
    if counts.shape[1] > MANY_SPEAKERS:
        return _histogram(counts.sum().to_numpy(), "recordings of a speaker", "speakers")
    figure = Picture(
        figsize=(max(4.5, 1.8 + 0.38 * counts.shape[1]), 1.4 + 0.32 * len(counts)),
        layout="constrained",
    )
    axes = figure.subplots()
    sns.heatmap(
        counts,
        annot=True,
        fmt="d",
        cmap=FILL,
        vmin=0,
        linewidths=1,
        cbar=False,
        ax=axes,
        annot_kws={"size": 8.5},
    )
    axes.set(
        xlabel="",
        ylabel="",
        title=f"{counts.to_numpy().sum():,} recordings of {counts.shape[1]} speakers",
    )
    axes.tick_params(length=0)
    axes.tick_params("y", rotation=0)
    axes.tick_params("x", rotation=90)
    return figure


@styled
def durations(store: Store) -> Picture:
    """Show how long the recordings are."""
    seconds = store.seconds()
    return _histogram(
        seconds,
        "seconds",
        "recordings",
        f"{len(seconds):,} recordings, {seconds.sum() / 60:,.1f} minutes in all",
    )


def _histogram(values: np.ndarray, what: str, of: str, title: str = "") -> Picture:
    import seaborn as sns

    figure = Picture(figsize=(5.5, 2.6), layout="constrained")
    axes = figure.subplots()
    sns.histplot(x=values, ax=axes, color=BLUE, alpha=0.75, edgecolor="white")
    axes.axvline(np.median(values), color=VERMILION, label=f"median {np.median(values):.3g}")
    axes.set(xlabel=what, ylabel=of, title=title)
    axes.margins(y=0.15)
    axes.legend(loc="upper right")
    return figure


@styled
def privileged(
    store: Store, privileged: PrivilegedInformation, rows: Sequence[int], settings: Settings
) -> Picture:
    """Show what the frozen teacher says of recordings ``rows``.

    Left what it sees, with the peak frame framed, over its confidence in each frame (the norm of
    each frame's embedding where a sequential teacher classifies no frame); right the class
    probabilities, the true class written bold.
    """
    figure = Picture(figsize=(9, 2.6 * len(rows)), layout="constrained")
    for block, row in zip(figure.subfigures(len(rows), 1, squeeze=False).flat, rows, strict=True):
        left, right = block.subfigures(1, 2, width_ratios=(2.1, 1))
        left.suptitle(_name(store, row).replace("\n", " · "))
        peak = None if privileged.peak is None else int(privileged.peak[row])
        stride = settings.media.frame_stride if store.fps else 1
        alone = (
            privileged.frames.lengths[row] == 1
        )  # of a single row of measurements there is no course to show
        panels = left.subplots(
            1 if alone else 2, 1, squeeze=False, height_ratios=None if alone else (1, 1.5)
        )[:, 0]
        _face(panels[0], store, row, None if peak is None else peak * stride)
        if not alone:
            _course(panels[1], privileged, row, peak, stride, store.fps)
        _probabilities(right.subplots(), privileged.probabilities[row].cpu().numpy(), store, row)
    return figure


def _course(
    axes: Axes,
    privileged: PrivilegedInformation,
    row: int,
    peak: int | None,
    stride: int,
    fps: int | None,
) -> None:
    """Draw the teacher's confidence in every ``stride``-th frame, or the norms of the embeddings,
    and mark the peak frame."""
    start, length = int(privileged.frames.starts[row]), int(privileged.frames.lengths[row])
    if privileged.confidence is None:
        values, name = privileged.frames[row].norm(dim=1), "norm of embedding"
    else:
        values, name = privileged.confidence[start : start + length], "confidence"
    times = (np.arange(length) * stride + 0.5) / fps if fps else np.arange(length)
    axes.plot(times, values.cpu(), color=BLUE, marker="." if length < 40 else None)
    if peak is not None:
        axes.plot(
            times[peak],
            values[peak].cpu(),
            "o",
            color=VERMILION,
            ms=8,
            label="peak frame",
            zorder=3,
        )
        axes.set_ylim(0, 1.05)
        axes.legend(loc="best")
    axes.set(
        xlabel="seconds" if fps else "row",
        ylabel=name,
        xlim=(0, length * stride / fps) if fps else (-0.5, length - 0.5),
    )
    axes.grid(axis="y")


def _probabilities(axes: Axes, probabilities: np.ndarray, store: Store, row: int) -> None:
    """Draw the class probabilities ``(classes,)`` as bars; only the highest where classes are many."""
    order = np.sort(np.argsort(-probabilities)[:MANY_CLASSES])
    colours = [VERMILION if number == probabilities.argmax() else SKY for number in order]
    bars = axes.barh(
        [store.classes[number] for number in order],
        probabilities[order],
        color=colours,
        height=0.72,
    )
    axes.bar_label(
        bars, [f"{probabilities[number]:.2f}" for number in order], padding=3, fontsize=8
    )
    axes.set(
        xlim=(0, 1.18), xticks=(0, 0.5, 1), xlabel="probability", title="what the teacher says"
    )
    axes.invert_yaxis()
    axes.tick_params("y", length=0)
    for text, number in zip(axes.get_yticklabels(), order, strict=True):
        text.set_fontweight("bold" if number == int(store.labels[row]) else "normal")
