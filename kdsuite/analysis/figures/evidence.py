"""Pictures of comparisons: gains with their intervals."""

import pandas as pd

from kdsuite.analysis.figures.style import GREY, INK, METHODS, Picture, styled


@styled
def gains(rows: pd.DataFrame) -> Picture:
    """Show each gain of a dataset and metric with its 95 % interval, in the colour of its method;
    controls are grey.

    ``rows`` are those of :func:`kdsuite.analysis.comparisons.compare_runs` with a column ``label``,
    from top to bottom; one without a number leaves its line empty.
    """
    picture = Picture(figsize=(7.5, 0.9 + 0.27 * len(rows)))
    columns = ["label", "method", "targets", "alpha", "gain", "low", "high", "p"]
    picture.data = rows.filter(columns)
    axes = picture.subplots()
    places = range(len(rows))
    own = rows.targets == "teacher"
    color = [METHODS[method][0] if of else GREY for method, of in zip(rows.method, own)]
    axes.axvline(0, color=INK, lw=1)
    axes.hlines(places, 100 * rows.low, 100 * rows.high, color)
    axes.scatter(100 * rows.gain, places, color=color)
    axes.set(yticks=places, yticklabels=rows.label, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("gain, percentage points, with 95 % interval")
    return picture
