"""One GPU a run: where a machine has several and nobody said which, each process takes one and
keeps it until it ends."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from kdlib.errors import InvalidParameter
from kdlib.parameters import Training

if TYPE_CHECKING:
    import torch

SHARE = "KDLIB_GPU_SHARE"
# on the machine's own disk, for GPUs are the machine's; one folder a user, who may not write into
# those of others
LOCKS = Path(tempfile.gettempdir()) / f"kdlib-gpus-{os.getuid()}"
_held: list[FileLock] = []  # a lock is let go when its process ends, however it ends


def assigned() -> bool:
    """Return whether somebody else chose the GPU (a scheduler, the user by CUDA_VISIBLE_DEVICES),
    or nobody is to ($KDLIB_GPU_SHARE is 0)."""
    return "CUDA_VISIBLE_DEVICES" in os.environ or share() == 0


def share() -> int:
    """Return how many runs may use a GPU at once: $KDLIB_GPU_SHARE, else 1; raise InvalidParameter
    where that is no number."""
    given = os.environ.get(SHARE, "1")
    if not given.isdigit():
        raise InvalidParameter(
            f"${SHARE} is {given!r}; give the number of runs that may share a GPU, or 0 where none is to be locked."
        )
    return int(given)


@cache
def claim(count: int) -> int:
    """Return the number of the GPU, of ``count``, that this process has to its end; wait where all
    are taken."""
    told = False
    while True:
        # all first places before any second one: runs share a GPU only where none is free
        for place in range(share()):
            for number in range(count):
                if _take(LOCKS / f"gpu-{number}-{place}.lock"):
                    return number
        if not told:
            print(
                f"waiting for a GPU: {share()} run(s) on each of {count}; ${SHARE} lets more of them share one",
                flush=True,
            )
            told = True
        time.sleep(0.5)


def _take(file: Path) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    _held.append(lock)
    return True


def device_of(training: Training) -> torch.device:
    """Return the device to train on, of several GPUs one that is free; raise InvalidParameter where
    CUDA is asked for and absent."""
    import torch

    if training.device == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter(
            "parameter 'training.device' is 'cuda', but no CUDA device is there; use auto or cpu."
        )
    if training.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return (
        torch.device("cuda")
        if assigned()
        else torch.device("cuda", claim(torch.cuda.device_count()))
    )
