"""From corpora on disk to decoded recordings, folds and trials."""

import math

# goes up with every change of what a store holds: stores of an older format are made again
STORE_FORMAT = 5
# columns of the table of recordings (see :mod:`kdsuite.data.corpora`), and what is in them where a
# reader does not fill them
COLUMNS = {
    "recording": "", "speaker": "", "label": "", "audio": "", "video": "", "features": "",
    "audio_start": 0.0, "video_start": 0.0, "seconds": math.nan, "face": "", "source": "",
    "fold": "",
}  # fmt: skip
