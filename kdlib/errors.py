"""The errors that a user can correct: each message is one sentence that says what is wrong, where,
and what to do."""

import re

# line breaks, the terminal's commands, halves of characters (from file names that are no UTF-8),
# and what turns the direction of text
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return text as one line that any terminal, page and file can show: what is not printable
    becomes its escape, ``\\n``."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class UserError(ValueError):
    """Shown in notebooks as its sentence alone, without a traceback; names in it may come from
    strangers."""

    def __init__(self, sentence: str):
        super().__init__(printable(sentence))

    # the hook by which IPython lets an exception show itself
    def _render_traceback_(self):
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
