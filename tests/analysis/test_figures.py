"""The pictures show their numbers, under the right names."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from kdlib.dataset import Ragged
from kdlib.parameters import GRADIENTS
from kdlib.spectrogram import Spectrogram
from kdlib.teacher import PrivilegedInformation
from kdsuite import paths
from kdsuite.analysis import figures
from kdsuite.analysis.comparisons import COLUMNS
from kdsuite.analysis.figures import fonts
from kdsuite.analysis.figures.style import GREY, METHODS, Picture, draw_table, styled
from kdsuite.analysis.suite import Suite
from kdsuite.data.store import Store
from kdsuite.runs.run import Run
from kdsuite.settings import load
from tests.analysis.asking import Answer, ask
from tests.analysis.filed import finish
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
    """Return random outputs of a teacher."""
    random = torch.Generator().manual_seed(0)
    lengths = (store.frames.lengths + stride - 1) // stride
    frames = Ragged.of(torch.randn(int(lengths.sum()), 8, generator=random), lengths)
    confidence = torch.rand(len(frames.values), generator=random)
    peak = torch.stack([part.argmax() for part in confidence.split(frames.lengths.tolist())])
    probabilities = torch.rand(len(frames.lengths), len(store.classes), generator=random).softmax(
        dim=1
    )
    peaks = (
        {"peak": None, "confidence": None}
        if sequential
        else {"peak": peak, "confidence": confidence}
    )
    return PrivilegedInformation(
        frames, recording_embedding=torch.zeros(len(peak), 8), probabilities=probabilities, **peaks
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
    ).assign(stage="student", variant="")


def pictures_over_alpha(tmp_path, results=None, gains=None, histories=None) -> Answer:
    """Return what the notebook on alpha shows of these tables of a suite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "REPORTS", tmp_path)
        tables = {
            "results": tidy([]) if results is None else results,
            "gains": pd.DataFrame(columns=COLUMNS) if gains is None else gains,
        }
        for name, table in tables.items():
            patch.setattr(Suite, name, table)
        runs = [Run("student", load(dataset="demo-ravdess"))]
        for place, part in (
            ()
            if histories is None
            else histories.groupby(["backbone", "setting", "method", "alpha"])
        ):
            axes = dict(zip(["backbone", "setting", "method", "alpha"], place))
            epochs = part[["epoch", *GRADIENTS]].to_dict("records")
            history = {str(number): [epoch] for number, epoch in enumerate(epochs)}
            runs.append(
                finish(Run("student", load(dataset="demo-ravdess", **axes)), {}, history=history)
            )
        return ask("alpha", runs)


# recordings


def test_recordings_shows_frames_over_the_students_spectrogram_on_one_time_axis():
    store, settings = noise_store(), small(media={"front_end": "stft"})
    picture = figures.recordings(store, [1, 5], settings)
    assert picture.subfigs[1].get_suptitle() == "take-05\nspeaker-1 · class-1"
    strip, spectrogram = picture.subfigs[1].axes
    expected = Spectrogram(settings.media)(store.waveforms[5].float()[None] / 32768)[0, 0]
    np.testing.assert_array_equal(spectrogram.images[0].get_array(), expected)
    assert spectrogram.get_ylabel() == "kHz" and spectrogram.get_ylim() == (0, 8)
    assert strip.get_xlim() == spectrogram.get_xlim() == (0, pytest.approx(store.seconds()[5]))
    shown = strip.images[0].get_array()
    frames = store.frames[5]
    assert shown.shape == (32, 8 * 32, 3)
    np.testing.assert_array_equal(shown[:, -32:], frames[int(7.5 * len(frames) / 8)])
    picture.draw_without_rendering()
    left, right = (axes.get_position() for axes in (strip, spectrogram))
    extent = strip.get_window_extent()
    assert extent.width == pytest.approx(8 * extent.height)  # eight squares
    assert (left.x0, left.x1) == (
        pytest.approx(right.x0, abs=0.005),
        pytest.approx(right.x1, abs=0.005),
    )


def test_recordings_without_video_say_so():
    store = noise_store()
    empty = Ragged.of(store.frames.values[:0], torch.zeros_like(store.frames.lengths))
    picture = figures.recordings(replace(store, frames=empty), [3], small())
    assert "no video" in texts(picture)


def test_measurements_replace_frames():
    once, many = measured_store(1), measured_store(30)
    bars = figures.recordings(once, [3], small()).subfigs[0].axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(once.frames[3][0].tolist())
    axes = figures.recordings(many, [3], small()).subfigs[0].axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), many.frames[3].T)
    assert axes.get_xlim() == (0, 30) and axes.get_xlabel() == "row"


def measured_store(rows: int) -> Store:
    """Return a store of so many rows of five measurements a recording, which have no times."""
    store = noise_store(measurements=5)
    lengths = rows * store.frames.lengths
    return replace(store, frames=Ragged.of(torch.randn(int(lengths.sum()), 5), lengths))


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
    axes = figures.classes_by_speaker(noise_store(recordings=70, speakers=50, seconds=0.2)).axes[0]
    heights = [bar.get_height() for bar in axes.patches if bar.get_height()]
    assert axes.get_ylabel() == "speakers" and heights == [30, 20]  # of one recording, and of two


def test_durations_counts_every_recording():
    store = noise_store()
    axes = figures.durations(store).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(store.recordings)
    assert f"median {np.median(store.seconds()):.3g}" in texts(axes)


# the teacher


def teacher_panels(store, outputs, row: int, settings) -> dict:
    """Return the panels of one recording by what they show."""
    block = figures.recordings(store, [0, row], settings, outputs).subfigs[1]
    return dict(zip(("face", "classes", "course"), block.axes))


def test_the_peak_frame_is_outlined_and_marked():
    store, outputs = noise_store(), privileged(noise_store(), stride=5)
    panels = teacher_panels(store, outputs, 4, small())
    strip, course = panels["face"], panels["course"]
    peak = int(outputs.peak[4])
    marked = next(line for line in course.lines if line.get_label() == "peak frame")
    assert marked.get_xdata() == pytest.approx([(5 * peak + 0.5) / 25])
    first = outputs.frames.starts[4]
    confidence = outputs.confidence[first : first + outputs.frames.lengths[4]]
    assert marked.get_ydata() == pytest.approx(float(confidence.max()))
    assert course.lines[0].get_ydata() == pytest.approx(confidence.tolist())
    outline = strip.patches[0]
    place = round(outline.get_x() / outline.get_width())
    shown = strip.images[0].get_array()[:, 32 * place : 32 * (place + 1)]
    np.testing.assert_array_equal(shown, store.frames[4][5 * peak])
    assert outline.get_x() <= 5 * peak / 25 <= outline.get_x() + outline.get_width()
    assert strip.get_xlim() == (0, pytest.approx(store.seconds()[4]))


def test_class_probabilities_name_the_true_class():
    store, outputs = noise_store(), privileged(noise_store(), stride=5)
    bars = teacher_panels(store, outputs, 4, small())["classes"]
    expected = outputs.probabilities[4].tolist()
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(expected)
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert names == ["class-0 (true)", "class-1"]


def test_of_many_classes_the_most_probable_are_shown_in_the_order_of_the_corpus():
    store = noise_store(recordings=40, classes=20)
    outputs = privileged(store, stride=5)
    bars = teacher_panels(store, outputs, 4, small())["classes"]
    best = sorted(outputs.probabilities[4].topk(12).indices.tolist())
    names = [label.get_text().removesuffix(" (true)") for label in bars.get_yticklabels()]
    assert names == [f"class-{number}" for number in best]


def test_a_sequential_teacher_has_no_peak_frame():
    store = noise_store()
    outputs = privileged(store, stride=5, sequential=True)
    panels = teacher_panels(store, outputs, 1, small())
    assert not panels["face"].patches and len(panels["course"].lines) == 1
    norms = outputs.frames[1].norm(dim=1).tolist()
    assert panels["course"].lines[0].get_ydata() == pytest.approx(norms)


@pytest.mark.parametrize("rows", [1, 30])
def test_a_teacher_of_measurements_without_time(rows):
    store = measured_store(rows)
    panels = teacher_panels(store, privileged(store, stride=1), 1, small())
    assert len(panels["course"].lines[0].get_xdata()) == rows
    assert panels["course"].get_xlim() == (0, rows)


# training and results


def test_training_curves_draws_the_folds_in_the_order_of_their_numbers():
    history = {
        str(fold): [
            {"epoch": epoch, "loss": fold + epoch, "rate": 1e-3, "seconds": 2.0} for epoch in (1, 2)
        ]
        for fold in (10, 2)
    }
    picture = figures.training_curves(history)
    upper, lower = picture.axes
    assert [line.get_label() for line in upper.lines[:2]] == ["fold 2", "fold 10"]
    assert list(upper.lines[1].get_ydata()) == [11, 12]
    assert list(lower.lines[0].get_ydata()) == [1e-3, 1e-3]
    assert picture.get_suptitle() == "2 fold(s), 8 s in all"
    names = [text.get_text() for text in picture.legends[0].get_texts()]
    assert names == ["fold 2", "fold 10"]


def test_training_curves_show_the_agreement_where_it_was_computed():
    epoch = {"epoch": 1, "loss": 1.0, "rate": 1e-3, "seconds": 2.0, "agreement": -0.3}
    _, agreement, _ = figures.training_curves({0: [epoch]}).axes
    assert agreement.get_ylabel() == "cosine of gradients"
    assert list(agreement.lines[0].get_ydata()) == [-0.3]


def test_agreement_is_the_mean_over_the_trainings_of_a_line(tmp_path):
    rows = pd.DataFrame(
        {
            "alpha": [0.5] * 4 + [0.25] * 2,
            "epoch": [1, 2] * 3,
            "agreement": [0.1, 0.2, 0.3, 0.6, -0.1, -0.2],
        }
    ).assign(dataset="demo-ravdess", backbone="vgg", setting="em", method="embedding", variant="")
    rows = rows.assign(label_gradient=1.0, teacher_gradient=1.0)
    picture = pictures_over_alpha(tmp_path, histories=rows).pictures[
        "figure-agreement-demo-ravdess"
    ]
    first, second = picture.axes[0].lines[:2]
    assert first.get_ydata() == pytest.approx([-0.1, -0.2])
    assert second.get_ydata() == pytest.approx([0.2, 0.4])
    means = picture.data.set_index(["line", "epoch"])
    assert means.loc[("α = 0.5", 1), "sem"] == pytest.approx(0.1)
    names = [text.get_text() for text in picture.legends[0].get_texts()]
    assert names == ["α = 0.25", "α = 0.5"]


def test_what_training_notebooks_draw_needs_no_slow_import():
    """Notebooks 01 to 03 run hundreds of times; seaborn and scikit-learn take a second each."""
    code = """
import sys, numpy, pandas
from kdsuite.analysis import figures
from tests.conftest import noise_store, small
from tests.analysis.test_figures import privileged
store = noise_store()
figures.recordings(store, [0], small(), privileged(store, 5))
figures.classes_by_speaker(store), figures.durations(store)
figures.training_curves({0: [{"epoch": 1, "loss": 1.0, "rate": 1.0, "seconds": 1.0}]})
figures.confusion(pandas.DataFrame({"label": ["a"], "predicted": ["a"], "p_a": [1.0]}))
figures.embedding_map(numpy.eye(12, 3), store.recordings.label, store.recordings.speaker)
print(*sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=paths.ROOT, check=True, capture_output=True, text=True)
    assert not {"seaborn", "sklearn", "matplotlib.pyplot"} & {*done.stdout.split()}


def test_confusion_gives_share_of_the_row_and_count_in_the_order_of_the_corpus():
    predictions = pd.DataFrame(
        {"label": ["sad", "sad", "sad", "happy"], "predicted": ["sad", "happy", "sad", "happy"]}
    )
    predictions[["p_sad", "p_happy", "p_angry"]] = 0.0
    axes = figures.confusion(predictions).axes[0]
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
    speakers = [f"speaker-{number % 12}" for number in range(30)]
    by_class, by_speaker = figures.embedding_map(embeddings, labels, speakers).subfigs
    u, s, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0))
    expected = (u[:, :2] * s[:2])[np.asarray(labels) == "a"]
    points = by_class.axes[0].collections
    np.testing.assert_allclose(np.abs(points[1].get_offsets()), np.abs(expected), rtol=1e-6)
    percent = 100 * s**2 / (s**2).sum()
    assert by_class.axes[0].get_xlabel() == f"component 1 ({percent[0]:.0f} % of variance)"
    assert by_class.axes[0].get_ylabel() == f"component 2 ({percent[1]:.0f} % of variance)"
    names = [text.get_text() for text in by_class.legends[0].get_texts()]
    assert names == ["b", "a", "never"]
    points = by_speaker.axes[0].collections
    assert len(points) == 12 and all(each.get_rasterized() for each in points)
    colors = {tuple(each.get_facecolor()[0]) for each in points}
    assert len(colors) == 12


@pytest.mark.parametrize("count", [1, 2, 40])
def test_embedding_map_of_few_recordings_and_of_a_network_that_died_in_training(count):
    picture = figures.embedding_map(np.full((count, 8), 0.3), ["a"] * count, ["s"] * count)
    (points,) = picture.axes[0].collections
    np.testing.assert_allclose(points.get_offsets(), np.zeros((count, 2)), atol=1e-12)
    picture.draw_without_rendering()


def over_alpha() -> pd.DataFrame:
    """Return results of two networks: AGG, whose undistilled student is filed as em, and one with a
    single alpha."""
    own = "demo-ravdess"
    rows = [
        (own, "vgg", "em", "embedding", 0.0, 0, fold, "uar", value)
        for fold, value in ((0, 0.5), (1, 0.3))
    ]
    for method, gain in (("embedding", 0.1), ("softlabel", -0.1)):
        rows += [
            (own, "vgg", "agg", method, 0.5, seed, fold, "uar", 0.5 + gain + 0.02 * seed)
            for seed in (0, 1)
            for fold in (0, 1)
        ]
    rows.append((own, "resnet", "nonseq", "embedding", 0.5, 0, 0, "uar", 0.9))
    return tidy([*rows, (own, "vgg", "agg", "embedding", 0.5, 0, 0, "accuracy", 0.0)])


def test_a_metric_over_alpha_has_one_line_a_method_from_the_undistilled_student(tmp_path):
    picture = pictures_over_alpha(tmp_path, over_alpha()).pictures["figure5"]
    panels = [axes for axes in picture.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["VGG+BiLSTM+AGG"]
    lines = {line.get_label(): line for line in panels[0].lines}
    own, soft = METHODS["embedding"], METHODS["softlabel"]
    assert {own[2], soft[2], "undistilled student"} <= set(lines)
    assert "linear baseline" not in lines
    assert lines[own[2]].get_ydata() == pytest.approx([40, 60])  # of the seed that both have
    assert lines[soft[2]].get_ydata() == pytest.approx([40, 40])
    assert lines["undistilled student"].get_ydata() == pytest.approx([40, 40])
    assert lines[soft[2]].get_color() == soft[0]
    assert "mean over up to 2 folds, band: ± 1 standard error" in picture.get_supxlabel()
    linear = tidy([("demo-ravdess", "linear", "", "", np.nan, 0, 0, "uar", 0.45)])
    both = pd.concat([over_alpha(), linear.assign(stage="data")])
    axes = pictures_over_alpha(tmp_path, both).pictures["figure5"].axes[0]
    dotted = next(line for line in axes.lines if line.get_label() == "linear baseline")
    assert dotted.get_ydata() == pytest.approx([45, 45]) and dotted.get_linestyle() == ":"


def test_the_band_is_one_standard_error_over_the_folds(tmp_path):
    picture = pictures_over_alpha(tmp_path, over_alpha()).pictures["figure5"]
    means = picture.data.set_index(["setting", "method", "alpha"])
    # standard deviation of 0.5 and 0.3 (n − 1) over the root of 2
    assert means.loc[("agg", "embedding", 0.0), "standard_error"] == pytest.approx(0.1)
    assert means.loc[("agg", "embedding", 0.5), "standard_error"] == pytest.approx(0.0)
    heights = picture.axes[0].collections[0].get_paths()[0].vertices
    assert (heights[heights[:, 0] == 0][:, 1].min(), heights[:, 1].max()) == (
        pytest.approx(30),
        pytest.approx(60),
    )


def test_no_picture_over_alpha_of_a_single_alpha(tmp_path):
    shown = pictures_over_alpha(tmp_path, over_alpha()[lambda rows: rows.alpha > 0])
    assert "at two values of α" in shown.figures["figure5"].missing


# comparisons


def compared() -> pd.DataFrame:
    """Return three comparisons; the second has no interval, the third is a control."""
    return pd.DataFrame(
        {
            "label": ["one", "two", "three"],
            "method": ["embedding", "softlabel", "embedding"],
            "targets": ["teacher", "teacher", "shuffled"],
            "alpha": [0.5, 0.5, 1.0],
            "gain": [0.1, -0.05, 0.0],
            "low": [0.05, np.nan, -0.1],
            "high": [0.2, np.nan, 0.1],
            "p": [0.01, np.nan, 1.0],
            "backbone": "vgg",
            "setting": "nonseq",
            "share": [0.2, 0.4, 0.9],
            "seeds": 3,
        }
    )


def test_gains_draws_each_interval_in_the_colour_of_its_method():
    picture = figures.gains(compared())
    axes = picture.axes[0]
    intervals, points = axes.collections
    # matplotlib leaves out what is NaN
    ends = [segment[:, 0].tolist() for segment in intervals.get_segments() if len(segment)]
    assert ends == [pytest.approx([5, 20]), pytest.approx([-10, 10])]
    np.testing.assert_allclose(points.get_offsets(), [[10, 0], [-5, 1], [0, 2]])
    colors = [matplotlib.colors.to_hex(color).upper() for color in points.get_facecolor()]
    assert colors == [METHODS["embedding"][0], METHODS["softlabel"][0], GREY]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two", "three"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # from top to bottom
    assert list(picture.data) == ["label", "method", "targets", "alpha", "gain", "low", "high", "p"]


def test_gradient_share_draws_gains_against_shares(tmp_path):
    place = {"dataset": "demo-ravdess", "variant": "", "targets": "teacher", "metric": "uar"}
    gains = compared().assign(**place)
    shares = gains.rename(columns={"share": "teacher_gradient"})
    shares = shares.assign(label_gradient=1 - shares.teacher_gradient, agreement=np.nan, epoch=1)
    shown = pictures_over_alpha(tmp_path, gains=gains.drop(columns="share"), histories=shares)
    axes = shown.pictures["figure-share-demo-ravdess-uar"].axes[0]
    points = {
        each.get_label(): each.get_offsets()
        for each in axes.collections
        if not each.get_label().startswith("_")
    }
    np.testing.assert_allclose(points[METHODS["embedding"][2]], [[20, 10], [90, 0]], atol=1e-9)
    np.testing.assert_allclose(points[METHODS["softlabel"][2]], [[40, -5]])
    assert [text.get_text().strip() for text in axes.texts] == ["0.5", "1", "0.5"]


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
    assert len(svg) < 350_000 and b"<dc:date>" not in svg  # of noise, which does not compress
    assert ">take-01</" in svg.decode()
    saved = pd.read_csv(tmp_path / "first.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(saved, over_alpha())


def test_a_picture_shows_itself_once_and_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    picture = figures.durations(noise_store())
    png, facts = picture._repr_png_()
    assert png.startswith(b"\x89PNG") and facts["width"] < int.from_bytes(png[16:20], "big")
    assert dict(matplotlib.rcParams) == before
    assert not matplotlib._pylab_helpers.Gcf.figs  # pyplot would show it a second time


def test_a_picture_saved_by_hand_has_the_style_too(tmp_path):
    figures.durations(noise_store()).savefig(tmp_path / "durations.svg")
    assert "font-size: 8.5px" in (tmp_path / "durations.svg").read_text()


def test_a_thousand_classes_are_drawn_without_names():
    names = np.array([f"id{number}" for number in range(1200)])
    predictions = pd.DataFrame({"label": names, "predicted": np.roll(names, 1)})
    probabilities = pd.DataFrame(0.0, predictions.index, [f"p_{name}" for name in names])
    picture = figures.confusion(predictions.join(probabilities))
    assert len(picture.axes[0].texts) == 0 and max(picture.get_size_inches()) < 10
    points = np.random.default_rng(0).normal(size=(1200, 3))
    picture = figures.embedding_map(points, names, names)
    assert not any(legend.get_texts() for block in picture.subfigs for legend in block.legends)


DRAWN = """
import hashlib, sys
from pathlib import Path
from kdsuite.analysis import figures
picture = figures.training_curves({0: [{"epoch": n, "loss": 1 / n, "rate": 0.1, "seconds": 1.0} for n in (1, 2)]})
print(*(hashlib.sha256(file.read_bytes()).hexdigest() for file in figures.save(picture, Path(sys.argv[1]))))
"""
# what people have in ~/.config/matplotlib: set for a paper on a machine with LaTeX; a dark style
OF_USERS = (
    "",
    "text.usetex: True\n",
    "figure.facecolor: black\naxes.facecolor: black\nfont.family: serif\nsavefig.bbox: tight\nlines.linestyle: --\n",
)


def test_the_users_own_matplotlibrc_changes_no_picture(tmp_path):
    drawn = set()
    for number, text in enumerate(OF_USERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "matplotlibrc").write_text(text)
        command = [sys.executable, "-c", DRAWN, folder / "picture"]
        environment = {**os.environ, "MATPLOTLIBRC": str(folder)}
        drawn.add(subprocess.check_output(command, cwd=paths.ROOT, env=environment))
    assert len(drawn) == 1


def test_names_that_no_font_shows_are_numbered(monkeypatch, capsys, tmp_path, recwarn):
    monkeypatch.setattr(fonts, "NUMBERS", {})
    monkeypatch.setattr(fonts, "font_of", lambda sign: "" if sign > "\u3000" else fonts.USUAL)
    names = ["悲伤 b", "平静", "é"]
    counts = pd.DataFrame(np.eye(3), names, names)
    picture = draw_table(counts, counts, "{:.0f} {}")
    picture.savefig(tmp_path / "one.svg")
    picture.savefig(tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text()
    assert all(f">{name}</text>" in text for name in ("#1 b", "#2", "é")) and "悲" not in text
    assert capsys.readouterr().out.count("#1 is 悲伤, #2 is 平静; install a font") == 1
    bars = styled(Picture)()
    axes = bars.subplots()
    axes.barh(names, [1, 2, 3])
    bars._repr_png_()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["#1 b", "#2", "é"]
    assert not [str(warning.message) for warning in recwarn if "missing" in str(warning.message)]


def test_names_have_the_font_that_shows_them(monkeypatch):
    monkeypatch.setattr(fonts, "font_of", lambda sign: "cmr10" if sign == "悲" else fonts.USUAL)
    picture = Picture()
    label = picture.subplots().set_title("悲 a")
    fonts.make_readable(picture)
    assert label.get_text() == "悲 a" and label.get_fontfamily() == [fonts.USUAL, "cmr10"]
