"""``python -m sandbox``."""

import os
import sys

from sandbox.cli import main


def run() -> int:
    """Run the command; a reader that left early (``status | head``) is no failure worth a traceback."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(run())
