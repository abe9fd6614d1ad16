"""The designs of the suites that print intervals, as worlds whose truth is known, and how often an
interval covers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from kdsuite.analysis.statistics.comparison import compare
from kdsuite.analysis.statistics.power import MIN_UNITS
from kdsuite.analysis.statistics.uncertainty import uncertainty, weights
from tests.analysis.simulation import TrialWorld, World, answers, recordings, simulate_trials

# shares of the variance of a logit: speakers 0.6², what they gain 0.4², recordings 1.2², each
# answer's own π²/3
ANSWERS = World(
    of_speaker=0.066,
    of_recording=0.26,
    of_pair=0.015,
    of_training=0.0,
    video=0.8,
    carried=0.0,
    recordings=28,
)
TRAINING = 0.029  # a standard deviation of 0.4 logit between trainings
DESIGNS = {
    "demo-ravdess, 12 speakers, 3 folds": replace(ANSWERS, speakers=12, folds=3),
    "demo-ravdess, 12 speakers, 4 folds": replace(ANSWERS, speakers=12, folds=4),
    "demo-ravdess and controls, 12 speakers, 6 folds": replace(ANSWERS, speakers=12, folds=6),
    "controls, 12 speakers, 2 folds, 3 seeds": replace(ANSWERS, speakers=12, folds=2, seeds=3),
    "demo-voxceleb1, 8 speakers to tell, 3 seeds": replace(
        ANSWERS, speakers=8, recordings=14, folds=1, seeds=3, classes=0
    ),
    "demo-voxceleb1, 12 speakers to tell, 6 seeds": replace(
        ANSWERS, speakers=12, recordings=10, folds=1, seeds=6, classes=0
    ),
    "demo-iemocap, 8 speakers, 4 sessions": replace(
        ANSWERS, speakers=8, recordings=24, folds=4, classes=4
    ),
    "demo-iemocap, 4 speakers, 2 sessions, 3 seeds": replace(
        ANSWERS, speakers=4, recordings=24, folds=2, seeds=3, classes=4
    ),
    "iemocap, 10 speakers, 5 sessions": replace(
        ANSWERS, speakers=10, recordings=60, folds=5, classes=4
    ),
    "ravdess-au, 18 speakers, 6 folds, 2 seeds": replace(ANSWERS, speakers=18, folds=6, seeds=2),
    "ravdess, 24 actors left out one by one": replace(ANSWERS, speakers=24, folds=24),
}
PAIRS = {
    "verification, 8 speakers, 500 trials, 3 seeds": TrialWorld(
        speakers=8, trials=500, seeds=3, undistilled=0.2, distilled=0.2
    ),
    "verification, 16 speakers, 600 trials, 3 seeds": TrialWorld(
        speakers=16, trials=600, seeds=3, undistilled=0.2, distilled=0.2
    ),
    "verification, 16 speakers, 600 trials, 6 seeds": TrialWorld(
        speakers=16, trials=600, seeds=6, undistilled=0.2, distilled=0.2
    ),
}


def rates(world: World | TrialWorld, sets: int, seed: int = 1) -> pd.Series:
    """Return how often intervals of ``sets`` simulated suites cover the truth, how often p < 0.05,
    and the mean width of an interval."""
    random = np.random.default_rng(seed)
    found = pd.DataFrame(
        _trials(world, sets, random)
        if isinstance(world, TrialWorld)
        else _answers(world, sets, random)
    )
    covers = (found.low <= world.gain) & (world.gain <= found.high)
    return pd.Series(
        {
            "coverage": covers.mean(),
            "alarms": (found.p < 0.05).mean(),
            "width": (found.high - found.low).mean(),
        }
    )


def _trials(
    world: TrialWorld, sets: int, random: np.random.Generator
) -> Iterator[dict[str, float]]:
    for _ in range(sets):
        one = compare(*simulate_trials(world, random), "eer")
        yield {"low": one.low, "high": one.high, "p": one.p}


def _answers(world: World, sets: int, random: np.random.Generator) -> Iterator[dict[str, float]]:
    """Do what ``compare`` does, but for pairing the same recordings in each set."""
    place = recordings(world)
    tested = pd.concat([place.assign(seed=seed) for seed in range(world.seeds)], ignore_index=True)
    metric, label = "uar" if world.classes else "accuracy", place.label.to_numpy()
    weight = weights(tested, metric)
    trainings = tested.groupby(["seed", "fold"]).ngroups
    for _ in range(sets):
        better = np.concatenate(
            [
                (ours == label).astype(float) - (base == label)
                for ours, base in answers(world, place, random)
            ]
        )
        better = pd.Series(better)
        sure = uncertainty(tested, metric, better)
        bounds = sure.interval(float(weight @ better))
        yield {
            "low": bounds.low,
            "high": bounds.high,
            "p": sure.test(bounds.estimate)[0] if trainings >= MIN_UNITS else np.nan,
        }


def varied(world: World | TrialWorld) -> World | TrialWorld:
    """Return the same world with trainings that differ by a standard deviation of 0.4 logit."""
    return replace(world, of_training=0.25 if isinstance(world, TrialWorld) else TRAINING)
