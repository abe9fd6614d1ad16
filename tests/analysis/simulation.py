"""Answers of students in a world whose truth is known, to try the statistics on: no network is
trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats


@dataclass(frozen=True)
class World:
    """How much of the labels each modality tells, and why answers to two recordings resemble each
    other.

    ``audio`` and ``video`` are the shares of recordings whose label an undistilled student and the
    teacher tell; ``carried`` is the part of what sets the teacher apart, for better or worse, that
    distillation carries over. The answers' variance (of a latent normal number) has the shares
    ``of_speaker`` and ``of_recording``, which both students have in common, and ``of_training``,
    which one student has on all recordings of its fold, and ``of_pair``, which all students of one
    kind (distilled or not) have on a speaker, so that speakers gain differently; the rest is each
    answer's own. Speakers are dealt out over ``folds``; ``recordings`` are those of one speaker;
    each of ``seeds`` trains students of its own. With 0 ``classes`` speakers are to be told.
    """

    speakers: int = 24
    recordings: int = 52
    folds: int = 24
    seeds: int = 1
    classes: int = 7
    audio: float = 0.55
    video: float = 0.8
    carried: float = 0.0
    of_speaker: float = 0.05
    of_recording: float = 0.5
    of_training: float = 0.01
    of_pair: float = 0.0

    @property
    def gain(self) -> float:
        """The true gain, in UAR and in accuracy: what the teacher knows more than the student, as
        far as it is carried."""
        return self.carried * (self.video - self.audio)


VIDEO_KNOWS_MORE = World(video=0.8, carried=0.2)
NOTHING_TO_GAIN = World(video=0.55, carried=0.2)
TEACHER_IS_WORSE = World(video=0.3, carried=0.2)


def simulate(world: World, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of a distilled and of an undistilled student on the same recordings.

    Both have the columns recording, speaker, fold, label, predicted and ``p_<class>``, as a run
    leaves them, and seed.
    """
    place = recordings(world)
    names = [
        f"{speaker:03d}-{number % world.recordings:04d}"
        for number, speaker in enumerate(place.speaker)
    ]
    runs = [
        [_predictions(place, names, given, _classes(world), seed) for given in both]
        for seed, both in enumerate(answers(world, place, random))
    ]
    distilled, undistilled = (pd.concat(of, ignore_index=True) for of in zip(*runs))
    return distilled, undistilled


def recordings(world: World) -> pd.DataFrame:
    """Return the world's recordings: speaker, fold and label."""
    place = pd.DataFrame({"speaker": np.repeat(np.arange(world.speakers), world.recordings)})
    place["fold"] = place.speaker % world.folds
    place["label"] = (
        np.tile(np.arange(world.recordings), world.speakers) % world.classes
        if world.classes
        else place.speaker
    )
    return place


def answers(
    world: World, place: pd.DataFrame, random: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return, for each seed, the class numbers ``(recordings,)`` predicted by a distilled and an
    undistilled student."""
    shared = np.sqrt(world.of_speaker) * random.normal(size=world.speakers)[place.speaker]
    shared += np.sqrt(world.of_recording) * random.normal(size=len(place))
    both = [shared, shared]
    if world.of_pair:
        both = [
            shared + np.sqrt(world.of_pair) * random.normal(size=world.speakers)[place.speaker]
            for _ in both
        ]
    truths = (world.audio + world.gain, world.audio)
    return [
        [_answers(world, place, *of, random) for of in zip(both, truths)]
        for _ in range(world.seeds)
    ]


def _classes(world: World) -> int:
    return world.classes or world.speakers


def _answers(
    world: World,
    place: pd.DataFrame,
    shared: np.ndarray,
    chance: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Return predicted class numbers ``(recordings,)``, each right with probability ``chance`` over
    all that is random."""
    own = 1 - world.of_speaker - world.of_recording - world.of_training - world.of_pair
    noise = np.sqrt(world.of_training) * random.normal(size=world.folds)[place.fold] + np.sqrt(
        own
    ) * random.normal(size=len(place))
    knows = shared + noise < stats.norm.ppf(chance)
    other = (place.label + random.integers(1, _classes(world), len(place))) % _classes(world)
    return np.where(knows, place.label, other)


def _predictions(
    place: pd.DataFrame, recording: list[str], answers: np.ndarray, classes: int, seed: int
) -> pd.DataFrame:
    names = np.array([f"class{number}" for number in range(classes)])
    sure = pd.DataFrame(
        np.where(np.arange(classes) == answers[:, None], 0.5, 0.5 / (classes - 1)),
        columns=[f"p_{name}" for name in names],
    )
    told = place.assign(
        recording=recording, label=names[place.label], predicted=names[answers], seed=seed
    )
    return pd.concat([told, sure], axis="columns")


@dataclass(frozen=True)
class TrialWorld:
    """Trials of normal scores whose equal error rates are known; half of the ``trials`` are
    genuine.

    ``of_speaker`` is the share of the scores' variance that speakers make, ``of_trial`` that of the
    trial; half of the former and all of the latter are common to both students. Each of ``seeds``
    trains students of its own, whose error rates scatter around the truth by ``of_training``, a
    standard deviation of Φ⁻¹ of the rate.
    """

    speakers: int = 40
    trials: int = 2000
    undistilled: float = 0.1
    distilled: float = 0.1
    of_speaker: float = 0.2
    of_trial: float = 0.4
    seeds: int = 1
    of_training: float = 0.0

    @property
    def gain(self) -> float:
        """The true gain in equal error rate."""
        return self.undistilled - self.distilled


def simulate_trials(
    world: TrialWorld, random: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scored trials of a distilled and an undistilled student."""
    genuine = np.arange(world.trials) % 2 == 0
    first = random.integers(world.speakers, size=world.trials)
    second = np.where(
        genuine, first, (first + random.integers(1, world.speakers, world.trials)) % world.speakers
    )
    trials = pd.DataFrame(
        {
            "fold": 0, "list": "trials.txt", "trial": np.arange(world.trials), "genuine": genuine,
            "first_speaker": first, "second_speaker": second,
        }
    )  # fmt: skip
    common = np.sqrt(world.of_speaker / 2) * _speakers(world, genuine, first, second, random)
    common += np.sqrt(world.of_trial) * random.normal(size=world.trials)
    scores = []
    for rate in (world.distilled, world.undistilled):
        own = np.sqrt(world.of_speaker / 2) * _speakers(world, genuine, first, second, random)
        for seed in range(world.seeds):
            noise = np.sqrt(1 - world.of_speaker - world.of_trial) * random.normal(
                size=world.trials
            )
            # two normal distributions of variance 1 at distance d cross where both errors are Φ(−d
            # / 2)
            chance = world.of_training * random.normal() if world.of_training else 0.0
            distance = -2 * (stats.norm.ppf(rate) + chance)
            scores.append(trials.assign(seed=seed, score=common + own + noise + distance * genuine))
    return (
        pd.concat(scores[: world.seeds], ignore_index=True),
        pd.concat(scores[world.seeds :], ignore_index=True),
    )


def _speakers(
    world: TrialWorld,
    genuine: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """Return what the speakers of each trial add to its score, of variance 1."""
    with_itself, with_others = random.normal(size=(2, world.speakers))
    return np.where(
        genuine, with_itself[first], (with_others[first] + with_others[second]) / np.sqrt(2)
    )
