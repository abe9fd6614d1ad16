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


class Checkpoint:
    """Saves a training's epochs in ``file``, at most once in so many ``seconds``."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds = file, seconds

    def epochs(self, trainer: Trainer) -> Iterator[dict[str, float]]:
        """Yield a training's epochs, those of the file first; a training that continues ends as it
        would have.

        Raises UserError where the file is of another training.
        """
        self._restore(trainer)
        yield from list(trainer.history)
        written = time.monotonic()
        for epoch in trainer.epochs():
            yield epoch
            if time.monotonic() - written >= self.seconds:
                with paths.replacing(self.file) as temporary:
                    torch.save(trainer.state_dict(), temporary)
                written = time.monotonic()

    def _restore(self, trainer):
        """Continue from the file, if there is one that is neither corrupt nor of an incompatible
        torch."""
        if not self.file.exists():
            return
        try:
            # torch looks at no checksum
            intact = zipfile.ZipFile(self.file).testzip() is None
            state = intact and torch.load(self.file, trainer.device, weights_only=True)
        except Exception:  # errors of many kinds
            state = None
        if not state:
            print(
                f"the checkpoint {self.file} cannot be read; this training starts again", flush=True
            )
            return
        try:
            trainer.load_state_dict(state)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            raise UserError(
                f"the checkpoint {self.file} is not of this training; remove it and start again."
            ) from None

    def remove(self) -> None:
        """Remove the file, and what killed processes began to write of it: the training's own
        result is written."""
        for name in (self.file.name, f".*-{self.file.name}"):
            for file in self.file.parent.glob(name):  # of a read-only folder there is none
                file.unlink(missing_ok=True)
