"""The grid: one papermill run for each run of params/grids/<suite>.yaml, then the analysis.

    kdlib reports demo              # stopped and resumed at will
    kdlib reports demo --dry-run    # what is missing or out of date

A run is done if its result.json exists and tells of the parameters, recordings and code of now (Run.current); the executed notebook is its log and stays when the run fails.
"""

import fcntl
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from kdlib.errors import UserError
from kdsuite import paths
from kdsuite.runs import grid
from kdsuite.runs.finished import Finished
from kdsuite.settings import called

# A killed process leaves Snakemake's lock of the folder behind, but not the kernel's: if no other process holds the
# latter, the former is stale
if workflow.is_main_process:
    Path(".snakemake").mkdir(exist_ok=True)
    ALIVE = open(".snakemake/alive", "a+")
    ALIVE.tell() or ALIVE.write("not empty: Snakemake takes every empty file for unchanged")
    ALIVE.flush()
    with suppress(OSError):
        fcntl.flock(ALIVE, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(".snakemake/locks", ignore_errors=True)
    with suppress(OSError):
        fcntl.flock(ALIVE, fcntl.LOCK_SH)
SUITE = called(config.get("suite", "demo"), grid.suites())
try:
    RUNS = {run.folder: run for run in grid.runs(SUITE)}
except UserError as error:
    raise WorkflowError(str(error))
if not RUNS:
    raise WorkflowError(f"suite {SUITE!r} has no runs; write some into its file.")
SITE = paths.REPORTS / SUITE
ANALYSIS = {"notebook": paths.ROOT / "notebooks" / "04_analysis.ipynb", "given": grid.as_yaml({"suite": SUITE})}
# papermill's own lines go into a file beside the notebook; of a run that fails the last one, the error, is shown
PAPERMILL = """
log=$(dirname {log:q})/papermill.log
OMP_NUM_THREADS={threads} LOKY_MAX_CPU_COUNT={threads} papermill --engine kdlib --no-progress-bar {params.notebook:q} {log:q} -y {params.given:q} < /dev/null > "$log" 2>&1 ||
    {{ grep -v '^ *$' "$log" | tail -n 1; exit 1; }}
"""
# of runs that failed
LISTED = 50
# older than every other file; Snakemake takes no notice of files of the time 0
OLD = 1, 1
RESULTS = [folder / "result.json" for folder in RUNS]
CORPORA = sum(run.stage == "data" for run in RUNS.values())
FOLDER = paths.REPORTS / "runs" / "{dataset}" / "{stage}" / "{key}"
# what a run asks of a cluster (--set-resources student:runtime=60 asks something else); on one machine --resources gpu=2 lets two at a time
RESOURCES = {
    "data": {"mem_mb": 16000, "runtime": 480},
    "teacher": {"gpu": 1, "mem_mb": 32000, "runtime": 1440},
    "student": {"gpu": 1, "mem_mb": 24000, "runtime": 720},
    "report": {"mem_mb": 16000, "runtime": 60},
}


def run_of(wildcards):
    return RUNS[paths.REPORTS / "runs" / wildcards.dataset / wildcards.stage / wildcards.key]


def results_before(wildcards):
    """A stage begins when the stages it reads from are done."""
    run = run_of(wildcards)
    # ancient: a stage repeated by hand, with the same parameters, does not make later stages out of date. Snakemake plans nothing after
    # an ancient file that it writes again, so the inputs of an out-of-date run are not ancient
    current = run.current
    if not current:  # older than its inputs, so that it is run
        with suppress(OSError):  # there may be none, or it is somebody else's
            os.utime(run.folder / "result.json", OLD)
    # the last one is newer than any result that is out of date, and lies there whatever the installation
    files = [*(before.folder / "result.json" for before in run.needs), ".snakemake/alive"]
    return [(ancient if current else str)(str(file)) for file in files]


onstart:
    # in the terminal; the file of the log has all messages
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            together = workflow.resource_settings
            handler.addFilter(Finished(RUNS, together.cores or together.nodes))


onerror:
    # one run that fails stops no other: at the end there is a list of them, and a site with gaps, for rule report waits for all runs
    failed = [run for run in RUNS.values() if run.state == "failed"]
    done = sum(run.done for run in RUNS.values())
    print(f"\n{done} of {len(RUNS)} runs are done, {len(failed)} failed, {len(RUNS) - done - len(failed)} were not begun.", file=sys.stderr)
    for run in failed[:LISTED]:
        print(f"{run.name}: {run.error}\n    {run.folder / 'notebook.ipynb'}", file=sys.stderr)
    if failed[LISTED:]:
        print(f"and {len(failed) - LISTED} more, see {SITE / 'runs.html'}", file=sys.stderr)
    stopped = any("on user request" in Path(file).read_text() for file in log)
    if failed and not stopped:
        SITE.mkdir(parents=True, exist_ok=True)
        shell(PAPERMILL, log=SITE / "notebook.ipynb", params=SimpleNamespace(**ANALYSIS), threads=workflow.resource_settings.cores or os.cpu_count())
        print(f"The report, with gaps, is {SITE / 'index.html'}", file=sys.stderr)


rule suite:
    message:
        SUITE
    # the results too, or one that was removed would not be missed as long as the page made of it is there
    input:
        RESULTS,
        SITE / "index.html",


rule report:
    input:
        RESULTS,
        ANALYSIS["notebook"],
        [grid.suites()[each] for each in grid.members(SUITE)],
        sorted((paths.ROOT / "notebooks" / "questions").glob("*.ipynb")),
    output:
        SITE / "index.html",
    log:
        SITE / "notebook.ipynb",
    message:
        f"report of {SUITE}"
    params:
        **ANALYSIS,
    threads: lambda wildcards: workflow.cores
    resources:
        **RESOURCES["report"],
    shell:
        PAPERMILL


# one rule a stage, for a cluster gives all runs of a rule the same
rule data:
    input:
        results_before,
    output:
        FOLDER / "result.json",
    log:
        FOLDER / "notebook.ipynb",
    message:
        "{wildcards.dataset}/{wildcards.stage}/{wildcards.key}"
    wildcard_constraints:
        stage="data",
    params:
        notebook=lambda wildcards: run_of(wildcards).notebook,
        given=lambda wildcards: grid.as_yaml(run_of(wildcards).given),
    # data runs decode, all of them at once with all cores
    threads: lambda wildcards: max(1, workflow.cores // CORPORA)
    resources:
        **RESOURCES["data"],
    shell:
        PAPERMILL


use rule data as teacher with:
    wildcard_constraints:
        stage="teacher",
    # on a CPU runs side by side beat threads within one
    threads: int(config.get("threads", 1))
    resources:
        **RESOURCES["teacher"],


use rule data as student with:
    wildcard_constraints:
        stage="student",
    threads: int(config.get("threads", 1))
    resources:
        **RESOURCES["student"],
