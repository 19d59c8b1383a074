"""The program that changes something inside the site, as it is sent by flags and warming."""

from __future__ import annotations

from runbooks_lib.sources.site.program_text import program_text


def program() -> str:
    """The text of ``on_site_writes.py``: a constant of this library."""
    return program_text("runbooks_lib.actions", "on_site_writes.py")
