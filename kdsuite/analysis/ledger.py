"""The ledger of everything the paper leaves open: what it says, what this suite does, and what
switches it."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from kdsuite import paths
from kdsuite.settings import Settings, datasets, load


def entries() -> list[dict[str, Any]]:
    """Return the entries of ``ledger.yaml`` as they are written there, in their order."""
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def ledger() -> pd.DataFrame:
    """Return the ledger as text, one row an entry of ``ledger.yaml``, with its keys and ``effect``;
    where a parameter is named, the default is the code's own.

    That of a dataset whose file is not in ``params``, which ``$KDLIB_PARAMS`` may have moved, is as
    written.
    """
    effects, known = measured_effects(), {None, *datasets()}
    rows = []
    for entry in entries():
        parameter, default = entry.get("parameter"), entry["default"]
        if parameter and entry.get("dataset") in known:
            default = in_code(entry)
        rows.append(
            {
                **entry,
                "default": _text(default),
                "alternatives": " · ".join(map(_text, entry["alternatives"])),
                "effect": effects.get(parameter, ""),
            }
        )
    return pd.DataFrame(rows).fillna("")


def measured_effects() -> dict[str, str]:
    """Return by parameter how many points each alternative moved the distilled student.

    They are those of the suite ``ledger`` as it was run last; none where its table is absent.
    """
    file = paths.REPORTS / "ledger" / "tables" / "sensitivity.csv"
    if not file.exists():
        return {}
    rows = pd.read_csv(file).dropna(subset=["effect"]).drop_duplicates("departure")
    # of two parameters that only make sense together, the last one is the alternative
    last = rows.departure.str.split("; ").str[-1].str.split("=", n=1)
    moved = last.str[1] + rows.effect.map(": {:+.1f}".format)
    return moved.groupby(last.str[0]).agg(" · ".join).to_dict()


def _text(value: Any) -> str:
    """Return a value as a parameters file has it, nothing as words."""
    if isinstance(value, str):
        return value or "none"
    if value is None:
        return "not given"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def in_code(entry: dict[str, Any]) -> Any:
    """Return the default of the entry's parameter in the code, or in the file of the entry's
    dataset; a pair as a list."""
    settings = load(dataset=entry["dataset"]) if "dataset" in entry else Settings()
    value = reduce(getattr, entry["parameter"].split("."), settings)
    return list(value) if isinstance(value, tuple) else value
