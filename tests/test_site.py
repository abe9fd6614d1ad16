"""The site of a suite: it stands alone, leads from numbers to notebooks, and says what is missing."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdlib.errors import UserError
from kdsuite import places
from kdsuite.analysis import paper, site, tables
from kdsuite.analysis.site import contents, listing
from kdsuite.runs.grid import Run
from kdsuite.settings import load

HOSTILE = 'a"b<script>alert(1)</script>_%&'
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MISSING = "demo-ravdess/student/seresnet-agg-embedding-a0.50-s0"


def every_run() -> list[Run]:
    """Return the runs behind Table 6."""
    base = load(dataset="demo-ravdess")
    runs = [Run("data", base, {})]
    for backbone in ("vgg", "resnet", "seresnet"):
        for setting in ("nonseq", "em", "agg"):
            stages = [("student", 0.5)] + (
                [("teacher", 0.5), ("student", 0.0)] if setting != "agg" else []
            )
            runs += [
                Run(
                    stage,
                    base.model_copy(
                        update={"backbone": backbone, "setting": setting, "alpha": alpha}
                    ),
                    {},
                )
                for stage, alpha in stages
            ]
    return runs


def execute(run: Run, *cells) -> None:
    """Leave a notebook and a result as a finished run does."""
    run.folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Title\n\n## Part"), *cells]),
        run.folder / "notebook.ipynb",
    )
    folds = [
        {"fold": fold, "uar": 0.5 + run.settings.alpha / 10, "accuracy": 0.5, "recordings": 52}
        for fold in range(3)
    ]
    facts = {"folds": folds} if run.stage != "data" else {}
    provenance = {
        "commit": "0123456789abcdef",
        "uncommitted_changes": False,
        "device": HOSTILE,
        "finished": "2026-01-01T00:00:00+0000",
    }
    (run.folder / "predictions.csv").write_text(
        "recording,speaker,fold,label,predicted\n"
        + "".join(
            f"{fold}-{number},{number % 4},{fold},a,{'ab'[number % 2]}\n"
            for fold in range(3)
            for number in range(52)
        )
    )
    (run.folder / "result.json").write_text(
        json.dumps({**facts, "seconds": {"wall": 75.0}, "provenance": provenance})
    )


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Yield the folder of a site whose runs are done but for one, and the runs."""
    home = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "REPORTS", home)
        runs = every_run()
        for run in runs:
            if f"{run.settings.dataset}/{run.stage}/{run.folder.name}" != MISSING:
                execute(run, *hostile_cells())
        write(runs, home / "demo")
        yield home / "demo", runs


def hostile_cells() -> list:
    """Return cells with streams, an error in colour, a picture and a cell to leave out."""
    streams = [
        new_output("stream", name="stdout", text=f"{part} {HOSTILE}\n")
        for part in ("epoch 1/2", "epoch 2/2")
    ]
    failure = new_output(
        "error",
        ename="ValueError",
        evalue=HOSTILE,
        traceback=[f"\x1b[31mValueError\x1b[39m: {HOSTILE}"],
    )
    drawn = new_output(
        "display_data",
        data={"image/png": base64.b64encode(PICTURE).decode(), "text/plain": "<Figure>"},
    )
    script = new_output(
        "display_data", data={"application/javascript": "alert(2)", "text/plain": "a script"}
    )
    return [
        new_code_cell("removed = 1", metadata={"tags": ["remove-cell"]}),
        new_code_cell(
            f"print('{HOSTILE}')", outputs=[*streams, drawn, script, failure], execution_count=1
        ),
    ]


def write(runs: list[Run], folder: Path) -> Path:
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "figures" / "figure1.png").write_bytes(PICTURE)
    (folder / "figures" / "figure5 α.csv").write_text("a\n")
    (folder / "figures" / "figure5 α.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "audit.csv").write_text("a\n")
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Analysis")]), folder / "04_analysis.ipynb"
    )
    figures = [
        site.Figure(
            "figure1",
            "Figure 1",
            f"Caption {HOSTILE}",
            alt=HOSTILE,
            files=[folder / "figures" / "figure1.png"],
        ),
        site.Figure(
            "figure4", "Figure 4", "Accuracy.", missing="no dataset has the layout voxceleb1."
        ),
        site.Figure(
            "figure5",
            "Figure 5",
            "UAR.",
            files=[Path("figures/figure5 α.csv"), Path("figures/figure5 α.svg")],
        ),
    ]
    found = tables.collect(runs)
    hostile = tables.Table(
        "table1",
        "Table 1",
        HOSTILE,
        [tables.Column("a", HOSTILE, header="row")],
        pd.DataFrame({"a": [HOSTILE]}),
    )
    made = [hostile, *tables.comparisons(runs, found)]
    analysis = {"analysis": folder / "04_analysis.ipynb", "exploration": folder / "nowhere.ipynb"}
    return site.build(
        "demo",
        runs,
        made,
        figures,
        results=found,
        analysis=analysis,
        documents={"audit.csv": HOSTILE},
        folder=folder,
    )


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def pages(folder: Path) -> list[Path]:
    return [
        folder / "index.html",
        *sorted(set(folder.glob("*.html")) - {folder / "index.html"}),
        *sorted((folder / "pages").glob("*.html")),
        *documentation(folder),
    ]


def documentation(folder: Path) -> list[Path]:
    return sorted((folder / "docs").glob("*.html"))


def test_every_link_leads_somewhere(suite):
    folder, runs = suite
    own = [page.stem for page in pages(folder) if page.parent == folder]
    assert own == [
        "index",
        *sorted([*(question.name for question in contents.PLAN), "runs", "tutorial"]),
    ]
    notebooks = len(list((places.ROOT / "notebooks").glob("*.ipynb")))
    assert len(pages(folder)) == len(own) + len(runs) - 1 + 1 + notebooks + len(
        documentation(folder)
    )
    trees = {page.resolve(): soup(page) for page in pages(folder)}
    for page, tree in trees.items():
        for tag in tree.find_all(lambda tag: tag.get("href") or tag.get("src")):
            target, fragment = urldefrag(tag.get("href") or tag["src"])
            if urlparse(target).scheme in ("data", "https"):
                continue
            goal = (page.parent / unquote(target)).resolve() if target else page
            assert goal.is_file(), f"{page.name} leads to {target}"
            assert goal.is_relative_to(folder), (
                f"{page.name} leads out of the suite's folder to {target}"
            )
            if fragment:
                assert trees[goal].find(id=fragment), f"{page.name} leads to {target}#{fragment}"


def test_no_page_asks_for_anything_from_the_net(suite):
    folder, _ = suite
    assert not re.search(r"url\(|@import|http", (folder / "style.css").read_text())
    for page in pages(folder):
        tree = soup(page)
        assert {script["src"] for script in tree.find_all("script")} <= {
            "sort.js"
        } and not tree.find(["iframe", "object", "embed"])
        assert (
            "default-src 'none'"
            in tree.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
        )
        assert all(urlparse(tag["src"]).scheme in ("", "data") for tag in tree.find_all(src=True))
        outward = [
            tag
            for tag in tree.find_all(href=True)
            if urlparse(tag["href"]).scheme not in ("", "data")
        ]
        if page in documentation(folder):  # leads to the corpora's owners, too
            assert {tag.name for tag in outward} <= {"a"}
        else:
            assert {(tag.name, tag["href"]) for tag in outward} <= {
                ("a", f"https://doi.org/{paper.DOI}")
            }


def test_the_documentation_is_part_of_the_report(suite):
    folder, _ = suite
    sources = [places.ROOT / "README.md", *(places.ROOT / "docs").glob("*.md")]
    names = {"index.html", *(f"{path.stem}.html" for path in sources[1:])}
    assert {page.name for page in documentation(folder)} == names
    for page in ("index.html", "claims.html"):
        assert soup(folder / page).find("a", href="docs/index.html")
    tree = soup(folder / "docs" / "index.html")
    assert {tag["href"] for tag in tree.main.find_all("a")} >= names - {"index.html"}
    assert tree.h1.text == sources[0].read_text().split("\n")[0].removeprefix("# ")
    assert tree.main.img["src"].startswith("data:image/svg+xml;base64,") and tree.main.img["alt"]
    assert (
        "papermill notebooks/03_student.ipynb" in tree.find("pre").find_next("pre").text
        and len(tree.find_all("table")) >= 3
    )
    assert not re.search(
        r'(href|src)="[^":]*\.(md|py|svg)"',
        "".join(page.read_text() for page in documentation(folder)),
    )


def test_hostile_text_stays_text(suite):
    folder, runs = suite
    tree = soup(folder / "method.html")
    assert (
        HOSTILE in tree.find(id="table1").find("th", scope="row").text
        and HOSTILE in tree.find("figcaption").text
    )
    assert tree.find("img")["alt"] == HOSTILE and HOSTILE in tree.find("footer").text
    assert HOSTILE in soup(folder / "index.html").find("ul", class_="files").text
    page = soup(next((folder / "pages").glob("demo-*student*.html")))
    assert f"epoch 1/2 {HOSTILE}\nepoch 2/2 {HOSTILE}" in page.find("pre", class_="stream").text
    assert HOSTILE in page.find(class_="failure").text and HOSTILE in page.find("details").text


def test_numbers_lead_to_the_notebooks_behind_them(suite):
    folder, _ = suite
    first = soup(folder / "results.html").find(id="table6").tbody.find("tr")
    links = [cell.a["href"] if cell.a else "" for cell in first.find_all("td")]
    page = "pages/demo-ravdess-{}.html".format
    teacher, undistilled, distilled = (
        "teacher-vgg-nonseq-s0",
        "student-vgg-nonseq-embedding-a0.00-s0",
        "student-vgg-nonseq-embedding-a0.50-s0",
    )
    assert links == [
        "",
        "",
        "",
        "",
        page(teacher),
        page(undistilled),
        page(distilled),
        "",
        page(distilled),
        "",
    ]
    numbers = [cell.text for cell in first.find_all("td")][4:]
    assert numbers[:3] == ["55.0 ± 0.0", "50.0 ± 0.0", "55.0 ± 0.0"] and numbers[4:] == [
        "+10.00",
        "+2.7",
    ]


def test_what_is_missing_is_said(suite):
    folder, _ = suite
    results, alpha, method, runs, index = (
        soup(folder / f"{name}.html") for name in ("results", "alpha", "method", "runs", "index")
    )
    assert MISSING in results.find(id="table6").text and "—" in [
        cell.text for cell in results.find(id="table6").find_all("td")
    ]
    assert (
        "Its runs are missing: no dataset of this suite has the layout voxceleb1."
        in results.find(id="table4").text
    )
    assert (
        "Its runs are missing: no dataset has the layout voxceleb1."
        in alpha.find(id="figure4").text
    )
    assert all(results.find(id=f"table{n}") for n in range(4, 8)) and all(
        alpha.find(id=f"figure{n}") for n in range(4, 7)
    )
    assert all(method.find(id=f"{kind}{n}") for kind in ("table", "figure") for n in range(1, 4))
    assert (
        "not made" in alpha.find(id="figure6").text
        and "Exploration notebook: not executed yet" in index.text
    )
    listed = runs.find(id=f"run-{MISSING.replace('/', '-')}")
    assert listed.find(class_="state").text == "missing" and not listed.find("a")
    assert "1 of 22 runs have no result" in index.header.text


def test_the_first_screen_warns_and_sums_up(suite):
    folder, _ = suite
    header = soup(folder / "index.html").header
    assert [warning.strong.text for warning in header.find_all(class_="warning")] == [
        "Synthetic recordings.",
        "Partial.",
    ]
    numbers = {
        row.dt.text: (
            row.dd.text,
            row.find(class_="paper").text if row.find(class_="paper") else "",
        )
        for row in header.dl.find_all("div")
    }
    assert numbers["networks gain by distillation"] == ("8 of 8", "paper: 9 of 9")
    assert numbers["mean relative change"][0] == "+10.0 %"
    assert numbers["runs are done"] == ("21 of 22", "")
    # √(0.524 · 0.476 / 156), nine undistilled at 50 % and eight distilled at 55 %
    assert "about 4.0 points" in header.text


def test_headings_tables_and_pictures_can_be_heard(suite):
    folder, _ = suite
    for page in pages(folder):
        tree = soup(page)
        levels = [int(tag.name[1]) for tag in tree.find_all(re.compile("^h[1-6]$"))]
        assert (
            levels[0] == 1
            and levels.count(1) == 1
            and all(after <= before + 1 for before, after in zip(levels, levels[1:]))
        )
        assert (
            tree.html["lang"] == "en"
            and tree.title.text
            and all(image.get("alt") for image in tree.find_all("img"))
        )
    for table in [
        table for page in folder.glob("*.html") for table in soup(page).find_all("table")
    ]:
        assert table.caption and all(tag.get("scope") for tag in table.find_all("th"))
        width = {
            sum(int(cell.get("colspan", 1)) for cell in row.find_all(["th", "td"]))
            for row in table.tbody.find_all("tr")
            if not table.find(rowspan=True)
        }
        assert len(width) <= 1


def test_a_notebook_shows_outputs_and_folds_its_code(suite):
    folder, _ = suite
    page = soup(next((folder / "pages").glob("demo-*student*.html")))
    assert "removed = 1" not in page.text and "print(" in page.find("details", class_="source").text
    assert page.find(class_="ansi-red-fg") and page.find(class_="picture").img["src"].startswith(
        "data:image/png"
    )
    assert page.find(class_="picture").find_parent("details") is None
    assert (
        page.find("a", href=re.compile(r"^\.\./runs\.html#run-"))
        and "✓" not in page.find(class_="state").text
    )


def test_only_notebooks_newer_than_their_page_are_converted(suite):
    folder, runs = suite
    done = [run for run in runs if (run.folder / "notebook.ipynb").exists()]
    for page in pages(folder):
        os.utime(page, (4e9, 4e9))
    execute(done[1], new_markdown_cell("the second time"))
    os.utime(done[1].folder / "notebook.ipynb", (5e9, 5e9))
    (folder / "pages" / "of-a-run-long-gone.html").write_text("")
    write(runs, folder)
    times = {
        page.name: page.stat().st_mtime for page in pages(folder) if page.parent == folder / "pages"
    }
    anew = f"demo-ravdess-{done[1].stage}-{done[1].folder.name}.html"
    assert [name for name, at in times.items() if at < 4e9] == [
        anew
    ] and "of-a-run-long-gone.html" not in times
    assert "the second time" in (folder / "pages" / anew).read_text()


def test_a_figure_outside_of_the_suite_is_refused(tmp_path, monkeypatch):
    (tmp_path / "figure1.svg").write_text("<svg/>")
    with pytest.raises(UserError, match="Figure 1 names .*figure1.svg, which is no file in"):
        site.build(
            "demo",
            [],
            [],
            [site.Figure("figure1", "Figure 1", "", files=[tmp_path / "figure1.svg"])],
            folder=tmp_path / "demo",
        )


def test_a_suite_without_runs_has_a_page(tmp_path):
    index = site.build(
        "empty", [], tables.comparisons([], tables.collect([])), folder=tmp_path / "empty"
    )
    tree = soup(index)
    assert (
        "This suite has no runs." in soup(index.with_name("runs.html")).text
        and "0 of 0" in tree.header.text
    )
    assert (
        soup(index.with_name("results.html")).find(id="table6").find(class_="absent")
        and "Nothing was run for this." in tree.main.text
    )


def test_failed_runs_show_their_log(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "REPORTS", tmp_path)
    run = every_run()[1]
    execute(run, *hostile_cells())
    (run.folder / "result.json").unlink()
    index = site.build("demo", [run], [], folder=tmp_path / "demo")
    listed = soup(index.with_name("runs.html")).find(class_="runs").tbody.tr
    assert (
        listed.find(class_="state").text == "failed"
        and (tmp_path / "demo" / listed.a["href"]).is_file()
    )


def test_runs_are_called_by_what_sets_them_apart():
    base = load(dataset="demo-ravdess", backbone="vgg", setting="agg")
    names = [
        listing.title(Run("student", base.model_copy(update=changed), {}))
        for changed in ({}, {"alpha": 0.0}, {"folds": "0-1", "seed": 2})
    ]
    assert names[0].replace("\u00a0", " ") == "VGG student, sequential, AGG, embedding, α = 0.5"
    assert names[1] == "VGG student, sequential, undistilled"
    assert names[2].endswith("folds 0-1, seed 2")
    assert (
        listing.title(Run("teacher", base, {})) == "VGG teacher, sequential"
        and listing.title(Run("data", base, {})) == "Data: demo-ravdess"
    )


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
    assert listing.duration(seconds) == text


def test_a_notebook_that_was_broken_off_does_not_keep_the_site_from_being_written(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "REPORTS", tmp_path)
    run = every_run()[1]
    run.folder.mkdir(parents=True)
    (run.folder / "notebook.ipynb").write_text("")
    index = site.build("demo", [run], [], folder=tmp_path / "demo")
    (page,) = (index.parent / "pages").glob("demo-*.html")
    assert "broken off while it was written" in page.read_text()
