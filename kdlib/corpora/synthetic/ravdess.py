"""A small RAVDESS: its folders, names and file formats, with drawn actors whose faces and voices say what is known.

Each modality of a take displays the labelled emotion with the probability p that the parameters give it, and else one
drawn uniformly among the k emotions of the take's channel (8 in speech, 6 in song), face and voice independently. Who
reads a modality without fault is therefore right on p + (1 - p) / k of the takes: at 0.95 on 0.96 of them and at 0.75
on 0.78 of speech and 0.79 of song (a little more where calm counts as neutral). That is the ceiling of any model of one
modality. The mouth follows the sound, so that a video holds a trace of the voice, as everywhere.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product, zip_longest
from pathlib import Path

import numpy as np
import soundfile
from joblib import Parallel, delayed
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

from kdlib.corpora.ravdess import EMOTIONS
from kdlib.corpora.synthetic import face, voice
from kdlib.errors import InvalidParameter
from kdlib.places import replacing, write_json
from kdlib.settings import Synthetic

TRUTH = "synthetic.json"  # the corpus is complete if and only if this exists
BEGUN = ".synthetic.json"  # the parameters of a corpus that may be unfinished
CHANNEL_EMOTIONS = {"01": tuple(EMOTIONS), "02": tuple(EMOTIONS)[:6]}
FPS = 30000 / 1001
INTENSITY = {"01": 0.9, "02": 1.2}
ENDINGS = {"01": ".mp4", "02": ".mp4", "03": ".wav"}


def official_takes(song: bool = True) -> list[str]:
    """Return the takes of one actor, without modality and actor: 60 of speech and 44 of song, in the order of their names."""
    channels = CHANNEL_EMOTIONS if song else {"01": CHANNEL_EMOTIONS["01"]}
    every = product(channels, EMOTIONS, ("01", "02"), ("01", "02"), ("01", "02"))
    return ["-".join(take) for take in every if take[1] in channels[take[0]] and take[1:3] != ("01", "02")]


def take_list(synthetic: Synthetic) -> list[str]:
    """Return all takes of a corpus, such as ``01-05-02-01-01-12``, spread evenly over classes, channels and the rest."""
    return [take for actor in range(1, synthetic.actors + 1) for take in sorted(_takes_of(actor, synthetic))]


def _takes_of(actor: int, synthetic: Synthetic) -> list[str]:
    cells: dict[tuple[str, str], list[str]] = {}
    for take in np.random.default_rng([synthetic.seed, actor, 3]).permutation(official_takes(actor not in synthetic.actors_without_song)):
        cells.setdefault((take[3:5], take[:2]), []).append(f"{take}-{actor:02d}")
    classes: dict[str, list[list[str]]] = {}
    for (emotion, _), cell in sorted(cells.items()):
        # neutral and calm are one class of the default protocol
        classes.setdefault("01" if emotion == "02" else emotion, []).append(cell)
    # the first in turn changes with the actor, so that no class or channel is favoured over all actors
    chosen = _in_turn([_in_turn(cells, actor) for cells in classes.values()], actor * synthetic.takes)
    return chosen[: synthetic.takes]


def _in_turn(lists: Sequence[list[str]], first: int) -> list[str]:
    """Take one of each list in turn, beginning with list ``first`` (modulo their number), until all are used up."""
    first %= len(lists)
    rounds = zip_longest(*lists[first:], *lists[:first])
    return [item for one_round in rounds for item in one_round if item is not None]


def displayed(take: str, synthetic: Synthetic) -> dict[str, str]:
    """Return the names of the emotions that a take is ``labelled`` with, that are ``shown`` by the face and ``spoken`` by the voice."""
    channel, emotion = take.split("-")[:2]
    rng, names = _random(take, synthetic, 0), [EMOTIONS[code] for code in CHANNEL_EMOTIONS[channel]]
    truth = {"labelled": EMOTIONS[emotion]}
    for modality, information in (("shown", synthetic.video_information), ("spoken", synthetic.audio_information)):
        informs, other = rng.random() < information, names[rng.integers(len(names))]
        truth[modality] = EMOTIONS[emotion] if informs else other
    return truth


def _random(take: str, synthetic: Synthetic, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one take, whoever draws it and when."""
    return np.random.default_rng([synthetic.seed, int(take[-2:]), int(take[:-3].replace("-", "")), purpose])


def render(take: str, synthetic: Synthetic) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the sound of a take, float32 at 48 kHz, and its frames, uint8 RGB at 30000/1001 a second, of equal length."""
    channel, _, intensity, statement, _, actor = take.split("-")
    truth, force = displayed(take, synthetic), INTENSITY[intensity]
    speaker, looks = voice.Voice.of(int(actor), synthetic.seed), face.Identity.of(int(actor), synthetic.seed)
    sound, envelope = voice.speak(
        speaker, truth["spoken"], synthetic.seconds, _random(take, synthetic, 1), int(statement), force, sung=channel == "02"
    )
    times = np.arange(int(len(sound) / voice.RATE * FPS)) / FPS
    heard = np.interp(times + 0.5 / FPS, np.arange(len(envelope)) / voice.ENVELOPE_RATE, envelope)
    frames = face.animate(looks, truth["shown"], heard, _random(take, synthetic, 2), force, synthetic.video_size)
    return sound[: round(len(times) / FPS * voice.RATE)], frames


def write_ravdess(folder: Path, synthetic: Synthetic, workers: int | None = None) -> None:
    """Write what is missing of the corpus in ``workers`` processes (one for each core unless given).

    The same parameters give the same files, however many workers there are. Each file appears in one step, and
    ``synthetic.json`` last: parameters, and the emotions that each take displays. Hold :func:`kdlib.places.lock` where
    several processes may write. Raises InvalidParameter where the folder holds something else.
    """
    folder, parameters = Path(folder), synthetic.model_dump(mode="json")
    _claim(folder, parameters)
    if (folder / TRUTH).exists():
        return
    takes = take_list(synthetic)
    files = [file for take in takes for file in _files(folder, take, synthetic)]
    missing = [file for file in files if not file.exists()]
    _report(_written(missing, synthetic, workers or _cores()), len(missing), folder)
    for leftover in folder.glob("Actor_*/.*-0?-0?-*"):  # temporary files of a run that was killed
        leftover.unlink()
    write_json(folder / TRUTH, {"parameters": parameters, "takes": {take: displayed(take, synthetic) for take in takes}})


def _claim(folder: Path, parameters: dict) -> None:
    """Mark the folder as made with these parameters, unless it is marked or used otherwise."""
    remedy = "remove that folder or choose another path with corpus.path"
    for mark in (folder / TRUTH, folder / BEGUN):
        if mark.exists():
            if json.loads(mark.read_text())["parameters"] != parameters:
                raise InvalidParameter(f"the synthetic corpus in {folder} was made with other parameters than corpus.synthetic; {remedy}.")
            return
    if folder.is_dir() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise InvalidParameter(f"{folder} holds files that no synthetic corpus has, so none is written there; {remedy}.")
    if parameters["video_size"][0] % 2 or parameters["video_size"][1] % 2:
        raise InvalidParameter(f"parameter 'corpus.synthetic.video_size' is {parameters['video_size']}, but H.264 needs both even.")
    write_json(folder / BEGUN, {"parameters": parameters})


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _files(folder: Path, take: str, synthetic: Synthetic) -> list[Path]:
    """Return the files of a take, one a modality."""
    return [folder / f"Actor_{take[-2:]}" / f"{modality}-{take}{ENDINGS[modality]}" for modality in synthetic.modalities]


def _written(files: list[Path], synthetic: Synthetic, workers: int) -> Iterator[None]:
    """Write the files, yielding once for each that is done; an error in a worker is raised here."""
    workers = max(1, min(workers, len(files) // 4))  # a process takes about as long to start as four recordings to write
    # joblib's processes, unlike multiprocessing's, do not run the caller's script again
    return Parallel(workers, return_as="generator_unordered")(delayed(_write)(file, synthetic) for file in files)


def _report(done: Iterable[None], count: int, folder: Path) -> None:
    """Print a line about every ten seconds."""
    said = time.monotonic()
    for number, _ in enumerate(done, 1):
        if time.monotonic() - said > 10 or number == count:
            print(f"synthetic corpus {folder.name}: {number} of {count} files written", flush=True)
            said = time.monotonic()


def _write(file: Path, synthetic: Synthetic) -> None:
    modality, _, take = file.stem.partition("-")
    sound, frames = render(take, synthetic)
    with tempfile.TemporaryDirectory() as scratch, replacing(file) as temporary:
        wave = temporary if modality == "03" else Path(scratch, "sound.wav")
        soundfile.write(wave, sound, voice.RATE, "PCM_16")
        if modality != "03":
            _encode(temporary, frames, synthetic.video_size, str(wave) if modality == "01" else None)


def _encode(file: Path, frames: Iterable[np.ndarray], size: tuple[int, int], sound: str | None) -> None:
    # moviepy rounds the rate to 29.97, hence the second -r
    options = ["-r", "30000/1001", "-crf", "20", "-aac_coder", "fast", "-movflags", "+faststart"]
    with FFMPEG_VideoWriter(
        str(file), size, FPS, "libx264", sound, "aac", preset="superfast", threads=1, ffmpeg_params=options, pixel_format="rgb24"
    ) as writer:
        process = writer.proc
        for frame in frames:
            writer.write_frame(frame)
    if process.returncode:
        raise OSError(f"ffmpeg failed to write {file} (status {process.returncode}); is the disk full?")
