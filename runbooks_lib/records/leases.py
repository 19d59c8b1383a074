"""Locks: leases by environment and resource, in the ledger's database.

A lease is free when it was released, when it ran out, or when its process is known to be dead (``origin.is_alive``),
unless it was taken to outlive its process. Two environments that lead to one site share their locks. Time is told by
one clock, the database server's where there is one. Its fencing number is the number of the event that took it, so it
only ever grows: whoever lost a lease is told so by his number, however late he wakes up.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runbooks_lib.errors import RefusedError
from runbooks_lib.records import origin
from runbooks_lib.records.campaign import is_campaign_id
from runbooks_lib.records.event import storable
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.redaction import one_line

_COLUMNS = (
    "environment, resource, holder, operator, host, pid, started, fencing_number, acquired_at, expires_at, "
    "outlives_process, purpose"
)
_FLAG = "flag:"
# ruff: noqa: S608 - every query is made of constants; values are bound
_FIND = f"SELECT {_COLUMNS} FROM runbook_leases WHERE released = 0"
_SET = ", ".join(f"{name} = excluded.{name}" for name in f"{_COLUMNS}, released".split(", ")[2:])
_TAKE = (
    f"INSERT INTO runbook_leases ({_COLUMNS}, released) VALUES ({', '.join('?' * 12)}, 0) "
    f"ON CONFLICT (environment, resource) DO UPDATE SET {_SET}"
)
_OURS = "environment = ? AND resource = ? AND fencing_number = ? AND released = 0"
_RENEW = f"UPDATE runbook_leases SET expires_at = CASE WHEN expires_at > ? THEN expires_at ELSE ? END WHERE {_OURS}"
_RELEASE = f"UPDATE runbook_leases SET released = 1 WHERE {_OURS}"


@dataclass(frozen=True, slots=True)
class Lease:
    """One lock.

    Attributes:
        environment: its name.
        resource: what is locked, ``flag:ENHANCED_CACHE``.
        holder: the run, or the campaign, that holds it.
        operator: who is responsible.
        process: that took it.
        fencing_number: grows with every taking.
        acquired_at: aware UTC.
        expires_at: aware UTC; it is free from then on.
        outlives_process: it stays when the process that took it has ended.
        purpose: what it was taken for, ``set_percentage``.
    """

    environment: str
    resource: str
    holder: str
    operator: str
    process: origin.Process
    fencing_number: int
    acquired_at: datetime
    expires_at: datetime
    outlives_process: bool
    purpose: str


class LeaseHeldError(RefusedError):
    """Somebody else holds a lock that is needed. Nothing changed.

    Args:
        lease: the one that is held.
        wanted_on: the environment that it was wanted on.
    """

    def __init__(self, lease: Lease, wanted_on: str = "") -> None:
        elsewhere = wanted_on not in ("", lease.environment)
        same = f"; {one_line(wanted_on, longest=80)} is the same site under another name" if elsewhere else ""
        super().__init__(
            f"{shown_lease(lease)}{same}",
            hint=_what_next(lease),
        )
        self.lease = lease


def _what_next(lease: Lease) -> str:
    """A lock of a rollout stays through its soak, for days: how anybody stops it now."""
    environment, operator = (one_line(name, longest=80) for name in (lease.environment, lease.operator))
    if is_campaign_id(lease.holder) and lease.resource.startswith(_FLAG):
        where = shlex.join([one_line(lease.resource.removeprefix(_FLAG), longest=100), "-e", environment])
        return (
            f"it is being rolled out; to take it away from everybody now: runbooks rollout abort {where} --reason …; "
            f"to change it by hand meanwhile: runbooks rollout pause {where} --reason …"
        )
    return f"wait until it is released, or ask {operator}; all locks: runbooks locks --environment {environment}"


class Leases:
    """The locks that are kept in a ledger's database.

    Args:
        ledger: of events.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def acquire(  # noqa: PLR0913 - the fields of a lease
        self,
        *,
        environment: str,
        resources: Sequence[str],
        holder: str,
        operator: str,
        seconds: float,
        purpose: str,
        outlives_process: bool = False,
        places: Collection[str] = (),
    ) -> tuple[Lease, ...]:
        """All of the locks, or none.

        Args:
            environment: the configured environment.
            resources: what to lock.
            holder: run or campaign; it may take its own locks again, and gets a new fencing number for them.
            operator: who is responsible.
            seconds: they are free again after so long, unless they are renewed.
            purpose: what for.
            outlives_process: they stay when this process has ended.
            places: what the environment leads to (``target.places_of``): a lock of the same resource that is held
                under another environment's name and shares a place keeps this one out as well.

        Raises:
            LeaseHeldError: somebody else holds one of them.
            RecordError: the ledger could not be written.
        """
        if not resources:
            return ()
        wanted = sorted({storable(resource) for resource in resources})
        with self._ledger.with_leases().writing() as writing:
            common = {"environment": environment, "run_id": holder, "operator": operator}
            _require_free_elsewhere(writing, wanted, common, places)
            _take_over(writing, wanted, common)
            first = Lease(
                environment=storable(environment),
                resource=wanted[0],
                holder=storable(holder),
                operator=storable(operator),
                process=origin.this_process(),
                fencing_number=writing.next_seq,
                acquired_at=_moment(writing.now),
                expires_at=_moment(writing.now + seconds),
                outlives_process=outlives_process,
                purpose=storable(purpose),
            )
            payload = {"resources": wanted, "lease": first, "places": sorted(places)}
            writing.append(kind="lock.acquired", payload=payload, **common)
            taken = tuple(replace(first, resource=resource) for resource in wanted)
            for lease in taken:
                _take(writing, lease)
        return taken

    def renew(self, leases: Sequence[Lease], *, seconds: float) -> tuple[Lease, ...]:
        """The same locks, held for at least so long from now. A lease is never made shorter.

        Raises:
            RefusedError: one of them was lost; those that are left stay as they were.
            RecordError: the ledger could not be written.
        """
        if not leases:
            return ()
        with self._ledger.writing() as writing:
            until = writing.now + seconds
            for lease in leases:
                if not writing.change(_RENEW, until, until, *_key(lease)):
                    raise _lost(lease, _read(writing, lease.environment))
            found = {lease.resource: lease for lease in _read(writing, leases[0].environment)}
        return tuple(found[lease.resource] for lease in leases)

    def release(self, leases: Sequence[Lease]) -> None:
        """Give locks back. Those that were lost meanwhile stay with whoever holds them now.

        Raises:
            RecordError: the ledger could not be written; they run out by themselves.
        """
        if not leases:
            return
        with self._ledger.writing() as writing:
            released = [lease for lease in leases if writing.change(_RELEASE, *_key(lease))]
            if released:
                first = released[0]
                writing.append(
                    kind="lock.released",
                    run_id=first.holder,
                    environment=first.environment,
                    operator=first.operator,
                    payload={"resources": [lease.resource for lease in released], "purpose": first.purpose},
                )

    def held(self, environment: str | None = None, places: Collection[str] = ()) -> tuple[Lease, ...]:
        """Which locks keep others out now? By environment and resource.

        Args:
            environment: only of this one; None for all.
            places: with ``environment``: those under another name that share a place with it, too.

        Raises:
            RecordError: the ledger could not be read.
        """
        if not self._ledger.has_leases:
            return ()
        now = self._ledger.now()
        own = [lease for lease in _read(self._ledger, environment) if _hinders(lease, now)]
        others = _elsewhere(self._ledger, environment, places, now) if environment is not None else []
        return (*own, *others)

    def break_lease(self, environment: str, resource: str, *, operator: str, reason: str, run_id: str) -> Lease:
        """Take a lock away from its holder, who is told at his next step. Returns the lock that was broken.

        Raises:
            RefusedError: nobody holds it, or no reason is given.
            RecordError: the ledger could not be written.
        """
        if not reason.strip():
            raise RefusedError(f"breaking the lock {resource} needs a reason", hint='add --reason "…"')
        with self._ledger.with_leases().writing() as writing:
            found = [lease for lease in _read(writing, environment) if lease.resource == storable(resource)]
            if not found:
                raise RefusedError(
                    f"nobody holds {one_line(resource)} on {one_line(environment)}",
                    hint="the locks that are held: runbooks locks",
                )
            writing.change(_RELEASE, *_key(found[0]))
            writing.append(
                kind="lock.broken",
                run_id=run_id,
                environment=environment,
                operator=operator,
                payload={**_recorded(found[0]), "reason": reason},
            )
        return found[0]


def is_held(lease_rows: Sequence[Lease], resource: str, fencing_number: int, now: float) -> bool:
    """Does whoever took the lock with this number still hold it? ``lease_rows`` as ``all_leases`` gives them."""
    return any(
        lease.resource == resource and lease.fencing_number == fencing_number and lease.expires_at > _moment(now)
        for lease in lease_rows
    )


def all_leases(reader: Ledger | Writing, environment: str | None = None) -> tuple[Lease, ...]:
    """Every lock that was not released, those that ran out included."""
    return _read(reader, environment)


def latest_leases(ledger: Ledger) -> tuple[Lease, ...]:
    """The newest lease of every resource, released or not.

    Raises:
        RecordError: the ledger could not be read.
    """
    if not ledger.has_leases:
        return ()
    return tuple(_lease(row) for row in ledger.rows(f"SELECT {_COLUMNS} FROM runbook_leases"))


def shown_lease(lease: Lease) -> str:
    """``flag:X on production is locked by ben since 2026-11-22 02:14:07Z until … (set_percentage; run, process)``."""
    since, until = (f"{moment:%Y-%m-%d %H:%M:%S}Z" for moment in (lease.acquired_at, lease.expires_at))
    purpose = one_line(lease.purpose or "no purpose given", longest=120)
    return (
        f"{one_line(lease.resource, longest=120)} on {one_line(lease.environment, longest=80)} is locked by "
        f"{one_line(lease.operator, longest=80)} since {since} until {until} "
        f"({purpose}; {one_line(lease.holder, longest=80)}, process {lease.process.pid} on "
        f"{one_line(lease.process.host, longest=80)})"
    )


def _read(reader: Ledger | Writing, environment: str | None) -> tuple[Lease, ...]:
    chosen = " AND environment = ?" if environment is not None else ""
    values = () if environment is None else (storable(environment),)
    rows = reader.rows(f"{_FIND}{chosen} ORDER BY environment, resource", *values)
    return tuple(_lease(row) for row in rows)


def _lease(row: Sequence[Any]) -> Lease:
    environment, resource, holder, operator, host, pid, started, number, acquired, expires, outlives, purpose = row
    process = origin.Process(host, pid, started)
    times = (_moment(acquired), _moment(expires))
    return Lease(environment, resource, holder, operator, process, number, *times, bool(outlives), purpose)


def _take_over(writing: Writing, resources: Sequence[str], common: Mapping[str, str]) -> None:
    """Note from whom free locks are taken that were never released.

    Raises:
        LeaseHeldError: one of them is not free.
    """
    taken = [lease for lease in _read(writing, common["environment"]) if lease.resource in resources]
    others = [lease for lease in taken if lease.holder != storable(common["run_id"])]
    for lease in others:
        if _hinders(lease, writing.now):
            raise LeaseHeldError(lease)
    for lease in others:
        writing.append(kind="lock.taken_over", payload=_recorded(lease), **common)


def _require_free_elsewhere(
    writing: Writing, resources: Sequence[str], common: Mapping[str, str], places: Collection[str]
) -> None:
    """Two names of one site share their locks.

    Raises:
        LeaseHeldError: one of them is held under another name of the same site.
    """
    for lease in _elsewhere(writing, common["environment"], places, writing.now):
        if lease.resource in resources and lease.holder != storable(common["run_id"]):
            raise LeaseHeldError(lease, common["environment"])


def _elsewhere(reader: Ledger | Writing, environment: str, places: Collection[str], now: float) -> list[Lease]:
    """Locks that are held under other names and share a place; the event that took a lock says where that one leads."""
    if not places:
        return []
    others = [
        lease for lease in _read(reader, None) if lease.environment != storable(environment) and _hinders(lease, now)
    ]
    return [lease for lease in others if set(places) & _places(reader, lease)]


def _places(reader: Ledger | Writing, lease: Lease) -> set[str]:
    rows = reader.rows("SELECT payload FROM runbook_events WHERE seq = ?", lease.fencing_number)
    try:
        return {str(place) for place in json.loads(rows[0][0]).get("places", ())} if rows else set()
    except (ValueError, AttributeError, TypeError):
        return set()


def _take(writing: Writing, lease: Lease) -> None:
    process = lease.process
    writing.change(
        _TAKE,
        *(lease.environment, lease.resource, lease.holder, lease.operator),
        *(process.host, process.pid, process.started, lease.fencing_number),
        *(lease.acquired_at.timestamp(), lease.expires_at.timestamp()),
        *(int(lease.outlives_process), lease.purpose),
    )


def _key(lease: Lease) -> tuple[str, str, int]:
    return lease.environment, lease.resource, lease.fencing_number


def _hinders(lease: Lease, now: float) -> bool:
    """Does it keep others out?"""
    if lease.expires_at.timestamp() <= now:
        return False
    return lease.outlives_process or origin.is_alive(lease.process) is not False


def _lost(lease: Lease, now_held: Sequence[Lease]) -> RefusedError:
    other = next((found for found in now_held if found.resource == lease.resource), None)
    by = shown_lease(other) if other else f"the lock {lease.resource} on {lease.environment} was taken away"
    return RefusedError(f"the lock was lost: {by}", hint="see runbooks locks and runbooks log, then plan again")


def _recorded(lease: Lease) -> dict[str, Any]:
    return {"resource": lease.resource, "previous": lease}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
