"""Every parameter beside the axes of the paper, declared once with its default, its help and what it may be.

The four sections mirror ``params/<dataset>.yaml``. Each field names the first stage of the suite (``data``, ``teacher``,
``student``) whose numbers it changes.
"""

from __future__ import annotations

from typing import Any, Literal

import pydantic

STAGES = ("data", "teacher", "student")


def field(default: Any, stage: str | None, help: str, **constraints: Any) -> Any:
    """Declare a parameter: ``stage`` is the first one whose numbers depend on it (None: none does)."""
    return pydantic.Field(default, description=help, json_schema_extra={"stage": stage}, **constraints)


class Section(pydantic.BaseModel):
    """A mapping of parameters: unknown names and wrong types are errors, an integer may stand for a float."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())

    def upto(self, stage: str) -> dict[str, Any]:
        """Return the parameters that the numbers of ``stage`` depend on, nested as in the file."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Section) and not isinstance(value, Synthetic):
                found[name] = value.upto(stage)
            elif self.first_stage(name) is not None and self.known(name, stage):
                found[name] = value.model_dump() if isinstance(value, Section) else value
        return found

    @classmethod
    def first_stage(cls, name: str) -> str | None:
        """Return the first stage whose numbers depend on a parameter, None where none do."""
        return (cls.model_fields[name].json_schema_extra or {}).get("stage")

    @classmethod
    def known(cls, name: str, stage: str) -> bool:
        """Return whether a stage has to be told a parameter: its numbers depend on it, or no stage's do (such as the device)."""
        first = cls.first_stage(name)
        return first is None or STAGES.index(first) <= STAGES.index(stage)


class Synthetic(Section):
    """The small corpus the suite makes itself, in the tree and the file formats of the real one."""

    actors: int = field(6, "data", "number of speakers; odd ones male, as in RAVDESS; IEMOCAP has two a session", ge=2, le=99)
    takes: int = field(26, "data", "recordings a speaker, spread evenly over the emotions; RAVDESS has 104", ge=1, le=104)
    outsiders: int = field(0, "data", "further speakers whom only a verification trial list names (voxceleb1)", ge=0, le=99)
    actors_without_song: list[int] = field([18], "data", "actors who only speak, as actor 18 of RAVDESS")
    modalities: list[Literal["01", "02", "03"]] = field(["01"], "data", "files a take: 01 sound and video, 02 video only, 03 sound only")
    seconds: float = field(2.4, "data", "mean length of a recording in seconds", ge=0.5, le=10)
    video_size: tuple[int, int] = field((160, 90), "data", "width and height of the video in pixels, both even")
    video_information: float = field(
        0.95, "data", "probability that the face shows the labelled emotion and not one drawn at random", ge=0, le=1
    )
    audio_information: float = field(
        0.75, "data", "probability that the voice carries the labelled emotion and not one drawn at random", ge=0, le=1
    )
    shared: float = field(
        0.0,
        "data",
        "probability that the face shows what the voice expresses (voxceleb1: whose voice it is), whatever the label says; else "
        "video_information alone decides, and face and voice are independent given the label",
        ge=0,
        le=1,
    )
    noise: float = field(0.0, "data", "white noise behind the voice: its root mean square relative to the speech's", ge=0, le=10)
    seed: int = field(0, "data", "seed of faces, voices and takes", ge=0)


class Corpus(Section):
    """Where the recordings are, which of them are used, and how they are split."""

    layout: Literal["ravdess", "voxceleb1", "iemocap", "manifest"] = field("ravdess", "data", "how the corpus lies on disk")
    path: str = field("", "data", "folder of the corpus (of a manifest its file), absolute or inside a corpora folder")
    target: Literal["label", "speaker"] = field("label", "data", "what the networks learn to tell: the label, or who speaks")
    channels: list[Literal["speech", "song"]] = field(["speech", "song"], "data", "kinds of vocalisation used (ravdess)")
    calm: Literal["neutral", "own", "omit"] = field(
        "neutral", "data", "calm takes count as neutral, as a class of their own, or not at all (ravdess)"
    )
    excited: Literal["happy", "omit"] = field("happy", "data", "excited turns count as happy, or not at all (iemocap)")
    dialogues: list[Literal["improvised", "scripted"]] = field(["improvised", "scripted"], "data", "kinds of dialogue used (iemocap)")
    unit: Literal["video", "utterance"] = field(
        "video", "data", "a recording is a video, of which the first utterance is used, or every utterance (voxceleb1)"
    )
    features: str = field("", "data", "table of face measurements that stands for the video, one or more rows a recording")
    standardise: Literal["none", "speaker"] = field(
        "none", "data", "scale of the face measurements: as given, or zero mean and unit variance for each speaker"
    )
    outside: bool = field(
        False, None, "files may lie outside of the corpus (of a manifest its folder) and of the corpora folders, also by symbolic links"
    )
    unreadable: Literal["stop", "leave_out"] = field(
        "stop", "data", "a recording that cannot be decoded stops the run, or is left out and named in every result"
    )
    protocol: Literal["speakers", "portions", "random", "given"] = field(
        "speakers",
        "teacher",
        "speakers leaves speakers out; portions splits the recordings of each speaker; random deals recordings out, leaking speakers; given takes the corpus' own folds",
    )
    groups: int = field(
        0, "teacher", "number of folds that speakers (or recordings, if random) are dealt into; 0 leaves one speaker out at a time", ge=0
    )
    portions: tuple[float, float, float] = field(
        (0.7, 0.1, 0.2), "teacher", "shares of each speaker's recordings for training, validation and test (protocol portions)"
    )
    split_seed: int = field(0, "teacher", "seed of the protocols portions and random, and of fraction, labelled and label_noise", ge=0)
    validation: int = field(
        0,
        "teacher",
        "speakers that each fold keeps out of training to choose alpha on (protocol speakers; portions has a share of its own)",
        ge=0,
    )
    fraction: float = field(
        1.0, "teacher", "share of each fold's training recordings, evenly over the classes, that teacher and student train on", gt=0, le=1
    )
    labelled: float = field(
        1.0,
        "teacher",
        "share of each fold's training recordings, evenly over classes and speakers, whose labels are used; sound and video of all are",
        gt=0,
        le=1,
    )
    label_noise: float = field(
        0.0, "teacher", "share of the training labels in use that are replaced by another class, drawn at random (a control)", ge=0, le=1
    )
    trials: list[str] = field([], "student", "verification trial lists, files in the corpus such as veri_test.txt")
    synthetic: Synthetic | None = field(None, "data", "makes the corpus at this path where it is absent")


class Media(Section):
    """Decoding and the audio front end."""

    sample_rate: int = field(16000, "data", "sound, samples a second", ge=4000)
    fps: int = field(25, "data", "video, frames a second", ge=1)
    picture_rate: float = field(1.0, "data", "pictures a second in folders of still pictures", gt=0)
    crop: float = field(1.0, "data", "side of the centred square cut from each frame, relative to the frame's shorter side", gt=0, le=1)
    frame_size: int = field(224, "data", "side of the resized frame in pixels; five halvings must leave something", ge=32)
    frame_stride: int = field(1, "teacher", "the teacher sees every n-th frame", ge=1)
    duration: float = field(4.0, "teacher", "seconds of a recording in training, cropped at random or repeated", gt=0)
    segment: float = field(1.0, "teacher", "seconds of a segment in the sequential settings", gt=0)
    inference: Literal["whole", "fixed"] = field(
        "whole", "teacher", "length at inference: the whole recording, or its middle of the training duration"
    )
    front_end: Literal["stft", "logmel"] = field("stft", "student", "spectrogram: logarithmic STFT magnitude, or log-mel energies")
    fft: int = field(512, "student", "points of the Fourier transform; half of them plus one are the STFT's bins", ge=64)
    bins: int = field(40, "student", "mel bands of the logmel front end", ge=8)
    window: float = field(0.025, "student", "length of the Hamming window in seconds", gt=0)
    hop: float = field(0.010, "student", "step between windows in seconds", gt=0)
    normalise: Literal["utterance", "bin"] = field(
        "utterance", "student", "zero mean and unit variance over the whole spectrogram, or for each frequency bin"
    )


class Model(Section):
    """Sizes of the networks; the defaults are the paper's."""

    embedding: int = field(512, "teacher", "units of the encoder's and aggregator's embedding", ge=4, multiple_of=2)
    teacher_width: float = field(1.0, "teacher", "channels of the teacher relative to the standard network", gt=0)
    teacher_weights: str = field(
        "", "teacher", "pretrained weights: a state dict file, or a name that torchvision knows such as IMAGENET1K_V1"
    )
    teacher_batchnorm: bool = field(False, "teacher", "batch-norm in the VGG16 teacher; the standard network has none")
    teacher_dropout: float = field(
        0.0, "teacher", "dropout behind both fully connected layers of the VGG16 teacher; the standard network has 0.5", ge=0, lt=1
    )
    teacher_layers: int = field(
        2, "teacher", "fully connected layers between pooling and head of the ResNet34 teacher; the standard network has none", ge=0, le=2
    )
    width: float = field(1.0, "student", "channels of the student relative to the paper's network", gt=0)
    stages: int = field(4, "student", "stages of residual blocks in the audio ResNet", ge=1, le=4)
    reduction: int = field(16, "teacher", "squeeze-and-excitation reduction", ge=1)
    lstm_activation: Literal["relu", "none"] = field(
        "relu", "teacher", "activation of the outputs of the aggregator's BiLSTM layers, of teacher and student"
    )
    aggregator_norm: Literal["none", "layer"] = field(
        "none",
        "teacher",
        "layer normalisation of the aggregator's input and of its BiLSTM layers' outputs, or none, of teacher and student",
    )


class Training(Section):
    """Optimisation, the same for teacher and student unless named otherwise."""

    epochs: int = field(
        50, "teacher", "passes over the training recordings, a whole number of cycles; last-epoch numbers are reported", ge=1
    )
    teacher_epochs: int | None = field(None, "teacher", "epochs of the teacher where they differ", ge=1)
    teacher_frames: int | None = field(
        None, "teacher", "frames of a recording, drawn anew each epoch, for the teacher without aggregator; all where not given", ge=1
    )
    batch_size: int = field(32, "teacher", "recordings a step; frames a step for the teacher without aggregator", ge=2)
    teacher_batch: int | None = field(None, "teacher", "frames a step for the teacher without aggregator where they differ", ge=2)
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
        "checkpointing: the same numbers but for rounding, a third more work); all where not given",
        ge=1,
    )
    learning_rate: tuple[float, float] = field((0.0001, 0.001), "teacher", "lowest and highest rate of the cycle")
    teacher_learning_rate: tuple[float, float] | None = field(None, "teacher", "the teacher's rates where they differ")
    cycle: float = field(5.0, "teacher", "epochs from the lowest rate to the highest; a cycle is twice as long", gt=0)
    cycle_shape: Literal["triangular", "triangular2"] = field(
        "triangular", "teacher", "every cycle reaches the highest rate, or each one half of the rise before it (Smith 2017)"
    )
    batchnorm: Literal["estimated", "running"] = field(
        "estimated",
        "teacher",
        "statistics of batch-norm at inference: estimated over the training recordings after the last epoch, or the running averages of training",
    )
    betas: tuple[float, float] = field((0.9, 0.999), "teacher", "decay rates of Adam's moments")
    precision: Literal["float32", "bf16"] = field("float32", "teacher", "arithmetic of the forward pass; bf16 is autocast")
    distance: Literal["mse", "cosine", "smooth_l1"] = field("mse", "student", "distance between student and teacher embeddings")
    distance_reduction: Literal["mean", "sum"] = field(
        "mean", "student", "mse and smooth_l1 take the mean, or the sum, over the elements of an embedding"
    )
    multitask_label: Literal["scaled", "whole"] = field(
        "scaled", "student", "multitask multiplies the label's gradient in the encoder by 1 - alpha, or leaves it whole"
    )
    target_stretch: Literal["recording", "crop"] = field(
        "recording", "student", "the teacher's embedding is that of the whole recording, or of the crop that the student is given"
    )
    temperature: float = field(1.0, "student", "softens the teacher's class probabilities", gt=0)
    softened: Literal["teacher", "both"] = field(
        "teacher", "student", "the temperature softens the teacher alone, or both networks, the loss then being multiplied by its square"
    )
    trial_score: Literal["cosine", "centred"] = field(
        "cosine",
        "student",
        "score of a verification trial: cosine of the embeddings, or of embeddings less their mean over the training set",
    )
    targets: Literal["teacher", "shuffled", "shuffled_in_class", "random", "audio", "uniform"] = field(
        "teacher",
        "student",
        "what the student is drawn to: the teacher's own, or as a control those of another recording, of another one of its class, random ones, "
        "those of a teacher that heard the same sound, or equal probabilities (label smoothing)",
    )
    checkpoint: float = field(60.0, None, "seconds between two checkpoints of a training, from which a run that broke off goes on", ge=0)
    keep_students: bool = field(False, None, "keep the weights of the students beside their results")
    device: Literal["auto", "cpu", "cuda"] = field("auto", None, "where networks run; auto takes a GPU where there is one")
