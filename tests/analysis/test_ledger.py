"""The ledger of what the paper leaves open: it says what the code does, and its suite varies one
entry at a time."""

from __future__ import annotations

from operator import attrgetter

import pandas as pd
import pytest
import yaml

from kdsuite import paths, settings
from kdsuite.runs import grid
from kdsuite.runs.run import AXES_OF
from tests.analysis.asking import ask

FILE = paths.ROOT / "kdsuite" / "analysis" / "ledger.yaml"
ENTRIES = yaml.safe_load(FILE.read_text(encoding="utf-8"))
EFFECTS = paths.ROOT / "reports" / "ledger" / "tables" / "sensitivity.csv"
KEYS = {*"id question says mark default alternatives parameter dataset settled".split()}
MARKS = ("choice", "elsewhere", "decoded")
SWITCHED = [entry for entry in ENTRIES if "parameter" in entry]
# of all corpora, but not to be tried on the small one: these weights are fetched and fit networks
# of full width only
UNTRIED = {"model.teacher_weights"}


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")


def ledger() -> pd.DataFrame:
    """Return the ledger as its notebook shows it, by the names of its entries."""
    return ask("ledger", []).tables["ledger"].frame.set_index("id")


def named(entry) -> str:
    return entry["id"]


def test_there_are_at_least_twenty_entries_of_different_names():
    assert len(ENTRIES) >= 20 and len({entry["id"] for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry["question"] for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_an_entry_is_whole(entry):
    assert set(entry) <= KEYS and {
        "question",
        "says",
        "mark",
        "default",
        "alternatives",
    } <= set(entry)
    assert entry["mark"] in MARKS and entry["question"].endswith("?") and entry["alternatives"]
    assert entry["mark"] != "elsewhere" or entry["settled"]
    assert entry["default"] not in entry["alternatives"]


@pytest.mark.parametrize("entry", SWITCHED, ids=named)
def test_the_default_is_the_code_s_own(entry):
    of = {"dataset": entry["dataset"]} if "dataset" in entry else {}
    value = attrgetter(entry["parameter"])(settings.load(**of) if of else settings.Settings())
    assert (list(value) if isinstance(value, tuple) else value) == entry["default"]


@pytest.mark.parametrize("entry", SWITCHED, ids=named)
def test_each_alternative_is_accepted(entry):
    for alternative in entry["alternatives"]:
        *section, name = entry["parameter"].split(".")
        given = {section[0]: {name: alternative}} if section else {name: alternative}
        value = settings.load(dataset=entry.get("dataset", "ravdess"), **given)
        for part in (*section, name):
            value = getattr(value, part)
        assert (list(value) if isinstance(value, tuple) else value) == alternative


def test_the_ledger_shows_the_default_of_the_code(monkeypatch):
    class Other(settings.Settings):
        media: settings.Media = settings.Media(hop=0.02)

    monkeypatch.setattr(settings, "Settings", Other)
    assert ledger().default["window-step"] == "0.02"


def test_a_folder_of_parameters_needs_not_have_the_corpora_of_the_paper(monkeypatch, tmp_path):
    whole = ledger()
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    assert ledger().equals(whole)


def test_values_are_shown_as_a_parameters_file_has_them():
    shown = ledger()
    assert (
        shown.default["teacher-batchnorm"] == "false" and shown.default["teacher-weights"] == "none"
    )
    assert (
        shown.default["betas"] == "[0.9, 0.999]"
        and shown.alternatives["distance"] == "cosine · smooth_l1"
    )
    assert shown.default["teacher-examples"] == "not given" and shown.parameter["pooling"] == ""
    assert len(shown) == len(ENTRIES)


def test_the_ledger_says_what_was_measured():
    (paths.REPORTS / "ledger" / "tables").mkdir(parents=True)
    (paths.REPORTS / "ledger" / "tables" / "sensitivity.csv").write_text(
        "departure,effect\nmedia.fft=1024,-2.61\ntraining.distance=cosine,16.2\n"
        "training.distance=smooth_l1,11.7\ntraining.temperature=2.0; training.softened=both,-2.4\n"
    )
    effects = ledger().set_index("parameter").effect
    assert effects["media.fft"] == "1024: -2.6"
    assert effects["training.distance"] == "cosine: +16.2 · smooth_l1: +11.7"
    # of two parameters the last one has what it adds to the first, once that is known
    assert effects["training.softened"] == "" and effects["media.hop"] == ""
    with (paths.REPORTS / "ledger" / "tables" / "sensitivity.csv").open("a") as file:
        file.write("training.temperature=2.0,-1.5\n")
    effects = ledger().set_index("parameter").effect
    assert effects["training.softened"] == "both: -0.9"
    assert effects["training.temperature"] == "2.0: -1.5"
    (paths.REPORTS / "ledger" / "tables" / "sensitivity.csv").unlink()
    assert not ledger().effect.any()


def test_the_committed_effects_are_of_parameters_in_the_ledger():
    known = {entry["parameter"] for entry in SWITCHED}
    departures = pd.read_csv(EFFECTS).departure
    measured = set(departures.str.split("; ").str[-1].str.split("=").str[0])
    assert len(measured) > 30 and measured - known <= {"model.width"}


def students() -> list[grid.Run]:
    return [run for run in grid.runs("ledger") if run.stage == "student"]


def test_the_suite_varies_one_entry_at_a_time():
    known = {entry["parameter"] for entry in SWITCHED}
    for run in students():
        changed = set(run.settings.overrides())
        # of one pair the second parameter says nothing without the first
        together = changed == {"training.temperature", "training.softened"}
        assert (len(changed) <= 1 or together) and changed <= known, run.key


def test_the_suite_varies_every_entry_that_the_small_corpus_can_tell():
    varied = {parameter for run in students() for parameter in run.settings.overrides()}
    varied |= {
        axis
        for axis in ("alpha", "seed")
        if len({getattr(run.settings, axis) for run in students()}) > 2
    }
    assert varied == {entry["parameter"] for entry in SWITCHED if "dataset" not in entry} - UNTRIED


def test_each_varied_run_has_its_counterpart_in_the_middle():
    plain = {
        grid.Run("student", settings.load(**axes(run))).key
        for run in students()
        if not run.settings.overrides()
    }
    for run in students():
        assert grid.Run("student", settings.load(**axes(run))).key in plain


def axes(run: grid.Run) -> dict:
    return {axis: getattr(run.settings, axis) for axis in AXES_OF["student"]}
