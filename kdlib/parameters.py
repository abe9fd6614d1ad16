"""Every parameter, declared once with its default, its help and its allowed values.

The axes of the paper are fields of :class:`Settings`, the others of its sections. Each field names
the first stage (``data``, ``teacher``, ``student``) whose numbers it changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import pydantic

STAGES = ("data", "teacher", "student")
# what a student's epoch keeps of the gradients of label and teacher (kdlib.losses.gradients)
GRADIENTS = ("agreement", "label_gradient", "teacher_gradient")


def field(default: Any, stage: str | None, help: str, **constraints: Any) -> Any:
    """Declare a parameter: ``stage`` is the first one whose numbers depend on it (None: none does)."""
    return pydantic.Field(
        default, description=help, json_schema_extra={"stage": stage}, **constraints
    )


class Section(pydantic.BaseModel):
    """A mapping of parameters: unknown names and wrong types are errors, an integer may stand for a
    float."""

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Media(Section):
    """Decoding and the audio front end."""

    sample_rate: int = field(16000, "data", "sound, samples a second", ge=4000)
    fps: int = field(25, "data", "video, frames a second", ge=1)
    picture_rate: float = field(1.0, "data", "pictures a second in folders of still pictures", gt=0)
    crop: float = field(
        1.0,
        "data",
        "side of the centred square cut from each frame, relative to the frame's shorter side",
        gt=0,
        le=1,
    )
    frame_size: int = field(
        224,
        "data",
        "side of the resized frame in pixels; five halvings must leave something",
        ge=32,
    )
    frame_stride: int = field(1, "teacher", "the teacher sees every n-th frame", ge=1)
    duration: float = field(
        4.0, "teacher", "seconds of a recording in training, cropped at random or repeated", gt=0
    )
    segment: float = field(1.0, "teacher", "seconds of a segment in the sequential settings", gt=0)
    inference: Literal["whole", "fixed"] = field(
        "whole",
        "teacher",
        "length at inference: the whole recording, or its middle of the training duration",
    )
    front_end: Literal["stft", "logmel"] = field(
        "stft", "student", "spectrogram: logarithmic STFT magnitude, or log-mel energies"
    )
    fft: int = field(
        512,
        "student",
        "points of the Fourier transform; half of them plus one are the STFT's bins",
        ge=64,
    )
    bins: int = field(40, "student", "mel bands of the logmel front end", ge=8)
    window: float = field(0.025, "student", "length of the Hamming window in seconds", gt=0)
    hop: float = field(0.010, "student", "step between windows in seconds", gt=0)
    normalise: Literal["utterance", "bin"] = field(
        "utterance",
        "student",
        "zero mean and unit variance over the whole spectrogram, or for each frequency bin",
    )


class Model(Section):
    """Sizes of the networks; the defaults are the paper's."""

    embedding: int = field(
        512, "teacher", "units of the encoder's and aggregator's embedding", ge=4, multiple_of=2
    )
    teacher_width: float = field(
        1.0, "teacher", "channels of the teacher relative to the standard network", gt=0
    )
    teacher_weights: str = field(
        "",
        "teacher",
        "pretrained weights: a state dict file, or a name that torchvision knows such as IMAGENET1K_V1",
    )
    teacher_batchnorm: bool = field(
        False, "teacher", "batch-norm in the VGG16 teacher; the standard network has none"
    )
    teacher_dropout: float = field(
        0.0,
        "teacher",
        "dropout behind both fully connected layers of the VGG16 teacher; the standard network has 0.5",
        ge=0,
        lt=1,
    )
    teacher_layers: int = field(
        2,
        "teacher",
        "fully connected layers between pooling and head of the ResNet34 teacher; the standard network has none",
        ge=0,
        le=2,
    )
    width: float = field(
        1.0, "student", "channels of the student relative to the paper's network", gt=0
    )
    stages: int = field(4, "student", "stages of residual blocks in the audio ResNet", ge=1, le=4)
    reduction: int = field(16, "teacher", "squeeze-and-excitation reduction", ge=1)
    lstm_activation: Literal["relu", "none"] = field(
        "relu",
        "teacher",
        "activation of the outputs of the aggregator's BiLSTM layers, of teacher and student",
    )
    aggregator_norm: Literal["none", "layer"] = field(
        "none",
        "teacher",
        "layer normalisation of the aggregator's input and of its BiLSTM layers' outputs, or none, of teacher and student",
    )


class Training(Section):
    """Optimisation, the same for teacher and student unless named otherwise."""

    epochs: int = field(
        50,
        "teacher",
        "passes over the training recordings, a whole number of cycles; last-epoch numbers are reported",
        ge=1,
    )
    teacher_epochs: int | None = field(
        None, "teacher", "epochs of the teacher where they differ", ge=1
    )
    teacher_frames: int | None = field(
        None,
        "teacher",
        "frames of a recording, drawn at random in each epoch, for the teacher without aggregator; default: all",
        ge=1,
    )
    batch_size: int = field(
        32, "teacher", "recordings a step; frames a step for the teacher without aggregator", ge=2
    )
    teacher_batch: int | None = field(
        None, "teacher", "frames a step for the teacher without aggregator where they differ", ge=2
    )
    accumulate: int = field(
        1,
        "teacher",
        "parts that go through the network one after the other before each step, their gradients being summed; batch-norm sees one part at a time",
        ge=1,
    )
    frames_at_once: int | None = field(
        None,
        None,
        "frames whose activations the sequential VGG teacher keeps in training, those of the others being computed again (gradient "
        "checkpointing: the same numbers but for rounding, a third more work); default: all",
        ge=1,
    )
    learning_rate: tuple[float, float] = field(
        (0.0001, 0.001), "teacher", "lowest and highest rate of the cycle"
    )
    teacher_learning_rate: tuple[float, float] | None = field(
        None, "teacher", "the teacher's rates where they differ"
    )
    cycle: float = field(
        5.0, "teacher", "epochs from the lowest rate to the highest; a cycle is twice as long", gt=0
    )
    cycle_shape: Literal["triangular", "triangular2"] = field(
        "triangular",
        "teacher",
        "every cycle reaches the highest rate, or each one half of the rise before it (Smith 2017)",
    )
    batchnorm: Literal["estimated", "running"] = field(
        "estimated",
        "teacher",
        "statistics of batch-norm at inference: estimated over the training recordings after the last epoch, or the running averages of training",
    )
    betas: tuple[float, float] = field((0.9, 0.999), "teacher", "decay rates of Adam's moments")
    precision: Literal["float32", "bf16"] = field(
        "float32", "teacher", "arithmetic of the forward pass; bf16 is autocast"
    )
    distance: Literal["mse", "cosine", "smooth_l1"] = field(
        "mse", "student", "distance between student and teacher embeddings"
    )
    distance_reduction: Literal["mean", "sum"] = field(
        "mean",
        "student",
        "mse and smooth_l1 take the mean, or the sum, over the elements of an embedding",
    )
    multitask_label: Literal["scaled", "whole"] = field(
        "scaled",
        "student",
        "multitask multiplies the label's gradient in the encoder by 1 - alpha, or leaves it whole",
    )
    target_stretch: Literal["recording", "crop"] = field(
        "recording",
        "student",
        "the teacher's embedding is that of the whole recording, or of the crop that the student hears",
    )
    temperature: float = field(1.0, "student", "softens the teacher's class probabilities", gt=0)
    softened: Literal["teacher", "both"] = field(
        "teacher",
        "student",
        "the temperature softens the teacher alone, or both networks, the loss then being multiplied by its square",
    )
    trial_score: Literal["cosine", "centred"] = field(
        "cosine",
        "student",
        "score of a verification trial: cosine of the embeddings, or of embeddings less their mean over the training set",
    )
    targets: Literal["teacher", "shuffled", "shuffled_in_class", "random", "audio", "uniform"] = (
        field(
            "teacher",
            "student",
            "what the student is distilled from: the teacher's outputs; as a control those for another recording, or "
            "for another one of the class, random vectors, the outputs of an audio teacher, or equal probabilities "
            "(label smoothing)",
        )
    )
    checkpoint: float = field(
        60.0,
        None,
        "seconds between two checkpoints of a training, from which a run that broke off goes on",
        ge=0,
    )
    keep_students: bool = field(
        False, None, "keep the weights of the students beside their results"
    )
    device: Literal["auto", "cpu", "cuda"] = field(
        "auto", None, "where networks run; auto takes a GPU where there is one"
    )


class Settings(Section):
    """What a teacher and a student are trained with: the axes of the paper and three sections."""

    backbone: Literal["vgg", "resnet", "seresnet"] = field(
        "seresnet", "teacher", "vgg, resnet or seresnet; family of teacher and student encoder"
    )
    setting: Literal["nonseq", "em", "agg"] = field(
        "nonseq",
        "student",
        "nonseq, em or agg; one spectrogram a recording, or segments distilled at the encoder (em) or the aggregator (agg)",
    )
    method: Literal["embedding", "softlabel", "multitask"] = field(
        "embedding",
        "student",
        "embedding (the paper's), softlabel or multitask; what the student learns from the teacher",
    )
    alpha: float = field(
        0.5, "student", "imitation parameter, weight of the teacher from 0 to 1", ge=0, le=1
    )
    seed: int = field(0, "teacher", "seed of initial weights, order and crops", ge=0)
    media: Media = field(Media(), None, "laid over the media section of the dataset's file")
    model: Model = field(Model(), None, "laid over the model section of the dataset's file")
    training: Training = field(
        Training(), None, "laid over the training section of the dataset's file"
    )

    @property
    def sequential(self) -> bool:
        """Whether the networks have an aggregator."""
        return self.setting != "nonseq"

    @property
    def needs_teacher(self) -> bool:
        """Whether a video teacher is needed: not at alpha = 0, nor by controls that use none."""
        return self.alpha > 0 and self.training.targets not in ("audio", "uniform")

    @property
    def segments(self) -> int:
        """Segments of a training crop."""
        return round(self.media.duration / self.media.segment)

    def teacher_training(self) -> Training:
        """Return the training of the teacher: epochs, rates and batch are its own where they are
        given."""
        training = self.training
        return training.model_copy(
            update={
                "epochs": training.teacher_epochs or training.epochs,
                "learning_rate": training.teacher_learning_rate or training.learning_rate,
                "batch_size": training.batch_size
                if self.sequential
                else training.teacher_batch or training.batch_size,
            }
        )


def digest(facts: Any, length: int = 12) -> str:
    """Return a short hexadecimal hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:length]
