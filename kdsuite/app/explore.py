"""One recording at a time in JupyterLab: what the teacher saw of it, and what finished students of
several alpha make of it.

explorer = Explorer(settings)
explorer.show(explorer.listen)       # controls, and below them what they choose
"""

from __future__ import annotations

import inspect
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
from sklearn.metrics.pairwise import cosine_similarity

from kdlib.dataset import Fold
from kdsuite import paths
from kdsuite.analysis import figures
from kdsuite.analysis.figures.style import METHODS, Picture
from kdsuite.analysis.paper import network as network_name
from kdsuite.analysis.report import BACKBONES, SETTINGS
from kdsuite.app.using import Student, load_student
from kdsuite.data import corpora
from kdsuite.runs import grid, stages
from kdsuite.runs.grid import Run
from kdsuite.runs.stages import prepare
from kdsuite.settings import Settings

if TYPE_CHECKING:
    from ipywidgets import Widget

CHOICES = 300  # recordings in the list, of corpora that have more
NEIGHBOURS = 5  # of a recording that are shown
WINDOWS = 4  # a segment: how often a student is asked
COLUMNS = ["recording", "speaker", "label"]


def networks(settings: Settings) -> dict[str, dict[float, Run]]:
    """Return, by the network's name, the finished runs by alpha that kept their students.

    They have the dataset, sections, folds and seed of ``settings``; the network of ``settings``
    comes first. The undistilled student, alpha = 0, stands in each.
    """
    training = settings.training.model_copy(update={"keep_students": True})
    kept, networks = settings.model_copy(update={"training": training}), {}
    own = f"{settings.backbone}-{settings.setting}-{settings.method}-"
    folder = paths.REPORTS / "runs" / settings.dataset / "student"
    # in the order of networks and alphas, as folders are called by them
    files = sorted(folder.glob("*/result.json"))
    for file in sorted(files, key=lambda file: not file.parent.name.startswith(own)):
        values = json.loads(file.read_bytes())["settings"]
        axes = {axis: values[axis] for axis in ("backbone", "setting", "method", "alpha")}
        run = Run("student", kept.model_copy(update=axes), {})
        if values["alpha"] and run.folder == file.parent and _kept(run):
            name = f"{network_name(values['backbone'], values['setting'])}, {METHODS[values['method']][2]}"
            undistilled = Run("student", run.settings.undistilled(), {})
            by_alpha = networks.setdefault(name, {0.0: undistilled} if _kept(undistilled) else {})
            by_alpha[values["alpha"]] = run
    return networks


def _kept(run: Run) -> bool:
    return run.done and any(run.folder.glob("fold-*.safetensors"))


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
        "make reports, or " if Run(stage, settings).folder in [run.folder for run in usual] else ""
    )
    return f"Run {whole}{command}, then this notebook again."


def opinion(student: Student, waveform: torch.Tensor) -> pd.DataFrame:
    """Return the class probabilities that a student gives to each segment of ``waveform``
    ``(samples,)`` by itself.

    A row is a window, indexed by its middle in seconds; the columns are the classes. A waveform
    shorter than a segment is one window.
    """
    media = student.settings.media
    length = min(media.samples_per_segment, len(waveform))
    step = media.samples_per_segment // WINDOWS
    windows = waveform.unfold(0, length, step)
    with torch.inference_mode():
        logits = torch.cat([student.classify(each[None], "fixed").logits for each in windows])
    middles = (np.arange(len(windows)) * step + length / 2) / media.sample_rate
    index = pd.Index(middles, name="seconds")
    return pd.DataFrame(logits.softmax(dim=-1).numpy(), index, student.classes)


def nearest(embeddings: np.ndarray, chosen: int) -> pd.Series:
    """Return the cosines to row ``chosen`` of the rows of ``embeddings`` ``(recordings,
    embedding)`` nearest to it, by row."""
    cosines = pd.Series(cosine_similarity(embeddings[[chosen]], embeddings)[0])
    return cosines.drop(chosen).nlargest(NEIGHBOURS)


def as_html(shown: Any) -> str:
    """Return a picture, a sentence or whatever a notebook shows as HTML."""
    if isinstance(shown, Picture):
        png, size = shown._repr_png_()
        return f'<img alt="what the text above explains" width="{size["width"]}" src="data:image/png;base64,{b64encode(png).decode()}">'
    return f"<p>{escape(shown)}</p>" if isinstance(shown, str) else shown._repr_html_()


class Explorer:
    """The recordings of a dataset, and the finished students that were not trained on a fold's test
    recordings.

    Every view returns what is to be shown of one recording, chosen by its row in the store, and
    where students are asked, a network and an alpha of :func:`networks`; :meth:`show` puts the
    controls above it.
    """

    def __init__(self, settings: Settings) -> None:
        from ipywidgets import Dropdown, SelectionSlider

        self.settings, self.store = settings, prepare(settings)
        folds = corpora.chosen_folds(self.store.recordings, settings)
        self.folds: dict[int, Fold] = {row: fold for fold in folds for row in fold.test}
        self.networks = networks(settings)
        rows = sorted(self.folds)[:: -(-len(self.folds) // CHOICES)]
        names = self.store.recordings.loc[rows, COLUMNS].astype(str).agg(" · ".join, axis=1)
        wide = {"layout": {"width": "34em"}, "style": {"description_width": "6em"}}
        self.controls: dict[str, Widget] = {
            "row": Dropdown(options=list(zip(names, rows)), description="recording", **wide),
            "network": Dropdown(options=list(self.networks), description="network", **wide),
            "alpha": SelectionSlider(options=[("no student yet", 0.0)], description="α", **wide),
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
        teacher = stages.trained_teacher(Run("teacher", self.settings), self.store, self.folds[row])
        name = f"{SETTINGS['sequential' if self.settings.sequential else 'nonseq']} {BACKBONES.get(self.settings.backbone, self.settings.backbone)} teacher"
        if teacher is None:
            return [f"No {name} is trained yet. {to_make('teacher', self.settings)}"]
        return [
            f"This is the {name}.",
            figures.recordings(self.store, [row], self.settings, teacher),
        ]

    def opinions(self, row: int, network: str | None, alpha: float) -> list[Any]:
        """Return the class probabilities of the undistilled and the distilled student over a
        recording."""
        students, shown = self._students(row, network, alpha)
        if students:
            waveform, label = self._waveform(row), str(self.store.recordings.label[row])
            outputs = {name: opinion(student, waveform) for name, student in students.items()}
            shown.append(figures.opinions(outputs, label))
        return shown

    def neighbours(self, row: int, network: str | None, alpha: float) -> list[Any]:
        """Return which of the fold's test recordings lie nearest to one, for the undistilled and
        the distilled student."""
        students, shown = self._students(row, network, alpha)
        if not students:
            return shown
        tested = self.folds[row].test
        rows = np.union1d(tested[:: -(-len(tested) // CHOICES)], [row])
        chosen = int(np.searchsorted(rows, row))
        recordings = self.store.recordings.iloc[rows].reset_index(drop=True)
        embeddings = {
            name: self._embeddings(student.path, tuple(rows)) for name, student in students.items()
        }
        near = {name: nearest(each, chosen) for name, each in embeddings.items()}
        tables = {
            name: recordings.loc[cosines.index, COLUMNS]
            .assign(cosine=cosines)
            .reset_index(drop=True)
            for name, cosines in near.items()
        }
        table = pd.concat(tables, axis=1).rename(lambda number: number + 1).style
        places = {name: cosines.index.to_numpy() for name, cosines in near.items()}
        return [
            *shown,
            figures.neighbourhoods(embeddings, recordings, chosen, places),
            table.format(precision=3, escape="html").format_index(escape="html", axis=1),
        ]

    def _students(
        self, row: int, network: str | None, alpha: float
    ) -> tuple[dict[str, Student], list[Any]]:
        """Return the students to ask by name, undistilled first, and a sentence that names the
        command for one that is missing."""
        runs, students = self.networks.get(network, {}), {}
        for each in (0.0, alpha):
            if each in runs:
                file = runs[each].folder / f"fold-{self.folds[row].number}.safetensors"
                if file.exists():
                    name = f"α = {each:g}" if each else "undistilled"
                    students[name] = self._student(str(file))
        if not students:
            usual = self.settings.alpha or Settings.model_fields["alpha"].default
            command = to_make("student", self.settings.model_copy(update={"alpha": usual}))
            return students, [f"No student of this dataset and seed was kept. {command}"]
        if "undistilled" in students:
            return students, []
        command = to_make("student", runs[alpha].settings.undistilled())
        return students, [f"No undistilled student of this network was kept. {command}"]

    def _waveform(self, row: int) -> torch.Tensor:
        return self.store.waveforms[row].float() / 32768

    @torch.inference_mode()
    def _embed(self, path: str, rows: tuple[int, ...]) -> np.ndarray:
        """Return a student's embeddings ``(rows, embedding)`` of whole recordings."""
        student = self._student(path)
        outputs = [student.classify(self._waveform(row)[None], "whole") for row in rows]
        return torch.cat([output.final for output in outputs]).numpy()
