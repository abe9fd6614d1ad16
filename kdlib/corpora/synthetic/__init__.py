"""The small corpora that the suite makes itself: drawn faces and synthesised voices, in the files of the real ones.

:mod:`.face` draws, :mod:`.voice` speaks; :mod:`.ravdess`, :mod:`.voxceleb1` and :mod:`.iemocap` put both into the trees of
their corpora by way of :mod:`.writing`. They need moviepy and scipy's filters, so nothing here imports them before there is
something to write.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from kdlib.errors import InvalidParameter
from kdlib.parameters import Synthetic
from kdlib.places import write_json

TRUTH = "synthetic.json"  # the corpus is complete if and only if this exists
BEGUN = ".synthetic.json"  # the parameters of a corpus that may be unfinished
LAYOUTS = ("ravdess", "voxceleb1", "iemocap")


def ensure(layout: str, folder: Path, synthetic: Synthetic) -> None:
    """Make the small corpus in ``folder`` unless it is there. Hold :func:`kdlib.places.lock` where several processes may.

    Raises InvalidParameter for a layout that nobody writes, or where the folder holds something else.
    """
    if layout not in LAYOUTS:
        raise InvalidParameter(
            f"parameter 'corpus.synthetic' makes no {layout}; set it to null, or take a dataset that does not ask for it."
        )
    if not claimed(folder, synthetic):
        getattr(import_module(f"{__name__}.{layout}"), f"write_{layout}")(folder, synthetic)


def claimed(folder: Path, synthetic: Synthetic) -> bool:
    """Mark the folder as made with these parameters and return whether it is complete.

    Raises InvalidParameter where it is marked or used otherwise.
    """
    parameters = synthetic.model_dump(mode="json")
    remedy = "remove that folder or choose another path with corpus.path"
    for mark in (folder / TRUTH, folder / BEGUN):
        if mark.exists():
            if json.loads(mark.read_text())["parameters"] != parameters:
                raise InvalidParameter(f"the synthetic corpus in {folder} was made with other parameters than corpus.synthetic; {remedy}.")
            return mark.name == TRUTH
    if folder.is_dir() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise InvalidParameter(f"{folder} holds files that no synthetic corpus has, so none is written there; {remedy}.")
    if any(side % 2 for side in synthetic.video_size):
        raise InvalidParameter(f"parameter 'corpus.synthetic.video_size' is {parameters['video_size']}, but H.264 needs both even.")
    write_json(folder / BEGUN, {"parameters": parameters})
    return False


def shown_and_spoken(labelled: str, emotions: Sequence[str], synthetic: Synthetic, random: np.random.Generator) -> dict[str, str]:
    """Return the emotion that a recording is ``labelled`` with, that is ``shown`` by the face and ``spoken`` by the voice.

    Each modality has the label with the probability that the parameters give it, and else one drawn from ``emotions``.
    """
    truth = {"labelled": labelled}
    for modality, information in (("shown", synthetic.video_information), ("spoken", synthetic.audio_information)):
        informs, other = random.random() < information, emotions[random.integers(len(emotions))]
        truth[modality] = labelled if informs else other
    return truth
