"""What the runs of a suite show: distilled students beside undistilled ones and beside controls,
from the predictions on disk.

gains = compare_runs(runs, results)  # a row for each network, method, alpha, variant and metric
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from operator import itemgetter
from typing import Any

import pandas as pd

from kdsuite.analysis.results import PLACE, answers, coordinates, eer_conventions
from kdsuite.analysis.statistics.comparison import Comparison, answers_of, compare, corrected
from kdsuite.analysis.statistics.power import MIN_UNITS
from kdsuite.analysis.statistics.uncertainty import least_p
from kdsuite.runs.run import Run

VS_CONTROL = {"over": "gain", "over_low": "low", "over_high": "high", "over_p": "p"}
TEXT = [
    "dataset",
    "backbone",
    "setting",
    "method",
    "variant",
    "targets",
    "layout",
    "metric",
    "unit",
]
COLUMNS = [*dict.fromkeys([
    *TEXT, "alpha", "fraction", "labelled", "synthetic", *Comparison._fields, "floor",
    *VS_CONTROL, "method_gain",
    "method_low", "teacher", "linear", "conventions", "p_holm", "p_least", "over_holm",
])]  # fmt: skip


def compare_runs(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a distilled network and metric: its place, ``targets``, ``fraction``,
    ``labelled``, and the comparison with its baseline.

    The baseline, a run of the same suite, is the same in everything but that it has no teacher;
    seeds and parts of the folds are put together, and what only one of the two tested is left out.
    ``gain``, ``low``, ``high`` are fractions, above zero where distillation helps (for error rates
    too). ``p_holm`` is corrected for all networks, methods and alphas of one dataset, metric and
    variant, controls not among them; ``p_least`` is the smallest that it could have become. With
    fewer than six trainings there is no p, with fewer than three folds or seeds no interval (NaN,
    :func:`kdsuite.analysis.statistics.comparison.compare`). Controls have, as ``over``,
    ``over_low``, ``over_high`` and ``over_p``, what the same method with the teacher's targets
    gains over *them* (``over_holm`` is corrected for the controls of a dataset and metric), and its
    own ``method_gain`` and ``method_low`` on the control's seeds and folds. ``teacher`` is the
    teachers' own mean, ``linear`` that of the linear baseline on the same folds, ``conventions``
    by how much those of an error rate differ at most in its dataset. Runs that are not done, whose
    baseline is not or was trained in another precision, or whose predictions were removed, are left
    out.
    """
    groups = defaultdict(list)
    for run in runs:
        if run.stage == "student" and run.tested and run.done:
            groups[_network(run.settings), run.result.get("precision")].append(run)
    rows = [
        _row(group, groups, metric, results)
        for group in [*groups.values()]
        if group[0].settings.alpha > 0
        for metric in group[0].settings.corpus.metrics
    ]
    table = pd.DataFrame([row for row in rows if row], columns=COLUMNS)
    if table.empty:
        return table.astype(dict.fromkeys(COLUMNS[len(TEXT) :], float))
    own = table.targets == "teacher"
    families = table[own].groupby(["dataset", "metric", "variant"]).p
    table["p_holm"] = families.transform(corrected)
    least = families.transform("count") * table.floor.where(table.p.notna())
    table["p_least"] = least.clip(upper=1)
    table["over_holm"] = table.groupby(["dataset", "metric"]).over_p.transform(corrected)
    return table


def _network(settings):
    """Return what runs of one network have in common: everything but seed and folds."""
    return itemgetter(*PLACE)(coordinates(Run("student", settings)))


def _row(group, groups, metric, results):
    """Return the row of one distilled network's runs; nothing where its baseline is not there."""
    settings, corpus = group[0].settings, group[0].settings.corpus
    proposed = settings.changed(training={"targets": "teacher"})
    arithmetic = group[0].result.get("precision")  # its difference is no gain
    baseline, method = (
        groups[_network(of), arithmetic] for of in (settings.undistilled(), proposed)
    )
    compared = _compared(metric, group, baseline)
    if not compared:
        return {}
    method = method if settings.training.targets != "teacher" else []
    over, gain = _compared(metric, method, group), _compared(metric, method, baseline, group)
    own = results[(results.dataset == settings.dataset) & (results.metric == metric)]

    def values(*runs):
        return own[own.key.isin([run.key for run in runs])].set_index("fold").value

    linear, ours, theirs = values(Run("data", settings)), values(*group), values(*baseline)
    return {
        **coordinates(group[0]), "targets": settings.training.targets,
        "fraction": corpus.fraction, "labelled": corpus.labelled,
        "layout": corpus.layout, "synthetic": corpus.synthetic is not None, **compared,
        **{name: over.get(other) for name, other in VS_CONTROL.items()},
        "method_gain": gain.get("gain"), "method_low": gain.get("low"),
        "teacher": values(*(Run("teacher", run.settings) for run in group)).mean(),
        "linear": linear[linear.index.isin(ours.index) & linear.index.isin(theirs.index)].mean(),
        "conventions": eer_conventions(results, settings.dataset) if metric == "eer" else None,
    }  # fmt: skip


def _compared(metric, *groups):
    """Compare the first two groups of runs on what all groups tested, seed by seed; nothing where
    that is nothing."""
    key, *_ = answers_of(metric)
    answered = [answers(runs, metric) for runs in groups]
    if not all(answered):
        return {}
    tested = [pd.concat(parts).drop_duplicates(key) for parts in answered]
    shared = reduce(pd.merge, (rows[key] for rows in tested))
    if shared.empty:
        return {}
    row = compare(*(rows.merge(shared) for rows in tested[:2]), metric)
    # Student's t has no least p; where it is printed, the signs of folds were too few to be flipped
    signs = row.unit == "fold" and row.folds >= MIN_UNITS
    return {**row._asdict(), "floor": least_p(row.folds) if signs else 0.0}
