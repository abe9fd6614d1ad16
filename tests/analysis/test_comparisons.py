"""What a suite's runs prove, from runs on disk whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from kdsuite.analysis.site import listing
from kdsuite.analysis.site.answers import answers
from kdsuite.analysis.site.layout import Links
from kdsuite.analysis.site.summary import headline
from kdsuite.analysis.tables import proven

from kdsuite import places
from kdsuite.analysis import comparisons, results, tables
from kdsuite.analysis.figures import proof
from kdsuite.analysis.statistics.comparison import compare
from kdsuite.runs.grid import Run
from kdsuite.settings import load
from tests.analysis.simulation import World, simulate


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "REPORTS", tmp_path)
    return tmp_path


def leave(settings, predictions=None, stage="student", **metrics) -> Run:
    """Leave what a finished run does: predictions, and a result with every metric by fold."""
    run = Run(stage, settings.canonical(), {})
    run.folder.mkdir(parents=True, exist_ok=True)
    folds = sorted(predictions.fold.unique()) if predictions is not None else range(4)
    if predictions is not None:
        predictions.drop(columns="seed").to_csv(run.folder / "predictions.csv", index=False)
        metrics["uar"] = {fold: _uar(predictions[predictions.fold == fold]) for fold in folds}
    rows = [
        {"fold": int(fold), "recordings": 52, **{name: of[fold] for name, of in metrics.items()}}
        for fold in folds
    ]
    (run.folder / "result.json").write_text(json.dumps({"folds": rows}))
    return run


def _uar(rows):
    return float((rows.predicted == rows.label).groupby(rows.label).mean().mean())


def suite(gain=0.2, **more) -> list[Run]:
    """Return two seeds of an undistilled, a distilled and a control student over four folds; the
    control knows nothing of the gain."""
    runs, random = [], np.random.default_rng(0)
    for seed in (0, 1):
        world = World(
            speakers=16, recordings=42, folds=4, seeds=1, video=0.55 + gain, carried=1.0, **more
        )
        distilled, undistilled = simulate(world, random)
        control, _ = simulate(World(speakers=16, recordings=42, folds=4, carried=0.0), random)
        of = {"dataset": "demo-ravdess", "backbone": "vgg", "seed": seed}
        runs += [
            leave(load(**of, alpha=0), undistilled),
            leave(load(**of, alpha=0.5), distilled),
            leave(load(**of, alpha=0.5, training={"targets": "shuffled"}), control),
        ]
    return runs


def test_comparisons_pair_each_student_with_its_twin_over_seeds():
    runs = suite()
    found = comparisons.compare_runs(runs, tables.collect(runs)).set_index("targets")
    assert list(found.index) == ["teacher", "shuffled"] and list(found.variant) == [
        "",
        "training.targets=shuffled",
    ]
    read = {alpha: pd.concat(results.answers([run for run in runs
                              if run.settings.alpha == alpha and run.settings.training.targets == "teacher"], "uar")) for alpha in (0, 0.5)}  # fmt: skip
    apart = compare(read[0.5], read[0])
    assert (found.gain["teacher"], found.p["teacher"], found.low["teacher"]) == (
        apart.gain,
        apart.p,
        apart.low,
    )
    assert found.gain["teacher"] == pytest.approx(0.2, abs=0.06) and found.low["teacher"] > 0.05
    assert (found.trainings == 8).all() and (found.seeds == 2).all()
    # one student distilled by the teacher, so nothing to correct; a control is no member of its
    # family
    assert found.p_holm["teacher"] == found.p["teacher"] and np.isnan(found.p_holm["shuffled"])
    # eight trainings of four folds, too few to flip their signs: Student's t over folds, which has
    # no least p
    assert found.unit["teacher"] == "fold" and found.p_least["teacher"] == 0
    assert (
        found.method_gain["shuffled"] == found.gain["teacher"]
        and found.over_holm["shuffled"] == found.over_p["shuffled"]
    )
    assert (
        np.isnan(found.over["teacher"])
        and found.over["shuffled"] == pytest.approx(0.2, abs=0.08)
        and found.over_low["shuffled"] > 0
    )


def test_gains_stand_beside_the_linear_baseline_of_the_same_folds():
    runs = suite()
    found = comparisons.compare_runs(runs, tables.collect(runs)).set_index("targets")
    low, high = found.undistilled["teacher"], found.distilled["teacher"]
    assert found.linear.isna().all() and not proven.gains_table(found.reset_index()).below
    # a fifth fold, which no student tested, is left out of the mean
    for values, below, both in (
        ({0: low, 1: high, 2: low, 3: high, 4: 0}, {(0, "undistilled")}, False),
        (dict.fromkeys(range(5), high + 0.01), {(0, "undistilled"), (0, "distilled")}, True),
    ):
        base = load(dataset="demo-ravdess")
        data = Run("data", base, {})
        data.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"fold": fold, "uar": value, "recordings": 52} for fold, value in values.items()]
        (data.folder / "result.json").write_text(json.dumps({"folds": rows}))
        every = [data, *runs]
        found = comparisons.compare_runs(every, tables.collect(every))
        assert found.linear.to_list() == pytest.approx(
            [np.mean([values[fold] for fold in range(4)])] * 2
        )
        made = proven.gains_table(found)
        assert made.below == below and made.frame.both_below_linear.tolist() == [both]
        assert made.text(
            0, next(column for column in made.columns if column.name == "undistilled")
        ).endswith("‡")
        assert any("1 of 1 comparisons" in note for note in made.notes) == both


def test_a_student_without_its_twin_is_left_out():
    runs = suite()[1:3]
    (runs[0].folder.parent / "vgg-nonseq-embedding-a0.00-s0" / "result.json").unlink()
    found = comparisons.compare_runs(runs, tables.collect(runs))
    assert found.empty
    for table in (
        proven.gains_table(found),
        proven.controls_table(found),
        proven.fractions_table(found),
        proven.claims_table(found),
    ):
        assert table.absent or (table.frame.verdict == "not run").all()


def test_controls_of_a_method_that_is_not_done_yet_are_shown_alone():
    runs = [
        run
        for run in suite()
        if run.settings.alpha == 0 or run.settings.training.targets == "shuffled"
    ]
    assert answers([proven.controls_table(comparisons.compare_runs(runs, tables.collect(runs)))])[
        "controls"
    ][0].startswith("Controls were run, but")
    (text,) = (
        proven.controls_table(comparisons.compare_runs(runs, tables.collect(runs)))
        .printed()
        .droplevel(0, axis=1)
        .iterrows()
    )
    text = text[1]
    assert (
        text["targets"] == "of another recording"
        and text["method over control"] == text["p"] == text["kept, %"] == "—"
    )


def test_shares_of_recordings_and_of_labels_stand_apart(reports):
    runs, random = [], np.random.default_rng(0)
    for corpus in ({}, {"fraction": 0.5}, {"labelled": 0.1}):
        distilled, undistilled = simulate(
            World(speakers=16, recordings=42, folds=4, seeds=1, video=0.7, carried=1.0), random
        )
        control, _ = simulate(World(speakers=16, recordings=42, folds=4, carried=0.0), random)
        of = {"dataset": "demo-ravdess", "backbone": "vgg", "corpus": corpus}
        runs += [leave(load(**of, alpha=0), undistilled), leave(load(**of, alpha=0.5), distilled)]
        runs.append(leave(load(**of, alpha=0.5, training={"targets": "shuffled"}), control))
    found = comparisons.compare_runs(runs, tables.collect(runs))
    shares = proven.fractions_table(found).frame
    assert list(zip(shares.fraction, shares.labelled)) == [(50, 100), (100, 10), (100, 100)]
    own = found[found.targets == "teacher"].set_index(["fraction", "labelled"]).gain
    assert [
        100 * own[fraction / 100, labelled / 100]
        for fraction, labelled in zip(shares.fraction, shares.labelled)
    ] == list(shares.gain)
    # each control beside the method in its own regime
    drawn = [
        figure
        for figure in proof.pictures(found, tables.histories(runs), reports)
        if figure.name.startswith("figure-controls")
    ]
    assert [figure.title.split("α = 0.5")[1] for figure in drawn] == [
        ", 50 % of the training set",
        ", 10 % of it labelled",
        "",
    ]
    assert comparisons.sensitivity(runs, tables.collect(runs)).empty


def test_tables_and_answers_say_what_is_proven():
    runs = suite()
    found = comparisons.compare_runs(runs, tables.collect(runs))
    made = [proven.gains_table(found), proven.controls_table(found), proven.claims_table(found)]
    gains, controls, claims = (table.printed() for table in made)
    assert len(gains) == 1 and len(controls) == 1 and len(claims) > 10
    # the control keeps next to nothing of a gain that is there for sure
    assert abs(made[1].frame.kept[0]) < 30
    told = answers(made)
    assert "on average over 1 student; 1 gain for sure, 0 lose for sure" in told["gains"][0]
    assert (
        "students with targets of another recording +" in told["controls"][0]
        and "No corpus of the paper was run" in told["claims"][0]
    )


def test_numbers_that_too_few_trainings_leave_unknown_are_dashes_with_their_reason():
    random, runs = np.random.default_rng(0), []
    for alpha in (0, 0.5):
        world = World(speakers=4, recordings=42, folds=2, video=0.8, carried=1.0 if alpha else 0.0)
        runs.append(
            leave(
                load(dataset="demo-ravdess", backbone="vgg", alpha=alpha),
                simulate(world, random)[0],
            )
        )
    found = comparisons.compare_runs(runs, tables.collect(runs))
    table = proven.gains_table(found)
    (row,) = table.printed().droplevel(0, axis=1).to_dict("records")
    assert {
        row[name] for name in ("95 %", "p", "p, Holm", "at least", "detectable", "tested over")
    } <= {"—", ""}
    notes = " ".join(table.notes)
    assert (
        "nothing detectable (—) with fewer than 6 trainings" in notes
        and "No interval (—) with fewer than three folds" in notes
    )
    assert "none has the 6 trainings" in answers([table])["gains"][0]
    (figure,) = [
        figure
        for figure in proof.pictures(found, tables.histories(runs), places.REPORTS)
        if figure.name.startswith("figure-gains-")
    ]
    assert "no interval" in figure.alt and "nan" not in figure.alt


def test_few_speakers_and_conventions_of_error_rates_are_named():
    found = comparisons.compare_runs(suite(), tables.collect(suite()))
    assert not any("test speakers" in note for note in proven.gains_table(found).notes)
    few = found.assign(speakers=5, metric="eer", conventions=0.042)
    notes = " ".join(proven.gains_table(few).notes)
    assert "fewer than six test speakers (demo-ravdess) an interval may be too short" in notes
    assert "demo-ravdess has few trials" in notes and "differ by up to 4.2 points" in notes
    assert "few trials" not in " ".join(proven.gains_table(few.assign(conventions=0.009)).notes)


@pytest.mark.parametrize(
    ("values", "difference"), [((0.1, 0.12, 0.08), 0.04), ((0.1, 0.1, 0.1), 0.0)]
)
def test_conventions_of_an_error_rate_are_compared_student_by_student(values, difference):
    metrics = dict(zip(("eer", "eer_mean", "eer_max"), values))
    rows = [
        ("demo-voxceleb1", "student", "vgg", "nonseq", "embedding", 0.5, seed, "", f"s{seed}", 0, metric, value + 0.2 * seed, 10)
        for seed in (0, 1) for metric, value in metrics.items()
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=results.COLUMNS)
    assert results.eer_conventions(found, "demo-voxceleb1") == pytest.approx(difference)
    assert np.isnan(results.eer_conventions(found, "demo-ravdess"))


def test_the_first_screen_of_a_suite_without_the_paper_s_corpora_tells_the_first_gain():
    runs = suite()
    numbers = tables.collect(runs)
    made, states = (
        [proven.gains_table(comparisons.compare_runs(runs, numbers))],
        listing.states(runs, numbers),
    )
    gained, levels, done = headline(made, states, Links({}, frozenset(), {}, {}))
    means = numbers[numbers.metric == "uar"].groupby(["alpha", "variant"]).value.mean() * 100
    after, before = means[0.5, ""], means[0, ""]
    assert (
        gained.label == "UAR gained by distillation, mean of 1 student"
        and gained.about == "demo-ravdess"
    )
    assert float(gained.value.removesuffix(" points")) == pytest.approx(after - before, abs=0.1)
    assert levels.value == f"{before:.1f} %, {after:.1f} %" and done.value == "6 of 6"
    assert [number.label for number in headline([], states, Links({}, frozenset(), {}, {}))] == [
        "runs are done"
    ]


def test_nothing_is_gained_where_nothing_is_to_gain():
    runs = suite(gain=0.0)
    found = comparisons.compare_runs(runs, tables.collect(runs))
    assert found.set_index("targets").p_holm["teacher"] > 0.05
    assert np.isnan(proven.controls_table(found).frame.kept[0])  # a share of no gain


def test_alpha_is_chosen_on_validation_recordings():
    """By hand: fold 0 chooses 0.5, fold 1 chooses 1; the test's best is 0.5."""
    held = {0.0: {0: 0.1, 1: 0.1}, 0.5: {0: 0.6, 1: 0.3}, 1.0: {0: 0.4, 1: 0.5}}
    tested = {0.0: {0: 0.3, 1: 0.3}, 0.5: {0: 0.5, 1: 0.7}, 1.0: {0: 0.2, 1: 0.4}}
    rows = [
        ("demo-ravdess", "student", "vgg", "nonseq", "embedding", alpha, 0, "", f"a{alpha}", fold, metric, values[alpha][fold], 10)
        for alpha in held for fold in (0, 1) for metric, values in (("validation_uar", held), ("uar", tested))
    ]  # fmt: skip
    numbers, runs = (
        pd.DataFrame(rows, columns=results.COLUMNS),
        [Run("student", load(dataset="demo-ravdess"), {})],
    )
    (row,) = comparisons.chosen_alpha(runs, numbers).to_dict("records")
    assert row["alphas"] == "0.5, 1" and row["chosen"] == pytest.approx((0.5 + 0.4) / 2)
    assert (
        row["best"] == pytest.approx(0.6)
        and row["best_alpha"] == 0.5
        and row["difference"] == pytest.approx(0.15)
    )
    assert row["undistilled"] == pytest.approx(0.3)
    assert (
        "45.0 % at the α that validation recordings choose, 60.0 %"
        in answers([proven.alpha_table(comparisons.chosen_alpha(runs, numbers))])["alpha"][0]
    )
    assert comparisons.chosen_alpha(runs, numbers[numbers.metric == "uar"]).empty


def test_sensitivity_orders_departures_by_their_effect():
    def of(alpha, value, seed=0, **training):
        settings = load(
            dataset="demo-ravdess", backbone="vgg", alpha=alpha, seed=seed, training=training
        )
        return leave(settings, uar=dict.fromkeys(range(4), value))

    runs = [
        of(0, 0.3),
        of(0.5, 0.4),
        of(0.5, 0.44, seed=1),
        of(0, 0.2, cycle=5.0),
        of(0.5, 0.25, cycle=5.0),
        of(0.5, 0.42, distance="cosine"),
    ]
    found = comparisons.sensitivity(runs, tables.collect(runs)).set_index("departure")
    assert list(found.index) == ["training.cycle=5.0", "training.distance=cosine"]
    assert list(found.effect) == pytest.approx([-0.15, 0.02])
    # the gain falls from 0.10 to 0.05; the distance leaves the undistilled student as it is
    assert list(found.effect_on_gain) == pytest.approx([-0.05, 0.02])
    assert found.luck.iloc[0] == pytest.approx(np.std([0.4, 0.44], ddof=1))
    # against a luck of 2.8 points over two seeds, an effect of 15 points of one training says
    # nothing yet
    assert not found.stands_out.any()
    table = proven.sensitivity_table(comparisons.sensitivity(runs, tables.collect(runs)))
    assert (
        table.frame.question.iloc[1]
        and "Of 2 departures run, none moves the distilled student beyond the luck"
        in answers([table])["ledger"][0]
    )


def test_the_score_of_a_trial_moves_the_error_rate_where_accuracy_stands_still():
    def of(alpha, eer, **training):
        settings = load(dataset="demo-voxceleb1", backbone="vgg", alpha=alpha, training=training)
        return leave(
            settings, accuracy=dict.fromkeys(range(4), 0.4), eer=dict.fromkeys(range(4), eer)
        )

    runs = [
        of(0, 0.3),
        of(0.5, 0.28),
        of(0, 0.25, trial_score="centred"),
        of(0.5, 0.2, trial_score="centred"),
    ]
    found = comparisons.sensitivity(runs, tables.collect(runs)).set_index("metric")
    assert found.effect["eer"] == pytest.approx(-0.08) and found.effect["accuracy"] == 0
    assert found.effect_on_gain["eer"] == pytest.approx(0.03)  # the gain, 2 points, becomes 5


def test_an_effect_far_beyond_the_luck_of_many_seeds_stands_out():
    def of(value, seed=0, **training):
        settings = load(
            dataset="demo-ravdess", backbone="vgg", alpha=0.5, seed=seed, training=training
        )
        return leave(settings, uar=dict.fromkeys(range(4), value))

    runs = [of(0.4 + 0.01 * (seed % 2), seed) for seed in range(5)] + [
        of(0.2, cycle=5.0),
        of(0.41, betas=[0.5, 0.999]),
    ]
    found = comparisons.sensitivity(runs, tables.collect(runs)).set_index("departure")
    assert (
        found.stands_out["training.cycle=5.0"]
        and not found.stands_out["training.betas=[0.5, 0.999]"]
    )
    table = proven.sensitivity_table(comparisons.sensitivity(runs, tables.collect(runs)))
    assert (
        "beyond the luck of the seed: training.cycle=5.0 (−20.0 points)"
        in answers([table])["ledger"][0]
    )


def test_parts_of_the_folds_are_put_together_and_only_what_both_tested_is_compared():
    whole = suite()
    found = comparisons.compare_runs(whole, tables.collect(whole)).set_index("targets")
    parts = []
    for run in whole:
        told = pd.read_csv(run.folder / "predictions.csv").assign(seed=run.settings.seed)
        for part in ("0-1", "2-3"):
            of = told[told.fold.isin([0, 1] if part == "0-1" else [2, 3])]
            if (
                part == "0-1" or run.settings.training.targets == "teacher"
            ):  # the control has done half of the folds
                parts.append(leave(run.settings.model_copy(update={"folds": part}), of))
    again = comparisons.compare_runs(parts, tables.collect(parts)).set_index("targets")
    columns = ["gain", "p", "low", "high", "trainings", "seeds"]
    assert again.loc["teacher", columns].to_list() == found.loc["teacher", columns].to_list()
    assert again.trainings["shuffled"] == 4 and again.over["shuffled"] == pytest.approx(
        0.2, abs=0.1
    )
    # a fold that is there twice, once by itself and once with all, counts once
    twice = comparisons.compare_runs([*whole, *parts], tables.collect([*whole, *parts])).set_index(
        "targets"
    )
    assert twice.loc["teacher", columns].to_list() == found.loc["teacher", columns].to_list()


def test_a_suite_that_departs_throughout_is_judged_all_the_same():
    runs = []
    for run in suite():
        training = run.settings.training.model_copy(update={"epochs": 5, "keep_students": True})
        told = pd.read_csv(run.folder / "predictions.csv").assign(seed=run.settings.seed)
        runs.append(leave(run.settings.model_copy(update={"training": training}), told))
    found = comparisons.compare_runs(runs, tables.collect(runs))
    assert set(found.variant) == {
        "training.epochs=5",
        "training.epochs=5; training.targets=shuffled",
    }  # nothing depends on keep_students
    gains, claims = proven.gains_table(found), proven.claims_table(found)
    assert len(gains.frame) == 1 and (claims.frame.verdict != "not run").any()


def test_answers_that_were_removed_are_left_out():
    runs = suite()
    (runs[1].folder / "predictions.csv").unlink()
    found = comparisons.compare_runs(runs, tables.collect(runs))
    assert found.set_index("targets").seeds["teacher"] == 1  # of two


def test_six_folds_are_told_that_they_prove_nothing_of_many_students():
    random, runs = np.random.default_rng(0), []
    for alpha in (0, 0.25, 0.5, 0.75):
        world = World(speakers=18, recordings=42, folds=6, video=0.8, carried=1.0 if alpha else 0.0)
        runs.append(
            leave(
                load(dataset="demo-ravdess", backbone="vgg", alpha=alpha),
                simulate(world, random)[0],
            )
        )
    found = comparisons.compare_runs(runs, tables.collect(runs))
    assert (found.p == 2 / 2**6).all() and (found.p_least == 3 * 2 / 2**6).all()
    told = answers([proven.gains_table(found)])["gains"][0]
    assert (
        "corrected for their number, so few folds cannot prove anything. Taken alone, 3 gain and 0 lose"
        in told
    )
