"""The card of a run's kept students: a ``README.md`` beside them with what somebody who uses them
has to know, and, as YAML above it, what the Hugging Face hub reads."""

import pandas as pd

from kdsuite import paths
from kdsuite.analysis import report
from kdsuite.analysis.networks import interval_of
from kdsuite.parameters import ALL_FOLDS, NO_FOLDS
from kdsuite.runs import student_file
from kdsuite.runs.run import Run


def write(run: Run) -> None:
    """Write the card of a run that kept its students.

    The card of a student without a test has the scores of the same run with all folds, and is
    written again together with that one's.
    """
    tested, untested = (
        Run("student", run.settings.changed(folds=folds)) for folds in (ALL_FOLDS, NO_FOLDS)
    )
    cards = [(run, run), (untested, tested)] if run.tested else [(run, tested)]
    for each, scored in cards:
        if kept := student_file.kept(each.folder):
            paths.write_text(each.folder / "README.md", _card(each, kept, scored) + "\n")


def _card(run, kept, scored):
    metric = run.settings.corpus.metrics[0]
    folds, linear = (
        pd.DataFrame(each.result.get("folds", []), columns=["fold", "recordings", metric, "eer"])
        for each in (scored, run.data)
    )
    return report.render(
        "card.md", run=run, of=run.settings, kept=kept, scored=scored, metric=metric,
        folds=folds.assign(linear=folds.fold.map(linear.set_index("fold")[metric])),
        interval=interval_of([scored], metric),
    )  # fmt: skip
