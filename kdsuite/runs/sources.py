"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave
as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of
other code is out of date.
"""

import ast
from functools import cache

from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.data import STORE_FORMAT

NETWORK = (
    "kdlib/training.py", "kdlib/dataset.py", "kdlib/device.py", "kdlib/graph.py", "kdlib/models",
    "kdsuite/runs/pretrained.py",
)  # fmt: skip
STUDENT = (
    *NETWORK, "kdlib/student.py", "kdlib/losses.py", "kdlib/spectrogram.py", "kdsuite/runs/prediction.py",
)  # fmt: skip
# what trains the networks of each kind of run, and asks its students, whose answers an interrupted
# run keeps
TRAINING = {
    "data": (),
    "teacher": (*NETWORK, "kdlib/teacher.py"),
    "student": (*STUDENT, "kdlib/teacher.py", "kdlib/targets.py"),
    "undistilled": STUDENT,
}
TRAINING["cross_fitted"] = (*TRAINING["student"], "kdsuite/runs/cross_fitting.py")
# what splits the recordings and scores the predictions: results depend on it, trained networks do
# not
SCORES = ("kdsuite/data/folds.py", "kdlib/metrics.py", "kdsuite/runs/metrics.py")
TRIAL_SCORES = (*SCORES, "kdsuite/data/verification.py")
SCORING = {
    # with the linear baseline
    "data": (*TRIAL_SCORES, "kdsuite/runs/baseline.py", "kdlib/spectrogram.py"),
    "teacher": SCORES,
    "student": TRIAL_SCORES,
    "undistilled": TRIAL_SCORES,
    "cross_fitted": TRIAL_SCORES,
}


@cache
def fingerprint(kind: str, scored: bool = False) -> str:
    """Return a short hash of the code that trains the network of a run; with ``scored``, of all
    code behind its result: what decodes, trains and scores.

    ``kind`` is a stage, ``undistilled`` for a student without teacher, or ``cross_fitted``.
    """
    meanings = [scored and STORE_FORMAT]
    for name in TRAINING[kind] + (SCORING[kind] if scored else ()):
        place = paths.CODE / name
        for file in [place] if place.suffix else sorted(place.glob("*.py")):
            meanings.append(meaning(file.read_text("utf-8")))
    return digest(meanings)


def meaning(source: str) -> str:
    """Return what Python makes of a module, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return _plain(tree)


def _plain(part):
    """Return a syntax tree as text, without empty fields: each version of Python has others of
    them, and ast.dump names them."""
    if isinstance(part, list):
        return f"[{', '.join(map(_plain, part))}]"
    if not isinstance(part, ast.AST):
        return repr(part)
    fields = [
        f"{name}={_plain(value)}"
        for name, value in ast.iter_fields(part)
        if value not in (None, [])
    ]
    return f"{type(part).__name__}({', '.join(fields)})"
