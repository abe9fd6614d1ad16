"""Which pages a suite's site has, one a question, in which order figures and tables are shown, and
what stands in for those nobody made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdsuite.analysis.tables import Table


@dataclass(frozen=True)
class Question:
    """A page: ``name`` of its file, what it is called in the list of pages, the question, what to
    look at, and what belongs there."""

    name: str
    short: str
    title: str
    lead: str
    items: tuple[str, ...]


PLAN = (
    Question(
        "claims",
        "Claims",
        "Do the paper’s claims hold?",
        "Each claim, what was run for it, and a verdict by fixed rules.",
        ("claims",),
    ),
    Question(
        "gains",
        "Gains",
        "Is a gain real?",
        "Students that differ in nothing but the teacher, compared recording by recording: how large the gain is, how sure, and what this design could have seen at all.",
        ("figure-gains", "gains", "fractions", "designs"),
    ),
    Question(
        "results",
        "Beside the paper",
        "Do the numbers agree with the paper’s?",
        "Each number of this suite leads to the executed notebook it comes from.",
        ("table6", "table4", "table5", "table7"),
    ),
    Question(
        "alpha",
        "α",
        "How much teacher is best?",
        "From the undistilled student (α\u00a0=\u00a00) to one that follows the teacher alone (α\u00a0=\u00a01).",
        ("figure5", "figure4", "figure6", "alpha-choice", "figure-share", "figure-agreement"),
    ),
    Question(
        "controls",
        "Controls",
        "Is it the video?",
        "The same student with the same budget, drawn to something that tells less than the video of its own recording.",
        ("figure-known", "known", "figure-controls", "controls"),
    ),
    Question(
        "audit",
        "Audit",
        "Are the printed numbers right?",
        "Each derived number of the paper, computed again from its neighbours.",
        ("audit",),
    ),
    Question(
        "ledger",
        "Ledger",
        "What does the paper leave open?",
        "Each choice that somebody who reproduces the paper has to make, and how far it moves the numbers.",
        ("sensitivity", "ledger"),
    ),
    Question(
        "method",
        "Method",
        "What is the method?",
        "A teacher watches the faces and is frozen; a student that only hears is pulled towards what the teacher saw. The tables list the networks layer by layer as they are built, at full size.",
        ("figure1", "figure2", "figure3", "table1", "table2", "table3", "parameters"),
    ),
)
# only a suite that says what is there to be found has these
OF_SOME = {"figure-known", "known"}
FURTHER = Question(
    "further",
    "Further",
    "What else was made?",
    "Tables and figures that belong to no question above.",
    (),
)


@dataclass(frozen=True)
class Page:
    """A question with the ``items`` of its page: tables, figures, or (name, title) of what was not
    made."""

    question: Question
    items: list[tuple[str, Any]]

    @property
    def name(self) -> str:
        """The name of the page's file without its ending."""
        return self.question.name


def pages(figures: Sequence[Any], tables: Sequence[Table]) -> list[Page]:
    """Return the pages in order; what has numbers or a picture comes before what has none."""
    made = {
        **{figure.name: ("figure", figure) for figure in figures},
        **{table.name: ("table", table) for table in tables},
    }
    found, shown = [], set()
    for question in PLAN:
        wanted = [
            further
            for name in question.items
            for further in (name, *(other for other in made if other.startswith(f"{name}-")))
        ]
        # of a kind of figure that is drawn for each dataset nothing is missing where there is one
        several = {
            name
            for name in question.items
            if name.startswith("figure-") and any(other.startswith(f"{name}-") for other in made)
        }
        wanted = [
            name
            for name in dict.fromkeys(wanted)
            if name not in shown | several | OF_SOME - set(made)
        ]
        items = [made.get(name) or ("nothing", (name, _title(name))) for name in wanted]
        found.append(Page(question, sorted(items, key=_is_absent)))
        shown |= set(wanted)
    rest = [item for name, item in made.items() if name not in shown]
    return found + ([Page(FURTHER, rest)] if rest else [])


def _is_absent(item: tuple[str, Any]) -> bool:
    kind, what = item
    return kind == "nothing" or bool(
        getattr(what, "absent", "") or getattr(what, "missing", "") and kind == "figure"
    )


def _title(name: str) -> str:
    """Return how a figure or table nobody made is called."""
    return (
        name.replace("figure-", "Figure: ")
        .replace("figure", "Figure ")
        .replace("table", "Table ")
        .capitalize()
    )
