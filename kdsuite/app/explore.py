"""One recording at a time in JupyterLab: what the teacher saw of it, and what finished students of
several alpha make of it.

explorer = Explorer(settings)
explorer.show(explorer.listen)       # controls, and below them what they choose
"""

from __future__ import annotations

import inspect
import itertools
import json
import shlex
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Audio

from kdlib.dataset import Fold, samples_per_segment
from kdsuite import paths
from kdsuite.analysis import figures, paper
from kdsuite.analysis.figures.style import METHODS, Picture
from kdsuite.analysis.report import BACKBONES, SETTINGS
from kdsuite.app.using import Student, load_student
from kdsuite.data import corpora
from kdsuite.runs import grid, stages
from kdsuite.runs.grid import Run
from kdsuite.runs.stages import prepare
from kdsuite.settings import Settings

if TYPE_CHECKING:
    from ipywidgets import Widget

NETWORK = ("backbone", "setting", "method")  # what makes a network, beside alpha
CHOICES = 300  # recordings in the list, of corpora that have more
NEIGHBOURS = 5
WINDOWS = 4  # a segment: how often a student is asked


def networks(settings: Settings) -> dict[str, dict[float, Run]]:
    """Return, by the network's name, the finished runs by alpha that kept their students.

    They have the dataset, sections, folds and seed of ``settings``; the network of ``settings``
    comes first. The undistilled student, alpha = 0, stands in each.
    """
    found: dict[str, dict[float, Run]] = {}
    home = paths.REPORTS / "runs" / settings.dataset / "student"
    kept = [
        json.loads(file.read_bytes())["settings"]
        for file in sorted(home.glob("*/result.json"))
        if any(file.parent.glob("fold-*.safetensors"))
    ]
    axes = sorted({tuple(each[axis] for axis in NETWORK) for each in kept if each["alpha"]})
    axes.sort(key=lambda values: values != tuple(getattr(settings, axis) for axis in NETWORK))
    # where the dataset's file does not ask for it, a run that was told to keep its students is
    # filed under another key
    trainings = [
        settings.training.model_copy(update={"keep_students": keep})
        for keep in {settings.training.keep_students, True}
    ]
    for values in axes:
        network = settings.model_copy(update=dict(zip(NETWORK, values)))
        choices = itertools.product(sorted({each["alpha"] for each in kept}), trainings)
        runs = [
            Run("student", network.model_copy(update={"alpha": alpha, "training": training}), {})
            for alpha, training in choices
        ]
        done = {
            run.settings.alpha: run
            for run in runs
            if run.done and any(run.folder.glob("fold-*.safetensors"))
        }
        if set(done) - {0.0}:
            found[
                f"{paper.network(network.backbone, network.setting)}, {METHODS[network.method][2]}"
            ] = done
    return found


def to_make(stage: str, settings: Settings) -> str:
    """Return the sentence that tells which command makes a run, of a student one that keeps it."""
    sections: dict[str, dict[str, Any]] = (
        {"training": {"keep_students": True}} if stage == "student" else {}
    )
    for name, value in settings.overrides(stage).items():
        section, parameter = name.split(".")
        sections.setdefault(section, {})[parameter] = value
    given = grid.as_yaml({**{axis: getattr(settings, axis) for axis in grid.AXES}, **sections})
    command = f"papermill notebooks/{grid.STAGES[stage]}.ipynb OUT.ipynb -y {shlex.quote(given)}"
    usual = grid.runs("demo") if "demo" in grid.suites() else []
    whole = (
        "make reports, or " if grid.folder(settings, stage) in [run.folder for run in usual] else ""
    )
    return f"Run {whole}{command}, then this notebook again."


def opinion(student: Student, waveform: torch.Tensor) -> pd.DataFrame:
    """Return what a student says of each segment of ``waveform`` ``(samples,)`` by itself: class
    probabilities.

    A row is a window, indexed by its middle in seconds; the columns are the classes. A waveform
    shorter than a segment is one window.
    """
    media = student.settings.media
    length = samples_per_segment(media)
    windows = (
        waveform.unfold(0, length, length // WINDOWS) if len(waveform) >= length else waveform[None]
    )
    with torch.inference_mode():
        said = torch.cat(
            [
                student.classifier.classify(window[None], "fixed").logits.softmax(dim=-1)
                for window in windows
            ]
        )
    middles = (
        np.arange(len(windows)) * (length // WINDOWS) + windows.shape[1] / 2
    ) / media.sample_rate
    return pd.DataFrame(
        said.numpy(), index=pd.Index(middles, name="seconds"), columns=student.classes
    )


def nearest(
    embeddings: np.ndarray, chosen: int, count: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` rows of ``embeddings`` ``(recordings, embedding)`` nearest to row
    ``chosen``, and their cosines to it."""
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
    cosines = directions @ directions[chosen]
    cosines[chosen] = -np.inf
    order = np.argsort(-cosines)[: min(count, len(cosines) - 1)]
    return order, cosines[order]


def as_html(shown: Any) -> str:
    """Return a picture, a sentence or whatever a notebook shows as HTML."""
    if isinstance(shown, Picture):
        png, size = shown._repr_png_()
        return f'<img alt="what the text above explains" width="{size["width"]}" src="data:image/png;base64,{b64encode(png).decode()}">'
    return f"<p>{escape(shown)}</p>" if isinstance(shown, str) else shown._repr_html_()


class Explorer:
    """The recordings of a dataset, and the finished students that heard none of a fold's test
    recordings in training.

    Every view returns what is to be shown of one recording, chosen by its row in the store, and
    where students are asked, a network and an alpha of :func:`networks`; :meth:`show` puts the
    controls above it.
    """

    def __init__(self, settings: Settings) -> None:
        import ipywidgets

        self.settings, self.store = settings, prepare(settings)
        self.folds: dict[int, Fold] = {
            row: fold
            for fold in corpora.chosen_folds(self.store.recordings, settings)
            for row in fold.test
        }
        self.networks = networks(settings)
        recordings = self.store.recordings
        rows = sorted(self.folds)[:: -(-len(self.folds) // CHOICES)]
        names = [
            f"{recordings.recording[row]} · {recordings.speaker[row]} · {recordings.label[row]}"
            for row in rows
        ]
        wide = {"layout": {"width": "34em"}, "style": {"description_width": "6em"}}
        self.controls: dict[str, Widget] = {
            "row": ipywidgets.Dropdown(
                options=list(zip(names, rows)), description="recording", **wide
            ),
            "network": ipywidgets.Dropdown(
                options=list(self.networks), description="network", **wide
            ),
            "alpha": ipywidgets.SelectionSlider(
                options=[("no student yet", 0.0)], description="α", **wide
            ),
        }
        self._offer_alphas(settings.alpha)
        self.controls["network"].observe(
            lambda change: self._offer_alphas(self.controls["alpha"].value), names="value"
        )
        self._student = lru_cache(maxsize=64)(load_student)
        self._embeddings = lru_cache(maxsize=64)(self._embed)

    def _offer_alphas(self, wanted: float) -> None:
        """Give the slider the alphas of the chosen network, and set it to the one nearest to that
        wanted."""
        if alphas := list(self.networks.get(self.controls["network"].value, {})):
            self.controls["alpha"].options = [(f"{alpha:g}", alpha) for alpha in alphas]
            self.controls["alpha"].value = min(alphas, key=lambda alpha: abs(alpha - wanted))

    def show(self, view: Callable[..., list[Any]]) -> Widget:
        """Return the controls that ``view`` asks for by the names of its parameters, above what it
        returns for them.

        That is put into widgets of HTML: an ``Output`` widget now and then hangs a notebook that
        papermill executes.
        """
        import ipywidgets

        chosen = {name: self.controls[name] for name in inspect.signature(view).parameters}
        drawn = ipywidgets.VBox()

        def draw(change: Any = None) -> None:
            shown = view(**{name: control.value for name, control in chosen.items()})
            drawn.children = [ipywidgets.HTML(as_html(each)) for each in shown]

        for control in chosen.values():
            control.observe(draw, names="value")
        draw()
        return ipywidgets.VBox([*chosen.values(), drawn])

    def listen(self, row: int) -> list[Any]:
        """Return a recording's sound, and its faces over its spectrogram."""
        return [
            Audio(self._waveform(row).numpy(), rate=self.store.sample_rate, normalize=False),
            figures.recordings(self.store, [row], self.settings),
        ]

    def saw(self, row: int) -> list[Any]:
        """Return what the frozen teacher of ``settings`` says of a recording that it never saw in
        training: peak frame, probabilities."""
        if not len(self.store.frames.values):
            return ["The recordings of this corpus have no video, so no teacher saw them."]
        teacher = Run("teacher", self.settings)
        told = stages.trained_teacher(teacher, self.store, self.folds[row])
        name = f"{SETTINGS['sequential' if self.settings.sequential else 'nonseq']} {BACKBONES[self.settings.backbone]} teacher"
        if told is None:
            return [f"No {name} is trained yet. {to_make('teacher', self.settings)}"]
        return [f"This is the {name}.", figures.recordings(self.store, [row], self.settings, told)]

    def opinions(self, row: int, network: str | None, alpha: float) -> list[Any]:
        """Return what the undistilled and the distilled student say of each moment of a recording."""
        students, missing = self._students(row, network, alpha)
        if not students:
            return missing
        told = {name: opinion(student, self._waveform(row)) for name, student in students.items()}
        return [*missing, figures.opinions(told, str(self.store.recordings.label[row]))]

    def neighbours(self, row: int, network: str | None, alpha: float) -> list[Any]:
        """Return which of the fold's test recordings lie nearest to one, for the undistilled and
        the distilled student."""
        students, missing = self._students(row, network, alpha)
        if not students:
            return missing
        tested = self.folds[row].test
        rows = np.union1d(tested[:: -(-len(tested) // CHOICES)], [row])
        chosen, recordings = (
            int(np.searchsorted(rows, row)),
            self.store.recordings.iloc[rows].reset_index(drop=True),
        )
        told = {
            name: self._embeddings(student.path, tuple(rows)) for name, student in students.items()
        }
        near = {name: nearest(embeddings, chosen) for name, embeddings in told.items()}
        columns = ["recording", "speaker", "label"]
        tables = [
            recordings.loc[found, columns].assign(cosine=cosines).reset_index(drop=True)
            for found, cosines in near.values()
        ]
        table = pd.concat(tables, axis=1, keys=list(near)).rename(lambda number: number + 1)
        picture = figures.neighbourhoods(
            told, recordings, chosen, {name: found for name, (found, _) in near.items()}
        )
        return [
            *missing,
            picture,
            table.style.format(precision=3, escape="html").format_index(escape="html", axis=1),
        ]

    def _students(
        self, row: int, network: str | None, alpha: float
    ) -> tuple[dict[str, Student], list[str]]:
        """Return the students to ask by name, undistilled first, and what to run for those that are
        missing."""
        runs = self.networks.get(network, {})
        files = {
            each: runs[each].folder / f"fold-{self.folds[row].number}.safetensors"
            for each in (0.0, alpha)
            if each in runs
        }
        there = {each: file for each, file in files.items() if file.exists()}
        missing = []
        if not there:
            distilled = self.settings.model_copy(
                update={"alpha": self.settings.alpha or Settings.model_fields["alpha"].default}
            )
            missing = [
                f"No student of this dataset and seed was kept. {to_make('student', distilled)}"
            ]
        elif 0.0 not in there:
            missing = [
                f"No undistilled student of this network was kept. {to_make('student', runs[alpha].settings.undistilled())}"
            ]
        return {
            f"α = {each:g}" if each else "undistilled": self._student(str(file))
            for each, file in there.items()
        }, missing

    def _waveform(self, row: int) -> torch.Tensor:
        return self.store.waveforms[row].float() / 32768

    @torch.inference_mode()
    def _embed(self, path: str, rows: tuple[int, ...]) -> np.ndarray:
        """Return a student's embeddings ``(rows, embedding)`` of whole recordings."""
        classifier = self._student(path).classifier
        return torch.cat(
            [classifier.classify(self._waveform(row)[None], "whole").final for row in rows]
        ).numpy()
