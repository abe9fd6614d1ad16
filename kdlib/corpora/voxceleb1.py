"""To be written."""

from pathlib import Path

import pandas as pd

from kdlib.settings import Corpus, Synthetic


def read(folder: Path, corpus: Corpus) -> pd.DataFrame:
    raise NotImplementedError


def write_synthetic(folder: Path, synthetic: Synthetic) -> None:
    raise NotImplementedError
