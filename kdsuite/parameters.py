"""The parameters of the suite beside those of the method: which recordings, how they are split,
which run."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from kdlib import parameters
from kdlib.parameters import OfData, OfNone, OfStudent, OfTeacher, PositiveShare, Section, Share

# of the parameter folds
ALL_FOLDS, NO_FOLDS = "all", "none"
Even = Annotated[int, Field(multiple_of=2)]


class Synthetic(Section):
    """The small corpus the suite makes itself, in the tree and the file formats of the real one."""

    actors: int = Field(6, ge=2, le=99)
    """number of speakers; odd ones male, as in RAVDESS; IEMOCAP has two a session"""
    takes: int = Field(26, ge=1, le=104)
    """recordings a speaker, spread evenly over the emotions; RAVDESS has 104"""
    outsiders: NonNegativeInt = Field(0, le=99)
    """further speakers whom only a verification trial list names (voxceleb1)"""
    actors_without_song: list[int] = [18]
    """actors who only speak, as actor 18 of RAVDESS"""
    modalities: list[Literal["01", "02", "03"]] = ["01"]
    """files a take: 01 sound and video, 02 video only, 03 sound only"""
    seconds: float = Field(2.4, ge=0.5, le=10)
    """mean length of a recording in seconds"""
    video_size: tuple[Even, Even] = (160, 90)
    """width and height of the video in pixels, both even"""
    video_information: Share = 0.95
    """probability that the face shows the labelled emotion and not one drawn at random"""
    audio_information: Share = 0.75
    """probability that the voice carries the labelled emotion and not one drawn at random"""
    shared: Share = Field(
        0.0,
        description=(
            "probability that the face shows what the voice expresses (voxceleb1: whose voice it"
            " is), whatever the label says; else video_information alone decides, and face and"
            " voice are independent given the label"
        ),
    )
    noise: float = Field(0.0, ge=0, le=10)
    """white noise behind the voice: its root mean square relative to the speech's"""
    seed: NonNegativeInt = 0
    """seed of faces, voices and takes"""


class Corpus(Section):
    """Where the recordings are, which of them are used, and how they are split."""

    layout: OfData[Literal["ravdess", "voxceleb1", "iemocap", "manifest"]] = "ravdess"
    """how the corpus lies on disk"""
    path: OfData[str] = ""
    """folder of the corpus (of a manifest its file), absolute or inside a corpora folder"""
    licence: OfNone[str] = ""
    """licence of the recordings, which the cards of students name: an SPDX identifier, or other"""
    target: OfData[Literal["label", "speaker"]] = "label"
    """what the networks classify: the label, or the speaker"""
    channels: OfData[list[Literal["speech", "song"]]] = ["speech", "song"]
    """kinds of vocalisation used (ravdess)"""
    calm: OfData[Literal["neutral", "own", "omit"]] = "neutral"
    """calm takes count as neutral, as a class of their own, or not at all (ravdess)"""
    excited: OfData[Literal["happy", "omit"]] = "happy"
    """excited turns count as happy, or not at all (iemocap)"""
    dialogues: OfData[list[Literal["improvised", "scripted"]]] = ["improvised", "scripted"]
    """kinds of dialogue used (iemocap)"""
    unit: OfData[Literal["video", "utterance"]] = "video"
    """a recording is the first utterance of a video, or each utterance (voxceleb1)"""
    features: OfData[str] = ""
    """table of face measurements that replaces the video, one or more rows per recording"""
    standardise: OfData[Literal["none", "speaker"]] = "none"
    """scale of the face measurements: as given, or zero mean and unit variance for each speaker"""
    outside: OfNone[bool] = False
    """files may lie outside of the corpus (of a manifest its folder) and of the corpora folders,
    also by symbolic links"""
    unreadable: OfData[Literal["stop", "leave_out"]] = "stop"
    """a recording that cannot be decoded stops the run, or is left out and named in every result"""
    protocol: OfTeacher[Literal["speakers", "portions", "random", "given"]] = "speakers"
    """speakers leaves speakers out; portions splits the recordings of each speaker; random splits
    recordings, leaking speakers; given takes the corpus' own folds"""
    folds_from: OfTeacher[list[str]] = []
    """published folds to take instead (protocol given): lists, or folders of lists, inside a
    corpora folder, as EmoBox (JSON Lines) and audformat (CSV) have them"""
    groups: OfTeacher[NonNegativeInt] = 0
    """number of folds of speakers (of recordings, if random); 0 leaves one speaker out at a time"""
    portions: OfTeacher[tuple[float, float, float]] = (0.7, 0.1, 0.2)
    """shares of each speaker's recordings for training, validation and test (protocol portions)"""
    split_seed: OfTeacher[NonNegativeInt] = 0
    """seed of the protocols portions and random, and of fraction, labelled and label_noise"""
    validation: OfTeacher[NonNegativeInt] = 0
    """speakers that each fold keeps out of training to choose alpha on (protocol speakers; portions
    has a share of its own)"""
    fraction: OfTeacher[PositiveShare] = 1.0
    """share of each fold's training recordings, evenly over the classes, that teacher and student
    train on"""
    labelled: OfTeacher[PositiveShare] = 1.0
    """share of each fold's training recordings, evenly over classes and speakers, whose labels are
    used; sound and video of all are"""
    label_noise: OfTeacher[Share] = 0.0
    """share of the training labels in use that are replaced by another class, drawn at random (a
    control)"""
    trials: OfStudent[list[str]] = []
    """lists of verification trials, files in the corpus (of a manifest beside it) such as
    veri_test.txt"""
    synthetic: OfData[Synthetic | None] = None
    """makes the corpus at this path where it is absent"""

    @property
    def metrics(self) -> list[str]:
        """What the paper prints for such a corpus: unweighted accuracy of emotions; accuracy, and
        EER, of speakers."""
        main = "accuracy" if self.layout == "voxceleb1" or self.target == "speaker" else "uar"
        return [main, "eer"] if self.trials else [main]


class Media(parameters.Media):
    """Decoding, with the place of the face."""

    face: OfData[Literal["track", "centre", "detect"]] = "track"
    """where the face is: where the corpus says, by a face track or as a half, else at the centre
    (track); at the centre (centre); found by a detector where the corpus has no track (detect)"""


class Training(parameters.Training):
    """How networks are trained, with the resources and files of a training."""

    cross_fit: OfStudent[NonNegativeInt] = 0
    """parts of the training recordings; the targets of each come from a teacher trained on the
    others; 0: all from one teacher"""
    checkpoint: OfNone[NonNegativeFloat] = 60.0
    """seconds between two checkpoints of a training, from which an interrupted run resumes"""
    keep_students: OfNone[bool] = False
    """keep the weights of the students beside their results"""
    tensorboard: OfNone[bool] = False
    """write each epoch's values for TensorBoard, a package of its own, into the folder of the
    run"""
    threads: OfNone[Literal["auto"] | PositiveInt] = "auto"
    """threads of a training on a CPU: auto is one for small networks, else all cores;
    $OMP_NUM_THREADS wins"""


class Selection(Section):
    """Which dataset, folds and recordings a run uses."""

    dataset: OfNone[str] = "demo-ravdess"
    """a file in params, without its ending"""
    folds: OfNone[int | str] = ALL_FOLDS
    """all, one number, a range such as 0-7, a list such as 0,4,9, or none: one student trained on
    all recordings, without a test"""
    corpus: OfNone[Corpus] = Corpus()
    """overrides the corpus section of the dataset's file"""
