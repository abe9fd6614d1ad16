"""Processes that run side by side take one GPU each; here the GPUs are a number, for the locks do
not ask what they stand for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdlib.errors import InvalidParameter
from kdlib.parameters import Training
from kdsuite.runs import devices
from kdsuite.runs.devices import device_of
from kdsuite.settings import datasets, load

TAKE = "import sys; from kdsuite.runs import devices; print(devices.claim(2), flush=True); sys.stdin.read()"


KEPT = """
import os, sys
import numpy as np
from kdsuite.runs import devices

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1:]:
    devices.return_memory()
for _ in range(2):  # the second time glibc takes them from its heap
    blocks = [np.ones(2**20) for _ in range(20)]  # 8 MB each
    before = resident()
    del blocks[:-1]  # what lies on top keeps those below
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_memory_that_is_free_goes_back_to_the_system():
    usual, returned = (
        int(subprocess.check_output([sys.executable, "-c", KEPT, *given], text=True))
        for given in ([], ["returned"])
    )
    assert returned > 19 * 8e6 > 2 * usual


@pytest.fixture
def machine(tmp_path):
    """Start processes that take one of two GPUs and keep it until they are ended."""
    started: list[subprocess.Popen] = []

    def take(share: int = 1) -> subprocess.Popen:
        environment = {**os.environ, "TMPDIR": str(tmp_path), "KDLIB_GPU_SHARE": str(share)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", TAKE],
                env=environment,
                cwd=Path(__file__).parents[2],
                **pipes,
            )
        )
        return started[-1]

    yield take
    for process in started:
        process.kill()
        process.communicate()


def test_each_process_has_a_gpu_of_its_own_and_a_third_waits_until_one_is_free(machine):
    first, second = machine(), machine()
    taken = {first.stdout.readline().strip(): first, second.stdout.readline().strip(): second}
    assert taken.keys() == {"0", "1"}
    third = machine()
    assert third.stdout.readline().startswith("waiting for a GPU: 1 run(s) on each of 2")
    taken["1"].kill()  # a run that is killed lets go, too
    assert third.stdout.readline().strip() == "1"


def test_runs_that_may_share_are_spread_first(machine):
    taken = []
    for _ in range(4):
        taken.append(machine(share=2).stdout.readline().strip())
    assert taken == ["0", "1", "0", "1"]
    assert machine(share=2).stdout.readline().startswith("waiting")


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Let torch say that there are three GPUs, of which nobody has assigned one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv(devices.SHARE, raising=False)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    devices.claim.cache_clear()
    yield current
    devices.claim.cache_clear()
    while devices._held:
        devices._held.pop().release()


def test_the_claimed_gpu_is_the_current_one(gpus):
    """Else a graph is captured, and memory pinned, on the first GPU while the run is on another."""
    devices.claim(3)
    device_of(Training())
    assert gpus == [torch.device("cuda", 0)]


def test_a_process_keeps_its_gpu(gpus):
    assert device_of(Training()) == device_of(Training(device="cuda")) == torch.device("cuda", 0)
    assert device_of(Training(device="cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name,value", [("CUDA_VISIBLE_DEVICES", "2"), ("KDLIB_GPU_SHARE", "0")])
def test_nothing_is_locked_where_another_chose(gpus, tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert device_of(Training()) == torch.device("cuda") and not list(tmp_path.iterdir())


def test_a_share_that_is_no_number(gpus, monkeypatch):
    monkeypatch.setenv(devices.SHARE, "half")
    with pytest.raises(InvalidParameter, match="KDLIB_GPU_SHARE is 'half'"):
        device_of(Training())


NETWORKS = [
    (name, backbone, setting)
    for name in datasets()
    for backbone in ("vgg", "seresnet")
    for setting in ("nonseq", "agg")
]


def test_small_networks_compute_with_one_thread_and_large_ones_with_all_cores(monkeypatch):
    used = []
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(devices, "cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    for name, backbone, setting in NETWORKS:
        settings = load(dataset=name, backbone=backbone, setting=setting)
        for stage in ("data", "teacher", "student"):
            devices.set_threads(settings, stage)
            full = name in ("ravdess", "iemocap", "voxceleb1", "own-recordings")
            large = full and stage != "data"
            assert used.pop() == (6 if large else 1), (name, stage)
        devices.set_threads(settings.changed(training={"threads": 3}), "student")
        assert used.pop() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    devices.set_threads(settings.changed(training={"threads": 3}), "student")
    assert not used


def test_cores_are_counted_where_the_system_knows_no_affinity(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert 1 <= devices.cores() <= os.cpu_count()


def test_cores_are_those_that_a_process_may_use():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from kdsuite.runs.devices import cores; print(cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
