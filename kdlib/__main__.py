"""``python -m kdlib`` is the command line of the suite."""

import sys

from kdsuite.app.command_line import main

if __name__ == "__main__":
    sys.exit(main())
