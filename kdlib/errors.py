"""The errors a user can mend: each message is one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations


class UserError(ValueError):
    """Shown in notebooks as its sentence alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # the hook by which IPython lets an exception show itself
        return [f"{type(self).__name__}: {self}"]


class InvalidParameter(UserError):
    """A parameter that cannot be used."""


class InvalidCorpus(UserError):
    """A corpus that cannot be used as it lies on disk."""


class InvalidStudent(UserError):
    """A file that holds no student, or none that can be used."""


class UnreadableRecording(UserError):
    """A recording that cannot be decoded, or that holds too little."""


class NotFinite(UserError):
    """A training whose loss is no longer a number."""


class FullDisk(UserError):
    """A file that could not be written for lack of room."""
