"""What thousands of runs cost beside their training: planning, Snakemake, collecting the results,
the site.

The paper's grid is nine networks over alpha in steps of a tenth, both baselines on three of them,
each fold a job of its own; the large one has eleven seeds: more than 50,000 runs. Both live in a
temporary folder, of half a gigabyte. Trainings are stubs: a shell script in the place of papermill
drives the paper's grid, and results of the usual size are written for the large one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import report
from kdsuite.app.command_line import SNAKEMAKE

ROOT = Path(__file__).resolve().parent.parent
FOLDS = {"ravdess": 24, "iemocap": 5, "voxceleb1": 1}
ALPHAS = [tenth / 10 for tenth in range(11)]
FLAGS = ["--quiet", "all", *SNAKEMAKE.split()]
STUB = """#!/bin/sh
# papermill --engine kdlib --no-progress-bar NOTEBOOK OUTPUT …
folder=$(dirname "$5")
echo '{}' > "$folder/result.json"
: > "$folder/index.html"
"""
PLAN = "from kdsuite.runs import grid; print(len(grid.runs({suite!r})))"


def suite(seeds: int, folds: dict[str, int]) -> dict[str, Any]:
    """Return the grid as a file in ``params/grids`` has it."""
    runs = []
    for dataset, count in folds.items():
        base = {
            "dataset": dataset,
            "setting": ["nonseq", "em", "agg"],
            "folds": list(range(count)),
            "seed": list(range(seeds)),
        }
        runs.append({**base, "backbone": ["vgg", "resnet", "seresnet"], "alpha": ALPHAS})
        runs.append(
            {**base, "backbone": "vgg", "method": ["softlabel", "multitask"], "alpha": ALPHAS[1:]}
        )
    return {"title": f"The paper's grid, {seeds} seed(s)", "runs": runs}


def measured(what: str, *command: str | Path, **environment: str) -> dict[str, Any]:
    """Run a command; print and return its wall and CPU seconds, peak memory in MB and what it
    printed last."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{what} failed: {said}")
    wall, cpu, memory = (
        time.monotonic() - began,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 1024,
    )
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB", flush=True)
    return {
        "wall": round(wall, 2),
        "cpu": round(cpu, 2),
        "memory": round(memory),
        "said": said.strip().rpartition("\n")[2],
    }


def snakemake(name: str, home: Path, *arguments: str) -> list[str | Path]:
    """Return the arguments of Python that drive a suite."""
    return [
        "-m",
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        home,
        "--config",
        f"suite={name}",
        *FLAGS,
        *arguments,
    ]


def leave_results(name: str) -> None:
    """Write results of the usual size for all runs of a suite."""
    from kdsuite.runs import grid

    provenance = {
        "commit": "0" * 40,
        "device": "stub",
        "finished": "2026-01-01T00:00:00+0000",
        "packages": {str(n): "1" for n in range(10)},
    }
    for run in grid.runs(name):
        fold = {
            "fold": int(run.settings.folds),
            "uar": 0.5,
            "accuracy": 0.5 + run.settings.alpha / 10,
            "recordings": 102,
        }
        epoch = {
            "loss": 0.123456789012345,
            "rate": 0.0012345678901234,
            "seconds": 0.123456789012345,
            "agreement": 0.123456789012345,
        }
        facts = {
            "settings": run.settings.model_dump(mode="json"),
            "provenance": provenance,
            "seconds": {"wall": 12.3},
        }
        if run.stage != "data":
            facts |= {
                "folds": [fold],
                "history": {"0": [{"epoch": number, **epoch} for number in range(1, 51)]},
            }
        run.folder.mkdir(parents=True)
        (run.folder / "result.json").write_text(json.dumps(facts, indent=1))


def collect(name: str) -> None:
    """Collect a suite's results and write its site; print the seconds of both as JSON."""
    from kdsuite import paths
    from kdsuite.analysis import pages as report
    from kdsuite.analysis.suite import Suite

    began = time.monotonic()
    suite = Suite(name)
    found = [len(suite.results), len(suite.states)]
    collected = time.monotonic()
    assert not report.ask(suite)
    report.build(suite)
    pages = {file.name: file.stat().st_size for file in (paths.REPORTS / name).glob("*.html")}
    print(
        json.dumps(
            {
                "rows": found,
                "collect": collected - began,
                "site": time.monotonic() - collected,
                "largest_page": max(pages.values()),
            }
        )
    )


def measure(quick: bool) -> dict[str, Any]:
    """Return what planning, driving and collecting take, in seconds and megabytes."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="kdlib-scale-") as folder:
        home = Path(folder)
        shutil.copytree(ROOT / "params", home / "params")
        folds = {"iemocap": 1} if quick else FOLDS
        for name, seeds in (("paper", 1), ("large", 1 if quick else 11)):
            (home / "params" / "grids" / f"{name}.yaml").write_text(
                yaml.safe_dump(suite(seeds, folds))
            )
        (home / "bin").mkdir()
        (home / "bin" / "papermill").write_text(STUB)
        (home / "bin" / "papermill").chmod(0o755)
        given = {"KDLIB_PARAMS": "params", "KDLIB_DATA": "data", "KDLIB_REPORTS": "reports"}
        environment = {name: str(home / place) for name, place in given.items()}
        bins = [str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        environment |= {"PYTHONPATH": str(ROOT), "PATH": os.pathsep.join(bins)}
        for name in ("paper", "large"):
            found[f"plan {name}"] = measured(
                f"plan the {name} grid", "-c", PLAN.format(suite=name), **environment
            )
            found[f"dry run {name}"] = measured(
                f"dry run of the {name} grid", *snakemake(name, home, "--dry-run"), **environment
            )
        found["drive paper"] = measured(
            "drive the paper's grid with stubs",
            *snakemake("paper", home, "--cores", "all"),
            **environment,
        )
        found["again paper"] = measured(
            "the same again, nothing to do",
            *snakemake("paper", home, "--cores", "all"),
            **environment,
        )
        shutil.rmtree(home / "reports")
        measured(
            "write the results of the large grid",
            "-m",
            "benchmarks.scale",
            "leave_results",
            "large",
            **environment,
        )
        found["collect large"] = measured(
            "collect them and write the site",
            "-m",
            "benchmarks.scale",
            "collect",
            "large",
            **environment,
        )
    return {
        "goals": _goals(found),
        "rows": [{"what": what, **each} for what, each in found.items()],
        "notes": [],
        "not_measured": [],
    }


def _goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of the table; the goal is that 50,000 results are collected in under a
    minute."""
    runs = {name: int(found[f"plan {name}"]["said"]) for name in ("paper", "large")}
    each = 1000 * found["drive paper"]["wall"] / runs["paper"]
    collected = json.loads(found["collect large"]["said"])
    return [
        *(
            report.goal(f"planning {count:,} runs", found[f"plan {name}"]["wall"], unit="s")
            for name, count in runs.items()
        ),
        *(
            report.goal(
                f"Snakemake's dry run of {count:,} runs", found[f"dry run {name}"]["wall"], unit="s"
            )
            for name, count in runs.items()
        ),
        report.goal("its memory for the larger", found["dry run large"]["memory"], unit="MB"),
        report.goal(f"scheduling a run, of {runs['paper']:,} stubs", each, unit="ms"),
        report.goal("the same suite again, nothing to do", found["again paper"]["wall"], unit="s"),
        report.goal(f"collecting {runs['large']:,} results", collected["collect"], "≤", 60, "s"),
        report.goal("their site", collected["site"], unit="s"),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("leave_results", "collect"):
        {"leave_results": leave_results, "collect": collect}[sys.argv[1]](sys.argv[2])
    else:
        report.main("scale", measure)
