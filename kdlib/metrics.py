"""How well scores separate the same speaker from others: error rates of verification."""

import numpy as np
from numpy import ndarray


def error_rates(scores: ndarray, genuine: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Return false acceptance rates, false rejection rates and thresholds, ``(thresholds,)`` each,
    from the strictest threshold, which is infinite, to the mildest.

    ``scores`` ``(trials,)`` are higher for the same speaker; a score that reaches a threshold is
    accepted. ``genuine`` ``(trials,)`` is true for trials of the same speaker. Raises ValueError
    if one kind is missing.
    """
    if len(np.unique(genuine)) < 2:
        raise ValueError(
            "error rates need trials of the same speaker and of different ones; the trial list has"
            " one kind only."
        )
    order = np.argsort(-scores, kind="stable")
    ordered, same = scores[order], np.asarray(genuine, bool)[order]
    # the last place of each score, where several trials share it
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    accepted, recalled = (np.append(0, side.cumsum()[last]) / side.sum() for side in (~same, same))
    return accepted, 1 - recalled, np.append(np.inf, ordered[last])


def eer(scores: ndarray, genuine: ndarray, convention: str = "interpolated") -> float:
    """Return the equal error rate, where as many impostors are accepted as genuine speakers are
    rejected.

    On few trials no threshold makes both rates equal, and conventions differ: ``interpolated`` is
    where the straight line between two points of the ROC curve crosses (the authors' public code),
    ``mean`` and ``max`` those of the two rates at the threshold where they are nearest to each
    other. ``scores`` are cosines ``(trials,)``, ``genuine`` says of each whether it is of one
    speaker; the rate is a fraction. Raises ValueError where the trials are of one kind only.
    """
    return EER[convention](*error_rates(scores, genuine)[:2])


def _interpolated(accepted, rejected):
    after = np.argmax(accepted >= rejected)  # never the first point, where all are rejected
    around = [after - 1, after]
    return np.interp(0, (accepted - rejected)[around], accepted[around])


def _nearest(accepted, rejected):
    """Return the place of the threshold where the two rates are nearest to each other."""
    return np.argmin(np.abs(accepted - rejected))


EER = {
    "interpolated": _interpolated,
    "mean": lambda *rates: sum(rate[_nearest(*rates)] for rate in rates) / 2,
    "max": lambda *rates: max(rate[_nearest(*rates)] for rate in rates),
}


def eer_threshold(scores: ndarray, genuine: ndarray) -> float:
    """Return the cosine from which on two recordings count as one speaker's: where both error rates
    are nearest to each other.

    Every number from the lowest score that is accepted down to the highest that is not decides
    these trials alike; this is the middle of the two, and where all are accepted the lowest score.
    Arguments and errors as of :func:`eer`.
    """
    *rates, thresholds = error_rates(scores, genuine)
    place = _nearest(*rates)
    return float(thresholds[place : place + 2].clip(-1, 1).mean())


def min_dcf(scores: ndarray, genuine: ndarray, target: float = 0.01) -> float:
    """Return the minimum of NIST's detection cost over all thresholds, relative to that of the
    better constant answer.

    ``target`` is the prior probability of the same speaker; both errors cost the same (NIST Speaker
    Recognition Evaluation 2016). Other arguments and errors as of :func:`eer`.
    """
    accepted, rejected, _ = error_rates(scores, genuine)
    cost = target * rejected + (1 - target) * accepted
    return cost.min() / min(target, 1 - target)
