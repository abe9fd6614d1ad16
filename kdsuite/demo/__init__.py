"""The synthetic corpora: drawn faces and synthesised voices, in the trees and file formats of the
real ones.

:mod:`.face` draws, :mod:`.voice` speaks, by the tables of :mod:`.people`; :mod:`.ravdess`,
:mod:`.voxceleb1` and :mod:`.iemocap` plan which files a corpus has and what is in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.parameters import Corpus, Synthetic

TRUTH = "synthetic.json"  # the corpus is complete if and only if this exists
BEGUN = ".synthetic.json"  # the parameters of a corpus that may be unfinished
LAYOUTS = ("ravdess", "voxceleb1", "iemocap")


def ensure(corpus: Corpus) -> None:
    """Write the synthetic corpus that the parameters ask for, unless it is there; the first of
    several processes does, and resumes what a killed one left.

    The same parameters give the same files. ``synthetic.json`` comes last: the parameters, and what
    each recording displays. Raises InvalidParameter for a layout that has no such corpus, and where
    the folder holds something else.
    """
    synthetic = corpus.synthetic
    if synthetic is None:
        return
    if corpus.layout not in LAYOUTS:
        raise InvalidParameter(
            f"parameter 'corpus.synthetic' makes no {corpus.layout}; set it to null, or take a dataset that does not ask for it."
        )
    folder = paths.corpus(corpus.path)
    with paths.lock(folder):
        if not claimed(folder, synthetic):
            # late, for moviepy and scipy's filters take long to import
            layout = import_module(f"{__name__}.{corpus.layout}")
            jobs, truth = layout.plan(folder, synthetic)
            _write_missing(folder, jobs)
            value = {"parameters": synthetic.model_dump(mode="json"), "takes": truth}
            paths.write_json(folder / TRUTH, value)


def claimed(folder: Path, synthetic: Synthetic) -> bool:
    """Mark the folder as made with these parameters and return whether it is complete.

    Raises InvalidParameter where it is marked or used otherwise.
    """
    parameters, defaults = synthetic.model_dump(mode="json"), Synthetic().model_dump(mode="json")
    remedy = "remove that folder or choose another path with corpus.path"
    for mark in (folder / TRUTH, folder / BEGUN):
        if mark.exists():
            # of a parameter that is newer than the corpus the default leaves it as it was
            if defaults | json.loads(mark.read_text())["parameters"] != parameters:
                raise InvalidParameter(
                    f"the synthetic corpus in {folder} was made with other parameters than corpus.synthetic; {remedy}."
                )
            return mark.name == TRUTH
    if any(file for file in folder.glob("*") if not file.name.startswith(".")):
        raise InvalidParameter(
            f"{folder} holds files that no synthetic corpus has, so none is written there; {remedy}."
        )
    if any(side % 2 for side in synthetic.video_size):
        raise InvalidParameter(
            f"parameter 'corpus.synthetic.video_size' is {parameters['video_size']}, but H.264 needs both even."
        )
    paths.write_json(folder / BEGUN, {"parameters": parameters})
    return False


def _write_missing(folder: Path, jobs: dict[Path, Callable[[Path], None]]) -> None:
    """Write those files that are missing, each by its job; an error in a worker is raised here."""
    from joblib import (
        Parallel,
        cpu_count,
        delayed,
    )  # late: most processes find their corpus complete

    missing = [delayed(job)(file) for file, job in jobs.items() if not file.exists()]
    # a process takes about as long to start as four recordings to write
    workers = max(1, min(cpu_count(), len(missing) // 4))
    # joblib's processes, unlike multiprocessing's, do not run the caller's script again
    done = Parallel(workers, return_as="generator_unordered")(missing)
    for number, _ in enumerate(done, 1):
        if number * 5 % len(missing) < 5:
            print(
                f"synthetic corpus {folder.name}: {number} of {len(missing)} files written",
                flush=True,
            )
    for leftover in folder.rglob(".[0-9]*-*"):
        leftover.unlink()  # temporary file of a run that was killed
