"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of other code is out of date.
"""

from __future__ import annotations

import ast
from functools import cache

from kdlib import places
from kdlib.settings import Settings, digest

# goes up with every change of what a store holds, for to decode a corpus again is dear: stores of an older kind are then made anew, not misread
FORMAT = 3
TRAINING = ("training.py", "windows.py", "ragged.py", "models")
STUDENT = (*TRAINING, "student.py", "losses.py", "spectrogram.py")
MODULES = {"teacher": (*TRAINING, "teacher.py"), "student": (*STUDENT, "teacher.py", "targets.py"), "undistilled": STUDENT}
# what splits the recordings and scores the answers: results hang on it, trained networks do not
SCORES = ("corpora/protocols.py", "metrics.py")
HEARD = (*SCORES, "verification.py")
# the result of the data holds the linear baseline
SCORING = {"data": (*HEARD, "baseline.py", "spectrogram.py"), "teacher": SCORES, "student": HEARD, "undistilled": HEARD}


def kind(settings: Settings, stage: str) -> str:
    """Return what a run of a stage is by the code behind it: the stage, or ``undistilled`` for a student that knows no teacher."""
    return "undistilled" if stage == "student" and not settings.alpha else stage


@cache
def fingerprint(kind: str) -> str:
    """Return a short hash of the code that trains a ``teacher``, a ``student`` or an ``undistilled`` one."""
    return _digest(MODULES[kind])


@cache
def of_result(kind: str) -> str:
    """Return a short hash of the code behind the result of any run: what decodes, trains and scores."""
    return digest([FORMAT, *([fingerprint(kind)] if kind in MODULES else []), _digest(SCORING[kind])])


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
    return _plain(tree)


def _plain(part: object) -> str:
    """Return a syntax tree as text, without empty fields: each version of Python has others of them, and ast.dump tells them."""
    if isinstance(part, ast.AST):
        told = [f"{name}={_plain(value)}" for name, value in ast.iter_fields(part) if value is not None and value != []]
        return f"{type(part).__name__}({', '.join(told)})"
    return f"[{', '.join(map(_plain, part))}]" if isinstance(part, list) else repr(part)
