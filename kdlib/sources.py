"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of other code is out of date.
"""

from __future__ import annotations

import ast
from functools import cache

from kdlib import places
from kdlib.settings import digest

# goes up with every change of what a store holds, for to decode a corpus again is dear: stores of an older kind are then made anew, not misread
FORMAT = 3
TEACHER = ("teacher.py", "training.py", "windows.py", "models")
MODULES = {"teacher": TEACHER, "student": (*TEACHER, "student.py", "targets.py", "losses.py", "spectrogram.py")}
# what splits the recordings and scores the answers: results hang on it, trained networks do not
SCORES = ("corpora/protocols.py", "metrics.py")
SCORING = {"teacher": SCORES, "student": (*SCORES, "verification.py")}


@cache
def fingerprint(stage: str) -> str:
    """Return a short hash of the code that trains ``teacher`` or ``student``."""
    return _digest(MODULES[stage])


@cache
def of_result(stage: str) -> str:
    """Return a short hash of the code behind the result of any stage: what decodes, trains and scores."""
    return digest([FORMAT, *([] if stage == "data" else [fingerprint(stage), _digest(SCORING[stage])])])


def _digest(names: tuple[str, ...]) -> str:
    library = places.ROOT / "kdlib"
    files = [file for name in names for file in ([library / name] if name.endswith(".py") else sorted((library / name).glob("*.py")))]
    return digest([meaning(file.read_text(encoding="utf-8")) for file in files])


def meaning(source: str) -> str:
    """Return what Python makes of a module, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
