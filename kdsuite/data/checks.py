"""What a reader of ``01_data`` asks of a corpus: is it complete, and does its split leak?"""

from collections.abc import Sequence

import pandas as pd

from kdsuite.data import corpora
from kdsuite.data.contents import hashes
from kdsuite.data.folds import Fold
from kdsuite.parameters import Corpus

# what the two sides of a split are compared by
BOTH = {
    "speaker": "speakers on both sides", "source": "sources on both sides",
    "sound": "same sound on both sides",
}  # fmt: skip


def counts(recordings: pd.DataFrame, corpus: Corpus) -> pd.DataFrame:
    """Return the corpus' counts beside the published ones (NaN: there is none); index ``count``.

    The counts are recordings, speakers and, where the label is the target, each class.
    """
    own = {"recordings": len(recordings), "speakers": recordings.speaker.nunique()}
    if corpus.target == "label":
        own |= recordings.label.value_counts(sort=False)
    published = corpora.published(corpus)
    rows = [(name, own.get(name, 0), published.get(name)) for name in own | published]
    table = pd.DataFrame(rows, columns=["count", "found", "published"]).set_index("count")
    return table.assign(difference=table.found - table.published.astype(float))


def warnings(recordings: pd.DataFrame, corpus: Corpus) -> list[str]:
    """Return a sentence for each count that is not the published one, and each left-out record."""
    table = counts(recordings, corpus)
    differences = [
        f"{row.Index}: {row.found:g} found, {row.published:g} published ({row.difference:+g})."
        for row in table[table.difference.fillna(0) != 0].itertuples()
    ]
    reasons = [*recordings.attrs.get("remarks", []), *recordings.attrs["incomplete"].values()]
    sounds = _sounds(recordings, corpus)
    doubles = recordings.recording[sounds.duplicated(keep=False)]
    for names in doubles.groupby(sounds).agg(list)[:1]:
        reasons.append(
            f"{len(doubles)} recordings have, byte for byte, the same sound as another one, such as"
            f" {names[0]} and {names[1]}"
        )
    return differences + [f"{reason}." for reason in reasons]


def _sounds(recordings, corpus):
    """Return what tells the sounds of recordings apart: the bytes of the file, and the part."""
    content = recordings.audio.map(hashes(recordings.audio, corpus))
    parts = [content, recordings.audio_start, recordings.seconds]
    return recordings.groupby(parts, dropna=False).ngroup()


def leaks(recordings: pd.DataFrame, folds: Sequence[Fold], corpus: Corpus) -> pd.DataFrame:
    """Return how many speakers, sources (videos, dialogues) and sounds (the same bytes, whatever
    the names) are on both sides of each fold; ``attrs["example"]`` names two recordings of one
    sound."""
    rows, example = [], ""
    recordings = recordings.assign(sound=_sounds(recordings, corpus))
    for fold in folds:
        train, test = recordings.iloc[fold.train], recordings.iloc[fold.test]
        rows.append({
            "fold": fold.number, "tested": fold.name, "training": len(train),
            "validation": len(fold.validation), "test": len(test),
            **{title: len({*train[name]} & {*test[name]}) for name, title in BOTH.items()},
        })  # fmt: skip
        for pair in test.merge(train, on="sound")[:1].itertuples():
            example = example or f"{pair.recording_x} is {pair.recording_y}"
    table = pd.DataFrame(rows).set_index("fold")
    table.attrs["example"] = example
    return table


def verdict(table: pd.DataFrame, corpus: Corpus) -> str:
    """Return in one sentence whether the split leaks what its protocol should keep apart.

    ``table`` is that of :func:`leaks`.
    """
    protocol, leaking = corpus.protocol, table.any()
    if leaking[BOTH["sound"]]:
        return (
            f"LEAK: {table[BOTH['sound']].sum()} sounds of the test are, byte for byte, in training"
            f" too, such as {table.attrs['example']}; its numbers flatter the networks."
        )
    # portions tests new recordings of the speakers in training, as all do whose target they are
    same = protocol == "portions" or corpus.target == "speaker"
    apart = BOTH["source" if same else "speaker"]
    if leaking[apart]:
        return f"LEAK: protocol {protocol} has {apart}; its numbers flatter the networks."
    if leaking[BOTH["speaker"]]:
        answer = "speakers are on both sides, so the test is of new recordings, not of new voices."
    elif leaking[BOTH["source"]]:
        answer = "no speaker is on both sides, but different parts of the same sources are."
    else:
        answer = "no speaker is on both sides, and no source is."
    return f"Protocol {protocol}: {answer}"
