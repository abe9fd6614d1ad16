"""Question notebooks executed in this process, on runs of a test."""

from __future__ import annotations

import ast
import json
import sys
from typing import Any, NamedTuple

import matplotlib
import nbformat
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output
from nbformat.v4 import new_output
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from kdsuite import paths
from kdsuite.analysis.report import Figure, Table
from kdsuite.analysis.suite import Suite
from kdsuite.runs import grid


def execute_here(notebook: Any, output: Any, given: dict[str, Any], **options: Any) -> None:
    """Execute a notebook in this process, in the place of ``papermill.execute_notebook``: a kernel
    takes seconds to start."""
    book = parameterize_notebook(load_notebook_node(str(notebook)), given)
    main, config = sys.modules["__main__"], Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)  # display() asks for the instance
    shell.display_trap.hook = lambda value: value is None or display(value)
    try:
        with matplotlib.rc_context():
            for number, cell in enumerate(book.cells, 1):
                if cell.cell_type == "code":
                    with capture_output() as shown:
                        done = shell.run_cell(cell.source)
                    done.raise_error()
                    printed = new_output("stream", name="stdout", text=shown.stdout)
                    data = [new_output("display_data", each.data) for each in shown.outputs]
                    cell.outputs = [printed] * bool(shown.stdout) + data
                    cell.execution_count = number
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
    nbformat.write(book, output)


class Answer(NamedTuple):
    """What a question notebook showed: tables and figures by name, the pictures of the figures,
    files, its answer, and its names."""

    tables: dict[str, Table]
    figures: dict[str, Figure]
    pictures: dict[str, Any]
    files: dict[str, pd.DataFrame]
    text: str
    shown: list[Any]
    names: dict[str, Any]


def ask(
    question: str, runs: list, known: list = (), alpha: float = 0.5, saved: bool = False
) -> Answer:
    """Execute the code cells of ``notebooks/questions/<question>.ipynb`` on these runs; reports
    must be below a temporary folder, where the files of figures are ``saved`` only on demand, for
    they take most of the time."""
    notebook = json.loads(
        (paths.ROOT / "notebooks" / "questions" / f"{question}.ipynb").read_text()
    )
    made = Answer({}, {}, {}, {}, "", shown := [], names := {"__name__": "__main__"})
    value: Any = None
    # a notebook sets the style of its pictures for its whole kernel
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context():
        patch.setattr(grid, "runs", lambda name: list(runs))
        patch.setattr(grid, "known", lambda name: list(known))
        for kind, kept in (("table", made.tables), ("figure", made.figures)):
            patch.setattr(Suite, kind, _keeping(getattr(Suite, kind), kept, made.pictures))
        if not saved:
            patch.setattr("kdsuite.analysis.suite.save", lambda picture, stem: [])
        patch.setattr(Suite, "write", lambda self, name, frame: made.files.update({name: frame}))
        patch.setattr("IPython.display.display", lambda *values: shown.extend(values))
        for cell in notebook["cells"]:
            if cell["cell_type"] != "code":
                continue
            *statements, last = ast.parse("".join(cell["source"])).body
            if not isinstance(last, ast.Expr):
                statements, last = [*statements, last], ast.parse("None").body[0]
            exec(compile(ast.Module(statements, []), question, "exec"), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names.update(suite="demo", alpha=alpha)
            value = eval(compile(ast.Expression(last.value), question, "eval"), names)
    return made._replace(text=getattr(value, "data", ""))


def _keeping(method: Any, kept: dict[str, Any], shown: dict[str, Any]) -> Any:
    def keep(self: Suite, name: str, what: Any, *arguments: Any, **options: Any) -> Any:
        kept[name], shown[name] = method(self, name, what, *arguments, **options), what
        return kept[name]

    return keep
