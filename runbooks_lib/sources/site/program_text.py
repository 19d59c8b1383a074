"""The text of a program that runs inside the site: what both share, and then its own."""

from __future__ import annotations

from importlib import resources

#: The site has no ``runbooks_lib``; ``__future__`` may only stand at the beginning, where the shared text has it.
_NOT_SENT = ("from __future__", "from runbooks_lib")


def program_text(package: str, name: str) -> str:
    """The text of one program, a constant of this library, with ``on_site_shared`` in front.

    Args:
        package: in which it lies.
        name: of its file.
    """
    shared = resources.files("runbooks_lib.sources.site").joinpath("on_site_shared.py").read_text(encoding="utf-8")
    own = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return "\n".join([shared, *(line for line in own.splitlines() if not line.startswith(_NOT_SENT)), ""])
