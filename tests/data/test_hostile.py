"""What a stranger's files must not do: run code, read or write elsewhere, take all there is, or
break pages, tables and commands."""

from __future__ import annotations

import ast
import os
import re
import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import yaml
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from kdlib.errors import InvalidParameter, UnreadableRecording
from kdlib.parameters import Media
from kdsuite import paths
from kdsuite.analysis import figures
from kdsuite.app.command_line import SNAKEMAKE
from kdsuite.data.decoding import ffmpeg
from kdsuite.data.decoding.media import read_frames
from kdsuite.data.decoding.sound import read_sound
from kdsuite.settings import load
from tests.conftest import noise_store

MEDIA = Media(frame_size=32)
EVIL = "<script>alert(1)</script> $x_{y}$ [&%#] 'q' \"p\" ; rm -rf ~ `id` $(id) ü日"


# --- no code


def calls():
    """Yield file, line, name and keywords of each call in the library, the notebooks' cells and the
    Snakefile's helpers."""
    for file in sorted(
        file for name in ("kdlib", "kdsuite") for file in (paths.ROOT / name).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield (
                    f"{file.name}:{node.lineno}",
                    ast.unparse(node.func),
                    {each.arg: ast.unparse(each.value) for each in node.keywords},
                )
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name in [
                    getattr(node, "module", None) or "",
                    *(each.name for each in node.names),
                ]:
                    yield f"{file.name}:{node.lineno}", f"import {name}", {}


def test_nothing_is_loaded_that_could_run():
    wrong = [
        (where, name)
        for where, name, given in calls()
        if name.split(".")[0].removeprefix("import ")
        in ("pickle", "dill", "cloudpickle", "shelve", "marshal")
        or (name.endswith("torch.load") and given.get("weights_only") != "True")
        or "allow_pickle" in given
        or name
        in (
            "joblib.load",
            "pd.read_pickle",
            "pandas.read_pickle",
            "yaml.load",
            "yaml.unsafe_load",
            "yaml.full_load",
            "eval",
            "exec",
            "os.system",
        )
        or given.get("shell") == "True"
    ]
    assert not wrong


# --- no more than a recording's share


def made(file, *arguments):
    """Let ffmpeg write a file."""
    subprocess.run(
        [get_ffmpeg_exe(), "-loglevel", "error", "-y", *map(str, arguments), str(file)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return file


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    sight, sound = (
        ("-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=4"),
        ("-f", "lavfi", "-i", "sine=d=4"),
    )
    return made(tmp_path_factory.mktemp("hostile") / "clip.mp4", *sight, *sound)


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile {clip}\n", "endless": "ffconcat version 1.0\n" + "file {clip}\n" * 9,
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clip}\n", "remote": "#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:9/x.ts\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation><BaseURL>{clip}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}  # fmt: skip


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("ending", [".mp4", ".m3u8"])
def test_a_list_of_other_files_is_no_recording(clip, tmp_path, kind, ending):
    file = tmp_path / f"a{ending}"
    file.write_text(PLAYLISTS[kind].format(clip=clip))
    for read in (read_frames, read_sound):
        with pytest.raises(UnreadableRecording, match=f"a{ending} cannot be decoded"):
            read(str(file), MEDIA)


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/stdin", "http://127.0.0.1:9/a.mp4", "concat:/a|/b"]
)
def test_what_is_no_file_is_not_opened(path):
    with pytest.raises(UnreadableRecording, match="is no file|cannot be opened"):
        read_sound(path, MEDIA)
    with pytest.raises(UnreadableRecording, match="is no file|cannot be opened"):
        read_frames(path, MEDIA)


@pytest.mark.parametrize(
    "kind, limit",
    [(resource.RLIMIT_CPU, 1), (resource.RLIMIT_AS, 500 * 2**20), (resource.RLIMIT_FSIZE, 10_000)],
)
def test_decoding_ends_at_its_limits(clip, tmp_path, monkeypatch, kind, limit):
    monkeypatch.setattr(ffmpeg, "LIMITS", {kind: limit})
    file = clip
    if kind == resource.RLIMIT_CPU:  # a quarter of an hour
        file = made(tmp_path / "long.mp4", "-stream_loop", "224", "-i", str(clip), "-c", "copy")
    if kind == resource.RLIMIT_AS:
        file = made(
            tmp_path / "large.mkv",
            "-f",
            "lavfi",
            "-i",
            "color=s=8000x8000:r=5:d=0.2",
            "-c:v",
            "huffyuv",
        )
    with pytest.raises(
        UnreadableRecording,
        match=f"{file.name} takes more than 10 min of computing or 4 GiB to decode",
    ):
        read_frames(str(file), Media(frame_size=224))


def test_more_frames_than_fit_are_not_made(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "LARGEST", 40 * 32 * 32 * 3)
    (tmp_path / "stills").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40)).save(tmp_path / "stills" / f"{number}.png")
    (tmp_path / "track.txt").write_text("FRAME X Y W H\n0 10 10 100 100\n")
    assert len(read_frames(str(tmp_path / "stills"), MEDIA, 0.0, 1.0)) == 25
    for path, face in ((tmp_path / "stills", ""), (clip, str(tmp_path / "track.txt"))):
        with pytest.raises(UnreadableRecording, match=f"{path.name} takes more than"):
            read_frames(str(path), MEDIA, face=face)


def test_a_second_of_sound_is_not_made_hours(tmp_path):
    soundfile.write(tmp_path / "slow.wav", np.zeros(200_000), 1)  # two days, at a sample a second
    with pytest.raises(UnreadableRecording, match="slow.wav takes more than .* 4 GiB"):
        read_sound(str(tmp_path / "slow.wav"), MEDIA)


def test_a_picture_is_not_handed_to_other_programs(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "1.eps")
    os.rename(tmp_path / "1.eps", tmp_path / "1.png")
    with pytest.raises(UnreadableRecording, match="1.png cannot be decoded as a picture"):
        read_frames(str(tmp_path), MEDIA)


# --- names


def test_names_in_pictures(tmp_path):
    store = noise_store()
    store.recordings["speaker"] = EVIL + r" $\frac{"
    store.recordings["label"] = store.recordings.label.cat.rename_categories([EVIL, r"$\bad$ $"])
    store.classes[:] = list(store.recordings.label.cat.categories)
    for picture in (
        figures.classes_by_speaker(store),
        figures.recordings(store, [0, 1], load(dataset="demo-ravdess")),
    ):
        figures.save(picture, tmp_path / "picture")
        assert "<script" not in (tmp_path / "picture.svg").read_text()


def test_names_of_files_of_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    for name in ("a b", "-rf", ".x", "a{b}", "$(id)", "a\nb"):
        (tmp_path / f"{name}.yaml").write_text("{}")
        with pytest.raises(InvalidParameter, match="made of letters, digits"):
            load(dataset=name)


# --- which runs a change of the corpus concerns

PAPERMILL = """#!{python}
import json, pathlib, sys, yaml
sys.path.insert(0, {root!r})
from kdsuite import settings
from kdsuite.data import corpora
log, given = (pathlib.Path(sys.argv[sys.argv.index("-y") - 1]), yaml.safe_load(sys.argv[sys.argv.index("-y") + 1]))
result = {{"provenance": corpora.on_disk(settings.load(**given))}}
log.with_name("result.json").write_text(json.dumps(result))
"""


def stale(home, *arguments):
    """Return the runs that Snakemake plans (or, without --dry-run, does)."""
    given = {
        "KDLIB_PARAMS": home / "params",
        "KDLIB_DATA": home / "data",
        "KDLIB_REPORTS": home / "reports",
    }
    environment = {
        **os.environ,
        **{name: str(path) for name, path in given.items()},
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    files = [
        home
        / "reports"
        / "runs"
        / dataset
        / "student"
        / "seresnet-nonseq-embedding-a0.00-s0"
        / "result.json"
        for dataset in ("one", "two")
    ]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        paths.ROOT / "Snakefile",
        "--directory",
        home,
        *SNAKEMAKE.split(),
        "--cores",
        "1",
    ]
    command += [*arguments, "--config", "suite=both", "--", *files]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # a plan names them as jobs, and a line tells of each that is finished
    pattern = r"^(?:Job \d+: (\S+)|(\S+): .* runs left.*)$"
    found = re.findall(pattern, done.stdout + done.stderr, re.MULTILINE)
    return sorted({planned or finished for planned, finished in found})


def test_a_changed_corpus_makes_its_own_runs_out_of_date(tmp_path):
    (tmp_path / "params" / "grids").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "papermill").write_text(
        PAPERMILL.format(python=sys.executable, root=str(paths.ROOT))
    )
    (tmp_path / "bin" / "papermill").chmod(0o755)
    example = yaml.safe_load((paths.ROOT / "params" / "grid-example.yaml").read_text())
    for name in ("one", "two"):
        folder = tmp_path / f"corpus {name} ; $(id)"
        folder.mkdir()
        for take in ("-rf", "b c"):
            soundfile.write(folder / f"{take}.wav", np.zeros(16000), 16000)
        (folder / "list.csv").write_text(
            "audio,speaker,label,split\n-rf.wav,A,x,train\nb c.wav,B,x,test\n"
        )
        section = {**example["corpus"], "path": str(folder / "list.csv")}
        (tmp_path / "params" / f"{name}.yaml").write_text(
            yaml.safe_dump({**example, "dataset": name, "corpus": section})
        )
    runs = [{"dataset": ["one", "two"], "alpha": 0}]
    (tmp_path / "params" / "grids" / "both.yaml").write_text(
        yaml.safe_dump({"title": "both", "runs": runs})
    )
    assert len(stale(tmp_path)) == 4
    first = tmp_path / "corpus one ; $(id)"
    os.utime(first / "-rf.wav")  # looked at is not changed
    assert stale(tmp_path, "--dry-run") == []
    soundfile.write(first / "-rf.wav", np.zeros(17000), 16000)
    planned = stale(tmp_path, "--dry-run")
    assert [run.split("/")[:2] for run in planned] == [["one", "data"], ["one", "student"]]
    assert stale(tmp_path) == planned and stale(tmp_path, "--dry-run") == []


# --- together


def test_who_waits_is_told_for_whom(tmp_path):
    wait = f"from pathlib import Path; from kdsuite import paths\nwith paths.lock(Path({str(tmp_path / 'store')!r})): print('mine')"
    with paths.lock(tmp_path / "store"):
        other = subprocess.Popen(
            [sys.executable, "-c", wait], cwd=paths.ROOT, stdout=subprocess.PIPE, text=True
        )
        assert (
            f"store, which is being made (process and host: {os.getpid()} "
            in other.stdout.readline()
        )
    assert other.communicate(timeout=60)[0] == "mine\n"


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    hold = f"import os, signal; from pathlib import Path; from kdsuite import paths\nwith paths.lock(Path({str(tmp_path / 'store')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", hold], cwd=paths.ROOT).returncode == -9
    with paths.lock(tmp_path / "store"):
        assert (tmp_path / "store.lock").read_text().startswith(f"{os.getpid()} ")
