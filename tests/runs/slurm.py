"""A SLURM cluster of one node on this machine, with no database and two GPUs that are none: started
for a test and stopped again."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0
GresTypes=gpu
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=8 RealMemory=1000000 Gres=gpu:2
PartitionName=main Nodes=node Default=YES
"""


def lacking() -> str | None:
    """Return why no cluster can be started here, None where one can."""
    absent = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
    if absent:
        return f"SLURM is not installed: there is no {', '.join(absent)} (on Debian: apt-get install slurm-wlm munge)"
    return None if os.getuid() == 0 else "the node of a SLURM cluster wants to be started by root"


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Yield the environment in which sbatch and the other commands find the cluster; raise
    TimeoutError where it does not come up."""
    # a short name, for unix sockets; open, for munge insists that others may enter its socket's
    # folder
    home = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    home.chmod(0o755)
    (home / "key").write_bytes(secrets.token_bytes(1024))
    (home / "key").chmod(0o600)
    (home / "state").mkdir()
    (home / "spool").mkdir()
    host = socket.gethostname().partition(".")[0]
    (home / "slurm.conf").write_text(
        CONFIGURATION.format(home=home, host=host, controller=_port(), node=_port())
    )
    (home / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    environment = {
        **os.environ,
        "SLURM_CONF": str(home / "slurm.conf"),
        "PATH": f"{home / 'bin'}{os.pathsep}{PATH}",
    }
    # Snakemake takes SLURM_CONF from the environment of srun, which elsewhere finds
    # /etc/slurm/slurm.conf
    (home / "bin").mkdir()
    (home / "bin" / "srun").write_text(
        f'#!/bin/sh\nSLURM_CONF={home}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n'
    )
    (home / "bin" / "srun").chmod(0o755)
    files = {
        name: home / f"munge{ending}"
        for name, ending in (("socket", ".socket"), ("pid-file", ".pid"), ("seed-file", ".seed"))
    }
    munge = [f"--{name}={file}" for name, file in files.items()]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        for command in (
            ["munged", "--foreground", f"--key-file={home / 'key'}", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", "node"],
        ):
            log = stack.enter_context(open(home / f"{command[0]}.log", "w"))
            stack.callback(
                _stop,
                subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                ),
            )
            _wait((home / "munge.socket").exists, home)
        _wait(lambda: _state(environment) == "idle", home)
        yield environment


def _state(environment: dict[str, str]) -> str:
    return subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
    ).stdout.strip()


def _wait(until, home: Path) -> None:
    began = time.monotonic()
    while not until():
        if time.monotonic() - began > 20:
            said = "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in home.glob("*.log"))
            raise TimeoutError(f"the SLURM cluster did not come up:\n{said}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
