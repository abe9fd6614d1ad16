"""Parameters: merged in the right order, checked, and refused in one sentence that names the
choices."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from papermill.iorw import read_yaml_file

from kdlib import parameters
from kdlib.errors import InvalidParameter
from kdsuite import paths, settings
from kdsuite.runs.run import Run
from kdsuite.settings import NotebookParameters, called, checked, choose_folds, load, read_yaml


def fingerprint(of: settings.Settings, stage: str) -> str:
    return Run(stage, of).fingerprint


FILES = sorted(paths.PARAMS.glob("*.yaml"))

BAD = [
    (
        {"dataset": "demo-ravdes"},
        "unknown dataset 'demo-ravdes'; did you mean 'demo-ravdess'.*ravdess-au",
    ),
    ({"dataset": 3}, "unknown dataset '3'"),
    (
        {"backbone": "resent"},
        "'backbone' is 'resent'; did you mean 'resnet'.*vgg, resnet, seresnet",
    ),
    ({"setting": "aggr"}, "'setting' is 'aggr'.*nonseq, em, agg"),
    ({"method": "soft"}, "'method' is 'soft'.*embedding, softlabel, multitask"),
    ({"alpha": 1.2}, "'alpha' is 1.2.*less than or equal to 1"),
    ({"alpha": -0.1}, "'alpha' is -0.1.*greater than or equal to 0"),
    ({"alpha": "half"}, "'alpha' is 'half'.*valid number"),
    ({"alpha": True}, "'alpha' is True"),
    ({"alpha": float("nan")}, "'alpha' is nan"),
    ({"alfa": 0.5}, "unknown parameter 'alfa'; did you mean 'alpha'"),
    ({"training": {"epoch": 3}}, "unknown parameter 'training.epoch'; did you mean 'epochs'"),
    ({"training": {"epochs": "1e-3"}}, "'training.epochs' is '1e-3'.*integer"),
    ({"training": {"keep_students": "true"}}, "'training.keep_students' is 'true'"),
    (
        {"training": 3},
        "'training' is 3: input should be an object; give a section as -y .training:",
    ),
    ({"training": {"learning_rate": ["1e-4", "0.1"]}}, "is '1e-4': input .* number; write 0.0001"),
    ({"training": {"learning_rate": [0.1, 0.01]}}, "'training.learning_rate' is .*lowest rate"),
    (
        {"corpus": {"synthetic": {"actrs": 3}}},
        "unknown parameter 'corpus.synthetic.actrs'; did you mean 'actors'",
    ),
    ({"media": {"duration": 2.1}}, "'media.duration' is 2.1, which.*segments of 0.4 s"),
    ({"setting": "em", "media": {"frame_stride": 3}}, "'media.frame_stride' is 3"),
    ({"5": None}, "unknown parameter '5'.*write 0.5"),
    ({"training": {True: 1}}, "unknown parameter 'training.true'.*reads on and yes as true"),
    ({"folds": "5-3"}, "'folds' is '5-3'"),
    ({"folds": "1-"}, "'folds' is '1-'"),
    ({"media": {"window": 0.1}}, "'media.fft' is 512"),
    (
        {"training": {"epochs": 12}},
        "'training.epochs' is 12, .*no whole number of cycles of 5 epochs.*nearest that are: 10 or 15",
    ),
    ({"training": {"teacher_epochs": 3}}, "'training.teacher_epochs' is 3, .*nearest that are: 5"),
    (
        {"training": {"epochs": 1, "cycle": 0.3}},
        "'training.epochs' is 1, .*cycles of 0.6 epochs.*nearest that are: 3",
    ),
    (
        {"training": {"distance": "cosine", "distance_reduction": "sum"}},
        "'training.distance_reduction' is 'sum', but the cosine",
    ),
    ({"corpus": {"labelled": 0}}, "'corpus.labelled' is 0.*greater than 0"),
    ({"corpus": {"label_noise": 1.2}}, "'corpus.label_noise' is 1.2.*less than or equal to 1"),
    ({"folds": "a-b"}, "'folds' is 'a-b'; give all"),
    ({"alpha[0]": 1}, r"unknown parameter 'alpha\[0\]'; did you mean 'alpha'"),
    ({"training": {"int": 5}}, "unknown parameter 'training.int'; choose"),
    ({"corpus": {"channels": ["speach", "x"]}}, "choose from speech, song.$"),
    ({"training": {"betas": [0.9, 1]}}, "'training.betas' is .*from 0 to below 1"),
    ({"training": {"threads": 0}}, "'training.threads' is 0; choose from auto; else .* than 0"),
    ({"folds": 1.5}, "'folds'"),
]


@pytest.mark.parametrize("given,sentence", BAD, ids=[str(given) for given, _ in BAD])
def test_bad_parameters_end_in_one_sentence(given, sentence):
    with pytest.raises(InvalidParameter, match=sentence) as caught:
        load(**given)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_file_of_a_dataset_has_no_axes(monkeypatch, tmp_path):
    """Notebooks have values of their own for them, and would not obey it."""
    file = tmp_path / "mine.yaml"
    file.write_text("dataset: mine\ncorpus: {path: x}\nalpha: 0\n")
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    with pytest.raises(InvalidParameter, match="mine.yaml has 'alpha', .*axes such as alpha"):
        load(dataset="mine")


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_params_file_loads_as_papermill_reads_it(file):
    given = read_yaml_file(str(file))
    assert given["dataset"] == file.stem
    assert load(**given) == load(dataset=file.stem)


def test_sections_are_laid_over_those_of_the_file():
    merged = load(dataset="demo-ravdess", training={"epochs": 5})
    file = load(dataset="demo-ravdess")
    assert (
        merged.training.epochs == 5 and merged.training.learning_rate == file.training.learning_rate
    )


def test_an_integer_may_stand_for_a_float():
    assert load(alpha=1).alpha == 1.0


@pytest.mark.parametrize(
    "text,count,expected",
    [
        ("all", 4, [0, 1, 2, 3]),
        (3, 4, [3]),
        ("3", 4, [3]),
        ("0-2", 4, [0, 1, 2]),
        ("0,3", 4, [0, 3]),
        ("2,0-1", 4, [0, 1, 2]),
    ],
)
def test_folds(text, count, expected):
    assert choose_folds(text, count) == expected


def test_folds_have_one_spelling():
    spellings = ("0,1,2", "2, 0-1", "0 - 2", "0-2")
    assert {load(folds=each).folds for each in spellings} == {"0-2"}
    assert load(folds=" all ").folds == "all" and load(folds="4,0,9").folds == "0,4,9"
    assert load(folds="3") == load(folds=3)
    assert load(folds=" none ").folds == "none" and not load(folds="none").tested
    assert load(folds=0).tested and load().tested


def test_the_licence_of_a_corpus_changes_no_run():
    """It is for people: neither name nor parameters of a run depend on it."""
    for name in ("demo-ravdess", "ravdess-au"):
        usual = load(dataset=name)
        other = usual.changed(corpus={"licence": "another"})
        for stage in ("data", "teacher", "student"):
            assert fingerprint(usual, stage) == fingerprint(other, stage)
    assert {
        load(dataset=name).corpus.licence for name in settings.datasets() if "demo" in name
    } == {"MIT"}


def test_without_segments_every_stride_is_allowed():
    assert load(media={"frame_stride": 3}).media.frame_stride == 3


@pytest.mark.parametrize(
    "value, name",
    [
        (2024, "2024"),
        (7, "007"),
        (1e5, "1e5"),
        (True, "true"),
        (None, "None"),
        (8, "8"),
        ("x", "x"),
    ],
)
def test_names_that_a_command_line_reads_as_something_else(value, name):
    assert called(value, ["2024", "007", "1e5", "true", "None"]) == name


def test_a_dataset_named_by_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "2024.yaml").write_text('dataset: "2024"\n')
    assert load(dataset=2024).dataset == "2024"


@pytest.mark.parametrize("text", ["4", "0-4", "2-1", "-1", "", "1,3-2"])
def test_folds_that_are_not_there(text):
    with pytest.raises(InvalidParameter, match="'folds'"):
        choose_folds(text, 4)


def test_misspelt_notebook_parameters_are_seen():
    cells = {"torch": object(), "In": []}
    cells["parameters"] = parameters = NotebookParameters(cells)
    cells.update(alpha=0.25, dataset="demo-ravdess")
    cells["apha"] = 0.5
    with pytest.raises(InvalidParameter, match="'apha'; did you mean 'alpha'"):
        parameters.check()


def test_running_a_notebook_again_keeps_its_parameters():
    cells = {
        "alpha": 0.25,
        "later": 1,
    }  # a second "run all": parameters and later names exist already
    assert NotebookParameters(cells).check().alpha == 0.25


def test_a_notebook_goes_on_from_its_parameters_cell():
    """In JupyterLab one changes a value there and runs all below: the notebook's own names are no
    parameters, and what the user wrote in that cell is."""
    cells = {"In": [""]}
    cells["parameters"] = parameters = NotebookParameters(cells)
    cells |= {"alpha": 0.25, "In": ["alpha = 0.25", "parameters.check()"]}
    assert parameters.check().alpha == 0.25
    cells |= {"alpha": 0.75, "results": 3, "In": ["alpha = 0.75", "parameters.check()"]}
    assert parameters.check().alpha == 0.75
    cells |= {"apha": 0.5, "In": ["alpha: float = 1.0\napha = 0.5", "parameters.check()"]}
    with pytest.raises(InvalidParameter, match="'apha'; did you mean 'alpha'"):
        parameters.check()
    cells |= {"alpha": 1.0, "In": ["alpha = 1.0", "parameters.check()"]}
    assert parameters.check().alpha == 1.0


def test_parameters_by_their_dotted_names():
    """As messages name them, and as ``-p training.epochs 1`` writes them into a cell."""
    shell = SimpleNamespace(input_transformers_post=[])
    cells = {"get_ipython": lambda: shell}
    for _ in range(2):
        parameters = NotebookParameters(cells)
    (rewrite,) = shell.input_transformers_post
    lines = rewrite(["training.epochs = 10  # few\n", "corpus.synthetic.actors = 3\n", "x.y == 1"])
    assert lines.pop() == "x.y == 1"
    exec("".join(["training = {'batch_size': 3}\n", *lines]), cells)
    settings = parameters.check()
    assert (settings.training.epochs, settings.training.batch_size) == (10, 3)
    assert settings.corpus.synthetic.actors == 3
    exec("".join(rewrite(["training.epoch = 10"])), cells)
    with pytest.raises(InvalidParameter, match="unknown parameter 'training.epoch'; did you mean"):
        NotebookParameters(cells).check()


def test_undistilled_student_is_one_student():
    runs = [
        load(alpha=0, method=method, setting=setting)
        for method in ("embedding", "softlabel", "multitask")
        for setting in ("em", "agg")
    ]
    assert len({run.canonical().model_dump_json() for run in runs}) == 1
    assert load(alpha=0, setting="nonseq").canonical().setting == "nonseq"
    # nor does it depend on a teacher
    others = load(alpha=0, model={"teacher_width": 0.7}, training={"teacher_epochs": 5})
    assert others.canonical() == load(alpha=0).canonical()


@pytest.mark.parametrize(
    "given",
    [
        {"training": {"epochs": 4, "teacher_epochs": 4, "cycle": 1.0}},
        {
            "backbone": "vgg", "setting": "em", "model": {"teacher_batchnorm": False},
            "training": {"frames_at_once": 8},
        },
    ],
)  # fmt: skip
def test_an_undistilled_student_can_be_run_and_loaded_again(given):
    """Though the values of its teacher, which it does not have, are those of the dataset again."""
    run = Run("student", load(alpha=0, **given))
    assert Run("student", load(**run.given)) == run
    assert checked(run.settings.model_dump(mode="json")) == run.settings


def test_fingerprints_change_with_what_matters_to_their_stage():
    base = load()

    def changed(**given):
        return [
            fingerprint(load(**given), stage) != fingerprint(base, stage)
            for stage in parameters.STAGES
        ]

    assert changed(media={"frame_size": 64}) == [True, True, True]
    # the teacher has epochs of its own
    assert changed(training={"epochs": 35}) == [False, False, True]
    assert changed(training={"teacher_epochs": 35}) == [False, True, True]
    alike = [{"epochs": 35, "teacher_epochs": None}, {"teacher_epochs": 35}]
    assert len({fingerprint(load(training=of), "teacher") for of in alike}) == 1
    assert changed(alpha=0.7) == [False, False, True]
    assert changed(training={"keep_students": True}) == [False, False, False]
    # only sequential networks have an aggregator
    assert changed(model={"aggregator_norm": "none"}) == [False, False, False]
    em = [
        fingerprint(load(setting="em", model={"aggregator_norm": norm}), "student")
        for norm in ("none", "layer")
    ]
    assert em[0] != em[1]
    # the data run fits the linear baseline on every fold
    assert changed(corpus={"groups": 4}) == changed(corpus={"labelled": 0.5}) == [True, True, True]
    assert (
        fingerprint(load(setting="em"), "teacher")
        == fingerprint(load(setting="agg"), "teacher")
        != fingerprint(base, "teacher")
    )


@pytest.mark.parametrize(
    "given,alone,smoothed",
    [
        ({"training": {"teacher_epochs": 95}}, False, False),
        ({"training": {"teacher_frames": 2}}, False, False),
        ({"model": {"teacher_width": 0.9}}, False, False),
        ({"model": {"teacher_weights": "x.pt"}}, False, False),
        ({"training": {"temperature": 3.0}}, False, True),
        ({"training": {"distance": "smooth_l1"}}, False, True),
        (
            {"media": {"frame_stride": 5}},
            True,
            True,
        ),  # crops of the sound lie on the teacher's frames
        ({"training": {"epochs": 95}}, True, True),
        ({"model": {"width": 0.9}}, True, True),
    ],
    ids=str,
)
def test_students_without_a_teacher_do_not_depend_on_one(given, alone, smoothed):
    def prints(**given):
        training = {"targets": "uniform", **given.get("training", {})}
        student = (
            load(alpha=0, **given),
            load(**given),
            load(method="softlabel", **{**given, "training": training}),
        )
        return [fingerprint(settings, "student") for settings in student]

    assert [now != then for now, then in zip(prints(**given), prints())] == [alone, True, smoothed]


def test_every_parameter_has_help_and_a_stage():
    def walk(model):
        for name, field in model.model_fields.items():
            assert field.description, name
            if model is not settings.Synthetic:  # all of it matters to the data
                assert "stage" in field.json_schema_extra, name

    for model in (
        settings.Settings,
        settings.Corpus,
        settings.Media,
        settings.Model,
        settings.Training,
        settings.Synthetic,
    ):
        walk(model)


def test_aliases_are_refused_but_where_a_suite_says_what_it_shares(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("media: &shared {hop: 0.01}\nmodel: *shared\n")
    with pytest.raises(InvalidParameter, match=r"aliases \(\*name\) are not allowed"):
        read_yaml(file)
    assert read_yaml(file, aliases=True)["model"] == {"hop": 0.01}


def test_an_empty_variable_is_one_that_is_not_set(tmp_path):
    code = "from kdsuite import paths; from kdsuite.runs.devices import share; print(paths.PARAMS, paths.REPORTS, paths.DATA, share())"
    given = {"KDLIB_PARAMS": "", "KDLIB_REPORTS": "", "KDLIB_DATA": "~/data", "KDLIB_GPU_SHARE": ""}
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT), "HOME": "/home/me", **given}
    command = [sys.executable, "-c", code]
    printed = subprocess.check_output(command, env=environment, text=True, cwd=tmp_path).split()
    assert printed == [
        str(paths.ROOT / "params"),
        str(paths.ROOT / "reports"),
        "/home/me/data",
        "1",
    ]


def test_corpora_lie_in_the_data_folder_or_in_those_of_a_variable(tmp_path):
    """An empty variable, or an empty part of it, names no folder: it must not mean the working
    folder."""
    (tmp_path / "second" / "mine").mkdir(parents=True)
    code = "from kdsuite import paths; print(paths.corpus('mine'), len(paths.CORPORA))"
    for value, found, count in (
        (f"{tmp_path}/first::{tmp_path}/second", tmp_path / "second" / "mine", 5),
        ("", None, 3),
    ):
        environment = {**os.environ, "KDLIB_CORPORA": value, "KDLIB_DATA": str(tmp_path / "data")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            cwd=paths.ROOT,
        )
        assert done.stdout.split() == [
            str(found or tmp_path / "data" / "corpora" / "mine"),
            str(count),
        ], done.stderr
