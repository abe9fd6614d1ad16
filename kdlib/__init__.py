"""kdlib: cross-modal distillation of video into audio representations, after Hajavi & Etemad
(2023)."""

import time

__version__ = "0.1.0"

# when this process began to work on a run, for the wall time in its result
STARTED = time.time()


def __getattr__(name: str):
    """Import what using a student needs on first use: ``import kdlib`` itself stays
    cheap."""
    if name == "load_student":
        from kdsuite.app.using import load_student

        return load_student
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
