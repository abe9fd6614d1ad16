"""The audit notebook: it finds what is wrong with the printed tables from the numbers, and nothing
where nothing is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import nbformat
import pandas as pd
import pytest

from kdsuite import paths
from kdsuite.analysis import paper
from kdsuite.analysis import suite as suite_of_runs
from kdsuite.analysis.report import Table

NOTEBOOK = paths.ROOT / "notebooks" / "questions" / "audit.ipynb"
COLUMNS = [
    "table",
    "networks",
    "check",
    "printed",
    "recomputed",
    "rounded",
    "cut",
    "lowest",
    "highest",
]
COLUMNS += ["implied", "verdict", "finding"]
EITHER, CUT, ROUNDED = "agrees either way", "agrees when cut", "agrees when rounded"
AGREES, CONTRADICTS, DOUBTFUL, NOT_DERIVABLE = "agrees", "contradicts", "doubtful", "not derivable"
ACCURACIES = ["teacher", "undistilled", "distilled"]


class Recorder:
    """Stands for a suite: holds what the notebook writes, and writes nothing."""

    def __init__(self, name: str) -> None:
        self.files: dict[str, pd.DataFrame] = {}
        self.tables: dict[str, Table] = {}

    def write(self, name: str, frame: pd.DataFrame) -> None:
        self.files[name] = frame

    def table(self, name: str, frame: pd.DataFrame, **rest: Any) -> Table:
        self.tables[name] = Table(name=name, frame=frame, **rest)
        return self.tables[name]


def execute(published: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return the names of the notebook after its code cells ran, on these numbers where given; its
    answer is named ``answer``."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_of_runs, "Suite", Recorder)
        if published is not None:
            patch.setattr(paper, "published", published.copy)
        for cell in nbformat.read(NOTEBOOK, 4).cells:
            if cell.cell_type == "code":
                source = cell.source
                if "answer" in cell.metadata.get("tags", []):
                    before, last, value = source.rpartition("Markdown(")
                    source = f"{before}answer = {last}{value}"
                exec(compile(source, cell.id, "exec"), names)
    return names


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return execute()


@pytest.fixture(scope="module")
def findings(notebook) -> pd.DataFrame:
    return notebook["data"].files["audit.csv"]


def alter(table: int, backbone: str, setting: str, **numbers: float) -> dict[str, Any]:
    """Return the notebook's names after numbers of one printed row were changed."""
    published = paper.published()
    row = published[["table", "backbone", "setting"]].eq([table, backbone, setting]).all(axis=1)
    assert row.sum() == 1
    for column, number in numbers.items():
        published.loc[row, column] = number
    return execute(published)


def audit(*row: Any, **numbers: float) -> pd.DataFrame:
    return alter(*row, **numbers)["data"].files["audit.csv"]


def one(findings: pd.DataFrame, table: int, networks: str, check: str) -> pd.Series:
    rows = findings.query("table == @table and networks == @networks and check == @check")
    assert len(rows) == 1
    return rows.iloc[0]


def test_digits_are_cut_towards_zero_and_halves_rounded_away_from_it(notebook):
    cut, rounded = notebook["cut"], notebook["rounded"]
    below, half = Decimal("-25.6559"), Decimal("2.545")
    assert (cut(below), rounded(below)) == (Decimal("-25.65"), Decimal("-25.66"))
    assert (cut(half), rounded(half)) == (Decimal("2.54"), Decimal("2.55"))


@pytest.mark.parametrize(
    "printed,verdict", [("1.59", CUT), ("1.60", ROUNDED), ("1.58", CONTRADICTS)]
)
def test_verdicts_on_a_number_that_is_56_4_to_57_3(notebook, printed, verdict):
    exact = notebook["change"](Decimal("56.4"), Decimal("57.3"))  # 1.5957...
    assert notebook["verdict"](Decimal(printed), exact) == verdict
    assert notebook["verdict"](Decimal("1.50"), Decimal("1.503")) == EITHER


def test_numbers_have_the_digits_that_the_notebook_takes_them_to_have(notebook):
    tables = notebook["tables"]
    for column in ACCURACIES:
        assert ((tables[column] % tables.step).dropna() == 0).all()
    for column in ("relative_change", "third column"):
        assert (tables[column].dropna() % Decimal("0.01") == 0).all()


def test_all_but_one_relative_change_agree_once_digits_are_cut(findings):
    changes = findings[findings.check == "relative change"]
    assert changes.verdict.value_counts().to_dict() == {EITHER: 15, CUT: 11, CONTRADICTS: 1}
    wrong = changes[changes.verdict == CONTRADICTS].iloc[0]
    assert (wrong.table, wrong.networks) == (6, "SEResNet+BiLSTM+AGG")
    assert (wrong.printed, wrong.implied, wrong["rounded"], wrong["cut"]) == (
        3.45,
        57.9,
        3.99,
        3.99,
    )
    assert wrong.recomputed == pytest.approx(2.3 / 57.6 * 100)


def test_rounded_operands_leave_bounds(findings):
    accuracy = one(findings, 6, "SEResNet+BiLSTM+AGG", "relative change")  # 57.6 to 59.9
    assert accuracy.lowest == pytest.approx((59.85 / 57.65 - 1) * 100)
    assert accuracy.highest == pytest.approx((59.95 / 57.55 - 1) * 100)
    error = one(findings, 5, "ResNet", "relative change")  # 5.33 to 3.91
    assert error.lowest == pytest.approx((1 - 3.915 / 5.325) * 100)
    assert error.highest == pytest.approx((1 - 3.905 / 5.335) * 100)


def test_relative_changes_are_those_of_floating_point(findings):
    published = paper.published().dropna(subset="distilled")
    sign = published.metric.map({"eer": -1}).fillna(1)
    expected = sign * (published.distilled - published.undistilled) / published.undistilled * 100
    changes = findings[findings.check == "relative change"]
    assert changes.recomputed.tolist() == pytest.approx(expected.tolist())


def test_no_other_number_explains_a_change_than_the_implied_one(findings):
    def explain(printed: float, after: float) -> list[float]:
        bases = [n / 10 for n in range(1, 1001)]
        return [base for base in bases if 0 <= (after / base - 1) * 100 - printed < 0.01]

    wrong = findings[(findings.check == "relative change") & findings.implied.notna()]
    assert [explain(row.printed, 59.9) for row in wrong.itertuples()] == [[57.9]]


def test_two_networks_of_table_4_share_a_row_and_contradict_their_em_rows(findings):
    shared = findings[findings.check == "shared row"]
    assert shared.networks.tolist() == ["ResNet+BiLSTM+AGG and SEResNet+BiLSTM+AGG"]
    assert shared.verdict.tolist() == [DOUBTFUL]
    pairs = findings[findings.check == "same network: undistilled"]
    wrong = pairs[pairs.verdict == CONTRADICTS]
    assert len(pairs) == 12
    expected = [[4, 80.5, 80.9], [4, 80.5, 80.3]]
    assert wrong[["table", "printed", "recomputed"]].values.tolist() == expected
    assert wrong.finding.str.extract(r"would be (\S+) %")[0].tolist() == ["2.22", "2.99"]
    assert set(findings[findings.check == "same network: teacher"].verdict) == {AGREES}


def test_the_third_column_of_table_7_follows_from_nothing_beside_it(findings):
    third = findings[findings.check == "third column"]
    assert set(third.verdict) == {NOT_DERIVABLE}
    assert third.recomputed.iloc[0] == pytest.approx((60.8 / 68.6 - 1) * 100)
    assert third.implied.tolist() == [51.0, 54.6, 56.1, 57.6, 56.4, 57.9, 51.0, 54.6, 56.1]


def test_what_the_third_column_implies_stands_elsewhere(findings):
    sentences = " ".join(findings[findings.check == "values behind the third column"].finding)
    assert "the same numbers for VGG and SEResNet: 51.0, 54.6, 56.1." in sentences
    assert "4 of the 6 different numbers" in sentences
    assert "undistilled numbers of Table 6: 51.0, 54.6, 56.4, 57.6." in sentences
    assert (
        "57.9, too, which would explain the change of SEResNet+BiLSTM+AGG in Table 6" in sentences
    )


def test_the_text_is_compared_with_the_tables(findings):
    text = findings[findings.check == "text against table"]
    number = text[text.printed == 9.09].iloc[0]
    assert number.recomputed == pytest.approx(6.7 / 73.7 * 100) and number.verdict == EITHER
    wrong = text[text.verdict == CONTRADICTS]
    assert len(text) == 9 and len(wrong) == 1
    assert "27 of 36 rows say so, and not 9 of Table 7." in wrong.finding.iloc[0]
    # the gap is closed most by a network whose undistilled number is doubtful: with that of its EM
    # row, (82.7 - 80.9) / (83.6 - 80.9)
    resting = findings[findings.check == "text that rests on a contradiction"]
    assert resting.networks.tolist() == ["ResNet+BiLSTM+AGG"]
    assert resting.verdict.tolist() == [DOUBTFUL]
    assert resting.recomputed.tolist() == pytest.approx([(77.5 - 75.5) / (78.4 - 75.5) * 100])
    assert (82.7 - 80.9) / (83.6 - 80.9) < (77.5 - 75.5) / (78.4 - 75.5)


def test_columns_and_verdicts_are_fixed(findings):
    assert list(findings.columns) == COLUMNS
    verdicts = {EITHER, CUT, ROUNDED, AGREES, CONTRADICTS, DOUBTFUL, NOT_DERIVABLE}
    assert set(findings.verdict) <= verdicts and len(findings) == 72
    assert findings.finding.str.endswith(".").all() and findings.networks.ne("").all()
    assert not findings.finding.str.contains("—|nan", case=False).any()


def test_an_altered_change_is_found():
    names = alter(5, "vgg", "nonseq", relative_change=4.44)
    findings = names["data"].files["audit.csv"]
    assert one(findings, 5, "VGG", "relative change").verdict == CONTRADICTS
    assert names["answer"].data.startswith("25 of 27 relative changes agree")


def test_a_rounded_change_is_counted_apart():
    names = alter(6, "resnet", "nonseq", relative_change=1.6)
    findings = names["data"].files["audit.csv"]
    assert one(findings, 6, "ResNet", "relative change").verdict == ROUNDED
    assert "1 of 27 agrees only when rounded." in names["answer"].data


def test_an_error_rate_that_no_number_explains_implies_none():
    # 8.12 is 50 % less than 16.24; no base gives 13.07 %, which is a hundredth too much
    fits = one(audit(5, "vgg", "em", relative_change=50.0), 5, "VGG+BiLSTM+EM", "relative change")
    assert (fits.verdict, fits.implied) == (CONTRADICTS, 16.24)
    none = one(audit(5, "vgg", "em", relative_change=13.07), 5, "VGG+BiLSTM+EM", "relative change")
    assert none.verdict == CONTRADICTS and pd.isna(none.implied)


def test_a_mended_change_is_not_objected_to():
    findings = audit(6, "seresnet", "agg", relative_change=3.99)
    assert one(findings, 6, "SEResNet+BiLSTM+AGG", "relative change").verdict == EITHER
    assert "which would explain" not in " ".join(findings.finding)


def test_a_mended_row_is_neither_shared_nor_contradictory():
    findings = audit(4, "resnet", "agg", undistilled=80.9, relative_change=2.22)
    assert findings[findings.check == "shared row"].empty
    assert one(findings, 4, "ResNet+BiLSTM+AGG", "same network: undistilled").verdict == AGREES


def test_a_shared_row_is_found_in_any_table():
    findings = audit(6, "vgg", "nonseq", undistilled=56.4, distilled=57.3, relative_change=1.59)
    assert one(findings, 6, "VGG and ResNet", "shared row").verdict == DOUBTFUL


def test_teachers_of_one_network_that_differ_are_found():
    findings = audit(6, "vgg", "agg", teacher=83.5)
    row = one(findings, 6, "VGG+BiLSTM+AGG", "same network: teacher")
    assert row.verdict == CONTRADICTS and "83.4 and 83.5." in row.finding


def test_a_third_column_that_follows_is_recognised():
    published = paper.published()
    seventh = published.table == 7
    advantage = ((published.teacher / published.undistilled - 1) * 100).round(2)
    published["unlabelled_third"] = advantage.where(seventh)
    names = execute(published)
    third = names["data"].files["audit.csv"].query("check == 'third column'")
    assert set(third.verdict) <= {EITHER, ROUNDED}
    assert third.finding.str.contains("the teacher's relative advantage").all()
    assert "without header" not in names["answer"].data


def test_a_last_column_that_is_not_constant_is_not_objected_to():
    findings = audit(7, "vgg", "agg", unlabelled_fourth=1)
    assert findings[findings.check == "constant column"].empty
    assert findings[findings.finding.str.contains("consistently")].iloc[0].recomputed == 28


@pytest.mark.parametrize(
    "row,numbers,says",
    [
        ((4, "vgg", "agg"), {"teacher": 80.5}, "9.09"),
        ((4, "resnet", "nonseq"), {"distilled": 84.0}, "gains most"),
        ((5, "vgg", "nonseq"), {"distilled": 2.0}, "falls most"),
        ((7, "vgg", "em"), {"teacher": 70.0}, "teacher is worse"),
    ],
)
def test_a_statement_is_contradicted_by_other_numbers(findings, row, numbers, says):
    def verdict(findings: pd.DataFrame) -> str:
        text = findings[(findings.check == "text against table") & (findings.table == row[0])]
        return text[text.finding.str.contains(says)].verdict.iloc[0]

    assert verdict(findings) != CONTRADICTS and verdict(audit(*row, **numbers)) == CONTRADICTS


def test_the_answer_counts(notebook):
    sentences = notebook["answer"].data.split(". ")
    assert sentences[0].startswith(
        "26 of 27 relative changes agree when digits are cut; 11 of them"
    )
    assert sentences[1].startswith("9 of 9 numbers of the column without header")
    assert sentences[2].startswith("8 of 9 statements") and len(sentences) == 3


def test_the_table_shows_what_is_objected_to_worst_first(notebook):
    table = notebook["data"].tables["audit"]
    shown = table.text()
    order = [CONTRADICTS, DOUBTFUL, NOT_DERIVABLE]
    assert shown.verdict.tolist() == sorted(shown.verdict, key=order.index)
    first = ["Table 6", "SEResNet+BiLSTM+AGG", "relative change", "3.45", "3.99", CONTRADICTS]
    assert shown.iloc[0].drop("finding").tolist() == first
    assert (shown.table == "Table 4").sum() == 4
    assert "−25.65" in table.to_tex().replace("$-$", "−")


def test_the_committed_table_is_the_one_of_the_notebook(notebook):
    committed = (paths.ROOT / "reports" / "demo" / "tables" / "audit.csv").read_text()
    shown = notebook["data"].tables["audit"].frame[committed.partition("\n")[0].split(",")]
    assert shown.round(4).to_csv(index=False) == committed
