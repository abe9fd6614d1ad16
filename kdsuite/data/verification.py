"""Speaker verification: whether two recordings are of one speaker, by the cosine of embeddings.

The trial lists are those of the corpus (VoxCeleb1's ``veri_test.txt``); each file they name is
embedded once, in full length. The threshold of a student that is exported comes from pairs of
recordings that are in none of them.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kdlib import metrics
from kdlib.errors import InvalidCorpus
from kdsuite.data import corpora
from kdsuite.data.store import Store, prepare_trials
from kdsuite.settings import Settings

# a threshold is calibrated on no more recordings, in all and of one speaker: half a million pairs
# are plenty
CALIBRATION, OF_ONE_SPEAKER = 1000, 20
SIDES = ["first", "second"]
EER = {"eer": "interpolated", "eer_mean": "mean", "eer_max": "max"}


class Trials(NamedTuple):
    """Pairs of recordings: list, genuine and, as row numbers of ``store``, first and second.

    ``missing`` names the files of the lists that are not there. ``named`` counts the trials of each
    list, also those without a score because a file is missing or unreadable; its order is that of
    the parameter.
    """

    pairs: pd.DataFrame
    store: Store
    missing: list[str]
    named: dict[str, int]

    def facts(self) -> dict:
        """Return what a result says of them: how many are named and scored, and absent files."""
        scored = self.pairs.list.value_counts()
        return {
            "trials": {
                n: {"named": count, "scored": int(scored[n])} for n, count in self.named.items()
            },
            "missing_trial_files": self.missing,
            "unreadable_trial_files": self.store.left_out,
        }


def prepare(settings: Settings) -> Trials | None:
    """Return the trials that the corpus parameters name, None where they name none or nothing is
    tested.

    Their sound is decoded unless it is stored. Raises InvalidCorpus where a list is absent or
    malformed, or where too few of its files are there to make an error rate.
    """
    lists = settings.corpus.trials
    if not lists or not settings.tested:
        return None
    pairs, files, missing = corpora.trials(settings.corpus)
    if files.empty:
        raise InvalidCorpus(
            f"none of the files that {', '.join(lists)} compares is in the corpus; fetch them, or "
            "set corpus.trials to []."
        )
    store = prepare_trials(files, settings)
    rows = pd.Series(store.recordings.index, store.recordings.recording)
    scorable = pairs.assign(**{side: pairs[side].map(rows) for side in SIDES})
    scorable = scorable.dropna(ignore_index=True).astype(dict.fromkeys(SIDES, int))
    named = pairs.list.value_counts(sort=False).to_dict()
    for name in named:
        if scorable.genuine[scorable.list == name].nunique() < 2:
            raise InvalidCorpus(
                f"the trials of {name} that can be scored are not of both kinds (same speaker and "
                f"different ones); fetch the {len(missing)} missing files, or drop the "
                "list."
            )
    return Trials(scorable, store, missing, named)


def scores(embeddings: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """Return the cosine of each pair, ``(pairs,)``, from the embeddings ``(files, embedding)``."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = (embeddings / np.maximum(lengths, 1e-12))[pairs[SIDES].to_numpy().T]
    return np.einsum("pe,pe->p", first, second)


def calibration_rows(rows: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Return those of ``rows`` on whose pairs a threshold is calibrated.

    ``rows`` ``(chosen,)`` are row numbers; ``speakers`` ``(recordings,)`` names the speaker of
    every recording. Where there are many, some recordings of some speakers are drawn. There are
    none where they make no pairs of both kinds.
    """
    # a generator of its own, so that training does not depend on it
    drawn = np.random.default_rng(0).permutation(rows)
    # one speaker after the other, so that those who are taken have pairs
    groups = pd.Series(drawn).groupby(speakers[drawn], sort=False)
    chosen = np.concatenate([drawn[:0], *(own[:OF_ONE_SPEAKER] for _, own in groups)])[:CALIBRATION]
    count = len(np.unique(speakers[chosen]))
    return chosen if 1 < count < len(chosen) else chosen[:0]


def calibrated(embeddings: np.ndarray, speakers: np.ndarray) -> dict:
    """Return the threshold at the equal error rate over all pairs, the error rates there, and what
    they rest on.

    ``embeddings`` are ``(recordings, embedding)``, ``speakers`` ``(recordings,)``.
    """
    pairs = pd.DataFrame(np.transpose(np.triu_indices(len(speakers), 1)), columns=SIDES)
    genuine = speakers[pairs["first"]] == speakers[pairs["second"]]
    cosines = scores(embeddings, pairs)
    threshold = metrics.eer_threshold(cosines, genuine)
    accepted = cosines >= threshold
    return {
        "threshold": threshold,
        "false_acceptance": float(accepted[~genuine].mean()),
        "false_rejection": float(1 - accepted[genuine].mean()),
        "eer": metrics.eer(cosines, genuine),
        "recordings": len(speakers),
        "speakers": len(np.unique(speakers)),
        "pairs": {"same": int(genuine.sum()), "different": int((~genuine).sum())},
    }


def scored(embeddings: dict[int, np.ndarray], trials: Trials) -> pd.DataFrame:
    """Return one row a fold and trial, from the embeddings of the files by fold number.

    The columns are fold, list, trial (its number in the list's order), genuine, the speakers of
    both sides, and score.
    """
    speaker, pairs = trials.store.recordings.speaker.astype(str).to_numpy(), trials.pairs
    speakers = {f"{side}_speaker": speaker[pairs[side]] for side in SIDES}
    number = pairs.groupby("list").cumcount()
    table = pairs[["list"]].assign(trial=number, genuine=pairs.genuine, **speakers)
    folds = {fold: table.assign(score=scores(values, pairs)) for fold, values in embeddings.items()}
    return pd.concat(folds, names=["fold"]).reset_index(0).reset_index(drop=True)


def by_fold(scored: pd.DataFrame, trials: Trials) -> pd.DataFrame:
    """Return one row a fold with every metric of verification.

    ``scored`` is the table of :func:`scored`. The columns of the first list are ``eer``,
    ``eer_mean``, ``eer_max``, ``min_dcf`` and ``trials_scored``, the share of the list's trials
    that could be; those of a further list end with its name.
    """
    rows = {}
    for (fold, name), part in scored.groupby(["fold", "list"], sort=False):
        sides = part.score.to_numpy(), part.genuine.to_numpy(bool)
        suffix = "" if name == next(iter(trials.named)) else f":{name}"
        row = rows.setdefault(fold, {"fold": fold})
        for column, convention in EER.items():
            row[column + suffix] = metrics.eer(*sides, convention)
        row["min_dcf" + suffix] = metrics.min_dcf(*sides)
        row["trials_scored" + suffix] = len(part) / trials.named[name]
    return pd.DataFrame(rows.values())
