"""Protocols: who is heard in training and who only in the test, on tables made up here."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from kdlib.errors import InvalidCorpus, InvalidParameter
from kdsuite.data.folds import PROTOCOLS, chosen_folds, fold_key, folds
from kdsuite.parameters import Corpus
from kdsuite.settings import load


def table(speakers=5, takes=10, labels="xy", **columns):
    """Return ``takes`` recordings of each speaker, labels in turn, each its own source."""
    rows = [
        (f"s{speaker}", labels[take % len(labels)], f"{speaker}-{take}")
        for speaker in range(speakers)
        for take in range(takes)
    ]
    made = pd.DataFrame(rows, columns=["speaker", "label", "source"]).assign(
        fold="", recording=lambda made: made.source
    )
    return made.assign(label=pd.Categorical(made.label), **columns)


def covered(found, recordings):
    """Assert that each recording is tested exactly once, and in no fold trained on and tested."""
    assert sorted(np.concatenate([fold.test for fold in found])) == list(range(len(recordings)))
    assert all(sorted([*fold.train, *fold.test]) == list(range(len(recordings))) for fold in found)


def sides(recordings, fold, column="speaker"):
    """Return who, or what, is on both sides of a fold."""
    return set(recordings[column][fold.train]) & set(recordings[column][fold.test])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_test_all_recordings_are_for_training(protocol):
    """Whatever the protocol, validation speakers and the corpus' own parts say, also of one
    speaker alone."""
    for speakers in (1, 4):
        recordings = table(speakers=speakers)
        recordings["fold"] = ["train", "test", "validation", "", "x"] * (2 * speakers)
        corpus = {"protocol": protocol, "validation": 3, "groups": 2, "fraction": 1.0}
        (fold,) = chosen_folds(recordings, load(folds="none", corpus=corpus))
        assert (fold.number, fold.name) == (0, "all recordings")
        assert fold.train.tolist() == list(range(10 * speakers))
        assert not len(fold.test) and not len(fold.validation)
        half = load(folds="none", corpus={**corpus, "fraction": 0.5})
        kept = {1: 6, 4: 20}  # of each class, rounded up
        assert len(chosen_folds(recordings, half)[0].train) == kept[speakers]
    with pytest.raises(InvalidCorpus, match="trains on class 'x' alone"):
        chosen_folds(table(labels="x"), load(folds="none"))


def test_speakers_are_left_out():
    recordings = table()
    found = folds(recordings, Corpus())
    covered(found, recordings)
    assert [fold.name for fold in found] == ["s0", "s1", "s2", "s3", "s4"] and sides(
        recordings, found[1]
    ) == set()
    assert set(recordings.speaker[found[1].test]) == {"s1"}
    grouped = folds(recordings, Corpus(groups=2))
    covered(grouped, recordings)
    assert [fold.name for fold in grouped] == ["s0+s1+s2", "s3+s4"]


@pytest.mark.parametrize("groups", [1, 6])
def test_groups_that_cannot_be_dealt(groups):
    with pytest.raises(
        InvalidParameter, match=f"'corpus.groups' is {groups}, but the corpus has 5 speaker"
    ):
        folds(table(), Corpus(groups=groups))


def test_one_speaker_cannot_be_left_out():
    with pytest.raises(InvalidParameter, match="has 1 speaker"):
        folds(table(speakers=1), Corpus())


def test_portions_of_each_speaker():
    recordings = table(speakers=7, takes=20)
    (fold,) = folds(recordings, Corpus(protocol="portions"))
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    assert sorted(np.concatenate([*parts.values()])) == list(range(140))
    for name, share in {"train": 14, "validation": 2, "test": 4}.items():
        assert Counter(recordings.speaker[parts[name]]) == dict.fromkeys(
            [f"s{speaker}" for speaker in range(7)], share
        ), name
        assert (np.diff(parts[name]) > 0).all()


def test_portions_follow_their_seed():
    first, again, other = (
        folds(table(), Corpus(protocol="portions", split_seed=seed))[0] for seed in (3, 3, 4)
    )
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.test.tolist() != other.test.tolist()


def test_portions_of_few_recordings():
    recordings = table(speakers=3, takes=4)
    (fold,) = folds(recordings, Corpus(protocol="portions"))
    assert (
        len(fold.test) == 3 and len(fold.train) == 9 and not len(fold.validation)
    )  # 10 % of four rounds to none
    lonely = pd.concat(
        [recordings, table(speakers=1, takes=1).assign(speaker="s9")], ignore_index=True
    )
    lonely["label"] = pd.Categorical(lonely.label)
    with pytest.raises(
        InvalidCorpus,
        match=r"speaker s9 has 1 recording\(s\) .*too few to split into train, validation, test; leave",
    ):
        folds(lonely, Corpus(protocol="portions"))


@pytest.mark.parametrize(
    "portions", [(0.7, 0.1, 0.3), (0.0, 0.5, 0.5), (0.9, 0.1, 0.0), (1.2, -0.4, 0.2)]
)
def test_portions_that_do_not_add_up(portions):
    with pytest.raises(InvalidParameter, match="'corpus.portions' is"):
        folds(table(), Corpus(protocol="portions", portions=portions))


def test_random_groups_spread_the_classes():
    recordings = table(speakers=4, takes=25, labels="xxxyz")
    found = folds(recordings, Corpus(protocol="random", groups=5))
    covered(found, recordings)
    for fold in found:
        assert Counter(recordings.label[fold.test]) == {"x": 12, "y": 4, "z": 4}
        assert sides(recordings, fold), "speakers are on both sides"
    assert (
        folds(recordings, Corpus(protocol="random", groups=5))[2].test.tolist()
        == found[2].test.tolist()
    )
    assert (
        folds(recordings, Corpus(protocol="random", groups=5, split_seed=1))[2].test.tolist()
        != found[2].test.tolist()
    )
    for groups in (0, 101):
        with pytest.raises(InvalidParameter, match=f"'corpus.groups' is {groups}"):
            folds(recordings, Corpus(protocol="random", groups=groups))


def test_given_split():
    recordings = table(
        speakers=2, takes=6, fold=["train", "train", "validation", "test", "train", "train"] * 2
    )
    (fold,) = folds(recordings, Corpus(protocol="given"))
    assert (
        fold.train.tolist() == [0, 1, 4, 5, 6, 7, 10, 11]
        and fold.test.tolist() == [3, 9]
        and fold.validation.tolist() == [2, 8]
    )


def test_given_folds():
    recordings = table(speakers=3, takes=4, fold=["b", "b", "a", "a"] * 3)
    found = folds(recordings, Corpus(protocol="given"))
    covered(found, recordings)
    assert [fold.name for fold in found] == ["a", "b"] and found[0].test.tolist() == [
        2,
        3,
        6,
        7,
        10,
        11,
    ]


@pytest.mark.parametrize(
    "fold, said",
    [
        ("", "none, and of 0-0 none"),
        ("train", "train"),
        (["a", "b", "a", "", "b"], "a, b, and of 0-3 none"),
        # a slip of the pen must not make another protocol of it, nor let recordings vanish
        (["train", "val", "test", "train", "test"], "test, train, val"),
        (["train", "train", "validation", "train", "validation"], "train, validation"),
        (
            ["train", "", "test", "train", "test"],
            "test, train, and of 0-1 none",
        ),
    ],
)
def test_given_folds_that_are_not_there(fold, said):
    with pytest.raises(InvalidCorpus, match=f"the corpus has {said}; add them"):
        folds(table(speakers=1, takes=5, labels="x", fold=fold), Corpus(protocol="given"))


def test_the_key_of_a_fold_changes_with_its_recordings():
    split = ["train", "train", "test", "test"] * 2
    recordings = table(speakers=2, takes=4, labels="xy", fold=split)
    swapped = recordings.assign(fold=split[2:] + split[:2])
    keys = {
        fold_key(folds(each, Corpus(protocol="given"))[0], each)
        for each in (recordings, swapped, recordings.copy())
    }
    assert len(keys) == 2 and all(key.startswith("fold-0-") for key in keys)


def test_a_class_that_nobody_trains():
    recordings = table(speakers=2, takes=2, labels="x")
    recordings["label"] = pd.Categorical(["x", "x", "y", "x"])
    with pytest.raises(
        InvalidCorpus,
        match="fold 1 tests class 'y', but no training recording of it is left without s1",
    ):
        folds(recordings, Corpus())


def test_parts_of_one_source_stay_together():
    recordings = table(speakers=4, takes=24, labels="xxyz")
    recordings["source"] = [
        f"{name.split('-')[0]}-{row // 3}" for row, name in enumerate(recordings.recording)
    ]
    recordings.loc[[0, 30], "source"] = "both speakers"
    for given in ({"protocol": "portions"}, {"protocol": "random", "groups": 4}):
        for fold in folds(recordings, Corpus(**given)):
            parts = [
                {*recordings.source[rows]} for rows in (fold.train, fold.validation, fold.test)
            ]
            assert sum(map(len, parts)) == recordings.source.nunique()
            assert 12 <= len(fold.test) <= 36
    recordings["source"] = recordings.speaker
    with pytest.raises(
        InvalidCorpus, match=r"has 24 recording\(s\) cut from 1 source\(s\), too few"
    ):
        folds(recordings, Corpus(protocol="portions"))
    with pytest.raises(InvalidParameter, match="2 groups or more, at most one per source .4;"):
        folds(recordings, Corpus(protocol="random", groups=5))


def test_a_fold_of_one_class_is_refused():
    recordings = table(speakers=2, takes=4, labels="xy", fold=["train", "test"] * 4)
    with pytest.raises(InvalidCorpus, match="fold 0 trains on class 'x' alone"):
        folds(recordings[recordings.label == "x"].reset_index(drop=True), Corpus())


def test_chosen_folds():
    settings = load(folds="1,3-4", corpus={"groups": 0})
    assert [fold.number for fold in chosen_folds(table(), settings)] == [1, 3, 4]
    with pytest.raises(InvalidParameter, match="numbers from 0 to 4"):
        chosen_folds(table(), load(folds=5, corpus={"groups": 0}))


def test_validation_speakers_are_neither_trained_on_nor_tested():
    recordings = table()
    found = folds(recordings, Corpus(validation=2))
    for number, fold in enumerate(found):
        assert sorted([*fold.train, *fold.validation, *fold.test]) == list(range(50))
        # those that follow the tested speaker, from the last to the first
        assert set(recordings.speaker[fold.validation]) == {
            f"s{(number + 1) % 5}",
            f"s{(number + 2) % 5}",
        }
        assert not set(recordings.speaker[fold.train]) & set(
            recordings.speaker[[*fold.validation, *fold.test]]
        )
    with pytest.raises(
        InvalidParameter, match="'corpus.validation' is 4, which leaves no training speaker of 5"
    ):
        folds(recordings, Corpus(validation=4))


def test_a_fraction_of_the_training_set_is_spread_over_the_classes():
    recordings = table(takes=20, labels="xxxy")  # 15 and 5 of each speaker
    whole, tenth, third = (
        folds(recordings, Corpus(fraction=share))[0] for share in (1.0, 0.1, 0.3)
    )
    assert Counter(recordings.label[third.train]) == {"x": 18, "y": 6} and Counter(
        recordings.label[tenth.train]
    ) == {"x": 6, "y": 2}
    assert set(tenth.train) < set(third.train) < set(whole.train)
    assert list(tenth.test) == list(whole.test) and list(third.train) == sorted(third.train)
    assert list(folds(recordings, Corpus(fraction=0.3, split_seed=1))[0].train) != list(third.train)
    assert list(folds(recordings, Corpus(fraction=0.3))[0].train) == list(third.train)


def test_labels_are_hidden_evenly_over_classes_and_speakers():
    recordings = table(speakers=6, takes=20, labels="xy")
    whole = folds(recordings, Corpus(groups=3))[1]
    own = recordings.label.cat.codes.to_numpy()
    assert np.array_equal(
        np.flatnonzero(whole.training_labels(own) >= 0), whole.train
    )  # without the parameter every label is used

    def used(share, **given):
        fold = folds(recordings, Corpus(groups=3, labelled=share, **given))[1]
        assert np.array_equal(fold.train, whole.train) and np.array_equal(
            fold.test, whole.test
        )  # sound and video of all remain
        return fold.training_labels(own)

    tenth, half = used(0.1), used(0.5)
    for labels, count in ((tenth, 4), (half, 20)):  # of the 40 training recordings of each class
        known = np.flatnonzero(labels >= 0)
        assert Counter(recordings.label[known]) == {"x": count, "y": count}
        assert np.array_equal(labels[known], own[known])  # none is wrong
        assert set(Counter(zip(recordings.speaker[known], recordings.label[known])).values()) == {
            count // 4
        }  # each speaker's share
    assert set(np.flatnonzero(tenth >= 0)) < set(np.flatnonzero(half >= 0))
    assert np.array_equal(tenth, used(0.1)) and not np.array_equal(tenth, used(0.1, split_seed=1))


def test_a_share_of_the_labels_is_wrong():
    recordings = table(speakers=5, takes=20, labels="xyz")
    own = recordings.label.cat.codes.to_numpy()
    fold = folds(recordings, Corpus(label_noise=0.4))[0]
    labels = fold.training_labels(own)
    assert (labels[fold.train] >= 0).all() and (labels[fold.test] == -1).all()
    assert (labels[fold.train] != own[fold.train]).sum() == round(0.4 * len(fold.train))
    assert set(labels[fold.train]) == {0, 1, 2}
    few = folds(recordings, Corpus(label_noise=0.5, labelled=0.25))[0].training_labels(own)
    known = few >= 0
    assert (
        known.sum() == 20 and (few[known] != own[known]).sum() == 10
    )  # a quarter of 28, 28 and 24, half of it wrong


def test_a_share_that_leaves_a_class_without_a_label_is_refused():
    with pytest.raises(
        InvalidCorpus,
        match="'corpus.labelled' is 0.01, which leaves class 'x' without a labelled training recording in fold 0",
    ):
        folds(table(), Corpus(labelled=0.01))


def test_what_is_kept_of_a_fold_depends_on_its_labels():
    recordings = table()
    keys = {
        fold_key(folds(recordings, Corpus(labelled=share))[0], recordings)
        for share in (0.2, 0.5, 1.0)
    }
    assert len(keys) == 3
