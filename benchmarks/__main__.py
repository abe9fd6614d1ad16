"""Every benchmark in a process of its own, then the table of all: ``python -m benchmarks [NAME …]
[--quick]``."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

from benchmarks.report import write_index
from kdsuite import paths

# what a benchmark takes beyond torch: on a machine without it the others are run
NEEDS = {
    "floor": (), "peers": ("moviepy", "soundfile"), "together": (), "device": (), "commands": ("papermill", "snakemake"), "preparation": ("imageio_ffmpeg",),
    "using": ("soundfile",), "scale": ("snakemake",),
}  # fmt: skip
NAMES = tuple(NEEDS)


def main(arguments: list[str]) -> str | None:
    """Run the benchmarks that are named, all where none is; return what failed, in one sentence."""
    names = [word for word in arguments if word != "--quick"] or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        return f"unknown benchmark {unknown[0]!r}; choose from {', '.join(NAMES)}."
    # one thread, as the suite's runs have on a CPU
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    failed = []
    for name in names:
        if absent := [module for module in NEEDS[name] if find_spec(module) is None]:
            print(f"{name} is left out, for {absent[0]} is not installed", flush=True)
            continue
        print(name, flush=True)
        command = [
            sys.executable,
            "-m",
            f"benchmarks.{name}",
            *(["--quick"] if "--quick" in arguments else []),
        ]
        if subprocess.run(
            command, cwd=paths.ROOT, env=environment, stdin=subprocess.DEVNULL
        ).returncode:
            failed.append(name)
    write_index(list(NAMES))
    print(f"The table is {paths.REPORTS / 'benchmarks' / 'README.md'}")
    return (
        f"these benchmarks failed: {', '.join(failed)}; their errors stand above."
        if failed
        else None
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
