"""Whether preparing a corpus keeps up with plain ffmpeg: the same filters on the same files, one
process a core.

Clips of 4 s as RAVDESS has them (1280×720, about 30 frames a second, sound in the file) and twice
as many of 3 s as GRID has them (360×288, 25 frames a second). Plain ffmpeg writes raw frames and a
sound file for each; kdlib builds its store. The two take turns.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pandas as pd

from benchmarks import report, timing
from kdsuite.data import corpora, store
from kdsuite.data.decoding import faces
from kdsuite.settings import Settings, load

FFMPEG = (imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin")
WORKERS = len(os.sched_getaffinity(0))
# name, seconds, size, frames a second, codecs, ending
KINDS = {
    "ravdess": (
        4,
        "1280x720",
        "30000/1001",
        ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac"),
        ".mp4",
    ),
    "grid": (3, "360x288", "25", ("-c:v", "mpeg1video", "-b:v", "1M", "-c:a", "mp2"), ".mpg"),
}


def write_clips(folder: Path, kind: str, count: int) -> list[Path]:
    """Write ``count`` clips of a moving test picture with a tone."""
    seconds, size, rate, codecs, ending = KINDS[kind]
    files = [folder / f"{kind}-{number:03d}{ending}" for number in range(count)]
    picture = f"testsrc2=s={size}:r={rate}:d={seconds},noise=alls=8"
    subprocess.run(
        [
            *FFMPEG,
            "-f",
            "lavfi",
            "-i",
            picture,
            "-f",
            "lavfi",
            "-i",
            f"sine=f=300:r=48000:d={seconds}",
            *codecs,
            files[0],
        ],
        check=True,
    )
    for file in files[1:]:
        shutil.copy(files[0], file)
    return files


def plain(files: list[Path], settings: Settings, out: Path) -> None:
    """Decode each file by one ffmpeg on one thread, ``WORKERS`` at a time."""
    media = settings.media
    pictures = [
        "-map",
        "0:v:0",
        "-vf",
        f"fps={media.fps},{faces.filters('', media)}",
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
    ]
    sound = ["-map", "0:a:0", "-ac", "1", "-ar", str(media.sample_rate), "-f", "s16le"]

    def decode(file: Path) -> None:
        one = [*FFMPEG, "-threads", "1", "-filter_threads", "1", "-i", file]
        subprocess.run(
            [*one, *pictures, out / f"{file.stem}.rgb", *sound, out / f"{file.stem}.pcm"],
            check=True,
        )

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(decode, files))


def ours(files: list[Path], settings: Settings, out: Path) -> None:
    """Build the store, from reading the files' names on to the last file written."""
    table = pd.DataFrame(
        {
            "recording": [file.stem for file in files],
            "audio": list(map(str, files)),
            "video": list(map(str, files)),
        }
    )
    table = table.assign(
        **{name: value for name, value in corpora.COLUMNS.items() if name not in table}
    )
    store.build(out / "store", table.assign(label=pd.Categorical(table.label)), settings, WORKERS)


def measure(quick: bool) -> dict[str, Any]:
    """Return, for each kind of file, kdlib's throughput as a share of ffmpeg's."""
    settings, rows, takes = (
        load(dataset="ravdess", media={"frame_size": 224}),
        [],
        1 if quick else 12,
    )
    with tempfile.TemporaryDirectory() as scratch:
        for kind in KINDS:
            files = write_clips(Path(scratch), kind, takes * (1 + (kind == "grid")))

            def into_nothing(work, files=files) -> None:
                with tempfile.TemporaryDirectory() as out:
                    work(files, settings, Path(out))

            ways = {
                name: lambda work=work: into_nothing(work)
                for name, work in {"ffmpeg": plain, "kdlib": ours}.items()
            }
            times = timing.turns(ways, 0, *(1, 1) if quick else (3, 3))
            found = timing.ratio(times, "ffmpeg", "kdlib")
            rows.append(
                {
                    "kind": kind,
                    "files": len(files),
                    **found,
                    "files_a_second": round(len(files) / min(times["kdlib"]), 2),
                }
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "goals": [
            report.goal(
                f"throughput of a store to that of plain ffmpeg, {row['kind']}",
                row["ratio"],
                "≥",
                0.8,
            )
            for row in rows
        ],
        "rows": rows,
        "notes": [f"{WORKERS} decoders at once; peak memory {peak:.0f} MB."],
        "not_measured": [],
    }


if __name__ == "__main__":
    report.main("preparation", measure)
