"""Intervals, tests and power: against hand computations, other libraries, and simulated suites whose truth is known."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdlib import metrics, statistics
from kdlib.errors import UserError
from kdlib.paper import published
from kdlib.statistics import compare, compare_trials
from kdlib.statistics.resampling import cells, right, shares, with_seed
from kdlib.statistics.trials import _sorted
from tests.simulation import (
    NOTHING_TO_GAIN,
    TEACHER_IS_WORSE,
    VIDEO_KNOWS_MORE,
    TrialWorld,
    World,
    simulate,
    simulate_trials,
)

QUICK = {"draws": 200, "flips": 199}
# 300 tests at 5 % give more than 8 % false alarms, or fewer than 2 %, about once in 100 times
NOMINAL = (0.02, 0.08)


def suite(world=VIDEO_KNOWS_MORE, seed=0, keep=1.0):
    """Return a simulated pair of runs; ``keep`` less than 1 takes recordings away at random, from both."""
    distilled, undistilled = simulate(world, np.random.default_rng(seed))
    kept = np.random.default_rng(seed).random(len(distilled)) < keep
    return distilled[kept].reset_index(drop=True), undistilled[kept].reset_index(drop=True)


@pytest.mark.parametrize("metric", ["uar", "accuracy"])
@pytest.mark.parametrize("folds", [24, 5, 1])
def test_the_gain_is_the_mean_over_folds(metric, folds):
    distilled, undistilled = suite(replace(VIDEO_KNOWS_MORE, folds=folds), keep=0.4)
    after, before = (metrics.by_fold(of)[metric].mean() for of in (distilled, undistilled))
    found = compare(distilled, undistilled, metric, **QUICK)
    assert (found.distilled, found.undistilled, found.gain) == pytest.approx((after, before, after - before))
    assert statistics.interval(distilled, metric, 50).estimate == pytest.approx(after)
    assert found.low < found.gain < found.high
    assert (found.folds, found.speakers, found.recordings, found.seeds) == (folds, 24, len(distilled), 1)


def test_seeds_are_averaged_and_the_order_of_rows_does_not_matter():
    world = replace(VIDEO_KNOWS_MORE, seeds=3)
    distilled, undistilled = suite(world)
    found = compare(distilled, undistilled, **QUICK)
    each = [compare(*(of[of.seed == seed].drop(columns="seed") for of in (distilled, undistilled)), **QUICK) for seed in range(3)]
    assert found.gain == pytest.approx(np.mean([one.gain for one in each]))
    assert (found.seeds, found.trainings, found.recordings) == (3, 72, 24 * 52)
    assert found.p_recordings == each[0].p_recordings  # of one seed: the others heard the same recordings
    shuffled = compare(distilled.sample(frac=1, random_state=0), undistilled.sample(frac=1, random_state=1), **QUICK)
    assert astuple(shuffled)[1:4] == pytest.approx(astuple(found)[1:4])


def test_runs_on_other_recordings_are_refused():
    distilled, undistilled = suite()
    with pytest.raises(
        UserError, match=r"different recordings: 2 are in one of them alone, such as recording '000-0000' of fold 0, seed 0"
    ):
        compare(distilled[2:], undistilled)
    with pytest.raises(UserError, match="recording '000-0000' of fold 0, seed 0 is there twice in the undistilled predictions; give each"):
        compare(distilled, pd.concat([undistilled, undistilled[:1]]))
    with pytest.raises(UserError, match="recording '000-0001' of fold 0, seed 0 has another label in the undistilled run"):
        compare(distilled, undistilled.assign(label=undistilled.label.mask(undistilled.recording == "000-0001", "other")))
    with pytest.raises(UserError, match="unknown metric 'eer'; known are uar, accuracy"):
        compare(distilled, undistilled, "eer")


def test_sign_flips_by_hand_and_by_enumeration():
    assert statistics.sign_flip(np.arange(1.0, 7)) == pytest.approx(2 / 64)  # all six are gains: the most that six can say
    found = np.random.default_rng(0).normal(0.5, size=9)
    means = np.array([np.mean(found * signs) for signs in product((-1, 1), repeat=9)])
    assert statistics.sign_flip(found) == pytest.approx((np.abs(means) >= abs(found.mean()) - 1e-12).mean())
    assert np.isnan(statistics.sign_flip(np.ones(1))) and statistics.sign_flip(np.zeros(30), 99) == 1


def test_many_folds_are_sampled_and_agree_with_a_t_test():
    found = np.random.default_rng(0).normal(0.4, size=40)
    assert statistics.sign_flip(found) == pytest.approx(stats.ttest_1samp(found, 0).pvalue, abs=0.01)


def test_mcnemar_is_the_binomial_test_of_the_discordant():
    distilled, undistilled = suite()
    ours, base = right(distilled), right(undistilled)
    expected = stats.binomtest(int((ours & ~base).sum()), int((ours != base).sum())).pvalue
    assert compare(distilled, undistilled, **QUICK).p_recordings == pytest.approx(expected)
    assert compare(distilled, distilled, **QUICK).p_recordings == 1


@pytest.mark.parametrize(("folds", "seeds", "unit"), [(6, 1, "fold"), (5, 1, "speaker"), (1, 1, "speaker"), (1, 6, "speaker and training")])
def test_too_few_folds_for_a_test_leave_speakers_and_trainings(folds, seeds, unit):
    found = compare(*suite(replace(VIDEO_KNOWS_MORE, folds=folds, seeds=seeds, recordings=14)), **QUICK)
    assert found.unit == unit and np.isnan(found.p_folds) == (folds == 1)
    assert found.p == {"fold": found.p_folds, "speaker": found.p_speakers}.get(unit, max(found.p_speakers, found.p_trainings))


def test_a_speaker_drawn_twice_counts_as_two_speakers():
    distilled, _ = suite(replace(VIDEO_KNOWS_MORE, folds=1, speakers=8, recordings=70))
    drawn = np.array([2, 0, 1, 1, 0, 3, 1, 0])
    copies = [distilled[distilled.speaker == speaker] for speaker, times in enumerate(drawn) for _ in range(times)]
    for metric, by_hand in metrics.METRICS.items():
        of = cells(shares(with_seed(distilled), metric), distilled.speaker, right(distilled))
        assert of.mean(drawn[None].astype(float))[0] == pytest.approx(by_hand(pd.concat(copies)))


@pytest.mark.parametrize("column", ["fold", "label"])
def test_a_speaker_who_is_a_fold_or_a_class_counts_as_often_as_drawn(column):
    # leaving one actor out, and speaker identification: the mean over those drawn, the twice drawn twice
    distilled, _ = suite(World(speakers=8, folds=8 if column == "fold" else 1, recordings=30))
    distilled[column] = distilled.speaker
    distilled["predicted"] = distilled.predicted if column == "fold" else (distilled.speaker + distilled.predicted.str.endswith("3")) % 8
    each = np.array([metrics.uar(part) for _, part in distilled.groupby("speaker")])
    drawn = np.array([[2, 0, 1, 1, 0, 3, 1, 0.0]])
    of = cells(shares(with_seed(distilled), "uar"), distilled.speaker, right(distilled))
    assert of.mean(drawn)[0] == pytest.approx((drawn[0] * each).sum() / 8)


def test_an_interval_over_actors_is_near_students_t():
    distilled, _ = suite()
    found = statistics.interval(distilled, draws=4000)
    by_actor = metrics.by_fold(distilled).uar
    expected = stats.t.interval(0.95, 23, by_actor.mean(), by_actor.sem())
    assert (found.low, found.high) == pytest.approx(expected, abs=0.006)
    assert found.high - found.low == pytest.approx(np.ptp(expected), rel=0.08)


def test_one_speaker_has_no_interval():
    distilled, undistilled = suite(replace(VIDEO_KNOWS_MORE, speakers=1, folds=1))
    found = compare(distilled, undistilled, **QUICK)
    assert np.isnan([found.low, found.high, found.p, found.detectable]).all() and np.isfinite([found.gain, found.p_recordings]).all()


def test_holm_by_hand_leaves_out_what_was_not_run():
    given = pd.Series([0.04, np.nan, 0.01, 0.03], index=list("abcd"))
    found = statistics.corrected(given)
    assert found.drop("b").to_dict() == pytest.approx({"a": 0.06, "c": 0.03, "d": 0.06}) and np.isnan(found["b"])
    assert given["a"] == 0.04 and statistics.corrected([np.nan]).isna().all()


def test_the_detectable_gain_is_found_in_four_suites_of_five():
    found = np.random.default_rng(0).normal(size=24)
    gain, spread = statistics.detectable(found), found.std(ddof=1)
    suites = np.random.default_rng(1).normal(gain, spread, size=(20000, 24))
    assert (stats.ttest_1samp(suites, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)
    assert np.isnan(statistics.detectable(np.ones(24))) and np.isnan(statistics.detectable(found[:2]))


def test_the_papers_designs():
    assert statistics.standard_error(0.55, 2452) == pytest.approx(0.0100, abs=5e-5)
    # two students that have nothing in common, by the normal approximation: (1.96 + 0.84)·√2·0.01
    assert statistics.design(2452, 0.55, correlation=0) == pytest.approx(
        2.8016 * np.sqrt(2) * statistics.standard_error(0.55, 2452), rel=1e-3
    )
    assert statistics.design(2452, 0.55, 24, spread=0.03) > statistics.design(2452, 0.55, 24) > statistics.design(2452, 0.55)
    found = statistics.paper_designs(published()).set_index(["table", "backbone", "setting"])
    assert len(found) == 27 and found.gain[6, "seresnet", "nonseq"] == pytest.approx(2.9)
    # no gain of the RAVDESS table could have been told from nothing were answers to correlate by one half
    assert (found.gain[6] < found["detectable_0.5"][6]).all() and (found["detectable_0"] > found["detectable_0.8"]).all()


@pytest.mark.parametrize("world", [VIDEO_KNOWS_MORE, NOTHING_TO_GAIN, TEACHER_IS_WORSE])
def test_simulated_answers_are_right_as_often_as_the_world_says(world):
    distilled, undistilled = simulate(replace(world, speakers=3000, recordings=28, folds=3000), np.random.default_rng(0))
    assert list(distilled.columns[-7:]) == [f"p_class{number}" for number in range(7)]
    assert {"recording", "speaker", "fold", "label", "predicted"} <= set(distilled) and distilled.filter(like="p_").sum(axis=1).std() < 1e-9
    assert metrics.uar(undistilled) == pytest.approx(0.55, abs=0.01)
    assert metrics.accuracy(distilled) - metrics.accuracy(undistilled) == pytest.approx(world.gain, abs=0.006)
    assert world.gain == pytest.approx({0.8: 0.05, 0.55: 0.0, 0.3: -0.05}[world.video])


@cache
def rates(world: World, suites: int) -> pd.DataFrame:
    """Return the comparison of each of many simulated suites, and whether its interval covers the truth."""
    random = np.random.default_rng(0)
    found = pd.DataFrame([compare(*simulate(world, random), **QUICK, seed=seed) for seed in range(suites)])
    return found.assign(covers=(found.low <= world.gain) & (world.gain <= found.high))


SMALL = {"recordings": 21}


def test_false_alarms_are_as_rare_as_promised_where_there_is_nothing_to_gain():
    found = rates(replace(NOTHING_TO_GAIN, recordings=14), 300)
    alarms = (found[["p", "p_folds", "p_speakers"]] < 0.05).mean()
    assert alarms.between(*NOMINAL).all()
    assert 0.9 <= found.covers.mean() <= 0.98


def test_every_test_is_nominal_where_all_trainings_come_out_alike():
    found = rates(replace(NOTHING_TO_GAIN, **SMALL, folds=1, speakers=30, of_training=0.0), 100)
    alarms = (found[["p", "p_speakers", "p_recordings"]] < 0.05).mean()
    assert alarms.between(0.01, 0.1).all() and 0.9 <= found.covers.mean()


def test_luck_in_training_deceives_tests_that_take_the_students_as_given_but_not_six_seeds():
    lucky = replace(NOTHING_TO_GAIN, folds=1, speakers=40, recordings=14, of_training=0.02)
    alone = rates(lucky, 50)
    assert (alone[["p_speakers", "p_recordings"]] < 0.05).mean().min() > 0.3
    several = rates(replace(lucky, seeds=6), 50)
    assert (several.p < 0.05).mean() <= 0.12 and several.covers.mean() >= 0.88 and alone.covers.mean() < 0.6


@pytest.mark.parametrize(("world", "sign"), [(VIDEO_KNOWS_MORE, 1), (TEACHER_IS_WORSE, -1)])
def test_an_effect_is_found_with_its_sign_and_size(world, sign):
    world = replace(world, carried=0.4, **SMALL)
    found = rates(world, 60)
    assert (found.p < 0.05).mean() >= 0.8 and (np.sign(found.gain[found.p < 0.05]) == sign).all()
    assert found.covers.mean() >= 0.85 and found.gain.mean() == pytest.approx(sign * 0.1, abs=0.015)


def test_the_interval_of_a_single_run_covers_the_truth():
    random = np.random.default_rng(0)
    found = [statistics.interval(simulate(replace(NOTHING_TO_GAIN, **SMALL), random)[1], draws=200) for _ in range(150)]
    assert 0.89 <= np.mean([one.low <= 0.55 <= one.high for one in found]) <= 0.99


def trials(world=None, seed=0):
    return simulate_trials(world or TrialWorld(), np.random.default_rng(seed))


@pytest.mark.parametrize("convention", list(metrics.EER))
def test_error_rates_of_drawn_speakers_are_those_of_repeated_trials(convention):
    world = TrialWorld(speakers=6, trials=60)
    scored, _, first, second = trials(world)
    scored["score"] = scored.score.round(1)  # equal scores are one threshold
    drawn = np.array([2, 1, 0, 1, 1, 3])
    times = np.where(first == second, drawn[first], drawn[first] * drawn[second])
    repeated = scored.loc[scored.index.repeat(times)]
    (of,) = _sorted(scored.assign(seed=0), first, second)
    for frame, weight in ((scored, np.ones(6)), (repeated, drawn)):
        assert of.eer(weight, convention) == pytest.approx(metrics.eer(frame.score.to_numpy(), frame.genuine.to_numpy(), convention))


def test_error_rates_are_compared_by_fold_and_seed():
    distilled, undistilled, first, second = trials(TrialWorld(distilled=0.05, trials=400))
    one = compare_trials(distilled, undistilled, first, second, draws=50)
    base, ours = (metrics.eer(of.score.to_numpy(), of.genuine.to_numpy()) for of in (undistilled, distilled))
    assert (one.undistilled, one.distilled, one.gain) == pytest.approx((base, ours, base - ours))
    names = np.array([f"id{number}" for number in range(40)])
    twice = [pd.concat([of, of.assign(fold=1)], ignore_index=True) for of in (distilled, undistilled)]
    both = compare_trials(*twice, names[np.tile(first, 2)], names[np.tile(second, 2)], draws=50)
    assert both.gain == pytest.approx(one.gain) and both.low == pytest.approx(one.low) and (both.trainings, both.trials) == (2, 800)
    six = [pd.concat([of.assign(seed=seed) for seed in range(6)], ignore_index=True) for of in (distilled, undistilled)]
    assert compare_trials(*six, np.tile(first, 6), np.tile(second, 6), draws=50).p == pytest.approx(max(one.p, 2 / 64))
    alone = statistics.trial_interval(distilled, first, second, draws=50)
    assert alone.estimate == pytest.approx(ours) and alone.low < ours < alone.high


def test_other_trials_are_refused():
    distilled, undistilled, first, second = trials()
    with pytest.raises(UserError, match="the runs scored different trials; compare runs of the same lists"):
        compare_trials(distilled[::-1], undistilled, first, second)
    with pytest.raises(UserError, match="2000 trials have 1999 first and 2000 second speakers"):
        compare_trials(distilled, undistilled, first[1:], second)
    lists = distilled.assign(list=np.where(distilled.trial < 9, "a.txt", "b.txt"))
    with pytest.raises(UserError, match=r"several lists \(a.txt, b.txt\); compare one list at a time"):
        statistics.trial_interval(lists, first, second)


def test_error_rates_have_few_false_alarms_and_find_an_effect():
    def found(world, suites):
        return [compare_trials(*trials(world, seed), draws=80, seed=seed) for seed in range(suites)]

    none, effect = TrialWorld(trials=1200), TrialWorld(trials=1200, distilled=0.03)
    quiet, loud = found(none, 100), found(effect, 30)
    assert np.mean([one.p < 0.05 for one in quiet]) <= 0.08 and np.mean([one.p < 0.05 for one in loud]) >= 0.8
    assert np.mean([one.low <= 0 <= one.high for one in quiet]) >= 0.92
    assert np.mean([one.low <= effect.gain <= one.high for one in loud]) >= 0.85
