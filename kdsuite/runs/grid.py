"""Which runs make a suite.

Light: Snakemake reads it at every start.
"""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.runs.run import STAGES, Run, needed
from kdsuite.settings import called, load, read_yaml, unknown

# what an entry of a suite says beside parameters
TRUTH = ("benefit", "about", "over")
# libyaml's, where PyYAML was built with it, writes the same ten times as fast
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def suites() -> dict[str, Path]:
    """Return the files of the suites in ``params/grids`` by their names."""
    return paths.parameter_files("grids")


def read_suite(suite: str) -> dict[str, Any]:
    """Return ``title``, ``runs`` and ``include`` of a suite; raise InvalidParameter where there is
    none of that name."""
    if suite not in suites():
        remedy = f", or write {paths.PARAMS / 'grids' / suite}.yaml"
        raise unknown(f"unknown suite {suite!r}", suite, suites(), remedy)
    # with aliases, by which an entry says what it shares with another one
    return read_yaml(suites()[suite], aliases=True)


def members(suite: str, within: tuple[str, ...] = ()) -> list[str]:
    """Return a suite and those it includes, ``within`` suites that include it.

    Raises InvalidParameter where their ``runs`` are no mappings, or where a suite includes itself.
    """
    values = read_suite(suite)
    own, included = values.get("runs"), values.get("include", [])
    if suite in within:
        chain = " > ".join((*within, suite))
        raise InvalidParameter(f"suite {suite!r} includes itself ({chain}); remove one 'include'.")
    lists = isinstance(own, list) and isinstance(included, list)
    if not lists or not all(isinstance(entry, dict) for entry in own):
        raise InvalidParameter(
            f"params/grids/{suite}.yaml needs a list 'runs' of mappings such as {{dataset: ravdess,"
            " alpha: [0, 0.5]}, and under 'include' may have a list of other suites such as"
            " [controls]; correct that file."
        )
    others = [called(other, suites()) for other in included]
    return [suite] + [each for other in others for each in members(other, (*within, suite))]


def entries(suite: str) -> list[dict[str, Any]]:
    """Return the entries of ``runs`` of a suite and of those it includes; errors as of
    :func:`members`."""
    return [entry for each in members(suite) for entry in read_suite(each)["runs"]]


def _students(entry):
    """Yield the settings of each student of an entry: one for each combination of the values in its
    lists."""
    parameters = {str(name): value for name, value in entry.items() if name not in TRUTH}
    axes = [value if isinstance(value, list) else [value] for value in parameters.values()]
    for values in itertools.product(*axes):
        yield load(**dict(zip(parameters, values)))


def runs(suite: str) -> list[Run]:
    """Return the runs of a suite in the order of their stages, each once.

    Every entry of ``runs`` is multiplied out over its lists; those of the suites that it names
    under ``include`` follow. Students that differ in nothing that matters (alpha = 0 with any
    method) are one run; data and teacher runs follow from the students.
    """
    by_folder = {}
    for settings in itertools.chain(*map(_students, entries(suite))):
        for stage in needed(settings):
            run = Run(stage, settings)
            by_folder.setdefault(run.folder, run)
    return sorted(by_folder.values(), key=lambda run: list(STAGES).index(run.stage))


class Known(NamedTuple):
    """A distilled student of which a suite says whether there is a ``benefit`` for it to find, and
    what the comparison is ``about``.

    Its gain is that over its undistilled student; where the run is a control and ``over`` is true,
    that of the paper's method over the control.
    """

    run: Run
    benefit: bool
    about: str = ""
    over: bool = False


def known(suite: str) -> list[Known]:
    """Return the distilled students whose entries say ``benefit: true`` or ``false``, in the order
    of the suite, each seed by itself."""
    return [
        Known(Run("student", settings), **{name: entry[name] for name in TRUTH if name in entry})
        for entry in entries(suite)
        if "benefit" in entry
        for settings in _students(entry)
        if settings.alpha > 0
    ]


def as_yaml(parameters: dict[str, Any]) -> str:
    """Return one line for ``papermill -y``; JSON would not do, for YAML reads its 1e-05 as text."""
    return yaml.dump(parameters, Dumper=DUMPER, default_flow_style=True, width=10**6).strip()
