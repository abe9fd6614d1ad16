"""Into which pieces long sound is cut: the same for runs, students in use and statistics."""

import math

import numpy as np

# seconds: longer sound is processed in equal pieces, whose outputs are averaged, because a network
# of full width takes up to 1.2 GB a minute (VGG) beside the gigabyte that all else takes
LONGEST = 30.0


def pieces(samples: int, rate: int) -> np.ndarray:
    """Return the edges of the fewest equal pieces of sound that are none longer than
    :data:`LONGEST`, ``(pieces + 1,)``."""
    return np.linspace(0, samples, max(1, math.ceil(samples / (LONGEST * rate))) + 1).astype(int)
