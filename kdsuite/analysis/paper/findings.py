"""What a check of the printed numbers reports: the fixed words of its verdict, the paper's name of
a network, a row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kdsuite.analysis.paper import AGGREGATORS as AGGREGATORS
from kdsuite.analysis.paper import ENCODERS as ENCODERS
from kdsuite.analysis.paper import network as network

EITHER, CUT, ROUNDED = "agrees either way", "agrees when cut", "agrees when rounded"
AGREES, CONTRADICTS, DOUBTFUL, NOT_DERIVABLE = "agrees", "contradicts", "doubtful", "not derivable"
VERDICTS = (EITHER, CUT, ROUNDED, AGREES, CONTRADICTS, DOUBTFUL, NOT_DERIVABLE)


def name(row: Any) -> str:
    """Return :func:`network` of a row's ``backbone`` and ``setting``."""
    return network(row.backbone, row.setting)


def number(value: Decimal, digits: int) -> str:
    """Return a number as sentences show it."""
    return f"{value:.{digits}f}".replace("-", "−")


def listed(numbers: Any, conjunction: str = ", ") -> str:
    """Return numbers one after the other."""
    return conjunction.join(map(str, numbers))


def finding(
    table: int, networks: str, check: str, verdict: str, told: str, **numbers: Any
) -> dict[str, Any]:
    """Return a row of the audit: ``told`` is its sentence, ``numbers`` are its columns from
    ``printed`` to ``implied``."""
    return {
        "table": table,
        "networks": networks,
        "check": check,
        "verdict": verdict,
        "finding": told,
        **numbers,
    }
