"""The report of a suite: a page for each question, every executed notebook, and the documentation.

    suite = Suite("demo")
    ask(suite, alpha=0.5)    # executes notebooks/questions/*.ipynb
    build(suite)             # writes reports/demo/index.html and all other pages

Nothing on the pages asks for anything outside of that folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kdsuite import paths
from kdsuite.analysis.pages import notebooks
from kdsuite.analysis.report import METRICS, NOTHING, environment, number
from kdsuite.analysis.results import RUNS
from kdsuite.analysis.suite import Suite, not_comparable, plain
from kdsuite.runs import grid

HERE = Path(__file__).parent
# the order of the pages and their names in the navigation; further notebooks follow
QUESTIONS = {
    "claims": "Claims",
    "gains": "Gains",
    "results": "Beside the paper",
    "alpha": "α",
    "controls": "Controls",
    "audit": "Audit",
    "ledger": "Ledger",
    "method": "Method",
}
STAGES = {"data": "data", "teacher": "teachers (video)", "student": "students (audio)"}
FILES = {
    "results.csv": "every result, one row a run, fold and metric",
    "runs.csv": "every run and its state",
    "claims.csv": "the paper’s claims: what was run for each, estimate, interval, verdict",
    "audit.csv": "every derived number of the paper’s Tables 4 to 7 recomputed, one row a check",
    "ledger.csv": "everything the paper leaves open, and what this suite does",
}
OPEN_UP_TO = 40  # a longer list of runs is closed at first


class Page(NamedTuple):
    """An executed question notebook: its ``answer``, and what the index shows of it (its ``opening`` and key ``numbers``), as HTML."""

    name: str
    short: str
    title: str
    lead: str
    answer: str
    opening: str
    numbers: str
    cells: str


def ask(suite: Suite, alpha: float = 0.5) -> list[str]:
    """Execute the question notebooks side by side; return a sentence for each that stopped."""
    import papermill

    def _execute(notebook: Path) -> str:
        target = suite.folder / "questions" / notebook.name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            papermill.execute_notebook(
                notebook, target, {"suite": suite.name, "alpha": alpha}, engine_name="kdlib", progress_bar=False
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            return f"questions/{notebook.name} stopped: {error.ename}: {error.evalue}"
        return ""

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [error for error in pool.map(_execute, _sources("questions")) if error]


def build(suite: Suite) -> Path:
    """Write the report of a suite and return its ``index.html``.

    The page of a run's notebook is written again where the notebook is newer.
    """
    _write(suite.folder / "results.csv", suite.results.to_csv(index=False, float_format="%.6g"))
    _write(suite.folder / "runs.csv", suite.states[RUNS].to_csv(index=False, float_format="%.6g"))
    pages = _questions(suite)
    done = f"{(suite.states.state == 'done').sum()} of {len(suite.states)} runs are done"
    common = {
        "suite": suite.name,
        "title": grid.read_suite(suite.name).get("title", ""),
        "pages": pages,
        "warnings": warnings(suite.states),
        "provenance": provenance(suite.states),
        "done": done,
        "files": {
            name: content for name, content in FILES.items() if (suite.folder / name).is_file()
        },
    }

    def render(name: str, **more: Any) -> str:
        return environment().get_template(name).render(**common, **more)

    _run_pages(suite)
    written = _documentation(suite.name)
    written |= {f"{page.name}.html": render("question.html", page=page) for page in pages}
    written["runs.html"] = render("runs.html", groups=groups(suite))
    written["tutorial.html"] = render("tutorial.html", lessons=_lessons(suite))
    if not (suite.folder / "api" / "index.html").exists():
        written["api/index.html"] = render("api.html")
    for name in ("style.css", "sort.js"):
        written[name] = (HERE / name).read_text(encoding="utf-8")
    for name, text in written.items():
        _write(suite.folder / name, text)
    return _write(suite.folder / "index.html", render("index.html"))


def _write(path: Path, text: str) -> Path:
    with paths.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _sources(folder: str = "") -> list[Path]:
    files = sorted((paths.ROOT / "notebooks" / folder).glob("*.ipynb"))
    order = list(QUESTIONS)
    return sorted(files, key=lambda file: order.index(file.stem) if file.stem in order else 99)


def _questions(suite: Suite) -> list[Page]:
    found = []
    for source in _sources("questions"):
        executed = suite.folder / "questions" / source.name
        cells = notebooks.read(executed if executed.exists() else source)
        heading, *rest = cells or notebooks.read(source)
        title, _, lead = heading.source.partition("\n")
        shown = [notebooks.outputs(rest, tag) for tag in ("answer", "opening", "headline")]
        for cell in rest:  # the answer stands at the head of the page
            if "answer" in cell.metadata.get("tags", []):
                cell.outputs = []
        short = QUESTIONS.get(source.stem, source.stem)
        body = notebooks.html(rest, level=0) if cells else notebooks.BROKEN
        found.append(Page(source.stem, short, title.removeprefix("# "), lead.strip(), *shown, body))
    return found


def _notebook_page(suite: str, title: str, cells: str, **more: Any) -> str:
    facts = {"suite": suite, "title": title, "kind": "Notebook", "run": None, "cells": cells} | more
    return environment().get_template("notebook.html").render(**facts)


def _run_pages(suite: Suite) -> None:
    """Write the pages of the notebooks, executed and as they come, and remove those of others."""
    pages = {"pages/analysis.html": (suite.folder / "notebook.ipynb", "Analysis notebook", None)}
    for notebook in [*_sources(), *_sources("questions")]:
        pages[f"pages/{plain(notebook.stem)}.html"] = (notebook, notebook.name, None)
    for run in suite.states[suite.states.page != ""].to_dict("records"):
        pages[run["page"]] = (run["folder"] / "notebook.ipynb", run["title"], run)
    newest = max(file.stat().st_mtime for file in HERE.rglob("*.*"))
    for name, (notebook, title, run) in pages.items():
        page = suite.folder / name
        sources = [notebook, notebook.with_name("result.json")]
        changed = max([newest, *(file.stat().st_mtime for file in sources if file.exists())])
        if notebook.exists() and (not page.exists() or page.stat().st_mtime <= changed):
            cells = notebooks.read(notebook)
            body = notebooks.BROKEN if cells is None else notebooks.html(cells)
            kind = (
                "Executed notebook"
                if run or notebook.parent == suite.folder
                else "Notebook, not executed"
            )
            _write(page, _notebook_page(suite.name, title, body, kind=kind, run=run))
    for stale in (suite.folder / "pages").glob("*.html"):
        if f"pages/{stale.name}" not in pages:
            stale.unlink()


def _documentation(suite: str) -> dict[str, str]:
    """Return the README and ``docs/*.md`` as pages by their file; the README is the index."""
    names = {path: f"{path.stem}.html" for path in sorted((paths.ROOT / "docs").glob("*.md"))}
    names[paths.ROOT / "README.md"] = "index.html"
    # an installation that is no checkout has neither
    absent = (
        "# Documentation\nThe documentation is in the suite's repository, in README.md and docs/."
    )
    found = {}
    for source, name in names.items():
        whole = source.read_text(encoding="utf-8") if source.exists() else absent
        title, _, text = whole.partition("\n")
        body = notebooks.markdown(text, source.parent, names)
        page = _notebook_page(suite, title.removeprefix("# "), body, kind="Documentation")
        found[f"docs/{name}"] = page
    return found


def _lessons(suite: Suite) -> list[dict[str, Any]]:
    """Return the introduction and page of each notebook, and its run nearest to α = 0.5."""
    stages, found = {name: stage for stage, name in grid.STAGES.items()}, []
    shown = suite.states[(suite.states.page != "") & (suite.states.state == "done")]
    for notebook in _sources():
        lesson = {
            "name": notebook.stem,
            "text": notebooks.html((notebooks.read(notebook) or [])[:1]),
            "page": f"pages/{plain(notebook.stem)}.html",
            "example": None,
        }
        runs = shown[shown.stage == stages.get(notebook.stem)]
        if len(runs):
            nearest = runs.loc[runs.run.map(lambda run: abs(run.settings.alpha - 0.5)).idxmin()]
            lesson["example"] = nearest.title, nearest.page
        found.append(lesson)
    return found


def groups(suite: Suite) -> list[dict[str, Any]]:
    """Return the listed runs by dataset and stage, with their means over folds in percent."""
    place = ["dataset", "stage", "key"]
    by_run = (
        suite.results.groupby([*place, "metric"]).value.mean().unstack().reindex(columns=METRICS)
    )
    tested = suite.results.drop_duplicates([*place, "fold"]).groupby(place)
    counts = tested.agg(folds=("fold", "nunique"), recordings=("recordings", "sum"))
    rows = suite.states.join(100 * by_run, on=place).join(counts, on=place)
    found = []
    for (dataset, stage), part in rows.groupby(["dataset", "stage"], sort=False):
        metrics = [name for name in METRICS if part[name].notna().any()]
        forms = {**dict.fromkeys(metrics, ".1f"), "folds": ".0f", "recordings": ".0f"}
        shown = part[part.shown].assign(
            time=part.seconds.map(duration), seconds=part.seconds.astype(object).fillna("")
        )
        for name, form in forms.items():
            shown[name] = [number(value, form) for value in shown[name]]
        found.append(
            {
                "title": f"{dataset} · {STAGES[stage]}",
                "order": (dataset, list(STAGES).index(stage)),
                "runs": shown.to_dict("records"),
                "all": len(part),
                "done": (part.state == "done").sum(),
                "columns": list(forms) if metrics else [],
                "open": len(shown) <= OPEN_UP_TO,
            }
        )
    return sorted(found, key=lambda group: group["order"])


def duration(seconds: float) -> str:
    """Return a time as people say it: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if pd.isna(seconds):
        return NOTHING
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def warnings(states: pd.DataFrame) -> dict[str, str]:
    """Return by their headings what a reader must know before believing a number."""
    used = states[states.stage != "data"].drop_duplicates("dataset").set_index("dataset").run
    drawn = [name for name, run in used.items() if run.settings.corpus.synthetic]
    found = {}
    if drawn:
        found["Synthetic recordings"] = (
            f"The suite itself draws the faces and speaks the voices of {', '.join(drawn)}. "
            "Their numbers show that the software works, and say nothing of the paper."
        )
    differing = {
        name: not_comparable(run.settings) for name, run in used.items() if name not in drawn
    }
    if reasons := "; ".join(f"{name}: {why}" for name, why in differing.items() if why):
        found["Not the paper’s protocol"] = f"{reasons}."
    undone, failed = ((states.state != "done").sum(), (states.state == "failed").sum())
    if undone:
        some = f", {failed} of them failed" if failed else ""
        found["Partial"] = (
            f"{undone} of {len(states)} runs have no result{some}; numbers that need them are shown as —."
        )
    return found


def provenance(states: pd.DataFrame) -> Mapping[str, list[str]]:
    """Return commits, devices and the time of the last result."""
    done = states[states.state == "done"]
    changed = done.uncommitted.map({True: " with uncommitted changes", False: ""})
    return {
        "commits": sorted({commit for commit in done.commit.str[:12] + changed if commit.strip()}),
        "devices": sorted(set(done.device) - {""}),
        "finished": sorted(set(done.finished) - {""})[-1:],
    }
