"""The teacher: trained on video of faces, then frozen; what it says of every recording is the
privileged information."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from kdlib.dataset import Dataset, Fold, Ragged, inference_windows, random_starts
from kdlib.errors import InvalidParameter
from kdlib.losses import Targets
from kdlib.models.network import Network, build_teacher
from kdlib.parameters import Settings
from kdlib.training import Part, Trainer, autocast, seeded

# mean and standard deviation of ImageNet's pixels, which pretrained teachers expect
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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
    peak: torch.Tensor | None
    confidence: torch.Tensor | None
    recording_embedding: torch.Tensor
    probabilities: torch.Tensor
    network: Network | None = None

    def mean_of_frames(self) -> torch.Tensor:
        """Return the mean embedding of each recording's frames, ``(recordings, embedding)``."""
        owner = torch.repeat_interleave(self.frames.lengths)
        total = self.recording_embedding.new_zeros(self.recording_embedding.shape)
        return (
            total.index_add_(0, owner, self.frames.values.to(total.device))
            / self.frames.lengths[:, None]
        )

    def targets(
        self, rows: torch.Tensor, start: torch.Tensor, settings: Settings, timed: bool
    ) -> Targets:
        """Return the targets of a batch of crops that start at frames ``start``, at the level of
        the run's setting.

        Where ``timed`` is false the measurements carry no time and belong to every segment.
        """
        embedding, logits = self.recording_embedding[rows], self.probabilities[rows].log()
        stride = settings.media.frame_stride
        per_segment = round(settings.media.segment * settings.media.fps) // stride
        if timed and (settings.setting == "em" or self.network):
            window = self.frames.windows(rows, start // stride, settings.segments * per_segment)
            embedding, logits = self._of_crops(window) if self.network else (embedding, logits)
        softened = (logits / settings.training.temperature).softmax(dim=-1)
        if settings.setting != "em":
            return Targets(embedding, softened)
        if not timed:
            mean = self.frames.windows(
                rows, torch.zeros_like(rows), int(self.frames.lengths.max())
            ).mean(dim=1)
            return Targets(mean[:, None].expand(-1, settings.segments, -1), softened)
        return Targets(window.unflatten(1, (-1, per_segment)).mean(dim=2), softened)  # Eq. 6

    @torch.no_grad()
    def _of_crops(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding and logits of crops from their frames' embeddings ``(batch, frames,
        embedding)``."""
        if self.network.aggregator is not None:
            embedding = self.network.aggregator(window)
            return embedding, self.network.head(embedding)
        logits = self.network.head(window)
        best = torch.arange(len(window), device=window.device), peak_score(logits).argmax(dim=1)
        return window[best], logits[best]


def build_privileged(
    arrays: dict[str, torch.Tensor],
    settings: Settings,
    dataset: Dataset,
    load: Callable[[Network], None],
) -> PrivilegedInformation:
    """Return the privileged information of ``arrays``, which :func:`extract_privileged` returned,
    on the dataset's device.

    ``load`` fills in the teacher's weights where ``training.target_stretch`` is ``crop``. Raises
    InvalidParameter where that asks for the frames of a crop and they carry no time.
    """
    moved = {name: value.to(dataset.device) for name, value in arrays.items()}
    network = None
    if settings.training.target_stretch == "crop":
        if dataset.fps is None:
            raise InvalidParameter(
                "parameter 'training.target_stretch' is 'crop', but the face measurements of this corpus carry no time; "
                "use recording."
            )
        network = build_teacher(settings, len(dataset.classes), dataset.frames.values.shape[1:])
        load(network)
        network.eval().requires_grad_(False).to(dataset.device)
    frames = Ragged.of(moved["frames"], moved["lengths"])
    return PrivilegedInformation(
        frames,
        moved.get("peak"),
        moved.get("confidence"),
        moved["whole"],
        moved["probabilities"],
        network,
    )


class _TeacherTask:
    """Classify faces; a subclass says what one example is."""

    def __init__(self, network: Network, settings: Settings, dataset: Dataset, fold: Fold) -> None:
        self.network, self.settings, self.dataset = network, settings, dataset
        self.labels = dataset.training_labels(fold)
        self.rows = (
            (self.labels >= 0).nonzero().flatten()
        )  # a teacher learns nothing from a recording without a label

    def loss(self, loaded: tuple[torch.Tensor, ...], batch: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of a micro-batch as its part of the ``batch``."""
        inputs, labels = loaded
        with autocast(self.settings.training, self.dataset.device):
            logits = self.network(inputs).logits
        return F.cross_entropy(logits.float(), labels) * (len(labels) / len(batch))

    def epoch_values(self) -> dict[str, float]:
        """Return nothing: only a student's epoch has more to say than its loss."""
        return {}


class FrameTask(_TeacherTask):
    """Each frame is an example with its recording's label, or ``teacher_frames`` frames of each
    recording, drawn in each epoch."""

    def __init__(self, network: Network, settings: Settings, dataset: Dataset, fold: Fold) -> None:
        super().__init__(network, settings, dataset, fold)
        stride, drawn = (
            settings.media.frame_stride if dataset.fps else 1,
            settings.training.teacher_frames,
        )
        count = (dataset.frames.lengths[self.rows] + stride - 1) // stride
        self.owner = self.rows.repeat_interleave(count if drawn is None else drawn)
        self.examples, self.crops = len(self.owner), drawn is not None
        if not self.crops:
            numbers = [
                torch.arange(number, device=dataset.device) * stride for number in count.tolist()
            ]
            self.place = torch.cat(numbers)

    def load(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images ``(part, 3, height, width)`` or measurements, and labels ``(part,)``."""
        frames, rows = self.dataset.frames, self.owner[part.items]
        place = (part.draws * frames.lengths[rows]).long() if self.crops else self.place[part.items]
        return to_input(frames.take(frames.starts[rows] + place)), self.labels[rows]


class SequenceTask(_TeacherTask):
    """A crop of the training duration is one example; measurements without time are taken as they
    are."""

    crops = True

    def __init__(self, network: Network, settings: Settings, dataset: Dataset, fold: Fold) -> None:
        super().__init__(network, settings, dataset, fold)
        self.examples = len(self.rows)

    def load(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sequences ``(part, frames, …)`` and labels ``(part,)``."""
        rows = self.rows[part.items]
        start = random_starts(self.dataset, rows, part.draws, self.settings.media)
        stride = self.settings.media.frame_stride
        window = _windows(
            self.dataset.frames,
            self.settings,
            self.dataset,
            rows,
            start,
            self.settings.segments,
            stride,
        )
        return to_input(window), self.labels[rows]


def _windows(
    frames: Ragged,
    settings: Settings,
    dataset: Dataset,
    rows: torch.Tensor,
    start: torch.Tensor,
    segments: int,
    step: int,
) -> torch.Tensor:
    """Return every ``step``-th of ``frames`` in windows of ``segments``, ``(rows, frames, …)``; all
    where without time."""
    if dataset.fps is None:
        return frames.windows(rows, torch.zeros_like(rows), int(frames.lengths.max()))
    count = round(segments * settings.media.segment * dataset.fps) // settings.media.frame_stride
    return frames.windows(rows, start, count, step)


def teacher_trainer(settings: Settings, dataset: Dataset, fold: Fold) -> Trainer:
    """Return the trainer of one fold's teacher, which learns from the labelled training recordings."""
    generator = seeded(
        settings.seed, "teacher", settings.backbone, settings.sequential, fold.number
    )
    network = build_teacher(settings, len(dataset.classes), dataset.frames.values.shape[1:]).to(
        dataset.device
    )
    task = (SequenceTask if settings.sequential else FrameTask)(network, settings, dataset, fold)
    streamed = not dataset.frames.resident
    return Trainer(
        network, network, task, settings.teacher_training(), generator, prefetch=streamed
    )


def to_input(frames: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images ``(…, height, width, 3)`` into normalised float ``(…, 3, height, width)``;
    measurements stay."""
    if frames.dtype != torch.uint8:
        return frames
    mean, std = (
        torch.tensor(values, device=frames.device) * 255 for values in (PIXEL_MEAN, PIXEL_STD)
    )
    # contiguous: torch 2.11 on a CPU corrupts memory in the backward pass of narrow channels-last
    # convolutions
    return ((frames - mean) / std).movedim(-1, -3).contiguous()


@torch.no_grad()
def extract_privileged(
    network: Network, settings: Settings, dataset: Dataset
) -> dict[str, torch.Tensor]:
    """Freeze the teacher and return its outputs for every recording.

    Keys as in :class:`PrivilegedInformation`, but for ``whole``, the recording's embedding, and
    ``lengths``, the number of frames of each recording.
    """
    network.eval().requires_grad_(False)
    stride = settings.media.frame_stride if dataset.fps else 1
    lengths = (dataset.frames.lengths + stride - 1) // stride
    spans = zip(dataset.frames.starts.tolist(), dataset.frames.lengths.tolist())
    chosen = torch.cat([torch.arange(start, start + length, stride) for start, length in spans]).to(
        dataset.device
    )
    with autocast(settings.training, dataset.device):
        parts = (to_input(dataset.frames.take(part)) for part in chosen.split(FRAMES_PER_PASS))
        embeddings = torch.cat([network.encoder(part).float() for part in parts])
    frames = Ragged.of(embeddings, lengths)
    arrays = {"frames": embeddings, "lengths": lengths}
    if settings.sequential:
        whole, probabilities = _aggregate(network, settings, dataset, frames)
        return {**arrays, "whole": whole, "probabilities": probabilities}
    logits = network.head(embeddings)  # (total, classes)
    by_frame = logits.softmax(dim=-1)
    peak = torch.stack([row.argmax() for row in peak_score(logits).split(lengths.tolist())])
    best = frames.starts + peak
    confidence = by_frame.max(dim=1).values
    return {
        **arrays, "peak": peak, "confidence": confidence, "whole": embeddings[best], "probabilities": by_frame[best],
    }  # fmt: skip


def peak_score(logits: torch.Tensor) -> torch.Tensor:
    """Return the log-odds of each frame's most probable class, ``(…)`` of ``logits`` ``(…,
    classes)``.

    The peak frame has the highest (Eq. 4). Log-odds order frames as their highest probability does,
    and still tell them apart where a certain teacher's probabilities round to 1.
    """
    best, place = logits.max(dim=-1, keepdim=True)
    others = logits.scatter(-1, place, -torch.inf).logsumexp(dim=-1)
    return best.squeeze(-1) - others


def _aggregate(
    network: Network, settings: Settings, dataset: Dataset, frames: Ragged
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embedding and class probabilities of whole recordings from the embeddings of their
    frames."""
    whole = frames.values.new_empty(len(frames.lengths), frames.values.shape[1])
    stride = settings.media.frame_stride
    for rows, start, segments in inference_windows(
        dataset, torch.arange(len(whole), device=dataset.device), settings
    ):
        whole[rows] = network.aggregator(
            _windows(frames, settings, dataset, rows, start // stride, segments, 1)
        )
    return whole, network.head(whole).softmax(dim=-1)
