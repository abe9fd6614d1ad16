"""Using a student: plain sound in, the run's own answers out; one file is enough, and no code for
pictures is touched."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import pickle
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import kdlib
import kdsuite.paths
import kdsuite.settings
from kdlib import device, metrics
from kdlib.__main__ import main
from kdlib.errors import InvalidStudent
from kdlib.parameters import Training
from kdsuite.data import pieces as cut
from kdsuite.data import verification
from kdsuite.data.folds import Fold, chosen_folds
from kdsuite.data.folds import folds as folds_of
from kdsuite.runs import grid, prediction, stages, student_file
from kdsuite.runs.stages import prepare
from tests.conftest import SMALL

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
KINDS = {"fixed": ("vgg", "nonseq"), "whole": ("seresnet", "agg")}


def sound(
    kind: str, seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0
) -> np.ndarray:
    """Return a hum with overtones, or noise, both below 3 kHz: two sounds that no student should
    confuse, ``(samples, channels)``."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = random.uniform(150, 250)
    hum = sum(np.sin(2 * np.pi * pitch * overtone * time) / overtone for overtone in range(1, 8))
    spectrum = np.fft.rfft(
        hum if kind == "hum" else random.normal(size=len(time)) * (rate / 8000) ** 0.5
    )
    spectrum[np.fft.rfftfreq(len(time), 1 / rate) > 3000] = 0  # what a rate of 8 kHz holds, too
    values = 0.2 * np.fft.irfft(spectrum, len(time))
    return np.repeat(values[:, None], channels, axis=1)


def write(file: Path, values: np.ndarray, rate: int = RATE) -> Path:
    """Write a sound in the format of the file's ending."""
    if file.suffix != ".m4a":
        soundfile.write(file, values, rate)
        return file
    raw = ["-f", "f32le", "-ar", str(rate), "-ac", str(values.shape[1]), "-i", "pipe:0"]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *raw, "-c:a", "aac", str(file)]
    subprocess.run(command, input=values.astype("<f4").tobytes(), check=True)
    return file


class Run:
    """A run with ``training.keep_students`` on recordings that lie on disk as files, and what it
    said of those it tested."""

    def __init__(self, home: Path, inference: str) -> None:
        lines = ["audio,speaker,label"]
        for number in range(16):
            kind, speaker = ("hum", "noise")[number % 2], f"speaker-{number // 4}"
            # with 0.3 s shorter, and with 2.1 s longer than the training's windows
            write(
                home / f"{number:02d}.wav",
                sound(kind, (0.3, 0.95, 1.4, 2.1)[number // 2 % 4], seed=number),
            )
            lines.append(f"{number:02d}.wav,{speaker},{kind}")
        (home / "all.csv").write_text("\n".join(lines) + "\n")
        backbone, setting = KINDS[inference]
        sections = {
            **SMALL,
            "corpus": {
                "layout": "manifest",
                "path": str(home / "all.csv"),
                "groups": 4,
                "synthetic": None,
            },
            "media": {**SMALL["media"], "inference": inference},
            "training": {
                **SMALL["training"],
                "epochs": 12,
                "learning_rate": [0.002, 0.01],
                "keep_students": True,
            },
        }
        self.settings = kdsuite.settings.load(
            dataset="demo-ravdess", backbone=backbone, setting=setting, alpha=0, folds=0, **sections
        )
        self.store = prepare(self.settings, workers=1)
        self.fold = chosen_folds(self.store.recordings, self.settings)[0]
        self.told = stages.students(
            grid.Run("student", self.settings), self.store, [self.fold], {}
        )[0]
        self.file = grid.Run("student", self.settings).folder / "fold-0.safetensors"

    def files(self, rows: np.ndarray) -> list[Path]:
        return [Path(name) for name in self.store.recordings.audio.iloc[rows]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run for each way of inference, made when it is asked for."""
    patch, made = pytest.MonkeyPatch(), {}

    def get(inference: str) -> Run:
        if inference not in made:
            home = tmp_path_factory.mktemp(inference)
            for name, value in {
                "DATA": home / "data",
                "REPORTS": home / "reports",
                "CORPORA": (home,),
            }.items():
                patch.setattr(kdsuite.paths, name, value)
            made[inference] = Run(home, inference)
        return made[inference]

    yield get
    patch.undo()


@pytest.fixture
def run(runs):
    return runs("fixed")


def answers(capsys, *arguments) -> list[dict[str, str]]:
    """Return the rows of a command that went well."""
    assert main(list(map(str, arguments))) == 0
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def sentence(capsys, *arguments) -> str:
    """Return the one line that a command which went wrong says, having answered nothing."""
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert not said.out and line.endswith(".") and "Traceback" not in line
    return line


# --- what it says


@pytest.mark.parametrize("inference", KINDS)
def test_it_says_what_the_run_said_of_its_test_recordings(runs, inference):
    run = runs(inference)
    loaded = kdlib.load_student(run.file)
    assert loaded.classes == ["hum", "noise"]
    ours = np.array([list(loaded.predict(file).values()) for file in run.files(run.fold.test)])
    np.testing.assert_allclose(ours, run.told.probabilities, atol=1e-5)
    assert np.ptp(ours, axis=0).min() > 0.1  # the two kinds of sound do get different answers
    if inference == "whole":
        embeddings = np.array([loaded.embed(file) for file in run.files(run.fold.test)])
        np.testing.assert_allclose(embeddings, run.told.embeddings, atol=1e-5)


def test_embeddings_are_of_the_whole_recording_as_those_of_trials_are(run):
    rows = run.fold.test
    heard = prediction.embed(student_file.read(run.file)[0], run.settings, run.store, rows)
    loaded = kdlib.load_student(run.file)
    np.testing.assert_allclose(
        [loaded.embed(file) for file in run.files(rows)], heard.numpy(), atol=1e-5
    )


@pytest.mark.parametrize(
    "ending, rate, channels, seconds",
    [
        ("wav", 8000, 1, 0.3), ("wav", 44100, 2, 2.5), ("wav", 96000, 1, 1.0), ("flac", 22050, 1, 5.0), ("flac", 48000, 2, 60.0),
        ("mp3", 44100, 2, 0.3), ("mp3", 16000, 1, 60.0), ("m4a", 44100, 2, 0.3), ("m4a", 48000, 1, 7.0), ("M4A", 22050, 2, 61.0),
    ],
)  # fmt: skip
def test_it_knows_a_sound_in_any_format_rate_and_length(
    run, tmp_path, ending, rate, channels, seconds
):
    loaded = kdlib.load_student(run.file)
    for kind in ("hum", "noise"):
        file = write(
            tmp_path / f"{kind}.{ending.lower()}",
            sound(kind, seconds, rate, channels, seed=99),
            rate,
        )
        told = loaded.predict(file.rename(file.with_suffix(f".{ending}")))
        assert sum(told.values()) == pytest.approx(1) and max(told, key=told.get) == kind


def test_formats_without_loss_give_the_same_numbers(run, tmp_path):
    loaded = kdlib.load_student(run.file)
    values = (sound("hum", 1.3, 44100, 2) * 32767).astype(np.int16)
    wav, flac = (
        loaded.embed(write(tmp_path / f"a.{ending}", values, 44100)) for ending in ("wav", "flac")
    )
    assert np.array_equal(wav, flac)


def test_more_than_half_a_minute_is_the_average_of_its_pieces(runs, tmp_path):
    loaded = kdlib.load_student(runs("whole").file)
    values = np.concatenate([sound("hum", 30), sound("noise", 30)])
    parts = [
        write(tmp_path / f"{name}.wav", part)
        for name, part in (("a", values[: 30 * RATE]), ("b", values[30 * RATE :]))
    ]
    told = loaded.predict(write(tmp_path / "both.wav", values))
    apart = [loaded.predict(part) for part in parts]
    assert told["hum"] == pytest.approx((apart[0]["hum"] + apart[1]["hum"]) / 2, abs=1e-6)
    assert (
        abs(apart[0]["hum"] - apart[1]["hum"]) > 0.001
    )  # far more than the tolerance: neither piece is all of it


def test_a_run_takes_long_recordings_in_the_same_pieces(runs, monkeypatch):
    """Its memory does not grow with their length."""
    run, sizes = runs("whole"), []
    rows, loaded = np.arange(16), kdlib.load_student(run.file)
    network = student_file.read(run.file)[0]
    network.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[1]))
    _, usual = prediction.predict(network, run.settings, run.store, rows)
    assert max(sizes) > 2 * RATE
    monkeypatch.setattr(cut, "LONGEST", 0.8)
    sizes.clear()
    probabilities, embeddings = prediction.predict(network, run.settings, run.store, rows)
    assert max(sizes) <= 0.8 * RATE
    told = [list(loaded.predict(file).values()) for file in run.files(rows)]
    np.testing.assert_allclose(probabilities, told, atol=1e-5)
    np.testing.assert_allclose(embeddings, [*map(loaded.embed, run.files(rows))], atol=1e-5)
    short = run.store.seconds() <= 0.8
    assert torch.equal(embeddings[short], usual[short]) and short.any()
    assert (embeddings[~short] - usual[~short]).abs().max() > 1e-4


# --- one speaker or two


def by_hand(scores: list[float], genuine: list[bool]) -> float:
    """The middle between the scores on both sides of the cut where the two error rates are nearest,
    the strictest such cut."""
    ordered = sorted(set(scores), reverse=True)

    def gap(cut: float) -> float:
        accepted = [score >= cut for score in scores]
        wrong = sum(a and not g for a, g in zip(accepted, genuine)) / genuine.count(False)
        missed = sum(g and not a for a, g in zip(accepted, genuine)) / genuine.count(True)
        return abs(wrong - missed)

    best = min(range(len(ordered)), key=lambda place: gap(ordered[place]))
    return sum(ordered[best : best + 2]) / len(ordered[best : best + 2])


def test_a_threshold_worked_out_by_hand():
    """Of 0.9 0.8 (0.5) 0.4 (0.3) (0.1), those in brackets impostors, a cut below 0.5 takes one of
    three and leaves one of three."""
    scores, genuine = (
        np.array([0.9, 0.8, 0.4, 0.5, 0.3, 0.1]),
        np.array([True, True, True, False, False, False]),
    )
    assert (
        metrics.eer_threshold(scores, genuine)
        == pytest.approx(0.45)
        == by_hand(scores.tolist(), genuine.tolist())
    )
    apart = np.array([0.7, 0.6, 0.1, -0.2]), np.array([True, True, False, False])
    assert metrics.eer_threshold(*apart) == pytest.approx(0.35)


def threshold(run, loaded, speaker):
    """Return the threshold of the training recordings, by hand."""
    rows = run.fold.train
    heard = {row: loaded.embed(file) for row, file in zip(rows, run.files(rows))}
    pairs = list(itertools.combinations(rows, 2))
    cosines = [
        float(heard[a] @ heard[b] / np.linalg.norm(heard[a]) / np.linalg.norm(heard[b]))
        for a, b in pairs
    ]
    return by_hand(cosines, [bool(speaker[a] == speaker[b]) for a, b in pairs])


def test_speakers_in_turn_have_their_own_threshold(run):
    """Recordings to calibrate on are drawn in another order than that of the store."""
    network, loaded = student_file.read(run.file)[0], kdlib.load_student(run.file)
    speaker = [f"speaker-{row % 3}" for row in range(len(run.store.recordings))]
    store = replace(run.store, recordings=run.store.recordings.assign(speaker=speaker))
    told = stages.verification_threshold(network, run.settings, store, run.fold)
    assert told["threshold"] == pytest.approx(threshold(run, loaded, speaker), abs=1e-5)


def test_the_threshold_is_that_of_the_training_recordings(run):
    loaded = kdlib.load_student(run.file)
    expected = threshold(run, loaded, run.store.recordings.speaker)
    assert loaded.threshold == pytest.approx(expected, abs=1e-5)
    told = loaded.facts.verification
    assert (told.recordings_of, told.recordings, told.speakers) == ("train", 12, 3)
    assert told.pairs == {"same": 18, "different": 48}


def test_validation_speakers_are_taken_where_there_are_two(run):
    table, settings = run.store.recordings, run.settings
    fold = folds_of(table, settings.corpus.model_copy(update={"validation": 2}))[0]
    network = student_file.read(run.file)[0]
    told = stages.verification_threshold(network, settings, run.store, fold)
    assert told["recordings_of"] == "validation" and told["recordings"] == len(fold.validation)
    alone = Fold(
        0, "one speaker", fold.train[table.speaker.iloc[fold.train] == "speaker-3"], fold.test
    )
    assert stages.verification_threshold(network, settings, run.store, alone) is None


def test_a_large_corpus_is_calibrated_on_some_of_many_speakers():
    speakers = np.repeat([f"speaker-{number}" for number in range(300)], 30)
    chosen = verification.calibration_rows(np.arange(100, 9000), speakers)
    counts = np.unique(speakers[chosen], return_counts=True)[1]
    assert len(chosen) == len(set(chosen)) == 1000 and chosen.min() >= 100
    assert counts.max() == 20 and len(counts) == 50
    assert not len(
        verification.calibration_rows(np.arange(30), speakers)
    )  # one speaker makes no pair of two
    assert not len(
        verification.calibration_rows(np.arange(0, 9000, 30), speakers)
    )  # one recording each none of one


def test_verify_answers_by_score_and_threshold(run, capsys):
    loaded = kdlib.load_student(run.file)
    a, b = run.files(run.fold.test)[:2]
    own = loaded.verify(a, a)
    assert own.score == pytest.approx(1) and own.same and own.threshold == loaded.threshold
    told = loaded.verify(a, b)
    assert told.same == (told.score >= loaded.threshold) and told.score == pytest.approx(
        loaded.verify(b, a).score
    )
    assert loaded.verify(a, b, threshold=-1).same
    (row,) = answers(capsys, "verify", run.file, a, b, "--threshold", 1)
    assert (
        row["same"] == "false"
        and float(row["score"]) == pytest.approx(told.score, abs=1e-5)
        and row["threshold"] == "1.0"
    )
    # at another threshold nothing was measured
    assert row["false_acceptance"] == row["false_rejection"] == row["measured_on"] == ""


def test_verify_tells_the_error_rates_at_its_threshold(run, capsys):
    """Over all pairs of the training recordings, by hand."""
    loaded = kdlib.load_student(run.file)
    speaker, wrong = run.store.recordings.speaker, {True: [], False: []}
    for pair in itertools.combinations(run.fold.train, 2):
        same = bool(speaker[pair[0]] == speaker[pair[1]])
        wrong[same].append(loaded.verify(*run.files(np.array(pair))).same != same)
    files = run.files(run.fold.test)[:2]
    (row,) = answers(capsys, "verify", run.file, *files)
    assert row["measured_on"] == "train"
    for name, same in (("false_acceptance", False), ("false_rejection", True)):
        assert float(row[name]) == pytest.approx(np.mean(wrong[same]), abs=1e-5) and wrong[same]
    assert main(["verify", str(run.file), *map(str, files), "--format", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["false_acceptance"] == float(row["false_acceptance"])


def test_a_student_of_before_has_no_error_rates(run, tmp_path, capsys):
    def former(facts):
        for name in ("false_acceptance", "false_rejection"):
            del facts["verification"][name]

    a, b = run.files(run.fold.test)[:2]
    (row,) = answers(capsys, "verify", changed(run, tmp_path, former), a, b)
    assert row["false_acceptance"] == row["false_rejection"] == "" and row["threshold"]


def test_without_a_calibrated_threshold_one_must_be_given(run, tmp_path, capsys):
    file = changed(run, tmp_path, lambda facts: facts.update(verification=None))
    a, b = run.files(run.fold.test)[:2]
    assert "no calibrated threshold" in sentence(capsys, "verify", file, a, b)
    assert answers(capsys, "verify", file, a, b, "--threshold", "0.5")


# --- the command line


def test_predict_and_embed_as_csv_and_json(run, tmp_path, capsys):
    loaded, files = kdlib.load_student(run.file), run.files(run.fold.test)
    rows = answers(capsys, "predict", run.file, *files)
    assert list(rows[0]) == ["file", "predicted", "p_hum", "p_noise"] and [
        row["file"] for row in rows
    ] == list(map(str, files))
    for row, file in zip(rows, files):
        told = loaded.predict(file)
        assert row["predicted"] == max(told, key=told.get) and float(row["p_hum"]) == pytest.approx(
            told["hum"], abs=1e-5
        )
    out = tmp_path / "new" / "e.json"
    assert (
        main(["embed", str(run.file), *map(str, files), "--format", "json", "--output", str(out)])
        == 0
    )
    told = json.loads(out.read_text())
    np.testing.assert_allclose(
        [told[0][f"e_{n}"] for n in range(8)], loaded.embed(files[0]), rtol=1e-5
    )
    assert len(told) == len(files) and not capsys.readouterr().out


def test_a_bad_sound_among_good_ones_stops_nothing_and_is_told_of(run, capsys):
    file = str(run.files(run.fold.test)[0])
    assert main(["predict", str(run.file), file, "nowhere.wav", file, "--format", "json"]) == 2
    said = capsys.readouterr()
    assert [row["file"] for row in json.loads(said.out)] == [file, file]
    assert said.err.splitlines() == [
        "nowhere.wav cannot be opened (No such file or directory); check that it exists and that you may read it."
    ]


def test_a_folder_stands_for_the_sound_files_below_it(run, tmp_path, capsys):
    good = run.files(run.fold.test)[0].read_bytes()
    names = [
        "b.WAV",
        "a/z.wav",
        "a.flac",
        ".hidden.wav",
        ".cache/x.wav",
        "a/.x/y.wav",
        "a/notes.txt",
        "x",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(good)
    alone = str(run.files(run.fold.test)[1])
    for command in ("predict", "embed"):
        assert main([command, str(run.file), str(tmp_path), alone]) == 0
        said = capsys.readouterr()
        assert said.err == f"{tmp_path}: 3 sound files, 2 other files\n"
        told = [row["file"] for row in csv.DictReader(said.out.splitlines())]
        assert told == [*(str(tmp_path / name) for name in ("a/z.wav", "a.flac", "b.WAV")), alone]
    (tmp_path / "a.flac").write_text("no sound at all, " * 99)
    assert main(["predict", str(run.file), str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and "a.flac cannot be decoded" in said.err
    (tmp_path / "empty").mkdir()
    assert "has no sound file below it" in sentence(capsys, "predict", run.file, tmp_path / "empty")


def piped(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_standard_input_is_a_sound_too(run, monkeypatch, capsys):
    first, second = run.files(run.fold.test)[:2]
    usual = answers(capsys, "predict", run.file, first)
    piped(monkeypatch, first.read_bytes())
    told = answers(capsys, "predict", run.file, "-")
    assert told == [{**usual[0], "file": "-"}]
    piped(monkeypatch, first.read_bytes())
    (row,) = answers(capsys, "verify", run.file, second, "-")
    (same,) = answers(capsys, "verify", run.file, second, first)
    assert row == {**same, "second": "-"}
    piped(monkeypatch, b"")
    assert sentence(capsys, "predict", run.file, "-").startswith("standard input is empty")


def test_a_bar_is_drawn_at_a_terminal_only(run, tmp_path):
    """Not where the rows stand on the same terminal."""
    sounds = [str(run.files(run.fold.test)[0]), "nowhere.wav"]
    for more, drawn in (([], False), (["--output", str(tmp_path / "a.csv")], True)):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "kdlib", "predict", str(run.file), *sounds, *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=slave, stderr=slave)
        os.close(slave)
        said = os.read(master, 100_000).decode()
        os.close(master)
        assert done.returncode == 2 and ("100%" in said) == drawn
        assert "\nnowhere.wav cannot be opened" in said
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2


CHECK = """
import runpy, sys
sys.argv[0] = "kdlib"
try:
    runpy.run_module("kdlib", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code, *sorted(sys.modules), file=sys.stderr)
"""


def test_the_command_line_needs_one_file_and_imports_nothing_for_pictures(runs, tmp_path):
    """In a folder of its own, without the parameter files, for a format of each of the two
    decoders."""
    run = runs("whole")
    alone = tmp_path / "student.safetensors"
    alone.write_bytes(run.file.read_bytes())
    for ending in ("wav", "m4a"):
        write(tmp_path / f"a.{ending}", sound("hum", 1.0))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KDLIB_PARAMS": str(tmp_path / "none"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CHECK, "predict", "student.safetensors", "a.wav", "a.m4a"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    code, *modules = done.stderr.split()
    assert code == "0" and len(done.stdout.splitlines()) == 3
    pictures = {"moviepy", "torchvision", "cv2", "imageio", "av", "PIL", "matplotlib", "seaborn"}
    notebooks = {
        "IPython",
        "jupyter_client",
        "jupyter_core",
        "ipykernel",
        "nbformat",
        "nbclient",
        "papermill",
    }
    assert not {name.partition(".")[0] for name in modules} & (pictures | notebooks)
    training = {
        f"kdlib.{name}"
        for name in (
            "media",
            "faces",
            "store",
            "corpora",
            "teacher",
            "student",
            "training",
        )
    }
    assert not set(modules) & training and "kdsuite.app.using" in modules


def test_kdlib_itself_is_cheap_to_import():
    done = subprocess.run(
        [sys.executable, "-c", "import kdlib, sys; print('torch' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False", done.stderr
    with pytest.raises(AttributeError, match="no_such_name"):
        kdlib.no_such_name  # noqa: B018


# --- what is refused


def test_sounds_that_are_none(run, tmp_path, capsys):
    (tmp_path / "empty.wav").touch()
    for ending in ("wav", "mp3", "m4a"):
        (tmp_path / f"text.{ending}").write_text("no sound at all, " * 99)
    write(tmp_path / "nothing.wav", np.zeros((0, 1)))
    write(tmp_path / "click.flac", np.zeros((100, 1)))
    soundfile.write(tmp_path / "odd.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    whole = write(tmp_path / "whole.m4a", sound("hum", 3.0)).read_bytes()
    (tmp_path / "cut.m4a").write_bytes(whole[: len(whole) // 2])
    said = {
        "none.wav": "cannot be opened", "empty.wav": "is empty", "text.wav": "cannot be decoded",
        "text.mp3": "cannot be decoded", "text.m4a": "cannot be decoded", "nothing.wav": "less than 0.025 s",
        "click.flac": "less than 0.025 s", "odd.wav": "not finite", "cut.m4a": "cannot be decoded",
    }  # fmt: skip
    for name, what in said.items():
        line = sentence(capsys, "predict", run.file, tmp_path / name)
        assert what in line and str(tmp_path / name) in line


def changed(run: Run, folder: Path, change, weights=None) -> Path:
    """Write a copy of a student with other facts or weights."""
    with safe_open(run.file, "pt") as file:
        facts = json.loads(file.metadata()[student_file.ENTRY])
    entry = change(facts)
    state = load_file(run.file)
    if weights:
        weights(state)
    save_file(
        state,
        folder / "changed.safetensors",
        metadata={student_file.ENTRY: entry if isinstance(entry, str) else json.dumps(facts)},
    )
    return folder / "changed.safetensors"


def test_files_that_are_no_student(run, tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    whole = run.file.read_bytes()
    save_file(load_file(run.file), tmp_path / "weights")
    contents = {
        "text": b"a student, honestly", "empty": b"", "short": whole[: len(whole) // 2], "head": whole[:20], "pickle": pickle.dumps(Harm()),
        "huge": (2**62).to_bytes(8, "little") + b"{}",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        said = sentence(capsys, "predict", tmp_path / name, "a.wav")
        assert "holds no student" in said or not content and "is empty" in said
    assert not (tmp_path / "harm").exists()
    assert "no student" in sentence(capsys, "predict", tmp_path / "weights", "a.wav")
    assert "cannot be opened (No such file" in sentence(
        capsys, "predict", tmp_path / "nowhere", "a.wav"
    )
    assert "is no file" in sentence(capsys, "predict", tmp_path, "a.wav")


HOSTILE = {
    "not JSON": lambda facts: "{",
    "deep": lambda facts: "[" * 100_000,
    "a list": lambda facts: "[]",
    "a number": lambda facts: "1" * 10_000,
    "no classes": lambda facts: facts.update(classes=[]),
    "too many classes": lambda facts: facts["classes"].append("more"),
    "classes that write on the terminal": lambda facts: facts.update(classes=["\x1b[2J", "b"]),
    "twice the same class": lambda facts: facts.update(classes=["a", "a"]),
    "another key": lambda facts: facts.update(run="rm -rf /"),
    "a threshold that is no number": lambda facts: facts["verification"].update(
        threshold=float("nan")
    ),
    "no setting of that name": lambda facts: facts["settings"].update(sitting="em"),
    "another network": lambda facts: facts["settings"].update(backbone="resnet"),
    "a network beyond any memory": lambda facts: facts["settings"]["model"].update(embedding=2**40),
    "a network beyond any number": lambda facts: facts["settings"]["model"].update(width=1e300),
    "an infinite network": lambda facts: facts["settings"]["model"].update(width=float("inf")),
    "a transform beyond any memory": lambda facts: facts["settings"]["media"].update(fft=2**40),
    "a step of nothing": lambda facts: facts["settings"]["media"].update(hop=1e-12),
    "a segment without end": lambda facts: facts["settings"]["media"].update(
        segment=1e9, duration=1e9
    ),
    "a segment of nothing": lambda facts: facts["settings"]["media"].update(
        segment=0.04, duration=0.04, frame_stride=1
    ),
    "an infinite segment": lambda facts: facts["settings"]["media"].update(segment=float("inf")),
    "a fine grid": lambda facts: facts["settings"]["media"].update(bins=1024, hop=0.001),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_facts_that_cannot_be(run, tmp_path, capsys, name):
    file = changed(run, tmp_path, HOSTILE[name])
    with pytest.raises(InvalidStudent):
        kdlib.load_student(file)
    assert str(file) in sentence(capsys, "predict", file, "a.wav")


WEIGHTS = {
    "of another type": lambda state: state.update(
        {name: value.half() for name, value in state.items()}
    ),
    "not finite": lambda state: [
        value.fill_(np.nan) for value in state.values() if value.is_floating_point()
    ],
    "one missing": lambda state: state.popitem(),
    "another shape": lambda state: state.update(
        {name: torch.stack([value, value]) for name, value in state.items()}
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_cannot_be(run, tmp_path, name):
    file = changed(run, tmp_path, lambda facts: None, WEIGHTS[name])
    with pytest.raises(InvalidStudent, match="holds no student"):
        kdlib.load_student(file)


def test_a_student_of_a_later_kdlib(run, tmp_path, capsys):
    file = changed(run, tmp_path, lambda facts: facts.update(version=2, something="new"))
    assert "update kdlib" in sentence(capsys, "predict", file, "a.wav")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("head.bias"),
        lambda state: state.update(more=torch.zeros(3)),
        lambda state: state.update({"head.bias": state["head.bias"].double()}),
        lambda state: state.update({"head.bias": state["head.bias"] * float("nan")}),
    ],
)
def test_weights_that_are_not_those_of_the_settings(run, tmp_path, capsys, change):
    assert "weights" in sentence(
        capsys, "predict", changed(run, tmp_path, lambda facts: None, change), "a.wav"
    )


def test_an_output_that_is_an_input_or_a_folder(run, tmp_path, capsys):
    sound_file, own = tmp_path / "a.wav", tmp_path / "student.safetensors"
    for file, source in ((sound_file, run.files(run.fold.test)[0]), (own, run.file)):
        file.write_bytes(source.read_bytes())
    (tmp_path / "link.wav").symlink_to(sound_file)
    before = sound_file.read_bytes(), own.read_bytes()
    for output in (sound_file, tmp_path / "." / "link.wav", own):
        said = sentence(capsys, "embed", own, sound_file, "--output", output)
        assert "is also an input, so it is not overwritten" in said
    assert "is also an input" in sentence(capsys, "export", own, own)
    for command in (["export", own, tmp_path], ["embed", own, sound_file, "--output", tmp_path]):
        assert "is a folder; name a file" in sentence(capsys, *command)
    assert before == (sound_file.read_bytes(), own.read_bytes())


def test_a_student_that_may_not_be_read(run, monkeypatch, capsys):
    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", forbidden)
    said = sentence(capsys, "predict", run.file, "a.wav")
    assert "cannot be opened (Permission denied); check that it exists and that you may" in said


def test_a_kept_student_has_the_permissions_of_any_file(run):
    usual = run.file.with_name("usual")
    usual.touch()
    assert run.file.stat().st_mode == usual.stat().st_mode


def test_names_that_are_no_utf_8_are_answered(run, tmp_path, capsys):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    good = run.files(run.fold.test)[0]
    Path(odd).write_bytes(good.read_bytes())
    for more in ((), ("--output", str(tmp_path / "a.csv"))):
        assert main(["predict", str(run.file), odd, str(good), *more]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == (tmp_path / "a.csv").read_text().splitlines()
    assert printed[1].startswith(f"{tmp_path}/caf\\udce9.wav,") and len(printed) == 3


def test_an_output_that_cannot_be_written(run, tmp_path, capsys):
    sound_file = run.files(run.fold.test)[0]
    assert "/proc/no" in sentence(
        capsys, "predict", run.file, sound_file, "--output", "/proc/no/such"
    )


# --- elsewhere


@pytest.mark.parametrize("inference", KINDS)
def test_onnx_says_the_same_of_every_length(runs, tmp_path, inference):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = runs(inference)
    loaded = kdlib.load_student(run.file)
    device.configure(Training(), torch.device("cpu"))  # as after a training in this process
    assert main(["export", str(run.file), str(tmp_path / "student.onnx")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    told = {
        name: json.loads(value)
        for name, value in session.get_modelmeta().custom_metadata_map.items()
        if name in ("classes", "sample_rate")
    }
    assert told == {"classes": ["hum", "noise"], "sample_rate": RATE}
    for seconds, kind in itertools.product((0.3, 0.4, 0.85, 7.77, cut.LONGEST), ("hum", "noise")):
        file = write(tmp_path / "a.wav", sound(kind, seconds, seed=5))
        waveform = soundfile.read(file, dtype="float32")[0][None]
        probabilities, embedding = session.run(
            ["probabilities", "embedding"], {"waveform": waveform}
        )
        np.testing.assert_allclose(probabilities[0], list(loaded.predict(file).values()), atol=1e-4)
        np.testing.assert_allclose(embedding[0], loaded.embed(file), atol=1e-4)
