"""Which runs make a suite, and under which name each is filed.

Light: Snakemake reads it at every start.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from kdlib.errors import InvalidParameter, UserError
from kdlib.parameters import GRADIENTS, digest
from kdsuite import places
from kdsuite.parameters import ALL_FOLDS
from kdsuite.settings import SECTIONS, Settings, load, nearest, read_yaml

AXES = tuple(name for name in Settings.model_fields if name not in SECTIONS)
STAGES = {"data": "01_data", "teacher": "02_teacher", "student": "03_student"}
LOG = "papermill.log"
# what an entry of a suite says beside parameters
TRUTH = ("benefit", "about", "over")
# libyaml's, where PyYAML was built with it, writes the same ten times as fast
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Run:
    """One executed notebook: ``stage`` with ``settings``; ``given`` is what papermill is told
    beyond the dataset's file."""

    stage: str
    settings: Settings
    given: dict[str, Any]
    _known: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """The name under which the run is filed, such as ``seresnet-agg-embedding-a0.50-s0``."""
        return key(self.settings, self.stage)

    @cached_property
    def folder(self) -> Path:
        """Where the run leaves its result, predictions and executed notebook."""
        return folder(self.settings, self.stage)

    @cached_property
    def _data(self) -> Path:
        """The result of the data run of these settings, which tells the recordings and trials there
        are."""
        return folder(self.settings, "data") / "result.json"

    @property
    def done(self) -> bool:
        """Whether the run has left its result, and with the parameters of today."""
        return self.state == "done"

    @property
    def state(self) -> str:
        """``done``; ``outdated`` (the result is of other parameters, or of other recordings or
        trials than the data run found); ``failed`` (a notebook or its log, and no result) or
        ``missing``.
        """
        return self._read()[0]

    @property
    def result(self) -> dict[str, Any]:
        """What an analysis asks of the run's result: ``folds``, ``agreement``, ``wall`` seconds and
        provenance; empty where it is not done."""
        state, found = self._read()
        return found if state == "done" else {}

    @property
    def error(self) -> str:
        """What stopped a run that failed: the last line that papermill said."""
        log = self.folder / LOG
        lines = (
            log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        )
        return next(
            (line.strip() for line in reversed(lines) if line.strip()),
            "nothing was said; was it killed, or is the disk full?",
        )

    def _read(self) -> tuple[str, dict[str, Any]]:
        """Return state and result; the file, of which there may be fifty thousand, is read once,
        and again where it has changed."""
        file = self.folder / "result.json"
        try:
            status = file.stat()
        except FileNotFoundError:
            return (
                "failed"
                if any((self.folder / name).exists() for name in ("notebook.ipynb", LOG))
                else "missing"
            ), {}
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._known.get("stamp") != stamp:
            try:
                kept = json.loads(file.read_bytes())
            except ValueError:
                raise UserError(
                    f"{file} is no valid JSON; delete that file and run its notebook again."
                ) from None
            state = (
                "done"
                if same_numbers(kept.get("settings"), self.settings, self.stage)
                else "outdated"
            )
            self._known.update(stamp=stamp, read=(state, _asked(kept)))
        state, found = self._known["read"]
        told = _provenance(self._data)
        differs = any(
            len({found[name], told.get(name)} - {None, ""}) > 1 for name in ("store", "trials")
        )
        return ("outdated" if differs else state), found


def _asked(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a result that an analysis asks for: all of fifty thousand would not fit
    into memory."""
    told = kept.get("provenance", {})
    agreed = {
        int(fold): [
            (epoch["epoch"], *(epoch.get(name, math.nan) for name in GRADIENTS))
            for epoch in epochs
            if {*GRADIENTS} & {*epoch}
        ]
        for fold, epochs in kept.get("history", {}).items()
    }
    return {
        "folds": kept.get("folds", []),
        "agreement": {fold: epochs for fold, epochs in agreed.items() if epochs},
        "wall": kept.get("seconds", {}).get("wall", math.nan),
        **{
            name: told.get(name)
            for name in (
                "device",
                "commit",
                "uncommitted_changes",
                "finished",
                "store",
                "code",
                "trials",
            )
        },
    }


def _provenance(result: Path) -> dict[str, Any]:
    """Return the provenance that a run left in its result, empty where there is none."""
    return _read_provenance(result, result.stat().st_mtime_ns) if result.exists() else {}


@lru_cache
def _read_provenance(result: Path, changed: int) -> dict[str, Any]:
    return json.loads(result.read_bytes()).get("provenance", {})


def same_numbers(kept: dict[str, Any] | None, settings: Settings, stage: str) -> bool:
    """Return whether the parameters that a result was ``kept`` with give the numbers of these
    settings (None: nobody knows, so they do).

    A parameter that the result does not name has its default: new ones make no result outdated.
    """
    if kept is None or kept == settings.canonical().model_dump(mode="json"):
        return True
    try:
        return Settings.model_validate_json(json.dumps(kept)).fingerprint(
            stage
        ) == settings.canonical().fingerprint(stage)
    except ValueError:  # a parameter of that time is none any more
        return False


def key(settings: Settings, stage: str) -> str:
    """Return the name of a run's folder.

    ``-f…`` follows for a part of the folds, ``-x…`` where a section differs from the dataset's file
    in what the stage knows.
    """
    settings = settings.canonical()
    alpha = (
        f"a{settings.alpha:.2f}"
        if round(settings.alpha, 2) == settings.alpha
        else f"a{settings.alpha!r}"
    )
    names = {
        "data": ["all"],
        "teacher": [
            settings.backbone,
            "sequential" if settings.sequential else "nonseq",
            f"s{settings.seed}",
        ],
        "student": [
            settings.backbone,
            settings.setting,
            settings.method,
            alpha,
            f"s{settings.seed}",
        ],
    }[stage]
    if str(settings.folds) != ALL_FOLDS and stage != "data":
        names.append(f"f{str(settings.folds).replace(' ', '').replace(',', '_')}")
    if departures := settings.departures(stage):
        names.append("x" + digest(departures, 6))
    return "-".join(names)


def folder(settings: Settings, stage: str) -> Path:
    """Return the folder of a run."""
    return places.REPORTS / "runs" / settings.dataset / stage / key(settings, stage)


def suites() -> list[str]:
    """Return the names of the suites in ``params/grids``."""
    return sorted(path.stem for path in (places.PARAMS / "grids").glob("*.yaml"))


def read_suite(suite: str) -> dict[str, Any]:
    """Return ``title``, ``runs`` and ``include`` of a suite; raise InvalidParameter where there is
    none of that name."""
    if suite not in suites():
        raise InvalidParameter(
            f"unknown suite {suite!r}{nearest(suite, suites())}choose from {', '.join(suites())}, or write params/grids/{suite}.yaml."
        )
    # with aliases, by which an entry says what it shares with another one
    return read_yaml(places.PARAMS / "grids" / f"{suite}.yaml", aliases=True)


def runs(suite: str) -> list[Run]:
    """Return the runs of a suite in the order of their stages, each once.

    Every entry of ``runs`` is multiplied out over its lists; those of the suites that it names
    under ``include`` follow. Students that differ in nothing that matters (alpha = 0 with any
    method) are one run; data and teacher runs follow from the students.
    """
    found: dict[tuple[str, str, str], Run] = {}
    for entry in entries(suite):
        for given in _multiplied(entry):
            settings = load(**given)
            for stage in needed(settings):
                run = Run(stage, settings.canonical(), _told(given, settings.canonical(), stage))
                found.setdefault((stage, settings.dataset, run.key), run)
    return sorted(found.values(), key=lambda run: list(STAGES).index(run.stage))


def entries(suite: str, within: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the entries of ``runs`` of a suite and of those it includes, ``within`` suites that
    include it.

    Raises InvalidParameter where they are no mappings, or where a suite includes itself.
    """
    told = read_suite(suite)
    found, included = told.get("runs"), told.get("include", [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InvalidParameter(
            f"params/grids/{suite}.yaml has no list 'runs' of mappings such as {{dataset: ravdess, alpha: [0, 0.5]}}; mend that file."
        )
    if not isinstance(included, list) or suite in within:
        raise InvalidParameter(
            f"'include' of params/grids/{(within or (suite,))[-1]}.yaml is no list of other suites such as [controls]; mend that file."
        )
    return found + [entry for other in included for entry in entries(str(other), (*within, suite))]


def _multiplied(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each run of an entry."""
    given = {name: value for name, value in entry.items() if name not in TRUTH}
    axes = [value if isinstance(value, list) else [value] for value in given.values()]
    return (dict(zip(given, values)) for values in itertools.product(*axes))


@dataclass(frozen=True)
class Known:
    """A distilled student of which a suite says whether there is a ``benefit`` for it to find, and
    what the comparison is ``about``.

    Its gain is that over its undistilled twin; where the run is a control and ``over`` is true,
    that of the paper's method over the control.
    """

    run: Run
    benefit: bool
    about: str
    over: bool = False


def known(suite: str) -> list[Known]:
    """Return the distilled students whose entries say ``benefit: true`` or ``false``, in the order
    of the suite; seeds each for itself."""
    return [
        Known(
            Run("student", settings, given),
            bool(entry["benefit"]),
            str(entry.get("about", "")),
            bool(entry.get("over")),
        )
        for entry in entries(suite)
        if "benefit" in entry
        for given in _multiplied(entry)
        if (settings := load(**given)).alpha > 0
    ]


def as_yaml(given: dict[str, Any]) -> str:
    """Return one line for ``papermill -y``; JSON would not do, for YAML reads its 1e-05 as text."""
    return yaml.dump(given, Dumper=DUMPER, default_flow_style=True, width=10**6).strip()


def needed(settings: Settings) -> list[str]:
    """Return the stages of a student run, in their order; an undistilled student needs no teacher."""
    return [stage for stage in STAGES if stage != "teacher" or settings.needs_teacher]


def _told(given: dict[str, Any], settings: Settings, stage: str) -> dict[str, Any]:
    """Return the parameters for papermill: those given, every axis that the stage knows, and the
    sections."""
    axes = {
        "data": ("dataset",),
        "teacher": ("dataset", "backbone", "setting", "folds", "seed"),
    }.get(stage, AXES)
    # the sections whole: what a stage does not know can still decide whether the others' values are
    # allowed
    told = {name: getattr(settings, name) for name in axes} | {
        name: given[name] for name in SECTIONS if name in given
    }
    # em and agg have one teacher: equal runs are told the same, however a suite spells them
    return {**told, "setting": "em"} if stage == "teacher" and settings.sequential else told
