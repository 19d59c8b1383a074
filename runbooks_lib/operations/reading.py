"""Reads that may fail: a fact, or ``Unreadable`` in its place; never an exception for what a site does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from runbooks_lib.errors import RunbookError, SourceError
from runbooks_lib.model import Kind, Unreadable
from runbooks_lib.redaction import one_line, redact
from runbooks_lib.sources.together import Read, read_together
from runbooks_lib.view import View

T = TypeVar("T")


def attempt(view: View, what: str, source: str, call: Callable[[], T]) -> T | Unreadable:
    """One read, in this thread and with its own time limit.

    Args:
        view: of the environment; its secrets are removed from the reason.
        what: as people say it.
        source: the system that is read.
        call: carries the read out.
    """
    secrets = view.environment.secrets
    try:
        return call()
    except RunbookError as error:
        kind = error.kind if isinstance(error, SourceError) else Kind.WRONG
        return Unreadable(source, what, one_line(error.message, secrets), redact(error.hint, secrets), kind)


def side_by_side(
    view: View, reads: Mapping[str, Read[Any]], *, deadline_seconds: float | None = None
) -> dict[str, Any]:
    """Several reads at once, under the policy's deadline unless another one is given; name → fact or ``Unreadable``."""
    seconds = view.policy.deadline_seconds if deadline_seconds is None else deadline_seconds
    return read_together(reads, deadline_seconds=seconds, secrets=view.environment.secrets)
