"""Will distillation gain? A forecast from teachers and training recordings, before any student is
distilled.

Two linear classifiers on statistics of the sound learn from the training recordings of all speakers
but one: the first from their labels, the second also from the teacher's class probabilities of
every recording, labelled or not. What the second one gains on the labelled recordings of the
speaker left out is the forecast.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.preprocessing import StandardScaler

from kdsuite.analysis.results import coordinates
from kdsuite.analysis.statistics.comparison import compare
from kdsuite.data.folds import chosen_folds
from kdsuite.data.store import is_prepared
from kdsuite.runs import baseline, grid, stages
from kdsuite.runs.devices import device_of
from kdsuite.runs.run import Run

# of a teacher, in what is printed
PLACE = ("dataset", "backbone", "setting", "seed", "variant")


class View(NamedTuple):
    """What the training recordings of fold number ``fold`` show to a forecast.

    ``labels`` ``(train,)`` are class codes, -1 where training uses none; ``sound`` ``(train, 120)``
    statistics; ``speakers`` ``(train,)`` names. The teacher's are ``recording_embedding`` ``(train,
    embedding)`` and ``probabilities`` ``(train, classes)``.
    """

    fold: int
    labels: np.ndarray
    sound: np.ndarray
    speakers: np.ndarray
    recording_embedding: np.ndarray
    probabilities: np.ndarray


def views(run: Run, train: bool = False) -> list[View]:
    """Return what each fold of a teacher's ``run`` shows; nothing where the recordings are not
    prepared or a teacher is not trained, unless ``train`` has that done."""
    if not (train or is_prepared(run.settings)):
        return []
    store = stages.prepare(run.settings)
    folds = chosen_folds(store.recordings, run.settings)
    teachers = [stages.trained_teacher(run, store, fold) for fold in folds]
    if train and not all(teachers):
        store = store.to(device_of(run.settings.training))
        teachers = stages.teachers(run.settings, store, folds).values()
    if not all(teachers):
        return []
    statistics = baseline.of_sound(store), store.recordings.speaker.to_numpy(str)
    labels = store.labels.cpu().numpy()
    return [
        View(
            fold.number, fold.training_labels(labels)[fold.train],
            *(of[fold.train] for of in statistics),
            *(getattr(teacher, of)[fold.train].cpu().numpy() for of in View._fields[4:]),
        )
        for fold, teacher in zip(folds, teachers)
    ]  # fmt: skip


def _balanced(labels, random):
    """Return as many rows of each class that has a label.

    Without the speaker left out a class has fewer labels, and a classifier would avoid just that
    one.
    """
    known = pd.Series(labels)[labels >= 0].sample(frac=1, random_state=random)
    least = known.value_counts().min()
    return known.groupby(known).head(least).index.to_numpy()


def _answers(sound, weights, asked):
    """Return the classes of the rows ``asked`` by a logistic regression that is fitted to a weight
    of each class, ``(train, classes)``; scikit-learn's would take a row for each of them, and half
    as large a penalty of two classes."""
    used = weights.any(axis=1)
    inputs, weights = np.column_stack([sound, np.ones(len(sound))]), weights[used]
    known = inputs[used]
    decay = np.full((inputs.shape[1], 1), 1 / baseline.PENALTIES[1])
    decay[-1] = 0  # of the intercepts

    def loss(values):
        model = values.reshape(len(decay), -1)
        scores = log_softmax(known @ model, axis=1)
        error = weights.sum(axis=1, keepdims=True) * np.exp(scores) - weights
        slope = known.T @ error + decay * model
        return (decay * model**2).sum() / 2 - (weights * scores).sum(), slope.ravel()

    start = np.zeros(len(decay) * weights.shape[1])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B").x.reshape(len(decay), -1)
    return (inputs[asked] @ fitted).argmax(axis=1)


def forecast(run: Run, seen: list[View]) -> dict[str, Any]:
    """Return ``forecast``, ``low`` and ``high``, fractions, and a ``verdict`` from what the folds
    of a teacher's ``run`` show.

    There are no numbers where no two classes have labels of two speakers, and no interval of a
    single fold.
    """
    answers = []
    for view in seen:
        sound = StandardScaler().fit_transform(view.sound)
        for number, speaker in enumerate(np.unique(view.speakers)):
            random = np.random.default_rng([run.settings.seed, view.fold, number])
            own = view.speakers == speaker
            chosen = _balanced(np.where(own, -1, view.labels), random)
            # a class that no other speaker has a label of cannot be found by labels
            asked = np.flatnonzero(own & np.isin(view.labels, view.labels[chosen]))
            if len(asked) and len(np.unique(view.labels[chosen])) > 1:
                weights = np.zeros(view.probabilities.shape)
                weights[chosen, view.labels[chosen]] = 1
                taught = weights + view.probabilities * ~own[:, None]
                place = {"speaker": speaker, "fold": view.fold, "recording": asked}
                both = (_answers(sound, of, asked) for of in (weights, taught))
                answers.append(
                    pd.DataFrame({**place, "label": view.labels[asked], **dict(enumerate(both))})
                )
    if not answers:
        return {"verdict": "no two classes have labels of two speakers"}
    labels, taught = (pd.concat(answers).rename(columns={of: "predicted"}) for of in range(2))
    made = compare(taught, labels, run.settings.corpus.metrics[0])
    if np.isnan(made.low):
        return {"forecast": made.gain, "verdict": "too few folds for an interval"}
    verdict = "pays" if made.low > 0 else "does not pay" if made.high <= 0 else "open"
    return {"forecast": made.gain, "low": made.low, "high": made.high, "verdict": verdict}


def forecasts(suite: str) -> Iterator[dict[str, Any]]:
    """Yield the forecast of each teacher of a suite, behind its place; teachers that are missing
    are trained."""
    for run in grid.runs(suite):
        if run.stage == "teacher":
            place = {name: coordinates(run)[name] for name in PLACE}
            numbers = dict.fromkeys(("forecast", "low", "high"))
            yield place | numbers | forecast(run, views(run, train=True))
