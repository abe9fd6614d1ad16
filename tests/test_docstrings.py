"""Every public name tells what it is: the API reference is made of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(file for name in ("kdlib", "kdsuite") for file in (ROOT / name).rglob("*.py"))


def unsaid(tree: ast.Module, name: str) -> list[str]:
    """Return the public classes, functions and methods of a module without docstring, and the
    module itself."""
    found = [] if ast.get_docstring(tree) else [name]
    for node in getattr(tree, "body", []):
        if isinstance(
            node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) and not node.name.startswith("_"):
            found += (
                unsaid(node, f"{name}.{node.name}")
                if isinstance(node, ast.ClassDef)
                else [f"{name}.{node.name}"] * (not ast.get_docstring(node))
            )
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_has_a_docstring(path):
    assert not unsaid(ast.parse(path.read_text()), path.stem)
