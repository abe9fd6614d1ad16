"""What files hold: a hash of all their bytes, computed again only where a file has changed."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from kdlib.errors import UserError
from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.parameters import Corpus

# what is written later than this before a hash (ns) may change again and keep its times
SETTLED = 10**9


def hashes(files: Iterable[str], corpus: Corpus) -> dict[str, str]:
    """Return the hash of each file of a corpus; of a folder that of the files in it, of "" "".

    They are kept in ``data/hashes``, with sizes, times and inodes that tell a changed file. Raises
    OSError for a file that may not be read.
    """
    files, now = {*files} - {""}, time.time_ns()
    if not files:
        return {"": ""}
    memory = paths.DATA / "hashes" / f"{digest(corpus.path)}.json"
    known = {}
    with suppress(OSError, ValueError):
        known = json.loads(memory.read_bytes())
    states = {file: _state(file) for file in files}
    changed = [file for file in files if known.get(file, "-")[0] != states[file][0]]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        fresh = dict(zip(changed, pool.map(_hash, changed)))
    settled = [file for file in fresh if now - states[file][1] > SETTLED]
    if settled:
        known |= {file: [states[file][0], fresh[file]] for file in settled}
        # without it they are computed again
        with suppress(OSError, UserError), paths.replacing(memory) as temporary:
            temporary.write_text(json.dumps(known))
    return {"": ""} | {file: fresh.get(file) or known[file][1] for file in files}


def _members(path):
    """Return the files of a folder, or the file itself; a pipe or a device is none."""
    inside = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
    members = (os.path.join(path, name) if name else path for name in inside)
    return [member for member in members if os.path.isfile(member)]


def _state(path):
    """Return what tells whether a file has changed, and when it did (ns)."""
    os.stat(path)  # may be missing
    stats = [os.stat(member) for member in _members(path)]
    facts = [(of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino) for of in stats]
    return digest(facts), max((of.st_ctime_ns for of in stats), default=0)


def _hash(path):
    whole = hashlib.sha256()
    for member in _members(path):
        with open(member, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:24]
