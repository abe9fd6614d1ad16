"""The command line, ``kdlib`` or ``python -m kdlib``: notebooks and suites are run, and a student
answers about plain sound files, as CSV or JSON.

Torch takes a second to import, for which ``--help`` and typing errors need not wait.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import click

from kdlib import __version__
from kdlib.errors import InvalidParameter, UnreadableRecording, UserError
from kdsuite import paths
from kdsuite.data import ENDINGS

FAILED, INTERRUPTED = 2, 130
NOTEBOOKS = {file.stem[3:]: file for file in sorted((paths.ROOT / "notebooks").glob("*.ipynb"))}
# a failed run stops no other. Run.current decides whether one is out of date; the Snakefile tells
# Snakemake by times, for its records of parameters and checksums know nothing of papermill by hand
SNAKEMAKE = (
    "--cores all --keep-going --rerun-incomplete --rerun-triggers mtime input "
    "--max-checksum-file-size 0"
)
PIPE = "-"
ANY_NAME = "backslashreplace"  # of files, which need not be UTF-8, nor is every terminal


@click.group()
@click.version_option(__version__, prog_name="kdlib")
def commands() -> None:
    """Run notebooks and suites, and apply a trained student to sound files."""


def _say_where():
    """Tell where files will lie, before there are any."""
    if not paths.REPORTS.exists():
        print(
            f"kdlib writes to {paths.DATA} and {paths.REPORTS}; $KDLIB_DATA and $KDLIB_REPORTS name"
            " other folders.",
            flush=True,
        )


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("notebook", type=click.Choice(NOTEBOOKS))
@click.argument(
    "given", nargs=-1, type=click.UNPROCESSED, metavar="[-p NAME VALUE]... [-y YAML]... [OUT.ipynb]"
)
def run(notebook: str, given: tuple[str, ...]) -> None:
    """Execute a notebook and print what it prints.

    OUT.ipynb is the executed notebook (default: NOTEBOOK.ipynb in reports). Options are those of
    papermill. The exit code is 1 where the notebook stops with an error.
    """
    from papermill.cli import papermill
    from yaml import YAMLError, safe_load

    usual = "--engine", "kdlib", "--no-progress-bar", "--stdout-file", "-"
    with papermill.make_context("kdlib run", [*usual, str(NOTEBOOKS[notebook]), *given]) as context:
        texts = [(f"-y {text!r}", text) for text in context.params["parameters_yaml"]]
        for file in context.params["parameters_file"]:
            texts.append((f"-f {file}", Path(file).read_text()))
        for name, text in texts:
            with suppress(YAMLError):
                if isinstance(safe_load(text), dict):
                    continue
            raise InvalidParameter(f'{name} is no mapping; write -y "training: {{epochs: 5}}".')
        _say_where()
        output = paths.REPORTS / f"{notebook}.ipynb"
        with paths.writing(output.parent):
            context.params["output_path"] = context.params["output_path"] or str(output)
        papermill.invoke(context)


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("suite")
@click.argument("given", nargs=-1, type=click.UNPROCESSED, metavar="[--cores N]...")
@click.option("--config", multiple=True, help="of the Snakefile, such as threads=4")
def reports(suite: str, given: tuple[str, ...], config: tuple[str, ...]) -> None:
    """Run what is missing of a suite and write its report.

    SUITE is a file in params/grids, without its ending. The report is reports/SUITE/index.html.
    Options are those of Snakemake, such as --dry-run.
    """
    from snakemake.cli import main as snakemake

    _say_where()
    # its jobs start papermill, also where this environment is not activated
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    profile = any(option.split("=")[0] == "--profile" for option in given)
    usual = [] if profile else [*SNAKEMAKE.split(), "--quiet", "host", "reason"]
    files = "--snakefile", str(paths.ROOT / "Snakefile"), "--directory", str(paths.HOME)
    snakemake([*usual, *files, *given, "--config", f"suite={suite}", *config])


def _predict(student, file):
    """Class probabilities of each sound."""
    shares = student.predict(file)
    columns = {f"p_{name}": share for name, share in shares.items()}
    return {"file": file, "predicted": max(shares, key=shares.get)} | columns


def _embed(student, file):
    """The embedding of each sound, e_0 and on."""
    values = enumerate(student.embed(file).tolist())
    return {"file": file} | {f"e_{number}": value for number, value in values}


def _verify(student, first, second, threshold):
    """Whether two sounds are of one speaker, and by which cosine and threshold."""
    verdict = student.verify(first, second, threshold)
    return {"first": first, "second": second} | verdict._asdict()


def _files(sounds):
    """Yield the files that ``sounds`` name; of a folder those below it that are named as sound or
    video, sorted, none of them hidden. Raises UserError for a folder that has none."""
    for sound in sounds:
        folder, found = Path(sound), [sound]
        if folder.is_dir():
            names = [
                each for each in folder.rglob("*") if "/." not in f"/{each.relative_to(folder)}"
            ]
            below = sorted(filter(Path.is_file, names))
            found = [str(each) for each in below if each.suffix.lower() in ENDINGS]
            if not found:
                raise UserError(f"{folder} has no sound file below it; name another folder.")
            others = len(below) - len(found)
            print(f"{folder}: {len(found)} sound files, {others} other files", file=sys.stderr)
        yield from found


def _answer(ask, student, sounds, format, output, **options):
    """Write a row for each sound, or for both that are compared; a sound that cannot be read is
    reported in one sentence, and the others are answered."""
    from kdsuite.app.using import load_student

    files = sounds if ask is _verify else [*_files(sounds)]
    groups = [files] if ask is _verify else [*zip(files)]
    file = output and paths.output(output, student, *files)
    loaded, unreadable = load_student(student), []
    # rows on the same terminal would run into the bar
    hidden = not sys.stderr.isatty() or not file and sys.stdout.isatty()
    bar = click.progressbar(groups, file=sys.stderr, hidden=hidden)

    def rows():
        """Yield the answer to each sound that can be read."""
        with NamedTemporaryFile() as piped, bar:
            if PIPE in sounds:
                shutil.copyfileobj(sys.stdin.buffer, piped)
                piped.flush()
            for names in bar:
                places = [piped.name if name == PIPE else name for name in names]
                try:
                    row = ask(loaded, *places, **options)
                except UnreadableRecording as error:
                    unreadable.append(error)
                    text = str(error).replace(piped.name, "standard input")
                    print("\n" * (not hidden) + text, file=sys.stderr)
                else:
                    row |= zip(row, names)  # the first columns
                    short = {
                        name: float(f"{x:.6g}") for name, x in row.items() if isinstance(x, float)
                    }
                    yield row | short

    write = FORMATS[format]
    if file:  # it appears when it is complete
        with paths.replacing(file) as file, open(file, "w", -1, "utf-8", ANY_NAME) as stream:
            write(rows(), stream)
    else:
        write(rows(), sys.stdout)
    return FAILED if unreadable else 0


def _write_csv(rows, stream):
    """Write rows as they come, the names of the first one's columns above them."""
    writer = csv.writer(stream, lineterminator="\n")
    for number, row in enumerate(rows):
        values = [json.dumps(each) if isinstance(each, bool) else each for each in row.values()]
        writer.writerows([values] if number else [row, values])
        stream.flush()


def _write_json(rows, stream):
    """Write rows as one list of objects, a line each."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    stream.write(f"[\n{lines}\n]\n")


FORMATS = {"csv": _write_csv, "json": _write_json}
OUTPUT = [
    click.Option(
        ["--format"], type=click.Choice(FORMATS), default="csv",
        help="csv (one row per file) or json (list of objects)",
    ),
    click.Option(["--output"], help="output file; default: standard output"),
]  # fmt: skip
THRESHOLD = click.Option(
    ["--threshold"], type=click.FloatRange(-1, 1),
    help="lowest cosine that counts as one speaker; default: the calibrated one",
)  # fmt: skip
SOUNDS = """

STUDENT is student.safetensors or fold-N.safetensors, as a run leaves them in its folder. SOUNDS are
files such as wav, flac, mp3 or m4a of any sample rate and length"""
BELOW = "; a folder stands for all sound files below it, and - for standard input."
for ask, count, *options in ((_predict, -1), (_embed, -1), (_verify, 2, THRESHOLD)):
    sounds = click.Argument(["sounds"], nargs=count, required=True)
    command = commands.command(
        ask.__name__[1:], params=[click.Argument(["student"]), sounds, *OUTPUT, *options],
        help=ask.__doc__ + SOUNDS + (BELOW if count < 0 else "."),
    )  # fmt: skip
    command(partial(_answer, ask))


@commands.command()
@click.argument("student")
@click.argument("output")
def export(student: str, output: str) -> None:
    """The student as ONNX: waveform in, probabilities and embedding out.

    STUDENT is student.safetensors or fold-N.safetensors, as a run leaves them in its folder, OUTPUT
    a file such as student.onnx.
    """
    from kdsuite.app.export import export
    from kdsuite.app.using import load_student

    export(load_student(student), output)


@commands.command()
@click.argument("suite")
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="how many runs, drawn at random",
)
@click.option("--seed", default=0, show_default=True, help="another seed draws other runs")
@click.option("--from-scratch", is_flag=True, help="train teachers again too")
def reproduce(**options: Any) -> int:
    """Run some of a suite's finished runs again and report each number that differs.

    SUITE is a file in params/grids, without its ending. The exit code is 1 where a number differs.
    """
    from kdsuite.runs.reproduce import reproduce

    return not reproduce(**options)


@commands.command()
@click.argument("suite")
@click.option("--cores", type=click.IntRange(1), help="parallel runs; default: all cores or GPUs")
@click.option("--json", "as_json", is_flag=True, help="for programs")
def plan(suite: str, cores: int | None, as_json: bool) -> None:
    """What a suite will cost, before it is started.

    SUITE is a file in params/grids, without its ending.
    """
    from kdsuite.runs.plan import in_words, plan

    cost = plan(suite, cores)
    print(json.dumps(cost, indent=1) if as_json else in_words(cost))


@commands.command()
@click.argument("corpus", type=click.Choice(["ravdess", "voxceleb1", "iemocap"]))
@click.option("--audio", is_flag=True, help="audio only, to train with alpha = 0")
@click.option("--keep", is_flag=True, help="keep the archives when they are unpacked")
@click.option("--dry-run", is_flag=True, help="only list the archives and their sizes")
def fetch(**options: Any) -> None:
    """Download a corpus from its owners into data/corpora, or say where to ask for it.

    What is there is not downloaded again, and an interrupted download resumes.
    """
    from kdsuite.data.fetch import fetch

    fetch(**options)


@commands.command()
@click.argument("suite")
def forecast(suite: str) -> None:
    """Whether distillation will gain, as CSV with a row a teacher.

    SUITE is a file in params/grids, without its ending. Teachers that are missing are trained,
    students are not.
    """
    from kdsuite.analysis.forecast import forecasts

    output = sys.stdout
    with redirect_stdout(sys.stderr):  # what training prints
        _write_csv(forecasts(suite), output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 after one sentence on standard error for
    each thing that went wrong, 130 after Ctrl-C.

    ``reproduce`` returns 1 where a number differs.
    """
    sys.stdout.reconfigure(errors=ANY_NAME)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return commands.main(arguments or ["--help"], "kdlib", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
    except UserError as error:
        print(error, file=sys.stderr)
    except ModuleNotFoundError as error:
        extra = "onnx" if "onnx" in str(error.name) else "suite"
        print(f"{error.name} is not installed; pip install 'kdlib[{extra}]'.", file=sys.stderr)
    except OSError as error:
        print(f"{error}; check the file and its permissions.", file=sys.stderr)
    except click.Abort:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return FAILED
