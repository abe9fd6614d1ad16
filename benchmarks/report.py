"""What a benchmark leaves: ``reports/benchmarks/<name>.json``, and one table of all for a person."""

from __future__ import annotations

import json
import operator
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from kdsuite import paths

Row = dict[str, Any]
SIGNS = {"≤": operator.le, "≥": operator.ge}


def goal(
    what: str, measured: float, sign: str = "", value: float | None = None, unit: str = ""
) -> Row:
    """Return a line of the table: what was measured, and whether it meets its goal, such as ``≤``
    1.05; without one it only tells."""
    met = None if value is None else SIGNS[sign](measured, value)
    return {
        "what": what,
        "goal": None if value is None else f"{sign} {value:g}",
        "measured": round(measured, 3),
        "unit": unit,
        "met": met,
    }


def device_name() -> str:
    """Return the card's name, or that of the processor."""
    import torch

    from benchmarks.timing import DEVICE

    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name(DEVICE)
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} CPU"


def commit() -> str | None:
    """Return the commit of the repository, with ``+`` where files differ from it; None outside of
    one."""
    try:
        said = [
            subprocess.run(
                ["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + ("+" if said[1] else "")


def main(name: str, measure: Callable[[bool], dict[str, Any]]) -> None:
    """Run one benchmark by itself: ``python -m benchmarks.<name> [--quick]``; print its goals and
    write its JSON.

    ``measure`` returns ``goals`` (see :func:`goal`), ``rows`` and, as sentences, ``notes`` and
    ``not_measured``.
    """
    quick, began = "--quick" in sys.argv[1:], time.monotonic()
    measured = measure(quick)
    found = {"benchmark": name, "quick": quick, **provenance(), **measured}
    found["minutes"] = round((time.monotonic() - began) / 60, 2)
    folder = paths.REPORTS / "benchmarks"
    paths.write_json(folder / f"{name}.json", found)
    for line in found["goals"]:
        print(
            f"  {line['what']}: {line['measured']:g} {line['unit']}".rstrip()
            + f", goal {line['goal']}" * bool(line["goal"]),
            flush=True,
        )


def provenance() -> Row:
    """Return where the numbers come from."""
    import torch  # late: a process counts as at least as large as the one that started it, and `scale` measures memory

    return {
        "device": device_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def write_index(names: list[str]) -> None:
    """Write ``reports/benchmarks/README.md``: what was measured by whichever of ``names`` left a
    file, its goal, and whether it is met."""
    folder = paths.REPORTS / "benchmarks"
    found = [
        json.loads(file.read_text()) for name in names if (file := folder / f"{name}.json").exists()
    ]
    lines = [
        "# Benchmarks", "", "Written by `make bench`; what each measures is told in `benchmarks/README.md`, each row of it in the JSON beside this.", "",
        "| benchmark | what | goal | measured | met |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for each in found:
        for line in each["goals"]:
            verdict = {None: "", True: "yes", False: "**no**"}[line["met"]]
            measured = f"{line['measured']:g} {line['unit']}".strip()
            lines.append(
                f"| [{each['benchmark']}]({each['benchmark']}.json) | {line['what']} | {line['goal'] or ''} | {measured} | {verdict} |"
            )
    lines += [
        "",
        "| benchmark | device | threads | torch | commit | date | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found:
        code = (each["commit"] or "")[:9] + "+" * (each["commit"] or "").endswith("+")
        small = ", smallest form: the numbers mean nothing" if each["quick"] else ""
        lines.append(
            f"| {each['benchmark']} | {each['device']}{small} | {each['threads']} | {each['torch']} | {code} | {each['date'][:16]} | {each['minutes']:g} |"
        )
    lines += ["", *(f"- {each['benchmark']}: {note}" for each in found for note in each["notes"])]
    lines += [
        f"- {each['benchmark']}, not measured: {what}"
        for each in found
        for what in each["not_measured"]
    ]
    paths.write_text(folder / "README.md", "\n".join(lines) + "\n")
