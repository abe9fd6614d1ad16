"""The parameters of the suite beside those of the method: which recordings, how they are split,
which run."""

from __future__ import annotations

from typing import Literal

from kdlib.parameters import Section, field

ALL_FOLDS = "all"


class Synthetic(Section):
    """The small corpus the suite makes itself, in the tree and the file formats of the real one."""

    actors: int = field(
        6,
        "data",
        "number of speakers; odd ones male, as in RAVDESS; IEMOCAP has two a session",
        ge=2,
        le=99,
    )
    takes: int = field(
        26,
        "data",
        "recordings a speaker, spread evenly over the emotions; RAVDESS has 104",
        ge=1,
        le=104,
    )
    outsiders: int = field(
        0,
        "data",
        "further speakers whom only a verification trial list names (voxceleb1)",
        ge=0,
        le=99,
    )
    actors_without_song: list[int] = field(
        [18], "data", "actors who only speak, as actor 18 of RAVDESS"
    )
    modalities: list[Literal["01", "02", "03"]] = field(
        ["01"], "data", "files a take: 01 sound and video, 02 video only, 03 sound only"
    )
    seconds: float = field(2.4, "data", "mean length of a recording in seconds", ge=0.5, le=10)
    video_size: tuple[int, int] = field(
        (160, 90), "data", "width and height of the video in pixels, both even"
    )
    video_information: float = field(
        0.95,
        "data",
        "probability that the face shows the labelled emotion and not one drawn at random",
        ge=0,
        le=1,
    )
    audio_information: float = field(
        0.75,
        "data",
        "probability that the voice carries the labelled emotion and not one drawn at random",
        ge=0,
        le=1,
    )
    shared: float = field(
        0.0,
        "data",
        "probability that the face shows what the voice expresses (voxceleb1: whose voice it is), whatever the label says; else "
        "video_information alone decides, and face and voice are independent given the label",
        ge=0,
        le=1,
    )
    noise: float = field(
        0.0,
        "data",
        "white noise behind the voice: its root mean square relative to the speech's",
        ge=0,
        le=10,
    )
    seed: int = field(0, "data", "seed of faces, voices and takes", ge=0)


class Corpus(Section):
    """Where the recordings are, which of them are used, and how they are split."""

    layout: Literal["ravdess", "voxceleb1", "iemocap", "manifest"] = field(
        "ravdess", "data", "how the corpus lies on disk"
    )
    path: str = field(
        "",
        "data",
        "folder of the corpus (of a manifest its file), absolute or inside a corpora folder",
    )
    target: Literal["label", "speaker"] = field(
        "label", "data", "what the networks learn to tell: the label, or who speaks"
    )
    channels: list[Literal["speech", "song"]] = field(
        ["speech", "song"], "data", "kinds of vocalisation used (ravdess)"
    )
    calm: Literal["neutral", "own", "omit"] = field(
        "neutral",
        "data",
        "calm takes count as neutral, as a class of their own, or not at all (ravdess)",
    )
    excited: Literal["happy", "omit"] = field(
        "happy", "data", "excited turns count as happy, or not at all (iemocap)"
    )
    dialogues: list[Literal["improvised", "scripted"]] = field(
        ["improvised", "scripted"], "data", "kinds of dialogue used (iemocap)"
    )
    unit: Literal["video", "utterance"] = field(
        "video",
        "data",
        "a recording is a video, of which the first utterance is used, or every utterance (voxceleb1)",
    )
    features: str = field(
        "",
        "data",
        "table of face measurements that stands for the video, one or more rows a recording",
    )
    standardise: Literal["none", "speaker"] = field(
        "none",
        "data",
        "scale of the face measurements: as given, or zero mean and unit variance for each speaker",
    )
    outside: bool = field(
        False,
        None,
        "files may lie outside of the corpus (of a manifest its folder) and of the corpora folders, also by symbolic links",
    )
    unreadable: Literal["stop", "leave_out"] = field(
        "stop",
        "data",
        "a recording that cannot be decoded stops the run, or is left out and named in every result",
    )
    protocol: Literal["speakers", "portions", "random", "given"] = field(
        "speakers",
        "teacher",
        "speakers leaves speakers out; portions splits the recordings of each speaker; random deals recordings out, leaking speakers; given takes the corpus' own folds",
    )
    groups: int = field(
        0,
        "teacher",
        "number of folds that speakers (or recordings, if random) are dealt into; 0 leaves one speaker out at a time",
        ge=0,
    )
    portions: tuple[float, float, float] = field(
        (0.7, 0.1, 0.2),
        "teacher",
        "shares of each speaker's recordings for training, validation and test (protocol portions)",
    )
    split_seed: int = field(
        0,
        "teacher",
        "seed of the protocols portions and random, and of fraction, labelled and label_noise",
        ge=0,
    )
    validation: int = field(
        0,
        "teacher",
        "speakers that each fold keeps out of training to choose alpha on (protocol speakers; portions has a share of its own)",
        ge=0,
    )
    fraction: float = field(
        1.0,
        "teacher",
        "share of each fold's training recordings, evenly over the classes, that teacher and student train on",
        gt=0,
        le=1,
    )
    labelled: float = field(
        1.0,
        "teacher",
        "share of each fold's training recordings, evenly over classes and speakers, whose labels are used; sound and video of all are",
        gt=0,
        le=1,
    )
    label_noise: float = field(
        0.0,
        "teacher",
        "share of the training labels in use that are replaced by another class, drawn at random (a control)",
        ge=0,
        le=1,
    )
    trials: list[str] = field(
        [], "student", "verification trial lists, files in the corpus such as veri_test.txt"
    )
    synthetic: Synthetic | None = field(
        None, "data", "makes the corpus at this path where it is absent"
    )


class Selection(Section):
    """Which dataset, folds and recordings a run uses."""

    dataset: str = field("demo-ravdess", None, "a file in params, without its ending")
    folds: int | str = field(
        ALL_FOLDS, None, "all, one number, a range such as 0-7 or a list such as 0,4,9"
    )
    corpus: Corpus = field(Corpus(), None, "laid over the corpus section of the dataset's file")
