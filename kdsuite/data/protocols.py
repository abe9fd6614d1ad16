"""From the table of recordings to folds: who is heard in training, and who only in the test."""

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
    """Return the name of what is kept of a fold, which changes with the recordings on either side."""
    sides = [recordings.recording.iloc[side].tolist() for side in (fold.train, fold.validation, fold.test)]
    if fold.labels is not None:
        sides.append(fold.labels.tolist())
    return f"fold-{fold.number}-{digest(sides, 8)}"


def folds(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Return the folds of the corpus' protocol.

    Raises InvalidCorpus where a class to be tested has no training example or the table lacks what the protocol needs,
    InvalidParameter for more groups than there is to deal out.
    """
    thinned = (_checked(_thinned(fold, recordings, corpus), recordings) for fold in PROTOCOLS[corpus.protocol](recordings, corpus))
    return [_labelled(fold, recordings, corpus) for fold in thinned]


def chosen_folds(recordings: pd.DataFrame, settings: Settings) -> list[Fold]:
    """Return the folds that the parameter ``folds`` names."""
    every = folds(recordings, settings.corpus)
    return [every[number] for number in choose_folds(settings.folds, len(every))]


def _speakers(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Leave one speaker out at a time, or one group of speakers where ``groups`` is above 0.

    Neighbours by name share a group, which mixes the sexes where they alternate, as in RAVDESS.
    """
    speakers = sorted(recordings.speaker.unique())
    if corpus.groups > len(speakers) or len(speakers) < 2 or corpus.groups == 1:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {corpus.groups}, but the corpus has {len(speakers)} speaker(s); leaving out needs 2 groups or more (0: one a speaker), at most one a speaker."
        )
    groups = np.array_split(speakers, corpus.groups or len(speakers))
    if max(map(len, groups)) + corpus.validation >= len(speakers):
        raise InvalidParameter(
            f"parameter 'corpus.validation' is {corpus.validation}, which leaves none of {len(speakers)} speakers to train on; lower it."
        )
    found, after = [], 0
    for number, group in enumerate(groups):
        after += len(group)
        held = np.take(speakers, range(after, after + corpus.validation), mode="wrap")  # those that follow the tested ones
        found.append(_leaving_out(recordings.speaker.isin(group), number, "+".join(group), recordings.speaker.isin(held)))
    return found


def _random(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Deal the recordings of each class out at random: speakers are on both sides, which flatters the result."""
    if not 2 <= corpus.groups <= len(recordings):
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {corpus.groups}; the protocol random needs from 2 groups to one a recording ({len(recordings)})."
        )
    random = np.random.default_rng(corpus.split_seed)
    shuffled = pd.Series(random.permutation(len(recordings)), recordings.index)
    # in the order of class, then luck: each class is spread evenly over the groups
    order = pd.DataFrame({"label": recordings.label, "luck": shuffled}).sort_values(["label", "luck"]).index
    group = pd.Series(np.arange(len(order)) % corpus.groups, order)
    return [_leaving_out((group == number).reindex(recordings.index), number, f"random {number}") for number in range(corpus.groups)]


def _portions(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Split each speaker's recordings at random into training, validation and test (paper, section 4: 70, 10 and 20 %)."""
    if min(corpus.portions) < 0 or abs(sum(corpus.portions) - 1) > 1e-6 or not corpus.portions[0] or not corpus.portions[2]:
        raise InvalidParameter(
            f"parameter 'corpus.portions' is {list(corpus.portions)}; give the shares of training, validation and test, which add up to 1."
        )
    random, parts = np.random.default_rng(corpus.split_seed), {name: [] for name in SPLIT}
    for speaker, rows in recordings.groupby("speaker", sort=True, observed=True).indices.items():
        count = len(rows)
        tested, held = max(1, round(corpus.portions[2] * count)), round(corpus.portions[1] * count)
        if count - tested - held < 1:
            raise InvalidCorpus(
                f"speaker {speaker} has {count} recording(s), too few to split into {', '.join(SPLIT)}; leave that speaker out or change corpus.portions."
            )
        shuffled = random.permutation(rows)
        for name, part in zip(SPLIT, np.split(shuffled, [count - tested - held, count - tested])):
            parts[name].append(part)
    train, validation, test = (np.sort(np.concatenate(parts[name])) for name in SPLIT)
    return [Fold(0, "portions", train, test, validation)]


def _given(recordings: pd.DataFrame, corpus: Corpus) -> list[Fold]:
    """Take the corpus' own column ``fold``: train, validation and test, or names of which one is left out at a time."""
    names = sorted(name for name in recordings.fold.unique() if name)
    unsaid = recordings.recording[(recordings.fold == "").to_numpy()]
    if {"train", "test"} <= set(names) <= set(SPLIT) and unsaid.empty:
        rows = {name: np.flatnonzero(recordings.fold == name) for name in SPLIT}
        return [Fold(0, "given", rows["train"], rows["test"], rows["validation"])]
    if len(names) < 2 or len(unsaid) or set(names) & set(SPLIT):
        without = f" and nothing of {len(unsaid)} (the first is {unsaid.iloc[0]})" if len(unsaid) else ""
        raise InvalidCorpus(
            f"protocol 'given' needs {', '.join(SPLIT)} or two other names for the recordings, but the corpus says {', '.join(names) or 'no fold'}{without}; mend it or choose another corpus.protocol."
        )
    return [_leaving_out(recordings.fold == name, number, name) for number, name in enumerate(names)]


PROTOCOLS: dict[str, Callable[[pd.DataFrame, Corpus], list[Fold]]] = {
    "speakers": _speakers,
    "portions": _portions,
    "random": _random,
    "given": _given,
}


def _leaving_out(tested: pd.Series, number: int, name: str, held: pd.Series | bool = False) -> Fold:
    return Fold(number, name, np.flatnonzero(~(tested | held)), np.flatnonzero(tested), np.flatnonzero(held & ~tested))


def _thinned(fold: Fold, recordings: pd.DataFrame, corpus: Corpus) -> Fold:
    """Keep the parameter ``fraction`` of the training recordings of each class; a smaller share is part of a greater one."""
    if corpus.fraction == 1:
        return fold
    shuffled = np.random.default_rng([corpus.split_seed, fold.number]).permutation(fold.train)
    classes = recordings.label.iloc[shuffled].groupby(recordings.label.iloc[shuffled].to_numpy(), observed=True)
    rank, size = classes.cumcount().to_numpy(), classes.transform("size").to_numpy()
    return replace(fold, train=np.sort(shuffled[rank < np.ceil(corpus.fraction * size)]))


def _labelled(fold: Fold, recordings: pd.DataFrame, corpus: Corpus) -> Fold:
    """Hide all but the parameter ``labelled`` of the training labels, and replace ``label_noise`` of the others by another class.

    Of each class a share is kept, one recording of every speaker before a second one of any; a smaller share is part of a greater one.
    Raises InvalidCorpus where a class keeps no label.
    """
    if corpus.labelled == 1 and not corpus.label_noise:
        return fold
    random = np.random.default_rng([corpus.split_seed, fold.number, 1])
    shuffled = pd.DataFrame({"row": random.permutation(fold.train)})
    shuffled["label"] = recordings.label.cat.codes.to_numpy(np.int64)[shuffled.row]
    shuffled["speaker"] = recordings.speaker.to_numpy()[shuffled.row]
    shuffled["turn"] = shuffled.groupby(["label", "speaker"]).cumcount()
    ordered = shuffled.sort_values("turn", kind="stable").groupby("label")
    known = ordered.cumcount() < (corpus.labelled * ordered.row.transform("size")).round()
    classes = recordings.label.cat.categories
    if bare := set(shuffled.label) - set(shuffled.label[known]):
        raise InvalidCorpus(
            f"parameter 'corpus.labelled' is {corpus.labelled}, which leaves class '{classes[min(bare)]}' without a labelled training "
            f"recording in fold {fold.number}; use a greater share."
        )
    labels = shuffled.label.where(known, -1).to_numpy(copy=True)
    places = random.permutation(np.flatnonzero(labels >= 0))
    wrong = places[: round(corpus.label_noise * len(places))]
    labels[wrong] = (labels[wrong] + random.integers(1, max(2, len(classes)), len(wrong))) % len(classes)
    return replace(fold, labels=labels[np.argsort(shuffled.row)])


def _checked(fold: Fold, recordings: pd.DataFrame) -> Fold:
    missing = set(recordings.label.iloc[fold.test]) - set(recordings.label.iloc[fold.train])
    if missing:
        raise InvalidCorpus(
            f"fold {fold.number} tests class '{sorted(missing)[0]}', of which no training recording is left without {fold.name}; use more speakers, other classes or another corpus.protocol."
        )
    return fold
