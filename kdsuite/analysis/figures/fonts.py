"""Names in any script: a font that has their signs, or a number where none has."""

import re
from functools import cache

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

USUAL = "DejaVu Sans"  # matplotlib's own
NUMBERS: dict[str, int] = {}  # of words that no font can show


@cache
def _signs(path):
    return FT2Font(path).get_charmap().keys()


@cache
def font_of(sign: str) -> str:
    """Return the family of an installed font that has a sign, the usual one before others, "" where
    none has it."""
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name != USUAL, font.name)):
        if ord(sign) in _signs(font.fname) and "Last" not in font.name:
            return font.name
    return "" if sign.isprintable() else USUAL


def _word(match):
    """Return a word, or a number for one that no font can show."""
    word = match[0]
    return word if all(map(font_of, word)) else f"#{NUMBERS.setdefault(word, len(NUMBERS) + 1)}"


def make_readable(figure: Figure) -> None:
    """Give the texts of a figure fonts that have their signs; print which numbers stand for words
    that none has."""
    known = len(NUMBERS)
    for axis in figure.findobj(Axis):  # whose labels are made again for each drawing
        names = [label.get_text() for label in axis.get_ticklabels()]
        if (shown := [re.sub(r"\S+", _word, name) for name in names]) != names:
            axis.set_ticks(axis.get_ticklocs(), shown)
    texts = figure.findobj(Text)
    for text in texts:
        text.set_text(re.sub(r"\S+", _word, text.get_text()))
    if further := {font_of(sign) for text in texts for sign in text.get_text()} - {USUAL}:
        for text in texts:
            text.set_fontfamily([USUAL, *sorted(further)])
    if new := [f"#{number} is {word}" for word, number in NUMBERS.items() if number > known]:
        print(
            f"No installed font shows these names, so pictures number them: {', '.join(new)}; "
            "install a font of their script, such as Noto Sans CJK."
        )
