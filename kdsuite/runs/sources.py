"""Which code stands behind a stage's numbers, as a hash that comments, docstrings and layout leave
as it is.

What a teacher or an unfinished training left under other code is not used again, and a result of
other code is out of date.
"""

import ast
from functools import cache
from itertools import chain

from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.data import STORE_FORMAT

NETWORK = (
    "kdlib/training.py", "kdlib/dataset.py", "kdlib/device.py", "kdlib/graph.py", "kdlib/models",
    "kdsuite/runs/pretrained.py",
)  # fmt: skip
STUDENT = (
    *NETWORK, "kdlib/student.py", "kdlib/losses.py", "kdlib/spectrogram.py",
    "kdsuite/runs/prediction.py",
    "kdsuite/data/pieces.py",
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
    "data": (
        *TRIAL_SCORES,
        "kdsuite/runs/baseline.py",
        "kdlib/spectrogram.py",
        "kdlib/dataset.py",
        "kdsuite/data/pieces.py",
    ),
    "teacher": SCORES,
    "student": TRIAL_SCORES,
    "undistilled": TRIAL_SCORES,
    "cross_fitted": TRIAL_SCORES,
}


@cache
def fingerprint(kind: str, scored: bool = False) -> str:
    """Return a short hash of the code that trains the network of a run; with ``scored``, of that
    behind its result: what decodes (by its format), trains and scores.

    Not part of it are the stages that call these, and what a parameter derives from others.
    ``kind`` is a stage, ``undistilled`` for a student without teacher, or ``cross_fitted``.
    """
    names, texts = TRAINING[kind] + (SCORING[kind] if scored else ()), read()
    return digest(
        [scored and STORE_FORMAT, *(meaning(text) for name in names for text in texts[name])]
    )


@cache
def read() -> dict[str, list[str]]:
    """Return the texts of all files by the names above; a process reads them once, so that a result
    has the code of its beginning, whatever is edited meanwhile."""
    found = {}
    for name in {*chain(*TRAINING.values(), *SCORING.values())}:
        place = paths.CODE / name
        files = [place] if place.suffix else sorted(place.glob("*.py"))
        found[name] = [file.read_text("utf-8") for file in files]
    return found


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
