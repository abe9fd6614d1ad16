"""A trained student at work: plain sound files in; class probabilities, embeddings, or one speaker
or two out.

Decoding, rounding, windows and spectrograms are those of the run that trained it.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdlib.dataset import center_start, segments_in
from kdlib.errors import InvalidStudent
from kdlib.models.network import Network, Output
from kdsuite.data.decoding.sound import as_stored, read_sound
from kdsuite.data.pieces import pieces
from kdsuite.runs import student_file
from kdsuite.settings import Settings


class Verdict(NamedTuple):
    """Whether two recordings are of one speaker: ``score`` is the cosine of their embeddings,
    ``same`` that it reaches ``threshold``.

    At the calibrated threshold the rates of ``false_acceptance`` and ``false_rejection`` were
    measured on pairs of ``measured_on``, the fold's validation or train recordings; all three are
    None of another threshold.
    """

    score: float
    threshold: float
    same: bool
    false_acceptance: float | None = None
    false_rejection: float | None = None
    measured_on: str | None = None


class Student(nn.Module):
    """A student and what its file says of it; every ``path`` is a sound file (wav, flac, mp3, m4a,
    …) of any rate and length.

    ``classes`` are the names of the classes, ``settings`` the parameters of the run that trained
    it, ``threshold`` is the calibrated cosine from which on two recordings count as one speaker's
    (None where the run had no pairs of both kinds), ``facts`` hold also fold, calibration and
    provenance. The methods that take a path raise
    UnreadableRecording for a file that is absent or damaged, has no sound or less than 0.025 s.
    """

    def __init__(
        self, network: Network, settings: Settings, facts: student_file.Facts, path: str
    ) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.classes, self.facts, self.path = facts.classes, facts, path
        self.threshold = facts.verification and facts.verification.threshold

    def classify(self, waveform: torch.Tensor, inference: str) -> Output:
        """Return the network's output for ``waveform`` ``(1, samples)``, ``whole`` or its middle
        (``fixed``); it is repeated where too short."""
        media, samples = self.settings.media, waveform.shape[-1]
        segments = self.settings.segments if inference == "fixed" else segments_in(samples, media)
        items = torch.arange(segments * media.samples_per_segment)
        # a tensor: ONNX takes no remainder by a number unknown at export
        length = torch.full_like(items, samples)
        start = center_start(length, segments, media) * media.samples_per_frame
        return self.network(waveform[:, (start + items) % length])

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities ``(1, classes)``, and the embedding ``(1, embedding)`` of the
        whole, which verification compares."""
        whole = output = self.classify(waveform, "whole")
        if self.settings.media.inference == "fixed":
            output = self.classify(waveform, "fixed")
        return output.logits.softmax(dim=-1), whole.final

    @torch.inference_mode()
    def _average(self, path, inference):
        """Return class probabilities and embedding of a file's sound, which is rounded as in the
        run's store.

        ``whole`` sound is cut into the fewest equal pieces that are none longer than half
        a minute, whose outputs are averaged.
        """
        media = self.settings.media
        samples = torch.from_numpy(as_stored(read_sound(str(path), media)))
        parts = samples.tensor_split(
            pieces(0 if inference == "fixed" else len(samples), media.sample_rate)[1:-1].tolist()
        )
        outputs = [self.classify(part[None].float() / 32768, inference) for part in parts]
        values = [(output.logits.softmax(dim=-1), output.final) for output in outputs]
        return [torch.cat(parts).mean(dim=0) for parts in zip(*values)]

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class; of more than half a minute of sound the average
        over its pieces."""
        probabilities, _ = self._average(path, self.settings.media.inference)
        return dict(zip(self.classes, probabilities.tolist()))

    def embed(self, path: str | Path) -> np.ndarray:
        """Return the embedding ``(embedding,)`` of the whole recording; of more than half a minute
        the average over its pieces."""
        return self._average(path, "whole")[1].numpy()

    def verify(
        self, first: str | Path, second: str | Path, threshold: float | None = None
    ) -> Verdict:
        """Return whether two recordings are of one speaker, by the calibrated threshold or one's
        own (a cosine, -1 to 1).

        Raises InvalidStudent where there is neither.
        """
        rates = ()
        if threshold is None and (known := self.facts.verification):
            threshold = known.threshold
            rates = known.false_acceptance, known.false_rejection, known.recordings_of
        if threshold is None:
            raise InvalidStudent(
                f"the student {self.path} has no calibrated threshold: its run had no pairs of same"
                " and different speakers; give a threshold."
            )
        a, b = self.embed(first), self.embed(second)
        score = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))
        return Verdict(score, threshold, score >= threshold, *rates)


def fused(network: Network) -> Network:
    """Return a network of the same outputs, to float32's rounding, in two thirds of the time on a
    CPU.

    Each batch-norm is multiplied into the convolution before it, and channels lie beside each other
    in memory.
    """
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, after) in enumerate(pairwise(layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                layers[place], layers[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()
    return network.to(memory_format=torch.channels_last)


def load_student(path: str | Path) -> Student:
    """Return the student that a run left as ``student.safetensors`` (``folds: none``) or, with
    ``training.keep_students``, as ``fold-N.safetensors``; the file is all it takes.

    It works on the CPU, in float32. Raises InvalidStudent where the file is absent, damaged or of
    another kind.
    """
    network, settings, facts = student_file.read(path)
    student = Student(fused(network), settings, facts, str(path)).eval()
    try:  # sizes that are allowed one by one may leave nothing of a spectrogram
        student(torch.zeros(1, settings.media.samples_per_segment))
    except RuntimeError:
        raise InvalidStudent(
            f"the student {path} cannot process a segment of sound, which its settings make too"
            " short; train it again."
        ) from None
    return student
