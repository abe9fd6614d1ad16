"""Names in any script: a font that has their signs, or a number where none has."""

import re
from functools import cache, partial

from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

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


def _shown(text):
    """Return text with a number for each word that no font can show."""

    def word(match):
        if all(map(font_of, match[0])):
            return match[0]
        return f"#{NUMBERS.setdefault(match[0], len(NUMBERS) + 1)}"

    return re.sub(r"\S+", word, text)


def _label(function, value, position=None):
    return _shown(function(value, position))


def make_readable(figure: Figure) -> None:
    """Give the texts of a figure fonts that have their signs; print which numbers stand for words
    that none has."""
    known = len(NUMBERS)
    texts = figure.findobj(Text)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(formatter := axis.get_major_formatter(), FuncFormatter):  # names at the ticks
            label = partial(_label, formatter.func)
            axis.set_major_formatter(FuncFormatter(label))
            texts += axis.get_ticklabels()
    for text in texts:
        text.set_text(_shown(text.get_text()))
    signs = {*"".join(text.get_text() for text in texts)}
    if further := {*map(font_of, signs)} - {"", USUAL}:
        for text in texts:
            text.set_fontfamily([USUAL, *sorted(further)])
    if new := [f"#{number} is {word}" for word, number in NUMBERS.items() if number > known]:
        print(
            f"No installed font shows these names, so pictures number them: {', '.join(new)}; "
            "install a font of their script, such as Noto Sans CJK."
        )
