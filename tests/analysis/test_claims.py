"""Verdicts on the paper's claims: each word for each claim, from tables made up for it, and from
worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdsuite import paths
from kdsuite.analysis.claims import CONTRADICTED, NOT_RUN, SUPPORTED, UNDECIDED
from kdsuite.analysis.statistics.comparison import compare
from kdsuite.analysis.suite import Suite
from tests.analysis.asking import ask
from tests.analysis.simulation import NOTHING_TO_GAIN, VIDEO_KNOWS_MORE, simulate

NINE = list(product(("vgg", "resnet", "seresnet"), ("nonseq", "em", "agg")))
FIVE = NINE[:5]
FEW = [("vgg", "nonseq"), ("resnet", "agg")]
ALPHAS = (0.25, 0.5, 0.75)
COLUMNS = "claim corpus metric dataset text run estimate low high verdict".split()


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)


def claims(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of ``notebooks/questions/claims.ipynb`` on these comparisons, percent."""
    gains = comparisons.assign(targets="teacher", variant="", synthetic=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Suite, "gains", gains)
        return ask("claims", []).files["claims.csv"]


def table(
    gain,
    error=0.002,
    networks=FEW,
    alphas=ALPHAS,
    methods=("embedding",),
    layout="ravdess",
    metric="uar",
    **more,
) -> pd.DataFrame:
    """Return comparisons; ``gain`` is a number or a function of backbone, setting, method and α,
    ``error`` its standard error."""
    rows = []
    for (backbone, setting), alpha, method in product(networks, alphas, methods):
        place = {"backbone": backbone, "setting": setting, "method": method, "alpha": alpha}
        value = gain(**place) if callable(gain) else gain
        bounds = {
            "gain": value,
            "low": value - 1.96 * error,
            "high": value + 1.96 * error,
            "p": 0.001 if abs(value) > 1.96 * error else 0.5,
        }
        rows.append(
            {
                "dataset": f"my-{layout}",
                "layout": layout,
                "metric": metric,
                **place,
                "undistilled": 0.5,
                "teacher": np.nan,
                "trainings": 24,
                "freedom": 1e9,  # as the normal distribution
                **bounds,
                **more,
            }
        )
    return pd.DataFrame(rows)


def verdict(claim: int, comparisons: pd.DataFrame, corpus="ravdess", metric="uar") -> str:
    found = claims(comparisons).set_index(["claim", "corpus", "metric"])
    return found.verdict[claim, corpus, metric]


def test_few_folds_refute_less_surely_than_many():
    """Student's t has longer tails: the same number of standard errors is a larger p, the more so
    after the correction for several comparisons."""
    harm = table(lambda alpha, **_: -0.02 if alpha == 0.75 else 0.05, error=0.009)
    assert verdict(1, harm) == CONTRADICTED
    reach = stats.t.isf(0.025, 5)
    few = harm.assign(freedom=5, low=harm.gain - reach * 0.009, high=harm.gain + reach * 0.009)
    assert verdict(1, few) == UNDECIDED


def test_the_weakest_comparison_is_shown_with_and_without_intervals():
    def gain(alpha, **_):
        return -0.01 if alpha == 0.75 else 0.03

    for comparisons in (table(gain), table(gain).assign(low=np.nan, high=np.nan, freedom=np.nan)):
        found = claims(comparisons).query("claim == 1 and corpus == 'ravdess'")
        assert found.estimate.item() == pytest.approx(-1)


def test_every_claim_is_there_also_where_nothing_was_run():
    found = claims(table(0.0)[:0])
    assert (
        list(found.columns) == COLUMNS
        and sorted(set(found.claim)) == [1, 2, 3, 4, 5, 6, 7]
        and len(found) == 13
    )
    assert (
        (found.verdict == NOT_RUN).all() and found.estimate.isna().all() and (found.run == "").all()
    )


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        (table(0.03), SUPPORTED),
        (table(0.03, error=0.02), UNDECIDED),
        (table(0.03, alphas=(0.5,)), UNDECIDED),  # one α is not every α
        (table(0.03, trainings=1), UNDECIDED),  # one training each may be luck
        (table(0.03, trainings=6), SUPPORTED),
        (table(lambda alpha, **_: -0.03 if alpha == 0.75 else 0.03), CONTRADICTED),
        (table(0.0, error=0.001), CONTRADICTED),  # no gain that matters
        (table(0.0, error=0.01), UNDECIDED),
        (table(0.03, methods=["softlabel"]), NOT_RUN),
        (table(np.nan), UNDECIDED),  # a single speaker has no interval
    ],
)
def test_claim_1_improves_for_every_alpha(comparisons, expected):
    assert verdict(1, comparisons) == expected


def test_the_weakest_comparison_is_shown_with_what_was_run():
    found = claims(
        table(lambda alpha, backbone, **_: 0.01 if (alpha, backbone) == (0.75, "resnet") else 0.04)
    )
    row = found[(found.claim == 1) & (found.corpus == "ravdess")].iloc[0]
    assert (row.estimate, row.low, row.high) == pytest.approx((1.0, 1.0 - 0.392, 1.0 + 0.392))
    assert (
        row.run == "2 of 9 networks; α 0.25, 0.5, 0.75; 6 comparisons"
        and row.dataset == "my-ravdess"
    )


def test_one_unlucky_comparison_of_many_does_not_contradict():
    # of 27 comparisons one is at p = 0.02: that is to be expected; alone, it would count
    def gain(backbone, setting, alpha, **_):
        return -0.0047 if (backbone, setting, alpha) == ("vgg", "em", 0.5) else 0.02

    shifted = table(
        gain, error=0.0063, networks=NINE
    )  # 0.0147 below the margin, at a standard error of 0.0063
    assert verdict(1, shifted) == UNDECIDED
    assert (
        verdict(
            1,
            shifted[
                (shifted.backbone == "vgg") & (shifted.setting == "em") & (shifted.alpha == 0.5)
            ],
        )
        == CONTRADICTED
    )


def test_each_dataset_is_judged_apart_and_undistilled_rows_do_not_count():
    other = table(-0.05).assign(dataset="other")
    found = claims(pd.concat([table(0.05), table(0.0, alphas=(0.0,)), other]))
    ours = found[(found.claim == 1) & (found.corpus == "ravdess")].set_index("dataset")
    assert ours.verdict.to_dict() == {"my-ravdess": SUPPORTED, "other": CONTRADICTED}
    assert found[(found.claim == 1) & (found.corpus == "voxceleb1")].verdict.tolist() == [NOT_RUN]


BASELINES = {"methods": ("softlabel", "multitask")}


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        (table(lambda alpha, **_: -0.1 * alpha, **BASELINES), SUPPORTED),
        (table(lambda alpha, **_: -0.1 * alpha, error=0.05, **BASELINES), UNDECIDED),
        (table(lambda alpha, **_: -0.1 * alpha, methods=["softlabel"]), UNDECIDED),  # one of both
        (table(-0.05, alphas=(1.0,), **BASELINES), UNDECIDED),  # nothing grows
        (
            table(
                lambda method, alpha, **_: alpha * (0.1 if method == "multitask" else -0.1),
                **BASELINES,
            ),
            CONTRADICTED,
        ),
        (
            table(lambda alpha, **_: 0.1 * alpha - 0.15, **BASELINES),
            CONTRADICTED,
        ),  # it harms less as α grows
        (table(0.03), NOT_RUN),
    ],
)
def test_claim_2_both_baselines_harm_as_alpha_grows(comparisons, expected):
    assert verdict(2, comparisons) == expected


def hill(top):
    return lambda alpha, **_: 0.05 - 0.1 * abs(alpha - top)


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        (table(hill(0.5)), SUPPORTED),
        (table(hill(0.5), error=0.02), UNDECIDED),
        (table(hill(0.5), alphas=(0.25, 0.5)), UNDECIDED),  # nothing above one half
        (table(hill(0.75)), CONTRADICTED),
        (
            table(hill(0.5), trainings=2),
            UNDECIDED,
        ),  # two trainings each, which may differ by chance
        (table(hill(0.5), trainings=6), SUPPORTED),
        (
            table(lambda alpha, **_: hill(0.5)(alpha) - 0.1),
            CONTRADICTED,
        ),  # greatest at one half, and none at 0 is better
        (table(lambda alpha, **_: hill(0.5)(alpha) - 0.05), UNDECIDED),  # no gain at one half
        (
            table(
                lambda backbone, alpha, **_: (
                    np.nan if (backbone, alpha) == ("vgg", 0.25) else hill(0.5)(alpha)
                )
            ),
            UNDECIDED,
        ),
        (table(hill(0.5), alphas=(0.5,)), NOT_RUN),
        (table(hill(0.5), alphas=(0.25, 0.75)), NOT_RUN),
    ],
)
def test_claim_3_the_gain_is_greatest_at_one_half(comparisons, expected):
    assert verdict(3, of_speakers(comparisons), "voxceleb1", "accuracy") == expected


def of_speakers(comparisons):
    """Return the comparisons as those of the corpus of which the paper claims this."""
    return comparisons.assign(layout="voxceleb1", dataset="my-voxceleb1", metric="accuracy")


def test_claim_3_rests_on_the_fewest_trainings_of_its_parts():
    few = of_speakers(table(hill(0.5), trainings=6))
    few["trainings"] = few.trainings.mask((few.alpha == 0.75) & (few.backbone == "vgg"), 2)
    assert verdict(3, few, "voxceleb1", "accuracy") == UNDECIDED


ALL_METHODS = ("embedding", "softlabel", "multitask")


@pytest.mark.parametrize(
    ("better", "error", "methods", "expected"),
    [
        (0.03, 0.002, ALL_METHODS, SUPPORTED),
        (0.03, 0.02, ALL_METHODS, UNDECIDED),
        (-0.03, 0.002, ALL_METHODS, CONTRADICTED),
        (0.03, 0.002, ALL_METHODS[:2], UNDECIDED),  # one baseline was not run
        (0.03, 0.002, ALL_METHODS[:1], NOT_RUN),
        (0.03, 0.002, ALL_METHODS[1:], UNDECIDED),  # nor was the method
    ],
)
def test_claim_7_the_method_is_better_than_both_baselines(better, error, methods, expected):
    comparisons = table(
        lambda method, **_: 0.02 + better * (method == "embedding"), error, NINE, (0.5,), methods
    )
    assert verdict(7, comparisons) == expected
    # of soft labels one student stands for both sequential settings
    twice = (comparisons.method == "softlabel") & (comparisons.setting == "agg")
    assert verdict(7, comparisons[~twice]) == expected


TABLES = [
    ("vgg", "agg", "voxceleb1", "accuracy"),
    ("resnet", "nonseq", "voxceleb1", "eer"),
    ("seresnet", "nonseq", "ravdess", "uar"),
]


@pytest.mark.parametrize(("best", "setting_of", "layout", "metric"), TABLES)
@pytest.mark.parametrize(
    ("winner", "error", "networks", "expected"),
    [
        ("named", 0.002, NINE, SUPPORTED),
        ("named", 0.02, NINE, UNDECIDED),
        ("named", 0.002, NINE[1:], None),  # one was not run
        ("resnet-em", 0.002, NINE, CONTRADICTED),
        ("named", 0.002, [("vgg", "em")], NOT_RUN),
    ],
)
def test_claim_4_the_greatest_gain(
    best, setting_of, layout, metric, winner, error, networks, expected
):
    name = f"{best}-{setting_of}" if winner == "named" else winner

    def gain(backbone, setting, **_):
        return 0.05 if f"{backbone}-{setting}" == name else 0.02

    found = verdict(
        4,
        table(gain, error, networks=networks, alphas=(0.5,), layout=layout, metric=metric),
        layout,
        metric,
    )
    assert found == (expected or UNDECIDED)


def test_claim_4_is_about_gains_relative_to_the_undistilled_student():
    # 0.03 of 0.30 is more than 0.04 of 0.50
    comparisons = table(
        lambda backbone, **_: 0.03 if backbone == "seresnet" else 0.04, 0.0002, NINE, (0.5,)
    )
    comparisons["undistilled"] = np.where(
        (comparisons.backbone == "seresnet") & (comparisons.setting == "nonseq"), 0.3, 0.5
    )
    assert verdict(4, comparisons) == SUPPORTED
    shown = claims(comparisons).query("claim == 4 and corpus == 'ravdess'")
    assert shown.estimate.item() == pytest.approx(10 - 8)
    assert shown.run.item().startswith("9 of 9 networks")


@pytest.mark.parametrize(
    ("gain", "error", "networks", "expected"),
    [
        (0.05, 0.005, NINE, SUPPORTED),
        (0.05, 0.005, FIVE, UNDECIDED),
        (0.05, 0.05, NINE, UNDECIDED),
        (lambda backbone, **_: -0.05 if backbone == "vgg" else 0.05, 0.005, NINE, CONTRADICTED),
        (0.0, 0.002, NINE, CONTRADICTED),  # shown to fall by less than 4 % of 0.5
        (0.05, 0.005, [], NOT_RUN),
    ],
)
def test_claim_5_the_error_falls_for_all_nine(gain, error, networks, expected):
    comparisons = table(
        gain,
        error,
        networks=networks or FEW,
        alphas=(0.5,),
        layout="voxceleb1",
        metric="eer" if networks else "accuracy",
    )
    assert verdict(5, comparisons, "voxceleb1", "eer") == expected


THREE = ("embedding", "softlabel", "multitask")


def weak(ours=0.0, baselines=-0.04, error=0.002, teacher=0.4, methods=THREE, alphas=ALPHAS):
    def gain(method, alpha, **_):
        return baselines if method != "embedding" else ours if alpha <= 0.25 else -0.1

    return table(gain, error, methods=methods, alphas=alphas, layout="iemocap", teacher=teacher)


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        (weak(), SUPPORTED),
        (weak(error=0.02), UNDECIDED),
        (weak(methods=["embedding"]), UNDECIDED),
        (weak(methods=["embedding", "softlabel"]), UNDECIDED),
        (weak(ours=-0.03), CONTRADICTED),
        (weak(baselines=0.04), CONTRADICTED),
        (weak(teacher=0.6), NOT_RUN),  # the teacher is not the weaker one
        (weak(teacher=np.nan), NOT_RUN),
        (weak(alphas=(0.5, 0.75)), NOT_RUN),  # no low α
    ],
)
def test_claim_6_a_weaker_teacher_does_no_harm_at_low_alpha(comparisons, expected):
    assert verdict(6, comparisons, "iemocap") == expected


def simulated(
    world, alphas=ALPHAS, methods=("embedding",), layout="ravdess", **more
) -> pd.DataFrame:
    """Return comparisons of simulated suites: at each α distillation carries ``carried(α)`` of what
    the teacher knows more."""
    random, rows = np.random.default_rng(0), []
    for (backbone, setting), alpha, method in product(FEW, alphas, methods):
        found = compare(*simulate(world(alpha, method), random))
        place = {
            "dataset": "simulated",
            "teacher": np.nan,
            "layout": layout,
            "backbone": backbone,
            "setting": setting,
            "method": method,
            "alpha": alpha,
        }
        rows.append({**place, **found._asdict(), **more})
    return pd.DataFrame(rows)


MUCH = {"recordings": 700, "of_training": 0.0005}


def test_known_truth_information_only_the_video_has():
    found = simulated(
        lambda alpha, _: replace(VIDEO_KNOWS_MORE, **MUCH, carried=0.35 - 0.8 * abs(alpha - 0.5))
    )
    assert verdict(1, found) == SUPPORTED
    assert verdict(3, of_speakers(found), "voxceleb1", "accuracy") == SUPPORTED


def test_known_truth_nothing_to_gain():
    assert verdict(1, simulated(lambda *_: replace(NOTHING_TO_GAIN, **MUCH))) == CONTRADICTED
    # the paper's own design cannot tell nothing from a little
    assert verdict(1, simulated(lambda *_: replace(NOTHING_TO_GAIN, recordings=102))) == UNDECIDED


def test_known_truth_a_teacher_worse_than_the_student():
    def world(alpha, method):
        return replace(
            VIDEO_KNOWS_MORE,
            **{"recordings": 2800, "of_training": 0.0},
            video=0.4,
            carried=0.0 if method == "embedding" else 0.8 * alpha,
        )

    found = simulated(world, alphas=(0.25, 1.0), methods=THREE, layout="iemocap", teacher=0.4)
    assert verdict(6, found, "iemocap") == SUPPORTED
    harmful = simulated(
        lambda alpha, _: world(alpha, "all"),
        alphas=(0.25,),
        methods=THREE,
        layout="iemocap",
        teacher=0.4,
    )
    assert verdict(6, harmful, "iemocap") == CONTRADICTED
    assert (
        verdict(2, found.assign(layout="ravdess")) == SUPPORTED
        and verdict(2, harmful.assign(layout="ravdess")) == UNDECIDED
    )
