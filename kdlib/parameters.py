"""Every parameter, declared once with its default, its help and its allowed values.

The axes of the paper are fields of :class:`Settings`, the others of its sections. The type of a
field names the first stage whose numbers the field changes: ``OfData``, ``OfTeacher`` or
``OfStudent``; those of ``OfNone`` change none. The string below a field is its help.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

STAGES = ("data", "teacher", "student")
# what a student's epoch keeps of the gradients of label and teacher (kdlib.losses.gradients)
GRADIENTS = ("agreement", "label_gradient", "teacher_gradient")

T = TypeVar("T")
OfData, OfTeacher, OfStudent, OfNone = (
    Annotated[T, Field(json_schema_extra={"stage": stage})] for stage in (*STAGES, None)
)
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]


class Section(pydantic.BaseModel):
    """A mapping of parameters: unknown names and wrong types are errors, an integer may stand for a
    float."""

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=(),
        use_attribute_docstrings=True,
    )  # fmt: skip


class Media(Section):
    """Decoding and the audio front end."""

    sample_rate: OfData[int] = Field(16000, ge=4000)
    """sound, samples a second"""
    fps: OfData[PositiveInt] = 25
    """video, frames a second"""
    picture_rate: OfData[PositiveFloat] = 1.0
    """pictures a second in folders of still pictures"""
    crop: OfData[PositiveShare] = 1.0
    """side of the centred square cut from each frame, relative to the frame's shorter side"""
    frame_size: OfData[int] = Field(224, ge=32)
    """side of the resized frame in pixels; five halvings must leave something"""
    frame_stride: OfTeacher[PositiveInt] = 1
    """the teacher sees every n-th frame; with teacher_frames, frames are drawn from all frames"""
    duration: OfTeacher[PositiveFloat] = 4.0
    """seconds of a recording in training, cropped at random or repeated"""
    segment: OfTeacher[PositiveFloat] = 1.0
    """seconds of a segment in the sequential settings"""
    inference: OfTeacher[Literal["whole", "fixed"]] = "whole"
    """length at inference: the whole recording, or its middle of the training duration; the teacher
    without aggregator sees all frames"""
    front_end: OfStudent[Literal["stft", "logmel"]] = "stft"
    """spectrogram: logarithmic STFT magnitude, or log-mel energies"""
    fft: OfStudent[int] = Field(512, ge=64)
    """points of the Fourier transform; half of them plus one are the STFT's bins"""
    bins: OfStudent[int] = Field(40, ge=8)
    """mel bands of the logmel front end"""
    window: OfStudent[PositiveFloat] = 0.025
    """length of the Hamming window in seconds"""
    hop: OfStudent[PositiveFloat] = 0.010
    """step between windows in seconds"""
    normalise: OfStudent[Literal["utterance", "bin"]] = "utterance"
    """zero mean and unit variance over the whole spectrogram, or for each frequency bin"""

    @property
    def samples_per_frame(self) -> int:
        """Audio samples of a video frame."""
        return self.sample_rate // self.fps

    @property
    def samples_per_segment(self) -> int:
        """Audio samples of a segment."""
        return round(self.segment * self.sample_rate)

    @property
    def frames_per_segment(self) -> int:
        """Frames of a segment that the teacher sees."""
        return round(self.segment * self.fps) // self.frame_stride


class Model(Section):
    """Sizes of the networks; the defaults are those of the paper where it gives them."""

    embedding: OfTeacher[int] = Field(512, ge=4, multiple_of=2)
    """units of the encoder's and aggregator's embedding"""
    teacher_width: OfTeacher[PositiveFloat] = 1.0
    """channels of the teacher relative to the standard network"""
    teacher_weights: OfTeacher[str] = ""
    """pretrained weights: a state dict file, or a name that torchvision knows such as
    IMAGENET1K_V1"""
    teacher_batchnorm: OfTeacher[bool] = False
    """batch-norm in the VGG16 teacher; the standard network has none"""
    teacher_dropout: OfTeacher[NonNegativeFloat] = Field(0.0, lt=1)
    """dropout behind both fully connected layers of the VGG16 teacher; the standard network has
    0.5"""
    teacher_layers: OfTeacher[NonNegativeInt] = Field(2, le=2)
    """fully connected layers between pooling and head of the ResNet34 teacher; the standard network
    has none"""
    width: OfStudent[PositiveFloat] = 1.0
    """channels of the student relative to the full network"""
    stages: OfStudent[PositiveInt] = Field(4, le=4)
    """stages of residual blocks in the audio ResNet"""
    reduction: OfTeacher[PositiveInt] = 16
    """squeeze-and-excitation reduction"""
    lstm_activation: OfTeacher[Literal["relu", "none"]] = "relu"
    """activation of the outputs of the aggregator's BiLSTM layers, of teacher and student"""
    aggregator_norm: OfTeacher[Literal["none", "layer"]] = "none"
    """layer normalisation of the aggregator's input and of its BiLSTM layers' outputs, or none, of
    teacher and student"""


class Training(Section):
    """Optimisation, the same for teacher and student unless named otherwise."""

    epochs: OfTeacher[PositiveInt] = 50
    """passes over the training recordings, a whole number of cycles; last-epoch numbers are
    reported"""
    teacher_epochs: OfTeacher[PositiveInt | None] = None
    """epochs of the teacher; default: epochs"""
    teacher_frames: OfTeacher[PositiveInt | None] = None
    """frames of a recording, drawn at random in each epoch, for the teacher without aggregator;
    default: all"""
    batch_size: OfTeacher[int] = Field(32, ge=2)
    """recordings a step; frames a step for the teacher without aggregator"""
    teacher_batch: OfTeacher[int | None] = Field(None, ge=2)
    """frames a step for the teacher without aggregator; default: batch_size"""
    accumulate: OfTeacher[PositiveInt] = 1
    """gradient accumulation: parts of a batch whose gradients are summed before each step;
    batch-norm sees one part at a time"""
    frames_at_once: OfNone[PositiveInt | None] = None
    """gradient checkpointing: frames whose activations the sequential VGG teacher keeps; those of
    the others are computed again (slower, equal up to rounding); default: all"""
    learning_rate: OfTeacher[tuple[float, float]] = (0.0001, 0.001)
    """lowest and highest rate of the cycle"""
    teacher_learning_rate: OfTeacher[tuple[float, float] | None] = None
    """the teacher's rates; default: learning_rate"""
    cycle: OfTeacher[PositiveFloat] = 5.0
    """half a cycle: epochs from the lowest rate to the highest"""
    cycle_shape: OfTeacher[Literal["triangular", "triangular2"]] = "triangular"
    """every cycle reaches the highest rate, or each one half of the rise before it (Smith 2017)"""
    batchnorm: OfTeacher[Literal["estimated", "running"]] = "estimated"
    """statistics of batch-norm at inference: estimated over the training recordings after the last
    epoch, or the running averages of training"""
    betas: OfTeacher[tuple[float, float]] = (0.9, 0.999)
    """decay rates of Adam's moments"""
    precision: OfTeacher[Literal["auto", "float32", "tf32", "bf16"]] = "auto"
    """arithmetic of the forward pass: float32, TF32 in its place on a GPU, or bf16 by autocast;
    auto is bf16 on a GPU, float32 on a CPU"""
    distance: OfStudent[Literal["mse", "cosine", "smooth_l1"]] = "mse"
    """distance between student and teacher embeddings"""
    distance_reduction: OfStudent[Literal["mean", "sum"]] = "mean"
    """mse and smooth_l1 take the mean, or the sum, over the elements of an embedding"""
    multitask_label: OfStudent[Literal["scaled", "whole"]] = "scaled"
    """multitask multiplies the label's gradient in the encoder by 1 - alpha, or leaves it whole"""
    target_stretch: OfStudent[Literal["recording", "crop"]] = "recording"
    """the teacher's embedding is that of the whole recording, or of the crop that the student
    hears"""
    temperature: OfStudent[PositiveFloat] = 1.0
    """softens the teacher's class probabilities"""
    softened: OfStudent[Literal["teacher", "both"]] = "teacher"
    """the temperature softens only the teacher, or both networks (the loss is multiplied by its
    square)"""
    trial_score: OfStudent[Literal["cosine", "centred"]] = "cosine"
    """score of a verification trial: cosine of the embeddings, or of embeddings less their mean
    over the training set"""
    targets: OfStudent[
        Literal["teacher", "shuffled", "shuffled_in_class", "random", "audio", "uniform"]
    ] = "teacher"
    """what the student is distilled from: the teacher's outputs; as a control those for another
    recording or for another of its class, random vectors, an audio teacher's, or equal
    probabilities"""
    device: OfNone[Literal["auto", "cpu", "cuda"]] = "auto"
    """where networks run; auto takes a GPU where there is one"""
    graph: OfNone[Literal["auto", "off"]] = "auto"
    """training steps on a GPU are replayed as CUDA graphs, or not"""
    compile: OfNone[bool] = False
    """compile the student's encoder on a GPU with torch.compile, which takes a minute; for long
    trainings of wide networks"""
    deterministic: OfNone[bool] = False
    """ask torch for deterministic kernels on a GPU, which may be slower; otherwise results vary
    slightly between runs"""


class Settings(Section):
    """What a teacher and a student are trained with: the axes of the paper and three sections."""

    backbone: OfTeacher[Literal["vgg", "resnet", "seresnet"]] = "seresnet"
    """vgg, resnet or seresnet; family of teacher and student encoder"""
    setting: OfStudent[Literal["nonseq", "em", "agg"]] = "nonseq"
    """nonseq, em or agg; one spectrogram a recording, or segments distilled at the encoder (em) or
    the aggregator (agg)"""
    method: OfStudent[Literal["embedding", "softlabel", "multitask"]] = "embedding"
    """embedding (the paper's), softlabel or multitask; what the student learns from the teacher"""
    alpha: OfStudent[Share] = 0.5
    """imitation parameter, weight of the teacher from 0 to 1"""
    seed: OfTeacher[NonNegativeInt] = 0
    """seed of initial weights, order and crops"""
    media: OfNone[Media] = Media()
    """overrides the media section of the dataset's file"""
    model: OfNone[Model] = Model()
    """overrides the model section of the dataset's file"""
    training: OfNone[Training] = Training()
    """overrides the training section of the dataset's file"""

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
        own = {
            "epochs": training.teacher_epochs,
            "learning_rate": training.teacher_learning_rate,
            "batch_size": None if self.sequential else training.teacher_batch,
        }
        return training.model_copy(update={name: value for name, value in own.items() if value})


def digest(facts: Any, length: int = 12) -> str:
    """Return a short hexadecimal hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:length]
