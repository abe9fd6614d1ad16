"""The teacher: trained on video of faces, then frozen; what it says of every recording is the
privileged information."""

from dataclasses import dataclass
from functools import cache, cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.dataset import Dataset, Fold, Ragged, inference_windows, random_starts
from kdlib.device import autocast, place
from kdlib.losses import Targets
from kdlib.models.network import Network, build_teacher
from kdlib.parameters import Settings
from kdlib.training import Task, Trainer, seeded

# mean and standard deviation of ImageNet's pixels, which pretrained teachers expect
PIXELS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# frames a forward pass at inference
FRAMES_PER_PASS = 256


@dataclass(frozen=True)
class PrivilegedInformation:
    """The frozen teacher's embeddings and class probabilities of all recordings.

    ``frames`` holds the embedding of every ``frame_stride``-th frame, ``(total, embedding)`` by
    recording; ``peak`` ``(recordings,)`` numbers the peak frame among them; ``recording_embedding``
    ``(recordings, embedding)`` is that of the peak frame (Eq. 4) or the aggregator's (Eq. 5), and
    ``probabilities`` ``(recordings, classes)`` belong to it. ``confidence`` ``(total,)`` is each
    frame's highest class probability; a sequential teacher classifies no frame, and both it and
    ``peak`` are None. ``network`` is the teacher where ``training.target_stretch`` is ``crop``: its
    outputs for each crop are then the targets.
    """

    frames: Ragged
    recording_embedding: Tensor
    probabilities: Tensor
    peak: Tensor | None = None
    confidence: Tensor | None = None
    network: Network | None = None

    @cached_property
    def mean_embedding(self) -> Tensor:
        """The mean of each recording's ``frames``, ``(recordings, embedding)``."""
        return torch.segment_reduce(self.frames.values, "mean", lengths=self.frames.lengths)

    def targets(self, rows: Tensor, start: Tensor, settings: Settings, timed: bool) -> Targets:
        """Return the targets of a batch of crops that start at frames ``start``, at the level of
        the run's setting.

        Where ``timed`` is false the measurements have no times and belong to every segment.
        """
        media, segments, em = settings.media, settings.segments, settings.setting == "em"
        embedding, logits = self.recording_embedding[rows], self.probabilities[rows].log()
        if em and not timed:
            embedding = self.mean_embedding[rows, None].expand(-1, segments, -1)
        elif em or self.network:
            first, count = start // media.frame_stride, segments * media.frames_per_segment
            window = self.frames.windows(rows, first, count)
            if self.network:
                embedding, logits = self._of_crops(window)
            if em:  # Eq. 6
                embedding = window.unflatten(1, (segments, -1)).mean(dim=2)
        return Targets(embedding, (logits / settings.training.temperature).softmax(dim=-1))

    @torch.no_grad()
    def _of_crops(self, window):
        """Return embedding and logits of crops from their frames' embeddings ``(batch, frames,
        embedding)``."""
        with autocast(window.device):  # in bf16 another frame may be the peak
            if self.network.aggregator is not None:
                embedding = self.network.aggregator(window)
                return embedding, self.network.head(embedding)
            logits = self.network.head(window)
        best = torch.arange(len(window), device=window.device), peak_score(logits).argmax(dim=1)
        return window[best], logits[best]


def build_privileged(
    arrays: dict[str, Tensor], device: torch.device, network: Network | None = None
) -> PrivilegedInformation:
    """Return the privileged information of ``arrays``, which :func:`extract_privileged` returned,
    on a device.

    ``network`` is the frozen teacher, on that device, where ``training.target_stretch`` is
    ``crop``.
    """
    arrays = {name: value.to(device) for name, value in arrays.items()}
    frames = Ragged.of(arrays.pop("frames"), arrays.pop("lengths"))
    return PrivilegedInformation(frames, **arrays, network=network)


class TeacherTask(Task):
    """Classify faces of the labelled training recordings.

    An example is a crop of the training duration, or without aggregator a frame: each one, or
    ``teacher_frames`` of each recording, drawn in each epoch. Measurements without time are taken
    as they are.
    """

    def __post_init__(self):
        super().__post_init__()
        self.rows = self.rows[self.labels[self.rows] >= 0]
        if not self.settings.sequential:
            drawn, dataset = self.settings.training.teacher_frames, self.dataset
            self.crops = drawn is not None
            stride = self.settings.media.frame_stride if dataset.fps else 1
            self.places, count = dataset.frames.every(stride, self.rows)
            self.rows = self.rows.repeat_interleave(drawn if self.crops else count)

    def load(self, items, draws) -> tuple:
        """Return images ``(part, [frames,] 3, height, width)`` or measurements, and labels
        ``(part,)``."""
        rows, frames, media = self.rows[items], self.dataset.frames, self.settings.media
        if self.settings.sequential:
            start = self.dataset.fps and random_starts(self.dataset, rows, draws, media)
            count = self.settings.segments * media.frames_per_segment
            examples = frames.windows(rows, start, count, media.frame_stride)
        else:
            drawn = frames.starts[rows] + (draws * frames.lengths[rows]).long()
            examples = frames.take(drawn if self.crops else self.places[items])
        return to_input(examples), self.labels[rows]

    def loss(self, loaded, batch, first) -> Tensor:
        """Return the cross-entropy of a micro-batch as its part of the ``batch``."""
        inputs, labels = loaded
        with autocast(self.dataset.device, self.settings.training):
            logits = self.network(inputs).logits
        return F.cross_entropy(logits.float(), labels) * (len(labels) / len(batch))


def teacher_trainer(settings: Settings, dataset: Dataset, fold: Fold) -> Trainer:
    """Return the trainer of one fold's teacher, which learns from the labelled training
    recordings."""
    generator = seeded(
        settings.seed, "teacher", settings.backbone, settings.sequential, fold.number
    )
    network = build_teacher(settings, len(dataset.classes), dataset.frames.values.shape[1:])
    place(network, dataset.device)
    task = TeacherTask(network, settings, dataset, fold)
    streamed = not dataset.frames.resident
    return Trainer(network, network, task, settings.teacher_training(), generator, streamed)


def to_input(frames: Tensor) -> Tensor:
    """Turn uint8 images ``(…, height, width, 3)`` into normalised float ``(…, 3, height, width)``;
    measurements stay."""
    if frames.dtype != torch.uint8:
        return frames
    mean, std = _pixel_statistics(frames.device)
    images = ((frames - mean) / std).movedim(-1, -3)  # channels last, as a GPU likes them
    return images.contiguous() if frames.device.type == "cpu" else images


@cache
def _pixel_statistics(device):
    """Return mean and standard deviation, ``(2, 3)``, uploaded once."""
    return 255 * torch.tensor(PIXELS, device=device)


@torch.no_grad()
def extract_privileged(network: Network, settings: Settings, dataset: Dataset) -> dict[str, Tensor]:
    """Freeze the teacher and return its outputs for every recording.

    Keys as in :class:`PrivilegedInformation`, and ``lengths``, the number of frames of each
    recording.
    """
    network.eval().requires_grad_(False)
    rows, media = torch.arange(len(dataset.labels), device=dataset.device), settings.media
    places, lengths = dataset.frames.every(media.frame_stride if dataset.fps else 1, rows)
    with autocast(dataset.device, settings.training):
        parts = (to_input(dataset.frames.take(part)) for part in places.split(FRAMES_PER_PASS))
        embeddings = torch.cat([network.encoder(part).float() for part in parts])
    frames, arrays = Ragged.of(embeddings, lengths), {"frames": embeddings, "lengths": lengths}
    if settings.sequential:
        whole = embeddings.new_empty(len(rows), embeddings.shape[1])
        for chosen, start, segments in inference_windows(dataset, rows, settings):
            first, count = start // media.frame_stride, segments * media.frames_per_segment
            window = frames.windows(chosen, first if dataset.fps else None, count)
            whole[chosen] = network.aggregator(window)
        probabilities = network.head(whole).softmax(dim=-1)
        return arrays | {"recording_embedding": whole, "probabilities": probabilities}
    logits = network.head(embeddings)  # (total, classes)
    by_frame = logits.softmax(dim=-1)
    peak = torch.stack([row.argmax() for row in peak_score(logits).split(lengths.tolist())])
    best = frames.starts + peak
    return {
        **arrays, "peak": peak, "confidence": by_frame.amax(dim=1),
        "recording_embedding": embeddings[best], "probabilities": by_frame[best],
    }  # fmt: skip


def peak_score(logits: Tensor) -> Tensor:
    """Return the log-odds of each frame's most probable class, ``(…)`` of ``logits`` ``(…,
    classes)``.

    The peak frame has the highest (Eq. 4). Log-odds order frames as their highest probability does,
    and still differ where a confident teacher's probabilities round to 1.
    """
    best, place = logits.max(dim=-1, keepdim=True)
    others = logits.scatter(-1, place, -torch.inf).logsumexp(dim=-1)
    return best.squeeze(-1) - others
