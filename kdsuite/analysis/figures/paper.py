"""Figures 1 to 6 of the paper for the site of a suite: drawn from the networks, and from what the
runs found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from kdlib.errors import InvalidCorpus
from kdsuite.analysis.figures.diagrams import draw
from kdsuite.analysis.figures.results import accuracy_against_alpha, means_over_folds
from kdsuite.analysis.figures.style import save
from kdsuite.analysis.site import Figure
from kdsuite.analysis.tables.collected import prevailing
from kdsuite.settings import Settings


class Diagram(NamedTuple):
    """A figure of the method."""

    title: str
    caption: str
    alt: str


DIAGRAMS = {
    "figure1": Diagram(
        "Figure 1. The method",
        "The teacher learns from faces and is frozen. Its embedding and the labels guide the "
        "student, whose input is audio alone. The factor of each gradient was computed by "
        "automatic differentiation of the networks themselves.",
        "Diagram: video passes the frozen teacher, audio passes the student, and the teacher's "
        "embedding is the target of the student's.",
    ),
    "figure2": Diagram(
        "Figure 2. Without sequence",
        "Encoder and head of teacher and student. The peak frame's embedding is the target of "
        "the student's encoder.",
        "Diagram of the non-sequential networks with the gradients that reach encoder and head.",
    ),
    "figure3": Diagram(
        "Figure 3. With sequence",
        "Left, distillation at the encoder (EM): the target of each audio segment is the mean "
        "embedding of its frames. Right, at the aggregator (AGG): one target for the recording.",
        "Diagram of the sequential networks with distillation at the encoder and at the "
        "aggregator.",
    ),
}


class Sweep(NamedTuple):
    """A figure of a metric over alpha, for the datasets of one corpus layout."""

    layout: str
    metric: str
    title: str


SWEEPS = {
    "figure4": Sweep("voxceleb1", "accuracy", "Figure 4. Speaker identification against α"),
    "figure5": Sweep("ravdess", "uar", "Figure 5. Speech emotion (RAVDESS) against α"),
    "figure6": Sweep("iemocap", "uar", "Figure 6. Speech emotion (IEMOCAP) against α"),
}
# who is heard in the test, protocol by protocol
TESTED = {
    "speakers": "Test recordings of left-out speakers.",
    "portions": "New recordings of the speakers heard in training.",
    "random": "Test recordings drawn at random: their speakers were heard in training, which flatters every line.",
    "given": "Test recordings of the corpus’ own folds.",
}


def figures(settings: list[Settings], results: pd.DataFrame, folder: Path) -> list[Figure]:
    """Draw the figures of a suite into ``folder/figures`` and return them for its site; what cannot
    be drawn says why.

    ``settings`` are those of the suite's runs, ``results`` what
    :func:`kdsuite.analysis.tables.collect` says of them.
    """
    drawn = [_diagram(name, settings[0], folder) for name in DIAGRAMS]
    return drawn + [
        _sweep(name, sweep, settings, results, folder) for name, sweep in SWEEPS.items()
    ]


def _diagram(name: str, settings: Settings, folder: Path) -> Figure:
    diagram = DIAGRAMS[name]
    try:
        files = save(draw(name, settings), folder / "figures" / name)
    except InvalidCorpus as error:  # the table of face measurements, which are counted, is missing
        return Figure(name, diagram.title, diagram.caption, missing=str(error))
    return Figure(name, diagram.title, diagram.caption, diagram.alt, files)


def _sweep(
    name: str, sweep: Sweep, settings: list[Settings], results: pd.DataFrame, folder: Path
) -> Figure:
    of = [each for each in settings if each.corpus.layout == sweep.layout]
    caption = f"{TESTED[of[0].corpus.protocol if of else 'speakers']} All methods start at α = 0 from the same undistilled student (dashed)."
    if not of:
        return Figure(name, sweep.title, caption, missing="no run of this suite uses that corpus")
    dataset = min(each.dataset for each in of)
    rows = prevailing(
        results[
            (results.dataset == dataset)
            & (results.stage == "student")
            & ~results.variant.str.contains("training.targets")
        ]
    )
    means = means_over_folds(rows, sweep.metric)
    if means.empty or means.groupby(["backbone", "setting"]).alpha.nunique().max() < 2:
        return Figure(
            name,
            sweep.title,
            caption,
            missing="its runs are missing: students of one network at two values of α or more",
        )
    linear = prevailing(
        results[
            (results.dataset == dataset)
            & (results.stage == "data")
            & (results.metric == sweep.metric)
        ]
    ).value.mean()
    dotted = "" if math.isnan(linear) else f" Dotted: the linear baseline, {100 * linear:.1f} %."
    files = save(accuracy_against_alpha(rows, sweep.metric, linear), folder / "figures" / name)
    return Figure(name, sweep.title, f"{dataset}: {caption}{dotted}", _spoken(means), files)


def _spoken(means: pd.DataFrame) -> str:
    """Tell the picture's numbers to those who do not see it."""
    part = means.sort_values("alpha").groupby(["backbone", "setting", "method"], sort=False)
    lines = [
        f"{' '.join(key)}: "
        + ", ".join(f"{100 * row['mean']:.1f} % at α {row.alpha:g}" for _, row in rows.iterrows())
        for key, rows in part
    ]
    return "Lines over α. " + "; ".join(lines)
