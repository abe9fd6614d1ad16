"""The small corpora that the suite makes itself: drawn faces and synthesised voices, in the files
of the real ones.

:mod:`.face` draws, :mod:`.voice` speaks; :mod:`.ravdess`, :mod:`.voxceleb1` and :mod:`.iemocap` put
both into the trees of their corpora by way of :mod:`.writing`. They need moviepy and scipy's
filters, so nothing here imports them before there is something to write.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from kdlib.errors import InvalidParameter
from kdsuite import places
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.places import write_json

TRUTH = "synthetic.json"  # the corpus is complete if and only if this exists
BEGUN = ".synthetic.json"  # the parameters of a corpus that may be unfinished
LAYOUTS = ("ravdess", "voxceleb1", "iemocap")


def ensure(corpus: Corpus) -> None:
    """Write the small corpus that the parameters ask for, unless it is there; the first of several
    processes does.

    Raises InvalidParameter for a layout that has no such corpus, or where the folder holds
    something else.
    """
    if corpus.synthetic is None:
        return
    if corpus.layout not in LAYOUTS:
        raise InvalidParameter(
            f"parameter 'corpus.synthetic' makes no {corpus.layout}; set it to null, or take a dataset that does not ask for it."
        )
    folder = places.corpus(corpus.path)
    with places.lock(folder):
        if not claimed(folder, corpus.synthetic):
            getattr(import_module(f"{__name__}.{corpus.layout}"), f"write_{corpus.layout}")(
                folder, corpus.synthetic
            )


def claimed(folder: Path, synthetic: Synthetic) -> bool:
    """Mark the folder as made with these parameters and return whether it is complete.

    Raises InvalidParameter where it is marked or used otherwise.
    """
    parameters, usual = synthetic.model_dump(mode="json"), Synthetic().model_dump(mode="json")
    remedy = "remove that folder or choose another path with corpus.path"
    for mark in (folder / TRUTH, folder / BEGUN):
        if mark.exists():
            # of a parameter that is newer than the corpus the default leaves it as it was
            if usual | json.loads(mark.read_text())["parameters"] != parameters:
                raise InvalidParameter(
                    f"the synthetic corpus in {folder} was made with other parameters than corpus.synthetic; {remedy}."
                )
            return mark.name == TRUTH
    if folder.is_dir() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise InvalidParameter(
            f"{folder} holds files that no synthetic corpus has, so none is written there; {remedy}."
        )
    if any(side % 2 for side in synthetic.video_size):
        raise InvalidParameter(
            f"parameter 'corpus.synthetic.video_size' is {parameters['video_size']}, but H.264 needs both even."
        )
    write_json(folder / BEGUN, {"parameters": parameters})
    return False


def shown_and_spoken(
    labelled: str, emotions: Sequence[str], synthetic: Synthetic, random: np.random.Generator
) -> dict[str, str]:
    """Return the emotion that a recording is ``labelled`` with, that is ``shown`` by the face and
    ``spoken`` by the voice.

    The voice expresses the label with probability ``audio_information`` and else one of the ``emotions``, drawn uniformly. With
    probability ``shared`` the face shows what the voice expresses; else it shows the label with probability ``video_information``
    and one drawn uniformly otherwise. So of k emotions, with label y, face v and voice a::

        P(a | y)    = audio_information [a = y] + (1 - audio_information) / k
        P(v | y, a) = shared [v = a] + (1 - shared) (video_information [v = y] + (1 - video_information) / k)

    ``shared`` 0 is independence given the label, ``shared`` 0 with ``video_information`` 0 a face
    that tells of neither.
    """
    truth = {"labelled": labelled}
    for modality, information in (
        ("shown", synthetic.video_information),
        ("spoken", synthetic.audio_information),
    ):
        informs, other = random.random() < information, emotions[random.integers(len(emotions))]
        truth[modality] = labelled if informs else other
    if (
        random.random() < synthetic.shared
    ):  # drawn last, so that the draws above are those of every corpus
        truth["shown"] = truth["spoken"]
    return truth
