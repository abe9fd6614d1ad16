"""What a student says of recordings in a store, at any length."""

import math
from dataclasses import replace

import numpy as np
import torch

from kdlib import student
from kdlib.models.network import Network
from kdsuite.data.pieces import pieces
from kdsuite.data.store import Store
from kdsuite.settings import Settings


def predict(
    network: Network, settings: Settings, data: Store, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class probabilities and embeddings of recordings ``rows``; of more than half a minute
    of sound, taken whole, the average over its pieces, as a student in use does."""
    if not len(rows):
        return torch.zeros(0, len(data.classes)), torch.zeros(0, settings.model.embedding)
    # in a fixed length it is the middle alone
    rate = data.sample_rate if settings.media.inference == "whole" else math.inf
    sound = data.waveforms
    places = zip(sound.starts[rows].tolist(), sound.lengths[rows].tolist())
    edges = [start + pieces(length, rate) for start, length in places]
    starts, ends = torch.from_numpy(np.hstack([[each[:-1], each[1:]] for each in edges])).to(
        data.device
    )
    cut = replace(data, waveforms=replace(sound, starts=starts, lengths=ends - starts))
    output = student.predict(network, settings, cut, np.arange(len(starts)))
    counts = [len(each) - 1 for each in edges]
    return tuple(
        torch.stack([part.mean(dim=0) for part in values.split(counts)])
        for values in (output.logits.softmax(dim=-1), output.final)
    )


def embed(network: Network, settings: Settings, data: Store, rows: np.ndarray) -> torch.Tensor:
    """Return the embeddings of recordings ``rows`` in full length, as verification takes them
    (paper, section 4)."""
    return predict(network, settings.changed(media={"inference": "whole"}), data, rows)[1]
