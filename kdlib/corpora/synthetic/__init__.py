"""The small corpora that the suite makes itself: drawn faces and synthesised voices, in the files of the real ones.

:mod:`.face` draws, :mod:`.voice` speaks, :mod:`.ravdess` puts both into the tree of RAVDESS.
"""

from kdlib.corpora.synthetic.ravdess import write_ravdess

__all__ = ["write_ravdess"]
