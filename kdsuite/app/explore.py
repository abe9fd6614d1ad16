"""One recording at a time in JupyterLab: what the teacher saw of it, and what finished students of
several alpha make of it.

explorer = Explorer(settings)
explorer.show(explorer.listen)       # controls, and below them what they choose
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from html import escape
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Audio
from ipywidgets import HTML, Dropdown, SelectionSlider, VBox
from sklearn.metrics.pairwise import cosine_similarity

from kdsuite import paths
from kdsuite.analysis import figures
from kdsuite.analysis.figures.style import METHODS, Picture
from kdsuite.analysis.paper import network as network_name
from kdsuite.app.using import Student, load_student
from kdsuite.data import corpora
from kdsuite.runs import grid, stages
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

CHOICES = 300  # recordings in the list, of corpora that have more
NEIGHBOURS = 5  # of a recording that are shown
WINDOWS = 4  # a segment: how often a student is asked
COLUMNS = ["recording", "speaker", "label"]


def students(settings: Settings) -> list[Run]:
    """Return the finished runs of distilled students that were kept, of the dataset, sections,
    folds and seed of ``settings``, which keep their students."""
    runs, folder = [], paths.REPORTS / "runs" / settings.dataset / "student"
    # in the order of networks and alphas, as folders are called by them
    for file in sorted(folder.glob("*/result.json")):
        values = json.loads(file.read_bytes())["settings"]
        axes = {axis: values[axis] for axis in ("backbone", "setting", "method", "alpha")}
        run = Run("student", settings.model_copy(update=axes))
        kept = any(file.parent.glob("fold-*.safetensors"))
        if kept and values["alpha"] and run.folder == file.parent and run.done:
            runs.append(run)
    return runs


def to_make(run: Run) -> str:
    """Return the sentence that tells which command makes a run."""
    given = shlex.quote(grid.as_yaml(run.given))
    return f"Run papermill notebooks/{run.notebook.name} OUT.ipynb -y {given}, then this notebook again."


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
    return pd.DataFrame(logits.softmax(dim=-1).numpy(), middles, student.classes)


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
    where students are asked, one of ``networks`` and an alpha; :meth:`show` puts the controls above
    it.
    """

    def __init__(self, settings: Settings) -> None:
        training = settings.training.model_copy(update={"keep_students": True})
        alpha = settings.alpha or Settings.model_fields["alpha"].default
        own = settings.model_copy(update={"training": training, "alpha": alpha})
        self.settings, self.store = settings, stages.prepare(settings)
        folds = corpora.chosen_folds(self.store.recordings, settings)
        self.folds = {row: fold for fold in folds for row in fold.test}
        self.students = students(own)
        every = [own, *(run.settings for run in self.students)]
        # settings by the name of their network, that of the notebook first
        self.networks = {
            f"{network_name(of.backbone, of.setting)}, {METHODS[of.method][2]}": of for of in every
        }
        rows = _few(sorted(self.folds))
        names = self.store.recordings.loc[rows, COLUMNS].astype(str).agg(" · ".join, axis=1)
        alphas = sorted({of.alpha for of in every})
        wide = {"layout": {"width": "34em"}, "style": {"description_width": "6em"}}
        self.controls = {
            "row": Dropdown(options=list(zip(names, rows)), description="recording", **wide),
            "network": Dropdown(options=list(self.networks.items()), description="network", **wide),
            "alpha": SelectionSlider(options=alphas, value=alpha, description="α", **wide),
        }
        self._student, self._embedding = cache(load_student), cache(self._embedding)

    def show(self, view: Callable[..., list[Any]]) -> VBox:
        """Return the controls that ``view`` asks for by the names of its parameters, above what it
        returns for them.

        That is put into widgets of HTML: an ``Output`` widget now and then hangs a notebook that
        papermill executes.
        """
        chosen, drawn = [self.controls[name] for name in signature(view).parameters], VBox()

        def draw(*change) -> None:
            drawn.children = [
                HTML(as_html(shown)) for shown in view(*(each.value for each in chosen))
            ]

        for control in chosen:
            control.observe(draw, names="value")
        draw()
        return VBox([*chosen, drawn])

    def listen(self, row: int) -> list[Any]:
        """Return a recording's sound, and its faces over its spectrogram."""
        sound = Audio(self._waveform(row).numpy(), rate=self.store.sample_rate, normalize=False)
        return [sound, figures.recordings(self.store, [row], self.settings)]

    def saw(self, row: int) -> list[Any]:
        """Return what the frozen teacher of ``settings`` says of a recording that it never saw in
        training: peak frame, probabilities."""
        of, run = self.settings, Run("teacher", self.settings)
        if not len(self.store.frames.values):
            return ["The recordings of this corpus have no video, so no teacher saw them."]
        name = f"{network_name(of.backbone, of.setting)} teacher"
        teacher = stages.trained_teacher(run, self.store, self.folds[row])
        if teacher is None:
            return [f"No {name} is trained yet. {to_make(run)}"]
        return [f"This is the {name}.", figures.recordings(self.store, [row], of, teacher)]

    def opinions(self, row: int, network: Settings, alpha: float) -> list[Any]:
        """Return the class probabilities of the undistilled and the distilled student over a
        recording."""
        students, shown = self._students(row, network, alpha)
        waveform, label = self._waveform(row), str(self.store.recordings.label[row])
        outputs = {name: opinion(student, waveform) for name, student in students.items()}
        return [*shown, figures.opinions(outputs, label)] if outputs else shown

    def neighbours(self, row: int, network: Settings, alpha: float) -> list[Any]:
        """Return which of the fold's test recordings lie nearest to one, for the undistilled and
        the distilled student."""
        students, shown = self._students(row, network, alpha)
        if not students:
            return shown
        rows = np.union1d(_few(self.folds[row].test), [row])
        chosen = int(np.searchsorted(rows, row))
        recordings = self.store.recordings.iloc[rows].reset_index(drop=True)
        embeddings, near, tables = {}, {}, {}
        for name, student in students.items():
            embeddings[name] = np.stack([self._embedding(student, each) for each in rows])
            cosines = nearest(embeddings[name], chosen)
            near[name], table = cosines.index, recordings.loc[cosines.index, COLUMNS]
            tables[name] = table.assign(cosine=cosines).reset_index(drop=True)
        table = pd.concat(tables, axis=1).style.format(precision=3, escape="html")
        picture = figures.neighbourhoods(embeddings, recordings, chosen, near)
        return [*shown, picture, table.format_index(escape="html", axis=1)]

    def _students(self, row: int, network: Settings, alpha: float) -> tuple[dict, list[Any]]:
        """Return the students to ask by name, undistilled first, and for each that is missing a
        sentence with the command that makes it."""
        students, missing = {}, []
        for name, each in (("undistilled", 0.0), (f"α = {alpha:g}", alpha)):
            run = Run("student", network.model_copy(update={"alpha": each}))
            file = run.folder / f"fold-{self.folds[row].number}.safetensors"
            if run.done and file.exists():
                students[name] = self._student(file)
            else:
                missing.append(f"No {name} student of this network was kept. {to_make(run)}")
        return students, missing

    def _waveform(self, row: int) -> torch.Tensor:
        return self.store.waveforms[row].float() / 32768

    @torch.inference_mode()
    def _embedding(self, student: Student, row: int) -> np.ndarray:
        """Return a student's embedding ``(embedding,)`` of a whole recording."""
        return student.classify(self._waveform(row)[None], "whole").final[0].numpy()


def _few(rows):
    """Return every n-th of ``rows``, of many :data:`CHOICES`."""
    return rows[:: -(-len(rows) // CHOICES)]
