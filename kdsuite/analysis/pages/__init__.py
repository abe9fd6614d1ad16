"""The report of a suite: a page for each question, every executed notebook, and the documentation.

    suite = Suite("demo")
    ask(suite, alpha=0.5)    # executes notebooks/questions/*.ipynb
    build(suite)             # writes reports/demo/index.html and all other pages

Nothing on the pages asks for anything outside of that folder.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from joblib import cpu_count

from kdsuite import paths
from kdsuite.analysis.pages import notebooks
from kdsuite.analysis.report import METRICS, environment
from kdsuite.analysis.results import RUNS
from kdsuite.analysis.suite import Suite, not_comparable, plain
from kdsuite.runs import grid
from kdsuite.runs.run import STAGES

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
TITLES = {"data": "data", "teacher": "teachers (video)", "student": "students (audio)"}
FILES = {
    "results.csv": "every result, one row a run, fold and metric",
    "runs.csv": "every run and its state",
    "claims.csv": "the paper’s claims: what was run for each, estimate, interval, verdict",
    "audit.csv": "every derived number of the paper’s Tables 4 to 7 recomputed, one row a check",
    "ledger.csv": "everything the paper leaves open, and what this suite does",
}


def ask(suite: Suite, alpha: float = 0.5) -> list[str]:
    """Execute the question notebooks side by side; return a sentence for each that stopped."""
    import papermill

    def execute(notebook):
        """Return why a notebook stopped, nothing where it did not."""
        target = suite.folder / "questions" / notebook.name
        target.parent.mkdir(parents=True, exist_ok=True)
        parameters = {"suite": suite.name, "alpha": alpha}
        try:
            papermill.execute_notebook(
                notebook,
                target,
                parameters,
                engine_name="kdlib",
                progress_bar=False,
                stdout_file=io.StringIO(),  # what its cells print is on its page
            )
        except papermill.PapermillExecutionError as error:
            return f"questions/{notebook.name} stopped: {error.ename}: {error.evalue}"
        return ""

    with ThreadPoolExecutor(cpu_count()) as pool:
        return [error for error in pool.map(execute, _sources("questions")) if error]


def build(suite: Suite) -> Path:
    """Write the report of a suite and return its ``index.html``.

    The page of a run's notebook is written again where the notebook is newer.
    """
    states = suite.states
    for name, table in (("results.csv", suite.results), ("runs.csv", states[RUNS])):
        _write(suite.folder / name, table.to_csv(index=False, float_format="%.6g"))
    common = {
        "suite": suite.name,
        "title": grid.read_suite(suite.name).get("title", ""),
        "pages": [_question(suite, source) for source in _sources("questions")],
        "warnings": warnings(states),
        "provenance": provenance(states),
        "done": f"{(states.state == 'done').sum()} of {len(states)} runs are done",
        "files": {name: FILES[name] for name in FILES if (suite.folder / name).is_file()},
        "run": None,
    }

    def render(template, **more):
        return environment().get_template(template).render(common | more)

    _run_pages(suite, render)
    written = _documentation(render)
    for page in common["pages"]:
        written[f"{page['name']}.html"] = render("question.html", page=page)
    written["runs.html"] = render("runs.html", groups=groups(suite))
    written["tutorial.html"] = render("tutorial.html", lessons=_lessons(states))
    if not (suite.folder / "api" / "index.html").exists():
        written["api/index.html"] = render("api.html")
    for name in ("style.css", "sort.js"):
        written[name] = (HERE / name).read_text(encoding="utf-8")
    for name, text in written.items():
        _write(suite.folder / name, text)
    return _write(suite.folder / "index.html", render("index.html"))


def _write(path, text):
    with paths.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _sources(folder=""):
    files = sorted((paths.ROOT / "notebooks" / folder).glob("*.ipynb"))
    order = list(QUESTIONS)
    return sorted(files, key=lambda file: order.index(file.stem) if file.stem in order else 99)


def _question(suite, source):
    """Return the page of a question: its answer, and what the index shows of it, as HTML."""
    executed = suite.folder / "questions" / source.name
    heading, *_ = notebooks.read(source)
    title, _, lead = heading.source.partition("\n")
    cells = notebooks.read(executed if executed.exists() else source)
    cells = [cell for cell in cells if cell.id != heading.id]
    shown = {tag: notebooks.outputs(cells, tag) for tag in ("answer", "opening", "headline")}
    for cell in cells:  # the answer stands at the head of the page
        if "answer" in cell.metadata.get("tags", []):
            cell.outputs = []
    return {
        "name": source.stem,
        "short": QUESTIONS.get(source.stem, source.stem),
        "title": title.removeprefix("# "),
        "lead": lead.strip(),
        "cells": notebooks.html(cells, level=0),
        **shown,
    }


def _run_pages(suite, render):
    """Write the pages of the notebooks, executed and as they come, and remove those of others."""
    executed, plainly = "Executed notebook", "Notebook, not executed"
    analysis = suite.folder / "notebook.ipynb"
    pages = {"pages/analysis.html": (analysis, "Analysis notebook", executed, None)}
    for source in [*_sources(), *_sources("questions")]:
        pages[f"pages/{plain(source.stem)}.html"] = (source, source.name, plainly, None)
    for run in suite.states[suite.states.page != ""].to_dict("records"):
        pages[run["page"]] = (run["folder"] / "notebook.ipynb", run["title"], executed, run)
    ours = list(HERE.rglob("*.*"))
    for name, (notebook, title, kind, run) in pages.items():
        page, sources = suite.folder / name, [*ours, notebook, notebook.with_name("result.json")]
        changed = max(file.stat().st_mtime for file in sources if file.exists())
        if notebook.exists() and (not page.exists() or page.stat().st_mtime <= changed):
            cells = notebooks.html(notebooks.read(notebook))
            _write(page, render("notebook.html", title=title, kind=kind, run=run, cells=cells))
    for page in (suite.folder / "pages").glob("*.html"):
        if f"pages/{page.name}" not in pages:
            page.unlink()


def _documentation(render):
    """Return the README and ``docs/*.md`` as pages by their file; the README is the index."""
    names = {path: f"{path.stem}.html" for path in sorted((paths.ROOT / "docs").glob("*.md"))}
    names[paths.ROOT / "README.md"] = "index.html"
    # an installation that is no checkout has neither
    text = (
        "# Documentation\nThe documentation is in the suite's repository, in README.md and docs/."
    )
    pages = {}
    for source, name in names.items():
        whole = source.read_text(encoding="utf-8") if source.exists() else text
        title, _, rest = whole.removeprefix("# ").partition("\n")
        cells = notebooks.markdown(rest, source.parent, names)
        pages[f"docs/{name}"] = render(
            "notebook.html", title=title, kind="Documentation", cells=cells
        )
    return pages


def _lessons(states):
    """Return the introduction and page of each notebook, and its run nearest to α = 0.5."""
    lessons, done = [], states[(states.page != "") & (states.state == "done")]
    for notebook in _sources():
        runs = done[done.stage.map(STAGES) == notebook.stem].to_dict("records")
        lessons.append(
            {
                "name": notebook.stem,
                "text": notebooks.html(notebooks.read(notebook)[:1]),
                "page": f"pages/{plain(notebook.stem)}.html",
                "example": min(
                    runs, key=lambda of: abs(of["run"].settings.alpha - 0.5), default=None
                ),
            }
        )
    return lessons


def groups(suite: Suite) -> list[dict]:
    """Return the listed runs by dataset and stage, with their means over folds in percent."""
    place = ["dataset", "stage", "key"]
    means = 100 * suite.results.groupby([*place, "metric"]).value.mean().unstack()
    tested = suite.results.drop_duplicates([*place, "fold"]).groupby(place)
    counts = tested.agg(folds=("fold", "nunique"), recordings=("recordings", "sum"))
    rows = suite.states.join(means.reindex(columns=METRICS), on=place).join(counts, on=place)
    # the runs of a suite are in the order of their stages
    by_stage = rows.sort_values("dataset", kind="stable").groupby(["dataset", "stage"], sort=False)
    listed = []
    for (dataset, stage), part in by_stage:
        forms = {name: ".1f" for name in METRICS if part[name].notna().any()}
        forms |= {"folds": ".0f", "recordings": ".0f"} if forms else {}
        title = f"{dataset} · {TITLES[stage]}"
        listed.append({"title": title, "runs": part.to_dict("records"), "columns": forms})
    return listed


def warnings(states: pd.DataFrame) -> dict[str, str]:
    """Return by their headings what a reader must know before believing a number."""
    used = states[states.stage != "data"].drop_duplicates("dataset").run
    settings = {run.settings.dataset: run.settings for run in used}
    synthetic = [name for name, of in settings.items() if of.corpus.synthetic]
    why = {name: not_comparable(of) for name, of in settings.items() if name not in synthetic}
    reasons = "; ".join(f"{name}: {reason}" for name, reason in why.items() if reason)
    undone, failed = ((states.state != "done").sum(), (states.state == "failed").sum())
    some = f", {failed} of them failed" if failed else ""
    sentences = {
        "Synthetic recordings": synthetic
        and f"The suite itself draws the faces and speaks the voices of {', '.join(synthetic)}. "
        "Their numbers show that the software works, and say nothing of the paper.",
        "Not the paper’s protocol": reasons and f"{reasons}.",
        "Partial": undone
        and f"{undone} of {len(states)} runs have no result{some}; "
        "numbers that need them are shown as —.",
    }
    return {heading: sentence for heading, sentence in sentences.items() if sentence}


def provenance(states: pd.DataFrame) -> dict[str, list[str]]:
    """Return commits, devices and the time of the last result."""
    done = states[states.state == "done"]
    changed = done.uncommitted.map({True: " with uncommitted changes", False: ""})
    return {
        "commits": sorted({commit for commit in done.commit.str[:12] + changed if commit.strip()}),
        "devices": sorted(set(done.device) - {""}),
        "finished": sorted(set(done.finished) - {""})[-1:],
    }
