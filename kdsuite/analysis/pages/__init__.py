"""The report of a suite: a page for each question, every executed notebook, and the documentation.

    suite = Suite("demo")
    ask(suite, alpha=0.5)    # executes notebooks/questions/*.ipynb
    build(suite)             # writes reports/demo/index.html and all other pages

Nothing on the pages asks for anything outside of that folder. What they say is in ``templates``.
"""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from joblib import cpu_count

from kdsuite import paths
from kdsuite.analysis.pages import notebooks
from kdsuite.analysis.report import METRICS, NAMES, render
from kdsuite.analysis.results import RUNS
from kdsuite.analysis.suite import Suite, not_comparable
from kdsuite.runs import grid
from kdsuite.runs.run import STAGES

HERE = Path(__file__).parent
QUESTIONS = NAMES["questions"]


def ask(suite: Suite, alpha: float = 0.5) -> list[str]:
    """Execute the question notebooks side by side; return a sentence for each that stopped."""
    import papermill

    folder = suite.folder / "questions"
    folder.mkdir(parents=True, exist_ok=True)
    given = {"suite": suite.name, "alpha": alpha}

    def execute(notebook):
        """Return why a notebook stopped, nothing where it did not."""
        # what its cells print is on its page
        options = {"engine_name": "kdlib", "progress_bar": False, "stdout_file": io.StringIO()}
        try:
            papermill.execute_notebook(notebook, folder / notebook.name, given, **options)
        except papermill.PapermillExecutionError as error:
            return f"questions/{notebook.name} stopped: {error.ename}: {error.evalue}"

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(filter(None, pool.map(execute, _sources("questions"))))


def build(suite: Suite) -> Path:
    """Write the report of a suite and return its ``index.html``.

    The page of a run's notebook is written again where the notebook is newer.
    """
    states, sources, questions = suite.states, _sources(), _sources("questions")
    for name, table in (("results.csv", suite.results), ("runs.csv", states[RUNS])):
        suite.write(name, table.to_csv(index=False, float_format="%.6g"), keep=False)
    asked = [_question(suite, source) for source in questions]
    common = _common(suite) | {"pages": [question for question in asked if question]}
    ours, pages = list(HERE.rglob("*.*")), set()

    def page(name, template="notebook.html", notebook=None, behind=(), **content):
        """Write a page; that of a notebook only where the notebook, or a result of the runs
        ``behind`` it, is there and newer."""
        file = suite.folder / name
        pages.add(file)
        if notebook:
            results = [of.folder / "result.json" for of in behind]
            newest = _modified(notebook, *results, *ours)
            if not notebook.exists() or _modified(file) > newest:
                return
            content["cells"] = notebooks.html(notebooks.read(notebook))
        suite.write(name, render(template, **common | content), keep=False)

    page("pages/analysis.html", notebook=suite.folder / "notebook.ipynb", title="Analysis notebook")
    for source in [*sources, *questions]:
        name = f"pages/{source.stem}.html"
        page(name, notebook=source, title=source.name, kind="Notebook, not executed")
    for run in states[states.page != ""].to_dict("records"):
        of, notebook = run["run"], run["run"].folder / "notebook.ipynb"
        # its state also hangs on the recordings
        page(run["page"], notebook=notebook, behind=(of, of.data), title=run["title"], run=run)
    for file in {*(suite.folder / "pages").glob("*.html")} - pages:  # of runs that are no more
        file.unlink()
    for name, title, cells in notebooks.documentation():
        page(f"docs/{name}", title=title, kind="Documentation", cells=cells)
    for question in common["pages"]:
        page(f"{question['name']}.html", "question.html", page=question)
    lessons = {source.stem: notebooks.html(notebooks.read(source)[:1]) for source in sources}
    page("tutorial.html", "tutorial.html", lessons=lessons, examples=_examples(states))
    if not (suite.folder / "api" / "index.html").exists():
        page("api/index.html", "api.html")
    for name in ("runs.html", "style.css", "sort.js", "index.html"):
        page(name, name)
    index = suite.folder / "index.html"
    if (states.state != "done").any():
        os.utime(index, (1, 1))  # older than every result, so that Snakemake has it made again
    return index


def _common(suite):
    """Return what the templates of all pages may show of a suite."""
    used = suite.states[suite.states.stage != "data"].drop_duplicates("dataset").run
    return {
        "suite": suite,
        "title": grid.read_suite(suite.name).get("title", ""),
        "runs": table_of_runs(suite),
        "settings": [run.settings for run in used],
        "not_comparable": not_comparable,
        "kind": "Executed notebook",
        "run": None,
    }


def _modified(*files):
    return max((file.stat().st_mtime for file in files if file.exists()), default=0)


def _sources(folder=""):
    files = {
        file.stem: file for file in sorted((paths.ROOT / "notebooks" / folder).glob("*.ipynb"))
    }
    return [files[name] for name in QUESTIONS | files if name in files]


def _question(suite, source):
    """Return the page of a question: its answer, and what the index shows of it, as HTML; nothing
    where its notebook came to its end without an answer, for it does not concern the suite."""
    executed = suite.folder / "questions" / source.name
    heading, *cells = notebooks.read(source)
    if executed.exists():
        cells = [cell for cell in notebooks.read(executed) if cell.source != heading.source]
        if cells[-1].get("execution_count") and not cells[-1].outputs:
            return {}
    title, _, lead = heading.source.removeprefix("# ").partition("\n")
    return {
        "name": source.stem,
        "short": QUESTIONS.get(source.stem, source.stem),
        "title": title,
        "lead": lead.strip(),
        "cells": notebooks.html(cells, level=0),
        **{tag: notebooks.outputs(cells, tag) for tag in ("answer", "opening", "headline")},
    }


def _examples(states):
    """Return by the name of its notebook the run of each stage that is nearest to α = 0.5."""
    done = states[(states.page != "") & (states.state == "done")].to_dict("records")
    done.sort(key=lambda of: abs(of["run"].settings.alpha - 0.5))
    return {STAGES[of["stage"]]: of for of in reversed(done)}


def table_of_runs(suite: Suite) -> pd.DataFrame:
    """Return the states of a suite's runs with their means over folds in percent, folds and
    recordings."""
    place = ["dataset", "stage", "key"]
    by_metric = suite.results.groupby([*place, "metric"]).agg(
        value=("value", "mean"), folds=("fold", "nunique"), recordings=("recordings", "sum")
    )
    means = 100 * by_metric.value.unstack().reindex(columns=METRICS)
    counts = by_metric[["folds", "recordings"]].groupby(place).max()
    return suite.states.join(means, on=place).join(counts, on=place)
