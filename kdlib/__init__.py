"""kdlib: cross-modal distillation of video into audio representations, after Hajavi & Etemad (2023)."""

import time

__version__ = "0.1.0"

# when this process began to work on a run, for the wall time in its result
STARTED = time.time()
