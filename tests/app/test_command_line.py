"""The command ``kdlib``: what it says of itself, and what it hands to papermill and Snakemake."""

from __future__ import annotations

import os
import subprocess
import sys

import papermill.cli
import pytest
import snakemake.cli

import kdlib
from kdsuite import paths
from kdsuite.app.command_line import SNAKEMAKE, main


def test_it_tells_its_version_its_commands_and_what_is_none(capsys):
    assert main(["--version"]) == 0 and kdlib.__version__ in capsys.readouterr().out
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: kdlib") and "predict" in said and "reports" in said
    assert main(["predcit"]) == 2 and "No such command 'predcit'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run", "--help"], ["reports", "--help"], ["rnu"]])
def test_help_and_typing_errors_wait_for_no_large_package(arguments):
    code = (
        "import sys; from kdsuite.app.command_line import main; main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    assert "click" in loaded
    assert not loaded & {"torch", "pandas", "numpy", "papermill", "snakemake", "yaml"}


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """The arguments with which papermill was to execute a notebook."""
    calls = []
    monkeypatch.setattr(papermill.cli, "execute_notebook", lambda **given: calls.append(given))
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    return calls


def test_run_executes_a_notebook_by_its_name(executed, tmp_path, capsys):
    given = ["-p", "alpha", "0.5", "-y", "training: {epochs: 5}"]
    assert main(["run", "student", *given]) == 0
    assert main(["run", "analysis", "OUT.ipynb", "-p", "suite", "demo"]) == 0
    first, second = executed
    assert first["input_path"] == str(paths.ROOT / "notebooks" / "03_student.ipynb")
    assert first["output_path"] == str(tmp_path / "reports" / "student.ipynb")
    assert first["parameters"] == {"alpha": 0.5, "training": {"epochs": 5}}
    assert first["engine_name"] == "kdlib" and not first["progress_bar"]
    assert second["input_path"].endswith("04_analysis.ipynb")
    assert second["output_path"] == "OUT.ipynb" and second["parameters"] == {"suite": "demo"}
    # where it writes is said once, before there is anything
    assert capsys.readouterr().out.count("kdlib writes to") == 1


@pytest.mark.parametrize("wrong", ["[1,", "epochs", "5"])
def test_what_is_no_mapping_is_refused_in_a_sentence(executed, capsys, wrong):
    assert main(["run", "student", "-y", wrong]) == 2
    assert capsys.readouterr().err.startswith(f"-y '{wrong}' is no mapping") and not executed


def test_a_file_of_parameters_that_is_absent_is_named(executed, capsys):
    assert main(["run", "student", "-f", "absent.yaml"]) == 2
    assert "absent.yaml" in capsys.readouterr().err and not executed


def test_a_file_of_parameters_that_is_no_mapping_is_named(executed, tmp_path, capsys):
    (tmp_path / "list.yaml").write_text("[1]")
    assert main(["run", "student", "-f", str(tmp_path / "list.yaml")]) == 2
    assert "list.yaml is no mapping" in capsys.readouterr().err and not executed


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(**given):
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill.cli, "execute_notebook", interrupted)
    assert main(["run", "student"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_reports_hands_its_options_to_snakemake(monkeypatch):
    calls = []
    monkeypatch.setattr(snakemake.cli, "main", calls.append)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert main(["reports", "demo", "--cores", "2", "--dry-run"]) == 0
    assert main(["reports", "7", "--config", "threads=4", "--forceall", "target"]) == 0
    assert main(["reports", "demo", "--profile=slurm"]) == 0
    files = ["--snakefile", str(paths.ROOT / "Snakefile"), "--directory", str(paths.HOME)]
    usual = [*SNAKEMAKE.split(), "--quiet", "host", "reason", *files]
    assert calls == [
        [*usual, "--cores", "2", "--dry-run", "--config", "suite=demo"],
        [*usual, "--forceall", "target", "--config", "suite=7", "threads=4"],
        [*files, "--profile=slurm", "--config", "suite=demo"],
    ]
    # jobs find papermill, though this environment need not be activated
    assert os.environ["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)


@pytest.mark.parametrize("module, extra", [("papermill.cli", "suite"), ("onnxscript", "onnx")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    monkeypatch, capsys, module, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    if extra == "onnx":
        monkeypatch.setattr("kdsuite.app.using.load_student", lambda path: SimpleStudent)
        assert main(["export", "student.safetensors", "student.onnx"]) == 2
    else:
        assert main(["run", "student"]) == 2
    said = capsys.readouterr().err
    assert said == f"{module} is not installed; pip install 'kdlib[{extra}]'.\n"


class SimpleStudent:
    path = "student.safetensors"
