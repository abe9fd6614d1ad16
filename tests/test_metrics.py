from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from kdlib.metrics import accuracy, by_fold, uar


@pytest.fixture
def predictions():
    return pd.DataFrame({"label": list("aaabbcc"), "predicted": list("aabbdcd"), "fold": [0, 0, 0, 0, 1, 1, 1]})


def test_uar_by_hand_and_by_scikit_learn(predictions):
    assert uar(predictions) == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)  # class d is only predicted: it does not count
    with pytest.warns(UserWarning, match="not in y_true"):
        assert uar(predictions) == pytest.approx(balanced_accuracy_score(predictions.label, predictions.predicted))
    assert accuracy(predictions) == pytest.approx(accuracy_score(predictions.label, predictions.predicted))


def test_a_class_missing_from_a_fold(predictions):
    folds = by_fold(predictions).set_index("fold")
    assert folds.uar[0] == pytest.approx((2 / 3 + 1) / 2) and folds.recordings.to_list() == [4, 3]
    assert folds.uar[1] == pytest.approx((0 + 1 / 2) / 2)


def test_categories_of_the_whole_corpus_do_not_dilute(predictions):
    predictions["label"] = pd.Categorical(predictions.label, categories=list("abcdefg"))
    assert uar(predictions) == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
