"""The papermill engine of this environment, with or without ``--engine kdlib``: kernels that clash
with no other, and a run that one can follow.

Kernels use unix sockets: any number may start at once, and no other process can read what they
send. Plain ones choose TCP ports, which another kernel may take in the meantime, and say that these
are not encrypted. What cells print appears at once, and the sentence of an error that a user can
correct stands alone.
"""

import os
import sys
import tempfile
from functools import partial
from types import SimpleNamespace
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm
from traitlets.config import Config

from kdlib import errors

# characters of a folder in which a socket's path stays below the limit of some hundred
SHORT = 70
# seconds between two writes of the notebook, of hundreds of kilobytes with its pictures
SPARING = 2


class SocketEngine(NBClientEngine):
    """papermill's own engine, but for the transport, for what it shows and saves meanwhile, and for
    the end: a kernel that has run its last cell is not asked to tidy up."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> None:
        """Execute the notebook in a kernel whose sockets lie in a folder of their own."""
        nb_man.save = partial(_save, nb_man, nb_man.save)
        sys.excepthook = _in_a_sentence
        if not (options.get("stdout_file") or nb_man.log_output):
            # above the progress bar
            write = partial(tqdm.write, file=sys.stderr, end="")
            options["stdout_file"] = SimpleNamespace(write=write, flush=sys.stderr.flush)
        places = "/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()
        place = min(filter(partial(os.access, mode=os.W_OK | os.X_OK), places), key=len)
        with tempfile.TemporaryDirectory(prefix="kdlib-", dir=place) as folder:
            sockets = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
            config = Config(KernelManager=sockets if len(place) <= SHORT else {})
            # on a busy machine what a cell printed may arrive long after it ended; nbclient gives
            # up after four seconds
            usual = {"iopub_timeout": 300, "config": config, "shutdown_kernel": "immediate"}
            super().execute_managed_notebook(nb_man, kernel_name, **usual | options)


def _save(manager, save, **given):
    """Write the notebook at its end, and before at most every other second."""
    age = manager.now() - manager.last_save_time
    if manager.end_time or age.total_seconds() >= SPARING:
        save(**given)


def _in_a_sentence(kind, error, trace):
    """Show an error without papermill's traceback where a user can correct it."""
    if kind is PapermillExecutionError and error.ename in vars(errors):
        print(f"{error.ename}: {error.evalue}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


papermill_engines.register(None, SocketEngine)
