"""A run: one notebook with its settings, under which name it is filed, and whether its result is
there and still right.

Light: Snakemake reads it at every start.
"""

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from kdlib.errors import UserError
from kdlib.parameters import digest
from kdsuite import paths
from kdsuite.parameters import ALL_FOLDS
from kdsuite.runs import sources
from kdsuite.settings import SECTIONS, Settings, relevant

STAGES = {"data": "01_data", "teacher": "02_teacher", "student": "03_student"}
LOG = "papermill.log"
KEYS = {
    "data": "all",
    "teacher": "{0.backbone}-{teacher}-s{0.seed}",
    "student": "{0.backbone}-{0.setting}-{0.method}-a{alpha}-s{0.seed}",
}
# the axes that the notebook of a stage has as parameters
AXES = {*Settings.model_fields} - {*SECTIONS}
AXES_OF = {"data": {"dataset"}, "teacher": AXES - {"method", "alpha"}, "student": AXES}
# what a result tells of its inputs beside parameters: the decoded recordings, the verification
# trials, the corpus' own folds, the code, the pretrained weights
CORPUS = ("store", "trials", "split")
INPUTS = (*CORPUS, "code", "weights")
PROVENANCE = ("device", "precision", "repeat", "commit", "uncommitted_changes", "finished", *INPUTS)


@dataclass(frozen=True)
class Run:
    """One executed notebook: ``stage`` with ``settings``, which become those it is filed under."""

    stage: str
    settings: Settings

    def __post_init__(self) -> None:
        settings = self.settings
        if self.stage == "student":
            settings = settings.canonical()
        if self.stage == "data":  # one run for all folds
            settings = settings.model_copy(update={"folds": ALL_FOLDS})
        object.__setattr__(self, "settings", settings)

    @cached_property
    def key(self) -> str:
        """The name under which the run is filed, such as ``seresnet-agg-embedding-a0.50-s0``.

        ``-f…`` follows for a part of the folds, ``-x…`` where a section differs from the dataset's
        file in what the stage knows.
        """
        of = self.settings
        # two digits, or as many as it has
        alpha = max(f"{of.alpha:.2f}", repr(of.alpha), key=len)
        teacher = "sequential" if of.sequential else "nonseq"
        key = KEYS[self.stage].format(of, alpha=alpha, teacher=teacher)
        if str(of.folds) != ALL_FOLDS:
            key += f"-f{str(of.folds).replace(' ', '').replace(',', '_')}"
        if overrides := of.overrides(self.stage):
            key += f"-x{digest(overrides, 6)}"
        return key

    @cached_property
    def folder(self) -> Path:
        """Where the run leaves its result, predictions and executed notebook."""
        return paths.REPORTS / "runs" / self.name

    @property
    def name(self) -> str:
        """Dataset, stage and key, as in the folder's path."""
        return f"{self.settings.dataset}/{self.stage}/{self.key}"

    @property
    def notebook(self) -> Path:
        """The notebook that the run executes."""
        return paths.ROOT / "notebooks" / f"{STAGES[self.stage]}.ipynb"

    @property
    def given(self) -> dict[str, Any]:
        """The parameters for papermill: every axis that the notebook has, and what differs from the
        dataset's file."""
        of = self.settings
        values = of.model_dump(include=AXES_OF[self.stage])
        if self.stage == "teacher" and of.sequential:
            values["setting"] = "em"  # em and agg have one teacher
        # all of them: what a stage does not know can still decide whether others are allowed. But
        # rules of training read alpha and method, which the notebook of the data does not have
        own = of.overrides(self.stage)
        for name, value in of.overrides().items():
            section, parameter = name.split(".")
            if self.stage != "data" or section != "training" or name in own:
                values.setdefault(section, {})[parameter] = value
        return values

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of every parameter that the run's numbers depend on."""
        return digest(relevant(self.settings, self.stage))

    @property
    def kind(self) -> str:
        """Its stage, or ``undistilled``."""
        return "undistilled" if self.stage == "student" and not self.settings.alpha else self.stage

    @property
    def code_kind(self) -> str:
        """What the run is by the code behind it: its kind, or ``cross_fitted``."""
        fitted = self.kind == "student" and self.settings.training.cross_fit
        return "cross_fitted" if fitted else self.kind

    @property
    def code(self) -> str:
        """A short hash of the code behind the run's result."""
        return sources.fingerprint(self.code_kind, scored=True)

    @property
    def weights(self) -> str:
        """A short hash of the file of pretrained weights from which the run's teacher starts; ""
        where there is none."""
        file = Path(self.settings.model.teacher_weights)
        taught = self.stage == "teacher" or self.kind == "student" and self.settings.needs_teacher
        if not (taught and file.is_file()):
            return ""
        stat = file.stat()
        return _hash(file, stat.st_mtime_ns, stat.st_size)

    @property
    def needs(self) -> list["Run"]:
        """The runs whose results this one reads, in their order."""
        before = takewhile(lambda stage: stage != self.stage, needed(self.settings))
        return [Run(stage, self.settings) for stage in before]

    @property
    def state(self) -> str:
        """Whether the run is ``done``, ``outdated``, ``failed`` (a notebook or its log, and no
        result) or ``missing``.

        Its parameters are compared, and its recordings and lists with those of the data run.
        """
        saved, data = _read(self), _read(self.data) or {}
        if saved is None:
            began = any((self.folder / name).exists() for name in ("notebook.ipynb", LOG))
            return "failed" if began else "missing"
        expected = {name: data.get(name) for name in CORPUS} | {"fingerprint": self.fingerprint}
        return "done" if _same(saved, expected) else "outdated"

    @property
    def done(self) -> bool:
        """Whether the run has left its result, with these parameters and the recordings and trials
        of its data run."""
        return self.state == "done"

    @property
    def current(self) -> bool:
        """Whether the run is done with the code, recordings and lists as they are now."""
        return self.done and _same(self.saved, self.inputs())

    @property
    def result(self) -> dict[str, Any]:
        """What an analysis asks of the run's result: ``folds``, ``wall`` seconds and
        :data:`PROVENANCE`; empty where it is not done."""
        return self.saved if self.done else {}

    @property
    def saved(self) -> dict[str, Any]:
        """The same of a result that may be out of date."""
        return _read(self) or {}

    @property
    def tested(self) -> bool:
        """Whether the run's result has scores: the linear baseline is always tested."""
        return self.stage == "data" or self.settings.tested

    @property
    def keeps_students(self) -> bool:
        """Whether the students' weights stay: those without a test are trained for use."""
        return self.settings.training.keep_students or not self.settings.tested

    @property
    def error(self) -> str:
        """What stopped a run that failed: the last line that papermill said."""
        text = ""
        with suppress(FileNotFoundError):
            text = (self.folder / LOG).read_text("utf-8", "replace").strip()
        return text.split("\n")[-1] or "nothing was said; was it killed, or is the disk full?"

    @cached_property
    def data(self) -> "Run":
        """The data run of these settings, one for all runs of a corpus, so that it is read once."""
        data = Run("data", self.settings)
        return _DATA_RUNS.setdefault(data.folder, data)

    @cached_property
    def corpus_on_disk(self) -> dict[str, str]:
        """All of :data:`CORPUS`, of the corpus as it lies there now, "" where it is
        away."""
        from kdsuite.data import corpora  # late: pandas takes a second

        of = self.settings
        return {**corpora.on_disk(of), "trials": corpora.trials_on_disk(of.corpus)}

    def inputs(self) -> dict[str, str]:
        """Return the :data:`INPUTS` of a run that starts now.

        They are "" where parameters tell all, as of a synthetic corpus; a corpus, or a file of
        weights, that is away for now is that of the result.
        """
        now = dict.fromkeys(INPUTS, "") | {"code": self.code}
        now["weights"] = self.weights or self.result.get("weights") or ""
        if self.settings.corpus.synthetic is None:
            for name, value in self.data.corpus_on_disk.items():
                now[name] = value or self.result.get(name) or ""
        # a teacher has no trials
        return now | ({"trials": ""} if self.stage == "teacher" else {})


_DATA_RUNS = {}


def _same(saved, expected):
    """Return whether a result was made of what is ``expected``; what a former one does not tell, or
    cannot be known now, counts as the same."""
    return all(saved[name] in (None, "", value) for name, value in expected.items() if value)


@cache
def _hash(file, *version):
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def _read(run):
    """Return what is asked of a run's result; None where there is none."""
    file = run.folder / "result.json"
    with suppress(FileNotFoundError):
        stat = file.stat()
        return _read_result(file, run.stage, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@cache
def _read_result(file, stage, *version):
    """Return the part of a result that is asked for, read once for each ``version`` of the file:
    all of fifty thousand would not fit into memory.

    ``fingerprint`` is that of its parameters: None where it has none, - where they no longer exist.
    A parameter that the result does not name has its default.
    """
    try:
        saved = json.loads(file.read_bytes())
    except ValueError:
        raise UserError(
            f"{file} is no valid JSON; delete that file and run its notebook again."
        ) from None
    try:
        settings = Settings.model_validate_json(json.dumps(saved["settings"]))
        fingerprint = digest(relevant(settings, stage))
    except KeyError:
        fingerprint = None
    except ValueError:
        fingerprint = "-"
    provenance = saved.get("provenance", {})
    return {
        "folds": saved.get("folds", []),
        "wall": saved.get("seconds", {}).get("wall", math.nan),
        "fingerprint": fingerprint,
        **{name: provenance.get(name) for name in PROVENANCE},
    }


def needed(settings: Settings) -> list[str]:
    """Return the stages of a student run, in their order; an undistilled student needs no
    teacher."""
    return [stage for stage in STAGES if stage != "teacher" or settings.needs_teacher]
