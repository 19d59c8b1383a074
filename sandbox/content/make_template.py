"""Makes a database template, as a program inside the site: its folder is the working directory.

Run as ``python -m sandbox.content.make_template TEMPLATE CATALOGUE_JSON``, with ``SITE_DATABASE_URL`` naming a
temporary file.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from sandbox.files import write_json


def main(arguments: list[str]) -> int:
    """Migrate and seed the temporary database, then put it in its place in one step; return the exit code."""
    import django
    from django.core.management import call_command
    from django.db import connections

    template, sizes = Path(arguments[0]), json.loads(arguments[1])
    temporary = Path(os.environ["SITE_DATABASE_URL"].removeprefix("sqlite:///"))
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("seed_platform", **sizes)
    ids = _ids(sizes["users"])
    connections.close_all()
    _one_file(temporary)
    write_json(template.with_suffix(".json"), ids)
    temporary.replace(template)
    return 0


def _ids(users: int) -> dict[str, Any]:
    """Return the ids of everything: courses as the site ranks them, what is in them course by course."""
    from django.apps import apps

    def ids(model: str, *order: str) -> list[int]:
        return list(apps.get_model("learning", model).objects.order_by(*order).values_list("id", flat=True))

    return {
        "courses": ids("Course", "-enrolled_count", "id"),
        "chapters": ids("Chapter", "-course__enrolled_count", "course_id", "position"),
        "problems": ids(
            *("Problem", "-chapter__course__enrolled_count", "chapter__course_id", "chapter__position", "position")
        ),
        "users": list(range(1, users + 1)),
    }


def _one_file(database: Path) -> None:
    """Fold the write-ahead log back, so that one file can be copied."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
