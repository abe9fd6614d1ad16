"""Pictures of the recordings, and of the teacher's outputs for them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.colors import CenteredNorm

from kdsuite.analysis.figures.style import (
    BLUE,
    MANY_NAMES,
    SKY,
    VERMILION,
    Picture,
    draw_table,
    styled,
)
from kdsuite.data.decoding.sound import pieces

FRAMES_SHOWN = 8  # in a strip
CLASSES_SHOWN = 12  # the most probable


@styled
def recordings(store, rows: Sequence[int], settings, privileged=None) -> Picture:
    """Show recordings ``rows`` of a :class:`kdsuite.data.store.Store`: frames (or face
    measurements) over the student's spectrogram, in seconds.

    With ``privileged`` (:class:`kdlib.teacher.PrivilegedInformation`), show the frozen teacher's outputs in place of the spectrogram: the peak
    frame is outlined, below is the confidence in each frame (the norm of each frame's embedding
    where a sequential teacher classifies no frame), on the right are the highest class
    probabilities.
    """
    columns = 1 if privileged else min(3, len(rows))
    lines = -(-len(rows) // columns)
    picture = Picture(figsize=(9, 2.8 * lines) if privileged else (4.2 * columns, 3.1 * lines))
    # frames are low in a narrow strip
    layout = {"height_ratios": (2.5 if privileged or store.frames.values.dim() == 2 else 1, 3)}
    for block, row in zip(picture.subfigures(lines, columns, squeeze=False).flat, rows):
        recording = store.recordings.iloc[row]
        block.suptitle(f"{recording.recording}\n{recording.speaker} · {recording.label}")
        if privileged:
            panels = block.subplot_mosaic("FP;CP", width_ratios=(2, 1), **layout)
            stride = settings.media.frame_stride if store.fps else 1
            _face(panels["F"], store, row, _course(panels["C"], privileged, row, stride, store.fps))
            values = privileged.probabilities[row].cpu().numpy()
            _probabilities(panels["P"], pd.Series(values, store.classes), recording.label)
        else:
            upper, lower = block.subplots(2, **layout)
            _face(upper, store, row)
            _spectrogram(lower, store, row, settings)
    return picture


def _face(axes, store, row, peak=None):
    """Draw the teacher's input: a strip of frames with frame ``peak`` outlined, or measurements."""
    frames = store.frames[row].cpu().numpy()
    end = len(frames) / (store.fps or 1)
    if frames.ndim == 2 and len(frames) == 1:
        axes.bar(range(frames.shape[1]), frames[0], color=np.where(frames[0] < 0, SKY, BLUE))
        axes.set(xlabel="face measurement", ylabel="value")
        axes.locator_params("x", integer=True)
        return
    if frames.ndim == 2:
        axes.imshow(
            frames.T,
            cmap="RdBu_r",
            norm=CenteredNorm(),
            extent=(0, end, frames.shape[1], 0),
            zorder=1,
        )
        axes.set(xlabel="seconds" if store.fps else "row", ylabel="measurement")
        return
    axes.set_axis_off()
    if not len(frames):
        axes.text(0.5, 0.5, "no video", ha="center")
        return
    count = min(FRAMES_SHOWN, len(frames))
    shown = ((np.arange(count) + 0.5) * len(frames) / count).astype(int)
    side = end / count
    if peak is not None:
        place = peak * count // len(frames)
        shown[place] = peak
        left = place * side
        axes.axvspan(left, left + side, fill=False, ec=VERMILION, lw=2.5, clip_on=False)
    axes.imshow(np.hstack(frames[shown]), extent=(0, end, 0, side), aspect="equal")
    axes.set_anchor("S")


def _spectrogram(axes, store, row, settings):
    from kdlib.spectrogram import Spectrogram

    media = settings.media
    waveform = store.waveforms[row][None]
    # of long sound a part of the columns, so that the picture takes no more memory
    step = len(pieces(waveform.shape[1], store.sample_rate)) - 1
    front_end, parts = Spectrogram(media).to(waveform.device), waveform.tensor_split(step, dim=1)
    columns = [front_end(part.float() / 32768)[0, 0, :, ::step].cpu() for part in parts]
    values = np.concatenate(columns, axis=1)  # (bins, columns)
    height, unit = len(values), "mel band"
    if media.front_end == "stft":
        height, unit = media.sample_rate / 2000, "kHz"
    axes.imshow(
        values,
        cmap="magma",
        vmin=-2,
        vmax=3,
        origin="lower",
        extent=(0, values.shape[1] * media.hop * step, 0, height),
        zorder=1,
    )
    axes.set(xlabel="seconds", ylabel=unit, xlim=(0, waveform.shape[1] / store.sample_rate))


def _course(axes, privileged, row, stride, fps):
    """Draw the teacher's confidence in every ``stride``-th frame and mark the peak frame, which is
    returned, or draw the norms of the embeddings."""
    values, name = privileged.frames[row].norm(dim=1).cpu(), "norm of embedding"
    if privileged.confidence is not None:
        values = replace(privileged.frames, values=privileged.confidence)[row].cpu()
        name = "confidence"
    rate = fps or 1
    times = (np.arange(len(values)) * stride + 0.5) / rate
    axes.plot(times, values, marker=".")
    end = len(values) * stride / rate
    axes.set(xlabel="seconds" if fps else "row", ylabel=name, xlim=(0, end))
    if privileged.peak is None:
        return None
    peak = int(privileged.peak[row])
    axes.plot(times[peak], values[peak], "o", ms=8, label="peak frame")
    axes.set_ylim(0, 1.2)
    axes.legend()
    return peak * stride


def _probabilities(axes, values, label):
    shown = values[values.rank(method="first", ascending=False) <= CLASSES_SHOWN]
    shown = shown.rename({label: f"{label} (true)"})
    bars = axes.barh(shown.index, shown, color=np.where(shown == shown.max(), VERMILION, SKY))
    axes.bar_label(bars, fmt="%.2f", padding=3, size=8)
    axes.set(xlim=(0, 1.18), xticks=(0, 0.5, 1), xlabel="probability", title="teacher output")
    axes.invert_yaxis()


@styled
def classes_by_speaker(store) -> Picture:
    """Count the recordings of each class and speaker; of more than 40 speakers, show a histogram of
    their recordings."""
    counts = pd.crosstab(store.recordings.label, store.recordings.speaker)
    counts = counts.reindex(store.classes, fill_value=0)
    if counts.shape[1] > MANY_NAMES:
        return _histogram(counts.sum(), xlabel="recordings of a speaker", ylabel="speakers")
    title = f"{len(store.recordings):,} recordings of {counts.shape[1]} speakers"
    return draw_table(counts, counts / counts.max(axis=None), "{1}", title=title)


@styled
def durations(store) -> Picture:
    """Show a histogram of the recordings' lengths."""
    seconds = store.seconds()
    title = f"{len(seconds):,} recordings, {seconds.sum() / 60:,.1f} minutes in all"
    return _histogram(seconds, title=title, xlabel="seconds", ylabel="recordings")


def _histogram(values, **labels):
    picture = Picture(figsize=(5.5, 2.6))
    axes = picture.subplots()
    axes.hist(np.asarray(values, float), bins="rice", alpha=0.75, ec="white")
    median = np.median(values)
    axes.axvline(median, color=VERMILION, label=f"median {median:.3g}")
    axes.set(**labels)
    axes.legend()
    return picture
