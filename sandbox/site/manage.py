#!/usr/bin/env python
"""Run one of the site's commands. ``test`` uses settings of its own, so that it can never touch a live cache."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Choose the settings and hand over to Django."""
    tests_wanted = sys.argv[1:2] == ["test"]
    os.environ.setdefault(
        "DJANGO_SETTINGS_MODULE", "config.settings_test" if tests_wanted else "config.settings"
    )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
