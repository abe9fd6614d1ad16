"""The suite around :mod:`kdlib`: parameters, recordings, runs, analysis and what people use."""

import gc
import os

# threads that wait for one another sleep: beside a busy process, those that spin took 8 times as long
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# imports make hundreds of thousands of objects that stay: looking through them ever again for
# cycles took a seventh of a run's imports
gc.set_threshold(10_000, 50, 10)
