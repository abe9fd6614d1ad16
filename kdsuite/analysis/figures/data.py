"""Pictures of the recordings, and of the teacher's outputs for them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.colors import CenteredNorm

from kdsuite.analysis.figures.style import MANY_NAMES, SKY, VERMILION, Picture, draw_table, styled
from kdsuite.data.pieces import pieces

FRAMES_SHOWN = 8  # in a strip
CLASSES_SHOWN = 12  # the most probable


@styled
def recordings(store, rows: list[int], settings, privileged=None) -> Picture:
    """Show recordings ``rows`` of a :class:`kdsuite.data.store.Store`: frames (or face
    measurements) over the student's spectrogram, in seconds.

    With ``privileged`` (:class:`kdlib.teacher.PrivilegedInformation`), show the frozen teacher's
    outputs in place of the spectrogram: the peak frame is outlined, below is the confidence in each
    frame (the norm of each frame's embedding where a sequential teacher classifies no frame), on
    the right are the highest class probabilities.
    """
    columns = 1 if privileged else min(3, len(rows))
    lines = -(-len(rows) // columns)
    picture = Picture(figsize=(9 if privileged else 4.2 * columns, 3 * lines))
    # Face over Spectrogram or over the Course of the confidence, which Probabilities stand beside;
    # frames are low in a narrow strip
    layout = "FFP;CCP" if privileged else "F;S" if store.frames.values.dim() == 2 else "F;S;S;S"
    for block, row in zip(picture.subfigures(lines, columns, squeeze=False).flat, rows):
        recording, peak = store.recordings.iloc[row], None
        block.suptitle(f"{recording.recording}\n{recording.speaker} · {recording.label}")
        panels = block.subplot_mosaic(layout)
        if privileged:
            stride = settings.media.frame_stride if store.fps else 1
            peak = _course(panels["C"], privileged, row, stride, store.fps)
            values = privileged.probabilities[row].cpu().numpy()
            _probabilities(panels["P"], pd.Series(values, store.classes), recording.label)
        else:
            _spectrogram(panels["S"], store, row, settings.media)
        _face(panels["F"], store, row, peak)
    return picture


def _face(axes, store, row, peak):
    """Draw the teacher's input: a strip of frames with frame ``peak`` outlined, or measurements."""
    frames = store.frames[row].cpu().numpy()
    axes.axison = frames.ndim == 2  # pictures of faces need no axes
    count, end = min(FRAMES_SHOWN, len(frames)), len(frames) / (store.fps or 1)
    if frames.ndim == 2 and len(frames) == 1:
        axes.bar(range(frames.size), frames[0])
        axes.set(xlabel="face measurement", ylabel="value")
        axes.locator_params("x", integer=True)
    elif frames.ndim == 2:
        place = (0, end, frames.shape[1], 0)
        axes.imshow(frames.T, cmap="RdBu_r", norm=CenteredNorm(), extent=place, zorder=1)
        axes.set(xlabel="seconds" if store.fps else "row", ylabel="measurement")
    elif not count:
        axes.set_title("no video")
    else:
        shown = ((np.arange(count) + 0.5) * len(frames) / count).astype(int)
        side = end / count
        if peak is not None:
            number = peak * count // len(frames)
            shown[number], left = peak, number * side
            axes.axvspan(left, left + side, fill=False, ec=VERMILION, lw=2.5, clip_on=False)
        axes.imshow(np.hstack(frames[shown]), extent=(0, end, 0, side), aspect="equal")
        axes.set_anchor("S")


def _spectrogram(axes, store, row, media):
    from kdlib.spectrogram import Spectrogram

    waveform = store.waveforms[row][None]
    # of long sound a part of the columns, so that the picture takes no more memory
    step = len(pieces(waveform.shape[1], store.sample_rate)) - 1
    front_end, parts = Spectrogram(media).to(waveform.device), waveform.tensor_split(step, dim=1)
    columns = [front_end(part.float() / 32768)[0, 0, :, ::step].cpu().numpy() for part in parts]
    values = np.concatenate(columns, axis=1)  # (bins, columns)
    mel = media.front_end == "logmel"
    height, unit = (len(values), "mel band") if mel else (media.sample_rate / 2000, "kHz")
    place = (0, values.shape[1] * media.hop * step, 0, height)
    axes.imshow(values, cmap="magma", vmin=-2, vmax=3, origin="lower", extent=place, zorder=1)
    axes.set(xlabel="seconds", ylabel=unit, xlim=(0, waveform.shape[1] / store.sample_rate))


def _course(axes, privileged, row, stride, fps):
    """Draw the teacher's confidence in every ``stride``-th frame and mark the peak frame, which is
    returned, or draw the norms of the embeddings."""
    values, name = privileged.confidence, "confidence"
    if values is None:
        values, name = privileged.frames.values.norm(dim=1), "norm of embedding"
    values = replace(privileged.frames, values=values)[row].cpu()
    rate = fps or 1
    times = (np.arange(len(values)) * stride + 0.5) / rate
    axes.plot(times, values, marker=".")
    end = len(values) * stride / rate
    axes.set(xlabel="seconds" if fps else "row", ylabel=name, xlim=(0, end))
    if privileged.peak is not None:
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
    # bins of whole numbers would be no narrower than one
    axes.hist(np.asarray(values, float), alpha=0.75, ec="white")
    median = np.median(values)
    axes.axvline(median, color=VERMILION, label=f"median {median:.3g}")
    axes.set(**labels)
    axes.legend()
    return picture
