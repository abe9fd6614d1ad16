"""From corpora on disk to decoded recordings, folds and trials."""

import math

# goes up with every change of what a store holds: stores of an older format are made again
STORE_FORMAT = 7
# columns of the table of recordings (see :mod:`kdsuite.data.corpora`), and what is in them where a
# reader does not fill them
COLUMNS = {
    "recording": "", "speaker": "", "label": "", "audio": "", "video": "", "features": "",
    "audio_start": 0.0, "video_start": 0.0, "seconds": math.nan, "face": "", "source": "",
    "fold": "",
}  # fmt: skip
# the words of a corpus' own split, in the column ``fold``
SPLIT = ("train", "validation", "test")
# kinds of files that readers look for; where a recording has several, the first is taken
SOUND_FILES = ".wav .flac .aiff .aif .m4a .aac .mp3 .ogg .opus .wma .au .caf .amr".split()
VIDEO_FILES = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg".split()
ENDINGS = {ending: rank for rank, ending in enumerate(SOUND_FILES + VIDEO_FILES)}
