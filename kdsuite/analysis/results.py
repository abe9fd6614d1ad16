"""What the runs of a suite left on disk, as tables: one row a run, fold and metric, and one row a
run.

numbers = collect(runs)   # results.csv
states(runs)              # runs.csv
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from kdsuite.analysis.statistics.comparison import answers_of
from kdsuite.settings import Settings, of_dataset

# what results and tables call the backbone of the linear baseline
LINEAR = "linear"
# what a network and its training are, whatever their seed
PLACE = ["dataset", "backbone", "setting", "method", "alpha", "variant"]
AXES = ["dataset", "stage", *PLACE[1:5], "seed", "variant"]
COLUMNS = [*AXES, "key", "fold", "metric", "value", "recordings"]
RUNS = "dataset stage key state seconds device commit uncommitted finished".split()


def level_of(setting: str, kind: str) -> str:
    """Return the setting of a kind of run: EM and AGG share teacher and undistilled student, which
    are ``sequential``."""
    shared = setting != "nonseq" and kind in ("teacher", "undistilled")
    return "sequential" if shared else setting


def coordinates(run: Any) -> dict[str, Any]:
    """Return a run's place on the axes of the paper (:data:`AXES`), as its result is filed.

    A teacher has neither method nor alpha, and its setting is ``nonseq`` or ``sequential``; the
    data run's numbers are those of the ``linear`` baseline, which has no setting. ``variant`` names
    the parameters that differ from those of the dataset's file, such as
    ``training.targets=shuffled``; it is empty where none does that numbers depend on.
    """
    of = run.settings
    network = {
        "data": (LINEAR, "", "", math.nan),
        "teacher": (of.backbone, level_of(of.setting, "teacher"), "", math.nan),
        "student": (of.backbone, of.setting, of.method, of.alpha),
    }[run.stage]
    return dict(zip(AXES, (of.dataset, run.stage, *network, of.seed, variant(of, run.stage))))


def variant(settings: Settings, stage: str = "student") -> str:
    """Return in one line which parameters differ from those of the dataset's file, as far as the
    stage knows them."""
    differing = settings.overrides(stage, numbers=True)
    ours, usual = differing.get("corpus.synthetic"), of_dataset(settings.dataset).corpus.synthetic
    if ours and usual:  # of a synthetic corpus what differs, not all of its parameters
        usual = usual.model_dump(mode="json")
        del differing["corpus.synthetic"]
        differing |= {
            f"corpus.synthetic.{name}": value
            for name, value in ours.items()
            if value != usual[name]
        }
    return "; ".join(f"{name}={value}" for name, value in differing.items())


def without(variants: pd.Series, *parameters: str) -> pd.Series:
    """Return each variant (:func:`variant`) without these parameters."""
    return variants.map(
        lambda of: "; ".join(
            part for part in of.split("; ") if part.partition("=")[0] not in parameters
        )
    )


def collect(runs: Iterable[Any]) -> pd.DataFrame:
    """Return the results of these runs, one row a run, fold and metric (columns :data:`COLUMNS`),
    values as fractions."""
    rows = []
    for run in runs:
        folds = run.result.get("folds", [])
        place = coordinates(run).values() if folds else ()
        rows += [
            (*place, run.key, fold["fold"], name, float(value), fold["recordings"])
            for fold in folds
            for name, value in fold.items()
            if name not in ("fold", "recordings") and isinstance(value, (int, float))
        ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"alpha": float, "value": float})


def prevailing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each dataset's most frequent variant: that of its file, unless a suite
    departs from it throughout."""
    most = rows.groupby("dataset").variant.transform(lambda variants: variants.mode()[0])
    return rows[rows.variant == most].reset_index(drop=True)


def answers(runs: Iterable[Any], metric: str) -> list[pd.DataFrame]:
    """Return what each run answered, with its ``seed``: the scored trials of the first list, which
    is the paper's, for ``eer``, else the predictions without their probabilities.

    Runs whose files were removed to save disk space are left out.
    """
    key, facts, answer = answers_of(metric)
    name = "trials.csv" if metric == "eer" else "predictions.csv"
    files = [(run.folder / name, run) for run in runs]
    parts = [
        pd.read_csv(
            file,
            usecols=[*key[1:], *facts, answer],  # the seed stands in the settings
            dtype={**facts, "recording": str, "predicted": str},
            keep_default_na=False,  # a class or a speaker may be called NA
        ).assign(seed=run.settings.seed)
        for file, run in files
        if file.exists()
    ]
    return [part[part.list == part.list[0]] if metric == "eer" else part for part in parts]


def eer_conventions(results: pd.DataFrame, dataset: str) -> float:
    """Return by how much the conventions of a student's EER differ at most, as a fraction; NaN
    where there is no EER."""
    students = results[
        (results.dataset == dataset)
        & (results.stage == "student")
        & results.metric.isin(["eer", "eer_mean", "eer_max"])
    ]
    by_student = students.groupby(["key", "fold"]).value
    return (by_student.max() - by_student.min()).max()


def states(runs: Iterable[Any]) -> pd.DataFrame:
    """Return one row a run: its place on the :data:`AXES`, columns :data:`RUNS` (state: see
    :class:`kdsuite.runs.run.Run`; wall seconds), and ``run``."""
    rows = []
    for run in runs:
        result = run.result
        facts = [
            "" if result.get(name) is None else result[name]  # unknown is not False
            for name in ("device", "commit", "uncommitted_changes", "finished")
        ]
        wall = result.get("wall", math.nan)
        rows.append((*coordinates(run).values(), run.key, run.state, wall, *facts, run))
    return pd.DataFrame(rows, columns=[*AXES, *RUNS[2:], "run"])
