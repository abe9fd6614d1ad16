"""How far a linear model gets on the same folds: logistic regression on statistics of the sound,
and of what the teacher sees.

A network below it has not learned what the recordings show at first sight. The front end is fixed
(40 mel bands, windows of 25 ms every 10 ms, each recording normalised as the networks' spectrograms
are), so that the baseline of a corpus is one number whatever networks it stands beside.
"""

import math
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdlib.dataset import Fold
from kdlib.parameters import Media
from kdlib.spectrogram import Spectrogram
from kdsuite.data.pieces import pieces
from kdsuite.data.store import Store

# values of C, the inverse strength of the penalty, to choose from: at a tie the first is taken, and
# the middle one where there is nothing to choose on
PENALTIES = (0.01, 0.1, 1.0)


class Baseline(NamedTuple):
    """The outputs of the linear models of all folds, by fold number.

    ``sound`` and ``frames`` are probabilities of the test recordings ``(tested, classes)``,
    ``frames`` is empty without video; ``trials`` ``(files, statistics)`` are the standardised
    statistics of the files that verification compares, empty without trials. ``facts`` has the
    chosen ``penalties`` (C by fold) of both and the ``seconds`` of it all.
    """

    sound: dict[int, np.ndarray]
    frames: dict[int, np.ndarray]
    trials: dict[int, np.ndarray]
    facts: dict[str, Any]


def trained(store: Store, folds: list[Fold], trials: Store | None = None) -> Baseline:
    """Fit the linear models of every fold on its labelled training recordings and return their
    outputs; a class without a labelled training recording has probability 0.

    ``trials`` holds the sound of the files that verification compares.
    """
    began, penalties = time.monotonic(), {"sound": {}, "frames": {}}
    linear = Baseline({}, {}, {}, {"penalties": penalties})
    compared, statistics = trials and of_sound(trials), {"sound": of_sound(store)}
    if len(store.frames.values):
        statistics["frames"] = _of_frames(store)
    for kind, values in statistics.items():
        for fold in folds:
            model = _fitted(values, store, fold)
            probabilities = np.zeros((len(fold.test), len(store.classes)))
            probabilities[:, model.classes_] = model.predict_proba(values[fold.test])
            getattr(linear, kind)[fold.number] = probabilities
            penalties[kind][fold.number] = getattr(model[-1], "C", None)
            if trials and kind == "sound":
                linear.trials[fold.number] = model[0].transform(compared)
    linear.facts["seconds"] = time.monotonic() - began
    return linear


def of_sound(store: Store) -> np.ndarray:
    """Return mean, standard deviation and that of the first difference over time of each band,
    ``(recordings, 120)``.

    A recording shorter than one Fourier transform is repeated.
    """
    usual, rate = Media(), store.sample_rate
    # the next power of two, for a window of 25 ms does not fit into 512 points of a faster rate
    fft = max(usual.fft, 2 ** math.ceil(math.log2(usual.window * rate)))
    media = Media(front_end="logmel", sample_rate=rate, fft=fft)
    front_end = Spectrogram(media).to(store.device)
    rows, start = [], torch.zeros(1, dtype=torch.long, device=store.device)
    for row, length in enumerate(store.waveforms.lengths.tolist()):
        waveform = store.audio(start + row, start, max(length, fft))
        parts = waveform.tensor_split(pieces(length, rate)[1:-1].tolist(), dim=1)
        bands = torch.cat([front_end(part)[0, 0] for part in parts], dim=1)  # (40, columns)
        deviations = [values.std(1, correction=0) for values in (bands, bands.diff(dim=1))]
        rows.append(torch.cat([bands.mean(1), *deviations]))
    return torch.stack(rows).cpu().numpy()


def _of_frames(store):
    """Return mean and standard deviation over a recording's grey pictures, ``(recordings, 512)``,
    or over its rows of measurements."""
    rows = []
    for row in range(len(store.recordings)):
        frames = store.frames[row]
        if frames.dtype == torch.uint8:
            # 16 of them, evenly over the length, and of 16 x 16 pixels
            chosen = torch.linspace(0, len(frames) - 1, min(16, len(frames))).round().long()
            frames = F.adaptive_avg_pool2d(frames[chosen].float().mean(-1), 16)
        frames = frames.flatten(1)
        rows.append(torch.cat([frames.mean(0), frames.std(0, correction=0)]))
    return torch.stack(rows).cpu().numpy()


def _fitted(statistics, store, fold):
    """Return scaler and classifier of a fold, fitted to ``statistics`` ``(recordings, …)`` of its
    labelled training recordings; all of its training recordings scale them.

    The penalty is the one that does best on training recordings left out in turn: whole speakers
    where the fold tests unknown ones.
    """
    labels = fold.training_labels(store.labels.cpu().numpy())
    rows = np.flatnonzero(labels >= 0)
    labels = labels[rows]
    scaler = StandardScaler().fit(statistics[fold.train])
    # a thousand classes rarely need so many iterations, and few recordings take no time
    model = LogisticRegression(C=PENALTIES[1], max_iter=300)
    if splits := _splits(labels, store.recordings.speaker.to_numpy(str), rows, fold):
        model = GridSearchCV(model, {"C": PENALTIES}, cv=splits)
    elif len({*labels}) == 1:
        model = DummyClassifier()
    # one that stops early is a model all the same
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(scaler.transform(statistics[rows]), labels)
    return make_pipeline(scaler, getattr(model, "best_estimator_", model))


def _splits(labels, speakers, rows, fold):
    """Return the inner folds as positions in ``rows``; none where the labelled recordings are too
    few for them."""
    deal, groups = StratifiedKFold, None
    most = np.unique(labels, return_counts=True)[1].min()
    if not {*speakers[fold.test]} & {*speakers[fold.train]}:
        deal, groups = GroupKFold, speakers[rows]
        most = len({*groups})
    splits = [*deal(min(3, most)).split(labels, labels, groups)] if most > 1 else []
    return splits if all(len({*labels[train]}) > 1 for train, _ in splits) else []
