"""What `make setup-git` sets: git compares notebooks by cells, without the noise of their runs, and
commits them without outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from kdsuite import paths

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Yield a repository with this one's notebook 3 and git files, after `make setup-git`."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "notebooks").mkdir()
    shutil.copy(paths.ROOT / "notebooks" / "03_student.ipynb", folder / "notebooks")
    for name in ("Makefile", ".gitattributes", "nbdime_config.json"):
        shutil.copy(paths.ROOT / name, folder)
    git(folder, "init", "--quiet")
    # READY: the environment is this one, which make would otherwise look for
    subprocess.run(
        ["make", "setup-git", f"BIN={BIN}", "READY="], cwd=folder, check=True, capture_output=True
    )
    git(folder, "add", "--all")
    git(
        folder,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "--quiet",
        "--message",
        "notebooks",
    )
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git without the settings of whoever runs the tests."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PAGER": "cat",
    }
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, env=environment
    ).stdout


def executed(
    notebook: nbformat.NotebookNode, alpha: str, uar: str, count: int
) -> nbformat.NotebookNode:
    """Return the notebook as papermill leaves it, run at some time with some alpha."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    notebook.metadata.papermill = {
        "duration": 9.5 + count,
        "start_time": f"2026-01-0{count}T00:00:00",
    }
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.execution_count = number + count
        cell.metadata.papermill = {"duration": 0.1 * count, "status": "completed"}
        cell.metadata.execution = {"iopub.status.busy": f"2026-01-0{count}T00:00:00"}
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("alpha: float = 0.5", f"alpha: float = {alpha}")
    cell.outputs = [new_output("stream", text=f"UAR {uar} %\n")]
    return notebook


def test_what_a_run_leaves_in_a_notebook_is_not_committed(clone):
    file = clone / "notebooks" / "03_student.ipynb"
    before = file.read_text()
    nbformat.write(executed(nbformat.read(file, 4), "0.5", "61.0", 1), file)
    git(clone, "add", "--all")
    assert git(clone, "diff", "--cached", "--stat") == "" and file.read_text() != before
    assert git(clone, "show", ":notebooks/03_student.ipynb") == before
    file.write_text(before)


def test_a_comparison_shows_what_was_changed_and_not_that_it_was_run(clone):
    file = clone / "notebooks" / "03_student.ipynb"
    before = file.read_text()
    nbformat.write(executed(nbformat.read(file, 4), "0.25", "61.0", 2), file)
    told = git(clone, "diff", "--no-color")
    assert "nbdiff" in told and "alpha: float = 0.25" in told and '"cell_type"' not in told
    assert not [
        word for word in ("duration", "execution_count", "iopub", "start_time") if word in told
    ]
    file.write_text(before)


def test_two_executed_notebooks_differ_in_parameters_and_results_alone(clone):
    notebook = nbformat.read(clone / "notebooks" / "03_student.ipynb", 4)
    for name, alpha, uar, count in (("a", "0", "59.9", 1), ("b", "0.5", "62.6", 2)):
        nbformat.write(executed(notebook, alpha, uar, count), clone / f"{name}.ipynb")
    told = subprocess.run(
        [BIN / "nbdiff", "--no-color", "a.ipynb", "b.ipynb"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    changed = [
        line[1:].strip()
        for line in told.splitlines()
        if line[:1] in "-+" and line[:3] not in ("---", "+++")
    ]
    assert [line for line in changed if "alpha: float" in line or "UAR" in line] == [
        line for line in changed if line and not line.startswith(("#", "@"))
    ]
    assert any("UAR 62.6" in line for line in changed) and any(
        "alpha: float = 0.5" in line for line in changed
    )
