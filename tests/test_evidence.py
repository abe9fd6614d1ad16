"""What a suite's runs prove, from runs on disk whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from kdlib import evidence, places, tables
from kdlib.grid import Run
from kdlib.settings import load
from kdlib.site.answers import answers
from kdlib.statistics import compare
from kdlib.statistics.simulation import World, simulate
from kdlib.tables import proven


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
    rows = [{"fold": int(fold), "recordings": 52, **{name: of[fold] for name, of in metrics.items()}} for fold in folds]
    (run.folder / "result.json").write_text(json.dumps({"folds": rows}))
    return run


def _uar(rows):
    return float((rows.predicted == rows.label).groupby(rows.label).mean().mean())


def suite(gain=0.2, **more) -> list[Run]:
    """Return two seeds of an undistilled, a distilled and a control student over four folds; the control knows nothing of the gain."""
    runs, random = [], np.random.default_rng(0)
    for seed in (0, 1):
        world = World(speakers=16, recordings=42, folds=4, seeds=1, video=0.55 + gain, carried=1.0, **more)
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
    found = evidence.comparisons(runs, tables.collect(runs)).set_index("targets")
    assert list(found.index) == ["teacher", "shuffled"] and list(found.variant) == ["", "training.targets=shuffled"]
    read = {alpha: pd.concat([tables.collected.predictions(run.folder).assign(seed=run.settings.seed) for run in runs
                              if run.settings.alpha == alpha and run.settings.training.targets == "teacher"]) for alpha in (0, 0.5)}  # fmt: skip
    apart = compare(read[0.5], read[0])
    assert (found.gain["teacher"], found.p["teacher"], found.low["teacher"]) == (apart.gain, apart.p, apart.low)
    assert found.gain["teacher"] == pytest.approx(0.2, abs=0.06) and found.low["teacher"] > 0.05
    assert (found.trainings == 8).all() and (found.seeds == 2).all()
    # two tests: Holm doubles the smaller p
    assert found.p_holm.min() == pytest.approx(min(1, 2 * found.p.min()))
    assert np.isnan(found.over["teacher"]) and found.over["shuffled"] == pytest.approx(0.2, abs=0.08) and found.over_low["shuffled"] > 0


def test_a_student_without_its_twin_is_left_out():
    runs = suite()[1:3]
    (runs[0].folder.parent / "vgg-nonseq-embedding-a0.00-s0" / "result.json").unlink()
    found = evidence.comparisons(runs, tables.collect(runs))
    assert found.empty
    for table in (proven.gains_table(found), proven.controls_table(found), proven.fractions_table(found), proven.claims_table(found)):
        assert table.absent or (table.frame.verdict == "not run").all()


def test_tables_and_answers_say_what_is_proven():
    runs = suite()
    found = evidence.comparisons(runs, tables.collect(runs))
    made = [proven.gains_table(found), proven.controls_table(found), proven.claims_table(found)]
    gains, controls, claims = (table.printed() for table in made)
    assert len(gains) == 1 and len(controls) == 2 and len(claims) > 10
    # the control keeps next to nothing of a gain that is there for sure
    kept = made[1].frame.set_index("targets").kept
    assert kept["teacher"] == pytest.approx(100) and abs(kept["shuffled"]) < 30
    told = answers(made)
    assert "on average over 1 student; 1 gain for sure, 0 lose for sure" in told["gains"][0]
    assert "the method beside targets of another recording +" in told["controls"][0] and "not run" in told["claims"][0]


def test_nothing_is_gained_where_nothing_is_to_gain():
    runs = suite(gain=0.0)
    found = evidence.comparisons(runs, tables.collect(runs))
    assert found.set_index("targets").p_holm["teacher"] > 0.05
    assert np.isnan(proven.controls_table(found).frame.set_index("targets").kept["shuffled"])  # a share of no gain


def test_alpha_is_chosen_on_validation_recordings():
    """By hand: fold 0 chooses 0.5, fold 1 chooses 1; the test's best is 0.5."""
    held = {0.0: {0: 0.1, 1: 0.1}, 0.5: {0: 0.6, 1: 0.3}, 1.0: {0: 0.4, 1: 0.5}}
    tested = {0.0: {0: 0.3, 1: 0.3}, 0.5: {0: 0.5, 1: 0.7}, 1.0: {0: 0.2, 1: 0.4}}
    rows = [
        ("demo-ravdess", "student", "vgg", "nonseq", "embedding", alpha, 0, "", f"a{alpha}", fold, metric, values[alpha][fold], 10)
        for alpha in held for fold in (0, 1) for metric, values in (("validation_uar", held), ("uar", tested))
    ]  # fmt: skip
    results = pd.DataFrame(rows, columns=list(tables.collected.COLUMNS))
    (row,) = evidence.chosen_alpha(results).to_dict("records")
    assert row["alphas"] == "0.5, 1" and row["chosen"] == pytest.approx((0.5 + 0.4) / 2)
    assert row["best"] == pytest.approx(0.6) and row["best_alpha"] == 0.5 and row["difference"] == pytest.approx(0.15)
    assert row["undistilled"] == pytest.approx(0.3)
    assert (
        "45.0 % at the α that validation recordings choose, 60.0 %"
        in answers([proven.alpha_table(evidence.chosen_alpha(results))])["alpha"][0]
    )
    assert evidence.chosen_alpha(results[results.metric == "uar"]).empty


def test_sensitivity_orders_departures_by_their_effect():
    def of(alpha, value, seed=0, **training):
        settings = load(dataset="demo-ravdess", backbone="vgg", alpha=alpha, seed=seed, training=training)
        return leave(settings, uar=dict.fromkeys(range(4), value))

    runs = [of(0, 0.3), of(0.5, 0.4), of(0.5, 0.44, seed=1), of(0, 0.2, cycle=4.0), of(0.5, 0.25, cycle=4.0), of(0.5, 0.42, distance="mse")]
    found = evidence.sensitivity(tables.collect(runs)).set_index("departure")
    assert list(found.index) == ["training.cycle=4.0", "training.distance=mse"]
    assert list(found.effect) == pytest.approx([-0.15, 0.02])
    # the gain falls from 0.10 to 0.05; the distance leaves the undistilled student as it is
    assert list(found.effect_on_gain) == pytest.approx([-0.05, 0.02])
    assert found.luck.iloc[0] == pytest.approx(np.std([0.4, 0.44], ddof=1))
    table = proven.sensitivity_table(evidence.sensitivity(tables.collect(runs)))
    assert (
        table.frame.question.iloc[1]
        and "training.cycle=4.0 moves the distilled student most: −15.0 points" in answers([table])["ledger"][0]
    )
