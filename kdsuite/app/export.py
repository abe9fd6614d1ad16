"""A student as an ONNX file: from the waveform on, so that whoever runs it needs neither torch nor
a spectrogram of their own."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import torch
from torch import nn

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.app.using import Student

# what the file calls its input (1, samples) and outputs (1, classes) and (1, embedding)
NAMES = {"input_names": ["waveform"], "output_names": ["probabilities", "embedding"]}


class Recurrent(nn.Module):
    """A bidirectional LSTM layer as ONNX's own operator: torch 2.11 exports its own for one length
    only."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.hidden = layer.hidden_size
        both = [
            dict(zip(("ih", "hh", "bias_ih", "bias_hh"), map(self._gates, weights)))
            for weights in layer.all_weights
        ]
        self.register_buffer("inputs", torch.stack([side["ih"] for side in both]))
        self.register_buffer("states", torch.stack([side["hh"] for side in both]))
        self.register_buffer(
            "biases", torch.stack([torch.cat([side["bias_ih"], side["bias_hh"]]) for side in both])
        )

    @staticmethod
    def _gates(weights: torch.Tensor) -> torch.Tensor:
        """Order gates as ONNX does: input, output, forget, cell; torch has input, forget, cell,
        output."""
        input, forget, cell, output = weights.chunk(4)
        return torch.cat([input, output, forget, cell])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Return ``((batch, segments, 2 * hidden),)`` of ``(batch, segments, inputs)``, as
        nn.LSTM's first output."""
        shape = (x.shape[1], 2, x.shape[0], self.hidden)
        given = (x.transpose(0, 1), self.inputs, self.states, self.biases)
        both = torch.onnx.ops.symbolic(
            "LSTM",
            given,
            {"hidden_size": self.hidden, "direction": "bidirectional"},
            dtype=x.dtype,
            shape=shape,
        )  # (segments, 2, batch, hidden)
        return (both.permute(2, 0, 1, 3).flatten(2),)


def export(student: Student, path: Path) -> None:
    """Write a student as ONNX, its labels and sample rate in the file's metadata.

    The graph takes ``waveform`` ``(1, samples)``, mono, float32 in -1 to 1 at the student's sample
    rate, of any length from one analysis window on, and returns ``probabilities`` and
    ``embedding``. Raises InvalidParameter where the packages for it are not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InvalidParameter(
            "exporting needs packages that are not installed; run pip install -e '.[onnx]' in kdlib's folder."
        ) from None
    classifier, media = copy.deepcopy(student.classifier), student.settings.media
    if student.settings.sequential:
        classifier.network.aggregator.layers = nn.ModuleList(
            map(Recurrent, classifier.network.aggregator.layers)
        )
    # no length is special to the example's: neither shorter than a segment nor whole segments
    example = torch.zeros(1, round(2.5 * media.segment * media.sample_rate) + 1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the exporter's own, of what will change in its next versions
        lengths = {
            "waveform": {
                1: torch.export.Dim("samples", min=round(media.window * media.sample_rate))
            }
        }
        program = torch.onnx.export(
            classifier, (example,), dynamo=True, dynamic_shapes=lengths, verbose=False, **NAMES
        )
    told = {
        "classes": student.classes,
        "sample_rate": media.sample_rate,
        "threshold": student.threshold,
    }
    program.model.metadata_props.update({name: json.dumps(value) for name, value in told.items()})
    with paths.replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
