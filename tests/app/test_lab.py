"""Notebook 5 as its users meet it: JupyterLab in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from kdsuite import paths
from tests.test_readme import SMALL, SYNTHETIC

BIN = Path(sys.executable).parent
PATIENCE = 60_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with notebook 5, and the environment in which an undistilled and a distilled
    student of it are finished."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "params" / "grids").mkdir(parents=True)
    values = yaml.safe_load((paths.PARAMS / "demo-ravdess.yaml").read_text())
    for section, changed in SMALL.items():
        values[section] = {**values[section], **changed}
    values["corpus"]["synthetic"] = SYNTHETIC
    (folder / "params" / "demo-ravdess.yaml").write_text(yaml.safe_dump(values))
    (folder / "notebooks").mkdir()
    shutil.copy(paths.ROOT / "notebooks" / "05_explore.ipynb", folder / "notebooks")
    set_to = {
        "KDLIB_PARAMS": "params",
        "KDLIB_DATA": "data",
        "KDLIB_REPORTS": "reports",
        "JUPYTER_CONFIG_DIR": "jupyter",
    }
    environment = {
        **os.environ,
        **{name: str(folder / value) for name, value in set_to.items()},
        "OMP_NUM_THREADS": "1",
    }
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    for alpha in ("0", "0.5"):
        command = [
            "papermill",
            "--no-progress-bar",
            paths.ROOT / "notebooks" / "03_student.ipynb",
            folder / "run.ipynb",
            "-p",
            "alpha",
            alpha,
        ]
        subprocess.run(
            command, env=environment, check=True, capture_output=True, stdin=subprocess.DEVNULL
        )
    return folder, environment


@pytest.fixture(scope="module")
def lab(home):
    """Yield the address of a JupyterLab that serves the folder, to this machine alone."""
    folder, environment = home
    with (folder / "lab.log").open("w") as log:
        command = [
            "jupyter",
            "lab",
            folder / "notebooks",
            "--no-browser",
            "--allow-root",
            "--port-retries=100",
            "--IdentityProvider.token=told",
        ]
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 60
            while not (
                said := re.search(
                    r"(http://(?:localhost|127\.0\.0\.1):\d+)/lab", (folder / "lab.log").read_text()
                )
            ):
                assert server.poll() is None and time.monotonic() < until, (
                    folder / "lab.log"
                ).read_text()
                time.sleep(0.2)
            yield said[1]
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def notebook(lab, browser):  # noqa: F811
    """Yield notebook 5 in the browser once all its cells have run; the page is so high that Lab
    draws every cell."""
    page = browser.new_page(viewport={"width": 1400, "height": 5200})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{lab}/lab/tree/05_explore.ipynb?token=told")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every((each) => /\\[\\d+\\]/.test(each.textContent))"
    )
    yield page
    page.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_cells_run_and_the_list_of_recordings_moves_what_is_below_each_view(notebook):
    """Students of α = 0 and 0.5 are there: two pictures of the recording, and two of each student."""
    tables = notebook.locator(".jp-Notebook table")
    tables.filter(has_text="α = 0.5").wait_for()
    tables.filter(has_text="undistilled").wait_for()
    assert notebook.locator(".jp-Notebook audio").count() == 1
    pictures = ".jp-Notebook .widget-html img"
    notebook.wait_for_function(f"document.querySelectorAll('{pictures}').length === 6")
    before = [notebook.locator(pictures).nth(number).get_attribute("src") for number in range(6)]

    recordings = notebook.locator(".jp-Notebook select").first
    source = "document.querySelector('.jp-Notebook audio source')?.getAttribute('src')"
    audio = notebook.evaluate(source)
    recordings.select_option(index=3)
    notebook.wait_for_function(f"(before) => ![undefined, before].includes({source})", arg=audio)
    moved = f"(before) => [...document.querySelectorAll('{pictures}')].filter((each) => !before.includes(each.getAttribute('src'))).length === 6"
    notebook.wait_for_function(moved, arg=before)
    assert (
        notebook.locator(
            ".jp-Notebook [data-mime-type*=stderr], .jp-Notebook [data-mime-type*=error]"
        ).count()
        == 0
    )
    if picture := os.environ.get("KDLIB_PICTURES"):
        notebook.screenshot(path=Path(picture) / "lab.png")


@pytest.mark.slow
def test_where_something_is_missing_it_says_what_to_run(home, tmp_path):
    folder, environment = home
    command = [
        "papermill",
        "--no-progress-bar",
        paths.ROOT / "notebooks" / "05_explore.ipynb",
        tmp_path / "out.ipynb",
        "-p",
        "seed",
        "7",
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "out.ipynb").read_text()
    assert (
        "No SEResNet teacher is trained yet" in told
        and "No α = 0.5 student of this network was kept" in told
    )
