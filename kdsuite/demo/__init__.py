"""The synthetic corpora: drawn faces and synthesised voices, in the trees and file formats of the
real ones.

:mod:`.face` draws, :mod:`.voice` speaks, by the tables of :mod:`.people`; :mod:`.ravdess`,
:mod:`.voxceleb1` and :mod:`.iemocap` plan which files a corpus has, and write each.
"""

import json
from importlib import import_module
from pathlib import Path

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.parameters import Corpus, Synthetic

TRUTH = "synthetic.json"  # the corpus is complete if and only if this exists
BEGUN = ".synthetic.json"  # the parameters of a corpus that may be unfinished


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
    if corpus.layout == "manifest":
        raise InvalidParameter(
            "parameter 'corpus.synthetic' cannot create a manifest; set it to null, or use another"
            " dataset."
        )
    folder = paths.corpus(corpus.path)
    if (folder / TRUTH).exists() and claimed(folder, synthetic):
        return
    with paths.lock(folder):
        if not claimed(folder, synthetic):
            # late, for moviepy and scipy's filters take long to import
            layout = import_module(f"{__name__}.{corpus.layout}")
            files, recordings = layout.plan(synthetic)
            _write_missing(folder, files, layout.write)
            takes = {of.name: of.truth for of in recordings}
            value = {"parameters": synthetic.model_dump(mode="json"), "takes": takes}
            paths.write_json(folder / TRUTH, value)


def claimed(folder: Path, synthetic: Synthetic) -> bool:
    """Mark the folder as made with these parameters and return whether it is complete.

    Raises InvalidParameter where it is marked or used otherwise.
    """
    parameters = synthetic.model_dump(mode="json")
    remedy = "remove that folder or choose another path with corpus.path"
    for mark in (folder / TRUTH, folder / BEGUN):
        if mark.exists():
            # of a parameter that is newer than the corpus the default leaves it as it was
            former = (
                Synthetic().model_dump(mode="json") | json.loads(mark.read_text())["parameters"]
            )
            if former != parameters:
                raise InvalidParameter(
                    f"the synthetic corpus in {folder} was made with other parameters than"
                    f" corpus.synthetic; {remedy}."
                )
            return mark.name == TRUTH
    if [*folder.glob("[!.]*")]:
        raise InvalidParameter(
            f"{folder} holds files that no synthetic corpus has, so none is written there;"
            f" {remedy}."
        )
    paths.write_json(folder / BEGUN, {"parameters": parameters})
    return False


def _write_missing(folder, files, write):
    """Write those files that are missing; an error in a worker is raised here."""
    from joblib import Parallel, cpu_count, delayed  # late: most processes find a complete corpus

    missing = [
        delayed(write)(folder / name, content)
        for name, content in files.items()
        if not (folder / name).exists()
    ]
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
