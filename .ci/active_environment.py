"""Ends in one sentence where the active environment lacks what kdlib needs; says so where versions
differ from the pins."""

import sys

if sys.version_info[:2] not in [(3, 11), (3, 12)]:
    found = "{}.{}".format(
        *sys.version_info
    )  # no f-string: Pythons that are too old read this, too
    sys.exit(
        "The active environment "
        + sys.prefix
        + " has Python "
        + found
        + " and kdlib needs 3.11 or 3.12: deactivate it."
    )

import importlib.util  # noqa: E402
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
pins = dict(
    pin.split("==") for pin in project["dependencies"] + project["optional-dependencies"]["test"]
)
versions = {name: installed(name) for name in pins}
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
