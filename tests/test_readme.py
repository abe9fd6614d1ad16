"""Every command of the README and of ``docs/`` is run, as it stands there, on corpora and networks
small enough for a test.

A block of commands is one script, so that what it says of a shell variable holds for the lines
below it; commands that stand in several places are run once. Only what takes hours, asks for the
network or for a cluster is not run whole: see ``INSTEAD``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import yaml

from kdsuite import paths
from kdsuite.runs import grid

PROGRAMS = r"(?:[A-Z]+=\$|(?:make|papermill|python|pip|source|snakemake|kdlib|docker|\.venv/bin/\w+|conda|nbdiff\S*|jupyter)\b)"
# what stands there, and what is run for it: make says what it would do, and nobody installs,
# downloads or submits anything
INSTEAD = {
    r"^make ": "make --dry-run ",
    r"kdlib forecast .*": "kdlib forecast --help",
    r"benchmarks.gpu_check": "benchmarks.gpu_check --help",
    r"^source .*": "",
    r"^conda .*": "",
    r"^docker .*": "",
    r"^kdlib reports ([^-]+).*": r"kdlib reports \1 --dry-run",
    r"^kdlib (\w+)$": r"kdlib \1 --help",
    r"^kdlib run student OUT.*": "kdlib run --help",
    r"^pip install .*": "",
    r"kdlib fetch .*": "kdlib fetch --help",
    r"^nbdiff-web ": "nbdiff ",
    r"\.venv/bin/snakemake": "snakemake --dry-run --quiet",
    r"--profile \S+": "--cores 1",
}
SMALL = {
    "corpus": {"groups": 2},
    "media": {
        "frame_size": 32, "frame_stride": 5, "duration": 1.6, "segment": 0.8, "front_end": "logmel", "bins": 16, "hop": 0.04, "window": 0.03,
    },
    "model": {"embedding": 8, "width": 0.05, "teacher_width": 0.03, "reduction": 4, "teacher_batchnorm": True, "teacher_layers": 2, "lstm_activation": "relu"},
    "training": {"epochs": 1, "batch_size": 8, "teacher_epochs": 1, "teacher_frames": 2, "cycle": 0.5, "learning_rate": [0.0005, 0.005]},
}  # fmt: skip
FIRST = "papermill notebooks/01_data.ipynb OUT.ipynb"
SYNTHETIC = {"actors": 4, "takes": 14, "actors_without_song": [3], "seconds": 1.6}


def blocks(text: str) -> list[list[str]]:
    """Return the commands of each indented block, and each command between backticks as a block of
    its own; comments are cut."""
    found = re.findall(rf"(?:^    {PROGRAMS}.*\n)+", text, re.M)
    inline = re.findall(rf"`({PROGRAMS}[^`]* [^`]+)`", text)
    parts = [
        [re.sub(r" +# .*", "", line.strip()) for line in block.splitlines()] for block in found
    ]
    return parts + [[one for one in command.split(" && ")] for command in inline]


def once(found: list[list[str]]) -> list[list[str]]:
    """Return the blocks, largest first, without those whose commands stand in a larger one, in the
    same order."""
    kept: list[list[str]] = []
    for block in sorted(found, key=len, reverse=True):
        if not any(
            block == other[start : start + len(block)]
            for other in kept
            for start in range(len(other))
        ):
            kept.append(block)
    return kept


PAGES = [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]
COMMANDS = {page: blocks(page.read_text()) for page in PAGES}
BLOCKS = once([block for found in COMMANDS.values() for block in found])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a folder that looks like the repository, with small parameters, and with recordings of
    one's own in a manifest."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (
        "notebooks",
        "benchmarks",
        "docs",
        "Snakefile",
        "Makefile",
        "kdlib",
        "pyproject.toml",
        "requirements.lock",
    ):
        (folder / name).symlink_to(paths.ROOT / name)
    shutil.copytree(paths.ROOT / "params", folder / "params")
    for file in (folder / "params").glob("*.yaml"):
        values = yaml.safe_load(file.read_text())
        merged = {name: {**values.get(name, {}), **SMALL[name]} for name in SMALL}
        demo = paths.PARAMS / f"demo-{file.stem.removeprefix('demo-')}.yaml"
        if (
            demo.exists()
        ):  # `ravdess` and the others too: their trees are written in place of the download
            usual = yaml.safe_load(demo.read_text())["corpus"]
            merged["corpus"] |= {
                "path": usual["path"],
                "synthetic": {**usual["synthetic"], **SYNTHETIC},
            }
        file.write_text(yaml.safe_dump({**values, **merged}))
    run(folder, FIRST)
    takes = sorted((folder / "data/corpora/demo-ravdess").glob("Actor_*/*.mp4"))
    lines = [
        f"{take},{take},{take.parent.name},{take.name[6:8]},{('train', 'train', 'test')[number % 3]}"
        for number, take in enumerate(takes)
    ]
    (folder / "data/corpora/mine.csv").write_text(
        "\n".join(["audio,video,speaker,label,split", *lines]) + "\n"
    )
    mine = yaml.safe_load((folder / "params/grid-example.yaml").read_text())
    mine |= {
        "dataset": "mine",
        "corpus": {"layout": "manifest", "path": "mine.csv", "protocol": "given"},
    }
    (folder / "params/mine.yaml").write_text(yaml.safe_dump(mine))
    for name in ("FIRST", "SECOND", "SOUND"):
        soundfile.write(
            folder / f"{name}.wav", np.random.default_rng(0).normal(0, 0.1, 24000), 16000
        )
    return folder


def run(folder, script: str) -> str:
    """Run a script as a user in an activated environment does; its output is the error where it
    fails."""
    environment = {
        **os.environ,
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PYTHONPATH": str(paths.ROOT),
        "OMP_NUM_THREADS": "1",
        **{f"KDLIB_{name.upper()}": str(folder / name) for name in ("params", "data", "reports")},
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def instead(command: str) -> str:
    """Return what is run for a command."""
    for pattern, other in INSTEAD.items():
        command = re.sub(pattern, other, command)
    return command


def test_readme_and_documentation_have_commands_and_each_is_run():
    assert len(BLOCKS) >= 12 and sum(map(len, BLOCKS)) >= 40
    run_once = {command for block in BLOCKS for command in block}
    for page, found in COMMANDS.items():
        assert found or page.name == "columns.md", f"{page.name}: the pattern finds no command"
        assert {command for block in found for command in block} <= run_once


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_suites_that_are_named_exist(page):
    """`make --dry-run` does not look for them."""
    names = re.findall(r"SUITE=(\w[\w-]*)|suite=(\w[\w-]*)", page.read_text())
    assert {one or other for one, other in names} <= {*grid.suites(), "mine"}


def test_the_readme_is_short():
    assert len(PAGES[0].read_text().split()) <= 1200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_the_readme_to_every_page(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local, anchors = set(), []
    for link in links:
        file, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            local.add((page.parent / file).resolve() if file else page)
            anchors += [(file or page.name, anchor)] if anchor else []
    assert not [str(path) for path in local if not path.exists()]
    for file, anchor in anchors:
        headings = re.findall(r"(?m)^#+ (.*)$", (page.parent / file).read_text())
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, (file, anchor)
    if page == PAGES[0]:
        assert local >= set(PAGES[1:])


@pytest.fixture(scope="module")
def done():
    """The commands that were run."""
    return {FIRST}


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=["; ".join(block)[:90] for block in BLOCKS])
def test_commands_do_what_they_say(checkout, done, block):
    new = [command for command in map(instead, block) if command and command not in done]
    if new:
        run(checkout, "\n".join(new))
    # the variables of a block are those of its own shell
    done |= {
        command
        for command in new
        if command.startswith(("papermill", "snakemake", "kdlib reports"))
    }
