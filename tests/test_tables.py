"""The paper's tables: tidy results, our numbers beside the printed ones, layers of the networks as
they are built."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from kdlib.models.network import build_student, build_teacher
from kdsuite import places
from kdsuite.analysis import tables
from kdsuite.analysis.site.summary import leading
from kdsuite.analysis.tables.table import number, tex
from kdsuite.runs.grid import Run
from kdsuite.settings import Settings
from tests.analysis.filed import finish, student


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "REPORTS", tmp_path)
    return tmp_path


def table(name: str, runs: list[Run], alpha=0.5) -> tables.Table:
    return {found.name: found for found in tables.comparisons(runs, tables.collect(runs), alpha)}[
        name
    ]


def row(found: tables.Table, backbone: str, setting: str) -> dict[str, str]:
    """Return a row as it reads, by column name."""
    place = found.frame.index[
        (found.frame.backbone == backbone) & (found.frame.setting == setting)
    ][0]
    return {column.name: found.text(place, column) for column in found.columns}


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
        "difference": "−2.3", "interval": "—",
    }  # fmt: skip
    assert (
        len(found.frame) == 10 and row(found, "linear", "logistic regression")["undistilled"] == "—"
    )
    assert found.links[0, "teacher"] == runs[:1] and found.links[0, "undistilled"] == runs[1:2]
    assert found.links[0, "distilled"] == found.links[0, "relative_change"] == runs[2:]


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
    assert found.links[9, "teacher"] == found.links[9, "undistilled"] == runs[:1]
    assert any(
        remark.startswith("‡ below the linear baseline") for remark in found.remarks
    ) and r"80.0\ddag{}" in tables.table.to_tex(found)
    below = found.frame[[name for name in found.frame if name.endswith("_below_linear")]]
    assert below.iloc[0].to_dict() == {
        "teacher_below_linear": True,
        "undistilled_below_linear": True,
        "distilled_below_linear": False,
    }
    assert below.iloc[[1, 9]].isna().all(axis=None)
    # the summary speaks of networks
    assert len(leading([found]).frame) == 9


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
    assert row(found, "linear", "logistic regression")["undistilled"] == "—" and not found.below
    assert "demo-ravdess/data/all" in found.missing and not any(
        split.folder.name in name for name in found.missing
    )
    collected = tables.collect(runs)
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
    assert found.notes[0].startswith("Compare the shape, not the values: the corpus is synthetic")


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [(2452, 0, False, "2,452"), (-3.456, 2, True, "−3.46"), (-0.001, 1, True, "+0.0")],
)
def test_numbers(value, digits, signed, text):
    assert number(value, digits, signed) == text


def test_tex_is_escaped_and_csv_has_plain_numbers(tmp_path):
    columns = [
        tables.Column("name", "100 %", header="row"),
        tables.Column("value", "x_1 & y", digits=1, spread="sd", signed=True),
    ]
    frame = pd.DataFrame({"name": [r"a_b%&$#{}~^\<b>"], "value": [-1.26], "sd": [0.5]})
    files = tables.write(
        tables.Table("t", "T", "50 % of α_1", columns, frame, notes=["R&D"], missing=["a_b"]),
        tmp_path,
    )
    text = files["tex"].read_text()
    assert (
        r"a\_b\%\&\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}b\textgreater{} & $-$1.3 $\pm$ 0.5 \\"
        in text
    )
    assert (
        r"100 \% & x\_1 \& y \\" in text
        and r"\caption{50 \% of $\alpha$\_1}" in text
        and r"R\&D" in text
        and r"Missing: a\_b." in text
    )
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert text.isascii()
    assert pd.read_csv(files["csv"]).to_dict("records") == [
        {"name": r"a_b%&$#{}~^\<b>", "value": -1.26, "sd": 0.5}
    ]


def test_tex_of_every_table_is_ascii():
    made = [*NETWORKS.values(), *tables.comparisons([], tables.collect([]))]
    assert all(tables.table.to_tex(found).isascii() for found in made)
    assert tex("−1 ± 2 × 3") == r"$-$1 $\pm$ 2 $\times$ 3"


NETWORKS = {found.name: found for found in tables.network_tables()}


def shapes(name: str) -> list[str]:
    return NETWORKS[name].frame.output.tolist()


def test_table_1_is_the_vgg_student():
    frame = NETWORKS["table1"].frame
    assert shapes("table1") == [
        "1 × 257 × 400", "64 × 257 × 400", "64 × 128 × 200", "128 × 128 × 200", "128 × 64 × 100", "128 × 1 × 1", "512", "512", "7", "",
    ]  # fmt: skip
    assert frame.activation.tolist() == [
        "–",
        "ReLU",
        "–",
        "ReLU",
        "–",
        "–",
        "–",
        "ReLU",
        "Softmax",
        "",
    ]
    assert frame.kernel[1] == "[3×3, 64] × 3"
    # three 3×3 convolutions without bias, each with scale and shift of its batch-norm
    assert frame.parameters[1] == 9 * (1 * 64 + 64 * 64 + 64 * 64) + 3 * 2 * 64
    assert frame.parameters[6] == 128 * 512 + 512


def test_table_2_is_the_thin_resnet():
    frame = NETWORKS["table2"].frame
    blocks = frame[frame.layer == "Residual block"]
    assert blocks.output.tolist() == [
        "96 × 128 × 200",
        "128 × 64 × 100",
        "256 × 32 × 50",
        "512 × 16 × 25",
    ]
    assert blocks.kernel.tolist()[
        0
    ] == "[1×1, 48; 3×3, 48; 1×1, 96] × 2" and blocks.kernel.tolist()[3].endswith("× 3")
    assert shapes("table2")[1] == "64 × 257 × 400" and shapes("table2")[-6:-1] == [
        "512 × 8 × 13",
        "512 × 1 × 1",
        "512",
        "512",
        "7",
    ]
    # stage 1 by hand: two blocks, the first from 64 channels with a projection
    first = 64 * 48 + 9 * 48 * 48 + 48 * 96 + 2 * (48 + 48 + 96) + 64 * 96 + 2 * 96
    second = 96 * 48 + 9 * 48 * 48 + 48 * 96 + 2 * (48 + 48 + 96)
    assert blocks.parameters.iloc[0] == first + second
    excitation = 96 * 6 + 6 + 6 * 96 + 96
    assert blocks.with_SE.iloc[0] == first + second + 2 * excitation


def test_table_3_is_the_sequential_student():
    frame = NETWORKS["table3"].frame
    assert frame.activation.tolist() == ["–", "–", "ReLU", "ReLU", "Attention", "Softmax"]
    assert shapes("table3") == ["4 × 1 × 257 × 100", "4 × 512", "4 × 512", "4 × 512", "512", "7"]
    assert frame.parameters[2] == 2 * 4 * (512 * 256 + 256 * 256 + 2 * 256)
    assert frame.parameters[4] == 512 * 256 + 256 + 256


@pytest.mark.parametrize(
    ("name", "column", "backbone"),
    [
        ("table1", "parameters", "vgg"),
        ("table2", "parameters", "resnet"),
        ("table2", "with_SE", "seresnet"),
    ],
)
def test_totals_are_those_of_the_networks(name, column, backbone):
    with torch.device("meta"):
        network = build_student(Settings(backbone=backbone), 7)
    frame = NETWORKS[name].frame
    assert (
        frame[column].iloc[-1]
        == frame[column].iloc[:-1].sum()
        == sum(parameter.numel() for parameter in network.parameters())
    )


def test_sizes_of_all_nine_networks():
    frame = NETWORKS["parameters"].frame.set_index(["backbone", "setting"])
    assert len(frame) == 9
    settings = Settings(backbone="seresnet", setting="agg")
    with torch.device("meta"):
        teacher, own = (
            build_teacher(settings, 7, torch.Size((3, 224, 224))),
            build_student(settings, 7),
        )
    assert (
        frame.teacher["seresnet", "agg"]
        == frame.teacher["seresnet", "em"]
        == sum(parameter.numel() for parameter in teacher.parameters())
    )
    assert frame.student["seresnet", "agg"] == sum(
        parameter.numel() for parameter in own.parameters()
    )
    # torchvision's VGG16 has 14,714,688 parameters in its convolutions
    assert frame.teacher["vgg", "nonseq"] == 14714688 + (512 * 49 + 1) * 512 + 513 * 512 + 513 * 7


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
