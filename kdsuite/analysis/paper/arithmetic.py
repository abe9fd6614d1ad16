"""Arithmetic with printed numbers: exact decimals, digits cut or rounded, and the search for a
number that would fit.

Floats will not do: 0.1 is none, and whether 1.595 was cut or rounded is decided in the digit behind
the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from itertools import product
from typing import Any

from kdsuite.analysis.paper.findings import CONTRADICTS, CUT, EITHER, ROUNDED


def exact(value: Any) -> Decimal:
    """Return the decimal number that was printed, from its text or the float it was read as."""
    return Decimal(str(value))


def digits(values: Iterable[float]) -> int:
    """Return how many digits behind the point a printed column has; trailing zeros may be lost, but
    hardly in every row."""
    return max(-int(exact(value).normalize().as_tuple().exponent) for value in [*values, 0])


def cut(value: Decimal, places: int) -> Decimal:
    """Drop the digits beyond ``places``, towards zero."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_DOWN)


def rounded(value: Decimal, places: int) -> Decimal:
    """Round to ``places`` digits, a half away from zero."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def judge(printed: Decimal, value: Decimal, places: int) -> str:
    """Return in fixed words how the printed number agrees with the exact one."""
    agrees = (cut(value, places) == printed, rounded(value, places) == printed)
    return {
        (True, True): EITHER,
        (True, False): CUT,
        (False, True): ROUNDED,
        (False, False): CONTRADICTS,
    }[agrees]


def change(before: Decimal, after: Decimal, falls: bool = False) -> Decimal:
    """Return the relative improvement in percent; where the better number ``falls``, as an error
    rate does, the other way round."""
    return (before - after if falls else after - before) / before * 100


def span(
    formula: Callable[..., Decimal], places: int, *operands: Decimal
) -> tuple[Decimal, Decimal]:
    """Return the lowest and highest value of ``formula`` for operands that were themselves rounded
    to ``places`` digits."""
    half = Decimal("0.5").scaleb(-places)
    values = [
        formula(*corner)
        for corner in product(*((operand - half, operand + half) for operand in operands))
    ]
    return min(values), max(values)


def fitting(
    printed: Decimal, places: int, formula: Callable[[Decimal], Decimal], operand_places: int
) -> list[Decimal]:
    """Return every percentage of ``operand_places`` digits, above 0 up to 100, from which
    ``formula`` gives the printed number."""
    step = Decimal(1).scaleb(-operand_places)
    every = (number * step for number in range(1, int(100 / step) + 1))
    return [
        candidate
        for candidate in every
        if judge(printed, formula(candidate), places) != CONTRADICTS
    ]
