"""pyproject.toml has ranges, the lock exact versions within them; environment.yml, Dockerfile and what
is installed agree with it."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYTEST = "-m pytest -n 2 --dist loadfile --no-loadscope-reorder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [Requirement(line) for line in sum(EXTRAS.values(), PROJECT["dependencies"])]
LOCK = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if not line.lstrip().startswith("#")
]

LINUX = {
    **default_environment(),
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
PYTHONS = {
    full: {**LINUX, "python_version": full[:4], "python_full_version": full}
    for full in ("3.11.2", "3.11.14", "3.12.1", "3.12.12", "3.13.9", "3.14.0")
}


def pinned(requirement: Requirement) -> str:
    """The version of `name==version`; any other form fails."""
    (specifier,) = requirement.specifier
    assert specifier.operator == "==" and "*" not in specifier.version, (
        f"{requirement} is not a pin"
    )
    return specifier.version


def locked(environment: dict[str, str]) -> dict[str, str]:
    """name → version of the lock's lines that count in a marker environment; a name has one version
    in each."""
    lines = [line for line in LOCK if line.marker is None or line.marker.evaluate(environment)]
    names = [canonicalize_name(line.name) for line in lines]
    assert len(names) == len(set(names)), (
        f"twice in the lock: {sorted(name for name in names if names.count(name) > 1)}"
    )
    return dict(zip(names, map(pinned, lines), strict=True))


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """name → installed version of requirements and all that they require here, read from the
    installed packages themselves."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [
        (requirement, extra) for requirement in requirements for extra in {"", *requirement.extras}
    ]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        installed = importlib.metadata.distribution(name)
        found[name] = installed.version
        for line in installed.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(
                {**default_environment(), "extra": extra}
            ):
                waiting += [(needed, each) for each in {"", *needed.extras}]
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_is_within_the_ranges(python):
    lock = locked(PYTHONS[python])
    for each in DIRECT:
        assert each.specifier.contains(lock[canonicalize_name(each.name)]), each


def test_what_pyproject_asks_for_leaves_other_packages_their_versions():
    """Beside the three that go together, only lower bounds, so that kdlib fits into any environment."""
    operators = [(each.name, {one.operator for one in each.specifier}) for each in DIRECT]
    assert all({">="} <= kinds <= {">=", "<"} for _, kinds in operators)
    bounded = {name for name, kinds in operators if "<" in kinds}
    assert bounded == {"torch", "torchvision", "torchaudio"}


def test_the_lock_is_written_by_the_command_in_its_header_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    command = text.splitlines()[1].lstrip("# ")
    assert command.startswith("uv pip compile --universal --python-version 3.11 --all-extras")
    assert "://" not in text
    assert "index" not in text.replace("--no-emit-index-url", "")


def test_pythons_of_project_and_lock_are_those_the_suite_is_for():
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    named = {line[-4:] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert named == {python[:4] for python in PYTHONS}
    assert f"3.{sys.version_info[1]}" in named


def test_pre_commit_checks_with_the_versions_of_the_lock():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    pins = {Requirement(line) for hook in hooks for line in hook["additional_dependencies"]}
    ours = {each.name: pinned(each) for each in pins if each.name != "check-jsonschema"}
    assert ours and ours.items() <= locked(LINUX).items()


def test_environment_yml_installs_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"] == [
        "python=3.11",
        "pip",
        {"pip": ["-r requirements.lock", "-e ."]},
    ]


def test_the_image_installs_the_lock_with_a_python_that_it_is_for():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"FROM python:(3\.\d+)-slim", base)[1] in {key[:4] for key in PYTHONS}
    assert any("pip install --no-cache-dir -r /tmp/requirements.lock" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000"]


def test_the_version_is_the_same_everywhere():
    import kdlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == kdlib.__version__ == importlib.metadata.version("kdlib")
    assert f"\n## {kdlib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_what_is_installed_is_what_the_lock_says():
    wrong = {}
    for name, version in locked(default_environment()).items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "not installed"
        if installed == "not installed" or Version(installed).public != version:
            wrong[name] = f"{installed}, not {version}"
    assert not wrong, f"`make env` brings these to the lock: {wrong}"


def test_the_lock_is_the_complete_closure():
    lock = locked(default_environment())
    assert closure(DIRECT).keys() == lock.keys()


def test_torch_torchvision_and_torchaudio_go_together():
    import torch
    import torchaudio
    import torchvision

    versions = [Version(module.__version__).public for module in (torch, torchvision, torchaudio)]
    assert versions == ["2.11.0", "0.26.0", "2.11.0"]
    assert torchaudio.transforms.Spectrogram(n_fft=16)(torch.zeros(1, 64)).shape == (1, 9, 9)


def imported(source: str) -> set[str]:
    """Top-level names of the modules that a piece of code imports."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    relative = [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and not node.level and node.module
    ]
    return {name.partition(".")[0] for name in plain + relative}


def sources() -> dict[str, str]:
    files = {
        path: path.read_text()
        for folder in ("kdlib", "kdsuite", "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        files[path] = re.sub(r"(?m)^[%!].*$", "", code)
    return {str(path.relative_to(ROOT)): text for path, text in files.items()}


@pytest.mark.parametrize(
    "folders, development",
    [
        (("kdlib", "kdsuite", "notebooks"), False),
        (("kdlib", "kdsuite", "notebooks", "tests", "benchmarks"), True),
    ],
)
def test_every_imported_package_is_a_direct_dependency(folders, development):
    """The packages themselves do with the extras that a user installs."""
    extras = [name for name in EXTRAS if development or name not in ("test", "docs", "lock")]
    lines = PROJECT["dependencies"] + sum((EXTRAS[name] for name in extras), [])
    direct = {canonicalize_name(Requirement(line).name) for line in lines}
    # of dlib-bin, packages_distributions knows the binary part alone
    providers = importlib.metadata.packages_distributions() | {"dlib": ["dlib-bin"]}
    own = {"kdlib", "kdsuite", "tests", "benchmarks"} | sys.stdlib_module_names
    missing = {
        f"{module} ({path})"
        for path, source in sources().items()
        if path.split("/")[0] in folders
        for module in imported(source) - own
        if not direct & {canonicalize_name(each) for each in providers.get(module, [module])}
    }
    assert not missing, f"name these in pyproject.toml and run `make lock`: {sorted(missing)}"


def test_papermill_runs_the_kernel_of_its_own_environment(tmp_path):
    """Also where the environment is not activated and the user has another kernel of the same name."""
    elsewhere = tmp_path / "home" / ".local" / "share" / "jupyter" / "kernels" / "python3"
    elsewhere.mkdir(parents=True)
    kernel = {
        "argv": ["/bin/false", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (elsewhere / "kernel.json").write_text(json.dumps(kernel))
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    notebook.cells = [nbformat.v4.new_code_cell("import sys; print(sys.prefix)")]
    nbformat.write(notebook, tmp_path / "in.ipynb")

    papermill = Path(sys.prefix) / "bin" / "papermill"
    home = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    run = subprocess.run(
        [papermill, "--no-progress-bar", "in.ipynb", "out.ipynb"],
        cwd=tmp_path, env=home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (output,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs
    assert output.text.strip() == sys.prefix


# --- the Makefile, in a folder of its own whose environment is made of stubs


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a path that has a space in it, and no environment."""
    root = tmp_path / "a clone"
    root.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / ".ci", root / ".ci")
    return root


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    return subprocess.run(
        ["make", *arguments],
        cwd=root,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def one_sentence(run: subprocess.CompletedProcess) -> str:
    """What a make that failed said, without make's own closing line."""
    assert run.returncode != 0
    (line,) = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    return line


@pytest.fixture
def environment(tmp_path):
    """An environment whose python says what it was called with, beside the list of those calls."""
    calls = tmp_path / "calls"
    python = executable(tmp_path / "some env" / "bin" / "python", f'echo "$@" >> "{calls}"')
    calls.touch()
    return python.parent.parent, calls


def test_make_lists_its_targets():
    run = make(ROOT)
    assert (
        [line.split()[1] for line in run.stdout.splitlines()]
        == "help reports docs verify plan test bench gpu-check lab setup-git lint lock release clean env".split()
    )


def test_make_says_which_pythons_it_needs(checkout, tmp_path):
    old = executable(tmp_path / "python3", "exit 1")
    assert "Python 3.11 to 3.14" in one_sentence(make(checkout, "test", f"PYTHON={old}"))
    assert not (checkout / ".venv").exists()


def test_make_says_when_a_python_cannot_make_environments(checkout, tmp_path):
    bare = executable(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    assert "python3-venv" in one_sentence(make(checkout, "test", f"PYTHON={bare}"))
    assert not (checkout / ".venv").exists()


def test_make_passes_by_pythons_that_do_not_run(checkout, tmp_path):
    shim, right = (
        executable(tmp_path / "shims" / "python9", "exit 127"),
        executable(tmp_path / "bin" / "python9", "exit 0"),
    )
    run = make(
        checkout,
        "python",
        "PYTHON=python8 python9",
        PATH=f"{shim.parent}:{right.parent}:{os.environ['PATH']}",
    )
    assert run.stdout.strip() == str(right)


@pytest.mark.parametrize("uv", [True, False])
def test_make_builds_once_and_again_when_the_lock_changes(checkout, tmp_path, uv):
    """uv installs the packages; where it cannot, pip does."""
    fetched = executable(
        tmp_path / "uv", 'case "$*" in *"pip install"*"-r requirements.lock"*) echo uv;; esac'
    )
    fetch = f'cp "{fetched}" .venv/bin/uv' if uv else "true"
    built = executable(
        tmp_path / "built",
        f'case "$*" in *"pip install"*uv==*) {fetch};; *"pip install"*) echo pip;; *pytest*) echo pytest;; esac',
    )
    builder = executable(
        tmp_path / "python3",
        f'case "$*" in *"-m venv"*) mkdir -p .venv/bin; cp "{built}" .venv/bin/python;; esac',
    )
    called = [make(checkout, "test", f"PYTHON={builder}").stdout.split() for _ in range(2)]
    later = (checkout / "requirements.lock").stat().st_mtime + 10
    os.utime(checkout / "requirements.lock", (later, later))
    called.append(make(checkout, "test", f"PYTHON={builder}").stdout.split())
    installer = "uv" if uv else "pip"
    assert called == [[installer, "pytest"], ["pytest"], [installer, "pytest"]]


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_make_takes_the_active_environment(checkout, environment, variable):
    folder, calls = environment
    assert make(checkout, "test", **{variable: str(folder)}).returncode == 0
    assert calls.read_text().splitlines() == ["-I .ci/active_environment.py", PYTEST]
    assert not (checkout / ".venv").exists()


def test_make_env_installs_into_the_active_environment(checkout, environment):
    folder, calls = environment
    assert make(checkout, "env", VIRTUAL_ENV=str(folder)).returncode == 0
    assert (
        calls.read_text().split()
        == "-m pip install --quiet --disable-pip-version-check -r requirements.lock -e .".split()
    )
    assert not (checkout / ".venv").exists()


def test_make_passes_by_the_base_of_conda_and_environments_that_are_gone(
    checkout, environment, tmp_path
):
    folder, calls = environment
    none = f"PYTHON={executable(tmp_path / 'python3', 'exit 1')}"
    assert "finds none" in one_sentence(
        make(checkout, "env", none, CONDA_PREFIX=str(folder), CONDA_DEFAULT_ENV="base")
    )
    assert "finds none" in one_sentence(
        make(checkout, "env", none, VIRTUAL_ENV=str(tmp_path / "gone"))
    )
    assert not calls.read_text()


def test_an_active_environment_that_lacks_packages_is_told_how_to_get_them(checkout, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    sentence = one_sentence(make(checkout, "test", VIRTUAL_ENV=str(tmp_path / "bare")))
    assert "lacks torch, torchvision, torchaudio and more" in sentence and "'make env'" in sentence
    assert not (checkout / ".venv").exists()


def test_make_with_its_own_environment_activated_is_the_same_as_without(checkout):
    executable(checkout / ".venv" / "bin" / "python", 'echo "$@"')
    shutil.copy(checkout / "requirements.lock", checkout / ".venv" / "installed.lock")
    plain, activated = (
        make(checkout, "test"),
        make(checkout, "test", VIRTUAL_ENV=str(checkout / ".venv")),
    )
    assert plain.stdout == activated.stdout == f"{PYTEST}\n"


def test_processes_in_other_folders_take_the_folders_of_the_first(tmp_path):
    """A relative folder is one of the command's own; Snakemake's jobs and kernels start elsewhere."""
    code = "from kdsuite import paths; import os; os.chdir('/'); os.execvp(*{again!r})"
    again = (
        sys.executable,
        [sys.executable, "-c", "from kdsuite import paths; print(paths.REPORTS, paths.FURTHER[0])"],
    )
    done = subprocess.run(
        [sys.executable, "-c", code.format(again=again)], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "KDLIB_REPORTS": "r", "KDLIB_CORPORA": "c", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "r"), str(tmp_path / "c")]
