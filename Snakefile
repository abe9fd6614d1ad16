"""The grid: one papermill run for each run of params/grids/<suite>.yaml, then the analysis.

    snakemake --cores all --config suite=demo            # stopped and resumed at will
    snakemake --cores all --config suite=demo --dry-run  # what is missing or out of date

A run is done if and only if its result.json exists; the executed notebook is its log and stays when the run fails.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from kdsuite import places
from kdsuite.runs import grid, sources
from kdlib.errors import UserError

SUITE = config.get("suite", "demo")
try:
    RUNS = {run.folder: run for run in grid.runs(SUITE)}
except UserError as error:
    raise WorkflowError(str(error))
SITE = places.REPORTS / SUITE
ANALYSIS = {"notebook": places.ROOT / "notebooks" / "04_analysis.ipynb", "given": grid.as_yaml({"suite": SUITE})}
# papermill's own lines go into a file beside the notebook; of a run that fails the last one, the error, is shown
PAPERMILL = """
log=$(dirname {log:q})/papermill.log
OMP_NUM_THREADS={threads} papermill --engine kdlib --no-progress-bar {params.notebook:q} {log:q} -y {params.given:q} < /dev/null > "$log" 2>&1 ||
    {{ grep -v '^ *$' "$log" | tail -n 1; exit 1; }}
"""
# of runs that failed
LISTED = 50
# older than every other file; Snakemake takes no notice of files of the time 0
OLD = 1, 1
RESULTS = [folder / "result.json" for folder in RUNS]
FOLDER = places.REPORTS / "runs" / "{dataset}" / "{stage}" / "{key}"
# what a run asks of a cluster (--set-resources student:runtime=60 asks something else); on one machine --resources gpu=2 lets two at a time
RESOURCES = {
    "data": {"mem_mb": 16000, "runtime": 480},
    "teacher": {"gpu": 1, "mem_mb": 32000, "runtime": 1440},
    "student": {"gpu": 1, "mem_mb": 24000, "runtime": 720},
    "report": {"mem_mb": 16000, "runtime": 60},
}


def run_of(wildcards):
    return RUNS[places.REPORTS / "runs" / wildcards.dataset / wildcards.stage / wildcards.key]


def code_of(run):
    return sources.of_result(sources.kind(run.settings, run.stage))


FOUND = {}


def found(run, what):
    """Tell the "store" or the "trials" of a corpus from what they were by its files, looked at once; a synthetic one is told by its parameters."""
    corpus = run.settings.corpus
    if corpus.synthetic or (what == "trials" and (run.stage == "teacher" or not corpus.trials)):  # a teacher hears no trials
        return ""
    name = what, corpus.model_dump_json(), run.settings.media.model_dump_json()
    if name not in FOUND:
        from kdsuite.data import corpora  # late: pandas takes a second

        FOUND[name] = {"store": corpora.on_disk, "trials": corpora.trials_on_disk}[what](run.settings)
    return FOUND[name] or run.result.get(what) or ""  # a corpus that is away for now is no other one


def same(run):
    """Whether a run that is done would come out the same now; what results of former times do not tell counts as the same."""
    if not run.done:
        return False
    now = {"store": found(run, "store"), "trials": found(run, "trials"), "code": code_of(run)}
    return all(value in ("", run.result[name] or value) for name, value in now.items())


def results_before(wildcards):
    """A stage begins when the stages it reads from are done."""
    run = run_of(wildcards)
    needed = grid.needed(run.settings)
    before = needed[: needed.index(run.stage)]
    # ancient: a stage run again by hand, with the same parameters, does not make those behind it out of date. Snakemake plans nothing behind
    # an ancient file that it makes anew, so a run that is itself out of date has its files plain
    current = same(run)
    if not current:  # of a result made elsewhere Snakemake remembers nothing that would tell it
        with suppress(OSError):  # there may be none, or it is somebody else's
            os.utime(run.folder / "result.json", OLD)
    file = ancient if current else str
    files = [str(grid.folder(run.settings, stage) / "result.json") for stage in before]
    # no stage is before that of the data; but without any input that is newer, a result that is out of date would not be seen
    return [file(name) for name in files or [str(places.ROOT / "notebooks" / f"{grid.STAGES[run.stage]}.ipynb")]]


onerror:
    # one run that fails stops no other: at the end there is a list of them, and a site with gaps, for rule report waits for all runs
    failed = [run for run in RUNS.values() if run.state == "failed"]
    done = sum(run.done for run in RUNS.values())
    print(f"\n{done} of {len(RUNS)} runs are done, {len(failed)} failed, {len(RUNS) - done - len(failed)} were not begun.", file=sys.stderr)
    for run in failed[:LISTED]:
        print(f"{run.settings.dataset}/{run.stage}/{run.key}: {run.error}\n    {run.folder / 'notebook.ipynb'}", file=sys.stderr)
    if failed[LISTED:]:
        print(f"and {len(failed) - LISTED} more, see {SITE / 'runs.html'}", file=sys.stderr)
    stopped = any("on user request" in Path(file).read_text() for file in log)
    if failed and not stopped:
        SITE.mkdir(parents=True, exist_ok=True)
        shell(PAPERMILL, log=SITE / "notebook.ipynb", params=SimpleNamespace(**ANALYSIS), threads=workflow.cores)
        # older than every result, so that rule report writes it anew
        os.utime(SITE / "index.html", OLD)
        print(f"The report, with gaps, is {SITE / 'index.html'}", file=sys.stderr)


rule suite:
    # the results too, or one that was removed would not be missed as long as the page made of it is there
    input:
        RESULTS,
        SITE / "index.html",


rule report:
    input:
        RESULTS,
        ANALYSIS["notebook"],
    output:
        SITE / "index.html",
    log:
        SITE / "notebook.ipynb",
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
    wildcard_constraints:
        stage="data",
    params:
        notebook=lambda wildcards: places.ROOT / "notebooks" / f"{grid.STAGES[wildcards.stage]}.ipynb",
        given=lambda wildcards: grid.as_yaml(run_of(wildcards).given),
        # not used by the command: a change of any parameter, or of the corpus, makes the runs it concerns out of date
        fingerprint=lambda wildcards: run_of(wildcards).settings.fingerprint(wildcards.stage) + found(run_of(wildcards), "store"),
        # nor these: nor do other trials, or other code behind a stage's numbers, leave them as they were
        trials=lambda wildcards: found(run_of(wildcards), "trials"),
        code=lambda wildcards: code_of(run_of(wildcards)),
    # the data run decodes with all cores
    threads: lambda wildcards: workflow.cores
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
