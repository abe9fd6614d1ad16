"""How well predictions fit their labels: accuracy and unweighted average recall."""

import pandas as pd


def _correct(predictions: pd.DataFrame) -> pd.Series:
    return predictions.predicted.astype(str) == predictions.label.astype(str)


def accuracy(predictions: pd.DataFrame) -> float:
    """Return the share of recordings whose ``predicted`` is their ``label``."""
    return float(_correct(predictions).mean())


def uar(predictions: pd.DataFrame) -> float:
    """Return the unweighted average recall: the mean over the classes *present in* ``label`` of the
    share that is predicted correctly.

    The same as scikit-learn's ``balanced_accuracy_score``; a class that is only predicted does not
    count.
    """
    return float(_correct(predictions).groupby(predictions.label.astype(str)).mean().mean())


METRICS = {"uar": uar, "accuracy": accuracy}


def by_fold(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a fold with every metric and the number of recordings."""
    rows = [
        (fold, *(metric(part) for metric in METRICS.values()), len(part))
        for fold, part in predictions.groupby("fold")
    ]
    return pd.DataFrame(rows, columns=["fold", *METRICS, "recordings"])
