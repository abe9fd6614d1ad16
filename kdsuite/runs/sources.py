"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave
as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of
other code is out of date.
"""

from __future__ import annotations

import ast
from functools import cache

from kdlib.parameters import digest
from kdsuite import places
from kdsuite.data import STORE_FORMAT
from kdsuite.settings import Settings

TRAINING = ("kdlib/training.py", "kdlib/dataset.py", "kdlib/models")
STUDENT = (*TRAINING, "kdlib/student.py", "kdlib/losses.py", "kdlib/spectrogram.py")
MODULES = {
    "teacher": (*TRAINING, "kdlib/teacher.py"),
    "student": (*STUDENT, "kdlib/teacher.py", "kdlib/targets.py"),
    "undistilled": STUDENT,
}
# what splits the recordings and scores the predictions: results depend on it, trained networks do
# not
SCORES = ("kdsuite/data/folds.py", "kdlib/metrics.py")
AUDIO_SCORES = (*SCORES, "kdsuite/data/verification.py")
# the result of the data holds the linear baseline
SCORING = {
    "data": (*AUDIO_SCORES, "kdsuite/runs/baseline.py", "kdlib/spectrogram.py"),
    "teacher": SCORES,
    "student": AUDIO_SCORES,
    "undistilled": AUDIO_SCORES,
}


def kind(settings: Settings, stage: str) -> str:
    """Return what a run of a stage is by the code behind it: the stage, or ``undistilled`` for a
    student that knows no teacher."""
    return "undistilled" if stage == "student" and not settings.alpha else stage


@cache
def fingerprint(kind: str) -> str:
    """Return a short hash of the code that trains a ``teacher``, a ``student`` or an
    ``undistilled`` one."""
    return _digest(MODULES[kind])


@cache
def of_result(kind: str) -> str:
    """Return a short hash of the code behind the result of any run: what decodes, trains and
    scores."""
    return digest(
        [STORE_FORMAT, *([fingerprint(kind)] if kind in MODULES else []), _digest(SCORING[kind])]
    )


def _digest(names: tuple[str, ...]) -> str:
    paths = [places.ROOT / name for name in names]
    files = [
        file for path in paths for file in ([path] if path.suffix else sorted(path.glob("*.py")))
    ]
    return digest([meaning(file.read_text(encoding="utf-8")) for file in files])


def meaning(source: str) -> str:
    """Return what Python makes of a module, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return _plain(tree)


def _plain(part: object) -> str:
    """Return a syntax tree as text, without empty fields: each version of Python has others of
    them, and ast.dump tells them."""
    if isinstance(part, ast.AST):
        told = [
            f"{name}={_plain(value)}"
            for name, value in ast.iter_fields(part)
            if value is not None and value != []
        ]
        return f"{type(part).__name__}({', '.join(told)})"
    return f"[{', '.join(map(_plain, part))}]" if isinstance(part, list) else repr(part)
