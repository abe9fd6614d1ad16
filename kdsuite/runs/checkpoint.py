"""A training's file of everything that its next epoch depends on, written now and then, removed
when it is over."""

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from kdlib.errors import UserError
from kdlib.training import Trainer
from kdsuite import paths


def epochs(trainer: Trainer, file: Path, seconds: float) -> Iterator[dict[str, float]]:
    """Yield a training's epochs, those of ``file`` first, and save it there at most once in so many
    ``seconds``; a training that continues ends as it would have.

    Raises UserError where the file is of another training.
    """
    if file.exists():
        _restore(trainer, file)
    yield from list(trainer.history)
    written = time.monotonic()
    for epoch in trainer.epochs():
        yield epoch
        if time.monotonic() - written >= seconds:
            with paths.replacing(file) as temporary:
                torch.save(trainer.state_dict(), temporary)
            written = time.monotonic()


def _restore(trainer, file):
    """Continue from the file, if it is neither corrupt nor of an incompatible torch."""
    try:
        if zipfile.ZipFile(file).testzip():  # torch looks at no checksum
            raise zipfile.BadZipFile
        state = torch.load(file, trainer.device, weights_only=True)
    except Exception:  # errors of many kinds
        print(f"the checkpoint {file} cannot be read; this training starts again", flush=True)
        return
    try:
        trainer.load_state_dict(state)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"the checkpoint {file} is not of this training; remove it and start again."
        ) from None


def remove(file: Path) -> None:
    """Remove the file, and what killed processes began to write of it: the training's own result is
    written."""
    for left in file.parent.glob(f"*{file.name}"):  # of a read-only folder there is none
        left.unlink(missing_ok=True)
