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

# seconds: what was written later than this before its hash may change again and keep its times
SETTLED = 1


def hashes(files: Iterable[str], corpus: Corpus) -> dict[str, str]:
    """Return the hash of each file of a corpus; of a folder that of the files in it, of "" "".

    They are kept in ``data/hashes`` by names, sizes, times (ns) and inodes, which tell a changed
    file. Raises OSError for a file that may not be read.
    """
    files, known = {*files} - {""}, {}
    memory = paths.DATA / "hashes" / f"{digest(corpus.path)}.json"
    with suppress(OSError, ValueError):
        known = json.loads(memory.read_bytes())
    states = {file: _state(file) for file in files}
    changed = [file for file in files if states[file] not in known]
    if changed:
        from joblib import cpu_count  # late: a tenth of a second

        with ThreadPoolExecutor(cpu_count()) as pool:
            known |= {states[file]: value for file, value in zip(changed, pool.map(_hash, changed))}
        young = {states[file] for file in changed if time.time() - _written(file) < SETTLED}
        kept = {state: value for state, value in known.items() if state not in young}
        # without it they are computed again
        with suppress(OSError, UserError):
            paths.write_text(memory, json.dumps(kept))
    return {"": ""} | {file: known[state] for file, state in states.items()}


def _written(path):
    return max((os.stat(member).st_ctime for member in _members(path)), default=0.0)


def _members(path):
    """Return the files of a folder, or the file itself; a pipe or a device is none."""
    os.stat(path)  # may be missing
    members = [path]
    if os.path.isdir(path):
        members = [os.path.join(path, name) for name in sorted(os.listdir(path))]
    return [*filter(os.path.isfile, members)]


def _state(path):
    """Return what is another one as soon as the file is changed, or moved."""
    stats = map(os.stat, _members(path))
    return digest(
        [path, *((of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino) for of in stats)]
    )


def _hash(path):
    whole = hashlib.sha256()
    for member in _members(path):
        if member != path:  # the name of a picture says whether, and when, it is shown
            whole.update(os.fsencode(os.path.basename(member)))
        with open(member, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:24]
