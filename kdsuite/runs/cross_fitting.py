"""Cross-fitted targets: those of a training recording come from a teacher that was not trained on
it (Chernozhukov et al. 2018, Double/debiased machine learning).

The embeddings of each teacher lie in a space of its own, which is turned and shifted onto the space
of the fold's own teacher (orthogonal Procrustes).
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from kdlib.dataset import Fold
from kdlib.errors import InvalidParameter
from kdlib.teacher import PrivilegedInformation
from kdsuite.data.store import Store


def parts(data: Store, fold: Fold, count: int) -> Iterator[tuple[Fold, np.ndarray]]:
    """Yield the fold without each of ``count`` parts of its training recordings, and the rows of
    that part: whole speakers where the fold tests unknown ones, else whole sources, evenly of each
    class.

    Raises InvalidParameter where there are too few for that, or where a part has all labelled
    recordings of a class.
    """
    labels = fold.training_labels(data.labels.cpu().numpy())[fold.train]
    speakers = data.recordings.speaker.to_numpy(str)
    deal, groups = GroupKFold, speakers[fold.train]
    most = len({*groups})
    if {*speakers[fold.test]} & {*groups} or {*data.classes} == {*speakers}:
        table = data.recordings
        deal, groups = StratifiedGroupKFold, table.get("source", table.recording).iloc[fold.train]
        most = np.unique(labels, return_counts=True)[1].min()
    splits = [*deal(count).split(labels, labels, groups)] if 2 <= count <= most else []
    if not splits or any({*labels[kept]} < {*labels} for kept, _ in splits):
        raise InvalidParameter(
            f"parameter 'training.cross_fit' is {count}, but fold {fold.number} has too few"
            " speakers, or too few labels of a class, to leave out so many parts in turn; use 0,"
            " or another number."
        )
    for kept, left_out in splits:
        yield replace(fold, train=fold.train[kept], labels=labels[kept]), fold.train[left_out]


def cross_fitted(
    own: PrivilegedInformation,
    others: Iterable[tuple[PrivilegedInformation, np.ndarray, np.ndarray]],
) -> PrivilegedInformation:
    """Return the privileged information of a fold's ``own`` teacher, with that of other teachers
    for some recordings.

    Each of ``others`` is what another teacher says, the rows that both were trained on, and the
    rows for which the other one's targets are taken.
    """
    result, device = deepcopy(own), own.probabilities.device
    vars(result).pop("mean_embedding", None)  # that of its own frames
    for other, *rows in others:
        both, rows = (torch.from_numpy(each).to(device) for each in rows)
        of_both, of_rows = (own.frames.every(1, each)[0] for each in (both, rows))
        values = _turned(other.frames.values, own.frames.values, of_both)
        result.frames.values[of_rows] = values[of_rows]
        result.probabilities[rows] = other.probabilities[rows]
        if other.peak is None:
            whole = _turned(other.recording_embedding, own.recording_embedding, both)
        else:
            whole = values[own.frames.starts + other.peak]
            result.peak[rows] = other.peak[rows]
            result.confidence[of_rows] = other.confidence[of_rows]
        result.recording_embedding[rows] = whole[rows]
    return result


def _turned(embeddings, onto, rows):
    """Return embeddings turned and shifted so that ``rows`` come as near to those of ``onto`` as
    they can."""
    mean, goal = embeddings[rows].mean(dim=0), onto[rows].mean(dim=0)
    covariance = (embeddings[rows] - mean).T @ (onto[rows] - goal)
    # directions that these rows do not have stay as they are
    covariance.diagonal().add_(1e-4 * covariance.norm())
    left, _, right = torch.linalg.svd(covariance)
    return (embeddings - mean) @ (left @ right) + goal
