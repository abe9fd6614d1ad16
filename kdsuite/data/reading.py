"""Listing a corpus and reading the lists and tables in it, which may come from anybody."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import paths
from kdsuite.parameters import Corpus


def walk(folder: Path, corpus: Corpus) -> Iterator[str]:
    """Yield the paths of the files in a tree of folders, sorted folder by folder.

    Hidden files and folders, such as a Mac's ``._*``, are skipped; symbolic links are followed,
    into each folder once. Raises OSError for a folder that may not be listed, InvalidCorpus for a
    link to one that :func:`check_places` refuses.
    """
    visited = set()
    for parent, folders, files in os.walk(folder, onerror=_stop, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            folders.clear()
            continue
        visited.add(real)
        if os.path.islink(parent):
            check_places([parent], folder, corpus)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        yield from (os.path.join(parent, name) for name in sorted(files) if name[0] != ".")


def check_places(files: Iterable[str], folder: Path, corpus: Corpus) -> None:
    """Refuse files outside of the corpus and the corpora folders, links followed.

    A manifest or an archive may come from anybody.
    """
    if corpus.outside:
        return
    home = folder.parent if folder.is_file() else folder
    homes = tuple(os.path.join(os.path.realpath(each), "") for each in (home, *paths.CORPORA))
    for file in files:
        if not os.path.join(os.path.realpath(file), "").startswith(homes):
            raise InvalidCorpus(
                f"{file} lies outside of {home} and of the corpora folders; move it there, or "
                "allow it with -y 'corpus: {outside: true}'."
            )


def _stop(error):
    raise error  # os.walk would skip the folder


def read_text(file: str | Path) -> str:
    """Return a text; a byte order mark is skipped, and what is no UTF-8 is replaced."""
    return Path(file).read_text(encoding="utf-8-sig", errors="replace")


def read_lines(file: Path, pattern: str, example: str, only: str = "") -> pd.DataFrame:
    """Return the named groups of ``pattern`` in the lines of a text, by their number.

    Blank lines are skipped, and those that do not have ``only`` in them. Raises InvalidCorpus for
    a line that the pattern does not match, or where there is none; ``example`` is one that it does.
    """
    lines = read_text(file).splitlines()
    lines = pd.Series(lines, range(1, len(lines) + 1), str).str.strip()
    lines = lines[(lines != "") & lines.str.contains(only)]
    if lines.empty:
        raise InvalidCorpus(f"{file} has no line such as '{example}'; fetch it again.")
    table = lines.str.extract(rf"\A(?:{pattern})\Z")
    complaint = f"is not written as '{example}' is; correct that line or fetch the file again."
    refuse(table.isna().any(axis=1), file, complaint)
    return table


def read_csv(file: Path, **options) -> pd.DataFrame:
    """Read a table by pandas' ``read_csv``: cells are separated by commas, in a file ``.tsv`` by
    tabs.

    Raises InvalidCorpus for what is no table.
    """
    options |= {"sep": "\t" if file.suffix == ".tsv" else ",", "skipinitialspace": True}
    try:
        return pd.read_csv(file, encoding="utf-8-sig", compression=None, **options)
    except (OSError, ValueError) as error:  # pandas' errors and that of the encoding are the latter
        reason = " ".join(str(error).split())
        raise InvalidCorpus(
            f"{file} is no table in CSV ({reason}); save it there as CSV in UTF-8, with cells that "
            "hold commas in quotes."
        ) from None


def refuse(wrong: pd.Series, file: Path, complaint: str, *columns: pd.Series) -> None:
    """Raise InvalidCorpus for the first wrong line; its cells of ``columns`` fill ``complaint``.

    The index of ``wrong`` ``(lines,)`` and of the columns are numbers of lines.
    """
    if wrong.any():
        line = wrong.idxmax()
        cells = (column[line] for column in columns)
        raise InvalidCorpus(f"line {line} of {file} {complaint.format(*cells)}")
