"""Ends in one sentence where the active environment lacks what kdlib needs; says so where versions
differ from the pins."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    found = "{}.{}".format(
        *sys.version_info
    )  # no f-string: Pythons that are too old read this, too
    sys.exit(
        "The active environment "
        + sys.prefix
        + " has Python "
        + found
        + " and kdlib needs 3.11 to 3.14: deactivate it."
    )

import importlib.util  # noqa: E402
import re  # noqa: E402
import tomllib  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def installed(name: str) -> str | None:
    """The version without its local part (torch's 2.11.0+cu128 is 2.11.0)."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
needed = [
    re.match(r"[\w.-]+", line)[0]
    for line in project["dependencies"] + extras["suite"] + extras["test"]
]
pins = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text()))
versions = {name: installed(name) for name in needed}
missing = [name for name, version in versions.items() if version is None]
other = [
    f"{name} {version} (not {pins[name]})"
    for name, version in versions.items()
    if version not in (None, pins[name])
]
kdlib = importlib.util.find_spec("kdlib")

if missing or kdlib is None:
    sys.exit(
        f"The active environment {sys.prefix} lacks {', '.join((missing or ['kdlib'])[:3])}{' and more' if len(missing) > 3 else ''}: "
        "'make env' installs requirements.lock and kdlib into it, or deactivate it and make builds .venv."
    )
if not Path(kdlib.origin).resolve().is_relative_to(ROOT):
    sys.exit(
        f"The active environment {sys.prefix} has the kdlib of {Path(kdlib.origin).parents[1]}: 'make env' installs this one instead."
    )
if other:
    print(
        f"Note: the active environment {sys.prefix} differs from the pins in {', '.join(other)}.",
        file=sys.stderr,
    )
