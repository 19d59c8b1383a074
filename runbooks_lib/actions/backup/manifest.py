"""What a backup says of itself: ``manifest.json`` beside its files.

It holds everything that the proof needs, so that it can be repeated from the disk alone, years later: what the source
held just before and just after the moment of the copy, and a sample of its values at both times.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.keyspace.sample import Value
from runbooks_lib.sources.rdb.file import shown_path

FILE_NAME = "manifest.json"
FORMAT = "runbooks-backup-1"
_LARGEST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class SampledKey:
    """One key of the source, as it was on both sides of the moment of the copy.

    Attributes:
        database: its number.
        key: base64, since a name may hold any bytes.
        before: just before.
        after: just after.
    """

    database: int
    key: str
    before: Value
    after: Value

    @property
    def name(self) -> bytes:
        """The key itself."""
        return base64.b64decode(self.key)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the source held around the moment of the copy (the fork, of which an RDB file is the image).

    Attributes:
        before: database → keys, just before.
        after: the same, just after.
        changes_count: changes, expired and evicted keys in between; a count within this of the others is right.
        sample: some of its values.
    """

    before: Mapping[int, int]
    after: Mapping[int, int]
    changes_count: int
    sample: tuple[SampledKey, ...] = ()

    def bounds(self, database: int) -> tuple[int, int]:
        """The fewest and the most keys that the database may have held at that moment."""
        counts = (self.before.get(database, 0), self.after.get(database, 0))
        return max(0, min(counts) - self.changes_count), max(counts) + self.changes_count

    @property
    def total_bounds(self) -> tuple[int, int]:
        """The same for all databases together."""
        counts = (sum(self.before.values()), sum(self.after.values()))
        return max(0, min(counts) - self.changes_count), max(counts) + self.changes_count


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One RDB file: the data of one primary.

    Attributes:
        file: its name beside the manifest.
        node: host and port of the primary.
        method: ``bgsave`` or ``replication``.
        redis_version: of the primary.
        started_at_seconds: unix time by the primary's clock, before the copy was asked for.
        ended_at_seconds: the same, after it was there.
    """

    file: str
    node: str
    method: str
    sha256: str
    size_bytes: int
    redis_version: str
    started_at_seconds: int
    ended_at_seconds: int
    moment: Moment


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. ``made_at`` is ISO 8601, UTC; ``plan_digest`` that of the plan that made it."""

    environment: str
    redis: str
    made_at: str
    plan_digest: str
    made_by: str
    files: tuple[BackupFile, ...]
    format: str = FORMAT


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write it beside its files, readable by its owner only.

    Raises:
        OSError: it could not be written.
    """
    own = os.open(folder / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(own, "wb") as writing:
        writing.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        writing.flush()
        os.fsync(writing.fileno())


def read_manifest(path: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        SourceError: there is none, it cannot be read, is none of ours, or names files outside its own folder.
    """
    shown = shown_path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _bad(f"{shown} is too large to be a manifest")
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors, as is a NUL in a name
        raise _bad(f"{shown} cannot be read as the manifest of a backup: {str(error)[:160]}") from error
    if manifest.format != FORMAT:
        raise _bad(f"{shown} has the format {manifest.format[:40]!r}, and this release reads {FORMAT}")
    for entry in manifest.files:
        if "/" in entry.file or "\0" in entry.file or entry.file in ("", ".", ".."):
            raise _bad(f"{shown} names a file outside its folder: {entry.file[:80]!r}")
    if not manifest.files:
        raise _bad(f"{shown} names no file")
    return manifest


def _bad(message: str) -> SourceError:
    return SourceError(message, source="redis", hint="use the backup's folder as it was made, or its .rdb file")
