"""Tables 4 to 7 as their page shows them: our numbers beside the printed ones."""

from __future__ import annotations

import json

import pytest

from kdsuite import paths
from kdsuite.analysis import results
from kdsuite.analysis.report import Table
from kdsuite.runs.run import Run
from tests.analysis.asking import ask
from tests.analysis.filed import finish, student


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    return tmp_path


def table(name: str, runs: list[Run], alpha=0.5) -> Table:
    """Return Table 4, 5, 6 or 7 as its page shows it."""
    return ask("results", runs, alpha=alpha).tables[name]


def row(found: Table, backbone: str, setting: str) -> dict[str, str]:
    """Return a row as it reads, by column name."""
    place = (found.frame.backbone == backbone) & (found.frame.setting == setting)
    return found.text()[place.to_numpy()].iloc[0].to_dict()


def test_table_6_has_means_over_folds_beside_the_paper():
    runs = [
        finish(student(stage="teacher", backbone="vgg"), {0: 0.80, 1: 0.70}),
        finish(student(0.0, backbone="vgg"), {0: 0.50, 1: 0.30, 2: 0.40}),
        finish(student(0.5, backbone="vgg"), {0: 0.60, 1: 0.40, 2: 0.50}),
    ]
    found = table("table6", runs)
    assert row(found, "vgg", "nonseq") == {
        "backbone": "VGG", "setting": "non-sequential",
        "paper_teacher": "80.5", "paper_undistilled": "51.0", "paper_distilled": "52.3", "paper_relative_change": "+2.54",
        "teacher": "75.0 ± 7.1", "undistilled": "40.0 ± 10.0", "distilled": "50.0 ± 10.0", "relative_change": "+25.00",
        "difference": "−2.3", "interval_low:interval_high": "—",
    }  # fmt: skip
    assert (
        len(found.frame) == 10 and row(found, "linear", "logistic regression")["undistilled"] == "—"
    )
    for name, run in zip(
        ("teacher", "undistilled", "distilled", "relative_change"), [*runs, runs[2]]
    ):
        assert found.links[name][0] == f"runs.html#run-demo-ravdess-{run.stage}-{run.key}"


def test_the_linear_baseline_is_a_row_and_marks_what_is_below_it():
    """VGG: 40 % is below 45 %, 50 % is not; of the teacher only fold 0 is done, where it is below;
    one student has done fold 1 alone."""
    runs = [
        finish(student(stage="data"), {0: 0.50, 1: 0.40}),
        finish(student(stage="teacher", backbone="vgg"), {0: 0.80}),
        finish(student(0.0, backbone="vgg"), {0: 0.50, 1: 0.30}),
        finish(student(0.5, backbone="vgg"), {0: 0.60, 1: 0.40}),
        finish(student(0.0, backbone="resnet"), {1: 0.42}),
    ]
    told = json.loads((runs[0].folder / "result.json").read_text())
    for fold, seen in zip(told["folds"], (0.90, 0.60)):
        fold["frames_uar"] = seen
    (runs[0].folder / "result.json").write_text(json.dumps(told))
    found = table("table6", runs)
    linear, vgg = row(found, "linear", "logistic regression"), row(found, "vgg", "nonseq")
    assert linear["backbone"] == "linear baseline" and (
        linear["teacher"],
        linear["undistilled"],
    ) == ("75.0 ± 21.2", "45.0 ± 7.1")
    assert linear["distilled"] == linear["relative_change"] == linear["paper_teacher"] == "—"
    assert (vgg["teacher"], vgg["undistilled"], vgg["distilled"]) == (
        "80.0‡",
        "40.0 ± 14.1‡",
        "50.0 ± 14.1",
    )
    assert row(found, "resnet", "nonseq")["undistilled"] == "42.0"
    assert (
        found.links["teacher"][9]
        == found.links["undistilled"][9]
        == "runs.html#run-demo-ravdess-data-all"
    )
    assert (
        any(remark.startswith("‡ below the linear baseline") for remark in found.remarks)
        and r"80.0\ddag{}" in found.to_tex()
    )
    below = found.frame[[name for name in found.frame if name.endswith("_below_linear")]]
    assert below.iloc[0].to_dict() == {
        "teacher_below_linear": True,
        "undistilled_below_linear": True,
        "distilled_below_linear": False,
    }
    assert below.iloc[[1, 9]].isna().all(axis=None)


def test_an_error_rate_above_that_of_the_baseline_is_marked():
    layout = {"layout": "voxceleb1"}
    runs = [finish(student(stage="data", **layout), {0: 0.09}, metric="eer")]
    runs += [
        finish(student(alpha, **layout), {0: value}, metric="eer")
        for alpha, value in ((0.0, 0.10), (0.5, 0.08))
    ]
    cells = row(table("table5", runs), "seresnet", "nonseq")
    assert (cells["undistilled"], cells["distilled"]) == ("10.00‡", "8.00")
    assert row(table("table5", runs), "linear", "cosine")["undistilled"] == "9.00"


def test_a_data_run_of_other_folds_or_without_numbers_is_no_baseline():
    usual, split = student(stage="data"), student(stage="data", corpus={"groups": 4})
    runs = [
        usual,
        finish(split, {0: 0.9}),
        finish(student(0.0), {0: 0.5}),
        finish(student(0.5), {0: 0.6}),
    ]
    found = table("table6", runs)
    assert row(found, "linear", "logistic regression")["undistilled"] == "—" and "‡" not in str(
        found.marks
    )
    assert "demo-ravdess/data/all" in found.missing and not any(
        split.folder.name in name for name in found.missing
    )
    collected = results.collect(runs)
    assert collected[collected.stage == "data"].iloc[0][
        ["backbone", "setting", "variant"]
    ].tolist() == ["linear", "", "corpus.groups=4"]


def test_em_and_agg_share_teacher_and_undistilled_student():
    runs = [
        finish(student(stage="teacher", setting="agg"), {0: 0.9}),
        finish(student(0.0, setting="agg"), {0: 0.5}),
    ]
    runs += [finish(student(setting="em"), {0: 0.55}), finish(student(setting="agg"), {0: 0.6})]
    found = table("table6", runs)
    em, agg = row(found, "seresnet", "em"), row(found, "seresnet", "agg")
    assert (
        em["undistilled"] == agg["undistilled"] == "50.0"
        and em["teacher"] == agg["teacher"] == "90.0"
    )
    assert (em["relative_change"], agg["relative_change"]) == ("+10.00", "+20.00")


def test_other_methods_and_other_alphas_do_not_get_into_the_table():
    runs = [
        finish(student(method="softlabel"), {0: 0.9}),
        finish(student(0.75), {0: 0.8}),
        finish(student(0.0), {0: 0.5}),
        student(0.5),
    ]
    assert row(table("table6", runs), "seresnet", "nonseq")["distilled"] == "—"
    assert row(table("table6", runs, alpha=0.75), "seresnet", "nonseq")["distilled"] == "80.0"


def test_missing_runs_are_dashes_and_are_named():
    found = table("table6", [finish(student(0.0), {0: 0.5}), student(0.5)])
    cells = row(found, "seresnet", "nonseq")
    assert (
        cells["distilled"] == cells["relative_change"] == cells["teacher"] == "—"
        and cells["undistilled"] == "50.0"
    )
    assert "demo-ravdess/student/seresnet-nonseq-embedding-a0.50-s0" in found.missing
    assert "seresnet, nonseq, teacher: no run of this suite" in found.missing
    assert not found.absent


def test_parts_of_the_folds_and_seeds_are_put_together():
    runs = [finish(student(0.0, folds=fold), {fold: 0.4 + 0.2 * fold}) for fold in (0, 1)]
    runs += [finish(student(0.5, folds=0), {0: 0.6}), student(0.5, folds=1)]
    cells = row(table("table6", runs), "seresnet", "nonseq")
    assert cells["undistilled"] == "50.0 ± 14.1"
    assert cells["distilled"] == "60.0†"
    assert cells["relative_change"] == "—"  # one student has fold 0 alone, the other both
    seeds = [finish(student(0.0, seed=seed), {0: 0.4 + 0.2 * seed, 1: 0.5}) for seed in (0, 1)]
    found = table("table6", seeds)
    cells = row(found, "seresnet", "nonseq")
    assert cells["undistilled"] == "50.0 ± 0.0" and "104 recordings tested in 2 folds" in " ".join(
        found.facts
    )


def test_runs_with_other_parameters_are_left_out_and_counted():
    usual = [finish(student(0.0), {0: 0.5}), finish(student(0.5), {0: 0.6})]
    other = finish(student(0.5, training={"epochs": 35}), {0: 0.99})
    found = table("table6", [other, *usual])
    assert row(found, "seresnet", "nonseq")["distilled"] == "60.0"
    assert any(note.startswith("1 runs with other corpus") for note in found.notes)


def test_a_lower_error_rate_is_a_positive_change():
    runs = [
        finish(student(alpha, layout="voxceleb1"), {0: value}, metric="eer")
        for alpha, value in ((0.0, 0.10), (0.5, 0.08))
    ]
    cells = row(table("table5", runs), "seresnet", "nonseq")
    assert (cells["undistilled"], cells["distilled"], cells["relative_change"]) == (
        "10.00",
        "8.00",
        "+20.00",
    )
    assert (cells["paper_undistilled"], cells["paper_relative_change"]) == ("5.31", "+20.52")
    assert "teacher" not in cells


def test_identification_takes_accuracy_and_says_that_there_is_no_eer():
    runs = [
        finish(student(alpha, layout="voxceleb1"), {0: value}, metric="accuracy")
        for alpha, value in ((0.0, 0.8), (0.5, 0.7))
    ]
    assert row(table("table4", runs), "seresnet", "nonseq")["relative_change"] == "−12.50"
    assert table("table5", runs).absent == "the results of demo-ravdess hold no EER."
    assert table("table7", runs).absent == "no dataset of this suite has the layout iemocap."


def test_table_7_shows_the_columns_without_header_as_printed():
    found = table("table7", [])
    assert row(found, "vgg", "nonseq") | {
        "paper_unlabelled_third": "−25.65",
        "paper_unlabelled_fourth": "0",
    } == row(found, "vgg", "nonseq")
    assert "distilled" in row(found, "vgg", "nonseq") and "paper_distilled" not in row(
        found, "vgg", "nonseq"
    )


def test_the_head_says_that_shapes_and_not_values_are_compared():
    found = table("table6", [finish(student(), {0: 0.5})])
    assert found.facts[:3] == [
        "dataset demo-ravdess (synthetic corpus)",
        "52 recordings tested in 1 fold (paper: 2,452)",
        "epochs 20 (paper: 50)",
    ]
    assert "student width 0.125 (paper: 1)" in found.facts
    assert found.notes[0].startswith("Compare trends, not values: the corpus is synthetic")


def test_an_undistilled_student_and_a_teacher_belong_to_every_variant_of_the_distillation():
    """The distance is of the distilled student alone: those that do not know it are not left out."""
    runs = [
        finish(student(0.0, backbone="vgg"), {0: 0.4}),
        finish(student(stage="teacher", backbone="vgg"), {0: 0.7}),
        finish(student(0.5, backbone="vgg", training={"distance": "mse"}), {0: 0.5}),
    ]
    cells = row(table("table6", runs), "vgg", "nonseq")
    assert (
        cells["teacher"],
        cells["undistilled"],
        cells["distilled"],
        cells["relative_change"],
    ) == ("70.0", "40.0", "50.0", "+25.00")
