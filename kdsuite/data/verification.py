"""Speaker verification: whether two recordings are of one speaker, told by the cosine between their embeddings.

The trial lists are those of the corpus (VoxCeleb1's ``veri_test.txt``); each file they name is heard once, in full length.
The threshold of a student that is kept for use comes from pairs of recordings that are in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdlib import metrics
from kdlib.errors import InvalidCorpus
from kdsuite.data import corpora
from kdsuite.data.store import Store, prepare_trials
from kdsuite.settings import Settings

# a threshold is calibrated on no more recordings than these, and on no more of one speaker: half a million pairs are plenty
CALIBRATION, OF_ONE_SPEAKER = 1000, 20


@dataclass(frozen=True)
class Trials:
    """Pairs of recordings: ``pairs`` has the columns ``list``, ``genuine`` and, as row numbers of ``store``, ``first`` and ``second``.

    ``missing`` names the files of the lists that are not there. ``named`` counts the trials of each list, also those that
    are left out because a file of theirs is missing or unreadable; its order is that of the parameter.
    """

    pairs: pd.DataFrame
    store: Store
    missing: list[str]
    named: dict[str, int]

    def facts(self) -> dict[str, Any]:
        """Return what a result must say of them: how many are named and scored, and the files of those that are not."""
        scored = self.pairs.list.value_counts()
        counts = {name: {"named": count, "scored": int(scored.get(name, 0))} for name, count in self.named.items()}
        return {"trials": counts, "missing_trial_files": self.missing, "unreadable_trial_files": self.store.left_out}


def prepare(settings: Settings) -> Trials | None:
    """Return the trials that the corpus parameters name, None where they name none; decode their sound if nobody has.

    Raises InvalidCorpus where a list is absent or malformed, or where too few of its files are there to make an error rate.
    """
    if not settings.corpus.trials:
        return None
    pairs, files, missing = corpora.trials(settings.corpus)
    if files.empty:
        raise InvalidCorpus(
            f"none of the files that {', '.join(settings.corpus.trials)} compares is in the corpus; fetch them, or set corpus.trials to []."
        )
    store = prepare_trials(files, settings)
    number = {name: row for row, name in enumerate(store.recordings.recording)}
    numbered = pairs.assign(**{side: pairs[side].map(number) for side in ("first", "second")})
    there = numbered.dropna(subset=["first", "second"]).astype({"first": np.int64, "second": np.int64}).reset_index(drop=True)
    for name in settings.corpus.trials:
        if there.genuine[there.list == name].nunique() < 2:
            raise InvalidCorpus(
                f"of the trials in {name}, those that can be scored are not of both kinds, same speaker and different ones; fetch the {len(missing)} missing files, or drop the list."
            )
    return Trials(there, store, missing, {name: int((pairs.list == name).sum()) for name in settings.corpus.trials})


def scores(embeddings: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """Return the cosine similarity of each pair, ``(pairs,)``, from the embeddings ``(files, embedding)``."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return np.einsum("pe,pe->p", unit[pairs["first"]], unit[pairs["second"]])


def calibration_rows(rows: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Return those of ``rows`` on whose pairs a threshold is calibrated; none where they make no pairs of both kinds.

    ``rows`` ``(chosen,)`` are row numbers; ``speakers`` ``(recordings,)`` names the speaker of every recording. Where there are
    many, some recordings of some speakers are drawn.
    """
    drawn = pd.Series(np.random.default_rng(0).permutation(rows))  # luck of its own: training must not feel it
    speaker = pd.Series(speakers[drawn])
    few = drawn[speaker.groupby(speaker).cumcount() < OF_ONE_SPEAKER]
    # one speaker after the other, so that those who are taken have pairs
    chosen = few.iloc[np.argsort(pd.factorize(speaker[few.index])[0], kind="stable")].to_numpy(np.int64, copy=True)[:CALIBRATION]
    found = len(np.unique(speakers[chosen]))
    return chosen if 1 < found < len(chosen) else chosen[:0]


def calibrated(embeddings: np.ndarray, speakers: np.ndarray) -> dict[str, Any]:
    """Return the threshold at the equal error rate over all pairs of ``embeddings`` ``(recordings, embedding)``, and what it rests on."""
    first, second = np.triu_indices(len(speakers), 1)
    genuine = speakers[first] == speakers[second]
    cosines = scores(embeddings, pd.DataFrame({"first": first, "second": second}))
    return {
        "threshold": metrics.eer_threshold(cosines, genuine),
        "eer": metrics.eer(cosines, genuine),
        "recordings": len(speakers),
        "speakers": len(np.unique(speakers)),
        "pairs": {"same": int(genuine.sum()), "different": int((~genuine).sum())},
    }


def scored(embeddings: dict[int, np.ndarray], trials: Trials) -> pd.DataFrame:
    """Return one row a fold and trial: fold, list, trial (its number in the list's order), genuine, speakers of both sides, score.

    ``embeddings`` by fold number are those of the trials' files, ``(files, embedding)``.
    """
    parts = []
    number, speaker = trials.pairs.groupby("list").cumcount(), trials.store.recordings.speaker.astype(str).to_numpy()
    speakers = {f"{side}_speaker": speaker[trials.pairs[side]] for side in ("first", "second")}
    for fold, heard in embeddings.items():
        told = {"fold": fold, "trial": number, **speakers, "score": scores(heard, trials.pairs)}
        parts.append(trials.pairs[["list", "genuine"]].assign(**told)[["fold", "list", "trial", "genuine", *speakers, "score"]])
    return pd.concat(parts, ignore_index=True)


def by_fold(told: pd.DataFrame, trials: Trials) -> pd.DataFrame:
    """Return one row a fold with every metric of verification; those of a second list and further carry its name.

    ``told`` is what :func:`scored` returns; the columns of the first list are ``eer``, ``eer_mean``, ``eer_max``, ``min_dcf`` and
    ``trials_scored``, the share of the list's trials that could be.
    """
    rows: dict[int, dict[str, float]] = {}
    first = next(iter(trials.named))
    for (fold, name), part in told.groupby(["fold", "list"], sort=False):
        found = metrics.verification(part.score.to_numpy(), part.genuine.to_numpy(bool))
        found["trials_scored"] = len(part) / trials.named[name]
        rows.setdefault(fold, {"fold": fold}).update({key if name == first else f"{key}:{name}": value for key, value in found.items()})
    return pd.DataFrame(rows.values())
