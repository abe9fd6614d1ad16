"""The command line, ``python -m kdlib``: a student's answers about plain sound files, as CSV or
JSON, and what a suite will cost."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kdlib.errors import UnreadableRecording, UserError
from kdsuite import paths

if TYPE_CHECKING:  # torch takes a second, for which --help and slips of the pen need not wait
    from kdsuite.app.using import Student

Row = dict[str, Any]
FAILED = 2
STUDENT = "a student's file, fold-N.safetensors in the folder of a run with training.keep_students"
SOUND = "a sound file: wav, flac, mp3, m4a, … of any sample rate and length"


def predicted(student: Student, file: str) -> Row:
    """Return the predicted class of a sound and the probability of each class, ``p_<class>``."""
    told = student.predict(file)
    return {
        "file": file,
        "predicted": max(told, key=told.get),
        **{f"p_{name}": _short(share) for name, share in told.items()},
    }


def embedded(student: Student, file: str) -> Row:
    """Return the embedding of a sound, ``e_0`` and on."""
    return {
        "file": file,
        **{
            f"e_{number}": _short(value)
            for number, value in enumerate(student.embed(file).tolist())
        },
    }


def compared(student: Student, first: str, second: str, threshold: float | None) -> Row:
    """Return whether two sounds are of one speaker, and by which cosine and threshold."""
    told = student.verify(first, second, threshold)
    return {
        "first": first,
        "second": second,
        "score": _short(told.score),
        "threshold": _short(told.threshold),
        "same": told.same,
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _each(
    ask: Callable[[Student, str], Row],
) -> Callable[[Student, argparse.Namespace], Iterable[Callable[[], Row]]]:
    return lambda student, given: [partial(ask, student, file) for file in given.sounds]


def _pair(student: Student, given: argparse.Namespace) -> Iterable[Callable[[], Row]]:
    return [partial(compared, student, given.first, given.second, given.threshold)]


def answer(given: argparse.Namespace) -> int:
    """Write a row for each question; a sound that cannot be read is told of in one sentence, and
    the others are answered."""
    from kdsuite.app.using import load_student

    student, unreadable = load_student(given.student), []

    def rows() -> Iterator[Row]:
        """Yield the answers, and tell at once of each sound that has none."""
        for ask in given.questions(student, given):
            try:
                yield ask()
            except UnreadableRecording as error:
                unreadable.append(error)
                print(error, file=sys.stderr)

    with _opened(given.output) as stream:
        FORMATS[given.format](rows(), stream)
    return FAILED if unreadable else 0


def export(given: argparse.Namespace) -> int:
    """Write a student as ONNX."""
    from kdsuite.app.export import export
    from kdsuite.app.using import load_student

    export(load_student(given.student), Path(given.output))
    return 0


def reproduce(given: argparse.Namespace) -> int:
    """Run a sample of a suite's runs again; 1 where a number differs."""
    from kdsuite.runs.reproduce import reproduce

    return 0 if reproduce(given.suite, given.sample, given.seed, given.from_scratch) else 1


def plan(given: argparse.Namespace) -> int:
    """Print what a suite will cost."""
    from kdsuite.runs.plan import in_words, plan

    found = plan(given.suite, given.cores)
    print(json.dumps(found, indent=1) if given.json else in_words(found))
    return 0


@contextmanager
def _opened(output: str | None) -> Iterator[TextIO]:
    """Yield where answers go: standard output, or a file that appears when it is whole."""
    if output is None:
        yield sys.stdout
        return
    with (
        paths.replacing(Path(output)) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as stream,
    ):
        yield stream


def write_csv(rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows as they come, the names of the first one's columns above them."""
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(stream, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(
            {
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in row.items()
            }
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


def cosine(text: str) -> float:
    """Return a threshold; argparse tells of the ValueError where it is none."""
    if not -1 <= float(text) <= 1:
        raise ValueError
    return float(text)


def _cores(text: str) -> int | None:
    """Return a number of runs, None for ``all``; argparse tells of the ValueError where it is
    neither."""
    if text != "all" and int(text) < 1:
        raise ValueError
    return None if text == "all" else int(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets ``work``, and ``questions`` where it has some."""
    whole = argparse.ArgumentParser(
        prog="python -m kdlib",
        description="Ask a trained student about plain sound files, or plan a suite.",
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, work: Callable, **defaults: Any) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        added.set_defaults(work=work, **defaults)
        added.add_argument("student", metavar="STUDENT", help=STUDENT)
        return added

    told = {
        "predict": command(
            "predict", "class probabilities of each sound", answer, questions=_each(predicted)
        ),
        "embed": command("embed", "the embedding of each sound", answer, questions=_each(embedded)),
        "verify": command(
            "verify", "whether two sounds are of one speaker", answer, questions=_pair
        ),
    }
    for name in ("predict", "embed"):
        told[name].add_argument("sounds", nargs="+", metavar="SOUND", help=SOUND)
    for name in ("first", "second"):
        told["verify"].add_argument(name, metavar="SOUND", help=SOUND)
    told["verify"].add_argument(
        "--threshold",
        type=cosine,
        metavar="COSINE",
        help="from which cosine on they count as one speaker's; else the calibrated one",
    )
    for each in told.values():
        each.add_argument(
            "--format",
            choices=FORMATS,
            default="csv",
            help="csv (a row an answer) or json (a list of objects)",
        )
        each.add_argument(
            "--output", metavar="FILE", help="a file for the answers; else standard output"
        )
    onnx = command(
        "export", "the student as ONNX: waveform in, probabilities and embedding out", export
    )
    onnx.add_argument("output", metavar="FILE", help="such as student.onnx")
    again = commands.add_parser(
        "reproduce",
        help="run some of a suite's finished runs again and tell each number that differs",
    )
    again.set_defaults(work=reproduce)
    again.add_argument("suite", metavar="SUITE", help="a file in params/grids, without its ending")
    again.add_argument(
        "--sample", type=int, default=3, metavar="N", help="how many runs, drawn at random; else 3"
    )
    again.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed draws other runs; else 0"
    )
    again.add_argument(
        "--from-scratch",
        action="store_true",
        help="train teachers anew too, in place of using those that are kept",
    )
    planned = commands.add_parser(
        "plan",
        help="what a suite will cost",
        description="What a suite will cost, before it is started.",
    )
    planned.set_defaults(work=plan, output=None)
    planned.add_argument(
        "suite", metavar="SUITE", help="a file in params/grids, without its ending"
    )
    planned.add_argument(
        "--cores",
        type=_cores,
        metavar="N",
        help="runs side by side; else as many as the machine has cores or GPUs",
    )
    planned.add_argument("--json", action="store_true", help="for programs")
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 after one sentence on standard error for
    each thing that went wrong.

    ``reproduce`` returns 1 where a number differs.
    """
    given = parser().parse_args(arguments)
    try:
        return given.work(given)
    except UserError as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:  # who reads the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(
            f"{error.filename or getattr(given, 'output', 'a file')} cannot be written ({error.strerror}); name another file.",
            file=sys.stderr,
        )
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
