"""Where does the data lie? A single server, the primary behind Sentinel, or the primaries of a cluster.

The hosts of ``redis_url`` are asked in turn, each with a short head start, and the first usable answer counts: a dead
Sentinel or node costs 0.2 s at most, and a healthy one is asked alone. Nothing is remembered: who asks again after a
failover gets the new primaries.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from redis import exceptions

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redis_urls import LIST_SCHEMES, SENTINEL, BadUrlError, parse_many_hosts
from runbooks_lib.sources.redis.client import Address, address_from, address_of, ask, bad_url, read
from runbooks_lib.sources.redis.replies import Info, text_of, unexpected

if TYPE_CHECKING:
    import redis

TopologyKind = Literal["standalone", "sentinel", "cluster"]
SLOTS_COUNT = 16_384
#: For Sentinel or the cluster to say where the data lies, name lookup included.
LOCATE_SECONDS = 4.0
#: How long one host of ``redis_url`` is given before the next is asked as well.
_HEAD_START_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Topology:
    """Where the data lies.

    Attributes:
        kind: ``standalone``, ``sentinel`` (one primary, found through Sentinel) or ``cluster``.
        primaries: one address for each part of the data, in a stable order.
        slots: of a cluster: (first, last, index into ``primaries``), both ends included; else empty.
        warnings: what an operator should know: slots that nobody serves.
    """

    kind: TopologyKind
    primaries: tuple[Address, ...]
    slots: tuple[tuple[int, int, int], ...] = ()
    warnings: tuple[str, ...] = ()


def locate(environment: Environment, *, seconds: float = LOCATE_SECONDS) -> Topology:
    """The primaries that ``redis_url`` leads to. A single server is not contacted for that.

    Args:
        environment: its ``redis_url`` is understood here.
        seconds: deadline of asking Sentinel or the cluster.

    Raises:
        SourceError: the URL is not understood, or nobody could say where the data lies.

    Source:
        SENTINEL GET-MASTER-ADDR-BY-NAME, then INFO replication there; CLUSTER SLOTS and CLUSTER INFO.
    """
    if environment.redis_url.partition("://")[0] not in LIST_SCHEMES:
        return Topology("standalone", (address_of(environment),))
    try:
        many = parse_many_hosts(environment.redis_url)
    except BadUrlError as error:
        raise bad_url(error.message, error.hint) from None
    seeds = [address_from(url) for url in many.seeds]
    ends = time.monotonic() + seconds

    def left() -> float:
        return max(0.001, ends - time.monotonic())

    if many.scheme == SENTINEL:
        from runbooks_lib.sources.redis.sentinel import primary_from

        template = address_from(many.primary)

        def ask_seed(seed: Address) -> Topology:
            return Topology("sentinel", (primary_from(seed, template, many.service, left()),))
    else:

        def ask_seed(seed: Address) -> Topology:
            return _cluster_from(seed, left())

    return _first_answer([partial(ask_seed, seed) for seed in seeds])


def index_for(topology: Topology, key: bytes) -> int:
    """Which of the primaries holds the key?

    Raises:
        SourceError: a cluster has no node for the key's slot.
    """
    if topology.kind != "cluster":
        return 0
    from redis.crc import key_slot

    slot = key_slot(key)
    for first, last, index in topology.slots:
        if first <= slot <= last:
            return index
    raise SourceError(
        f"no primary of the cluster serves slot {slot}",
        source="redis",
        hint="look at: redis-cli --cluster check host:port",
        kind=Kind.FAULTY,
    )


def require_whole(info: Info, address: Address) -> None:
    """What was given as a single server is one, and not a node that holds a part of a cluster's keys.

    Args:
        info: INFO cluster; where the server keeps it to itself nothing is required.
        address: who told it.

    Raises:
        SourceError: it is a node of a cluster.
    """
    if info.text("cluster_enabled") != "1":
        return
    url = f"rediscluster://{address.shown}{'?tls=true' if address.tls else ''}"
    raise SourceError(
        f"Redis at {address.shown} is one node of a cluster and holds only a part of the keys",
        source="redis",
        hint=f"give the whole cluster in redis_url: {url} (runbooks.toml)",
    )


def may_have_moved(error: SourceError) -> bool:
    """Can it help to ask again where the data lies? True when a connection broke or the server no longer serves it."""
    cause = error.__cause__
    moved = (exceptions.MovedError, exceptions.ReadOnlyError, exceptions.ClusterDownError, exceptions.MasterDownError)
    return isinstance(cause, (*moved, exceptions.ConnectionError, OSError)) and error.kind is not Kind.DENIED


def _cluster_from(seed: Address, seconds: float) -> Topology:
    """What one node knows of its cluster.

    Raises:
        SourceError: it cannot be asked, is no part of a cluster, or its cluster serves nothing.
    """

    def work(client: redis.Redis) -> tuple[object, Info]:
        return ask(client, "CLUSTER", "SLOTS"), Info(ask(client, "CLUSTER", "INFO"))

    reply, info = read(seed, work, seconds=seconds)
    topology = _parse_slots(reply, seed)
    uncovered = _uncovered(topology.slots)
    if info.text("cluster_state") != "ok" or not topology.primaries:
        failing = info.integer("cluster_slots_fail") or info.integer("cluster_slots_pfail") or 0
        reasons = [f"{failing:,} slots belong to primaries that do not answer"] if failing else []
        reasons += [uncovered] if uncovered else []
        reasons = reasons or [f"cluster_state is {info.text('cluster_state') or 'not told'}"]
        raise SourceError(
            f"the cluster serves no requests, says {seed.shown}: {'; '.join(reasons)}",
            source="redis",
            hint=f"look at: redis-cli --cluster check {seed.shown}; restart the primary that is down, or let a replica "
            "take over (CLUSTER FAILOVER FORCE)",
            kind=Kind.FAULTY,
        )
    return replace(topology, warnings=(uncovered,) if uncovered else ())


def _parse_slots(reply: object, seed: Address) -> Topology:
    """CLUSTER SLOTS: ranges, each with its primary first. Primaries come in the order of their first slot."""
    if not isinstance(reply, list):
        raise unexpected("CLUSTER SLOTS", reply)
    places: list[str] = []
    primaries: list[Address] = []
    slots = []
    for entry in sorted(reply, key=lambda one: one[0] if isinstance(one, list) and one else 0):
        match entry:
            case [int() as first, int() as last, [host, int() as port, *_], *_]:
                address = _announced(seed, host, port)
            case _:
                raise unexpected("CLUSTER SLOTS", entry)
        if address.shown not in places:
            places.append(address.shown)
            primaries.append(address)
        slots.append((first, last, places.index(address.shown)))
    return Topology("cluster", tuple(primaries), tuple(slots))


def _announced(seed: Address, host: object, port: int) -> Address:
    """The address of a primary, with login and TLS of the node that named it.

    A node that does not know its own host sends nil or nothing: it is the one that was asked.
    """
    name = text_of(host) if isinstance(host, bytes) and host not in (b"", b"?") else str(seed.options["host"])
    options = {**seed.options, "host": name, "port": port}
    return replace(seed, shown=f"{name}:{port}", options=options, announced_by=f"cluster node {seed.shown}")


def _uncovered(slots: Sequence[tuple[int, int, int]]) -> str:
    """The slots that no primary serves, in words; empty when all are served."""
    missing, expected = [], 0
    for first, last, _ in sorted(slots):
        if first > expected:
            missing.append((expected, first - 1))
        expected = max(expected, last + 1)
    if expected < SLOTS_COUNT:
        missing.append((expected, SLOTS_COUNT - 1))
    if not missing:
        return ""
    count = sum(last - first + 1 for first, last in missing)
    ranges = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in missing[:3])
    return f"no primary serves {count:,} of {SLOTS_COUNT:,} slots ({ranges}{', …' if len(missing) > 3 else ''})"


def _first_answer(calls: Sequence[Callable[[], Topology]]) -> Topology:
    """The first result; each call has a deadline of its own and begins when the one before failed or is slow.

    Raises:
        SourceError: none had a result; the most telling reason leads.
    """
    arrived: queue.SimpleQueue[Topology | BaseException] = queue.SimpleQueue()

    def work(call: Callable[[], Topology]) -> None:
        try:
            arrived.put(call())
        except BaseException as error:  # noqa: BLE001 - a thread that ends without a word would be waited for
            arrived.put(error)

    errors: list[SourceError] = []
    for begun, call in enumerate(calls, start=1):
        threading.Thread(target=work, args=(call,), name="locate-redis", daemon=True).start()
        while len(errors) < begun:
            try:
                outcome = arrived.get(timeout=_HEAD_START_SECONDS if begun < len(calls) else None)
            except queue.Empty:
                break
            if isinstance(outcome, Topology):
                return outcome
            if not isinstance(outcome, SourceError):
                raise outcome
            errors.append(outcome)
    raise _together(errors)


def _together(errors: Sequence[SourceError]) -> SourceError:
    """One error out of those of all hosts: what somebody answered tells more than that somebody did not."""
    order = (Kind.FAULTY, Kind.DENIED, Kind.WRONG, Kind.ABSENT)
    ranked = sorted(errors, key=lambda error: order.index(error.kind) if error.kind in order else len(order))
    if len(ranked) == 1:
        return ranked[0]
    first, others = ranked[0], len(ranked) - 1
    if len({error.hint for error in ranked}) == 1:
        message = f"{first.message}; the other {others} in redis_url: the same"
    else:
        message = "; ".join(error.message for error in ranked[:3]) + ("; …" if others > 2 else "")
    made = SourceError(message, source="redis", hint=first.hint, kind=first.kind)
    made.__cause__ = first.__cause__
    return made
