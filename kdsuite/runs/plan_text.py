"""What a suite will cost, in words: a plan as a table with a few sentences, hours as minutes, days
or years."""

from __future__ import annotations

from typing import Any


def told(found: dict[str, Any]) -> str:
    """Return a plan as a table with a few sentences, to be read in a minute."""
    lines = [f"Suite {found['suite']}: {found['title']}", ""]
    lines.append(
        f"{'stage':10}{'runs':>6}{'missing':>9}{'PFLOP':>10}{'one after another':>20}{'longest':>14}{'memory':>10}"
    )
    for stage, sums in found["stages"].items():
        every, missing = sums["all"], sums["missing"]
        memory = f"{every['memory_bytes'] / 1e9:.1f} GB" if every["memory_bytes"] else "–"
        lines.append(
            f"{stage:10}{every['runs']:>6,}{missing['runs']:>9,}{_figures(every['flops'] / 1e15):>10}{duration(every['hours']):>20}{duration(every['longest_hours']):>14}{memory:>10}"
        )
    machine, h200 = found["machine"], found["h200"]
    assumed = " and ".join(
        f"{speed / 1e12:.0f} TFLOP/s ({precision})"
        for precision, speed in h200["assumed_flops_a_second"].items()
    )
    known = {stage: facts["from_runs"] for stage, facts in found["overhead_seconds"].items()}
    lines += [
        "",
        f"This machine ({machine['device']}, {machine['side_by_side']} run(s) side by side): {duration(found['hours']['all'])} for all, {duration(found['hours']['missing'])} for what is missing.",
        f"One H200: {_figures(h200['hours'])} GPU-hours of training at an ASSUMED {assumed}, not measured; starting the runs takes {duration(h200['overhead_hours'])}.",
        "Most of the arithmetic: "
        + ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in list(found["dominates"].items())[:4]
        )
        + ".",
        "Disk: "
        + ", ".join(f"{name} {_figures(held / 1e9)} GB" for name, held in found["disk"].items())
        + ".",
        "Recordings: "
        + ", ".join(
            f"{name} {of['recordings']:,} in {of['folds']} fold(s), {of['counts']}"
            for name, of in found["corpora"].items()
        )
        + ".",
        "Seconds a run that are not training: "
        + ", ".join(
            f"{stage} {facts['seconds']:.0f} ({f'median of {known[stage]} runs' if known[stage] else 'assumed'})"
            for stage, facts in found["overhead_seconds"].items()
        )
        + ".",
        "Memory is that of the largest training step: weights, gradients, Adam's moments and activations.",
    ]
    return "\n".join(lines)


def _figures(value: float) -> str:
    """Return a number with about three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(hours: float) -> str:
    """Return hours in words: minutes, hours, days or years, whichever are few."""
    for unit, length in (("years", 24 * 365.25), ("days", 48), ("hours", 1)):
        if hours >= length:
            return f"{_figures(hours / (24 if unit == 'days' else length))} {unit}"
    return f"{_figures(60 * hours)} minutes"
