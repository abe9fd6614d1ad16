"""A trained student at work: plain sound files in; class probabilities, embeddings, or one speaker
or two out.

It hears what it would have heard in the run that trained it: the same decoding, rounding, windows
and spectrograms.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdlib.dataset import center_start, samples_per_frame, samples_per_segment, segments_in
from kdlib.errors import InvalidStudent
from kdlib.models.network import Network, Output
from kdsuite.data.decoding.sound import as_stored, read_sound
from kdsuite.runs import student_file
from kdsuite.settings import Settings

# seconds: longer sound is heard in pieces, which are averaged, because a network of full width
# takes a gigabyte a minute
LONGEST = 60.0


class Verdict(NamedTuple):
    """Whether two recordings are of one speaker: ``score`` is the cosine of their embeddings,
    ``same`` that it reaches ``threshold``."""

    score: float
    threshold: float
    same: bool


class Classifier(nn.Module):
    """A student's network for a waveform of any length, which is repeated where too short."""

    def __init__(self, network: Network, settings: Settings) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    def classify(self, waveform: torch.Tensor, inference: str) -> Output:
        """Return the network's output for ``waveform`` ``(1, samples)``, ``whole`` or its middle
        (``fixed``)."""
        media, samples = self.settings.media, waveform.shape[-1]
        segments = self.settings.segments if inference == "fixed" else segments_in(samples, media)
        items = torch.arange(segments * samples_per_segment(media))
        length = torch.full_like(
            items, samples
        )  # a tensor: ONNX takes no remainder by a number unknown at export
        window = (center_start(length, segments, media) * samples_per_frame(media) + items) % length
        return self.network(waveform[:, window])

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities ``(1, classes)``, and the embedding ``(1, embedding)`` of the
        whole, for it is what verification compares."""
        whole = self.classify(waveform, "whole")
        output = (
            self.classify(waveform, "fixed") if self.settings.media.inference == "fixed" else whole
        )
        return output.logits.softmax(dim=-1), whole.final


class Student:
    """A student and what its file says of it; every ``path`` is a sound file (wav, flac, mp3, m4a,
    …) of any rate and length.

    ``facts`` holds classes, settings, fold, calibration and provenance. All methods raise
    UnreadableRecording for a file that is absent or damaged, has no sound or less than one analysis
    window.
    """

    def __init__(self, classifier: Classifier, facts: student_file.Facts, path: str) -> None:
        self.classifier, self.facts, self.path = classifier, facts, path

    @property
    def settings(self) -> Settings:
        """The parameters of the run that trained it."""
        return self.classifier.settings

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of :meth:`predict`."""
        return self.facts.classes

    @property
    def threshold(self) -> float | None:
        """The calibrated cosine from which on two recordings count as one speaker's, None where the
        run had no pairs of both kinds."""
        return self.facts.verification and self.facts.verification.threshold

    @torch.inference_mode()
    def predict(self, path: str | os.PathLike) -> dict[str, float]:
        """Return the probability of each class; of sound of more than a minute the average over its
        pieces."""
        waveform = self._waveform(path)
        inference = self.settings.media.inference
        pieces = [waveform] if inference == "fixed" else self._pieces(waveform)
        probabilities = torch.stack(
            [
                self.classifier.classify(piece, inference).logits.softmax(dim=-1)[0]
                for piece in pieces
            ]
        )
        return dict(zip(self.classes, probabilities.mean(dim=0).tolist()))

    @torch.inference_mode()
    def embed(self, path: str | os.PathLike) -> np.ndarray:
        """Return the embedding ``(embedding,)`` of the whole recording; of more than a minute the
        average over its pieces."""
        embeddings = [
            self.classifier.classify(piece, "whole").final[0]
            for piece in self._pieces(self._waveform(path))
        ]
        return torch.stack(embeddings).mean(dim=0).numpy()

    def verify(
        self, first: str | os.PathLike, second: str | os.PathLike, threshold: float | None = None
    ) -> Verdict:
        """Return whether two recordings are of one speaker, by the calibrated threshold or one's
        own (a cosine, -1 to 1).

        Raises InvalidStudent where there is neither.
        """
        threshold = self.threshold if threshold is None else threshold
        if threshold is None:
            raise InvalidStudent(
                f"the student {self.path} has no calibrated threshold, for its run had no two speakers with several recordings; give one of your own."
            )
        a, b = self.embed(first), self.embed(second)
        score = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))
        return Verdict(score, threshold, score >= threshold)

    def _waveform(self, path: str | os.PathLike) -> torch.Tensor:
        """Return a file's sound as the run's store would have held it, ``(1, samples)`` in -1 to 1."""
        samples = as_stored(read_sound(os.fspath(path), self.settings.media))
        return torch.from_numpy(samples)[None].float() / 32768

    def _pieces(self, waveform: torch.Tensor) -> list[torch.Tensor]:
        """Cut sound into the fewest pieces of equal length that are none longer than
        :data:`LONGEST`."""
        count = math.ceil(waveform.shape[-1] / (LONGEST * self.settings.media.sample_rate))
        return list(waveform.tensor_split(count, dim=-1))


def quickened(network: Network) -> Network:
    """Return a network that says the same, to float32's rounding, in two thirds of the time on a
    CPU.

    Each batch-norm is multiplied into the convolution before it, and channels lie beside each other
    in memory.
    """
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, after) in enumerate(zip(layers, layers[1:])):
            if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                layers[place], layers[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()
    return network.to(memory_format=torch.channels_last)


def load_student(path: str | os.PathLike) -> Student:
    """Return the student that a run with ``training.keep_students`` left as ``fold-N.safetensors``;
    the file is all it takes.

    It works on the CPU, in float32. Raises InvalidStudent where the file is absent, damaged or of
    another kind.
    """
    network, settings, facts = student_file.read(path)
    classifier = Classifier(quickened(network), settings).eval()
    try:  # sizes that are allowed one by one may leave nothing of a spectrogram
        classifier(torch.zeros(1, samples_per_segment(settings.media)))
    except RuntimeError:
        raise InvalidStudent(
            f"the student {os.fspath(path)} cannot hear a segment of sound, which its settings make too short; train it anew."
        ) from None
    return Student(classifier, facts, os.fspath(path))
