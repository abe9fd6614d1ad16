"""The report of a suite: it stands alone, leads from numbers to notebooks, and says what is
missing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat
import pandas as pd
import papermill
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell

from kdsuite import paths
from kdsuite.analysis import pages, paper
from kdsuite.analysis.report import ENVIRONMENT, duration
from kdsuite.analysis.suite import Suite, not_comparable, title
from kdsuite.runs.grid import Run
from kdsuite.settings import load
from tests.analysis.asking import execute_here
from tests.analysis.conftest import HOSTILE, MISSING, execute, hostile_cells


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def all_pages(folder: Path) -> list[Path]:
    return [
        page for place in (".", "pages", "docs") for page in sorted((folder / place).glob("*.html"))
    ]


def test_every_link_leads_somewhere(report):
    own = {page.stem for page in report.folder.glob("*.html")}
    questions = {file.stem for file in (paths.ROOT / "notebooks" / "questions").glob("*.ipynb")}
    shown = questions - {"map", "forecast"}  # of which this suite has no runs
    assert own == {"index", "runs", "tutorial", *shown} and set(pages.QUESTIONS) <= questions
    notebooks = len(list((paths.ROOT / "notebooks").rglob("*.ipynb")))
    assert (
        len(list((report.folder / "pages").glob("*.html"))) == len(report.runs) - 1 + 1 + notebooks
    )
    trees = {page.resolve(): soup(page) for page in all_pages(report.folder)}
    for page, tree in trees.items():
        for tag in tree.find_all(lambda tag: tag.get("href") or tag.get("src")):
            target, fragment = urldefrag(tag.get("href") or tag["src"])
            if urlparse(target).scheme in ("data", "https"):
                continue
            goal = (page.parent / unquote(target)).resolve() if target else page
            assert goal.is_file() and goal.is_relative_to(report.folder), f"{page.name}: {target}"
            if fragment:
                assert trees[goal].find(id=fragment), f"{page.name} leads to {target}#{fragment}"


def test_no_page_asks_for_anything_from_the_net(report):
    assert not re.search(r"url\(|@import|http", (report.folder / "style.css").read_text())
    for page in all_pages(report.folder):
        tree = soup(page)
        policy = tree.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
        assert "default-src 'none'" in policy and not tree.find(["iframe", "object", "embed"])
        assert {script["src"] for script in tree.find_all("script")} <= {"sort.js"}
        assert all(urlparse(tag["src"]).scheme in ("", "data") for tag in tree.find_all(src=True))
        outward = {
            (tag.name, tag["href"])
            for tag in tree.find_all(href=True)
            if urlparse(tag["href"]).scheme not in ("", "data")
        }
        if page.parent.name != "docs":  # the documentation leads to the corpora's owners, too
            assert outward <= {("a", f"https://doi.org/{paper.DOI}")}


def test_the_documentation_is_part_of_the_report(report):
    sources = [paths.ROOT / "README.md", *(paths.ROOT / "docs").glob("*.md")]
    names = {"index.html", *(f"{path.stem}.html" for path in sources[1:])}
    found = list((report.folder / "docs").glob("*.html"))
    assert {page.name for page in found} == names
    assert all(
        soup(report.folder / page).find("a", href="docs/index.html")
        for page in ("index.html", "claims.html")
    )
    tree = soup(report.folder / "docs" / "index.html")
    assert {tag["href"] for tag in tree.main.find_all("a")} >= names - {"index.html"}
    assert tree.h1.text == sources[0].read_text().split("\n")[0].removeprefix("# ")
    assert tree.main.img["src"].startswith("data:image/svg+xml;base64,") and tree.main.img["alt"]
    assert not re.search(
        r'(href|src)="[^":]*\.(md|py|svg)"', "".join(page.read_text() for page in found)
    )


def test_hostile_text_of_a_run_stays_text(report):
    page = soup(next((report.folder / "pages").glob("demo-*student*.html")))
    assert f"epoch 1/2 {HOSTILE}\nepoch 2/2 {HOSTILE}" in page.find("pre", class_="stream").text
    assert HOSTILE in page.find(class_="failure").text and HOSTILE in page.find("details").text
    assert HOSTILE in soup(report.folder / "method.html").find("footer").text


def test_numbers_lead_to_the_notebooks_behind_them(report):
    first = soup(report.folder / "results.html").find(id="table6").tbody.find("tr")
    cells = first.find_all("td")
    assert [cell.text for cell in cells][4:] == [
        "55.0 ± 0.0",
        "50.0 ± 0.0",
        "55.0 ± 0.0",
        "−41.9 to 141.9",
        "+10.00",
        "+2.7",
    ]
    page = "pages/demo-ravdess-{}.html".format
    distilled = page("student-vgg-nonseq-embedding-a0.50-s0")
    links = [cell.a["href"] if cell.a else "" for cell in cells][4:]
    undistilled = page("student-vgg-nonseq-embedding-a0.00-s0")
    assert links == [page("teacher-vgg-nonseq-s0"), undistilled, distilled, "", distilled, ""]


def test_every_number_of_ours_leads_to_a_run(report):
    table = soup(report.folder / "gains.html").find(id="gains").table
    heads = [head.text for head in table.thead.find_all("th")]
    for name in ("undistilled", "distilled", "gain"):
        cells = [
            row.find_all(["th", "td"])[heads.index(name) - len(heads)]
            for row in table.tbody.find_all("tr")
        ]
        assert cells and all((report.folder / cell.a["href"]).is_file() for cell in cells)


def test_what_is_missing_is_said(report):
    results, alpha, method, runs, index = (
        soup(report.folder / f"{name}.html")
        for name in ("results", "alpha", "method", "runs", "index")
    )
    table = results.find(id="table6")
    assert MISSING in table.text and "—" in [cell.text for cell in table.find_all("td")]
    assert "Its runs are missing: no dataset" in results.find(id="table4").text
    assert "What the paper prints" in results.find(id="table4").summary.text
    assert "Its runs are missing" in alpha.find(id="figure4").text
    assert all(results.find(id=f"table{n}") for n in range(4, 8))
    assert all(alpha.find(id=f"figure{n}") for n in range(4, 7))
    assert all(method.find(id=f"{kind}{n}") for kind in ("table", "figure") for n in range(1, 4))
    listed = runs.find(id=f"run-demo-ravdess-student-{MISSING}")
    assert listed.find(class_="state").text == "missing" and not listed.find("a")
    assert "1 of 22 runs have no result" in index.header.text


def test_the_first_screen_warns_and_sums_up(report):
    header = soup(report.folder / "index.html").header
    names = [warning.strong.text for warning in header.find_all(class_="warning")]
    assert names == ["Synthetic recordings.", "Partial."]
    numbers = {row.dt.text: row.dd.text for row in header.dl.find_all("div")}
    assert numbers["networks gain by distillation"] == "8 of 8"
    assert numbers["mean relative change"] == "+10.0 %" and numbers["runs are done"] == "21 of 22"
    assert "paper: 9 of 9" in header.dl.text


def test_datasets_of_other_sizes_are_named_in_one_warning():
    template = '{% import "parts.html" as parts with context %}{{ parts.warnings() }}'
    facts = {"not_comparable": not_comparable, "runs": pd.DataFrame({"state": ["done"]})}
    facts["settings"] = [
        load(dataset=name, model={"width": 0.5}) for name in ("ravdess", "demo-ravdess", "iemocap")
    ]
    shown = BeautifulSoup(ENVIRONMENT.from_string(template).render(facts), "html.parser")
    synthetic, other = (warning.text for warning in shown.find_all(class_="warning"))
    assert "voices of demo-ravdess are generated. Their" in synthetic
    why = "networks and training have other sizes than the paper’s"
    assert other == f"Not the paper’s protocol. ravdess: {why}; iemocap: {why}."


def test_a_report_with_gaps_is_older_than_every_result_so_that_it_is_made_again(report):
    assert (report.folder / "index.html").stat().st_mtime == 1


def test_answers_stand_at_the_head_of_their_pages_and_on_the_index(report):
    answer = "8 of 8 distilled students are better than the undistilled one, in print 9 of 9"
    assert answer in soup(report.folder / "results.html").header.text
    index = soup(report.folder / "index.html")
    assert (
        answer in index.main.text and answer not in soup(report.folder / "results.html").main.text
    )


def test_headings_tables_and_pictures_can_be_heard(report):
    for page in all_pages(report.folder):
        tree = soup(page)
        levels = [int(tag.name[1]) for tag in tree.find_all(re.compile("^h[1-6]$"))]
        assert levels[0] == 1 and levels.count(1) == 1, page
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:])), page
        assert tree.html["lang"] == "en" and tree.title.text
        assert all(image.get("alt") for image in tree.find_all("img"))
    for table in [
        it for page in report.folder.glob("*.html") for it in soup(page).select(".scroll > table")
    ]:
        assert table.caption and all(tag.get("scope") for tag in table.find_all("th"))


def test_a_notebook_shows_outputs_and_folds_its_code(report):
    page = soup(next((report.folder / "pages").glob("demo-*student*.html")))
    assert "removed = 1" not in page.text and "print(" in page.find("details", class_="source").text
    picture = page.find(class_="picture")
    assert picture.img["src"].startswith("data:image/png") and not picture.find_parent("details")
    assert page.find(class_="ansi-red-fg") and page.find(
        "a", href=re.compile(r"^\.\./runs\.html#run-")
    )


def test_only_notebooks_newer_than_their_page_are_converted(report, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", report.folder.parents[1] / "params")
    done = [run for run in report.runs if (run.folder / "notebook.ipynb").exists()]
    folder = report.folder / "pages"
    for page in folder.glob("*.html"):
        os.utime(page, (4e9, 4e9))
    execute(done[1], *hostile_cells(), new_markdown_cell("the second time"))
    os.utime(done[1].folder / "notebook.ipynb", (5e9, 5e9))
    (folder / "of-a-run-long-gone.html").write_text("")
    pages.build(report)
    anew = [page for page in folder.glob("*.html") if page.stat().st_mtime < 4e9]
    assert [page.name for page in anew] == [f"demo-ravdess-{done[1].stage}-{done[1].key}.html"]
    assert "the second time" in anew[0].read_text()
    # the pages of a corpus' runs say whether they are out of date, which hangs on its data run
    monkeypatch.setattr(paths, "REPORTS", report.folder.parent)
    data = next(run for run in report.runs if run.stage == "data")
    os.utime(data.folder / "result.json", (6e9, 6e9))
    pages.build(report)
    anew = {page.name for page in folder.glob("*.html") if page.stat().st_mtime < 4e9}
    assert {f"demo-ravdess-{run.stage}-{run.key}.html" for run in done} <= anew
    assert not (folder / "of-a-run-long-gone.html").exists()


def test_every_figure_has_its_data_beside_it(report):
    figures = [it for page in report.folder.glob("*.html") for it in soup(page).find_all("figure")]
    assert len(figures) >= 4
    for figure in figures:
        (link,) = [link for link in figure.find_all("a") if link["href"].endswith(".csv")]
        assert len(pd.read_csv(report.folder / unquote(link["href"]))), figure["id"]


def test_every_column_of_every_csv_is_described(report):
    """In docs/columns.md; the report writes each table, also where it has no rows."""
    page = (paths.ROOT / "docs" / "columns.md").read_text()
    described = {
        name for row in re.findall("^\\| (`.*?) \\|", page, re.M) for name in row.split("`")
    }
    files = [*report.folder.rglob("*.csv")]
    assert {"results.csv", "runs.csv", "gains.csv", "table7.csv"} <= {file.name for file in files}
    unknown = {
        (file.name, column)
        for file in files
        for column in pd.read_csv(file, nrows=0).columns
        if column not in described
    }
    assert not unknown, sorted(unknown)


def small_suite(tmp_path, monkeypatch, grid_text="runs: []") -> Suite:
    """Return a suite of this grid, its reports below a temporary folder."""
    (tmp_path / "params" / "grids").mkdir(parents=True)
    for file in paths.PARAMS.glob("*.yaml"):
        (tmp_path / "params" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "params" / "grids" / "few.yaml").write_text(grid_text)
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    return Suite("few")


def test_a_suite_without_runs_has_a_report(tmp_path, monkeypatch):
    index = pages.build(small_suite(tmp_path, monkeypatch))
    assert "This suite has no runs." in soup(index.with_name("runs.html")).text
    assert "0 of 0" in soup(index).text


def test_analysis_of_a_suite_without_runs_shows_the_gaps(own_data, monkeypatch):
    """Nor need its corpus be there: Figures 1 to 3, which draw its table of face measurements, then
    are gaps too."""
    monkeypatch.setattr(papermill, "execute_notebook", execute_here)
    suite = Suite("ravdess-au")
    # a table that a checkout brings is not replaced by an empty one
    kept = suite.folder / "tables" / "gains.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("committed\n")
    assert pages.ask(suite) == []
    index = pages.build(suite)
    assert kept.read_text() == "committed\n"
    assert "have no result" in index.read_text()
    for name, said in (
        ("results.html", "Table 6"),
        ("claims.csv", "not run"),
        ("gains.html", "Nothing was run for this"),
    ):
        assert said in (suite.folder / name).read_text()


BOOK = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": %s}'
UNLIKE = BOOK % '[{"cell_type": "markdown", "metadata": {}, "id": "a"}]'  # a cell without source


BROKEN = ["", "{}", BOOK % "3", BOOK % "[]", UNLIKE, "[" * 100_000]


def test_failed_and_interrupted_runs_have_a_page(tmp_path, monkeypatch):
    alphas = [number / 10 for number in range(len(BROKEN))]
    grid_text = f"runs:\n- {{dataset: demo-ravdess, backbone: vgg, alpha: {alphas}}}\n"
    suite = small_suite(tmp_path, monkeypatch, grid_text)
    (failed,) = (run for run in suite.runs if run.stage == "teacher")
    execute(failed, *hostile_cells())
    (failed.folder / "result.json").unlink()
    interrupted = [run for run in suite.runs if run.stage == "student"]
    for run, content in zip(interrupted, BROKEN, strict=True):
        run.folder.mkdir(parents=True)
        (run.folder / "notebook.ipynb").write_text(content)
    index = pages.build(suite)
    rows = {row["id"]: row for row in soup(index.with_name("runs.html")).select("tbody tr")}
    for run in (failed, *interrupted):
        row = rows[f"run-demo-ravdess-{run.stage}-{run.key}"]
        assert row.find(class_="state").text == "failed"
        said = "the notebook stopped here" if run is failed else "interrupted while it was written"
        assert said in (index.parent / row.a["href"]).read_text(), run


def test_a_question_that_stops_is_named_and_the_others_are_answered(tmp_path, monkeypatch):
    suite = small_suite(tmp_path, monkeypatch)
    folder = tmp_path / "root" / "notebooks" / "questions"
    folder.mkdir(parents=True)
    for name, code in (("bad", "1 / 0"), ("good", "print(suite, alpha)")):
        cells = [new_markdown_cell(f"# {name}?"), nbformat.v4.new_code_cell(code)]
        cells.insert(
            1, nbformat.v4.new_code_cell("suite, alpha = '', 0", metadata={"tags": ["parameters"]})
        )
        kernel = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        if name == "good":  # of a format in which cells have no ids
            notebook.nbformat_minor = 4
            for cell in notebook.cells:
                del cell["id"]
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")  # two kernels side by side, as for users
    assert pages.ask(suite, 0.25) == [
        "questions/bad.ipynb stopped: ZeroDivisionError: division by zero"
    ]
    index = pages.build(suite)
    assert "few 0.25" in soup(index.with_name("good.html")).main.text
    assert "ZeroDivisionError" in soup(index.with_name("bad.html")).main.text


def test_runs_are_called_by_what_sets_them_apart():
    base = load(dataset="demo-ravdess", backbone="vgg", setting="agg")
    names = [
        title(Run("student", base.model_copy(update=changed)))
        for changed in ({}, {"alpha": 0.0}, {"folds": "0-1", "seed": 2})
    ]
    assert names[0].replace("\u00a0", " ") == "VGG student, sequential, AGG, embedding, α = 0.5"
    assert names[1] == "VGG student, sequential, undistilled"
    assert names[2].endswith("folds 0-1, seed 2")
    assert title(Run("teacher", base)) == "VGG teacher, sequential"
    assert title(Run("data", base)) == "Data: demo-ravdess"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (59.97, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (float("nan"), "—"),
    ],
)
def test_times_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text
