"""Listing a corpus and reading the lists and tables in it, which may come from anybody."""

import csv
import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import paths
from kdsuite.data.contents import hashes
from kdsuite.parameters import Corpus

# kinds of files that readers look for; where a recording has several, the first is taken
SOUND_FILES = (".wav", ".flac", ".aiff", ".aif", ".m4a", ".aac", ".mp3", ".ogg", ".opus", ".wma")
VIDEO_FILES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg")
# what other tools call the columns of a table
SYNONYMS = {
    **dict.fromkeys(("file", "file_name", "filename", "file_path", "filepath", "path", "wav"), "audio"),
    **dict.fromkeys(("speaker_id", "spk_id", "spk", "speakers", "client_id"), "speaker"),
    **dict.fromkeys(("emotion", "emo", "class", "target", "category", "labels"), "label"),
    **dict.fromkeys(("onset", "begin", "start_time"), "start"),
    **dict.fromkeys(("offset", "end_time"), "end"),
    **dict.fromkeys(("timestamp", "seconds"), "time"),
}  # fmt: skip
# of a trial: whether the speakers are the same
GENUINE = {"1": True, "target": True, "true": True, "0": False, "nontarget": False, "false": False}
END = "\0"


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


def rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row of a table as text, with the number of its first line; the first
    row names the columns, and the others have as many cells.

    Cells are separated by commas, in a file ``.tsv`` by tabs. Blanks around them are cut off, and
    rows that hold nothing are skipped. Raises InvalidCorpus for what is no such table.
    """
    remedy = "; put cells that hold commas in quotes, and no comma behind the last cell."
    separator, columns, line = "\t" if file.suffix.lower() == ".tsv" else ",", 0, 1
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            # a line behind the last: part of a cell whose quote is not closed
            reader = csv.reader(chain(text, [END]), delimiter=separator, skipinitialspace=True)
            for cells in reader:
                number, line = line, reader.line_num + 1
                if cells == [END]:
                    break
                if any(END in cell for cell in cells):
                    raise fault(number, file, "has a quote that is not closed; close it.")
                cells = [*map(str.strip, cells)]
                if not any(cells):
                    continue
                if not columns and len(cells) == 1 and (other := re.search("[,;\t]", cells[0])):
                    raise InvalidCorpus(
                        f"{file} separates columns by {other[0]!r}; separate columns by commas (in a "
                        "file .tsv by tabs), and write numbers with a point."
                    )
                columns = columns or len(cells)
                if len(cells) > columns:
                    complaint = f"has {len(cells)} cells, but the header names {columns} columns"
                    raise fault(number, file, complaint + remedy)
                yield number, cells + [""] * (columns - len(cells))
    except (csv.Error, UnicodeError) as error:
        raise InvalidCorpus(
            f"{file} is no table in CSV ({error}); save it there as CSV in UTF-8."
        ) from None
    if not columns:
        raise InvalidCorpus(
            f"{file} is no table in CSV (it is empty); save it there as CSV in UTF-8."
        )


def ask_for_columns(columns: Sequence[str], wanted: Collection[str], file: Path) -> None:
    """Raise InvalidCorpus for a column that seems to be one of ``wanted`` under another name."""
    absent = sorted({*wanted} - {*columns})
    for column in columns:
        close = difflib.get_close_matches(column.lower(), absent, n=1, cutoff=0.8)
        meant = SYNONYMS.get(column.lower(), *close[:1] or [""])
        if meant in absent and column not in wanted:
            raise InvalidCorpus(
                f"{file} has a column '{column}'; rename it to '{meant}' if that is meant, else "
                "choose a less similar name."
            )


def read_trials(folder: Path, lists: list[str]) -> pd.DataFrame:
    """Return the trials of these lists, in their order: list, genuine, first and second.

    A line is ``1 a b`` (0: another speaker) or ``a b target`` (``nontarget``), in a file ``.csv``
    or ``.tsv`` with separated cells, below a header or not. Raises InvalidCorpus where a list is
    malformed, OSError where it is absent.
    """
    trials = pd.concat({name: _trials(folder / name) for name in lists}, names=["list"])
    return trials.droplevel(1).reset_index()


def _trials(file):
    table = file.suffix.lower() in (".csv", ".tsv")
    lines = enumerate(map(str.split, read_text(file).splitlines()), 1)
    lines = {number: cells for number, cells in (rows(file) if table else lines) if cells}
    shaped = {number: cells for number, cells in lines.items() if len(cells) == 3}
    cells = pd.DataFrame([*shaped.values()], [*shaped], columns=[0, 1, 2], dtype=str)
    known = cells.apply(lambda column: column.str.lower().map(GENUINE))
    answer = 2 if known[2].notna().sum() > known[0].notna().sum() else 0
    genuine = known[answer].reindex([*lines])
    if table and genuine[:1].isna().all():  # the header
        genuine = genuine[1:]
    if genuine.empty:
        raise InvalidCorpus(f"{file} has no line such as '1 a b'; fetch it again.")
    complaint = (
        "is not written as '1 a b' or 'a b target' is (0 or nontarget: of two speakers); correct "
        "that line or fetch the file again."
    )
    refuse(genuine.isna(), file, complaint)
    first, second = (cells[side][genuine.index] for side in {0: (1, 2), 2: (0, 1)}[answer])
    return pd.DataFrame({"genuine": genuine.astype(bool), "first": first, "second": second})


def one_each(
    found: dict[Any, list[str]], corpus: Corpus, endings: Sequence[str] = ()
) -> tuple[dict[Any, str], list[str]]:
    """Return one file for each key, and in a sentence whether there are copies.

    Of several it is that of the first of ``endings``. Raises InvalidCorpus where two of one ending
    are not the same bytes.
    """

    def rank(file):
        ending = os.path.splitext(file)[1].lower()
        return endings.index(ending) if ending in endings else len(endings)

    best = {}
    for key, files in found.items():
        least = min(map(rank, files))
        best[key] = [file for file in files if rank(file) == least]
    twins = [(other, first) for first, *others in best.values() for other in others]
    content = hashes(chain(*twins), corpus)
    for other, first in twins:
        if content[other] != content[first]:
            raise InvalidCorpus(
                f"{other} and {first} are the same recording and differ; move one of them out of the "
                "corpus."
            )
    copies = [
        f"files that are there twice: {len(twins)}, such as {other} and {first}; one of each is used"
        for other, first in twins[:1]
    ]
    return {key: files[0] for key, files in best.items()}, copies


def fault(line: int, file: str | Path, complaint: str) -> InvalidCorpus:
    """Return the error of a line."""
    return InvalidCorpus(f"line {line} of {file} {complaint}")


def refuse(wrong: pd.Series, file: Path, complaint: str, *columns: pd.Series) -> None:
    """Raise InvalidCorpus for the first wrong line; its cells of ``columns`` fill ``complaint``.

    The index of ``wrong`` ``(lines,)`` and of the columns are numbers of lines.
    """
    if wrong.any():
        line = wrong.idxmax()
        raise fault(line, file, complaint.format(*(column[line] for column in columns)))
