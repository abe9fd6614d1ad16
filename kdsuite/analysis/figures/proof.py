"""Pictures of a suite's comparisons for its site: gains, controls, and when label and teacher
agree."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kdsuite.analysis.figures.evidence import gains, gradient_share, known, named
from kdsuite.analysis.figures.results import agreement
from kdsuite.analysis.figures.style import save
from kdsuite.analysis.paper.findings import network
from kdsuite.analysis.site import Figure
from kdsuite.analysis.tables.collected import prevailing
from kdsuite.analysis.tables.known import YES
from kdsuite.analysis.tables.proven import METRICS, TARGETS

TITLES = {
    "figure-known": "Gains whose truth is known",
    "figure-gains": "Gains and how sure they are",
    "figure-controls": "The method and its controls",
    "figure-agreement": "When label and teacher agree",
    "figure-share": "Gain and the teacher’s share of the gradient",
}
CAPTIONS = {
    "figure-known": "Gain and 95 % interval where face and voice are known to share something that labels do not tell, and where the student’s "
    "targets are known to tell it nothing new. Intervals above should lie right of zero, those below should not.",
    "figure-gains": "Each student beside its undistilled twin: gain and 95 % interval. An interval that covers zero decides nothing; "
    "a gain without one rests on too few trainings.",
    "figure-controls": "Gain over the undistilled student, by what the student was drawn to. If the video matters, the method lies right of every control.",
    "figure-agreement": "Cosine between the gradients of classification loss and distance to the teacher’s embedding, on the student’s encoder and the first "
    "batch of each epoch. Above zero both pull the same way on that batch, below it they pull apart; how the student fares on the test is another matter.",
    "figure-share": "Gain with its 95 % interval, against the norm of the teacher’s gradient as a share of both gradients’ norms, weighted by α as the student’s "
    "encoder receives them (first batch of each epoch, mean over epochs). α alone does not say how strong the teacher is: the share does.",
}


def pictures(found: pd.DataFrame, histories: pd.DataFrame, folder: Path) -> list[Figure]:
    """Draw what there is to see of a suite's comparisons into ``folder/figures`` and return it for
    its site.

    ``found`` is what :func:`kdsuite.analysis.evidence.comparisons` returns, ``histories`` what
    :func:`kdsuite.analysis.tables.histories` does.
    """
    drawn = (
        _gains(found, folder)
        + _controls(found, folder)
        + _agreements(histories, folder)
        + _shares(found, histories, folder)
    )
    absent = {
        "figure-gains": "students distilled and undistilled, both done",
        "figure-controls": "students with other training.targets than the teacher’s",
        "figure-agreement": "students with α above 0 and below 1",
        "figure-share": "students with α above 0 and below 1, distilled and undistilled",
    }
    there = {"-".join(figure.name.split("-")[:2]) for figure in drawn}
    return drawn + [
        Figure(name, TITLES[name], CAPTIONS[name], missing=f"its runs are missing: {why}")
        for name, why in absent.items()
        if name not in there
    ]


def _gains(found: pd.DataFrame, folder: Path) -> list[Figure]:
    drawn = []
    rows = prevailing(found[found.targets == "teacher"]).sort_values(
        ["setting", "backbone", "method", "alpha"], kind="stable"
    )
    for (dataset, metric), part in rows.groupby(["dataset", "metric"]):
        labelled = part.assign(label=[named(row) for row in part.to_dict("records")])
        drawn.append(
            _figure(
                "figure-gains",
                f"{dataset}-{metric}",
                f"{dataset}, {METRICS[metric]}",
                labelled,
                folder,
            )
        )
    return drawn


def _controls(found: pd.DataFrame, folder: Path) -> list[Figure]:
    drawn = []
    place = ["dataset", "metric", "backbone", "setting", "alpha", "fraction", "labelled"]
    for where, part in found[found.targets != "teacher"].groupby(place):
        same = found[(found[place] == list(where)).all(axis=1) & (found.method == "embedding")]
        both = pd.concat([prevailing(same[same.targets == "teacher"]), part])
        label = [
            TARGETS[row.targets] if row.targets != "teacher" else "the paper’s method"
            for row in both.itertuples()
        ]
        dataset, metric, *student, alpha, fraction, labelled = where
        share = f", {100 * fraction:g} % of the training set" if fraction < 1 else ""
        share += f", {100 * labelled:g} % of it labelled" if labelled < 1 else ""
        subject = f"{dataset}, {METRICS[metric]}, {network(*student)}, α = {alpha:g}{share}"
        drawn.append(
            _figure(
                "figure-controls",
                "-".join(map(str, where)),
                subject,
                both.assign(label=label),
                folder,
            )
        )
    return drawn


def _figure(kind: str, name: str, subject: str, rows: pd.DataFrame, folder: Path) -> Figure:
    files = save(gains(rows), folder / "figures" / f"{kind}-{name}")
    spoken = "; ".join(
        f"{row.label}: {100 * row.gain:+.1f} points, {_bounds(row.low, row.high)}"
        for row in rows.itertuples()
    )
    return Figure(
        f"{kind}-{name}",
        f"{TITLES[kind]}: {subject}",
        CAPTIONS[kind],
        f"Gains with intervals. {spoken}.",
        files,
    )


def _bounds(low: float, high: float) -> str:
    return "no interval" if pd.isna(low) else f"{100 * low:+.1f} to {100 * high:+.1f}"


def known_picture(rows: pd.DataFrame, folder: Path) -> list[Figure]:
    """Draw the comparisons whose truth is known, rows of
    :func:`kdsuite.analysis.tables.known.known_rows`, into ``folder/figures``; none of none."""
    if rows.empty:
        return []
    name = "figure-known"
    if rows.gain.isna().all():
        return [
            Figure(
                name,
                TITLES[name],
                CAPTIONS[name],
                missing="its runs are missing: students whose truth is known",
            )
        ]
    files = save(known(rows), folder / "figures" / name)
    spoken = [
        f"{YES[row.benefit]}, {row.about}: {100 * row.gain:+.1f} points, {100 * row.low:+.1f} to {100 * row.high:+.1f}"
        for row in rows[rows.gain.notna()].itertuples()
    ]
    return [
        Figure(
            name,
            TITLES[name],
            CAPTIONS[name],
            f"Gains with intervals, by whether a benefit is there. {'; '.join(spoken)}.",
            files,
        )
    ]


def _agreements(histories: pd.DataFrame, folder: Path) -> list[Figure]:
    drawn = []
    kept = prevailing(histories[(histories.method == "embedding") & histories.agreement.notna()])
    for dataset, rows in kept.groupby("dataset"):
        alphas = rows.groupby(["backbone", "setting"]).alpha.nunique()
        backbone, setting = alphas.idxmax()  # the network with most alphas tells most
        part = rows[(rows.backbone == backbone) & (rows.setting == setting)].sort_values(
            ["alpha", "epoch"]
        )
        part = part.assign(line=part.alpha.map("α = {:g}".format))
        files = save(agreement(part), folder / "figures" / f"figure-agreement-{dataset}")
        last = part[part.epoch == part.epoch.max()].groupby("line").agreement.mean()
        spoken = "Lines over epochs; at the last one " + ", ".join(
            f"{line}: {value:.2f}" for line, value in last.items()
        )
        title = f"{TITLES['figure-agreement']}: {dataset}, {network(backbone, setting)}"
        drawn.append(
            Figure(
                f"figure-agreement-{dataset}", title, CAPTIONS["figure-agreement"], spoken, files
            )
        )
    return drawn


def _shares(found: pd.DataFrame, histories: pd.DataFrame, folder: Path) -> list[Figure]:
    if found.empty or histories.empty:  # a merge would refuse columns that know no type
        return []
    place = ["dataset", "backbone", "setting", "method", "alpha", "variant"]
    share = histories.teacher_gradient / (histories.teacher_gradient + histories.label_gradient)
    means = histories.assign(share=share).groupby(place).share.mean().dropna().reset_index()
    both = prevailing(found[found.targets == "teacher"]).merge(means, on=place)
    drawn = []
    for (dataset, metric), part in both.sort_values(["method", "share"]).groupby(
        ["dataset", "metric"]
    ):
        files = save(gradient_share(part), folder / "figures" / f"figure-share-{dataset}-{metric}")
        spoken = "; ".join(
            f"{named(row)}: share {100 * row['share']:.0f} %, {100 * row['gain']:+.1f} points"
            for row in part.to_dict("records")
        )
        title = f"{TITLES['figure-share']}: {dataset}, {METRICS[metric]}"
        drawn.append(
            Figure(
                f"figure-share-{dataset}-{metric}",
                title,
                CAPTIONS["figure-share"],
                f"Points. {spoken}.",
                files,
            )
        )
    return drawn
