"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of other code is out of date.
"""

from __future__ import annotations

import ast
from functools import cache

from kdlib import places
from kdlib.settings import Settings, digest

TRAINING = ("training.py", "windows.py", "models")
TEACHER = (*TRAINING, "teacher.py")
STUDENT = (*TRAINING, "student.py", "losses.py", "spectrogram.py")
# the first stage has a number of its own, kdlib.corpora.FORMAT: to decode a corpus again is dear
MODULES = {"teacher": TEACHER, "student": (*STUDENT, "teacher.py", "targets.py"), "undistilled": STUDENT}


def of(settings: Settings, stage: str) -> str:
    """Return a short hash of the code behind the numbers of a stage with these settings, "" for the first stage."""
    kind = "undistilled" if stage == "student" and not settings.alpha else stage
    return fingerprint(kind) if kind in MODULES else ""


@cache
def fingerprint(stage: str) -> str:
    """Return a short hash of the code of a stage in :data:`MODULES`."""
    library = places.ROOT / "kdlib"
    files = [
        file for name in MODULES[stage] for file in ([library / name] if name.endswith(".py") else sorted((library / name).glob("*.py")))
    ]
    return digest([meaning(file.read_text(encoding="utf-8")) for file in files])


def meaning(source: str) -> str:
    """Return what Python makes of a module, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
