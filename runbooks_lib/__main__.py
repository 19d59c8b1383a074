"""``python -m runbooks_lib`` and the console script ``runbooks``."""

import gc
import sys

from runbooks_lib.startup import skip_slow_imports


def main() -> None:
    """Run the command line; ends the process with an exit code that cron, CI and people rely on."""
    # A command lives for a second or two and keeps nearly all it makes: collecting cycles only delays the answer.
    gc.disable()
    skip_slow_imports()
    from runbooks_lib.cli import main as command_line

    sys.exit(command_line())


if __name__ == "__main__":
    main()
