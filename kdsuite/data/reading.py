"""Listing a corpus and reading the lists and tables in it, which may come from anybody."""

import csv
import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite import paths
from kdsuite.data import ENDINGS
from kdsuite.data.contents import hashes
from kdsuite.parameters import Corpus

# what other tools call the columns of a table
OTHERS = {
    "audio": "file file_name filename file_path filepath path wav",
    "speaker": "speaker_id spk_id spk speakers client_id",
    "label": "emotion emo class target category labels",
    "start": "onset begin start_time",
    "end": "offset end_time",
    "time": "timestamp seconds",
}
SYNONYMS = {other: name for name, others in OTHERS.items() for other in others.split()}
# of a trial: whether the speakers are the same
GENUINE = {"1": True, "target": True, "true": True, "0": False, "nontarget": False, "false": False}
END = "\0"
# the word in the name of a published list that says which side of a fold it has
SIDE = re.compile(r"(?<![^\W_])(train|test|dev|devel|val|valid|validation)(?![^\W_])")


@contextmanager
def reported() -> Iterator[None]:
    """Raise InvalidCorpus for what may not be opened."""
    try:
        yield
    except OSError as error:
        raise InvalidCorpus(
            f"{error.filename} cannot be read ({error.strerror}); put it there and permit reading "
            "it, or name another with the parameters corpus.path, features, trials and folds_from."
        ) from None


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
    home = _home(folder)
    homes = tuple(os.path.join(os.path.realpath(each), "") for each in (home, *paths.CORPORA))
    for file in files:
        if not os.path.join(os.path.realpath(file), "").startswith(homes):
            raise InvalidCorpus(
                f"{file} lies outside of {home} and of the corpora folders; move it there, or "
                "allow it with -y 'corpus: {outside: true}'."
            )


def _home(folder):
    """Return the folder of a corpus, which of a manifest is that where it lies."""
    return folder.parent if folder.is_file() else folder


def _stop(error):
    raise error  # os.walk would skip the folder


def read_text(file: str | Path) -> str:
    """Return a text; a byte order mark is skipped, and what is no UTF-8 is replaced."""
    return Path(file).read_text(encoding="utf-8-sig", errors="replace")


def _numbered(file):
    """Return the lines of a text that are not blank, by their number."""
    lines = enumerate(map(str.strip, read_text(file).splitlines()), 1)
    return pd.Series({number: line for number, line in lines if line}, dtype=str)


def read_lines(file: Path, pattern: str, example: str, only: str = "") -> pd.DataFrame:
    """Return the named groups of ``pattern`` in the lines of a text, by their number.

    Blank lines are skipped, and those that do not have ``only`` in them. Raises InvalidCorpus for
    a line that the pattern does not match, or where there is none; ``example`` is one that it does.
    """
    lines = _numbered(file)
    table = lines[lines.str.contains(only)].str.extract(rf"\A(?:{pattern})\Z")
    if table.empty:
        raise InvalidCorpus(f"{file} has no line such as '{example}'; fetch it again.")
    complaint = f"is not written as '{example}' is; correct that line or fetch the file again."
    refuse(table.isna().any(axis=1), file, complaint)
    return table


def _cells(file):
    """Return the cells of a table as text, NaN where one is empty, by the number of a row's first
    line; no row has more cells than the first.

    Cells are separated by commas, in a file ``.tsv`` by tabs. Blanks around them are cut off, and
    rows that hold nothing are skipped. Raises InvalidCorpus for what is no such table.
    """
    separator, rows, line = "\t" if file.suffix.lower() == ".tsv" else ",", {}, 1
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            # a line behind the last: part of a cell whose quote is not closed
            reader = csv.reader(chain(text, [END]), delimiter=separator, skipinitialspace=True)
            for cells in reader:
                rows[line], line = [*map(str.strip, cells)], reader.line_num + 1
    except (csv.Error, UnicodeError) as error:
        raise _no_table(file, error) from None
    line, end = rows.popitem()
    refuse(pd.Series({line: end != [END]}), file, "has a quote that is not closed; close it.")
    columns = dict(enumerate(zip_longest(*rows.values())))
    table = pd.DataFrame(columns, [*rows], dtype=object)
    count, table = table.count(axis=1), table.mask(table == "").dropna(how="all")
    if table.empty:
        raise _no_table(file, "it is empty")
    count, width = count[table.index], count[table.index[0]]
    if width == 1 and (other := re.search("[,;\t]", table.iloc[0, 0])):
        raise InvalidCorpus(
            f"{file} separates columns by {other[0]!r}; separate columns by commas (in a file .tsv "
            "by tabs), and write numbers with a point."
        )
    complaint = (
        f"has {{}} cells, but the header names {width} columns; put cells that hold commas in "
        "quotes, and no comma behind the last cell."
    )
    refuse(count > width, file, complaint, count)
    return table.iloc[:, :width]


def _no_table(file, why):
    return InvalidCorpus(f"{file} is no table in CSV ({why}); save it there as CSV in UTF-8.")


def read_table(file: Path, wanted: Collection[str]) -> pd.DataFrame:
    """Return the cells of a table as text, NaN where one is empty, by the number of the line; the
    first row names the columns.

    Raises InvalidCorpus for what is no table, and for a column of ``wanted`` that is there twice or
    seems to be there under another name.
    """
    table = _cells(file)
    columns = table.iloc[0].fillna("")
    absent = sorted({*wanted} - {*columns})
    for column in columns:
        close = difflib.get_close_matches(column.lower(), absent, n=1, cutoff=0.8)
        meant = SYNONYMS.get(column.lower(), *close[:1] or [""])
        if meant in absent and column not in wanted:
            raise InvalidCorpus(
                f"{file} has a column '{column}'; rename it to '{meant}' if that is meant, else "
                "choose a less similar name."
            )
    for column in columns[columns.duplicated() & columns.isin(wanted)]:
        raise InvalidCorpus(f"{file} has the column '{column}' more than once; keep one.")
    return table[1:].set_axis(columns.to_list(), axis=1)


def read_trials(folder: Path, lists: list[str]) -> pd.DataFrame:
    """Return the trials of these lists, in their order: list, genuine, first and second.

    A line is ``1 a b`` (0: another speaker) or ``a b target`` (``nontarget``), in a file ``.csv``
    or ``.tsv`` with separated cells, below a header or not. Raises InvalidCorpus where a list is
    malformed, OSError where it is absent.
    """
    trials = {name: _trials(_home(folder) / name) for name in lists}
    trials = pd.concat(trials, names=["list"])
    return trials.droplevel(1).reset_index()


def _trials(file):
    table = file.suffix.lower() in (".csv", ".tsv")
    cells = _cells(file) if table else _numbered(file).str.split(expand=True)
    count, cells = cells.count(axis=1), cells.reindex(columns=range(3))
    three, cells = cells.notna().all(axis=1) & (count == 3), cells.astype(str)
    known = cells.apply(lambda column: column.str.lower().map(GENUINE).where(three))
    answer = 2 if known[2].count() > known[0].count() else 0
    genuine = known[answer]
    if table and genuine[:1].isna().all():  # the header
        genuine = genuine[1:]
    if genuine.empty:
        raise InvalidCorpus(f"{file} has no line such as '1 a b'; fetch it again.")
    complaint = (
        "is not written as '1 a b' or 'a b target' is (0 or nontarget: of two speakers); correct "
        "that line or fetch the file again."
    )
    refuse(genuine.isna(), file, complaint)
    pairs = cells.drop(columns=answer).set_axis(["first", "second"], axis=1)
    return pd.concat([genuine.astype(bool).rename("genuine"), pairs], axis=1, join="inner")


def read_folds(corpus: Corpus) -> pd.DataFrame:
    """Return the recordings that the lists of ``corpus.folds_from`` name: ``audio``, a path;
    ``start`` in seconds, NaN for a whole file; ``fold``, its side and name such as ``test@fold_1``.

    Files of a folder whose names have no word for a side are no lists; without it, and with the
    folder's, the name is the fold's. Raises InvalidCorpus for a list that cannot be read, and for a
    file that is named and is none.
    """
    tables = [pd.DataFrame(columns=["audio", "start", "fold"])]
    for place in map(paths.corpus, corpus.folds_from):
        for file in map(Path, walk(place, corpus) if place.is_dir() else [place]):
            name = f"{file.parent.name}/{file.stem}".lower()
            words = SIDE.findall(name)
            is_list = words and file.suffix in (".jsonl", ".csv", ".tsv")
            if file == place and not is_list:
                raise InvalidCorpus(
                    f"{file} is no folder, and no list of a fold: parameter 'corpus.folds_from'"
                    " takes .jsonl, .csv and .tsv files with train, validation or test in their"
                    " names; rename or correct it."
                )
            if is_list:
                name = re.sub(r"[\W_]+", "_", SIDE.sub("", name)).strip("_")
                side = words[-1] if words[-1] in ("train", "test") else "validation"
                tables.append(_read_list(file).assign(fold=f"{side}@{name}"))
    return pd.concat(tables, ignore_index=True)


def _read_list(file):
    """Return file and start of each recording in a list: EmoBox's JSON Lines (``wav``) or a table
    of audformat (``file``)."""
    if file.suffix == ".jsonl":
        try:
            table = pd.read_json(StringIO(read_text(file)), lines=True, dtype=str)
            table.index += 1
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidCorpus(
                f"{file} is no list in JSON Lines ({error}); fetch it again."
            ) from None
    else:
        table = read_table(file, ())
    named = reversed([*table.items()])  # the first of several is meant
    columns = {SYNONYMS.get(name, name): column for name, column in named}
    table = pd.DataFrame(columns, table.index, ["audio", "start"]).astype(str)
    refuse(table.audio.isna(), file, "names no file ('wav' or 'file'); fetch the list again.")
    return table.assign(start=seconds(table.start, file))


def seconds(cells: pd.Series, file: Path) -> pd.Series:
    """Return a column of times in seconds, NaN where a cell is empty; time spans as audformat
    writes them (``0 days 00:00:01.5``, ``0 days``) become seconds.

    Raises InvalidCorpus for what is no time from 0 on.
    """
    spans = pd.to_timedelta(cells.where(cells.str.contains(":|day", na=False)), errors="coerce")
    times = pd.to_numeric(cells, errors="coerce").astype(float).fillna(spans.dt.total_seconds())
    wrong = cells.notna() & ~times.between(0, np.inf, "left")
    rule = "write seconds from 0 on, such as 12.5, or leave it empty."
    refuse(wrong, file, f"has '{{}}' as {cells.name}; {rule}", cells)
    return times


def find(
    folder: Path, corpus: Corpus, place: Callable[[str], tuple | None], kinds: Collection[str]
) -> pd.DataFrame:
    """Return the files of a corpus: a row for each name, a column for each kind, NaN: there is
    none.

    ``place`` returns name, kind and path by a path, None for a file that is none of ``kinds``. Of
    several it is that of the first ending; ``attrs["remarks"]`` says in a sentence whether there
    are copies. Raises InvalidCorpus where two of one ending are not the same bytes.
    """
    places, key = dict.fromkeys(filter(None, map(place, walk(folder, corpus)))), ["name", "kind"]
    table = pd.DataFrame([*places], columns=[*key, "file"], dtype=object)
    rank = table.file.map(lambda file: ENDINGS.get(os.path.splitext(file)[1].lower(), math.inf))
    table = table[rank == rank.groupby([table[each] for each in key]).transform("min")]
    twins, copies = table[table.duplicated(key, keep=False)].groupby(key).file.agg(list), []
    content = hashes(twins.explode(), corpus)
    for one, *others in twins:
        for other in others:
            if content[other] != content[one]:
                raise InvalidCorpus(
                    f"{other} and {one} are the same recording and differ; move one of them out of "
                    "the corpus."
                )
            copies.append(f"{other} and {one}")
    files = table.drop_duplicates(key).pivot(index="name", columns="kind", values="file")
    files.attrs["remarks"] = [
        f"duplicate files: {len(copies)}, such as {pair}; one of each is used"
        for pair in copies[:1]
    ]
    return files.reindex(columns=kinds).astype(str)


def refuse(wrong: pd.Series, file: Path, complaint: str, *columns: pd.Series) -> None:
    """Raise InvalidCorpus for the first wrong line; its cells of ``columns`` fill ``complaint``.

    The index of ``wrong`` ``(lines,)`` and of the columns are numbers of lines.
    """
    if wrong.any():
        line = wrong.idxmax()
        complaint = complaint.format(*(column[line] for column in columns))
        raise InvalidCorpus(f"line {line} of {file} {complaint}")
