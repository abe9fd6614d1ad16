"""The former name of :mod:`kdsuite.paths`, for the rooms that do not use the new one yet."""

import sys

from kdsuite import paths

sys.modules[__name__] = paths
