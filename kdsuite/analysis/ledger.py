"""The ledger of everything the paper leaves open: what it says, what this suite does, and what
switches it."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from kdlib.errors import InvalidParameter
from kdsuite import places
from kdsuite.settings import Settings, datasets, load

MARKS = ("choice", "elsewhere", "decoded")
COLUMNS = [
    "id",
    "question",
    "says",
    "mark",
    "default",
    "alternatives",
    "parameter",
    "dataset",
    "settled",
]


def entries() -> list[dict[str, Any]]:
    """Return the entries of ``ledger.yaml`` as they are written there, in their order."""
    return yaml.safe_load((Path(__file__).parent / "ledger.yaml").read_text(encoding="utf-8"))


def ledger() -> pd.DataFrame:
    """Return the ledger as text, one row an entry, columns COLUMNS; where a parameter is named, the
    default is the code's own.

    That of a dataset whose file is not in ``params``, which ``$KDLIB_PARAMS`` may have moved, is as
    written.
    """
    found = {None, *datasets()}
    rows = [
        {
            **entry,
            "default": in_code(entry)
            if "parameter" in entry and entry.get("dataset") in found
            else entry["default"],
        }
        for entry in entries()
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(object)
    shown = frame.assign(
        default=frame.default.map(_text),
        alternatives=[" · ".join(map(_text, row["alternatives"])) for row in rows],
    )
    effects = measured_effects()
    shown["effect"] = [effects.get(parameter, "") for parameter in frame.parameter]
    return shown.where(shown.notna(), "")


def measured_effects() -> dict[str, str]:
    """Return by parameter how many points each alternative moved the distilled student.

    They are those of the suite ``ledger`` as it was run last; none where its table is absent.
    """
    file = places.REPORTS / "ledger" / "tables" / "sensitivity.csv"
    if not file.exists():
        return {}
    rows = pd.read_csv(file).dropna(subset=["effect"]).drop_duplicates("departure")
    effects: dict[str, list[str]] = {}
    for row in rows.itertuples():
        # of two parameters that only make sense together, the last one is the alternative
        parameter, _, value = row.departure.split("; ")[-1].partition("=")
        effects.setdefault(parameter, []).append(f"{value}: {row.effect:+.1f}")
    return {parameter: " · ".join(texts) for parameter, texts in effects.items()}


def _text(value: Any) -> str:
    """Return a value as a parameters file has it, nothing as words."""
    if isinstance(value, str):
        return value or "none"
    return (
        "not given"
        if value is None
        else yaml.safe_dump(value, default_flow_style=True, width=1000)
        .removesuffix("...\n")
        .strip()
    )


def in_code(entry: dict[str, Any]) -> Any:
    """Return the default of the entry's parameter in the code, or in the file of the entry's
    dataset; a pair as a list.

    Raises InvalidParameter where there is no parameter of that name.
    """
    usual = load(dataset=entry["dataset"]) if "dataset" in entry else Settings()
    try:
        return value_of(entry["parameter"], usual)
    except AttributeError:
        raise InvalidParameter(
            f"entry {entry['id']} of ledger.yaml names the parameter '{entry['parameter']}', which does not exist; mend that file."
        ) from None


def value_of(parameter: str, settings: Settings) -> Any:
    """Return a parameter by its dotted name, a pair as a list; raise AttributeError where there is
    none."""
    value = reduce(getattr, parameter.split("."), settings)
    return list(value) if isinstance(value, tuple) else value


def overlay(parameter: str, value: Any) -> dict[str, Any]:
    """Return what :func:`kdsuite.settings.load` is given to set a parameter by its dotted name,
    such as ``{"media": {"hop": 0.015}}``."""
    return reduce(lambda inner, name: {name: inner}, reversed(parameter.split(".")), value)


def drifted() -> list[str]:
    """Return a sentence for each entry whose written default is not the code's own any more."""
    told = [(entry, in_code(entry)) for entry in entries() if "parameter" in entry]
    return [
        f"entry {entry['id']}: {entry['parameter']} is {value!r} in the code, {entry['default']!r} in ledger.yaml."
        for entry, value in told
        if value != entry["default"]
    ]


def write(folder: Path) -> None:
    """Write ``ledger.csv``."""
    with places.replacing(folder / "ledger.csv") as temporary:
        ledger().to_csv(temporary, index=False)
