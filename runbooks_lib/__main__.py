"""``python -m runbooks_lib`` and the console script ``runbooks``."""

from runbooks_lib.startup import skip_slow_imports


def main() -> None:
    """Run the command line; ends the process with an exit code that cron, CI and people rely on."""
    skip_slow_imports()
    from runbooks_lib.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
