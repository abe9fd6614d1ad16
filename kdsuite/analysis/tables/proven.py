"""What a suite's runs prove, as tables of its site: gains with intervals, controls, the choice of
alpha, claims, sensitivity."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kdsuite import places
from kdsuite.analysis import claims, ledger
from kdsuite.analysis.paper import published
from kdsuite.analysis.results import prevailing
from kdsuite.analysis.statistics.power import MIN_UNITS, paper_designs
from kdsuite.analysis.tables.comparison import conventions
from kdsuite.analysis.tables.table import ABSENT, BACKBONES, SETTINGS, Column, Table, number

METHODS = {"embedding": "embedding", "softlabel": "soft label", "multitask": "multitask"}
METRICS = {"uar": "UAR", "accuracy": "accuracy", "eer": "EER"}
TARGETS = {
    "teacher": "the teacher’s own",
    "shuffled": "of another recording",
    "shuffled_in_class": "of another recording of the class",
    "random": "random vectors",
    "audio": "of a teacher that heard the same sound",
    "uniform": "label smoothing",
}
PLACE = [
    Column("dataset", "dataset", header="rowgroup"),
    Column("metric", "metric", labels=METRICS),
    Column("network", "network"),
    Column("method", "method", labels=METHODS),
    Column("alpha", "α", digits=2),
]
GAIN = [Column("gain", "gain", digits=1, signed=True), Column("interval", "95 %", interval=True)]
COMPARED = [
    Column("undistilled", "undistilled", digits=1),
    Column("distilled", "distilled", digits=1),
    *GAIN,
    Column("p_text", "p"),
]
# departures after which a network is still the same one with less to learn from
SHARES = r"(corpus\.(fraction|labelled)=[\d.]+(; training\.epochs=\d+)?)?"
TRAININGS = Column("trainings", "trainings", digits=0)
DOCUMENTS = {"claims.csv": "the paper’s claims: what was run for each, estimate, interval, verdict"}
INTERVALS = (
    "A gain above zero is for distillation, for error rates too. Intervals are 95 %, Student’s t over the unit named; p is an exact sign-flip test "
    "over six folds or more, Student’s t otherwise, corrected after Holm for all students of a dataset, metric and variant, and “at least” is "
    "the smallest that so few folds and so many students leave possible. Detectable is the gain that the test of p, uncorrected, finds four times in five."
)


def between(low: float, high: float) -> str:
    """Return an interval of percentages as text, an em dash where there is none."""
    return (
        ABSENT
        if pd.isna(low) or pd.isna(high)
        else f"{number(low, 1, signed=True)} to {number(high, 1, signed=True)}"
    )


def reasons(found: pd.DataFrame) -> list[str]:
    """Return, for rows of :func:`kdsuite.analysis.comparisons.compare_runs`, why an interval or p is
    missing, and which ones need care."""
    notes = []
    if (found.trainings < MIN_UNITS).any():
        notes.append(
            f"No p{' and nothing detectable' if 'detectable' in found else ''} (—) with fewer than {MIN_UNITS} trainings: a fold of a seed is one."
        )
    if found.low.isna().any():
        notes.append(
            "No interval (—) with fewer than three folds, or three seeds of one split: how another training would differ is not known then."
        )
    if (few := found[(found.speakers < MIN_UNITS) & found.low.notna()]).size:
        notes.append(
            f"With fewer than six test speakers ({', '.join(few.dataset.unique())}) an interval may be too short: it supposes that speakers differ "
            "as a normal distribution has it."
        )
    notes += [
        conventions(part.conventions.max(), name)
        for name, part in found[found.metric == "eer"].groupby("dataset")
    ]
    return [note for note in notes if note]


def _shown(found: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the rows with these fractions as percentages, the names of their networks, and ``low``
    and ``high`` as one text."""
    shown = found.assign(**{name: 100 * found[name] for name in names if name in found})
    if "backbone" in found:
        networks = [
            f"{BACKBONES[row.backbone]} {SETTINGS[row.setting]}" for row in found.itertuples()
        ]
        shown["network"] = pd.Series(networks, index=found.index, dtype=object)
    if "low" in found:
        shown["interval"] = [between(*pair) for pair in zip(shown.low, shown.high)]
    return shown


def p_value(p: float) -> str:
    """Return a p value as papers print it."""
    return ABSENT if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def gains_table(found: pd.DataFrame) -> Table:
    """Return every student distilled by the teacher beside its undistilled twin; ``found`` is
    :func:`kdsuite.analysis.comparisons.compare_runs`'."""
    own = found[found.targets == "teacher"]
    rows = own.sort_values(
        ["dataset", "metric", "variant", "backbone", "setting", "method", "alpha"], kind="stable"
    ).reset_index(drop=True)
    if len(rows):
        rows = _shown(
            rows, "undistilled", "distilled", "gain", "low", "high", "detectable", "linear"
        )
        rows = rows.assign(
            p_text=rows.p.map(p_value),
            holm=rows.p_holm.map(p_value),
            least=rows.p_least.map(p_value),
        )
    rows, below = _beside_linear(rows)
    variant = (
        [Column("variant", "departing in")] if len(rows) and (rows.variant != "").any() else []
    )
    return Table(
        name="gains",
        title="Gains by distillation",
        caption="Distilled and undistilled students on the same recordings, folds and seeds, in percentage points.",
        columns=[
            *PLACE,
            *variant,
            Column("linear", "linear baseline", digits=1),
            *COMPARED,
            Column("holm", "p, Holm"),
            Column("least", "at least"),
            Column("detectable", "detectable", digits=1),
            Column("unit", "tested over"),
            TRAININGS,
        ],
        frame=rows.reindex(columns=rows.columns.union(["detectable", "unit"], sort=False)),
        notes=[INTERVALS, *(reasons(own) if len(own) else []), *_both_below(rows)],
        absent="" if len(rows) else "no distilled student and its undistilled twin are both done.",
        below=below,
    )


def _beside_linear(rows: pd.DataFrame) -> tuple[pd.DataFrame, frozenset[tuple[int, str]]]:
    """Return gains with a column that says where both students are below the linear baseline, and
    the places of all that are."""
    if rows.empty:
        return rows, frozenset()
    better = 1 - 2 * (rows.metric == "eer")  # errors are better where they are fewer
    below = pd.DataFrame(
        {name: better * rows[name] < better * rows.linear for name in ("undistilled", "distilled")}
    )
    return rows.assign(both_below_linear=below.all(axis="columns")), frozenset(
        below[below].stack().dropna().index
    )


def _both_below(rows: pd.DataFrame) -> list[str]:
    """Return a sentence on the gains whose students are both below the linear baseline, nothing
    where there are none."""
    count = int(rows.both_below_linear.sum()) if len(rows) else 0
    told = f"{count} of {len(rows)} comparisons are of students that are both below the linear baseline: a network that learned more might not gain as much."
    return [told] if count else []


def controls_table(found: pd.DataFrame) -> Table:
    """Return, for each control, what it gains, and what the paper's method gains over it."""
    rows = controls = found[found.targets != "teacher"].reset_index(drop=True)
    if len(rows):
        # a share of a gain that is not there, or that other trainings may not have, says nothing
        sure = (rows.method_low > 0) & (rows.trainings >= MIN_UNITS)
        kept = rows.assign(kept=(rows.gain / rows.method_gain).where(sure))
        rows = _shown(
            kept, "gain", "low", "high", "kept", "over", "over_low", "over_high", "method_gain"
        )
        rows["over_interval"] = [between(*pair) for pair in zip(rows.over_low, rows.over_high)]
        rows = rows.assign(
            over_text=rows.over_p.map(p_value), over_corrected=rows.over_holm.map(p_value)
        )
        rows["training"] = [
            ";".join(part for part in text.split("; ") if "training.targets" not in part)
            for text in rows.variant
        ]
    shown = [
        Column("targets", "targets", labels=TARGETS),
        *(
            [Column("training", "departing in")]
            if len(rows) and (rows.training != "").any()
            else []
        ),
        *GAIN,
        Column("method_gain", "the method’s", digits=1, signed=True),
        Column("kept", "kept, %", digits=0),
        Column("over", "method over control", digits=1, signed=True),
        Column("over_interval", "95 % of that", interval=True),
        Column("over_text", "p"),
        Column("over_corrected", "p, Holm"),
        TRAININGS,
    ]
    return Table(
        name="controls",
        title="Controls",
        caption="Students of the same budget whose targets tell less, beside the paper’s method; percentage points.",
        columns=[*PLACE, *shown],
        frame=rows.reindex(
            columns=rows.columns.union([column.name for column in shown], sort=False)
        ),
        notes=[
            "What a control gains is not owed to the video of that recording. The share of the method’s gain that it keeps is told only where that "
            f"gain is above zero with its interval, over {MIN_UNITS} trainings or more.",
            *(reasons(controls.drop(columns="detectable")) if len(controls) else []),
        ],
        absent=""
        if len(rows)
        else "no run of this suite has other training.targets than the teacher’s; params/grids/ravdess-au.yaml shows how.",
    )


def fractions_table(found: pd.DataFrame) -> Table:
    """Return gains by the share of the training set, and of its labels, for the networks that have
    several."""
    place = ["dataset", "metric", "backbone", "setting", "method", "alpha"]
    own = found[(found.targets == "teacher") & found.variant.str.fullmatch(SHARES)]
    many = own.groupby(place)[["fraction", "labelled"]].transform("nunique").max(axis=1) > 1
    rows = several = own[many].sort_values([*place, "fraction", "labelled"]).reset_index(drop=True)
    if len(rows):
        rows = _shown(
            rows, "undistilled", "distilled", "gain", "low", "high", "fraction", "labelled"
        ).assign(p_text=rows.p.map(p_value))
    return Table(
        name="fractions",
        title="With less to learn from",
        caption="The gain where teacher and student train on a share of the training recordings, or on all with a share of the labels, in percentage points.",
        columns=[
            *PLACE,
            Column("fraction", "training set, %", digits=0),
            Column("labelled", "labelled, %", digits=0),
            *COMPARED,
            TRAININGS,
        ],
        frame=rows,
        notes=reasons(several.drop(columns="detectable")) if len(several) else [],
        absent=""
        if len(rows)
        else "no network of this suite was trained with several corpus.fraction or corpus.labelled.",
    )


def alpha_table(chosen: pd.DataFrame) -> Table:
    """Return alpha chosen on validation recordings beside the best on the test; ``chosen`` is
    :func:`kdsuite.analysis.comparisons.chosen_alpha`'s."""
    return Table(
        name="alpha-choice",
        title="α, chosen honestly",
        caption="Test numbers in percent, at the α that each fold’s validation recordings choose and at the α that is best on the test.",
        columns=[
            *(column for column in PLACE if column.name != "alpha"),
            Column("undistilled", "undistilled", digits=1),
            Column("chosen", "chosen by validation", digits=1),
            Column("alphas", "α, fold by fold"),
            Column("best", "best on the test", digits=1),
            Column("best_alpha", "at α", digits=2),
            Column("difference", "best − chosen", digits=1, signed=True),
        ],
        frame=_shown(chosen, "undistilled", "chosen", "best", "difference"),
        notes=[
            "What the best on the test has more than the chosen is gained in print and nowhere else. It can be negative: validation chooses for each fold, the test once for all."
        ],
        absent=""
        if len(chosen)
        else "no network has validation recordings and three α or more; corpus.validation keeps speakers for it.",
    )


def claims_table(found: pd.DataFrame, alpha: float = 0.5) -> Table:
    """Return the paper's claims with what was run for each and the verdict; also the content of
    ``claims.csv``."""
    rows = claims.claims(prevailing(found[found.targets == "teacher"]), alpha)
    drawn = set(found.dataset[found.synthetic.astype(bool)])
    rows["dataset"] = [f"{name} (synthetic)" if name in drawn else name for name in rows.dataset]
    shown = _shown(rows, "estimate", "low", "high").assign(metric=rows.metric.map(METRICS))
    return Table(
        name="claims",
        title="The paper’s claims",
        caption="What was run for each claim, its weakest comparison (percentage points; claims 4 and 5: relative, in percent) and the verdict.",
        columns=[
            Column("claim", "claim", digits=0, header="row"),
            Column("text", "what the paper claims"),
            Column("corpus", "corpus"),
            Column("dataset", "dataset"),
            Column("run", "what was run"),
            Column("estimate", "estimate", digits=1, signed=True),
            Column("interval", "95 %", interval=True),
            Column("verdict", "verdict"),
        ],
        frame=shown,
        notes=[
            "Verdicts are computed by fixed rules: supported where every part is proven, contradicted where any is refuted, corrected for their number. "
            "Of synthetic recordings they say how the method fares there, and nothing of the paper. The comparisons are those of the table of gains."
        ],
    )


def designs_table() -> Table:
    """Return the smallest gains that the paper's own designs could have detected, beside the gains
    it prints."""
    rows = paper_designs(published())
    return Table(
        name="designs",
        title="What the paper’s designs could detect",
        caption="Smallest gain that an exact test over folds finds four times in five, by how far two students’ answers to one recording agree; percentage points.",
        columns=[
            Column("table", "table", digits=0, header="rowgroup"),
            Column("backbone", "backbone", labels=BACKBONES),
            Column("setting", "setting", labels=SETTINGS),
            Column("recordings", "recordings", digits=0),
            Column("folds", "folds", digits=0),
            Column("standard_error", "standard error", digits=1),
            Column("gain", "printed gain", digits=1, signed=True),
            Column("detectable_0", "detectable, no correlation", digits=1),
            Column("detectable_0.5", "correlation 0.5", digits=1),
            Column("detectable_0.8", "correlation 0.8", digits=1),
        ],
        frame=rows,
        notes=[
            "One training a fold, as printed; differences between trainings come on top, so these are lower bounds. "
            f"Fewer than {MIN_UNITS} trainings detect nothing (—): two students would differ, and nothing says whether two others would."
        ],
    )


def sensitivity_table(found: pd.DataFrame) -> Table:
    """Return the departures by their effect, each with the ledger's question; ``found`` is
    :func:`kdsuite.analysis.comparisons.sensitivity`'s."""
    questions = {
        entry["parameter"]: entry["question"] for entry in ledger.entries() if "parameter" in entry
    }
    rows = _shown(found, "distilled", "undistilled", "effect", "effect_on_gain", "luck")
    rows["outstanding"] = (
        found.stands_out.map({True: "yes", False: "no"}) if len(found) else pd.Series(dtype=str)
    )
    rows = rows.assign(question=[questions.get(text.split("=")[0], "") for text in rows.departure])
    return Table(
        name="sensitivity",
        title="How much hangs on it",
        caption="Each departure from the dataset’s parameters, the greatest effect on the distilled student first; percentage points.",
        columns=[
            Column("departure", "departure", header="row"),
            Column("question", "the ledger asks"),
            *PLACE,
            Column("distilled", "distilled", digits=1),
            Column("effect", "effect", digits=1, signed=True),
            Column("effect_on_gain", "on the gain", digits=1, signed=True),
            Column("luck", "luck of the seed", digits=1),
            Column("outstanding", "beyond luck"),
        ],
        frame=rows,
        notes=[
            "Luck is the standard deviation over the seeds of the unchanged network; beyond it is an effect that two trainings of one network would not "
            "show in one suite of twenty, corrected for the number of departures."
        ],
        absent=""
        if len(rows)
        else "no run of this suite departs from its dataset’s parameters; the suite ledger does (make reports SUITE=ledger).",
    )


def write(table: Table, file: Path) -> None:
    """Write a table's plain numbers, percentages and all, to a file of its own."""
    with places.replacing(file) as temporary:
        table.frame.round(4).to_csv(temporary, index=False)
