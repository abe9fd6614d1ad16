"""One recording at a time in JupyterLab: what the teacher saw of it, and what the students of each
alpha make of it.

explorer = Explorer(settings)
explorer.show(explorer.listen)       # the list of recordings, and below it the chosen one
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Audio
from ipywidgets import HTML, Dropdown, VBox
from sklearn.metrics.pairwise import cosine_similarity

from kdlib.errors import InvalidParameter
from kdsuite.analysis import figures
from kdsuite.analysis.figures.style import Picture
from kdsuite.analysis.paper import network
from kdsuite.app.using import Student, load_student
from kdsuite.data.folds import chosen_folds
from kdsuite.runs import grid, stages
from kdsuite.runs.prediction import embed
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

CHOICES = 300  # recordings in the list, of corpora that have more
NEIGHBOURS = 5  # of a recording that are shown
WINDOWS = 4  # a segment: how often a student is asked
COLUMNS = ["recording", "speaker", "label"]


def students(settings: Settings) -> list[Run]:
    """Return the runs of the students of a network at alpha = 0, at that of ``settings`` and at
    every alpha that has a result, which keep their students."""
    own = settings.changed(training={"keep_students": True})
    alphas, folder = {0.0, settings.alpha}, Run("student", own).folder.parent
    for file in folder.glob("*/result.json"):
        alpha = json.loads(file.read_bytes())["settings"]["alpha"]
        if Run("student", own.changed(alpha=alpha)).folder == file.parent:
            alphas.add(alpha)
    return [Run("student", own.changed(alpha=alpha)) for alpha in sorted(alphas)]


def to_make(run: Run) -> str:
    """Return the sentence that tells which command makes a run."""
    given = shlex.quote(grid.as_yaml(run.given))
    return f"Run kdlib run {run.stage} -y {given}, then this notebook again."


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
        return (
            f'<img alt="what the text above explains" width="{size["width"]}"'
            f' src="data:image/png;base64,{b64encode(png).decode()}">'
        )
    return f"<p>{escape(shown)}</p>" if isinstance(shown, str) else shown._repr_html_()


class Explorer:
    """The recordings of a dataset, and the finished students of a network, at each alpha, that were
    not trained on a fold's test recordings.

    Every view returns what is to be shown of one recording, chosen by its row in the store;
    :meth:`show` puts the list of recordings above it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.store = settings, stages.prepare(settings)
        table, self.students = self.store.recordings, students(settings)
        folds = chosen_folds(table, settings)
        self.folds = {row: fold for fold in folds for row in fold.test}
        if not self.folds:
            raise InvalidParameter("parameter 'folds' is none, which tests no recording; give all.")
        rows = _few(sorted(self.folds))
        names = table.loc[rows, COLUMNS].astype(str).agg(" · ".join, axis=1)
        # one for all views
        self.recording = Dropdown(options=list(zip(names, rows)), layout={"width": "34em"})
        self._student, self._embedding = cache(load_student), cache(self._embedding)

    def show(self, view: Callable[[int], list[Any]]) -> VBox:
        """Return the list of recordings, above what ``view`` returns for the chosen one.

        That is put into widgets of HTML: an ``Output`` widget now and then hangs a notebook that
        papermill executes.
        """
        drawn = VBox()

        def draw(*change):
            drawn.children = [HTML(as_html(shown)) for shown in view(self.recording.value)]

        self.recording.observe(draw, names="value")
        draw()
        return VBox([self.recording, drawn])

    def listen(self, row: int) -> list[Any]:
        """Return a recording's sound, and its faces over its spectrogram."""
        sound = Audio(self._waveform(row).numpy(), rate=self.store.sample_rate, normalize=False)
        return [sound, figures.recordings(self.store, [row], self.settings)]

    def saw(self, row: int) -> list[Any]:
        """Return what the frozen teacher of ``settings`` says of a recording that it never saw in
        training: peak frame, probabilities."""
        of, run = self.settings, Run("teacher", self.settings)
        if teacher := stages.trained_teacher(run, self.store, self.folds[row]):
            return [figures.recordings(self.store, [row], of, teacher)]
        return [f"No {network(of.backbone, of.setting)} teacher is trained yet. {to_make(run)}"]

    def opinions(self, row: int) -> list[Any]:
        """Return each student's class probabilities over a recording."""
        waveform, label = self._waveform(row), str(self.store.recordings.label[row])

        def draw(name, student):
            """Return the picture of one student."""
            return [figures.opinion(opinion(student, waveform), label, name)]

        return self._each_student(row, draw)

    def neighbours(self, row: int) -> list[Any]:
        """Return which of the fold's test recordings lie nearest to one, for each student."""
        rows = np.union1d(_few(self.folds[row].test), [row])
        chosen = int(np.searchsorted(rows, row))
        recordings = self.store.recordings.iloc[rows].reset_index(drop=True)

        def draw(name, student):
            """Return the picture of one student, and the table of the nearest recordings."""
            embeddings = np.stack([self._embedding(student, each) for each in rows])
            cosines = nearest(embeddings, chosen)
            table = recordings.loc[cosines.index, COLUMNS].assign(cosine=cosines)
            return [
                figures.neighbourhood(embeddings, recordings.label, chosen, cosines.index, name),
                table.style.format(precision=3, escape="html").hide().set_caption(name),
            ]

        return self._each_student(row, draw)

    def _each_student(self, row, draw):
        """Return what ``draw`` returns for each student, undistilled first, and for each that is
        missing a sentence with the command that makes it."""
        shown, missing = [], []
        for run in self.students:
            alpha = run.settings.alpha
            name = f"α = {alpha:g}" if alpha else "undistilled"
            file = run.folder / f"fold-{self.folds[row].number}.safetensors"
            if run.done and file.exists():
                shown += draw(name, self._student(file))
            else:
                missing.append(f"No {name} student of this network was kept. {to_make(run)}")
        return missing + shown

    def _waveform(self, row):
        return self.store.waveforms[row].float() / 32768

    def _embedding(self, student, row):
        """Return a student's embedding ``(embedding,)`` of a whole recording."""
        rows = np.array([row])
        return embed(student.network, student.settings, self.store, rows)[0].numpy()


def _few(rows):
    """Return every n-th of ``rows``, of many :data:`CHOICES`."""
    return rows[:: -(-len(rows) // CHOICES)]
