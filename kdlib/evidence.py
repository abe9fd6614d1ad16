"""What the runs of a suite prove: distilled students beside undistilled ones and beside controls, from the predictions on disk.

found = comparisons(runs, results)   # a row for each network, method, alpha, variant and metric
chosen_alpha(results)                # alpha by validation, beside the best on test
sensitivity(results)                 # how far each departure from the dataset's file moves the numbers
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdlib import grid
from kdlib.settings import Corpus, Settings, digest
from kdlib.statistics import compare, compare_trials, corrected
from kdlib.tables.collected import coordinates, distinct, predictions, trials

NETWORK = ["dataset", "metric", "backbone", "setting"]


def metrics_of(corpus: Corpus) -> list[str]:
    """Return the metrics that the paper prints for such a corpus: unweighted accuracy of emotions; accuracy, and EER, of speakers."""
    main = "accuracy" if corpus.layout == "voxceleb1" or corpus.target == "speaker" else "uar"
    return [main, "eer"] if corpus.trials else [main]


def comparisons(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a distilled network and metric: its place, ``targets``, ``fraction``, and the comparison with its undistilled twin.

    The twin is the same in everything but that nobody taught it; seeds are compared together, each with its own. ``gain``, ``low``,
    ``high`` are fractions, above zero where distillation helps (for error rates too); ``p_holm`` is corrected for all networks
    and alphas of one dataset and metric. Controls have, as ``over``, ``over_low``, ``over_high`` and ``over_p``, what the paper's
    method gains over *them*. ``teacher`` is the teacher's own number. Runs that are not done, or whose twin is not, are left out.
    """
    students = [run for run in distinct(runs).values() if run.stage == "student" and run.done]
    groups: dict[str, list[Any]] = {}
    for run in students:
        if run.settings.alpha > 0 and (grid.folder(run.settings.undistilled(), "student") / "result.json").exists():
            groups.setdefault(_but_seed(run.settings), []).append(run)
    rows = []
    for group in groups.values():
        settings = group[0].settings
        twins = [grid.folder(run.settings.undistilled(), "student") for run in group]
        proposed = groups.get(_but_seed(_proposed(settings)), []) if _is_control(settings) else []
        for metric in metrics_of(settings.corpus):
            found = _compared(metric, [run.folder for run in group], twins, _seeds(group))
            place = {name: value for name, value in coordinates(group[0]).items() if name not in ("stage", "seed")}
            told = {"targets": settings.training.targets, "fraction": settings.corpus.fraction, "layout": settings.corpus.layout}
            over = _over(metric, proposed, group)
            teacher = _teacher(settings, metric, results)
            rows.append(
                {**place, **told, "metric": metric, **found, **over, "teacher": teacher, "synthetic": settings.corpus.synthetic is not None}
            )
    table = pd.DataFrame(
        rows, columns=None if rows else [*NETWORK, "layout", "method", "alpha", "variant", "targets", "fraction", "p", "gain"]
    )
    if len(table):
        table["p_holm"] = table.groupby(["dataset", "metric"]).p.transform(corrected)
    return table


def _but_seed(settings: Settings) -> str:
    return digest(settings.canonical().model_dump(mode="json", exclude={"seed", "folds"}))


def _seeds(group: list[Any]) -> list[int]:
    return [run.settings.seed for run in group]


def _is_control(settings: Settings) -> bool:
    return settings.training.targets != "teacher"


def _proposed(settings: Settings) -> Settings:
    """Return the run of the paper's method of which this one is the control."""
    training = settings.training.model_copy(update={"targets": "teacher"})
    return settings.model_copy(update={"method": "embedding", "training": training})


def _compared(metric: str, ours: list[Path], theirs: list[Path], seeds: list[int]) -> dict[str, float]:
    """Compare runs with others, pair by pair; a pair's seed is told by ``seeds``."""
    if metric != "eer":
        ours, theirs = (pd.concat([predictions(folder).assign(seed=seed) for folder, seed in zip(of, seeds)]) for of in (ours, theirs))
        return asdict(compare(ours, theirs, metric)) | {"metric": metric}
    ours, theirs = (pd.concat([trials(folder).assign(seed=seed) for folder, seed in zip(of, seeds)]) for of in (ours, theirs))
    return asdict(compare_trials(ours, theirs, ours.first_speaker, ours.second_speaker)) | {"seeds": len(seeds), "unit": "speaker"}


def _over(metric: str, proposed: list[Any], control: list[Any]) -> dict[str, float]:
    """Return what the paper's method gains over its control, on the seeds that both have."""
    both = sorted(set(_seeds(proposed)) & set(_seeds(control)))
    if not both:
        return {}
    folders = [[run.folder for seed in both for run in group if run.settings.seed == seed] for group in (proposed, control)]
    found = _compared(metric, *folders, both)
    return {"over": found["gain"], "over_low": found["low"], "over_high": found["high"], "over_p": found["p"]}


def _teacher(settings: Settings, metric: str, results: pd.DataFrame) -> float:
    place = (results.dataset == settings.dataset) & (results.stage == "teacher") & (results.key == grid.key(settings, "teacher"))
    return results.value[place & (results.metric == metric)].mean()


def chosen_alpha(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a dataset, network, method and metric that has validation recordings and several alphas.

    ``chosen`` is the mean over folds of the test number at the alpha that is best on *that fold's* validation recordings (mean over
    seeds; at a tie the smallest), ``alphas`` those alphas, ``best`` the highest mean test number, reached at ``best_alpha``, which
    nobody could have known; ``difference`` is how much that flatters. All values are fractions.
    """
    rows = []
    students = results[(results.stage == "student") & (results.variant == "")]
    undistilled = students[students.alpha == 0].assign(flat=lambda rows: rows.setting == "nonseq")
    for metric in ("uar", "accuracy"):
        for place, part in students[students.alpha > 0].groupby(["dataset", "backbone", "setting", "method"]):
            start = undistilled[
                (undistilled.dataset == place[0]) & (undistilled.backbone == place[1]) & (undistilled.flat == (place[2] == "nonseq"))
            ]
            every = pd.concat([start, part])
            told = {
                name: every[every.metric == name].pivot_table(index="fold", columns="alpha", values="value")
                for name in (f"validation_{metric}", metric)
            }
            held, tested = told.values()
            if held.shape[1] < 3 or held.shape != tested.shape or held.isna().any(axis=None):
                continue
            alphas = held.idxmax(axis="columns")
            chosen = np.mean([tested.loc[fold, alpha] for fold, alpha in alphas.items()])
            best = tested.mean()
            undist = best.get(0.0, np.nan)
            rows.append(
                {
                    **dict(zip(("dataset", "backbone", "setting", "method"), place)), "metric": metric, "undistilled": undist,
                    "chosen": chosen, "alphas": ", ".join(f"{alpha:g}" for alpha in alphas), "best": best.max(), "best_alpha": best.idxmax(),
                    "difference": best.max() - chosen, "folds": len(tested),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else ["dataset", "backbone", "setting", "method", "metric", "chosen"])


def sensitivity(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a departure from a dataset's file, metric and distilled network, the greatest effect first.

    ``distilled`` and ``undistilled`` are means over folds (and seeds) as fractions; ``effect`` and ``effect_on_gain`` are
    their differences from the same network, alpha and seeds without the departure, whose standard deviation over all of its seeds is
    ``luck``. Controls are no departures of this kind.
    """
    students = results[(results.stage == "student") & results.metric.isin(["uar", "accuracy", "eer"])]
    place = ["dataset", "metric", "backbone", "setting", "method", "alpha"]
    values = students.groupby([*place, "variant", "seed"]).value.mean()
    rows = []
    for (*where, variant), _ in values.groupby([*place, "variant"]):
        named = dict(zip(place, where))
        if not variant or not named["alpha"] or "training.targets" in variant or "corpus.fraction" in variant:
            continue
        twin = (*where[:3], "nonseq" if named["setting"] == "nonseq" else "em", "embedding", 0.0)
        ours, plain, start, plain_start = [
            _by_seed(values, of, which) for of, which in ((where, variant), (where, ""), (twin, variant), (twin, ""))
        ]
        start = start if len(start) else plain_start  # a parameter of the distillation alone leaves the undistilled student as it is
        both = ours.index.intersection(plain.index)
        if len(both):
            gains = [of.loc[both].mean() - base.reindex(both).mean() for of, base in ((ours, start), (plain, plain_start))]
            rows.append(
                {
                    **named, "departure": variant, "seeds": len(both), "distilled": ours.loc[both].mean(), "undistilled": start.reindex(both).mean(),
                    "effect": (ours.loc[both] - plain.loc[both]).mean(), "effect_on_gain": gains[0] - gains[1],
                    "luck": plain.std() if len(plain) > 1 else np.nan,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows, columns=None if rows else [*place, "departure", "effect"])
    return table.sort_values("effect", key=abs, ascending=False, ignore_index=True)


def _by_seed(values: pd.Series, where: tuple, variant: str) -> pd.Series:
    try:
        return values.loc[(*where, variant)]
    except KeyError:
        return pd.Series(dtype=float)
