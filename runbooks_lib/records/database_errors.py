"""What a database error means to the operator, and what to do about it. Never shows a password."""

from __future__ import annotations

import errno
import re

import sqlalchemy as sa

from runbooks_lib.errors import RecordError
from runbooks_lib.records.files import what_to_look_at
from runbooks_lib.redaction import redact

#: What SQLite says → what it means, what to do. ``{where}`` is the file. The first that matches counts.
_SQLITE = (
    (
        r"unable to open database file",
        "it cannot be opened",
        "check that the folder exists and that you may write to it: ls -ld {folder}",
    ),
    (
        r"readonly database|read-only",
        "it is read-only for this user",
        "ask for write permission to the file and its folder: ls -l {folder}",
    ),
    (r"disk is full|No space left", "the disk is full", "make room: df -h {folder}"),
    (
        r"disk I/O error",
        "the disk did not take the data (full, over a limit or broken)",
        "look at df -h {folder}, ulimit -f and the kernel's log",
    ),
    (
        r"database is locked|database table is locked|database schema is locked",
        "another process has held it for too long",
        "see which one: fuser {where}",
    ),
    (
        r"not a database|file is encrypted",
        "the file is not an SQLite database",
        "move it away, or correct [ledger] url in runbooks.toml",
    ),
    (
        r"malformed",
        "the database is damaged",
        "restore it from a backup; check with: sqlite3 {where} 'PRAGMA integrity_check'",
    ),
    (
        r"only ever added",
        "the database refused to change or remove an event",
        "events are only ever added: append a new one",
    ),
)

_POSTGRESQL = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        "it refused the user name or password",
        "check the variable that [ledger] url in runbooks.toml names",
    ),
    (r"database \"[^\"]*\" does not exist", "there is no such database", "create it: createdb {database}"),
    (r"role \"[^\"]*\" does not exist", "there is no such user", "check the user name in [ledger] url"),
    (
        r"permission denied",
        "the user may not do that",
        "the owner makes the tables once, then: GRANT SELECT, INSERT ON runbook_events, runbook_leases TO <user>; "  # noqa: ISC004 - one hint
        "GRANT UPDATE ON runbook_leases TO <user>",
    ),
    (
        r"lock timeout|LockNotAvailable",
        "another process has held the ledger's lock for too long",
        "see which one: select pid, query from pg_stat_activity",
    ),
    (r"read-only transaction", "it is read-only (a replica?)", "give the URL of the primary server"),
    (r"No space left|could not extend", "the server's disk is full", "make room on the database server"),
    (
        r"too many (?:clients|connections)|connection slots",
        "it takes no more connections",
        "end some, or raise max_connections",
    ),
    (
        r"only ever added",
        "the database refused to change or remove an event",
        "events are only ever added: append a new one",
    ),
    (
        r"refused|timeout|timed out|not translate|failed to resolve|unreachable|No such file|closed the connection",
        "it cannot be reached",
        "check that the server runs and that host and port in [ledger] url are right",
    ),
)


def explain(error: Exception, url: sa.URL, doing: str) -> RecordError:
    """A RecordError that names the ledger, what it means and the next step.

    Args:
        error: what SQLAlchemy, the driver or the operating system raised.
        url: of the ledger; only its harmless parts are shown.
        doing: ``read`` or ``write``.
    """
    sqlite = url.get_backend_name() == "sqlite"
    where = (url.database or "") if sqlite else f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
    folder = where.rpartition("/")[0] or "."
    reason = _reason(error, url)
    meaning, hint = reason, "check [ledger] url in runbooks.toml"
    if isinstance(error, OSError):
        meaning, hint = _system_meaning(error, reason), what_to_look_at(error, folder)
    for pattern, found, step in _SQLITE if sqlite else _POSTGRESQL:
        if not isinstance(error, OSError) and re.search(pattern, reason, re.IGNORECASE):
            meaning, hint = f"{found} ({reason})", step
            break
    hint = hint.format(where=where, folder=folder, database=url.database or "")
    verb = "read" if doing == "read" else "written"
    if not sqlite and "permission denied" in reason:
        # To write an event, the one before it is read first: which of the two was refused, its words do not say.
        verb = "used"
    return RecordError(f"the ledger {where} could not be {verb}: {meaning}", hint=hint)


def _reason(error: Exception, url: sa.URL) -> str:
    """The driver's own words in one line, without the password."""
    original = getattr(error, "orig", None) or error
    first = next((line.strip() for line in str(original).splitlines() if line.strip()), type(original).__name__)
    return redact(first, [url.password] if url.password else [])


def _system_meaning(error: OSError, reason: str) -> str:
    known = {
        errno.EACCES: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.ENOSPC: "the disk is full",
        errno.ENOTDIR: "a part of the path is a file",
        errno.EEXIST: "a part of the path is a file",
    }
    return f"{known.get(error.errno or 0, 'the operating system refused')} ({reason})"
