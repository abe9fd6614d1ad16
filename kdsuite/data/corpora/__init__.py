"""From a corpus on disk to one table of recordings (the folds follow in :mod:`kdsuite.data.folds`).

A reader returns one row a recording, with those of :data:`kdsuite.data.COLUMNS` that it can fill:

- ``recording``, a name that no other row has; ``speaker``; ``label``, a pandas categorical in the
  order of the corpus;
- ``audio`` and ``video``: absolute paths; ``video`` may also be a folder of still pictures, and is
  empty where a table of face measurements stands for it, or where there is none;
- ``features``: the recording's name in the table of face measurements;
- ``audio_start``, ``video_start`` and ``seconds``: which part of the files it is, in seconds;
  ``seconds`` NaN is up to the end;
- ``face``: where the face is in the frame, empty for the centre, ``left`` or ``right`` for that
  half, or the path of a face track file; ``crop`` for pictures that are face crops already;
- ``source``: the longer recording (video, dialogue) it was cut from; ``fold``: the corpus' own
  fold, or train, validation, test.

``attrs["incomplete"]`` names what was left out, and why; ``attrs["remarks"]`` are sentences, such
as of files that are there twice; ``attrs["split"]`` is a short hash of the corpus' own folds, ""
where they are not used.
"""

import hashlib
import os
import re
import unicodedata
from contextlib import suppress
from decimal import Decimal
from itertools import chain, count
from pathlib import Path

import pandas as pd
import yaml

from kdlib.errors import InvalidCorpus, UserError, printable
from kdsuite import paths
from kdsuite.data import COLUMNS, STORE_FORMAT
from kdsuite.data.contents import hashes
from kdsuite.data.corpora import iemocap, manifest, ravdess, voxceleb1
from kdsuite.data.corpora.features import names
from kdsuite.data.decoding.faces import is_track
from kdsuite.data.reading import check_places, read_folds, read_trials, reported
from kdsuite.parameters import Corpus
from kdsuite.settings import Settings, digest, relevant

# how a cell begins that a spreadsheet computes: = or @, or + or - before a call or a command
FORMULA = re.compile(r"[=@]|[+-].*[(|!]")
PUBLISHED = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())
LAYOUTS = {"ravdess": ravdess, "voxceleb1": voxceleb1, "iemocap": iemocap, "manifest": manifest}


@reported()
def read(corpus: Corpus) -> pd.DataFrame:
    """Return the table of recordings of a corpus, sorted by name.

    Raises InvalidCorpus where the folder is missing, has no recordings, or holds a file that does
    not belong there.
    """
    folder = paths.corpus(corpus.path)
    exists = folder.is_file if corpus.layout == "manifest" else folder.is_dir
    if not exists():
        raise InvalidCorpus(
            f"the {corpus.layout} corpus {folder} does not exist; put it there, or name another"
            " with the parameter corpus.path."
        )
    table = LAYOUTS[corpus.layout].read(folder, corpus)
    if corpus.trials:
        table = _without_compared(table, folder, corpus)
    table = _completed(table, corpus)
    if corpus.folds_from and corpus.protocol == "given":
        table = _with_published_folds(table, folder, corpus)
    _check(table, folder, corpus)
    table.attrs["split"] = digest(table.fold.tolist()) if corpus.protocol == "given" else ""
    return table


def _without_compared(table, folder, corpus):
    """Leave out the speakers of verification trials: they must be unknown to the networks."""
    _, files, missing = _trials(table, folder, corpus)
    # of VoxCeleb1 a name begins with the speaker's
    compared = [*files.speaker, *(name.partition("/")[0] for name in missing)]
    left = table[~table.speaker.isin(compared)]
    if left.empty and len(table):
        raise InvalidCorpus(
            f"all speakers in {folder} are in the lists of corpus.trials, which leaves none to"
            " train on; add recordings of others, or take lists of fewer speakers."
        )
    return left


def _completed(rows, corpus):
    """Fill in what a reader does not, choose the target, and sort by name.

    Recordings without a class are dropped; those without sound are left out and, where others
    have faces, those without.
    """
    table = pd.DataFrame({**COLUMNS, **rows}, rows.index).dropna(subset="label").fillna(COLUMNS)
    table["source"] = table.source.mask(table.source == "", table.recording)
    if corpus.target == "speaker":
        table["label"] = table.speaker
    if corpus.features:
        table["features"] = table.features.mask(table.features == "", table.recording)
        table["video"], what = "", f"row in {corpus.features}"
        faceless = ~table.features.isin(names(corpus.features))
    else:  # all runs of a corpus are compared on the recordings that a teacher can use
        table["features"] = ""
        faceless, what = table.video.eq("") & table.video.any(), "video"
    silent = table.audio == ""
    incomplete = rows.attrs.get("incomplete", {}) | {
        name: f"recording {name} has no {missing}"
        for lacking, missing in ((faceless, what), (silent, "sound"))
        for name in table.recording[lacking]
    }
    table = table[~(faceless | silent)].sort_values("recording", ignore_index=True)
    table["label"] = table.label.astype("category").cat.remove_unused_categories()
    table.attrs = {"remarks": [], **rows.attrs, "incomplete": incomplete}
    return table


def _with_published_folds(table, folder, corpus):
    """Take the folds of published lists; leave out the recordings that none of them names.

    A list names the recording or its file, of whose path so many last parts count as tell the
    corpus' files apart; without a start it means all that is cut from the file.
    """

    def ends(files, depth):
        return files.map(lambda file: "/".join(_stem(file).split("/")[-depth:]))

    total, at = ends(table.audio, 0).nunique(), "@{:.10g}".format
    depth = next(n for n in count(1) if ends(table.audio, n).nunique() == total)
    starts, rows = table.audio_start.map(at), {}
    # RAVDESS calls the sound of a take 03-…
    for keys in ("03-" + table.recording, table.recording, ends(table.audio, depth)):
        rows |= table.groupby(keys).indices | table.groupby(keys + starts).indices
    lists = read_folds(corpus)
    names = ends(lists.audio, depth)
    lists["row"] = names.mask(lists.start.notna(), names + lists.start.map(at)).map(rows.get)
    once, listed = lists.drop_duplicates(["audio", "start"]).row, lists.dropna(subset="row")
    fold = listed.explode("row").groupby("row").fold.agg(" ".join)
    absent, left = once.isna().sum(), len(table) - len(fold)
    remark = (
        f"corpus.folds_from lists {len(once)} recordings; the corpus lacks {absent} of them; of its"
        f" {len(table)} recordings, {left} are in no list and are skipped"
    )
    if not fold.str.contains("test@").any():
        raise InvalidCorpus(
            f"{remark}; name lists for {folder} that have train or test in their names."
        )
    table.attrs["remarks"] += [remark] * bool(absent + left)
    table = table.loc[fold.index].assign(fold=fold).reset_index(drop=True)
    return table.assign(label=table.label.cat.remove_unused_categories())


def _stem(name):
    """Return the name of a file or recording without its ending; a number is none (``a@2.5``)."""
    return re.sub(r"\.(?!\d+$)[^./]+$", "", name)


def _check(table, folder, corpus):
    """Refuse a corpus without recordings, names that are there twice or in two spellings, and
    harmful ones.

    Those break a line, command a terminal, or compute in a spreadsheet.
    """
    if table.empty:
        reasons = list(table.attrs["incomplete"].values())
        why = f" ({len(reasons)} were left out, the first because {reasons[0]})" if reasons else ""
        raise InvalidCorpus(
            f"no usable recording lies in {folder}; check the parameters corpus.path and those of "
            f"the {corpus.layout} layout{why}."
        )
    for name in table.recording[table.recording.duplicated()]:
        raise InvalidCorpus(
            f"recording {name} is more than once in {folder}; keep one of its files."
        )
    for column in ("recording", "speaker", "label", "fold"):
        spellings = {}
        for name in table[column].unique():
            if printable(name) != name or FORMULA.match(name):
                raise InvalidCorpus(
                    f"the {column} '{name}' in {folder} has unprintable characters, or would "
                    "be a formula in a spreadsheet; rename it."
                )
            other = spellings.setdefault(_sense(name), name)
            if other != name and column != "recording":
                raise InvalidCorpus(
                    f"the {column} '{other}' and the {column} '{name}' in {folder} differ only in "
                    "spelling; write them alike, or rename one."
                )
    files = {*table.audio, *table.video, *filter(is_track, table.face)} - {""}
    pictures = chain.from_iterable(map(os.scandir, filter(os.path.isdir, files)))
    links = [picture.path for picture in pictures if picture.is_symlink()]
    check_places([*files, *links], folder, corpus)


def _sense(name):
    """Return what is the same for all spellings of a name or number."""
    with suppress(ArithmeticError):
        if (number := Decimal(name)).is_finite():
            return number
    return unicodedata.normalize("NFKC", name).casefold()


@reported()
def trials(corpus: Corpus) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return verification trials, the files they name, and the names of those that are missing.

    Trials have the columns list, genuine, first, second; files recording, speaker, audio,
    audio_start and seconds. Trials name recordings, of VoxCeleb1 files. Raises InvalidCorpus where
    a list is absent or malformed.
    """
    folder, layout = paths.corpus(corpus.path), LAYOUTS[corpus.layout]
    return _trials(getattr(layout, "utterances", layout.read)(folder, corpus), folder, corpus)


def _trials(recordings, folder, corpus):
    pairs = read_trials(folder, corpus.trials)
    table = pd.DataFrame({**COLUMNS, **recordings}).dropna(subset="audio").fillna(COLUMNS)
    table = table.drop_duplicates("recording").set_index("recording")
    names = pd.Series(sorted({*pairs["first"], *pairs["second"]}), dtype=str)
    # as a name of a file too, whose ending is no part of the recording's name
    keys = names.where(names.isin(table.index), names.map(_stem))
    there = keys.isin(table.index)
    files = table.loc[keys[there], ["speaker", "audio", "audio_start", "seconds"]]
    check_places(files.audio, folder, corpus)
    files = files.reset_index(drop=True).assign(recording=names[there].to_list())
    return pairs, files, names[~there].tolist()


def published(corpus: Corpus) -> dict[str, int]:
    """Return the counts that the corpus' owners or the paper print for this choice of recordings.

    It is empty where there are none, as of synthetic corpora and recordings of one's own.
    """
    own = corpus.model_dump()
    for entry in () if corpus.synthetic else PUBLISHED.get(corpus.layout, ()):
        # lists in any order
        if all(sorted(own[name]) == sorted(value) for name, value in entry["of"].items()):
            return entry["counts"] | (entry.get("classes", {}) if own["target"] == "label" else {})
    return {}


def identified(files: pd.DataFrame, corpus: Corpus) -> list:
    """Return the rows of the files of trials, with the hash of each in place of its path."""
    content = files.audio.map(hashes(files.audio, corpus))
    return files.assign(audio=content).astype(str).values.tolist()


def store_name(recordings: pd.DataFrame, settings: Settings) -> str:
    """Return the name of the store of recordings: a hash of the rows, of their files, of the table
    of face measurements, and of how they are decoded.

    It is the same wherever the corpus lies.
    """
    # the folds are not decoded, but read where a network is trained
    rows, corpus = recordings.drop(columns="fold").astype(str), settings.corpus
    content = hashes([*rows.audio, *rows.video, *filter(is_track, rows.face)], corpus)
    for column in ("audio", "video", "face"):
        rows[column] = rows[column].map(lambda file: content.get(file, file))
    table = paths.corpus(corpus.features).read_bytes() if corpus.features else b""
    recorded = digest([hashlib.sha256(table).hexdigest(), rows.values.tolist()])
    return digest([STORE_FORMAT, recorded, relevant(settings, "data", decoding=True)])


def on_disk(settings: Settings) -> dict[str, str]:
    """Return the name of the ``store`` of a corpus as it lies there now, and a short hash of its
    own folds, ``split``; both are "" where it is unreadable."""
    with suppress(UserError, OSError):
        table = read(settings.corpus)
        return {"store": store_name(table, settings), "split": table.attrs["split"]}
    return {"store": "", "split": ""}


def trials_on_disk(corpus: Corpus) -> str:
    """Return a short hash of the verification trials and their files as they lie there now.

    It is "" where there is none to read, and for a synthetic corpus, which its parameters identify.
    """
    with suppress(UserError, OSError):
        if corpus.trials and not corpus.synthetic:
            pairs, files, _ = trials(corpus)
            return digest([pairs.astype(str).values.tolist(), identified(files, corpus)])
    return ""
