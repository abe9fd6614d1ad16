"""From the table of recordings to folds: which are for training, which for the test."""

from dataclasses import replace

import numpy as np
import pandas as pd

from kdlib.dataset import Fold
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.parameters import digest
from kdsuite.data import SPLIT
from kdsuite.parameters import Corpus
from kdsuite.settings import Settings, choose_folds


def fold_key(fold: Fold, recordings: pd.DataFrame) -> str:
    """Return the name of a fold's files, which changes with the recordings on either side."""
    names = recordings.recording.to_numpy()
    sides = [names[side].tolist() for side in (fold.train, fold.validation, fold.test)]
    if fold.labels is not None:
        sides.append(fold.labels.tolist())
    return f"fold-{fold.number}-{digest(sides, 8)}"


def folds(recordings: pd.DataFrame, corpus: Corpus, test: bool = True) -> list[Fold]:
    """Return the folds of the corpus' protocol; without a ``test`` one that trains on all
    recordings.

    Raises InvalidCorpus where a class to be tested has no training example or the table lacks what
    the protocol needs, InvalidParameter for more groups than there is to deal out.
    """
    result, protocol = [], PROTOCOLS[corpus.protocol] if test else _untested
    for number, (name, test, validation, *train) in enumerate(protocol(recordings, corpus)):
        sides = *(train or [~(test | validation)]), test, validation
        fold = _reduced(Fold(number, name, *map(np.flatnonzero, sides)), recordings, corpus)
        trained, tested = ({*recordings.label.iloc[side]} for side in (fold.train, fold.test))
        for label in sorted(tested - trained):
            raise InvalidCorpus(
                f"fold {number} tests class '{label}', but no training recording of it is left "
                f"without {name}; use more speakers, other classes or another corpus.protocol."
            )
        if len(trained) == 1:
            raise InvalidCorpus(
                f"fold {number} trains on class '{trained.pop()}' alone, so it cannot "
                "classify; use more speakers, other classes or another corpus.protocol."
            )
        result.append(_relabelled(fold, recordings, corpus))
    return result


def chosen_folds(recordings: pd.DataFrame, settings: Settings) -> list[Fold]:
    """Return the folds that the parameter ``folds`` names; for ``none`` the one without a test."""
    every = folds(recordings, settings.corpus, settings.tested)
    if not settings.tested:
        return every
    return [every[number] for number in choose_folds(settings.folds, len(every))]


# A protocol returns a name for each fold, and masks (recordings,) of its test and its validation;
# what is in neither is for training, unless a third mask says so.


def _untested(recordings, corpus):
    """Leave nothing out, whatever the protocol."""
    nothing = np.zeros(len(recordings), bool)
    return [("all recordings", nothing, nothing)]


def _speakers(recordings, corpus):
    """Leave one speaker out at a time, or one group of speakers where ``groups`` is above 0.

    Neighbours by name share a group, which mixes the sexes where they alternate, as in RAVDESS. The
    validation speakers are those that follow the tested ones.
    """
    speaker, validation = recordings.speaker, corpus.validation
    speakers = sorted(speaker.unique())
    count = len(speakers)
    if corpus.groups > count or count < 2 or corpus.groups == 1:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {corpus.groups}, but the corpus has {count} speaker(s); "
            "leaving speakers out needs at least 2 speakers and 2 groups, at most one group per "
            "speaker (0: one each)."
        )
    result, end = [], 0
    for test in np.array_split(speakers, corpus.groups or count):
        end += len(test)
        if len(test) + validation >= count:
            raise InvalidParameter(
                f"parameter 'corpus.validation' is {validation}, which leaves no "
                f"training speaker of {count}; lower it."
            )
        following = np.take(speakers, range(end, end + validation), mode="wrap")
        result.append(("+".join(test), speaker.isin(test), speaker.isin(following)))
    return result


def _random(recordings, corpus):
    """Deal the recordings of each class out at random, evenly over the groups; those of one source
    go with its first.

    Speakers are on both sides, which flatters the result.
    """
    first = recordings.drop_duplicates("source")
    count, groups = len(first), corpus.groups
    if not 2 <= groups <= count:
        raise InvalidParameter(
            f"parameter 'corpus.groups' is {groups}; the protocol random needs 2 groups "
            f"or more, at most one per source ({count}; a source is a recording, or all recordings "
            "cut from one file)."
        )
    shuffled = np.random.default_rng(corpus.split_seed).permutation(count)
    place = np.argsort(np.lexsort([shuffled, first.label.cat.codes]))  # class by class
    group = recordings.source.map(pd.Series(place % groups, first.source))
    return [(f"random {number}", group == number, False) for number in range(groups)]


def _portions(recordings, corpus):
    """Split each speaker's recordings at random (paper, section 4: 70, 10 and 20 %), those of one
    source together."""
    train, validation, test = portions = corpus.portions
    if min(portions) < 0 or abs(sum(portions) - 1) > 1e-6 or not train or not test:
        raise InvalidParameter(
            f"parameter 'corpus.portions' is {list(portions)}; give the shares of training, "
            "validation and test, which add up to 1."
        )
    generator, parts = np.random.default_rng(corpus.split_seed), []
    for _, own in recordings.groupby("speaker"):
        # sources at random, and where each one begins and ends among the speaker's recordings
        size, count = own.groupby("source", sort=False).size(), len(own)
        size = size.iloc[generator.permutation(len(size))]
        end = size.cumsum()
        tested = count - (round(test * count) or 1)
        late = end - size >= tested - round(validation * count)
        parts.append(late.astype(int).mask(end > tested, 2))
    # one of several speakers goes with the latest of its parts
    part = recordings.source.map(pd.concat(parts).groupby(level=0).max())
    for speaker, own in recordings.groupby("speaker"):
        if {0, 2} <= {*part[own.index]}:
            continue
        raise InvalidCorpus(
            f"speaker {speaker} has {len(own)} recording(s) cut from {own.source.nunique()}"
            f" source(s), too few to split into {', '.join(SPLIT)}; leave that speaker out, change"
            " corpus.portions, or name smaller sources (in a manifest the column 'source')."
        )
    return [("portions", part == 2, part == 1)]


def _own_folds(recordings, corpus):
    """Take the corpus' own column ``fold``.

    It has train, validation and test, or names of which one is left out at a time.
    """
    if corpus.folds_from:
        return _published(recordings)
    column, names = recordings.fold, {*recordings.fold}
    if {"train", "test"} <= names <= {*SPLIT}:
        return [("given", column == "test", column == "validation")]
    if len(names) < 2 or names & {"", *SPLIT}:
        values = ", ".join(sorted(names - {""})) or "none"
        for name in recordings.recording[column == ""][:1]:
            values += f", and of {name} none"
        raise InvalidCorpus(
            "protocol 'given' needs a split or fold of every recording (in a manifest the column "
            f"'split' or 'fold'): {', '.join(SPLIT)}, or two other names; the corpus has {values}; "
            "add them or choose another corpus.protocol."
        )
    return [(name, column == name, False) for name in sorted(names)]


def _published(recordings):
    """Take published folds: the column ``fold`` has a word such as ``test@fold_1`` for each."""
    marks = recordings.fold.str.get_dummies(" ", dtype=bool)
    names = [mark[5:] for mark in marks if mark.startswith("test@")]
    for name in sorted(names, key=lambda name: (len(name), name)):  # 10 behind 9
        train, validation, test = (marks.get(f"{side}@{name}", False) for side in SPLIT)
        yield name, test, validation, train


PROTOCOLS = {
    "speakers": _speakers, "portions": _portions, "random": _random, "given": _own_folds,
}  # fmt: skip


def _shuffled(fold, recordings, corpus, *stream):
    """Return a generator, and the training recordings' class codes by row number, shuffled."""
    generator = np.random.default_rng([corpus.split_seed, fold.number, *stream])
    codes = pd.Series(recordings.label.cat.codes.to_numpy(np.int64))
    return generator, codes[generator.permutation(fold.train)]


def _share(labels, share):
    """Return which recording of its class each one is, from 0 on, and how many ``share`` is."""
    classes = labels.groupby(labels)
    return classes.cumcount(), share * classes.transform("size")


def _reduced(fold, recordings, corpus):
    """Keep the parameter ``fraction`` of the training recordings of each class.

    A smaller share is part of a greater one.
    """
    _, labels = _shuffled(fold, recordings, corpus)
    rank, size = _share(labels, corpus.fraction)
    return replace(fold, train=np.sort(labels.index[rank < size]))


def _relabelled(fold, recordings, corpus):
    """Hide all but the share ``labelled`` of the training labels, and make ``label_noise`` wrong.

    Of each class one recording of every speaker comes before a second one of any; a smaller share
    is part of a greater one. Raises InvalidCorpus where a class has no label left.
    """
    if corpus.labelled == 1 and not corpus.label_noise:
        return fold
    generator, labels = _shuffled(fold, recordings, corpus, 1)
    speakers = recordings.speaker.to_numpy()[labels.index]
    turn = labels.groupby([labels, speakers]).cumcount().sort_values(kind="stable")
    rank, size = _share(labels[turn.index], corpus.labelled)
    known, classes = rank < size.round(), recordings.label.cat.categories
    for missing in sorted({*labels} - {*labels[known]}):
        raise InvalidCorpus(
            f"parameter 'corpus.labelled' is {corpus.labelled}, which leaves class "
            f"'{classes[missing]}' without a labelled training recording in fold {fold.number}; "
            "use a greater share."
        )
    used = generator.permutation(labels[known].index)
    labels = labels.where(known, -1)
    wrong = used[: round(corpus.label_noise * len(used))]
    shift = generator.integers(1, max(2, len(classes)), len(wrong))
    labels[wrong] = (labels[wrong] + shift) % len(classes)
    return replace(fold, labels=labels[fold.train].to_numpy())
