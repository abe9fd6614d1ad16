"""The wheel holds all that a user needs, and works outside of a checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

import kdlib

ROOT = Path(__file__).resolve().parent.parent
# in a checkout, and what the wheel calls it
BESIDE = ("params", "notebooks", "docs", "Snakefile", "README.md")


def build(folder: Path, target: Path) -> dict[str, Path]:
    """Build sdist and wheel of a folder, without asking for the network; return them by kind."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {file.suffix: file for file in target.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The folder of an unpacked wheel, as pip would leave it in site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(built[".whl"]).extractall(folder)
    return folder


def files(name: str) -> set[str]:
    """Return the files of the checkout below ``name`` that belong to it."""
    place = ROOT / name
    found = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    paths = {file.relative_to(ROOT) for file in found}
    hidden = {path for path in paths if any(part[0] in "._" for part in path.parts[:-1])}
    return {path.as_posix() for path in paths - hidden}


def kdlib_command(*arguments: str, folder: Path, path: Path | None = None, **given: str):
    """Run ``kdlib`` in a folder that is no checkout, with the packages of an unpacked wheel."""
    environment = {name: value for name, value in os.environ.items() if "KDLIB" not in name}
    environment |= {"PYTHONPATH": str(path or ""), "OMP_NUM_THREADS": "1"} | given
    command = [sys.executable, "-P", "-m", "kdlib", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def own_dataset(folder: Path) -> None:
    """Write the parameters of a small corpus and a short training, as a user does."""
    (folder / "params" / "grids").mkdir(parents=True)
    usual = yaml.safe_load((ROOT / "params" / "demo-ravdess.yaml").read_text())
    usual["corpus"]["groups"] = 2
    usual["corpus"]["synthetic"] |= {"actors": 4, "takes": 14, "actors_without_song": [3]}
    usual["training"] |= {"epochs": 1, "teacher_epochs": 1, "cycle": 0.5}
    (folder / "params" / "mine.yaml").write_text(yaml.safe_dump(usual | {"dataset": "mine"}))


def test_the_wheel_has_all_of_the_suite(built):
    names = {*zipfile.ZipFile(built[".whl"]).namelist()}
    for package in ("kdlib", "kdsuite"):
        assert files(package) <= names and f"{package}/py.typed" in names
    for name in BESIDE:
        assert files(name) and {f"kdsuite/share/{each}" for each in files(name)} <= names
    # with the pictures that README and docs show
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
            picture = (page.parent / link).resolve().relative_to(ROOT)
            assert f"kdsuite/share/{picture.as_posix()}" in names
    folders = {name.split("/")[0] for name in names}
    assert folders == {"kdlib", "kdsuite", f"kdlib-{kdlib.__version__}.dist-info"}


def test_the_sdist_is_complete(built, tmp_path):
    """It makes the same wheel, and has the tests and what they read."""
    with tarfile.open(built[".gz"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    again = build(folder, tmp_path / "dist")
    names = [zipfile.ZipFile(file[".whl"]).namelist() for file in (built, again)]
    assert sorted(names[0]) == sorted(names[1])
    for name in ("tests", "benchmarks", "Makefile", "Dockerfile", "requirements.lock", ".ci/run"):
        assert {file for file in files(name)} <= {
            path.relative_to(folder).as_posix() for path in folder.rglob("*")
        }, name


def test_outside_a_checkout_files_lie_in_the_working_folder(installed, tmp_path):
    """Its own parameter files are seen beside those that came with the suite, and win."""
    (tmp_path / "params" / "grids").mkdir(parents=True)
    usual = yaml.safe_load((ROOT / "params" / "demo-ravdess.yaml").read_text())
    for name in ("mine", "ravdess"):
        (tmp_path / "params" / f"{name}.yaml").write_text(
            yaml.safe_dump(usual | {"dataset": name, "model": {"embedding": 70}})
        )
    (tmp_path / "params" / "grids" / "tiny.yaml").write_text("runs: [{dataset: mine, alpha: 0}]")
    code = (
        "from kdsuite import paths, settings; from kdsuite.runs import grid, sources; import sys;"
        "print(paths.DATA, paths.REPORTS, sep='\\n');"
        "print(*[settings.load(dataset=name).model.embedding for name in ('mine', 'ravdess', 'iemocap')]);"
        "print(*grid.suites(), [run.notebook.exists() for run in grid.runs('tiny')]);"
        "print(paths.corpus('grid.csv').exists(), sources.fingerprint('student', scored=True))"
    )
    environment = {name: value for name, value in os.environ.items() if "KDLIB" not in name}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment | {"PYTHONPATH": str(installed)}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    from kdsuite.runs import sources

    suites = sorted([*(file.stem for file in (ROOT / "params" / "grids").glob("*.yaml")), "tiny"])
    assert done.stdout.splitlines() == [
        str(tmp_path / "data"),
        str(tmp_path / "reports"),
        "70 70 512",
        f"{' '.join(suites)} [True, True]",
        f"True {sources.fingerprint('student', scored=True)}",
    ]


@pytest.mark.slow
def test_kdlib_run_outside_a_checkout(installed, tmp_path):
    """It says where it writes, prints the notebook's last sentence, and a wrong parameter is one."""
    own_dataset(tmp_path)
    run = ["run", "data", "-p", "dataset"]
    done = kdlib_command(*run, "mine", folder=tmp_path, path=installed)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith(f"kdlib writes to {tmp_path / 'data'} and {tmp_path / 'reports'};")
    assert said[-1].startswith("Protocol speakers: no speaker is on both sides")
    (result,) = tmp_path.glob("reports/runs/mine/data/*/result.json")
    assert json.loads(result.read_text())["provenance"]["packages"]["kdlib"] == kdlib.__version__
    assert nbformat.read(tmp_path / "reports" / "data.ipynb", as_version=4).cells
    assert {each.name for each in tmp_path.iterdir()} == {"params", "data", "reports"}

    done = kdlib_command(*run, "mien", "OUT.ipynb", folder=tmp_path, path=installed)
    assert done.returncode == 1 and done.stdout == "" and (tmp_path / "OUT.ipynb").exists()
    last = done.stderr.splitlines()[-1]
    assert "did you mean 'mine'?" in last and "Traceback" not in done.stderr


@pytest.mark.slow
def test_kdlib_reports_outside_a_checkout(installed, tmp_path):
    """Snakemake reads the Snakefile of the wheel, and plans in the working folder."""
    dry = ["reports", "demo", "--dry-run", "--config", "threads=2"]
    done = kdlib_command(*dry, folder=tmp_path, path=installed)
    assert done.returncode == 0 and done.stdout.startswith("kdlib writes to ")
    assert "report of demo" in done.stdout and (tmp_path / ".snakemake").exists()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_wheel_in_an_empty_environment(built, installed, tmp_path):
    """Its core answers about a sound; with the suite it executes a notebook and a suite of runs."""
    home, env = tmp_path / "home", tmp_path / "env"
    own_dataset(home)
    (home / "params" / "grids" / "tiny.yaml").write_text(
        "title: Tiny\nruns: [{dataset: mine, alpha: [0, 0.5]}]"
    )
    for file in (ROOT / "docs" / "example").iterdir():
        shutil.copy(file, home)
    environment = {
        name: value
        for name, value in os.environ.items()
        if "KDLIB" not in name and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def install(what: str) -> None:
        """By uv, which takes minutes less; by pip where uv does not reach the packages."""
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(env), what]
        if subprocess.run(uv, cwd=home, env=environment, capture_output=True).returncode:
            call(str(env / "bin" / "python"), "-m", "pip", "install", "--quiet", what)

    def packages() -> set[str]:
        listed = call(str(env / "bin" / "python"), "-m", "pip", "list", "--format", "freeze")
        return {line.split("==")[0] for line in listed.splitlines()}

    train = "run", "student", "-p", "dataset", "mine", "-p", "folds", "0", "-p", "alpha", "0"
    ask = "predict", "student.safetensors", "speech.wav"
    here = kdlib_command(*ask, folder=home, path=installed).stdout

    venv.create(env, with_pip=True)
    install(str(built[".whl"]))
    assert not packages() & {"pandas", "papermill", "snakemake", "matplotlib", "scipy"}
    kdlib_ = str(env / "bin" / "kdlib")
    assert call(kdlib_, *ask) == here and here.count("\n") == 2
    code = (
        "import kdlib; print(len(kdlib.load_student('student.safetensors').predict('speech.wav')))"
    )
    assert call(str(env / "bin" / "python"), "-c", code) == "7\n"
    done = subprocess.run([kdlib_, *train], cwd=home, env=environment, capture_output=True)
    assert done.returncode == 2 and b"pip install 'kdlib[suite]'" in done.stderr

    install(f"{built['.whl']}[suite]")
    said = call(kdlib_, *train)
    assert "UAR" in said.splitlines()[-1] and "epoch 1/1" in said
    call(kdlib_, "reports", "tiny")
    index = (home / "reports" / "tiny" / "index.html").read_text()
    assert "Tiny" in index and (home / "reports" / "tiny" / "docs").is_dir()
