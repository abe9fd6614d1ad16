"""The suite around :mod:`kdlib`: parameters, recordings, runs, analysis and what people use."""

import os

# threads that wait for one another sleep: beside a busy process, those that spin took 8 times as long
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
