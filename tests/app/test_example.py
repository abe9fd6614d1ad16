"""The student and the sound that everybody can try without any training."""

from __future__ import annotations

import csv
import re
import subprocess
import sys

import pytest

import kdlib
from kdlib.__main__ import main
from kdsuite import paths
from kdsuite.runs import student_file

FOLDER = paths.ROOT / "docs" / "example"
STUDENT, SOUND = FOLDER / "student.safetensors", FOLDER / "speech.wav"


def test_the_readme_shows_what_predict_prints(monkeypatch, capsys):
    monkeypatch.chdir(paths.ROOT)
    text = (paths.ROOT / "README.md").read_text()
    command, shown = re.search(
        "kdlib (predict docs/example.*)\n\nprints\n\n((?:    .*\n)+)", text
    ).groups()
    assert main(command.split()) == 0
    (said,), (written,) = (
        list(csv.DictReader(line.strip() for line in lines.splitlines()))
        for lines in (capsys.readouterr().out, shown)
    )
    assert said.keys() == written.keys()
    for name in said:
        if name.startswith("p_"):
            assert float(said[name]) == pytest.approx(float(written[name]), abs=0.002), name
        else:
            assert said[name] == written[name]


def test_predict_needs_no_package_of_the_extra_suite():
    """Which ``pip install kdlib`` leaves out."""
    absent = "pandas", "scipy", "sklearn", "statsmodels", "PIL", "joblib", "moviepy", "papermill", "snakemake", "matplotlib"  # fmt: skip
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"
        "from kdsuite.app.command_line import main\n"
        f"sys.exit(main(['predict', {str(STUDENT)!r}, {str(SOUND.parent)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "speech.wav,angry" in done.stdout, done.stderr


def test_it_is_small_and_names_nothing_of_the_machine_that_trained_it():
    assert STUDENT.stat().st_size < 300_000 and SOUND.stat().st_size < 150_000
    facts = kdlib.load_student(STUDENT).facts
    assert facts.settings["folds"] == "none" and facts.settings["corpus"]["synthetic"]
    header = (
        student_file.ENTRY.encode() + STUDENT.read_bytes().split(student_file.ENTRY.encode())[1]
    )
    assert b'"/' not in header.partition(b"}}")[0] and b"home" not in header[:9000]


def test_its_card_is_the_one_that_a_run_writes():
    """Without numbers of its own: those of the folds stand there, and the linear baseline."""
    card = (FOLDER / "README.md").read_text()
    for words in (
        "no test score",
        "The scores below estimate it",
        "linear baseline",
        "Do not use the student on people",
    ):
        assert words in card
    assert f"{student_file.kept(FOLDER)[STUDENT].verification.threshold:.3f}" in card
