"""A student as an ONNX file: from the waveform on, so that whoever runs it needs neither torch nor
a spectrogram of their own."""

import copy
import json
import warnings
from pathlib import Path

import torch
from torch import nn

from kdsuite import paths
from kdsuite.app.using import Student


class Recurrent(nn.Module):
    """A bidirectional LSTM layer as ONNX's own operator: torch 2.11 exports its own for one length
    only."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.hidden = layer.hidden_size
        # ONNX orders gates as input, output, forget, cell; torch as input, forget, cell, output
        inputs, states, *biases = (
            torch.stack(directions).unflatten(1, (4, -1))[:, [0, 3, 1, 2]].flatten(1, 2)
            for directions in zip(*layer.all_weights)
        )
        self.weights = inputs, states, torch.cat(biases, dim=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Return ``((batch, segments, 2 * hidden),)`` of ``(batch, segments, inputs)``, as
        nn.LSTM's first output."""
        # (segments, 2, batch, hidden)
        both = torch.onnx.ops.symbolic(
            "LSTM",
            (x.transpose(0, 1), *self.weights),
            {"hidden_size": self.hidden, "direction": "bidirectional"},
            dtype=x.dtype,
            shape=(x.shape[1], 2, x.shape[0], self.hidden),
        )
        return (both.permute(2, 0, 1, 3).flatten(2),)


def export(student: Student, path: str | Path) -> None:
    """Write a student as ONNX, its labels and sample rate in the file's metadata.

    The graph takes ``waveform`` ``(1, samples)``, mono, float32 in -1 to 1 at the student's sample
    rate, of any length from one analysis window on, and returns ``probabilities`` and
    ``embedding``. Raises ModuleNotFoundError where the extra
    ``onnx`` is not installed, UserError where ``path`` is a folder or the student's own file.
    """
    path = paths.output(path, student.path)
    import onnxscript  # noqa: F401, torch would say less of its absence

    student, media = copy.deepcopy(student), student.settings.media
    aggregator = student.network.aggregator
    if aggregator is not None:
        aggregator.layers = nn.ModuleList(map(Recurrent, aggregator.layers))
    # no length is special to the example's: neither shorter than a segment nor whole segments
    example = torch.zeros(1, round(2.5 * media.segment * media.sample_rate) + 1)
    samples = torch.export.Dim("samples", min=round(media.window * media.sample_rate))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what will change in the exporter's next versions
        program = torch.onnx.export(
            student, (example,), dynamic_shapes={"waveform": {1: samples}}, verbose=False,
            input_names=["waveform"], output_names=["probabilities", "embedding"],
        )  # fmt: skip
    program.model.metadata_props.update(
        classes=json.dumps(student.classes),
        sample_rate=json.dumps(media.sample_rate),
        threshold=json.dumps(student.threshold),
    )
    with paths.replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
