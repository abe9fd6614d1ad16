"""What the paper prints: Hajavi & Etemad 2023, its citation and every number of its Tables 4 to
7."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TITLE = "Audio Representation Learning by Distilling Video as Privileged Information"
AUTHORS = "Hajavi & Etemad"
JOURNAL = "IEEE Transactions on Artificial Intelligence, 2023"
DOI = "10.1109/TAI.2023.3243596"
# how the paper's tables spell the networks
ENCODERS = {"vgg": "VGG", "resnet": "ResNet", "seresnet": "SEResNet"}
AGGREGATORS = {"nonseq": "", "em": "+BiLSTM+EM", "agg": "+BiLSTM+AGG"}


def network(backbone: str, setting: str) -> str:
    """Return a network as the paper's tables spell it, such as ``SEResNet+BiLSTM+AGG``;
    a backbone that the paper has not by its own name."""
    return ENCODERS.get(backbone, backbone) + AGGREGATORS[setting]


def published() -> pd.DataFrame:
    """Return the paper's Tables 4 to 7, one row a table and network, numbers in percent as
    printed."""
    return pd.read_csv(Path(__file__).with_name("published.csv"))
