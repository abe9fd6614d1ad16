"""The suite around :mod:`kdlib`: parameters, recordings, runs, analysis and what people use."""

import os

# threads that wait for one another sleep: those that spin took 8 times as long beside a busy
# process
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
