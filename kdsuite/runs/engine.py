"""A papermill engine whose kernels use unix sockets: any number may start at once, and no other
process can read what they send.

    papermill --engine kdlib notebooks/03_student.ipynb OUT.ipynb -p alpha 0.5

Plain kernels choose TCP ports, which another kernel may take in the meantime, and say that these
are not encrypted.
"""

import tempfile
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager
from traitlets.config import Config


class SocketEngine(NBClientEngine):
    """papermill's own engine, but for the transport and the end: a kernel that has run its last
    cell is not asked to tidy up."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> None:
        """Execute the notebook in a kernel whose sockets lie in a folder of their own."""
        # a socket's path may have some hundred characters, which those below $TMPDIR or the home
        # can exceed
        with tempfile.TemporaryDirectory(prefix="kdlib-", dir="/tmp") as folder:
            sockets = Config(
                KernelManager={"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
            )
            # on a busy machine what a cell printed may arrive long after it ended; nbclient gives
            # up after four seconds
            usual = {"iopub_timeout": 300, "config": sockets, "shutdown_kernel": "immediate"}
            super().execute_managed_notebook(nb_man, kernel_name, **usual | options)
