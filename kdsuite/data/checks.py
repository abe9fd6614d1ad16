"""What a reader of ``01_data`` wants to know of a corpus: is it whole, and does its split leak?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdsuite.data import corpora
from kdsuite.data.protocols import Fold
from kdsuite.parameters import Corpus

# what of the two sides of a split is compared
BOTH = {"speaker": "speakers on both sides", "source": "sources on both sides"}
# of whom or of what they must be apart; portions tells known speakers apart, by new recordings of them
APART = {"speakers": BOTH["speaker"], "portions": BOTH["source"], "random": BOTH["speaker"], "given": BOTH["source"]}


def counts(recordings: pd.DataFrame, corpus: Corpus) -> pd.DataFrame:
    """Return what was found beside what is published (NaN: nothing is), one row a count; index ``count``.

    The counts are recordings, speakers and, where labels are told apart, each class.
    """
    found = {"recordings": len(recordings), "speakers": recordings.speaker.nunique()}
    if corpus.target == "label":
        found |= recordings.label.value_counts(sort=False).to_dict()
    published = corpora.published(corpus)
    every = [*found, *(name for name in published if name not in found)]
    table = pd.DataFrame(
        {"found": pd.Series(found, index=every).fillna(0).astype(int), "published": pd.Series(published, index=every, dtype=float)}
    )
    table["difference"] = table.found - table.published
    return table.rename_axis("count")


def warnings(recordings: pd.DataFrame, corpus: Corpus) -> list[str]:
    """Return a sentence for each count that is not the published one, and for what was left out."""
    table = counts(recordings, corpus)
    differing = table[table.difference.fillna(0) != 0]
    told = [f"{row.Index}: {row.found:g} found, {row.published:g} published ({row.difference:+g})." for row in differing.itertuples()]
    left_out = list(recordings.attrs.get("incomplete", {}).values())
    return told + [f"{reason}." for reason in left_out]


def leaks(recordings: pd.DataFrame, folds: Sequence[Fold]) -> pd.DataFrame:
    """Return, for each fold, how many speakers and sources (videos, dialogues) are on both sides."""
    rows = []
    for fold in folds:
        train, test = recordings.iloc[fold.train], recordings.iloc[fold.test]
        sizes = {"training": len(train), "validation": len(fold.validation), "test": len(test)}
        both = {told: len(set(train[column]) & set(test[column])) for column, told in BOTH.items()}
        rows.append({"fold": fold.number, "tested": fold.name, **sizes, **both})
    return pd.DataFrame(rows).set_index("fold")


def verdict(table: pd.DataFrame, corpus: Corpus) -> str:
    """Return in one sentence whether the split leaks what its protocol should keep apart; ``table`` is that of :func:`leaks`."""
    protocol, leaking = corpus.protocol, APART[corpus.protocol]
    if table[leaking].any():
        return f"LEAK: protocol {protocol} has {leaking}; its numbers flatter the networks."
    if table[BOTH["speaker"]].any():
        return f"Protocol {protocol}: speakers are on both sides, so the test is of new recordings, not of new voices."
    shared = "but sources are, of which the two sides hold different parts" if table[BOTH["source"]].any() else "and no source is"
    return f"Protocol {protocol}: no speaker is on both sides, {shared}."
