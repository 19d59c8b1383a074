"""Is a backup what it should be? Its files are checked, loaded into a scratch server, and compared with the source.

What the source held is taken from the manifest, which has it from both sides of the fork: a value or a count that was
the same on both sides must be in the file, and one that was not must be one of the two, or was written in between.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from runbooks_lib import units
from runbooks_lib.actions.backup.manifest import BackupFile, Moment
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.sample import Value, values_of
from runbooks_lib.sources.rdb.file import RdbCheck, check_rdb, require_rdb, sha256_of, shown_path
from runbooks_lib.sources.rdb.persistence import SaveState, node_of_database, save_state
from runbooks_lib.sources.rdb.scratch import ScratchRedis, scratch_redis
from runbooks_lib.sources.redis.nodes import ReadNode

#: PTTL and TIME are not read in the same instant.
_TTL_SLACK_MS = 2_000
#: The clock of the server is read in whole seconds.
_CLOCK_SLACK_SECONDS = 1
#: A sample of which less than this much can be compared proves too little.
_ENOUGH_RATIO = 0.5


@dataclass(slots=True)
class Sampled:
    """How the sampled keys compare, each counted once.

    ``equal`` in the file as at the source · ``changed`` written at the source within the moment itself, so that neither
    reading binds · ``expired`` their TTL has run out since, so a primary drops them while it loads · ``skipped`` too
    large to read, or not allowed · ``wrong`` not as they must be.
    """

    equal: int = 0
    changed: int = 0
    expired: int = 0
    skipped: int = 0
    wrong: list[bytes] = field(default_factory=list)

    @property
    def comparable(self) -> int:
        """Those that should have been equal, and those that the moment itself took away."""
        return self.equal + self.changed + len(self.wrong)


@dataclass(frozen=True, slots=True)
class FileProof:
    """What was found out about one file.

    Attributes:
        entry: of the manifest.
        problems: everything that is not as it should be, one sentence each; empty for a proved file.
        check: what redis-check-rdb read; None when it could not.
        loaded_count: keys that the scratch server loaded.
        sampled: how the values compare.
        took_seconds: all of it.
    """

    entry: BackupFile
    problems: tuple[str, ...]
    check: RdbCheck | None = None
    loaded_count: int = 0
    sampled: Sampled = field(default_factory=Sampled)
    took_seconds: float = 0.0

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What was read, for the account."""
        entry, s = self.entry, self.sampled
        if self.check is None:
            return (Evidence(entry.file, "not proved: " + "; ".join(self.problems), entry.node),)
        low, high = entry.moment.total_bounds
        source = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        dropped = self.check.keys_count - self.loaded_count
        compared = f"{s.equal:,} equal, {len(s.wrong):,} wrong, {s.changed:,} written during the fork"
        return (
            Evidence(entry.file, f"{units.size(entry.size_bytes)}, sha256 {entry.sha256[:16]}…", entry.node),
            Evidence("keys in the file", f"{self.check.keys_count:,} (the source held {source})", "redis-check-rdb"),
            Evidence(
                "keys loaded", f"{self.loaded_count:,}, {dropped:,} expired since they were saved", "scratch server"
            ),
            Evidence("sampled values", f"{compared}, {s.expired:,} expired, {s.skipped:,} not read", "scratch server"),
            Evidence("proof took", units.seconds(self.took_seconds)),
        )


def prove_file(folder: Path, entry: BackupFile) -> FileProof:
    """Is this file of a backup whole, loadable, and equal to what its source held? Nothing but the disk is read.

    A program that is missing counts as a problem: look for it first.
    """
    started = time.monotonic()
    path = folder / entry.file
    try:
        if path.is_symlink():
            return FileProof(entry, (f"{shown_path(path)} is a link and not the file that was made",))
        require_rdb(path)
        with ThreadPoolExecutor(2) as side, contextlib.ExitStack() as stack:
            digest, checked = side.submit(sha256_of, path), side.submit(check_rdb, path)
            # Loading is what takes long; whatever is wrong with the file is told best by the other two.
            server = _loaded(stack, path)
            check = checked.result()
            problems = [] if digest.result() == entry.sha256 else ["its sha256 is not the one in the manifest"]
            if isinstance(server, SourceError):
                raise server
            return _compared(entry, check, server, problems, started)
    except (SourceError, OSError) as error:
        reason = error.message if isinstance(error, SourceError) else f"{shown_path(path)}: {error.strerror}"
        return FileProof(entry, (reason,), took_seconds=time.monotonic() - started)


def _loaded(stack: contextlib.ExitStack, path: Path) -> ScratchRedis | SourceError:
    try:
        return stack.enter_context(scratch_redis(path))
    except SourceError as error:
        return error


def _compared(
    entry: BackupFile, check: RdbCheck, server: ScratchRedis, problems: list[str], started: float
) -> FileProof:
    node = ReadNode(server.address())
    with contextlib.closing(node):
        state = save_state(node)
        sampled = compare_sample(node, entry.moment)
    problems += count_problems(entry.moment, check, state)
    problems += _time_problems(entry, check)
    problems += sample_problems(sampled, len(entry.moment.sample))
    loaded = state.keys_count + state.removed_count
    return FileProof(entry, tuple(problems), check, loaded, sampled, time.monotonic() - started)


def count_problems(moment: Moment, check: RdbCheck, loaded: SaveState) -> list[str]:
    """Which counts are not possible?

    The file as a whole, expired keys included, against the source; and each database as loaded, where expired keys are
    missing, of which it is not told to which database they belonged.

    Args:
        moment: what the source held.
        check: the file.
        loaded: of the scratch server.
    """
    problems = []
    low, high = moment.total_bounds
    if not low <= check.keys_count <= high:
        problems.append(f"the file holds {check.keys_count:,} keys, and the source held {low:,} to {high:,}")
    missing = check.keys_count - loaded.keys_count
    # A key may expire between the check and the load; none can appear.
    if missing < 0 or missing > check.expiring_count:
        problems.append(f"of {check.keys_count:,} keys in the file {loaded.keys_count:,} were loaded")
    for database in sorted({*moment.before, *moment.after, *loaded.databases}):
        low, high = moment.bounds(database)
        count = loaded.databases.get(database, 0)
        if not low - missing <= count <= high:
            problems.append(f"database {database} loaded {count:,} keys, and the source held {low:,} to {high:,}")
    return problems


def compare_sample(node: ReadNode, moment: Moment) -> Sampled:
    """Compare the sampled keys with what the loaded server holds.

    Raises:
        SourceError: the scratch server went away.
    """
    counts = Sampled()
    for database, group in groupby(moment.sample, key=lambda sampled: sampled.database):
        keys = list(group)
        with contextlib.closing(node_of_database(node, database)) as there:
            found = values_of(there, [sampled.name for sampled in keys])
        now_ms = int(time.time() * 1000)
        for sampled, in_file in zip(keys, found, strict=True):
            _count(counts, sampled.name, (sampled.before, sampled.after), in_file, now_ms)
    return counts


def _count(counts: Sampled, key: bytes, source: tuple[Value, Value], in_file: Value, now_ms: int) -> None:
    before, after = source
    expiries = [value.expires_at_ms for value in source if value.expires_at_ms is not None]
    if "skipped" in (before.state, after.state, in_file.state):
        counts.skipped += 1
    elif any(_same(in_file, value) for value in source):
        counts.equal += 1
    elif in_file.state == "absent" and expiries and min(expiries) <= now_ms + _TTL_SLACK_MS:
        counts.expired += 1
    elif _same(before, after):
        counts.wrong.append(key)
    else:
        counts.changed += 1


def _same(one: Value, other: Value) -> bool:
    if (one.state, one.digest) != (other.state, other.digest):
        return False
    if one.expires_at_ms is None or other.expires_at_ms is None:
        return one.expires_at_ms is other.expires_at_ms
    return abs(one.expires_at_ms - other.expires_at_ms) <= _TTL_SLACK_MS


def sample_problems(sampled: Sampled, wanted: int) -> list[str]:
    """Do the sampled values speak against the file, or for too little of it?"""
    if sampled.wrong:
        names = ", ".join(one_line(key.decode("utf-8", "backslashreplace"), longest=60) for key in sampled.wrong[:3])
        return [f"{len(sampled.wrong):,} of {wanted:,} sampled values are not in the file as at the source: {names}"]
    if wanted and sampled.skipped > wanted * (1 - _ENOUGH_RATIO):
        return [
            f"{sampled.skipped:,} of {wanted:,} sampled values could not be read (larger than 1 MiB, or not allowed)"
        ]
    if sampled.changed > sampled.comparable * (1 - _ENOUGH_RATIO):
        return [f"{sampled.changed:,} of {wanted:,} sampled values were written during the fork: too few are left"]
    return []


def _time_problems(entry: BackupFile, check: RdbCheck) -> Sequence[str]:
    """The file itself says when it was written: an older one with the same name must not pass for this one."""
    written, slack = check.written_at_seconds, _CLOCK_SLACK_SECONDS
    if written is None or entry.started_at_seconds - slack <= written <= entry.ended_at_seconds + slack:
        return ()
    return (f"the file was written {entry.started_at_seconds - written:+,} s before this backup began",)
