"""A corpus from the archive of its owners: listed with sizes, then downloaded, checked and
unpacked."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

from kdlib.errors import FullDisk, UserError
from kdsuite import paths

RECORD = "https://zenodo.org/api/records/1188976"
# corpora that are given to those who sign, and where
FORMS = {
    "voxceleb1": "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    "iemocap": "https://sail.usc.edu/iemocap/",
}
# bytes of a connection that breaks are kept by the chunk
CHUNK = 1 << 14


def fetch(corpus: str, audio: bool = False, keep: bool = False, dry_run: bool = False) -> None:
    """Download the archives of RAVDESS that are missing, and unpack each into a folder of its name
    in ``data/corpora/ravdess``; of an interrupted one the rest.

    ``audio`` takes the archives of sound in place of those of video. ``keep`` does not delete the
    archives, ``dry_run`` only lists them. Raises UserError where the corpus is given on request
    alone, the connection breaks or a file is not what the record says, FullDisk for lack of room.
    """
    if corpus in FORMS:
        raise UserError(
            f"{corpus} requires a signed form: request it at {FORMS[corpus]}, and put it "
            "where docs/corpora.md says."
        )
    try:
        import pooch  # late: an optional package
        import requests
    except ImportError:
        raise UserError("the package pooch is not installed; pip install 'kdlib[fetch]'.") from None
    folder, pattern = (
        paths.DATA / "corpora/ravdess",
        rf"{'Audio' if audio else 'Video'}_[\w-]+\.zip",
    )
    try:
        record = requests.get(RECORD, timeout=60)
        record.raise_for_status()
        files = [file for file in record.json()["files"] if re.fullmatch(pattern, file["key"])]
        todo = [file for file in files if not _unpacked(folder, file).exists()]
        for file in files:
            there = "" if file in todo else ", is there"
            print(f"{file['key']}: {file['size'] / 1e6:.1f} MB, {file['checksum']}{there}")
        sizes = [file["size"] for file in todo]
        print(
            f"{len(todo)} of {len(files)} archives, {sum(sizes) / 1e9:.2f} GB, are to be downloaded"
            f" into {folder}.\nRAVDESS has the licence CC BY-NC-SA 4.0"
            " (https://creativecommons.org/licenses/by-nc-sa/4.0): no commercial use; name its"
            " authors; share what is made of it under the same licence."
        )
        if dry_run or not todo:
            return
        with paths.lock(folder):
            # archives of sound hold some 2.5 times their size, those of video their own
            needed = sum(sizes) * (1 + 2 * audio + keep) + max(sizes)
            free = shutil.disk_usage(folder.parent).free
            if free < needed:
                raise FullDisk(
                    f"the archives and what they hold need {needed / 1e9:.2f} GB, but the disk of"
                    f" {folder} has {free / 1e9:.2f} GB free; make room, or set $KDLIB_DATA to a"
                    " folder on another disk."
                )
            for file in todo:
                if not _unpacked(folder, file).exists():  # another process may have been first
                    _fetch(pooch, folder, file, keep)
    except requests.RequestException as error:
        raise UserError(
            f"the download from {RECORD} failed ({error}); start it again, and it resumes."
        ) from None


def _unpacked(folder, file):
    return folder / file["key"].removesuffix(".zip")


def _fetch(pooch, folder, file, keep):
    """Download an archive and unpack it; the folder of its name appears when it is complete."""
    name, hidden = file["key"], folder / f".{file['key']}"

    def resume(url, output, store):
        """Download what the hidden file lacks. Where the server sends all of it again, the md5 is
        wrong, and pooch starts again."""
        with open(hidden, "ab") as part:
            if part.tell() < file["size"]:
                rest = {"Range": f"bytes={part.tell()}-"}
                pooch.HTTPDownloader(sys.stderr.isatty(), CHUNK, headers=rest)(url, part, store)
        os.replace(hidden, output)

    registry, urls = {name: file["checksum"]}, {name: file["links"]["self"]}
    store = pooch.create(folder, "", registry=registry, urls=urls, retry_if_failed=3)
    try:
        archive = Path(store.fetch(name, downloader=resume))
    except ValueError:
        raise UserError(
            f"{name} has another md5 than {RECORD} says, also when downloaded again; tell its"
            " owners."
        ) from None
    with zipfile.ZipFile(archive) as members:
        members.extractall(f"{hidden}.unpacked")  # .. and / at the start of names are left out
    os.rename(f"{hidden}.unpacked", _unpacked(folder, file))
    if not keep:
        archive.unlink()
