"""Intervals, tests and power: against hand computations, other libraries, and simulated suites
whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from kdlib.errors import UserError
from kdlib.metrics import eer as error_rate
from kdsuite import paths
from kdsuite.analysis.statistics import trials as of_trials
from kdsuite.analysis.statistics import uncertainty
from kdsuite.analysis.statistics.comparison import compare, corrected, interval, with_seed
from kdsuite.analysis.statistics.power import detectable, detectable_by_t
from kdsuite.analysis.statistics.uncertainty import crossed, leave_one_out, right, sign_flip
from kdsuite.runs import metrics
from tests.analysis.asking import ask
from tests.analysis.designs import ANSWERS, DESIGNS, PAIRS, TRAINING, varied
from tests.analysis.designs import rates as rates_of
from tests.analysis.simulation import (
    NOTHING_TO_GAIN,
    TEACHER_IS_WORSE,
    VIDEO_KNOWS_MORE,
    TrialWorld,
    World,
    simulate,
    simulate_trials,
)

SETS = 500
# 300 tests at 5 % give more than 8 % false alarms, or fewer than 2 %, about once in 100 times
NOMINAL = (0.02, 0.08)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(uncertainty, "FLIPS", 199)


def suite(world=VIDEO_KNOWS_MORE, seed=0, keep=1.0):
    """Return a simulated pair of runs; ``keep`` less than 1 takes recordings away at random, from
    both."""
    distilled, undistilled = simulate(world, np.random.default_rng(seed))
    kept = np.random.default_rng(seed).random(len(distilled)) < keep
    return distilled[kept].reset_index(drop=True), undistilled[kept].reset_index(drop=True)


@pytest.mark.parametrize("metric", ["uar", "accuracy"])
@pytest.mark.parametrize("folds", [24, 5, 1])
def test_the_gain_is_the_mean_over_folds(metric, folds):
    distilled, undistilled = suite(replace(VIDEO_KNOWS_MORE, folds=folds), keep=0.4)
    after, before = (metrics.by_fold(of)[metric].mean() for of in (distilled, undistilled))
    found = compare(distilled, undistilled, metric)
    assert (found.distilled, found.undistilled, found.gain) == pytest.approx(
        (after, before, after - before)
    )
    assert interval(distilled, metric).estimate == pytest.approx(after)
    assert found.low < found.gain < found.high or (
        folds == 1 and np.isnan([found.low, found.high]).all()
    )
    assert (found.folds, found.speakers, found.recordings, found.seeds) == (
        folds,
        24,
        len(distilled),
        1,
    )


def test_seeds_are_averaged_and_the_order_of_rows_does_not_matter():
    world = replace(VIDEO_KNOWS_MORE, seeds=3)
    distilled, undistilled = suite(world)
    found = compare(distilled, undistilled)
    each = [
        compare(*(of[of.seed == seed].drop(columns="seed") for of in (distilled, undistilled)))
        for seed in range(3)
    ]
    assert found.gain == pytest.approx(np.mean([one.gain for one in each]))
    assert (found.seeds, found.trainings, found.recordings) == (3, 72, 24 * 52)
    shuffled = compare(
        distilled.sample(frac=1, random_state=0),
        undistilled.sample(frac=1, random_state=1),
    )
    assert shuffled[1:4] == pytest.approx(found[1:4])


def test_runs_on_other_recordings_are_refused():
    distilled, undistilled = suite()
    with pytest.raises(
        UserError,
        match="seed 0, fold 0, recording 000-0000 is in one of the runs alone",
    ):
        compare(distilled[2:], undistilled)
    with pytest.raises(
        UserError,
        match="seed 0, fold 0, recording 000-0000 occurs twice; number the seeds in a column",
    ):
        compare(distilled, pd.concat([undistilled, undistilled[:1]]))
    with pytest.raises(
        UserError,
        match="seed 0, fold 0, recording 000-0001 is in one of the runs alone, or has another label",
    ):
        compare(
            distilled,
            undistilled.assign(
                label=undistilled.label.mask(undistilled.recording == "000-0001", "other")
            ),
        )
    with pytest.raises(UserError, match="unknown metric 'f1'; choose from uar, accuracy and eer"):
        compare(distilled, undistilled, "f1")


def test_sign_flips_by_hand_and_by_enumeration():
    assert sign_flip(np.arange(1.0, 7)) == pytest.approx(
        2 / 64
    )  # all six are gains: the most that six can say
    found = np.random.default_rng(0).normal(0.5, size=9)
    means = np.array([np.mean(found * signs) for signs in product((-1, 1), repeat=9)])
    assert sign_flip(found) == pytest.approx((np.abs(means) >= abs(found.mean()) - 1e-12).mean())
    assert np.isnan(sign_flip(np.ones(5))) and sign_flip(np.zeros(30)) == 1


@pytest.mark.parametrize("units", [6, 16, 17, 24])
def test_the_least_p_is_that_of_gains_in_all_units(units, monkeypatch):
    monkeypatch.setattr(uncertainty, "FLIPS", 9999)
    gains = np.random.default_rng(0).uniform(1, 2, units)
    assert uncertainty.least_p(units) == pytest.approx(sign_flip(gains))


def test_many_folds_are_sampled_and_agree_with_a_t_test(monkeypatch):
    monkeypatch.setattr(uncertainty, "FLIPS", 9999)
    found = np.random.default_rng(0).normal(0.4, size=40)
    assert sign_flip(found) == pytest.approx(stats.ttest_1samp(found, 0).pvalue, abs=0.01)


@pytest.mark.parametrize(
    ("folds", "seeds", "unit", "tested"),
    [
        (6, 1, "fold", True),
        (5, 1, "fold", False),
        (3, 2, "fold", True),
        (2, 1, "", False),
        (1, 2, "", False),
    ]
    + [
        (1, 3, "speaker and training", False),
        (2, 3, "speaker and training", True),
        (1, 6, "speaker and training", True),
    ],
)
def test_without_six_trainings_there_is_no_p_and_without_three_no_interval(
    folds, seeds, unit, tested
):
    found = compare(
        *suite(replace(VIDEO_KNOWS_MORE, speakers=12, folds=folds, seeds=seeds, recordings=14)),
    )
    assert found.unit == unit and np.isnan([found.low, found.high]).all() == (unit == "")
    numbers = [found.p, found.detectable]
    assert np.isfinite(numbers).all() if tested else np.isnan(numbers).all()
    if folds == 6:  # exact: all six have one sign, or fewer
        assert found.p * 2**6 == pytest.approx(round(found.p * 2**6))
    elif tested:  # the test agrees with the interval
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_crossed_speakers_and_trainings_agree_with_an_analysis_of_variance():
    distilled, undistilled = suite(
        replace(VIDEO_KNOWS_MORE, speakers=8, folds=1, seeds=4, recordings=35, of_training=0.1)
    )
    found = compare(distilled, undistilled, "accuracy")
    better = right(distilled) - right(undistilled)
    each = (
        distilled.assign(better=better).groupby(["speaker", "seed"], as_index=False).better.mean()
    )
    squares = anova_lm(ols("better ~ C(speaker) + C(seed)", each).fit()).mean_sq
    parts = (squares["C(speaker)"], squares["C(seed)"], squares["Residual"])
    assert parts[1] > parts[2]
    error = np.sqrt((parts[0] + parts[1] - parts[2]) / 32)
    freedom = (32 * error**2) ** 2 / (parts[0] ** 2 / 7 + parts[1] ** 2 / 3 + parts[2] ** 2 / 21)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, freedom, each.better.mean(), error)
    )


def test_folds_that_share_speakers_are_no_units_of_their_own():
    distilled, undistilled = suite(replace(VIDEO_KNOWS_MORE, speakers=12, folds=1, recordings=70))
    dealt = [of.assign(fold=np.arange(len(of)) // 7 % 10) for of in (distilled, undistilled)]
    assert compare(*dealt).unit == "speaker and training"


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_a_speaker_who_is_left_out_is_missing_from_the_metric(metric):
    distilled, _ = suite(replace(VIDEO_KNOWS_MORE, folds=1, speakers=8, recordings=70), keep=0.7)
    expected = [
        metrics.METRICS[metric](distilled[distilled.speaker != speaker]) for speaker in range(-1, 8)
    ]
    found = leave_one_out(with_seed(distilled), metric, right(distilled))
    assert found.tolist() == [[pytest.approx(value)] for value in expected]


@pytest.mark.parametrize("column", ["fold", "label"])
def test_a_speaker_who_is_a_fold_or_a_class_is_missing_with_it(column):
    # leaving one actor out, and speaker identification: the mean over those that are left
    distilled, _ = suite(World(speakers=8, folds=8 if column == "fold" else 1, recordings=30))
    distilled[column] = distilled.speaker
    distilled["predicted"] = (
        distilled.predicted
        if column == "fold"
        else (distilled.speaker + distilled.predicted.str.endswith("3")) % 8
    )
    each = np.array([metrics.uar(part) for _, part in distilled.groupby("speaker")])
    found = leave_one_out(with_seed(distilled), "uar", right(distilled))
    if column == "fold":  # each speaker has a student
        assert (
            found[0] == pytest.approx(each) and np.isnan(found[1:]).tolist() == np.eye(8).tolist()
        )
        assert np.nanmax(abs(found[1:] - each)) < 1e-12
    else:
        left = [each.mean(), *((each.sum() - each) / 7)]
        assert found[:, 0] == pytest.approx(np.array(left))


def test_an_interval_over_actors_is_students_t():
    distilled, undistilled = suite()
    ours, base = (metrics.by_fold(of).uar for of in (distilled, undistilled))
    for found, values in (
        (interval(distilled), ours),
        (compare(distilled, undistilled), ours - base),
    ):
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_folds_of_unlike_many_seeds_do_not_widen_the_interval():
    """A gain that is the same in every training is sure, also where a second seed has a part of
    the folds so far."""
    rows = suite()[0].assign(seed=0)
    rows = pd.concat([rows, rows[rows.fold < 2].assign(seed=1)], ignore_index=True)
    distilled, undistilled = rows.assign(predicted=rows.label), rows.assign(predicted="wrong")
    found = compare(distilled, undistilled)
    assert (found.gain, found.low, found.high) == pytest.approx((1, 1, 1))
    # gain, interval and test are of the mean over folds, whatever their numbers of seeds
    unlike = distilled.assign(predicted=distilled.label.where(distilled.fold < 2, "wrong"))
    found, folds = compare(unlike, undistilled), rows.fold.nunique()
    of_folds = np.array([1.0] * 2 + [0.0] * (folds - 2))
    expected = stats.ttest_1samp(of_folds, 0).confidence_interval()
    assert (found.gain, found.low, found.high) == pytest.approx((2 / folds, *expected))


def test_the_error_of_a_mean_over_groups_is_that_of_independent_ones():
    random = np.random.default_rng(0)
    groups = [
        random.normal(size=(4, 3)) + 3 * random.normal(size=(4, 1)) + 2 * random.normal(size=(1, 3))
        for _ in range(2)
    ]
    each = [crossed([group]).error for group in groups]
    assert crossed(groups).error == pytest.approx(np.hypot(*each) / 2)


def test_one_speaker_has_no_interval():
    distilled, undistilled = suite(replace(VIDEO_KNOWS_MORE, speakers=1, folds=1))
    found = compare(distilled, undistilled)
    assert np.isnan([found.low, found.high, found.p, found.detectable]).all() and np.isfinite(
        found.gain
    )


def test_holm_by_hand_leaves_out_what_was_not_run():
    given = pd.Series([0.04, np.nan, 0.01, 0.03], index=list("abcd"))
    found = corrected(given)
    assert found.drop("b").to_dict() == pytest.approx(
        {"a": 0.06, "c": 0.03, "d": 0.06}
    ) and np.isnan(found["b"])
    assert given["a"] == 0.04 and corrected([np.nan]).isna().all()


def test_the_detectable_gain_is_found_in_four_suites_of_five():
    found = np.random.default_rng(0).normal(size=24)
    gain, spread = detectable(found), found.std(ddof=1)
    suites = np.random.default_rng(1).normal(gain, spread, size=(20000, 24))
    assert (stats.ttest_1samp(suites, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        0.8, abs=0.01
    )
    assert np.isnan(detectable(np.ones(24))) and np.isnan(detectable(found[:5]))


def test_the_detectable_gain_of_few_folds_is_that_of_the_exact_test():
    # six folds reach 5 % where all have one sign, so the power is known in closed form
    found = np.random.default_rng(0).normal(size=6)
    effect = optimize.brentq(
        lambda gain: stats.norm.cdf(gain) ** 6 + stats.norm.sf(gain) ** 6 - 0.8, 0.5, 3
    )
    assert detectable(found) == pytest.approx(effect * found.std(ddof=1), rel=0.01)
    assert stats.norm.cdf(1.4345) ** 6 < 0.66  # at the gain that Student's t detects with 80 %
    eight = np.array([-1.0, 1.0] * 4)
    suites = np.random.default_rng(1).normal(detectable(eight), eight.std(ddof=1), size=(400, 8))
    assert np.mean([sign_flip(suite) < 0.05 for suite in suites]) == pytest.approx(0.8, abs=0.05)


def test_the_detectable_gain_of_a_t_test_is_found_in_four_suites_of_five():
    suites = np.random.default_rng(1).normal(detectable_by_t(1 / np.sqrt(7), 6), 1, size=(20000, 7))
    assert (stats.ttest_1samp(suites, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        0.8, abs=0.01
    )
    assert np.isnan(detectable_by_t(0.0, 6)) and np.isnan(detectable_by_t(np.nan, np.nan))


def test_the_papers_designs(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    found = ask("gains", []).tables["designs"].frame.set_index(["table", "backbone", "setting"])
    # two students that have nothing in common, by Student's t, which the exact test over 24 folds
    # comes up to
    vgg = 6, "vgg", "nonseq"
    error = np.sqrt(0.51 * 0.49 / 2452)
    assert found.standard_error[vgg] == pytest.approx(100 * error) and error == pytest.approx(
        0.01, abs=2e-4
    )
    assert found.detectable_0[vgg] == pytest.approx(100 * detectable_by_t(np.sqrt(2) * error, 23))
    assert len(found) == 27 and found.gain[6, "seresnet", "nonseq"] == pytest.approx(2.9)
    # no gain of the RAVDESS table could have been told from nothing were answers to correlate by
    # one half
    assert (found.gain[6] < found["detectable_0.5"][6]).all() and (
        found["detectable_0"][6] > found["detectable_0.8"][6]
    ).all()
    # one split and five sessions are fewer than six trainings
    assert (
        found.loc[[4, 7], ["detectable_0", "detectable_0.5", "detectable_0.8"]]
        .isna()
        .all(axis=None)
    )


@pytest.mark.parametrize("world", [VIDEO_KNOWS_MORE, NOTHING_TO_GAIN, TEACHER_IS_WORSE])
def test_simulated_answers_are_right_as_often_as_the_world_says(world):
    distilled, undistilled = simulate(
        replace(world, speakers=3000, recordings=28, folds=3000), np.random.default_rng(0)
    )
    assert list(distilled.columns[-7:]) == [f"p_class{number}" for number in range(7)]
    assert {"recording", "speaker", "fold", "label", "predicted"} <= set(
        distilled
    ) and distilled.filter(like="p_").sum(axis=1).std() < 1e-9
    assert metrics.uar(undistilled) == pytest.approx(0.55, abs=0.01)
    assert metrics.accuracy(distilled) - metrics.accuracy(undistilled) == pytest.approx(
        world.gain, abs=0.006
    )
    assert world.gain == pytest.approx({0.8: 0.05, 0.55: 0.0, 0.3: -0.05}[world.video])


@cache
def rates(world: World, suites: int) -> pd.DataFrame:
    """Return the comparison of each of many simulated suites, and whether its interval covers the
    truth."""
    random = np.random.default_rng(0)
    found = pd.DataFrame([compare(*simulate(world, random)) for _ in range(suites)])
    return found.assign(covers=(found.low <= world.gain) & (world.gain <= found.high))


SMALL = {"recordings": 21}


def test_false_alarms_are_as_rare_as_promised_where_there_is_nothing_to_gain():
    found = rates(replace(NOTHING_TO_GAIN, recordings=14), 300)
    assert NOMINAL[0] <= (found.p < 0.05).mean() <= NOMINAL[1]
    assert 0.9 <= found.covers.mean() <= 0.98


# 100 intervals of 95 % cover fewer than 89 times once in 200
QUICKLY = [
    "demo-ravdess, 12 speakers, 3 folds",
    "demo-ravdess and controls, 12 speakers, 6 folds",
    "demo-voxceleb1, 8 speakers to tell, 3 seeds",
]


@pytest.mark.parametrize("trainings", [lambda world: world, varied], ids=["alike", "varied"])
@pytest.mark.parametrize("name", QUICKLY)
def test_intervals_cover_the_truth(name, trainings):
    found = rates_of(trainings(DESIGNS[name]), 100)
    assert 0.89 <= found.coverage and found.alarms <= 0.11


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("trainings", [lambda world: world, varied], ids=["alike", "varied"])
@pytest.mark.parametrize("name", [*DESIGNS, *PAIRS])
def test_intervals_of_every_suite_cover_95_percent(name, trainings):
    found = rates_of(trainings({**DESIGNS, **PAIRS}[name]), SETS)
    noise = 2.6 * np.sqrt(0.05 * 0.95 / SETS)  # of a true 95 %, once in 100
    assert found.coverage == pytest.approx(0.95, abs=0.025 + noise) and found.alarms <= 0.06 + noise


def test_an_interval_over_speakers_alone_would_promise_too_much():
    # why a single training has no interval: speakers of 60 suites, of which the trainings differ
    world, random, covers = (
        replace(ANSWERS, speakers=12, folds=1, of_training=TRAINING),
        np.random.default_rng(0),
        [],
    )
    for _ in range(60):
        distilled, undistilled = simulate(world, random)
        by_speaker = (right(distilled) - right(undistilled)).to_numpy().reshape(12, -1).mean(axis=1)
        covers.append(stats.ttest_1samp(by_speaker, 0).pvalue > 0.05)
        assert np.isnan(compare(distilled, undistilled).low)
    assert np.mean(covers) < 0.85


@pytest.mark.parametrize(("world", "sign"), [(VIDEO_KNOWS_MORE, 1), (TEACHER_IS_WORSE, -1)])
def test_an_effect_is_found_with_its_sign_and_size(world, sign):
    world = replace(world, carried=0.4, **SMALL)
    found = rates(world, 60)
    assert (found.p < 0.05).mean() >= 0.8 and (np.sign(found.gain[found.p < 0.05]) == sign).all()
    assert found.covers.mean() >= 0.85 and found.gain.mean() == pytest.approx(sign * 0.1, abs=0.015)


def test_the_interval_of_a_single_run_covers_the_truth():
    random = np.random.default_rng(0)
    found = [interval(simulate(replace(NOTHING_TO_GAIN, **SMALL), random)[1]) for _ in range(150)]
    assert 0.89 <= np.mean([one.low <= 0.55 <= one.high for one in found]) <= 0.99


def trials(world=None, seed=0):
    return simulate_trials(world or TrialWorld(), np.random.default_rng(seed))


def eer(scored):
    return error_rate(scored.score.to_numpy(), scored.genuine.to_numpy())


def test_error_rates_of_weighted_speakers_are_those_of_repeated_trials(monkeypatch):
    """Weights of one half and one and a half, four times over, are trials once to nine times."""
    monkeypatch.setattr(of_trials, "DRAWS", 3)
    scored, _ = trials(TrialWorld(speakers=6, trials=60))
    scored["score"] = scored.score.round(1)  # equal scores are one threshold
    found = of_trials.error_rates(scored)[:, 0]
    (first, second), speakers = of_trials.numbered(scored)
    drawn = 2 + np.random.default_rng(0).choice((-1, 1), size=(3, speakers))
    assert found[0] == pytest.approx(eer(scored)) and len(set(found)) > 1
    for rate, weight in zip(found[1:], drawn):
        times = np.where(first == second, 2 * weight[first], weight[first] * weight[second])
        assert rate == pytest.approx(eer(scored.loc[scored.index.repeat(times)]))


def test_error_rates_are_compared_by_fold_and_seed():
    distilled, undistilled = trials(TrialWorld(distilled=0.05, trials=400))
    one = compare(distilled, undistilled, "eer")
    base, ours = eer(undistilled), eer(distilled)
    assert (one.undistilled, one.distilled, one.gain) == pytest.approx((base, ours, base - ours))
    assert np.isnan([one.low, one.high, one.p, one.detectable]).all()  # one training
    thrice = [
        pd.concat([of.assign(fold=fold) for fold in range(3)], ignore_index=True)
        for of in (distilled, undistilled)
    ]
    three = compare(*thrice, "eer")
    assert three.gain == pytest.approx(one.gain) and (three.trainings, three.trials) == (3, 1200)
    assert three.low < one.gain < three.high and np.isnan(three.p)
    six = [
        pd.concat([of.assign(seed=seed) for seed in range(6)], ignore_index=True)
        for of in (distilled, undistilled)
    ]
    several = compare(*six, "eer")
    assert (several.p < 0.05) == (several.low > 0) and several.detectable > 0
    alone = interval(thrice[0], "eer")
    assert alone.estimate == pytest.approx(ours) and alone.low < ours < alone.high


def test_other_trials_are_refused():
    distilled, undistilled = trials()
    expected = compare(distilled, undistilled, "eer")
    assert compare(distilled[::-1], undistilled, "eer").gain == expected.gain  # in any order
    with pytest.raises(UserError, match="list trials.txt, trial 0 is in one of the runs alone"):
        compare(distilled[1:], undistilled, "eer")
    with pytest.raises(UserError, match="trial 0 is in one of the runs alone, or has another"):
        compare(distilled.assign(first_speaker=distilled.second_speaker + 1), undistilled, "eer")
    lists = distilled.assign(list=np.where(distilled.trial < 9, "a.txt", "b.txt"))
    with pytest.raises(UserError, match="of several lists; compare one list at a time"):
        interval(lists, "eer")


def test_error_rates_have_few_false_alarms_and_find_an_effect():
    def found(world, suites):
        return [compare(*trials(world, seed), "eer") for seed in range(suites)]

    none = TrialWorld(speakers=16, trials=500, seeds=6, of_training=0.1)
    effect = replace(none, undistilled=0.2)
    quiet, loud = found(none, 50), found(effect, 20)
    assert (
        np.mean([one.p < 0.05 for one in quiet]) <= 0.12
        and np.mean([one.p < 0.05 for one in loud]) >= 0.8
    )
    assert np.mean([one.low <= 0 <= one.high for one in quiet]) >= 0.88
    assert np.mean([one.low <= effect.gain <= one.high for one in loud]) >= 0.85


def test_answers_that_never_differ_have_an_interval_of_no_length():
    """No variance at all gives neither an error nor NaN: the interval is the number itself."""
    alike = crossed([np.full((4, 3), 0.5)])
    assert alike.error == 0 and alike.interval(0.5).low == alike.interval(0.5).high == 0.5
