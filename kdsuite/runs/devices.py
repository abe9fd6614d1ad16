"""One GPU a run: where a machine has several and none is assigned, each process takes one and keeps
it until it ends."""

import ctypes
import itertools
import os
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from kdlib.device import configure
from kdlib.errors import InvalidParameter
from kdlib.parameters import Training
from kdsuite.settings import Settings

SHARE = "KDLIB_GPU_SHARE"
# on the machine's own disk, for GPUs are the machine's; one folder a user, who may not write into
# those of others
LOCKS = Path(tempfile.gettempdir()) / f"kdlib-gpus-{os.getuid()}"
# width of a network, 1 in the paper and an eighth in the demo, from which on threads pay on an idle
# machine: arithmetic grows with its square
LARGE = 0.25
_held: list[FileLock] = []  # a lock is let go when its process ends, however it ends


def share() -> int:
    """Return how many runs may use a GPU at once: $KDLIB_GPU_SHARE, else 1; raise InvalidParameter
    where that is no number."""
    value = os.environ.get(SHARE) or "1"
    if not value.isdigit():
        raise InvalidParameter(
            f"${SHARE} is {value!r}; give the number of runs that may share a GPU, or 0 where none"
            " is to be locked."
        )
    return int(value)


@cache
def claim(count: int) -> int:
    """Return the number of the GPU, of ``count``, that this process has to its end; wait where all
    are taken."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count():
        # all first places before any second one: runs share a GPU only where none is free
        for place, number in itertools.product(range(share()), range(count)):
            lock = FileLock(LOCKS / f"gpu-{number}-{place}.lock", timeout=0)
            with suppress(Timeout):
                lock.acquire()
                _held.append(lock)
                return number
        if not attempt:
            print(
                f"waiting for a GPU: {share()} run(s) on each of {count}; ${SHARE} lets more of"
                " them share one",
                flush=True,
            )
        time.sleep(0.5)


def device_of(training: Training) -> torch.device:
    """Return the device to train on, of several GPUs one that is free, and set torch's switches for
    it; raise InvalidParameter where CUDA is asked for and absent."""
    available = torch.cuda.is_available()
    if training.device == "cuda" and not available:
        raise InvalidParameter(
            "parameter 'training.device' is 'cuda', but no CUDA device is there; use auto or cpu."
        )
    device = torch.device("cpu" if training.device == "cpu" or not available else "cuda")
    # a scheduler or the user may have chosen the GPU, or none is to be locked
    if device.type == "cuda" and "CUDA_VISIBLE_DEVICES" not in os.environ and share():
        device = torch.device("cuda", claim(torch.cuda.device_count()))
    configure(training, device)
    return device


def set_threads(settings: Settings, stage: str) -> None:
    """Let this process compute on a CPU with ``training.threads``, unless $OMP_NUM_THREADS says
    with how many.

    ``auto`` is a function of the settings and of the cores that this process may use by affinity
    and quota: all of them for a ``teacher`` of pictures or a ``student`` of at least the width
    :data:`LARGE`, else one. Beside a busy process several threads wait for the one that is not
    scheduled, which took up to 100 times as long.
    """
    threads = settings.training.threads
    if threads == "auto":
        widths = {"student": settings.model.width}
        if not settings.corpus.features:
            widths["teacher"] = settings.model.teacher_width
        threads = cores() if widths.get(stage, 0) >= LARGE else 1
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


def return_memory() -> None:
    """Let blocks of 4 MB and more go back to the system as soon as they are free.

    glibc keeps those of up to 32 MB: at the paper's width half a gigabyte.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(-3, 4_000_000)  # M_MMAP_THRESHOLD


def cores() -> int:
    """Return how many cores this process may use."""
    from joblib import cpu_count  # late: a tenth of a second

    return cpu_count()
