"""What must hold before a server is made to save: room on the disks, memory for the fork, and nothing else going on.

A full disk is not harmless: a save that fails makes a server with save points refuse all writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from runbooks_lib import units
from runbooks_lib.actions.backup.choice import Choice
from runbooks_lib.actions.plan import Guard
from runbooks_lib.sources.rdb.persistence import Saving, may_run
from runbooks_lib.sources.rdb.save_place import available_memory_bytes, existing, fork_may_be_refused, free_bytes
from runbooks_lib.sources.redis.programs import how_to_get, is_older, missing, server_version
from runbooks_lib.sources.redis.replies import version_of

#: An RDB file was 0.8 of the memory that its data took, measured on 1.2 GB; incompressible data comes close to 1.
DISK_FACTOR = 1.3
#: Copy on write cost 12 % of the memory at 10,600 writes per second, measured; without a former save half is reserved.
_COW_KNOWN_RATIO, _COW_UNKNOWN_RATIO = 0.1, 0.5
_SCRATCH_FACTOR = 1.1
_PROOF_READS = ("SELECT", "SCAN", "RANDOMKEY")
_PROGRAMS = ("redis-server", "redis-check-rdb")


def guards_for(choices: Sequence[Choice], folder: Path) -> tuple[Guard, ...]:
    """All guards of a backup of these primaries into this folder."""
    each = (guard for choice in choices for guard in _server_guards(choice))
    return (
        *each,
        *_program_guards(choices),
        _folder_guard(folder),
        _room_guard(choices, folder),
        _memory_guard(choices),
    )


def disk_bytes(facts: Saving) -> int:
    """Room for one saved file, with a reserve.

    ``used_memory_dataset`` alone is too little right after large writes: measured 0.5 MB for 3.3 MB of data, since the
    buffers of clients are counted a moment longer than they exist. All memory in use is more than any file.
    """
    return max(int(facts.dataset_bytes * DISK_FACTOR), facts.used_memory_bytes)


def cow_bytes(facts: Saving) -> int:
    """Memory that writes during the save will cost, by the last save where there was one."""
    if facts.state.last_cow_bytes:
        return max(facts.state.last_cow_bytes, int(facts.used_memory_bytes * _COW_KNOWN_RATIO))
    return int(facts.used_memory_bytes * _COW_UNKNOWN_RATIO)


def misconf_risk(choice: Choice) -> str:
    """What a failed save would do to this server's writes; empty where it would do nothing."""
    rules = choice.facts.rules
    saves_to_disk = choice.method == "bgsave" or not rules.diskless_sync
    if not (saves_to_disk and rules.failure_stops_writes):
        return ""
    points = rules.save_points or "not readable"
    return (
        f"{choice.node.shown} has save points ({points}) and stop-writes-on-bgsave-error: if this save fails, SET, DEL "
        "and even PING fail with MISCONF until one succeeds, or until CONFIG SET stop-writes-on-bgsave-error no"
    )


def _server_guards(choice: Choice) -> list[Guard]:
    facts, shown = choice.facts, choice.node.shown
    unread = [reason for name in _PROOF_READS for allowed, reason in [may_run(choice.node, name)] if allowed is False]
    guards = [
        Guard(f"there is a way to the data of {shown}", choice.method is not None, choice.why, choice.hint),
        Guard(
            f"{shown} has loaded its data", not facts.loading, "loading:1" if facts.loading else "", "wait for its end"
        ),
        Guard(
            f"no replica of {shown} is being fed",
            facts.syncing == 0,
            f"{facts.syncing} in full resync",
            "wait for its end (INFO replication): a second fork would cost the same again",
        ),
        Guard(
            f"sampled values of {shown} may be read for the proof",
            not unread,
            "; ".join(unread),
            "ask for +select +scan +randomkey +type +pttl +memory|usage +get +hgetall +smembers +zrange +lrange",
        ),
    ]
    if choice.method == "bgsave":
        guards.append(_disk_guard(choice))
    elif choice.method == "replication" and (risk := misconf_risk(choice)):
        hint = "CONFIG SET repl-diskless-sync yes on that server feeds a replica without its disk; or see method=bgsave"
        guards.append(
            Guard(f"a failed save would not stop the writes of {shown}", None, f"{risk}; its disk is not seen", hint)
        )
    if choice.place.same_machine:
        guards += _fork_guards(choice)
    return guards


def _disk_guard(choice: Choice) -> Guard:
    needed, free = disk_bytes(choice.facts), free_bytes(Path(choice.facts.rules.folder))
    return Guard(
        f"free disk where {choice.node.shown} saves",
        None if free is None else free >= needed,
        f"{units.size(free)} free, {units.size(needed)} needed",
        "free space there first. " + misconf_risk(choice),
    )


def _fork_guards(choice: Choice) -> list[Guard]:
    facts, shown = choice.facts, choice.node.shown
    free, needed = available_memory_bytes(), cow_bytes(facts)
    refused = fork_may_be_refused(facts.rss_bytes)
    detail = f"{units.size(facts.rss_bytes)} in use with vm.overcommit_memory=0" if refused else ""
    return [
        Guard(
            f"memory for copy on write of {shown}",
            None if free is None else free >= needed,
            f"{units.size(free)} available, {units.size(needed)} reserved for writes during the save",
            "back up when it is written less, or make memory free: the kernel ends processes when it runs out",
        ),
        Guard(f"the kernel will let {shown} fork", not refused, detail, "sysctl vm.overcommit_memory=1"),
    ]


def _program_guards(choices: Sequence[Choice]) -> list[Guard]:
    lacking = missing(*_PROGRAMS)
    hint = "; ".join(how_to_get(name) for name in lacking)
    guards = [
        Guard("Redis's programs for the proof are installed here", not lacking, f"missing: {', '.join(lacking)}", hint)
    ]
    if not lacking:
        guards[0] = Guard(guards[0].name, holds=True, detail=", ".join(_PROGRAMS))
        ours = server_version()
        newest = max((choice.facts.version for choice in choices), key=version_of)
        guards.append(
            Guard(
                f"the redis-server here reads what Redis {newest} writes",
                not is_older(ours, newest),
                f"{ours or 'unknown version'} here",
                f"install Redis {newest} or newer on this machine",
            )
        )
    return guards


def _folder_guard(folder: Path) -> Guard:
    place = existing(folder)
    fits = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    hint = "choose another folder (-p folder=…), or set backups in runbooks.toml"
    return Guard("backups can be written here", fits, str(folder) if place == folder else f"{place} for {folder}", hint)


def _room_guard(choices: Sequence[Choice], folder: Path) -> Guard:
    """Where the server saves on the same disk, its own new file takes room as well."""
    needed = sum(disk_bytes(choice.facts) for choice in choices)
    device = existing(folder).stat().st_dev
    for choice in choices:
        own = Path(choice.facts.rules.folder or "/")
        if choice.method == "bgsave" and own.exists() and own.stat().st_dev == device:
            needed += disk_bytes(choice.facts)
    free = free_bytes(folder)
    return Guard(
        "free disk for the backup",
        None if free is None else free >= needed,
        f"{units.size(free)} free, {units.size(needed)} needed",
        "delete old backups or choose another folder",
    )


def _memory_guard(choices: Sequence[Choice]) -> Guard:
    """The largest part is loaded here, one after the other, while servers of this machine may still copy on write."""
    needed = max(int(choice.facts.used_memory_bytes * _SCRATCH_FACTOR) for choice in choices)
    needed += sum(cow_bytes(choice.facts) for choice in choices if choice.place.same_machine)
    free = available_memory_bytes()
    available = "not told by this system" if free is None else f"{units.size(free)} available"
    # Without /proc (macOS) nothing is told; there the load itself fails, and the backup is then not confirmed.
    return Guard(
        "memory here to load the backup for its proof",
        True if free is None else free >= needed,
        f"{available}, {units.size(needed)} needed",
        "run this on a machine with more memory; with method=replication that need not be the server's own",
    )
