"""How far a long change is: one line that updates itself in a notebook, and stays with its last words."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from runbooks_lib import units
from runbooks_lib.presentation.text import plain

if TYPE_CHECKING:
    from runbooks_lib.actions.site import Progress
    from runbooks_lib.unconfirmed import Unconfirmed

_EVERY_SECONDS = 0.5


def progress_text(progress: Progress) -> str:
    """``4,096 of 41,212 keys deleted``."""
    of = "" if progress.total is None else f" of {units.count(progress.total)}"
    return plain(f"{units.count(progress.done)}{of} {progress.what}", at_most=90)


@contextlib.contextmanager
def live_line(title: str) -> Iterator[Callable[[Progress], None]]:
    """Shows progress in the notebook's cell that runs; shows nothing outside a notebook, or when nothing is told.

    Args:
        title: what is being done.
    """
    line = _Line(title)
    try:
        yield line.update if _in_notebook() else _ignore
    finally:
        line.end()


def show_first(unconfirmed: Unconfirmed) -> None:
    """In a notebook: the earlier changes that must be checked before anything else. Nothing where there are none."""
    if not unconfirmed.findings or not _in_notebook():
        return
    from IPython.display import display

    from runbooks_lib.presentation import markup

    lines = [f"CHECK FIRST  {plain(f.shown)}\n  {plain(f.hint)}" for f in unconfirmed.findings]
    data = {"text/plain": "\n".join(lines), "text/html": markup.check_first_card(unconfirmed.findings)}
    display(data, raw=True)


class _Line:
    def __init__(self, title: str) -> None:
        self._title = title
        self._handle: Any = None
        self._text = ""
        self._shown_at = 0.0

    def update(self, progress: Progress) -> None:
        self._text = f"{self._title}: {progress_text(progress)}"
        if time.monotonic() - self._shown_at >= _EVERY_SECONDS:
            self._show()

    def end(self) -> None:
        if self._text:
            self._show()

    def _show(self) -> None:
        from IPython.display import display

        self._shown_at = time.monotonic()
        data = {"text/plain": self._text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _ignore(progress: Progress) -> None:
    """Nobody watches."""


def _in_notebook() -> bool:
    """Is this a kernel? Asked without importing IPython, which takes a third of a second."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None
