"""A report of runs that nobody trained, made once for all tests of its pages."""

from __future__ import annotations

import json
import shutil

import nbformat
import pandas as pd
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdsuite import paths
from kdsuite.analysis import pages
from kdsuite.analysis.suite import Suite
from kdsuite.runs.grid import Run
from tests.analysis.asking import execute_here

HOSTILE = 'a"b<script>alert(1)</script>_%&'
MISSING = "seresnet-agg-embedding-a0.50-s0"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GRID = """
title: a test
runs:
- {dataset: demo-ravdess, backbone: [vgg, resnet, seresnet], setting: [nonseq, em, agg], alpha: [0, 0.5]}
"""
WIDE = pd.DataFrame([range(40)]).to_html()


def execute(run: Run, *cells) -> None:
    """Leave a notebook, predictions and a result as a finished run does."""
    run.folder.mkdir(parents=True, exist_ok=True)
    cells = [new_markdown_cell("# Title\n\n## Part"), *cells]
    nbformat.write(new_notebook(cells=cells), run.folder / "notebook.ipynb")
    folds = [
        {"fold": fold, "uar": 0.5 + run.settings.alpha / 10, "accuracy": 0.5, "recordings": 52}
        for fold in range(3)
    ]
    rows = [
        f"{fold}-{number},{number % 4},{fold},a,{'ab'[number % 2]}\n"
        for fold in range(3)
        for number in range(52)
    ]
    header = "recording,speaker,fold,label,predicted\n"
    (run.folder / "predictions.csv").write_text(header + "".join(rows))
    provenance = {
        "commit": "0123456789abcdef",
        "uncommitted_changes": False,
        "device": HOSTILE,
        "finished": "2026-01-01T00:00:00+0000",
    }
    facts = {"folds": folds} if run.stage != "data" else {}
    facts |= {"seconds": {"wall": 75.0}, "provenance": provenance}
    (run.folder / "result.json").write_text(json.dumps(facts))


def hostile_cells() -> list:
    """Return cells with streams, an error in colour, pictures, a wide table and a cell to leave out."""
    streams = [
        new_output("stream", name="stdout", text=f"epoch {number}/2 {HOSTILE}\n")
        for number in (1, 2)
    ]
    traceback = [f"\x1b[31mValueError\x1b[39m: {HOSTILE}"]
    failure = new_output("error", ename="ValueError", evalue=HOSTILE, traceback=traceback)
    drawn = new_output("display_data", data={"image/png": PICTURE, "text/plain": "<Figure>"})
    script = {"application/javascript": "alert(2)", "text/plain": "a script"}
    outputs = [*streams, drawn, new_output("display_data", data=script), failure]
    return [
        new_code_cell("removed = 1", metadata={"tags": ["remove-cell"]}),
        new_code_cell(f"print('{HOSTILE}')", outputs=outputs, execution_count=1),
        new_code_cell("wide", outputs=[new_output("display_data", data={"text/html": WIDE})]),
    ]


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Return a suite whose report is written; its runs are done but for one."""
    home = tmp_path_factory.mktemp("report")
    shutil.copytree(paths.PARAMS, home / "params")
    (home / "params" / "grids" / "small.yaml").write_text(GRID)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REPORTS", "PARAMS"):
            patch.setattr(paths, name, home / name.lower())
        suite = Suite("small")
        for run in suite.runs:
            if run.key != MISSING:
                execute(run, *hostile_cells())
        patch.setattr(papermill, "execute_notebook", execute_here)
        assert pages.ask(suite) == []
        suite = Suite("small")
        shutil.copy(suite.runs[0].folder / "notebook.ipynb", suite.folder / "notebook.ipynb")
        pages.build(suite)
        assert len(suite.results) and len(suite.states)  # read while the folders are these
    return suite
