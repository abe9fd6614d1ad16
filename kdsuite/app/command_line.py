"""The command line, ``python -m kdlib``: a student's answers about plain sound files, as CSV or
JSON, and what a suite will cost."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kdlib.errors import UnreadableRecording, UserError
from kdsuite import paths

if TYPE_CHECKING:  # torch takes a second, for which --help and typing errors need not wait
    from kdsuite.app.using import Student

Row = dict[str, Any]
FAILED = 2


def predict(student: Student, options: argparse.Namespace, file: str) -> Row:
    """Return the predicted class of a sound and the probability of each class, ``p_<class>``."""
    shares = student.predict(file)
    columns = {f"p_{name}": share for name, share in shares.items()}
    return {"file": file, "predicted": max(shares, key=shares.get), **columns}


def embed(student: Student, options: argparse.Namespace, file: str) -> Row:
    """Return the embedding of a sound, ``e_0`` and on."""
    values = student.embed(file).tolist()
    return {"file": file, **{f"e_{number}": value for number, value in enumerate(values)}}


def verify(student: Student, options: argparse.Namespace, first: str, second: str) -> Row:
    """Return whether two sounds are of one speaker, and by which cosine and threshold."""
    verdict = student.verify(first, second, options.threshold)
    return {"first": first, "second": second, **verdict._asdict()}


def answer(ask: Callable[..., Row], options: argparse.Namespace) -> int:
    """Write a row for each sound, or for both that are compared; a sound that cannot be read is
    reported in one sentence, and the others are answered."""
    from kdsuite.app.using import load_student

    student, sounds, unreadable = load_student(options.student), options.sounds, []

    def rows() -> Iterator[Row]:
        for files in [sounds] if ask is verify else zip(sounds):
            try:
                row = ask(student, options, *files)
            except UnreadableRecording as error:
                unreadable.append(error)
                print(error, file=sys.stderr)
            else:
                yield {
                    name: float(f"{value:.6g}") if isinstance(value, float) else value
                    for name, value in row.items()
                }

    with ExitStack() as stack:
        stream = sys.stdout
        if options.output:  # a file that appears when it is complete
            temporary = stack.enter_context(paths.replacing(Path(options.output)))
            stream = stack.enter_context(open(temporary, "w", encoding="utf-8", newline=""))
        FORMATS[options.format](rows(), stream)
    return FAILED if unreadable else 0


def write_csv(rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows as they come, the names of the first one's columns above them."""
    writer = csv.writer(stream, lineterminator="\n")
    for number, row in enumerate(rows):
        if not number:
            writer.writerow(row)
        writer.writerow(
            json.dumps(value) if isinstance(value, bool) else value for value in row.values()
        )
        stream.flush()


def write_json(rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows as they come, as one list of objects."""
    opening = "[\n"
    for row in rows:
        stream.write(opening + json.dumps(row, ensure_ascii=False))
        stream.flush()
        opening = ",\n"
    stream.write("[]\n" if opening == "[\n" else "\n]\n")


FORMATS: dict[str, Callable[[Iterable[Row], TextIO], None]] = {"csv": write_csv, "json": write_json}


def export(options: argparse.Namespace) -> int:
    """Write a student as ONNX."""
    from kdsuite.app.export import export
    from kdsuite.app.using import load_student

    export(load_student(options.student), Path(options.output))
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Run a sample of a suite's runs again; 1 where a number differs."""
    from kdsuite.runs.reproduce import reproduce

    same = reproduce(options.suite, options.sample, options.seed, options.from_scratch)
    return 0 if same else 1


def plan(options: argparse.Namespace) -> int:
    """Print what a suite will cost."""
    from kdsuite.runs.plan import in_words, plan

    cost = plan(options.suite, options.cores)
    print(json.dumps(cost, indent=1) if options.json else in_words(cost))
    return 0


def cosine(text: str) -> float:
    """Return a threshold; argparse reports the ValueError where it is none."""
    if not -1 <= float(text) <= 1:
        raise ValueError
    return float(text)


def cores(text: str) -> int | None:
    """Return a number of runs, None for ``all``; argparse reports the ValueError where it is
    neither."""
    if text != "all" and int(text) < 1:
        raise ValueError
    return None if text == "all" else int(text)


SUITE = {"suite": {"metavar": "SUITE", "help": "a file in params/grids, without its ending"}}
STUDENT = {
    "student": {
        "metavar": "STUDENT",
        "help": "a student's file, fold-N.safetensors in the folder of a run with training.keep_students",
    }
}
SOUND = {
    "metavar": "SOUND",
    "help": "a sound file: wav, flac, mp3, m4a, … of any sample rate and length",
}
OUTPUT = {
    "--format": {
        "choices": FORMATS,
        "default": "csv",
        "help": "csv (a row an answer) or json (a list of objects)",
    },
    "--output": {"metavar": "FILE", "help": "a file for the answers; else standard output"},
}
EACH = {**STUDENT, "sounds": {"nargs": "+", **SOUND}, **OUTPUT}
THRESHOLD = {
    "type": cosine,
    "metavar": "COSINE",
    "help": "from which cosine on they count as one speaker's; else the calibrated one",
}
NUMBER = {"type": int, "metavar": "N"}
# of each command: its help, what it does, and its arguments as argparse takes them
COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], int], dict[str, Any]]] = {
    "predict": ("class probabilities of each sound", partial(answer, predict), EACH),
    "embed": ("the embedding of each sound", partial(answer, embed), EACH),
    "verify": (
        "whether two sounds are of one speaker",
        partial(answer, verify),
        {**STUDENT, "sounds": {"nargs": 2, **SOUND}, "--threshold": THRESHOLD, **OUTPUT},
    ),
    "export": (
        "the student as ONNX: waveform in, probabilities and embedding out",
        export,
        {**STUDENT, "output": {"metavar": "FILE", "help": "such as student.onnx"}},
    ),
    "reproduce": (
        "run some of a suite's finished runs again and report each number that differs",
        reproduce,
        {
            **SUITE,
            "--sample": {"default": 3, **NUMBER, "help": "how many runs, drawn at random; else 3"},
            "--seed": {"default": 0, **NUMBER, "help": "another seed draws other runs; else 0"},
            "--from-scratch": {
                "action": "store_true",
                "help": "train teachers anew too, in place of using those that are kept",
            },
        },
    ),
    "plan": (
        "what a suite will cost, before it is started",
        plan,
        {
            **SUITE,
            "--cores": {
                "type": cores,
                "metavar": "N",
                "help": "runs side by side; else as many as the machine has cores or GPUs",
            },
            "--json": {"action": "store_true", "help": "for programs"},
        },
    ),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets ``work``."""
    whole = argparse.ArgumentParser(
        prog="python -m kdlib",
        description="Ask a trained student about plain sound files, or plan a suite.",
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for name, (text, work, arguments) in COMMANDS.items():
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(work=work)
        for argument, options in arguments.items():
            added.add_argument(argument, **options)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 after one sentence on standard error for
    each thing that went wrong.

    ``reproduce`` returns 1 where a number differs.
    """
    options = parser().parse_args(arguments)
    try:
        return options.work(options)
    except UserError as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:  # the reader of the answers has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        file = error.filename or getattr(options, "output", "a file")
        sentence = f"{file} cannot be written ({error.strerror}); name another file."
        print(sentence, file=sys.stderr)
    return FAILED
