"""Facts about a deployment: the newest backup, a run of the site's tests, the headers of some of its routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.facts.site import Probe
from runbooks_lib.model import Evidence, Provenance, Unreadable


@dataclass(frozen=True, slots=True)
class BackupProof:
    """A backup that lies here, and what its proof gave.

    Attributes:
        folder: where, as it is shown.
        made_at: aware UTC.
        proved: it was checked, loaded and compared just now (or read back when it was made); None where that could not
            be done.
        detail: what the proof says, or why there is none.
        evidence: what was read.
    """

    folder: str
    made_at: datetime
    proved: bool | None
    detail: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run of ``manage.py test``.

    Attributes:
        exit_code: None where it did not end by itself.
        ran_count: tests that ran; None where its output does not say.
        failures_count: failed and erred ones together; None where its output does not say.
        skipped_count: None where its output does not say.
        took_seconds: the start of the site included.
        last_lines: of its output, without secrets; written by a stranger.
        ended: why it did not end by itself (its time, too much output); empty when it did.
        labels: that were asked for; none for all tests.
    """

    __test__ = False  # pytest would take the name for a class of tests

    exit_code: int | None
    ran_count: int | None
    failures_count: int | None
    skipped_count: int | None
    took_seconds: float
    last_lines: tuple[str, ...]
    ended: str
    labels: tuple[str, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RouteProbes:
    """The answers of some routes, each asked twice: the second time, it may come from the cache.

    Attributes:
        second: path → the second answer.
        chosen: how the routes were found, in words.
    """

    second: tuple[Probe, ...]
    unread: tuple[Unreadable, ...]
    chosen: str
