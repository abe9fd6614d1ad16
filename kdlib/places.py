"""Where things live: the repository, its parameters, the data and the reports."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PARAMS = Path(os.environ.get("KDLIB_PARAMS", ROOT / "params")).absolute()
DATA = Path(os.environ.get("KDLIB_DATA", ROOT / "data")).absolute()
REPORTS = Path(os.environ.get("KDLIB_REPORTS", ROOT / "reports")).absolute()

# a folder of corpora that several checkouts share lies beside them; the examples are manifests
CORPORA = (DATA / "corpora", ROOT.parent / "shared" / "data", PARAMS / "examples")


def corpus(path: str) -> Path:
    """Return where a corpus lies: ``path`` itself where absolute, else the first corpora folder that has it.

    A corpus that nowhere exists yet belongs into ``$KDLIB_DATA/corpora``.
    """
    found = [folder / path for folder in CORPORA if (folder / path).exists()]
    return found[0] if found else CORPORA[0] / path


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that several processes may want to make; the others wait."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        yield


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` in one step, so that nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
