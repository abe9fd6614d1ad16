"""How well a table of predictions fits its labels."""

from __future__ import annotations

import pandas as pd


def accuracy(predictions: pd.DataFrame) -> float:
    """Return the share of recordings whose ``predicted`` is their ``label``."""
    return float((predictions.predicted.astype(str) == predictions.label.astype(str)).mean())


def uar(predictions: pd.DataFrame) -> float:
    """Return the unweighted average recall: the mean over the classes *present in* ``label`` of the share found.

    The same as scikit-learn's ``balanced_accuracy_score``; a class that is only predicted does not count.
    """
    right = predictions.predicted.astype(str) == predictions.label.astype(str)
    return float(right.groupby(predictions.label.astype(str)).mean().mean())


METRICS = {"uar": uar, "accuracy": accuracy}


def by_fold(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a fold with every metric and the number of recordings."""
    rows = [
        {"fold": fold, **{name: metric(part) for name, metric in METRICS.items()}, "recordings": len(part)}
        for fold, part in predictions.groupby("fold")
    ]
    return pd.DataFrame(rows)
