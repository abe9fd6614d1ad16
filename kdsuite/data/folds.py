"""From the table of recordings to folds: which are for training, which for the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from kdlib.dataset import Fold
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.parameters import digest
from kdsuite.parameters import Corpus
from kdsuite.settings import Settings, choose_folds

# the words of a corpus' own split, in the column ``fold``
SPLIT = ("train", "validation", "test")


def fold_key(fold: Fold, recordings: pd.DataFrame) -> str:
    """Return the name of a fold's files, which changes with the recordings on either side."""
    rows = fold.train, fold.validation, fold.test
    sides = [recordings.recording.iloc[side].tolist() for side in rows]
    if fold.labels is not None:
        sides.append(fold.labels.tolist())
    return f"fold-{fold.number}-{digest(sides, 8)}"


def folds(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Return the folds of the corpus' protocol.

    Raises InvalidCorpus where a class to be tested has no training example or the table lacks what
    the protocol needs, InvalidParameter for more groups than there is to deal out.
    """
    result = []
    for fold in PROTOCOLS[corpus.protocol](recordings, corpus):
        fold = _reduced(fold, recordings, corpus)
        _check_classes(fold, recordings)
        result.append(_relabelled(fold, recordings, corpus))
    return result


def chosen_folds(recordings: pd.DataFrame, settings: Settings) -> list[Fold]:
    """Return the folds that the parameter ``folds`` names."""
    every = folds(recordings, settings.corpus)
    return [every[number] for number in choose_folds(settings.folds, len(every))]


def _speakers(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Leave one speaker out at a time, or one group of speakers where ``groups`` is above 0.

    Neighbours by name share a group, which mixes the sexes where they alternate, as in RAVDESS.
    """
    speakers = sorted(recordings.speaker.unique())
    count, left_out = len(speakers), corpus.validation
    if corpus.groups > count or count < 2 or corpus.groups == 1:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {corpus.groups}, but the corpus has {count} speaker(s); "
            "leaving out needs 2 groups or more (0: one a speaker), at most one a speaker."
        )
    groups = np.array_split(speakers, corpus.groups or count)
    if max(map(len, groups)) + left_out >= count:
        raise InvalidParameter(
            f"parameter 'corpus.validation' is {left_out}, which leaves none of {count} speakers "
            "to train on; lower it."
        )
    ends = np.cumsum([len(group) for group in groups])
    # the validation speakers are those that follow the tested ones
    following = [np.take(speakers, range(end, end + left_out), mode="wrap") for end in ends]
    return [
        _fold(number, "+".join(test), recordings.speaker.isin(test), recordings.speaker.isin(next_))
        for number, (test, next_) in enumerate(zip(groups, following))
    ]


def _random(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Deal the recordings of each class out at random.

    Speakers are on both sides, which flatters the result.
    """
    count = len(recordings)
    if not 2 <= corpus.groups <= count:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {corpus.groups}; the protocol random needs from 2 "
            f"groups to one a recording ({count})."
        )
    shuffled = np.random.default_rng(corpus.split_seed).permutation(count)
    # each class is spread evenly over the groups
    order = np.lexsort([shuffled, recordings.label.cat.codes])
    group = np.empty(count, int)
    group[order] = np.arange(count) % corpus.groups
    return [_fold(number, f"random {number}", group == number) for number in range(corpus.groups)]


def _portions(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Split each speaker's recordings at random (paper, section 4: 70, 10 and 20 %)."""
    train, validation, test = portions = corpus.portions
    if min(portions) < 0 or abs(sum(portions) - 1) > 1e-6 or not train or not test:
        raise InvalidParameter(
            f"parameter 'corpus.portions' is {list(portions)}; give the shares of training, "
            "validation and test, which add up to 1."
        )
    generator, parts = np.random.default_rng(corpus.split_seed), []
    for speaker, rows in recordings.groupby("speaker", sort=True, observed=True).indices.items():
        count = len(rows)
        tested = max(1, round(test * count))
        trained = count - tested - round(validation * count)
        if trained < 1:
            raise InvalidCorpus(
                f"speaker {speaker} has {count} recording(s), too few to split into "
                f"{', '.join(SPLIT)}; leave that speaker out or change corpus.portions."
            )
        parts.append(np.split(generator.permutation(rows), [trained, count - tested]))
    train, validation, test = (np.sort(np.concatenate(part)) for part in zip(*parts))
    return [Fold(0, "portions", train, test, validation)]


def _own_folds(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Take the corpus' own column ``fold``.

    It has train, validation and test, or names of which one is left out at a time.
    """
    column, names = recordings.fold, sorted(set(recordings.fold) - {""})
    unassigned = recordings.recording[column == ""]
    if {"train", "test"} <= set(names) <= set(SPLIT) and unassigned.empty:
        return [_fold(0, "given", column == "test", column == "validation")]
    if len(names) < 2 or len(unassigned) or set(names) & set(SPLIT):
        count = len(unassigned)
        rest = f" and nothing of {count} (the first is {unassigned.iloc[0]})" if count else ""
        raise InvalidCorpus(
            f"protocol 'given' needs {', '.join(SPLIT)} or two other names for the recordings, but "
            f"the corpus says {', '.join(names) or 'no fold'}{rest}; mend it or choose another "
            "corpus.protocol."
        )
    return [_fold(number, name, column == name) for number, name in enumerate(names)]


PROTOCOLS: dict[str, Callable[[pd.DataFrame, Corpus], list[Fold]]] = {
    "speakers": _speakers,
    "portions": _portions,
    "random": _random,
    "given": _own_folds,
}


def _fold(number: int, name: str, test, validation=False) -> Fold:
    """Return a fold from masks ``(recordings,)``; what is in neither is for training."""
    sides = ~(test | validation), test, validation & ~test
    return Fold(number, name, *map(np.flatnonzero, sides))


def _reduced(fold: Fold, recordings: pd.DataFrame, corpus: Corpus) -> Fold:
    """Keep the parameter ``fraction`` of the training recordings of each class.

    A smaller share is part of a greater one.
    """
    if corpus.fraction == 1:
        return fold
    generator = np.random.default_rng([corpus.split_seed, fold.number])
    labels = _codes(recordings).iloc[generator.permutation(fold.train)]
    rank, size = _rank_and_size(labels)
    return replace(fold, train=np.sort(labels.index[rank < np.ceil(corpus.fraction * size)]))


def _codes(recordings: pd.DataFrame) -> pd.Series:
    """Return the class code of each recording by its row number."""
    return pd.Series(recordings.label.cat.codes.to_numpy(np.int64))


def _rank_and_size(labels: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return which recording of its class each one is, from 0 on, and how many the class has."""
    classes = labels.groupby(labels)
    return classes.cumcount(), classes.transform("size")


def _relabelled(fold: Fold, recordings: pd.DataFrame, corpus: Corpus) -> Fold:
    """Hide all but the share ``labelled`` of the training labels, and make ``label_noise`` wrong.

    Of each class one recording of every speaker comes before a second one of any; a smaller share
    is part of a greater one. Raises InvalidCorpus where a class has no label left.
    """
    if corpus.labelled == 1 and not corpus.label_noise:
        return fold
    generator = np.random.default_rng([corpus.split_seed, fold.number, 1])
    labels = _codes(recordings).iloc[generator.permutation(fold.train)]
    speakers = recordings.speaker.to_numpy()[labels.index]
    turn = labels.groupby([labels, speakers]).cumcount()
    rank, size = _rank_and_size(labels[turn.sort_values(kind="stable").index])
    known, classes = rank < (corpus.labelled * size).round(), recordings.label.cat.categories
    if missing := set(labels) - set(labels[known]):
        raise InvalidCorpus(
            f"parameter 'corpus.labelled' is {corpus.labelled}, which leaves class "
            f"'{classes[min(missing)]}' without a labelled training recording in fold "
            f"{fold.number}; use a greater share."
        )
    labels = labels.where(known, -1)
    used = generator.permutation(labels.index[labels >= 0])
    wrong = used[: round(corpus.label_noise * len(used))]
    shift = generator.integers(1, max(2, len(classes)), len(wrong))
    labels[wrong] = (labels[wrong] + shift) % len(classes)
    return replace(fold, labels=labels[fold.train].to_numpy())


def _check_classes(fold: Fold, recordings: pd.DataFrame) -> None:
    """Raise InvalidCorpus where a class is tested that no training recording has."""
    labels = recordings.label
    for label in sorted(set(labels.iloc[fold.test]) - set(labels.iloc[fold.train])):
        raise InvalidCorpus(
            f"fold {fold.number} tests class '{label}', of which no training recording is left "
            f"without {fold.name}; use more speakers, other classes or another corpus.protocol."
        )
