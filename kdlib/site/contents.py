"""In which order a suite's figures and tables are shown, and what stands in for those that nobody made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdlib.tables import Table

# heading, what to look at, and what belongs there
PLAN = (
    (
        "method",
        "The method",
        "A teacher watches the faces and is frozen; a student that only hears is pulled towards what the teacher saw.",
        ("figure1", "figure2", "figure3"),
    ),
    ("networks", "The networks", "Layer by layer as they are built, at full size.", ("table1", "table2", "table3", "parameters")),
    (
        "results",
        "Results beside the paper’s",
        "Each number of this suite leads to the executed notebook it comes from.",
        ("table6", "table4", "table5", "table7"),
    ),
    (
        "alpha",
        "The imitation parameter",
        "From the undistilled student (α\u00a0=\u00a00) to one that follows the teacher alone (α\u00a0=\u00a01).",
        ("figure5", "figure4", "figure6"),
    ),
)
FURTHER = ("further", "Further tables and figures", "", ())


@dataclass(frozen=True)
class Section:
    """A part of the page: its ``items`` are tables, figures, or (name, title) of what was not made."""

    anchor: str
    title: str
    lead: str
    items: list[tuple[str, Any]]


def sections(figures: Sequence[Any], tables: Sequence[Table]) -> list[Section]:
    """Return the page's parts in order; tables that have our numbers come before those that have none."""
    made = {**{figure.name: ("figure", figure) for figure in figures}, **{table.name: ("table", table) for table in tables}}
    found, shown = [], set()
    for anchor, title, lead, names in PLAN:
        wanted = [further for name in names for further in (name, *(other for other in made if other.startswith(f"{name}-")))]
        items = [made.get(name) or ("nothing", (name, _title(name))) for name in wanted]
        found.append(Section(anchor, title, lead, sorted(items, key=_is_absent)))
        shown |= set(wanted)
    rest = [item for name, item in made.items() if name not in shown]
    return found + ([Section(*FURTHER[:3], rest)] if rest else [])


def _is_absent(item: tuple[str, Any]) -> bool:
    kind, what = item
    return kind == "nothing" or bool(getattr(what, "absent", "") or getattr(what, "missing", "") and kind == "figure")


def _title(name: str) -> str:
    """Return how a figure or table nobody made is called."""
    return name.replace("figure", "Figure ").replace("table", "Table ").capitalize()
