"""The pictures show the numbers they were given, under the right names."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from kdlib.dataset import Ragged
from kdlib.errors import UserError
from kdlib.spectrogram import Spectrogram
from kdlib.teacher import PrivilegedInformation
from kdsuite.analysis import figures
from kdsuite.analysis.figures.style import METHODS
from tests.conftest import noise_store, small


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Let torch work with one thread: on networks this small, and beside other work, several wait
    for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def texts(artist) -> list[str]:
    return [
        text.get_text() for text in artist.findobj(Text) if text.get_text() and text.get_visible()
    ]


def privileged(store, stride: int, sequential: bool = False) -> PrivilegedInformation:
    """Return what a teacher that guesses might say."""
    random = torch.Generator().manual_seed(0)
    lengths = (store.frames.lengths + stride - 1) // stride
    frames = Ragged.of(torch.randn(int(lengths.sum()), 8, generator=random), lengths)
    confidence = torch.rand(len(frames.values), generator=random)
    peak = torch.stack([part.argmax() for part in confidence.split(frames.lengths.tolist())])
    probabilities = torch.rand(len(frames.lengths), len(store.classes), generator=random).softmax(
        dim=1
    )
    seen = (
        {"peak": None, "confidence": None}
        if sequential
        else {"peak": peak, "confidence": confidence}
    )
    return PrivilegedInformation(
        frames, recording_embedding=torch.zeros(len(peak), 8), probabilities=probabilities, **seen
    )


def tidy(rows) -> pd.DataFrame:
    return pd.DataFrame(
        rows,
        columns=[
            "dataset",
            "backbone",
            "setting",
            "method",
            "alpha",
            "seed",
            "fold",
            "metric",
            "value",
        ],
    )


# recordings


def test_recordings_shows_frames_over_the_students_spectrogram_on_one_time_axis():
    store, settings = noise_store(), small(media={"front_end": "stft"})
    picture = figures.recordings(store, [1, 5], settings)
    assert picture.subfigs[1].get_suptitle() == "take-05\nspeaker-1 · class-1"
    strip, spectrogram = picture.subfigs[1].axes
    heard = Spectrogram(settings.media)(store.waveforms[5].float()[None] / 32768)[0, 0]
    np.testing.assert_array_equal(spectrogram.images[0].get_array(), heard)
    assert strip.get_xlim() == spectrogram.get_xlim() == (0, pytest.approx(store.seconds()[5]))
    assert len(strip.images) == 8
    picture.draw_without_rendering()
    left, right = (axes.get_position() for axes in (strip, spectrogram))
    assert (left.x0, left.x1) == (
        pytest.approx(right.x0, abs=0.005),
        pytest.approx(right.x1, abs=0.005),
    )


def test_measurements_stand_for_frames_that_are_not_there():
    store = noise_store(measurements=5)
    bars = figures.recordings(store, [3], small()).subfigs[0].axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(store.frames[3][0].tolist())


def test_classes_by_speaker_counts():
    store = noise_store(recordings=12, speakers=3, classes=2)
    axes = figures.classes_by_speaker(store).axes[0]
    assert [text.get_text() for text in axes.texts] == ["2"] * 6
    assert [label.get_text() for label in axes.get_yticklabels()] == store.classes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "speaker-0",
        "speaker-1",
        "speaker-2",
    ]


def test_very_many_speakers_are_counted_in_a_histogram():
    axes = figures.classes_by_speaker(noise_store(recordings=70, speakers=70, seconds=0.2)).axes[0]
    assert axes.get_ylabel() == "speakers" and sum(bar.get_height() for bar in axes.patches) == 70


def test_durations_counts_every_recording():
    store = noise_store()
    axes = figures.durations(store).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(store.recordings)
    assert f"median {np.median(store.seconds()):.3g}" in texts(axes)


# the teacher


def test_privileged_marks_the_peak_frame_and_names_the_true_class():
    store, settings = noise_store(), small()
    told = privileged(store, stride=5)
    block = figures.privileged(store, told, [4], settings).subfigs[0]
    strip, course = block.subfigs[0].axes
    peak = int(told.peak[4])
    marked = next(line for line in course.lines if line.get_label() == "peak frame")
    assert marked.get_xdata() == pytest.approx([(5 * peak + 0.5) / 25])
    assert marked.get_ydata() == pytest.approx(
        float(told.confidence[told.frames.starts[4] :][: told.frames.lengths[4]].max())
    )
    framed = strip.patches[0].get_x()
    shown = next(image for image in strip.images if image.get_extent()[0] == framed)
    np.testing.assert_array_equal(shown.get_array(), store.frames[4][5 * peak])
    bars = block.subfigs[1].axes[0]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(
        told.probabilities[4].tolist()
    )
    weights = {label.get_text(): label.get_fontweight() for label in bars.get_yticklabels()}
    assert weights == {"class-0": "bold", "class-1": "normal"}


def test_a_sequential_teacher_has_no_peak_frame():
    store = noise_store()
    told = privileged(store, stride=5, sequential=True)
    strip, course = figures.privileged(store, told, [0], small()).subfigs[0].subfigs[0].axes
    assert not strip.patches and len(course.lines) == 1
    assert course.lines[0].get_ydata() == pytest.approx(told.frames[0].norm(dim=1).tolist())


def test_privileged_of_one_row_of_measurements_has_no_course():
    store = noise_store(measurements=5)
    block = figures.privileged(store, privileged(store, stride=1), [0, 1], small()).subfigs[1]
    assert len(block.subfigs[0].axes) == 1


# training and results


def test_training_curves_draws_the_folds_in_the_order_of_their_numbers():
    history = {
        str(fold): [
            {"epoch": epoch, "loss": fold + epoch, "rate": 1e-3, "seconds": 2.0} for epoch in (1, 2)
        ]
        for fold in (10, 2)
    }
    upper, lower = figures.training_curves(history).axes
    assert [line.get_label() for line in upper.lines] == ["fold 2", "fold 10"]
    assert list(upper.lines[1].get_ydata()) == [11, 12]
    assert list(lower.lines[0].get_ydata()) == [1e-3, 1e-3]
    assert upper.get_title() == "2 folds, 8 s in all"


def test_confusion_gives_share_of_the_row_and_count_in_the_order_of_the_corpus():
    told = pd.DataFrame(
        {"label": ["sad", "sad", "sad", "happy"], "predicted": ["sad", "happy", "sad", "happy"]}
    )
    told[["p_sad", "p_happy", "p_angry"]] = 0.0
    axes = figures.confusion(told).axes[0]
    cells = np.array([text.get_text() for text in axes.texts]).reshape(3, 3)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sad", "happy", "angry"]
    assert cells.tolist() == [
        ["67 %\n2", "33 %\n1", "0 %\n0"],
        ["0 %\n0", "100 %\n1", "0 %\n0"],
        ["0 %\n0", "0 %\n0", "0 %\n0"],
    ]
    assert axes.get_title() == "UAR 83.3 %, accuracy 75.0 % of 4"


def test_embedding_map_lays_out_the_two_greatest_components():
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(30, 6)) * [9, 5, 1, 1, 1, 1]
    labels = pd.Categorical(["b", "a", "a"] * 10, categories=["b", "a", "never"])
    by_class, by_speaker = figures.embedding_map(
        embeddings, labels, [f"speaker-{number % 12}" for number in range(30)]
    ).axes
    u, s, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0))
    expected = (u[:, :2] * s[:2])[np.asarray(labels) == "a"]
    np.testing.assert_allclose(
        np.abs(by_class.collections[1].get_offsets()), np.abs(expected), rtol=1e-6
    )
    assert [text.get_text() for text in by_class.get_legend().get_texts()] == ["b", "a", "never"]
    assert len(by_speaker.collections) == 12 and all(
        points.get_rasterized() for points in by_speaker.collections
    )


@pytest.mark.parametrize("points", [3, 40])
def test_tsne_lays_out_few_and_many_points(points):
    embeddings = np.random.default_rng(0).normal(size=(points, 4))
    (points_drawn,) = (
        figures.embedding_map(embeddings, ["only"] * points, method="tsne").axes[0].collections
    )
    assert (
        np.isfinite(points_drawn.get_offsets()).all() and len(points_drawn.get_offsets()) == points
    )


@pytest.mark.parametrize("values", [0, 0.3, 1e-30])
def test_tsne_of_a_network_that_died_in_training_is_drawn(values):
    """scikit-learn's own beginning is NaN there, which crashes the process."""
    embeddings = np.full((69, 32), values) * (
        np.random.default_rng(0).normal(size=(69, 32)) if values == 1e-30 else 1
    )
    axes = figures.embedding_map(embeddings, ["only"] * 69, method="tsne").axes[0]
    assert np.isfinite(axes.collections[0].get_offsets()).all()
    assert (axes.get_xlabel() == "all embeddings are the same") is (values != 1e-30)


def over_alpha() -> pd.DataFrame:
    """Return results of two networks: AGG, whose undistilled student is filed as em, and one with a
    single alpha."""
    rows = [
        ("d", "vgg", "em", "embedding", 0.0, 0, fold, "uar", value)
        for fold, value in ((0, 0.5), (1, 0.3))
    ]
    for method, gain in (("embedding", 0.1), ("softlabel", -0.1)):
        rows += [
            ("d", "vgg", "agg", method, 0.5, seed, fold, "uar", 0.5 + gain + 0.02 * seed)
            for seed in (0, 1)
            for fold in (0, 1)
        ]
    rows.append(("d", "resnet", "nonseq", "embedding", 0.5, 0, 0, "uar", 0.9))
    return tidy([*rows, ("d", "vgg", "agg", "embedding", 0.5, 0, 0, "accuracy", 0.0)])


def test_accuracy_against_alpha_draws_one_line_a_method_from_the_undistilled_student():
    picture = figures.accuracy_against_alpha(over_alpha())
    panels = [axes for axes in picture.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["VGG+BiLSTM+AGG"]
    lines = {line.get_label(): line for line in panels[0].lines}
    assert list(lines) == [METHODS["embedding"][2], METHODS["softlabel"][2], "undistilled student"]
    assert lines[METHODS["embedding"][2]].get_ydata() == pytest.approx([40, 61])
    assert lines[METHODS["softlabel"][2]].get_ydata() == pytest.approx([40, 41])
    assert lines["undistilled student"].get_ydata() == pytest.approx([40, 40])
    assert lines[METHODS["softlabel"][2]].get_color() == METHODS["softlabel"][0]
    assert "mean over 2 folds; bands: ± 1 standard error" in picture.get_supxlabel()
    *_, dotted = figures.accuracy_against_alpha(over_alpha(), linear=0.45).axes[0].lines
    assert (
        dotted.get_label() == "linear baseline"
        and dotted.get_ydata() == pytest.approx([45, 45])
        and dotted.get_linestyle() == ":"
    )


def test_the_band_is_one_standard_error_over_the_folds():
    means = figures.means_over_folds(over_alpha()).set_index(["setting", "method", "alpha"])
    # standard deviation of 0.5 and 0.3 (n − 1) over the root of 2
    assert means.loc[("agg", "embedding", 0.0), "standard_error"] == pytest.approx(0.1)
    assert means.loc[("agg", "embedding", 0.5), "standard_error"] == pytest.approx(0.0)
    axes = figures.accuracy_against_alpha(over_alpha()).axes[0]
    heights = axes.collections[0].get_paths()[0].vertices
    assert (heights[heights[:, 0] == 0][:, 1].min(), heights[:, 1].max()) == (
        pytest.approx(30),
        pytest.approx(61),
    )


def test_no_picture_over_alpha_of_a_single_alpha():
    with pytest.raises(UserError, match="two alphas"):
        figures.accuracy_against_alpha(over_alpha()[lambda rows: rows.alpha > 0])


# files and notebooks


def test_saved_pictures_are_the_same_bytes_each_time_small_and_hold_their_text(tmp_path):
    for name in ("first", "second"):
        picture = figures.recordings(noise_store(), [0, 1], small())
        picture.data = over_alpha()
        figures.save(picture, tmp_path / name)
    svg, again = ((tmp_path / f"{name}.svg").read_bytes() for name in ("first", "second"))
    assert (
        svg == again
        and (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    )
    assert len(svg) < 300_000 and b"<dc:date>" not in svg  # of noise, which does not compress
    assert ">take-01</" in svg.decode()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "first.csv"), over_alpha())


def test_a_picture_shows_itself_once_and_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    picture = figures.durations(noise_store())
    png, facts = picture._repr_png_()
    assert png.startswith(b"\x89PNG") and facts["width"] < int.from_bytes(png[16:20], "big")
    assert dict(matplotlib.rcParams) == before
    assert not matplotlib._pylab_helpers.Gcf.figs  # pyplot would show it a second time


def test_a_thousand_classes_are_drawn_without_numbers():
    names = np.array([f"id{number}" for number in range(1200)])
    told = pd.DataFrame({"label": names, "predicted": np.roll(names, 1)})
    picture = figures.confusion(told)
    assert len(picture.axes[0].texts) == 0 and max(picture.get_size_inches()) < 10
    places = np.random.default_rng(0).normal(size=(1200, 3))
    assert all(axes.get_legend() is None for axes in figures.embedding_map(places, names).axes)
