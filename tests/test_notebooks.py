"""The notebooks as files, and executed by papermill as a user does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from papermill import inspect_notebook

from kdsuite import paths
from kdsuite.runs import sources
from kdsuite.settings import Settings

NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))
QUICK = {
    "corpus": {
        "synthetic": {"actors": 2, "takes": 14, "actors_without_song": [2]},
        "path": "tiny",
        "groups": 2,
    },
    "training": {"epochs": 1, "teacher_epochs": 1, "cycle": 0.5},
}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=[file.stem for file in NOTEBOOKS])
def test_committed_notebooks_are_clean_and_short(file):
    notebook = nbformat.read(file, 4)
    nbformat.validate(notebook)
    assert (
        nbformat.writes(notebook) + "\n" == file.read_text()
    )  # as JupyterLab saves it, so that opening it changes nothing
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.metadata.kernelspec.name == "python3" and len(code) <= 15
    for cell in code:
        assert not cell.outputs and cell.execution_count is None and cell.source.strip()
        assert not re.search(r"^\s*(def|class) ", cell.source, re.M)
        assert cell.source.count("\n") < 12
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1


@pytest.mark.parametrize("name", ["01_data", "02_teacher", "03_student"])
def test_parameters_cells_say_what_the_library_says(name):
    """Names, defaults and help that ``papermill --help-notebook`` shows are those of the settings."""
    parameters = inspect_notebook(str(paths.ROOT / "notebooks" / f"{name}.ipynb"))
    assert parameters
    for parameter in parameters.values():
        field = Settings.model_fields[parameter["name"]]
        assert parameter["help"] == field.description.replace("\n", " ")
        default = field.get_default()
        assert parameter["default"] == (
            "{}" if not isinstance(default, str | int | float) else json.dumps(default)
        )
        assert "=" not in parameter["help"]


@pytest.mark.parametrize("name", ["02_teacher", "03_student"])
def test_runs_of_a_suite_import_no_statistics_and_no_plots(name):
    """A suite starts hundreds of them, and each would pay a second."""
    notebook = nbformat.read(paths.ROOT / "notebooks" / f"{name}.ipynb", 4)
    imports = re.findall(r"(?m)^from kdsuite.*", "\n".join(cell.source for cell in notebook.cells))
    # the interval in the card of kept students
    interval = "from kdsuite.analysis.statistics.uncertainty import Uncertainty\nUncertainty(0.1, 5.0).interval(0.5)"
    script = "\n".join(["import sys", *imports, interval, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    absent = {"scipy.stats", "scipy.optimize", "statsmodels", "sklearn", "seaborn", "torch._dynamo"}
    assert len(imports) > 4 and "torch" in done.stdout and not absent & {*done.stdout.split()}


def papermill(tmp_path, notebook, *arguments, out="out.ipynb", **options):
    environment = {
        **os.environ,
        "KDLIB_DATA": str(tmp_path / "data"),
        "KDLIB_REPORTS": str(tmp_path / "reports"),
        "OMP_NUM_THREADS": "1",
    }
    target = [str(tmp_path / out)] if out else []
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        str(paths.ROOT / "notebooks" / f"{notebook}.ipynb"),
        *target,
        *arguments,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=tmp_path,
        **options,
    )


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """One student run from nothing: corpus, store and teacher are made on the way; run from another
    folder, output redirected."""
    folder = tmp_path_factory.mktemp("suite")
    done = papermill(
        folder,
        "03_student",
        "-p",
        "alpha",
        "0.5",
        "-p",
        "backbone",
        "vgg",
        "-y",
        json.dumps(QUICK),
        out=None,
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def result_of(folder, stage):
    (file,) = (folder / "reports" / "runs" / "demo-ravdess" / stage).glob("*/result.json")
    return json.loads(file.read_text()), file.parent


def test_student_from_nothing_leaves_a_complete_result(suite):
    folder, done = suite
    result, home = result_of(folder, "student")
    assert re.fullmatch(r"vgg-nonseq-embedding-a0\.50-s0-x[0-9a-f]{6}", home.name)
    assert result["settings"]["training"]["epochs"] == 1 and result["settings"]["alpha"] == 0.5
    assert [fold["recordings"] for fold in result["folds"]] == [14, 14] and set(
        result["metrics"]
    ) == {"uar", "accuracy"}
    assert result["seconds"]["wall"] > result["seconds"]["device"] > 0
    assert result["provenance"]["packages"]["torch"] and result["provenance"]["store"]
    assert result["provenance"]["code"] == sources.fingerprint("student", scored=True)
    epochs = (home / "history.csv").read_text().splitlines()
    assert epochs[0].startswith("fold,epoch,loss,rate,seconds,agreement") and len(epochs) == 3
    lines = (home / "predictions.csv").read_text().splitlines()
    assert lines[0].startswith("recording,speaker,fold,label,predicted,p_") and len(lines) == 29


def test_redirected_output_is_the_notebook_and_the_terminal_shows_what_cells_print(suite):
    notebook = nbformat.reads(suite[1].stdout, 4)
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    for shown in (printed, suite[1].stderr):
        assert re.search(r"student fold 1 .* epoch 1/1: loss \d+\.\d+, rate .* left", shown)
    assert "WARNING" not in suite[1].stderr
    assert (
        sum(
            "image/png" in output.get("data", {})
            for cell in notebook.cells
            for output in cell.get("outputs", [])
        )
        >= 5
    )


def test_what_was_made_is_used_again_by_the_other_notebooks(suite):
    folder, _ = suite
    made = {
        path: path.stat().st_mtime_ns
        for path in (folder / "data").rglob("*")
        if path.suffix in {".mp4", ".bin", ".safetensors"}
    }
    for notebook, arguments in (
        ("01_data", {"corpus": QUICK["corpus"], "training": QUICK["training"]}),
        ("02_teacher", {**QUICK, "backbone": "vgg"}),
    ):
        done = papermill(folder, notebook, "-y", json.dumps(arguments), out=f"{notebook}.ipynb")
        assert done.returncode == 0, done.stderr
    assert made == {
        path: path.stat().st_mtime_ns
        for path in (folder / "data").rglob("*")
        if path.suffix in {".mp4", ".bin", ".safetensors"}
    }
    data = result_of(folder, "data")[0]
    assert result_of(folder, "teacher")[0]["folds"] and data["counts"]["recordings"] == 28
    # the linear baseline, by the sound and by the frames, on the folds of the networks
    assert sorted(data["metrics"]) == ["accuracy", "frames_accuracy", "frames_uar", "uar"]
    assert [fold["recordings"] for fold in data["folds"]] == [14, 14]


BAD = [
    (["-p", "alpha", "half"], "InvalidParameter: parameter 'alpha' is 'half'"),
    (["-p", "alfa", "0.5"], "unknown parameter 'alfa'; did you mean 'alpha'"),
    (
        ["-y", "corpus: {path: nowhere, synthetic: null}"],
        "InvalidCorpus: the ravdess corpus .*nowhere does not exist",
    ),
]


@pytest.mark.parametrize(
    "arguments,sentence", BAD, ids=[" ".join(arguments) for arguments, _ in BAD]
)
def test_bad_input_ends_in_one_sentence_and_no_result(tmp_path, arguments, sentence):
    done = papermill(tmp_path, "03_student", *arguments)
    assert done.returncode == 1 and re.search(sentence, done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("result.json"))


def test_a_training_that_diverges_ends_in_one_sentence_and_no_result(suite):
    folder, _ = suite
    before = {*folder.rglob("result.json")}
    rates = {**QUICK["training"], "epochs": 2, "learning_rate": [1.5e30, 1.5e38]}
    arguments = ["-p", "alpha", "0", "-p", "backbone", "vgg"]
    given = json.dumps({**QUICK, "training": rates})
    done = papermill(folder, "03_student", *arguments, "-y", given, out="diverged.ipynb")
    assert done.returncode != 0 and re.search("\nNotFinite: the loss became", done.stderr)
    assert {*folder.rglob("result.json")} == before
