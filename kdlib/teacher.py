"""The first stage: train a network on the faces, freeze it, and keep what it says of every recording.

Each fold has a teacher of its own, trained on that fold's training recordings. What it leaves in
``data/teachers/<fingerprint>/fold-<number>-<hash>`` is trained once and used by every student of that fold, whatever its
method and alpha: ``weights.safetensors``, ``targets.safetensors`` and, written last, ``fold.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, load_model, save_file, save_model

from kdlib import places, sources
from kdlib.corpora import Fold
from kdlib.errors import InvalidCorpus, InvalidParameter
from kdlib.losses import Targets
from kdlib.models.networks import Network, build_teacher
from kdlib.ragged import Ragged
from kdlib.settings import Settings, digest
from kdlib.store import Store
from kdlib.training import Checkpoint, Progress, autocast, estimate_batchnorm, fit, seeded
from kdlib.windows import inference_windows, random_crops

# mean and standard deviation of ImageNet's pixels, which pretrained teachers expect
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# frames a forward pass where nothing is learned
FRAMES_A_PASS = 256


@dataclass(frozen=True)
class Privileged:
    """What one fold's frozen teacher says of all recordings.

    ``frames`` holds the embedding of every ``frame_stride``-th frame, ``(total, embedding)`` by recording; ``peak``
    ``(recordings,)`` numbers the peak frame among them, ``whole`` ``(recordings, embedding)`` is the recording's embedding (of the
    peak frame, Eq. 4, or of the aggregator, Eq. 5), ``probabilities`` ``(recordings, classes)`` belong to it. ``confidence``
    ``(total,)`` is each frame's highest class probability; a sequential teacher classifies no frame, and both it and
    ``peak`` are None. ``network`` is the frozen teacher where ``training.target_stretch`` is ``crop``: it then says what it makes of each crop.
    """

    frames: Ragged
    peak: torch.Tensor | None
    confidence: torch.Tensor | None
    whole: torch.Tensor
    probabilities: torch.Tensor
    history: list[dict[str, float]]
    folder: Path
    network: Network | None = None

    def mean_of_frames(self) -> torch.Tensor:
        """Return the mean embedding of each recording's frames, ``(recordings, embedding)``."""
        owner = torch.repeat_interleave(self.frames.lengths)
        total = self.whole.new_zeros(len(self.frames.lengths), self.whole.shape[1])
        return total.index_add_(0, owner, self.frames.values.to(total.device)) / self.frames.lengths[:, None]

    def targets(self, rows: torch.Tensor, first: torch.Tensor, settings: Settings, timed: bool) -> Targets:
        """Return the targets of a batch of crops that begin at frames ``first``, at the level of the run's setting.

        Where ``timed`` is false the measurements carry no time and belong to every segment.
        """
        whole, logits = self.whole[rows], self.probabilities[rows].log()
        stride = settings.media.frame_stride
        a_segment = round(settings.media.segment * settings.media.fps) // stride
        if timed and (settings.setting == "em" or self.network):
            window = self.frames.windows(rows, first // stride, settings.segments * a_segment)
            whole, logits = self._of_crops(window) if self.network else (whole, logits)
        softened = (logits / settings.training.temperature).softmax(dim=-1)
        if settings.setting != "em":
            return Targets(whole, softened)
        if not timed:
            mean = self.frames.windows(rows, torch.zeros_like(rows), int(self.frames.lengths.max())).mean(dim=1)
            return Targets(mean[:, None].expand(-1, settings.segments, -1), softened)
        return Targets(window.unflatten(1, (-1, a_segment)).mean(dim=2), softened)  # Eq. 6

    @torch.no_grad()
    def _of_crops(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding and logits of crops whose frames have the embeddings ``window`` ``(batch, frames, embedding)``."""
        if self.network.aggregator is not None:
            whole = self.network.aggregator(window)
            return whole, self.network.head(whole)
        logits = self.network.head(window)
        best = torch.arange(len(window), device=window.device), peak_score(logits).argmax(dim=1)
        return window[best], logits[best]


def ensure(settings: Settings, store: Store, folds: list[Fold]) -> dict[int, Privileged]:
    """Return what the teachers of these folds say, on the store's device; train those that nobody has trained yet.

    Raises InvalidCorpus where the recordings have no video.
    """
    if not len(store.frames.values):
        raise InvalidCorpus("the recordings of this corpus have no video, so there is no teacher; set alpha to 0, or give corpus.features.")
    progress = Progress("teacher", settings.of_teacher().epochs, len(folds))
    found = {}
    for fold in folds:
        home = _home(settings, store, fold)
        with places.lock(home):
            if not (home / "fold.json").exists():
                _train(settings, store, fold, home, progress)
        found[fold.number] = _load(home, settings, store)
    return found


def trained(settings: Settings, store: Store, fold: Fold) -> Privileged | None:
    """Return what the teacher of a fold says, on the store's device; None where nobody has trained it yet."""
    home = _home(settings, store, fold)
    return _load(home, settings, store) if (home / "fold.json").exists() else None


def _home(settings: Settings, store: Store, fold: Fold) -> Path:
    fingerprint = digest([store.fingerprint, settings.fingerprint("teacher"), sources.fingerprint("teacher")])
    return places.DATA / "teachers" / fingerprint / fold.key(store.recordings)


def _load(home: Path, settings: Settings, store: Store) -> Privileged:
    told = {name: value.to(store.device) for name, value in load_file(home / "targets.safetensors").items()}
    frames = Ragged.of(told["frames"], told["lengths"])
    history = json.loads((home / "fold.json").read_text())["history"]
    network = None
    if settings.training.target_stretch == "crop":
        if store.fps is None:
            raise InvalidParameter(
                "parameter 'training.target_stretch' is 'crop', but the face measurements of this corpus carry no time; use recording."
            )
        network = build_teacher(settings, len(store.classes), store.frames.values.shape[1:])
        load_model(network, str(home / "weights.safetensors"))
        network.eval().requires_grad_(False).to(store.device)
    return Privileged(frames, told.get("peak"), told.get("confidence"), told["whole"], told["probabilities"], history, home, network)


def _train(settings: Settings, store: Store, fold: Fold, home: Path, progress: Progress) -> None:
    """Train one fold's teacher and write what it leaves."""
    checkpoint = Checkpoint(home / "epochs.pt", settings.training.checkpoint)
    network, history = fitted(settings, store, fold, progress, checkpoint)
    told = observe(network, settings, store)
    home.mkdir(parents=True, exist_ok=True)
    save_model(network, str(home / "weights.safetensors"))
    save_file({name: value.contiguous() for name, value in told.items()}, home / "targets.safetensors")
    places.write_json(home / "fold.json", {"fold": fold.number, "history": history})
    checkpoint.forget()


def fitted(
    settings: Settings, store: Store, fold: Fold, progress: Progress, checkpoint: Checkpoint | None = None
) -> tuple[Network, list[dict[str, float]]]:
    """Train a network on the faces of a fold's training recordings; return it and its epochs."""
    generator = seeded(settings.seed, "teacher", settings.backbone, settings.sequential, fold.number)
    network = build_teacher(settings, len(store.classes), store.frames.values.shape[1:]).to(store.device)
    used = torch.from_numpy(fold.training_labels(store.labels.cpu().numpy())).to(store.device)
    rows = (used >= 0).nonzero().flatten()  # without a label there is nothing for the teacher to learn
    labelled = replace(store, labels=used)
    load, items = (_sequences if settings.sequential else _frames)(settings, labelled, rows, generator)

    def loss_of(seen: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss of what was loaded."""
        with autocast(settings.training, store.device):
            logits = network(to_input(seen)).logits
        return F.cross_entropy(logits.float(), labels)

    network.train()
    streamed = not store.frames.resident
    training = settings.of_teacher()
    history = progress.follow(fold, fit(network, loss_of, items, training, generator, checkpoint, load=load, prefetch=streamed))
    estimate_batchnorm(network, lambda batch: to_input(load(batch)[0]), items, training, generator)
    return network, history


# what brings the frames and labels of a batch of items, and the items
Task = tuple[Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], torch.Tensor]


def _frames(settings: Settings, store: Store, rows: torch.Tensor, generator: torch.Generator) -> Task:
    """Each frame, or each of ``teacher_frames`` frames drawn from a recording, is one example with the recording's label."""
    stride = settings.media.frame_stride if store.fps else 1
    drawn = settings.training.teacher_frames
    count = (store.frames.lengths[rows] + stride - 1) // stride
    owner = rows.repeat_interleave(count if drawn is None else drawn)
    if drawn is None:
        place = torch.cat([torch.arange(number, device=rows.device) * stride for number in count])

    def load(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images ``(batch, height, width, 3)`` or measurements, and labels ``(batch,)``."""
        chosen = owner[batch.to(rows.device)]
        if drawn is None:
            frames = store.frames.starts[chosen] + place[batch.to(rows.device)]
        else:
            luck = torch.rand(len(batch), generator=generator).to(rows.device)
            frames = store.frames.starts[chosen] + (luck * store.frames.lengths[chosen]).long()
        return store.frames.take(frames), store.labels[chosen]

    return load, torch.arange(len(owner))


def _sequences(settings: Settings, store: Store, rows: torch.Tensor, generator: torch.Generator) -> Task:
    """A crop of the training duration is one example; measurements without time are taken whole."""

    def load(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sequences ``(batch, frames, …)`` and labels ``(batch,)``."""
        chosen = rows[batch.to(rows.device)]
        first = random_crops(store, chosen, settings.media, generator)
        return _sequence(settings, store, chosen, first, settings.segments), store.labels[chosen]

    return load, torch.arange(len(rows))


def _sequence(settings: Settings, store: Store, rows: torch.Tensor, first: torch.Tensor, segments: int) -> torch.Tensor:
    """Return the frames of windows of the recordings, ``(rows, frames, …)``."""
    if store.fps is None:
        return store.frames.windows(rows, torch.zeros_like(rows), int(store.frames.lengths.max()))
    stride = settings.media.frame_stride
    count = round(segments * settings.media.segment * store.fps) // stride
    return store.frames.windows(rows, first, count, stride)


def to_input(frames: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images ``(…, height, width, 3)`` into normalised float ``(…, 3, height, width)``; measurements stay."""
    if frames.dtype != torch.uint8:
        return frames
    mean, std = (torch.tensor(values, device=frames.device) * 255 for values in (PIXEL_MEAN, PIXEL_STD))
    # contiguous, because torch 2.11 on a CPU corrupts memory in the backward pass of narrow channels-last convolutions
    return ((frames - mean) / std).movedim(-1, -3).contiguous()


@torch.no_grad()
def observe(network: Network, settings: Settings, store: Store) -> dict[str, torch.Tensor]:
    """Freeze the teacher and return all it says of every recording (fields as in :class:`Privileged`, and ``lengths``)."""
    network.eval().requires_grad_(False)
    stride = settings.media.frame_stride if store.fps else 1
    lengths = (store.frames.lengths + stride - 1) // stride
    chosen = torch.cat(
        [torch.arange(length, device=store.device)[::stride] + start for start, length in zip(store.frames.starts, store.frames.lengths)]
    )
    with autocast(settings.training, store.device):
        embeddings = torch.cat([network.encoder(to_input(store.frames.take(part))).float() for part in chosen.split(FRAMES_A_PASS)])
    frames = Ragged.of(embeddings, lengths)
    told = {"frames": embeddings, "lengths": lengths}
    if settings.sequential:
        whole, probabilities = _aggregate(network, settings, store, frames)
        return {**told, "whole": whole, "probabilities": probabilities}
    logits = network.head(embeddings)  # (total, classes)
    by_frame = logits.softmax(dim=-1)
    peak = torch.stack([row.argmax() for row in peak_score(logits).split(lengths.tolist())])
    best = frames.starts + peak
    return {**told, "peak": peak, "confidence": by_frame.max(dim=1).values, "whole": embeddings[best], "probabilities": by_frame[best]}


def peak_score(logits: torch.Tensor) -> torch.Tensor:
    """Return the log-odds of each frame's most probable class, ``(…)`` of ``logits`` ``(…, classes)``; the peak frame has the highest (Eq. 4).

    It orders frames as their highest probability does, and still tells them apart where a certain teacher's probabilities round to 1.
    """
    best, place = logits.max(dim=-1, keepdim=True)
    others = logits.scatter(-1, place, -torch.inf).logsumexp(dim=-1)
    return best.squeeze(-1) - others


def _aggregate(network: Network, settings: Settings, store: Store, frames: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embedding and class probabilities of whole recordings from the embeddings of their frames."""
    whole = frames.values.new_empty(len(frames.lengths), frames.values.shape[1])
    stride = settings.media.frame_stride
    for rows, first, segments in inference_windows(store, torch.arange(len(whole), device=store.device), settings):
        if store.fps is None:
            window = frames.windows(rows, torch.zeros_like(rows), int(frames.lengths.max()))
        else:
            window = frames.windows(rows, first // stride, round(segments * settings.media.segment * store.fps) // stride)
        whole[rows] = network.aggregator(window)
    return whole, network.head(whole).softmax(dim=-1)
