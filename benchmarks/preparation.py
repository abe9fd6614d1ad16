"""Whether preparing a corpus keeps up with plain ffmpeg: the same filters on the same files, one process a core.

    python benchmarks/preparation.py [TAKES] [REPEATS] [FOLDER]

Writes TAKES clips of 4 s as RAVDESS has them (1280×720, about 30 frames a second, sound in the file) and twice as many of
3 s as GRID has them (360×288, 25 frames a second), or takes the videos in FOLDER. Plain ffmpeg writes raw frames and a
sound file for each; kdlib builds its store. The two take turns, and the last line is JSON: seconds, and the ratio
of kdlib's throughput to ffmpeg's. Nothing else should run beside it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio_ffmpeg
import pandas as pd

from kdlib import corpora, faces, store
from kdlib.settings import Settings, load

FFMPEG = (imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin")
WORKERS = len(os.sched_getaffinity(0))
# name, seconds, size, frames a second, codecs, ending
KINDS = {
    "ravdess": (4, "1280x720", "30000/1001", ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac"), ".mp4"),
    "grid": (3, "360x288", "25", ("-c:v", "mpeg1video", "-b:v", "1M", "-c:a", "mp2"), ".mpg"),
}


def write_clips(folder: Path, kind: str, count: int) -> list[Path]:
    """Write ``count`` clips of a moving test picture with a tone."""
    seconds, size, rate, codecs, ending = KINDS[kind]
    files = [folder / f"{kind}-{number:03d}{ending}" for number in range(count)]
    picture = f"testsrc2=s={size}:r={rate}:d={seconds},noise=alls=8"
    subprocess.run(
        [*FFMPEG, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=f=300:r=48000:d={seconds}", *codecs, files[0]], check=True
    )
    for file in files[1:]:
        shutil.copy(files[0], file)
    return files


def plain(files: list[Path], settings: Settings, out: Path) -> None:
    """Decode each file by one ffmpeg on one thread, ``WORKERS`` at a time."""
    media = settings.media
    pictures = ["-map", "0:v:0", "-vf", f"fps={media.fps},{faces.filters('', media)}", "-pix_fmt", "rgb24", "-f", "rawvideo"]
    sound = ["-map", "0:a:0", "-ac", "1", "-ar", str(media.sample_rate), "-f", "s16le"]

    def decode(file: Path) -> None:
        one = [*FFMPEG, "-threads", "1", "-filter_threads", "1", "-i", file]
        subprocess.run([*one, *pictures, out / f"{file.stem}.rgb", *sound, out / f"{file.stem}.pcm"], check=True)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(decode, files))


def ours(files: list[Path], settings: Settings, out: Path) -> None:
    """Build the store, from reading the files' names on to the last file written."""
    table = pd.DataFrame({"recording": [file.stem for file in files], "audio": list(map(str, files)), "video": list(map(str, files))})
    table = table.assign(**{name: value for name, value in corpora.COLUMNS.items() if name not in table})
    store._build(out / "store", table.assign(label=pd.Categorical(table.label)), settings, WORKERS)


def seconds(work, files: list[Path], settings: Settings) -> float:
    """Return the wall time of one way to decode all files; what it wrote is removed."""
    with tempfile.TemporaryDirectory() as out:
        began = time.monotonic()
        work(files, settings, Path(out))
        return time.monotonic() - began


def compare(name: str, files: list[Path], settings: Settings, repeats: int) -> dict[str, float]:
    """Let the two take turns and return the best time of each."""
    turns = [(seconds(plain, files, settings), seconds(ours, files, settings)) for _ in range(repeats)]
    fastest = [min(times) for times in zip(*turns)]
    print(
        f"{name}: {len(files)} files, ffmpeg {fastest[0]:.2f} s, kdlib {fastest[1]:.2f} s, ratio {fastest[0] / fastest[1]:.2f}", flush=True
    )
    return {"files": len(files), "ffmpeg": round(fastest[0], 3), "kdlib": round(fastest[1], 3), "ratio": round(fastest[0] / fastest[1], 3)}


def main(takes: int, repeats: int, folder: str) -> None:
    """Print a line a kind of file, then JSON."""
    settings = load(dataset="ravdess", media={"frame_size": 224})
    with tempfile.TemporaryDirectory() as scratch:
        kinds = {kind: write_clips(Path(scratch), kind, takes * (1 + (kind == "grid"))) for kind in KINDS} if not folder else {}
        found = kinds or {Path(folder).name: sorted(file for file in Path(folder).iterdir() if file.is_file())}
        report = {kind: compare(kind, files, settings, repeats) for kind, files in found.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**report, "workers": WORKERS, "peak_megabytes": round(peak)}))


if __name__ == "__main__":
    given = sys.argv[1:] + [None] * 3
    main(int(given[0] or 12), int(given[1] or 3), given[2] or "")
