"""Tables and figures of the report: numbers as papers print them, files, links, and hostile text."""

from __future__ import annotations

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from kdsuite import paths
from kdsuite.analysis.figures.style import Picture
from kdsuite.analysis.report import ENVIRONMENT, Figure, Table, number, place, reasons, spoken
from kdsuite.analysis.suite import Suite

EVIL = 'a"b<script>alert(1)</script>_%&'
FRAME = pd.DataFrame(
    {
        "backbone": ["vgg", "vgg", "resnet"],
        "setting": ["nonseq", "em", "agg"],
        "gain": [0.0261, -1.26, None],
        "gain_sd": [0.5, None, None],
        "low": [-1.0, None, 2.0],
        "high": [1.0, None, 3.0],
        "p": [0.0004, 0.03125, None],
    }
)
COLUMNS = {
    "backbone": "backbone",
    "setting": "setting",
    "gain": ("gain", "+.1f", "ours"),
    "low:high": ("95 %", "+.1f", "ours"),
    "p": ("p", "p", "ours"),
}


def table(**more) -> Table:
    facts = {"name": "t", "title": "T", "caption": "C", "frame": FRAME, "columns": COLUMNS}
    return Table(**{**facts, **more})


def page(of) -> BeautifulSoup:
    return BeautifulSoup(of._repr_html_(), "html.parser")


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (2452, ".0f", "2,452"),
        (-3.456, "+.2f", "−3.46"),
        (-0.001, "+.1f", "+0.0"),
        (float("nan"), ".1f", "—"),
        (0.0004, "p", "< 0.001"),
        (0.03125, "p", "0.031"),
    ],
)
def test_numbers(value, form, text):
    assert number(value, form) == text


def test_cells_read_as_papers_print_them():
    rows = table().text().to_numpy().tolist()
    assert rows[0] == ["VGG", "non-sequential", "+0.0 ± 0.5", "−1.0 to +1.0", "< 0.001"]
    assert rows[1] == ["VGG", "sequential, EM", "−1.3", "—", "0.031"]
    assert rows[2] == ["ResNet", "sequential, AGG", "—", "+2.0 to +3.0", "—"]


def test_equal_heads_become_one_cell_and_every_head_has_a_scope():
    tree = page(table(heads=2))
    heads = tree.tbody.find_all("th")
    assert [(head.text, head["scope"], head.get("rowspan")) for head in heads] == [
        ("VGG", "rowgroup", "2"),
        ("non-sequential", "row", None),
        ("sequential, EM", "row", None),
        ("ResNet", "rowgroup", None),
        ("sequential, AGG", "row", None),
    ]
    (group,) = tree.thead.find_all("th", scope="colgroup")
    assert (group.text, group["colspan"]) == ("ours", "3")
    assert all(head.get("scope") for head in tree.find_all("th"))
    assert [cell["class"] for cell in tree.tbody.tr.find_all("td")] == [["number"]] * 3


def test_links_marks_notes_and_files_are_shown():
    links = {"gain": ["pages/a.html", "", "pages/c.html"]}
    tree = page(
        table(
            heads=2, links=links, marks={"gain": ["‡", "", "†"]}, notes=["A note."], missing=["a/b"]
        )
    )
    cells = [row.find_all("td")[0] for row in tree.tbody.find_all("tr")]
    assert [cell.a and cell.a["href"] for cell in cells] == ["pages/a.html", None, "pages/c.html"]
    assert [cell.text for cell in cells] == ["+0.0 ± 0.5‡", "−1.3", "—†"]
    remarks = tree.find(class_="remarks").text
    assert remarks.startswith("A note.") and "‡ below" in remarks and "† mean over" in remarks
    assert "1 of the runs behind this table is missing" in tree.find(class_="missing").text
    assert [a["href"] for a in tree.find(class_="downloads").find_all("a")] == [
        "tables/t.csv",
        "tables/t.tex",
    ]


def test_a_table_without_numbers_says_why_and_keeps_what_is_printed():
    tree = page(table(absent="no run is done."))
    assert "Its runs are missing: no run is done." in tree.text
    assert tree.find("details").summary.text == "What the paper prints"
    bare = page(table(absent="none.", frame=FRAME[:0], columns={"backbone": "backbone"}))
    assert not bare.find("table") and "Its runs are missing: none." in bare.text


def test_hostile_text_stays_text():
    frame = pd.DataFrame({"who": [EVIL], "x": [1.0]})
    columns = {"who": EVIL, "x": ("x", ".1f", EVIL)}
    of = Table(
        name="t", title=EVIL, caption=EVIL, frame=frame, columns=columns, notes=[EVIL], facts=[EVIL]
    )
    tree = page(of)
    assert not tree.find("script") and tree.text.count("<script>alert(1)") == 7
    tree = page(Figure("f", EVIL, EVIL, missing=EVIL))
    assert not tree.find("script") and tree.text.count("<script>alert(1)") == 3
    template = ENVIRONMENT.get_template("headline.html")
    shown = template.render(numbers={EVIL: (EVIL, EVIL, "")}, about=EVIL)
    assert "<script" not in shown and shown.count("&lt;script") == 4


def test_tex_is_escaped_and_csv_has_plain_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    suite = Suite("demo")
    frame = pd.DataFrame({"name": [r"a_b%&$#{}~^\<b>"], "value": [-1.26], "value_sd": [0.5]})
    columns = {"name": "100 %", "value": ("x_1 & y", "+.1f")}
    facts = {"caption": "50 % of α_1", "notes": ["R&D"], "missing": ["a_b"]}
    suite.table("t", frame, title="T", columns=columns, **facts)
    text = (suite.folder / "tables" / "t.tex").read_text()
    name = r"a\_b\%\&\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}b\textgreater{}"
    assert rf"{name} & $-$1.3 $\pm$ 0.5 \\" in text
    assert r"100 \% & x\_1 \& y \\" in text and r"\caption{50 \% of $\alpha$\_1}" in text
    assert r"R\&D" in text and r"Missing: a\_b" in text and text.isascii()
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    rows = pd.read_csv(suite.folder / "tables" / "t.csv").to_dict("records")
    assert rows == [{"name": r"a_b%&$#{}~^\<b>", "value": -1.26, "value_sd": 0.5}]


def test_an_empty_table_and_a_grouped_one_are_written():
    for of in (table(frame=FRAME[:0], absent="no run."), table()):
        assert of.to_tex().isascii() and of._repr_html_()
        assert r"\multicolumn{2}{c}{} & \multicolumn{3}{c}{ours} \\" in of.to_tex()
        assert r"\begin{tabular}{llrrr}" in of.to_tex()


def test_a_figure_shows_its_picture_and_leads_to_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    picture = Picture()
    picture.data = pd.DataFrame({"x": [1]})
    suite = Suite("demo")
    tree = page(suite.figure("figure5 α", picture, "F", "C", "what it shows"))
    assert (
        tree.img["src"].startswith("data:image/svg+xml;base64,")
        and tree.img["alt"] == "what it shows"
    )
    links = [a["href"] for a in tree.find(class_="downloads").find_all("a")]
    assert [link.rpartition(".")[2] for link in links] == ["svg", "png", "csv"]
    assert (suite.folder / "figures" / "figure5 α.csv").exists()
    assert "missing: no run." in page(suite.figure("f", "no run.", "F", "C")).text


def test_gains_are_spoken_with_their_intervals():
    rows = pd.DataFrame(
        {"label": ["a", "b"], "gain": [0.1, -0.02], "low": [0.05, None], "high": [0.15, None]}
    )
    said = "Gains with intervals. a: +10.0 points, +5.0 to +15.0; b: −2.0 points, no interval."
    assert spoken(rows) == said


def test_the_columns_of_a_student_name_overrides_where_there_are_any():
    rows = pd.DataFrame({"variant": ["", "media.hop=0.02"]})
    assert "variant" in place(rows) and "variant" not in place(rows[:1])
    assert "variant" not in place(rows, "variant")


def test_what_keeps_intervals_and_p_values_away_is_said():
    rows = {
        "dataset": "d",
        "metric": "eer",
        "trainings": 3,
        "low": None,
        "speakers": 4,
        "conventions": 0.04,
    }
    notes = " ".join(reasons(pd.DataFrame([rows, {**rows, "low": 0.1}])))
    assert "fewer than 6 trainings" in notes and "fewer than three folds" in notes
    assert "fewer than six test speakers (d)" in notes and "differ by up to 4.0 points" in notes
    assert reasons(pd.DataFrame([rows])[:0]) == []
