"""The engine by which the Snakefile runs notebooks: kernels that start at once neither clash nor
warn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
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


# papermill where nobody may write to /tmp
WITHOUT_TMP = """
import os
access = os.access
os.access = lambda path, mode: path != "/tmp" and access(path, mode)
from papermill.__main__ import papermill
papermill()
"""


def papermill(notebook, out, *python, **environment):
    """Start papermill without naming the engine, which is the usual one."""
    start = python or ("-m", "papermill")
    command = [sys.executable, *start, "--no-progress-bar", notebook, notebook.with_name(out)]
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
    printed = map(printed_by, notebook.parent.glob("out-*.ipynb"))
    listening = [line.split() for line in printed]
    assert {transport for transport, _ in listening} == {"ipc"}
    assert len({socket for _, socket in listening}) == together
    assert not any(Path(socket).parent.exists() for _, socket in listening)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_neither_tmp_nor_a_short_temporary_folder_is_needed(notebook, transport):
    """A unix socket's path may have some hundred characters: where no folder is short, there is
    none."""
    deep = notebook.parent / ("deep" * 25)
    deep.mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        places = {"TMPDIR": deep, "XDG_RUNTIME_DIR": short if transport == "ipc" else deep}
        places["JUPYTER_RUNTIME_DIR"] = deep
        environment = {name: str(place) for name, place in places.items()}
        process = papermill(notebook, "out.ipynb", "-c", WITHOUT_TMP, **environment)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    printed = printed_by(notebook.with_name("out.ipynb"))
    assert printed.startswith(transport) and (short in printed) == (transport == "ipc")


def printed_by(file):
    return "".join(json.loads(file.read_text())["cells"][0]["outputs"][0]["text"])


def test_the_error_of_a_bug_keeps_its_traceback(notebook):
    notebook.write_text(notebook.read_text().replace("kernel =", "1 / 0\\nkernel ="))
    process = papermill(notebook, "out.ipynb")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" in said and "ZeroDivisionError" in said
