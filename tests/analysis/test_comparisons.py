"""What a suite's runs prove, from runs on disk whose truth is known."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest

from kdsuite import paths
from kdsuite.analysis import comparisons, results
from kdsuite.analysis.statistics.comparison import compare, corrected
from kdsuite.runs import grid
from kdsuite.runs.run import Run
from kdsuite.settings import load
from tests.analysis.asking import ask
from tests.analysis.simulation import World, simulate


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    return tmp_path


def leave(settings, predictions=None, stage="student", folds=range(4), **metrics) -> Run:
    """Leave what a finished run does: predictions, and a result with every metric by fold."""
    run = Run(stage, settings.canonical())
    run.folder.mkdir(parents=True, exist_ok=True)
    if predictions is not None:
        folds = sorted(predictions.fold.unique())
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
    found = comparisons.compare_runs(runs, results.collect(runs)).set_index("targets")
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
    found = comparisons.compare_runs(runs, results.collect(runs)).set_index("targets")
    low, high = found.undistilled["teacher"], found.distilled["teacher"]
    assert found.linear.isna().all() and not any(
        ask("gains", runs).tables["gains"].marks["distilled"]
    )
    # a fifth fold, which no student tested, is left out of the mean
    for values, marks in (
        ({0: low, 1: high, 2: low, 3: high, 4: 0}, ("‡", "")),
        (dict.fromkeys(range(5), high + 0.01), ("‡", "‡")),
    ):
        data = Run("data", load(dataset="demo-ravdess"))
        data.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"fold": fold, "uar": value, "recordings": 52} for fold, value in values.items()]
        (data.folder / "result.json").write_text(json.dumps({"folds": rows}))
        every = [data, *runs]
        found = comparisons.compare_runs(every, results.collect(every))
        expected = [np.mean([values[fold] for fold in range(4)])] * 2
        assert found.linear.to_list() == pytest.approx(expected)
        made = ask("gains", every).tables["gains"]
        assert (made.marks["undistilled"][0], made.marks["distilled"][0]) == marks
        assert made.text().undistilled[0].endswith("‡")
        both = marks == ("‡", "‡")
        assert made.frame.both_below_linear.tolist() == [both]
        assert any("1 of 1 comparisons" in note for note in made.notes) == both


def test_the_teacher_beside_several_seeds_is_the_mean_of_theirs():
    runs = suite()
    for seed, value in ((0, 0.2), (1, 0.6)):
        teacher = Run("teacher", load(dataset="demo-ravdess", backbone="vgg", seed=seed))
        runs.append(leave(teacher.settings, stage="teacher", uar=dict.fromkeys(range(4), value)))
    found = comparisons.compare_runs(runs, results.collect(runs)).set_index("targets")
    assert found.teacher.to_list() == pytest.approx([0.4, 0.4])


def test_a_student_without_its_baseline_is_left_out():
    runs = suite()[1:3]
    (runs[0].folder.parent / "vgg-nonseq-embedding-a0.00-s0" / "result.json").unlink()
    assert comparisons.compare_runs(runs, results.collect(runs)).empty
    gains = ask("gains", runs)
    assert gains.tables["gains"].absent and gains.tables["fractions"].absent
    assert gains.figures["figure-gains"].missing and gains.text == "Nothing was run for this."
    controls = ask("controls", runs)
    assert controls.tables["controls"].absent and controls.figures["figure-controls"].missing
    assert (ask("claims", runs).tables["claims"].frame.verdict == "not run").all()


def test_controls_of_a_method_that_is_not_done_yet_are_shown_alone():
    runs = [
        run
        for run in suite()
        if run.settings.alpha == 0 or run.settings.training.targets == "shuffled"
    ]
    made = ask("controls", runs)
    assert made.text.startswith("Controls were run, but")
    (row,) = made.tables["controls"].text().to_dict("records")
    assert row["targets"] == "of another recording"
    assert row["over"] == row["over_p"] == row["kept"] == "—"


def test_a_control_of_one_seed_stands_beside_its_method_of_that_seed():
    runs = suite()
    first = [run for run in runs if run.settings.seed == 0]
    every = [run for run in runs if run in first or run.settings.training.targets == "teacher"]
    found, alone = (
        comparisons.compare_runs(of, results.collect(of)).set_index("targets")
        for of in (every, first)
    )
    assert found.method_gain["shuffled"] == alone.gain["teacher"] != found.gain["teacher"]


def test_a_control_of_a_part_of_the_folds_stands_beside_its_method_of_these_folds():
    world = World(speakers=16, recordings=42, folds=4, seeds=1, video=0.75, carried=1.0)
    distilled, undistilled = simulate(world, np.random.default_rng(0))
    of, shuffled = {"dataset": "demo-ravdess", "backbone": "vgg"}, {"targets": "shuffled"}
    runs = [leave(load(**of, alpha=0), undistilled), leave(load(**of, alpha=0.5), distilled)]
    part = undistilled[undistilled.fold < 2]
    runs.append(leave(load(**of, alpha=0.5, folds="0-1", training=shuffled), part))
    found = comparisons.compare_runs(runs, results.collect(runs)).set_index("targets")
    on_part = compare(*(rows[rows.fold < 2] for rows in (distilled, undistilled)), "uar")
    assert found.method_gain["shuffled"] == found.over["shuffled"] == on_part.gain
    assert found.gain["teacher"] != on_part.gain


def test_a_control_stands_beside_its_own_method_and_its_own_epochs():
    runs, random = [], np.random.default_rng(0)
    for epochs, (method, gain) in product((20, 10), (("embedding", 0.3), ("softlabel", 0.9))):
        of = {"dataset": "demo-ravdess", "backbone": "vgg", "training": {"epochs": epochs}}
        world = World(speakers=16, recordings=42, folds=4, seeds=1, video=0.7, carried=gain)
        distilled, undistilled = simulate(world, random)
        control, _ = simulate(World(speakers=16, recordings=42, folds=4, carried=0.0), random)
        if method == "embedding":
            runs.append(leave(load(**of, alpha=0), undistilled))
        runs.append(leave(load(**of, method=method, alpha=0.5), distilled))
        of["training"] = {"epochs": epochs, "targets": "shuffled"}
        runs.append(leave(load(**of, method=method, alpha=0.5), control))
    found = comparisons.compare_runs(runs, results.collect(runs))
    found["rest"] = results.without(found.variant, "training.targets")
    own = found[found.targets == "teacher"].set_index(["method", "rest"]).gain
    controls = found[found.targets == "shuffled"]
    assert len(controls) == 4 and own.is_unique
    assert all(row.method_gain == own[row.method, row.rest] for row in controls.itertuples())
    made = ask("controls", runs)
    titles = [figure.title.split("α = 0.5")[1] for figure in made.figures.values()]
    assert sorted(titles) == ["", ", training.epochs=10"]
    labels = ["the paper’s method", "of another recording"]
    labels += ["soft labels", "soft labels: of another recording"]
    assert all(made.pictures[name].data.label.to_list() == labels for name in made.figures)
    told = "soft labels: gain of the teacher’s targets over targets of another recording"
    assert made.text.count(told) == 2


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
    found = comparisons.compare_runs(runs, results.collect(runs))
    shares = ask("gains", runs).tables["fractions"].frame
    assert list(zip(shares.fraction, shares.labelled)) == [(50, 100), (100, 10), (100, 100)]
    own = found[found.targets == "teacher"].set_index(["fraction", "labelled"]).gain
    places = zip(shares.fraction / 100, shares.labelled / 100)
    assert [100 * own[place] for place in places] == list(shares.gain)
    # each control beside the method in its own regime
    titles = [figure.title.split("α = 0.5")[1] for figure in ask("controls", runs).figures.values()]
    assert titles == [", 50 % of the training set", ", 10 % of it labelled", ""]
    assert sensitivity(runs).empty


def test_the_curve_over_labels_has_each_share_once():
    """Targets of the teacher and the two controls that tell less; at the nearest α of the page."""
    runs, random = [], np.random.default_rng(0)
    own = {"targets": "shuffled_in_class"}
    kinds = [{}, {"targets": "random"}, own, {"targets": "shuffled"}]
    students = [(0, {}, {}), (0.25, {}, {}), *((0.5, {}, of) for of in kinds)]
    students += [(0.5, {"method": "softlabel"}, of) for of in kinds[:3]]
    third = {}  # a seed that only some points have
    world = World(speakers=16, recordings=42, folds=4, seeds=1, video=0.7, carried=1.0)
    for labelled, seed, (alpha, method, training) in product((0.1, 0.3, 1.0), (0, 1), students):
        distilled, undistilled = simulate(world, random)
        of = {"dataset": "demo-ravdess", "backbone": "vgg", "corpus": {"labelled": labelled}}
        predictions = distilled if alpha else undistilled
        settings = load(**of, **method, seed=seed, alpha=alpha, training=training)
        runs.append(leave(settings, predictions))
        if method == training == {} and labelled == 0.3 and not seed:
            third[alpha] = leave(load(**of, seed=2, alpha=alpha), predictions)
    made = ask("gains", [*runs, *third.values()], alpha=0.6, saved=True)
    name = "figure-labels-demo-ravdess-uar-vgg-nonseq"
    drawn = made.pictures[name].data
    assert not drawn.duplicated(["kind", "labelled"]).any() and (drawn.alpha == 0.5).all()
    assert drawn.kind.value_counts().to_dict() == dict.fromkeys(
        (
            "embedding teacher", "embedding random", "embedding shuffled_in_class",
            "softlabel teacher", "softlabel random", "softlabel shuffled_in_class",
        ), 3,
    )  # fmt: skip
    found = comparisons.compare_runs(runs, results.collect(runs))
    found = found[found.alpha == 0.5].set_index(["method", "targets", "labelled"])
    for row in drawn.itertuples():
        place = *row.kind.split(), row.labelled
        assert (row.gain, row.low, row.high) == tuple(found.loc[place, ["gain", "low", "high"]])
    assert "10 % labelled, embedding (the paper's): " in made.figures[name].alt
    random = drawn[(drawn.kind == "embedding random") & (drawn.low > 0)].labelled
    assert len(random)
    shares = " and ".join(f"{100 * share:g} %" for share in random)
    assert f"random vectors: with {shares} of the labels the interval lies above zero." in made.text
    # of fewer than six trainings it is not known whether others would gain
    one_seed = ask("gains", [run for run in runs if run.settings.seed == 0])
    assert "random vectors: with no share of the labels" in one_seed.text
    # of two shares no curve is drawn
    two = [run for run in runs if run.settings.corpus.labelled > 0.1]
    assert name not in ask("gains", two).figures


def test_tables_and_answers_say_what_is_proven():
    runs = suite()
    gains, controls, claims = (ask(name, runs) for name in ("gains", "controls", "claims"))
    assert len(gains.tables["gains"].frame) == len(controls.tables["controls"].frame) == 1
    assert len(claims.tables["claims"].frame) > 10
    # the control keeps next to nothing of a gain that is there for sure
    assert abs(controls.tables["controls"].frame.kept[0]) < 30
    assert "on average over 1 comparison; 1 gain and 0 lose significantly" in gains.text
    assert "gain of the teacher’s targets over targets of another recording +" in controls.text
    assert "No corpus of the paper was run" in claims.text
    assert claims.files["claims.csv"].equals(claims.tables["claims"].frame)


def test_an_answer_corrects_for_the_overrides_too():
    """Of students that gain nothing one of forty differs by luck; the count of proven gains must
    not hold that for proof because each override has a table row of its own."""
    random, runs = np.random.default_rng(0), []
    for number in range(12):
        own = {"training": {"batch_size": 4 + number}}
        world = World(speakers=16, recordings=42, folds=10, seeds=1, video=0.55, carried=1.0)
        for alpha, predictions in zip((0.5, 0), simulate(world, random)):
            settings = load(dataset="demo-ravdess", backbone="vgg", alpha=alpha, **own)
            runs.append(leave(settings, predictions))
    found = comparisons.compare_runs(runs, results.collect(runs))
    proven = (corrected(found.p) < 0.05).sum()
    assert (found[found.gain > 0].p_holm < 0.05).sum() > proven
    text = ask("gains", runs).text
    assert f"{proven} gain and 0 lose significantly, corrected for their number" in text


def test_a_suite_without_the_proposed_method_has_an_answer():
    world = World(speakers=16, recordings=42, folds=4, seeds=1, video=0.75, carried=1.0)
    distilled, undistilled = simulate(world, np.random.default_rng(0))
    of = {"dataset": "demo-ravdess", "backbone": "vgg"}
    runs = [leave(load(**of, alpha=0), undistilled)]
    runs.append(leave(load(**of, method="softlabel", alpha=0.5), distilled))
    text = ask("gains", runs).text
    assert "points on average over 1 comparison of other methods; none has the 6" in text


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
    made = ask("gains", runs)
    (row,) = made.tables["gains"].text().to_dict("records")
    names = ("low:high", "p", "p_holm", "p_least", "detectable", "unit")
    assert {row[name] for name in names} <= {"—", ""}
    notes = " ".join(made.tables["gains"].notes)
    assert "nothing detectable (—) with fewer than 6 trainings" in notes
    assert "No interval (—) with fewer than three folds" in notes
    assert "none has the 6 trainings" in made.text
    (figure,) = made.figures.values()
    assert "no interval" in figure.alt and "nan" not in figure.alt


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
    runs = [run for run in suite() if run.settings.training.targets == "teacher"]
    layout = {"corpus": runs[0].settings.corpus.model_copy(update={"layout": "manifest"})}
    runs = [
        leave(run.settings.model_copy(update=layout), answers)
        for run, answers in zip(runs, results.answers(runs, "uar"))
    ]
    numbers = results.collect(runs)
    means = numbers[numbers.metric == "uar"].groupby("alpha").value.mean() * 100
    (numbers,) = ask("results", runs).shown[-1:]
    assert f"{means[0]:.1f} %, {means[0.5]:.1f} %" in numbers.data and "4 of 4" in numbers.data
    assert "gained by distillation, mean of 1" in numbers.data
    assert f"{means[0.5] - means[0]:+.1f} points" in numbers.data


def test_nothing_is_gained_where_nothing_is_to_gain():
    runs = suite(gain=0.0)
    found = comparisons.compare_runs(runs, results.collect(runs))
    assert found.set_index("targets").p_holm["teacher"] > 0.05
    assert np.isnan(ask("controls", runs).tables["controls"].frame.kept[0])  # a share of no gain


def test_alpha_is_chosen_on_validation_recordings():
    """By hand: fold 0 chooses 0.5, fold 1 chooses 1; the test's best is 0.5."""
    held = {0.0: {0: 0.1, 1: 0.1}, 0.5: {0: 0.6, 1: 0.3}, 1.0: {0: 0.4, 1: 0.5}}
    tested = {0.0: {0: 0.3, 1: 0.3}, 0.5: {0: 0.5, 1: 0.7}, 1.0: {0: 0.2, 1: 0.4}}

    def choice(*metrics):
        runs = [
            leave(
                load(dataset="demo-ravdess", backbone="vgg", alpha=alpha),
                folds=(0, 1),
                **{name: {"uar": tested, "validation_uar": held}[name][alpha] for name in metrics},
            )
            for alpha in held
        ]
        return ask("alpha", runs).tables["alpha-choice"].frame

    (row,) = choice("uar", "validation_uar").to_dict("records")
    assert row["alphas"] == "0.5, 1" and row["chosen"] == pytest.approx(100 * (0.5 + 0.4) / 2)
    assert (row["best"], row["difference"]) == pytest.approx((60, 15)) and row["best_alpha"] == 0.5
    assert row["undistilled"] == pytest.approx(30)
    assert choice("uar").empty


def sensitivity(runs) -> pd.DataFrame:
    """Return the effects of overrides, in percentage points."""
    return ask("ledger", runs).tables["sensitivity"].frame


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
        of(0, 0.2, batch_size=4),
        of(0.5, 0.25, batch_size=4),
        of(0.5, 0.42, distance="cosine"),
    ]
    found = sensitivity(runs).set_index("departure")
    assert list(found.index) == ["training.batch_size=4", "training.distance=cosine"]
    assert list(found.effect) == pytest.approx([-15, 2])
    # the gain falls from 0.10 to 0.05; the distance leaves the undistilled student as it is
    assert list(found.effect_on_gain) == pytest.approx([-5, 2])
    assert found.luck.iloc[0] == pytest.approx(np.std([40, 44], ddof=1))
    # against a luck of 2.8 points over two seeds, an effect of 15 points of one training says
    # nothing yet
    assert not found.stands_out.any()
    made = ask("ledger", runs)
    assert made.tables["sensitivity"].frame.question.iloc[1]
    assert "Of 2 overrides run, none has a significant effect on the distilled student" in made.text


def test_the_gain_of_an_override_is_over_its_own_undistilled_student():
    def of(alpha, value, **training):
        settings = load(dataset="demo-ravdess", backbone="vgg", alpha=alpha, training=training)
        return leave(settings, uar=dict.fromkeys(range(4), value))

    runs = [
        of(0, 0.3),
        of(0.5, 0.4),
        of(0, 0.2, batch_size=4),
        of(0.5, 0.28, batch_size=4, distance="cosine"),
        of(0.5, 0.25, epochs=40),
    ]
    gains = sensitivity(runs).set_index("departure").effect_on_gain
    # the undistilled student does not depend on the distance
    assert gains["training.batch_size=4; training.distance=cosine"] == pytest.approx(-2)
    # nor is its own one done where epochs differ
    assert np.isnan(gains["training.epochs=40"])


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
    found = sensitivity(runs).set_index("metric")
    assert found.effect["eer"] == pytest.approx(-8) and found.effect["accuracy"] == 0
    assert found.effect_on_gain["eer"] == pytest.approx(3)  # the gain, 2 points, becomes 5


def test_an_effect_far_beyond_the_luck_of_many_seeds_stands_out():
    def of(value, seed=0, **training):
        settings = load(
            dataset="demo-ravdess", backbone="vgg", alpha=0.5, seed=seed, training=training
        )
        return leave(settings, uar=dict.fromkeys(range(4), value))

    runs = [of(0.4 + 0.01 * (seed % 2), seed) for seed in range(5)] + [
        of(0.2, batch_size=4),
        of(0.41, betas=[0.5, 0.999]),
    ]
    found = sensitivity(runs).set_index("departure")
    assert (
        found.stands_out["training.batch_size=4"]
        and not found.stands_out["training.betas=[0.5, 0.999]"]
    )
    assert "training.batch_size=4 (−20.0 points)" in ask("ledger", runs).text


def test_parts_of_the_folds_are_put_together_and_only_what_both_tested_is_compared():
    whole = suite()
    found = comparisons.compare_runs(whole, results.collect(whole)).set_index("targets")
    parts = []
    for run in whole:
        told = pd.read_csv(run.folder / "predictions.csv").assign(seed=run.settings.seed)
        for part in ("0-1", "2-3"):
            of = told[told.fold.isin([0, 1] if part == "0-1" else [2, 3])]
            if (
                part == "0-1" or run.settings.training.targets == "teacher"
            ):  # the control has done half of the folds
                parts.append(leave(run.settings.model_copy(update={"folds": part}), of))
    again = comparisons.compare_runs(parts, results.collect(parts)).set_index("targets")
    columns = ["gain", "p", "low", "high", "trainings", "seeds"]
    assert again.loc["teacher", columns].to_list() == found.loc["teacher", columns].to_list()
    assert again.trainings["shuffled"] == 4 and again.over["shuffled"] == pytest.approx(
        0.2, abs=0.1
    )
    # a fold that is there twice, once by itself and once with all, counts once
    twice = comparisons.compare_runs([*whole, *parts], results.collect([*whole, *parts])).set_index(
        "targets"
    )
    assert twice.loc["teacher", columns].to_list() == found.loc["teacher", columns].to_list()


def test_a_suite_that_departs_throughout_is_judged_all_the_same():
    runs = []
    for run in suite():
        training = run.settings.training.model_copy(update={"epochs": 5, "keep_students": True})
        told = pd.read_csv(run.folder / "predictions.csv").assign(seed=run.settings.seed)
        runs.append(leave(run.settings.model_copy(update={"training": training}), told))
    found = comparisons.compare_runs(runs, results.collect(runs))
    assert set(found.variant) == {
        "training.epochs=5",
        "training.epochs=5; training.targets=shuffled",
    }  # nothing depends on keep_students
    assert len(ask("gains", runs).tables["gains"].frame) == 1
    assert (ask("claims", runs).tables["claims"].frame.verdict != "not run").any()


def test_answers_that_were_removed_are_left_out():
    runs = suite()
    (runs[1].folder / "predictions.csv").unlink()
    found = comparisons.compare_runs(runs, results.collect(runs))
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
    found = comparisons.compare_runs(runs, results.collect(runs))
    assert (found.p == 2 / 2**6).all() and (found.p_least == 3 * 2 / 2**6).all()
    sentence = "corrected for their number, so few folds cannot prove anything; taken alone, 3 gain"
    assert sentence in ask("gains", runs).text


def test_the_page_of_controls_opens_with_what_is_known():
    """Two seeds of a student with a benefit to find, one control without."""
    runs = suite()
    truth = [
        grid.Known(run, run.settings.training.targets == "teacher", run.settings.training.targets)
        for run in runs
        if run.settings.alpha
    ]
    made = ask("controls", runs, truth, saved=True)
    opening, figure = made.shown[:2]
    assert "The suite finds a benefit where there is one" in opening.data
    assert "controls.html#known" in opening.data
    assert "teacher: +" in figure.alt and "shuffled: " in figure.alt
    axes = made.pictures["figure-known"].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["benefit: teacher", "no benefit: shuffled"]
    assert axes.lines[-1].get_ydata() == pytest.approx([0.5, 0.5])
    assert list(made.tables["known"].frame.about) == ["teacher", "shuffled"]
    assert "only on the synthetic world whose truth is known" in made.text
    assert "known" not in ask("controls", runs).tables
