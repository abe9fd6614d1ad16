"""The engine by which the Snakefile runs notebooks: kernels that start at once neither clash nor
warn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest


@pytest.fixture
def notebook(tmp_path):
    """A notebook that says by what its kernel listens."""
    source = "from ipykernel.kernelapp import IPKernelApp\nkernel = IPKernelApp.instance()\nprint(kernel.transport, kernel.ip)"
    cells = [nbformat.v4.new_code_cell(source)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}),
        tmp_path / "in.ipynb",
    )
    return tmp_path / "in.ipynb"


def papermill(notebook, out, **environment):
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--engine",
        "kdlib",
        "--no-progress-bar",
        notebook,
        notebook.with_name(out),
    ]
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    return subprocess.Popen(command, env={**os.environ, **environment}, **pipes)


@pytest.mark.parametrize("together", [6, pytest.param(20, marks=pytest.mark.long)])
def test_kernels_that_start_at_once_neither_clash_nor_warn(notebook, together):
    started = [papermill(notebook, f"out-{number}.ipynb") for number in range(together)]
    for process in started:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0 and "WARNING" not in said, said
    printed = [
        json.loads(file.read_text())["cells"][0]["outputs"][0]["text"]
        for file in notebook.parent.glob("out-*.ipynb")
    ]
    listening = [line.split() for line in map("".join, printed)]
    assert {transport for transport, _ in listening} == {"ipc"}
    assert len({socket for _, socket in listening}) == together
    assert not any(Path(socket).parent.exists() for _, socket in listening)


def test_a_long_temporary_folder_does_not_matter(notebook):
    """A unix socket's path may have some hundred characters."""
    deep = notebook.parent / ("deep" * 25)
    deep.mkdir()
    process = papermill(notebook, "out.ipynb", TMPDIR=str(deep), JUPYTER_RUNTIME_DIR=str(deep))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
