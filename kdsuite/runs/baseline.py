"""How far a linear model gets on the same folds: logistic regression on statistics of the sound,
and of what the teacher sees.

A network below it has not learned what the recordings show at first sight. The front end is fixed
(40 mel bands, windows of 25 ms every 10 ms, each recording normalised as the networks' spectrograms
are), so that the baseline of a corpus is one number whatever networks it stands beside.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from kdlib.dataset import Fold
from kdlib.parameters import Media
from kdlib.spectrogram import Spectrogram
from kdsuite.data.store import Store

# values of C, the inverse strength of the penalty, to choose from: at a tie the first is taken, and
# the middle one where there is nothing to choose on
PENALTIES = (0.01, 0.1, 1.0)
INNER_FOLDS = 3
# iterations of a fit, which bound its time: a thousand classes rarely need so many, and few
# recordings take no time
ITERATIONS = 300
# pictures of a recording that are looked at, evenly over its length, and the side that they are
# averaged to
PICTURES, SIDE = 16, 16


@dataclass(frozen=True)
class Linear:
    """The linear model of one fold: ``scaler`` standardises statistics as its training recordings
    are, ``model`` classifies them."""

    scaler: Any
    model: Any

    def probabilities(self, statistics: np.ndarray, classes: int) -> np.ndarray:
        """Return ``(recordings, classes)``; a class without a labelled training recording has
        probability 0."""
        told = np.zeros((len(statistics), classes))
        told[:, self.model.classes_] = self.model.predict_proba(self.scaler.transform(statistics))
        return told


@dataclass(frozen=True)
class Baseline:
    """What the linear models of all folds say, by fold number.

    ``heard`` and ``seen`` are probabilities of the test recordings ``(tested, classes)``, ``seen``
    is empty without video; ``trials`` ``(files, statistics)`` are the standardised statistics of
    the files that verification compares, empty without trials. ``facts`` has the chosen
    ``penalties`` (C by fold) of both and the ``seconds`` of it all.
    """

    heard: dict[int, np.ndarray]
    seen: dict[int, np.ndarray]
    trials: dict[int, np.ndarray]
    facts: dict[str, Any]


def trained(store: Store, folds: list[Fold], trials: Store | None = None) -> Baseline:
    """Fit the linear models of every fold on its labelled training recordings and return what they
    say.

    ``trials`` holds the sound of the files that verification compares.
    """
    began = time.monotonic()
    sound, compared = of_sound(store), of_sound(trials) if trials else None
    heard = {fold.number: fitted(sound, store, fold) for fold in folds}
    picture = of_frames(store) if len(store.frames.values) else None
    seen = (
        {fold.number: fitted(picture, store, fold) for fold in folds} if picture is not None else {}
    )
    penalties = {
        what: {number: getattr(linear.model, "C", None) for number, linear in of.items()}
        for what, of in (("sound", heard), ("frames", seen))
    }
    return Baseline(
        heard={
            fold.number: heard[fold.number].probabilities(sound[fold.test], len(store.classes))
            for fold in folds
        },
        seen={
            fold.number: seen[fold.number].probabilities(picture[fold.test], len(store.classes))
            for fold in folds
            if seen
        },
        trials={
            number: linear.scaler.transform(compared)
            for number, linear in heard.items()
            if compared is not None
        },
        facts={"penalties": penalties, "seconds": time.monotonic() - began},
    )


@torch.no_grad()
def of_sound(store: Store) -> np.ndarray:
    """Return mean, standard deviation and that of the first difference over time of each band,
    ``(recordings, 120)``.

    A recording shorter than one Fourier transform is repeated.
    """
    media = Media(front_end="logmel", sample_rate=store.sample_rate)
    # the next power of two, for a window of 25 ms does not fit into 512 points of a faster rate
    fft = max(media.fft, 2 ** int(np.ceil(np.log2(media.window * store.sample_rate))))
    front_end = Spectrogram(media.model_copy(update={"fft": fft})).to(store.device)
    found, start = [], torch.zeros(1, dtype=torch.long, device=store.device)
    for row, length in enumerate(store.waveforms.lengths.tolist()):
        heard = front_end(store.audio(start + row, start, max(length, fft)))[
            0, 0
        ]  # (bands, columns)
        found.append(
            torch.cat(
                [heard.mean(1), heard.std(1, correction=0), heard.diff(dim=1).std(1, correction=0)]
            )
        )
    return torch.stack(found).cpu().numpy()


@torch.no_grad()
def of_frames(store: Store) -> np.ndarray:
    """Return mean and standard deviation over a recording's grey pictures, ``(recordings, 512)``,
    or over its rows of measurements."""
    found = []
    for row in range(len(store.recordings)):
        rows = store.frames[row]
        if rows.dtype == torch.uint8:
            chosen = (
                torch.linspace(0, len(rows) - 1, min(PICTURES, len(rows)), device=rows.device)
                .round()
                .long()
            )
            rows = F.adaptive_avg_pool2d(rows[chosen].float().mean(-1), SIDE).flatten(1)
        found.append(torch.cat([rows.mean(0).flatten(), rows.std(0, correction=0).flatten()]))
    return torch.stack(found).cpu().numpy()


def fitted(statistics: np.ndarray, store: Store, fold: Fold) -> Linear:
    """Fit a fold's model to ``statistics`` ``(recordings, …)`` of its labelled training recordings;
    all of its training recordings scale them.

    The penalty is the one that does best on training recordings left out in turn: whole speakers
    where the fold tests unknown ones.
    """
    from sklearn.dummy import DummyClassifier  # late: scikit-learn takes a second
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.preprocessing import StandardScaler

    labels = fold.training_labels(store.labels.cpu().numpy())
    rows = np.flatnonzero(labels >= 0)
    scaler = StandardScaler().fit(statistics[fold.train])
    known, codes = scaler.transform(statistics[rows]), labels[rows]
    splits = _splits(codes, store.recordings.speaker.to_numpy(str), rows, fold)
    model = (
        LogisticRegression(C=PENALTIES[1], max_iter=ITERATIONS)
        if len(set(codes)) > 1
        else DummyClassifier()
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # one that stops early is a model all the same
        if splits:
            return Linear(
                scaler,
                GridSearchCV(model, {"C": PENALTIES}, cv=splits).fit(known, codes).best_estimator_,
            )
        return Linear(scaler, model.fit(known, codes))


def _splits(
    codes: np.ndarray, speakers: np.ndarray, rows: np.ndarray, fold: Fold
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the inner folds as positions in ``rows``; none where the labelled recordings are too
    few for them."""
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    unknown = not set(speakers[fold.test]) & set(speakers[fold.train])
    most = len(set(speakers[rows])) if unknown else np.unique(codes, return_counts=True)[1].min()
    if min(INNER_FOLDS, most) < 2:
        return []
    inner = (GroupKFold if unknown else StratifiedKFold)(min(INNER_FOLDS, most))
    splits = list(inner.split(codes, codes, speakers[rows] if unknown else None))
    return splits if all(len(set(codes[train])) > 1 for train, _ in splits) else []
