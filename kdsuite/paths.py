"""Where things live (the repository, its parameters, data and reports), and how files are written:
once, in one step, with a sentence where the disk is full."""

import errno
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kdlib.errors import FullDisk, UserError

# a checkout has notebooks, Snakefile and docs beside the two packages; a wheel has them in SHARE,
# and its user's files are in the working folder
CODE = Path(__file__).resolve().parent.parent
SHARE = CODE / "kdsuite" / "share"
INSTALLED = SHARE.is_dir()
ROOT, HOME = (SHARE, Path.cwd()) if INSTALLED else (CODE, CODE)
# an empty variable is one that is not set
PARAMS, DATA, REPORTS = (
    Path(os.environ.get(f"KDLIB_{name.upper()}") or HOME / name).expanduser().absolute()
    for name in ("params", "data", "reports")
)
# bytes: less than this is a full disk
NEEDED = 4096
# errors of places where nothing can be written
FORBIDDEN = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}

# $KDLIB_CORPORA names further folders, as $PATH does; the examples are manifests
FURTHER = os.environ.get("KDLIB_CORPORA", "").split(os.pathsep)
FURTHER = [Path(each).expanduser().absolute() for each in FURTHER if each]
CORPORA = (DATA / "corpora", *FURTHER, PARAMS / "examples", SHARE / "params" / "examples")
# processes that start in other folders, such as kernels of JupyterLab, take the same ones
for _name, _places in {
    "PARAMS": [PARAMS], "DATA": [DATA], "REPORTS": [REPORTS], "CORPORA": FURTHER,
}.items():  # fmt: skip
    if os.environ.get(f"KDLIB_{_name}"):
        os.environ[f"KDLIB_{_name}"] = os.pathsep.join(map(str, _places))
# what a parameter file may be called: its name becomes that of folders, links and files
PLAIN = re.compile(r"\w[\w.-]*")


def parameter_files(folder: str = "") -> dict[str, Path]:
    """Return the files ``*.yaml`` of a folder of ``PARAMS`` by their names; an installed suite
    brings files of its own, which those replace."""
    places = SHARE / "params" / folder, PARAMS / folder
    files = {file.stem: file for place in places for file in place.glob("*.yaml")}
    return {name: files[name] for name in sorted(files) if PLAIN.fullmatch(name)}


def corpus(path: str) -> Path:
    """Return where a corpus lies: ``path`` itself where absolute, else the first corpora folder
    that has it.

    A corpus that does not exist yet belongs into ``$KDLIB_DATA/corpora``.
    """
    paths = [folder / path for folder in CORPORA]
    return next((path for path in paths if path.exists()), paths[0])


def writable(path: Path) -> Path:
    """Return where a file below ``DATA`` is or may be made: below ``REPORTS`` where others' data
    can only be read and have none such."""
    nearest = next(each for each in path.parents if each.exists())
    there = path.exists() or os.access(nearest, os.W_OK)
    return path if there else REPORTS / path.relative_to(DATA)


def output(path: str | Path, *inputs: str | Path) -> Path:
    """Return the path of a file to write; raise UserError for a folder, and for one of the
    ``inputs`` by whatever name."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file to write.")
    if path.exists() and any(Path(each).exists() and path.samefile(each) for each in inputs):
        raise UserError(f"{path} is also an input, so it is not overwritten; name another file.")
    return path


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder to write in; raise UserError where that is not allowed, and FullDisk for a full
    disk, for which each library that writes has another error."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except UserError:
        raise
    except Exception as error:
        number = getattr(error, "errno", 0)
        if number in FORBIDDEN:
            raise UserError(
                f"{error.filename or folder} cannot be written ({error.strerror}); check its"
                " permissions, or set $KDLIB_DATA and $KDLIB_REPORTS to other folders."
            ) from error
        full = number == errno.EDQUOT or "No space left" in str(error)
        if full or shutil.disk_usage(folder).free < NEEDED:
            raise FullDisk(
                f"the disk of {folder} is full; free some space and start this again; it resumes."
            ) from error
        raise


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that several processes may make; the others wait. Raises
    what :func:`writing` does."""
    from filelock import FileLock, SoftFileLock, Timeout

    file = path.with_name(path.name + ".lock")
    file_lock = FileLock(file)  # the kernel's: it is gone when its process ends, however it ends
    with writing(path.parent):
        try:
            acquired = file_lock.acquire(timeout=0)
        except Timeout:
            print(
                f"waiting for {path}, which is being made (process and host:"
                f" {' '.join(file.read_text().split()[:2])})",
                flush=True,
            )
            acquired = file_lock.acquire()
        with acquired:
            # on file systems without locks the file says this by itself
            if not isinstance(file_lock, SoftFileLock):
                file.write_text(f"{os.getpid()} {platform.node()}\n")
            yield


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, vouches: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` in one step, so that it is never
    incomplete, even after power loss.

    One that ``vouches`` for the files beside it appears after all of them have reached the disk.
    Its permissions are those of any new file. Raises what :func:`writing` does.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    with writing(path.parent):
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            yield temporary
            temporary.chmod(mode)  # some libraries write files that only their owner may read
            for file in path.parent.glob("*") if vouches else [temporary]:
                with suppress(FileNotFoundError):  # another process's temporary file
                    sync(file)
            os.replace(temporary, path)
            if vouches:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, vouches: bool = False) -> None:
    """Write a text file as :func:`replacing` does."""
    with replacing(path, vouches) as temporary:
        temporary.write_text(text, encoding="utf-8")


def once(path: Path, make: Callable[[Path], None], *others: Path) -> None:
    """Make a file unless it and ``others``, for which it vouches, are there; the first of several
    processes does, and the rest wait.

    ``make`` writes the others, and last its argument, which becomes ``path`` in one step when all
    files beside it have reached the disk. Where they are there nothing is written, no lock either.
    Raises what :func:`writing` does.
    """

    def missing():
        return not all(file.exists() for file in (path, *others))

    if missing():
        with lock(path):
            if missing():
                with replacing(path, vouches=True) as temporary:
                    make(temporary)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, in one step and after all files beside it have reached the disk, for
    which it vouches."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n", vouches=True)
