"""What does a setting of Redis do on this server, in its numbers? Used by plans and by findings alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from runbooks_lib import units
from runbooks_lib.facts import NodeSettings
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line

#: A line for each primary, up to this many.
NODES_SHOWN = 12
POLICIES = (
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "noeviction",
)


def bytes_to_evict(node: NodeSettings, limit_bytes: int) -> int:
    """How much would Redis delete at once under a limit? used - not evictable - limit, at least 0; 0 is no limit."""
    return max(0, node.evictable_bytes - limit_bytes) if limit_bytes else 0


def fits_host(node: NodeSettings, limit_bytes: int) -> bool:
    """Does a limit leave Redis alive? Under the RAM of its host, or at least no worse than now."""
    now = node.maxmemory_bytes
    no_worse = now is not None and (now == 0 or limit_bytes <= now)
    return node.host_memory_bytes is None or limit_bytes < node.host_memory_bytes or no_worse


def shown_setting(name: str, value: str) -> str:
    """A value as people read it: ``4.0 GiB (4294967296)``, ``300 s``."""
    if not value:
        return "not set" if name != "save" else "off"
    if name == "maxmemory" and value.isdecimal():
        return "no limit (0)" if value == "0" else f"{units.size(int(value))} ({value} bytes)"
    if name in ("timeout", "tcp-keepalive") and value.isdecimal():
        return "off (0)" if value == "0" else f"{value} s"
    return value


def differs(node: NodeSettings, wanted: Mapping[str, str]) -> dict[str, str]:
    """What of the wanted settings is not so on this primary."""
    return {name: value for name, value in wanted.items() if node.settings.get(name) != value}


def settings_evidence(nodes: Sequence[NodeSettings], names: Mapping[str, str]) -> Iterator[Evidence]:
    """Each setting; once where all primaries agree, else for each of them."""
    for name in names:
        values = {node.node: node.settings.get(name, "") for node in nodes}
        if len(set(values.values())) == 1:
            yield Evidence(name, shown_setting(name, next(iter(values.values()))), "CONFIG GET")
            continue
        for node, value in list(values.items())[:NODES_SHOWN]:
            yield Evidence(f"{name} on {node}", shown_setting(name, value), "CONFIG GET")


def effects_evidence(nodes: Sequence[NodeSettings], wanted: Mapping[str, str]) -> Iterator[Evidence]:
    """What changes, primary by primary, in words and numbers."""
    for node in nodes[:NODES_SHOWN]:
        for name, value in differs(node, wanted).items():
            yield Evidence(f"{name} on {node.node}", effects(node, name, value))
    if len(nodes) > NODES_SHOWN:
        yield Evidence("further primaries", units.count(len(nodes) - NODES_SHOWN))


def put_back_by_hand(nodes: Sequence[NodeSettings], wanted: Mapping[str, str]) -> str:
    """Why no single command puts it back where the primaries differ, and the values to put back."""
    old = "; ".join(
        f"{node.node} " + " ".join(f"{name} {node.settings.get(name, '')}" for name in wanted) for node in nodes
    )
    return f"the primaries differ now, so no single command puts it back; by CONFIG SET: {one_line(old, longest=900)}"


def effects(node: NodeSettings, name: str, value: str) -> str:
    """What setting one of the guide's four settings to a value does on this server, in its numbers."""
    of: Mapping[str, Callable[[NodeSettings, str], str]] = {
        "maxmemory": _of_limit,
        "maxmemory-policy": _of_policy,
        "timeout": _of_timeout,
        "tcp-keepalive": _of_keepalive,
    }
    return of[name](node, value)


def _of_limit(node: NodeSettings, value: str) -> str:
    limit = int(value)
    used = f"{units.size(node.evictable_bytes)} in use"
    if limit == 0:
        return f"no limit: Redis grows until its host has no memory left, and is killed then; {used}"
    evicted = bytes_to_evict(node, limit)
    if evicted:
        return f"would evict {units.size(evicted)} ({evicted} bytes) at once; {used}"
    headroom = 1 - node.evictable_bytes / limit
    return (
        f"evicts nothing now; {used}, headroom {units.size(limit - node.evictable_bytes)} ({units.percent(headroom)})"
    )


def _of_policy(node: NodeSettings, value: str) -> str:
    lasting = f"{units.count(node.without_ttl_count)} of {units.count(node.keys_count)} keys have no TTL"
    if value == "noeviction":
        return "at the limit nothing is evicted: every write fails with an OOM error"
    if value.startswith("volatile-"):
        return f"evicts keys with a TTL only; {lasting}: once only such are left, every write fails with an OOM error"
    which = {"allkeys-lru": "longest unused", "allkeys-lfu": "least often used", "allkeys-random": "random"}
    return f"at the limit the {which[value]} keys go, also those without a TTL (locks, counters, sessions); {lasting}"


def _of_timeout(node: NodeSettings, value: str) -> str:
    seconds = int(value)
    if seconds == 0:
        return "idle connections are never closed: one that a client lost stays until keepalive finds out"
    if node.idle_seconds is None:
        return f"connections idle for over {seconds} s are closed, those of pools too; how many are so now is not known"
    idle = sum(1 for one in node.idle_seconds if one > seconds)
    return (
        f"{units.count(idle)} of {units.things(len(node.idle_seconds), 'connection')} are idle for over {seconds} s "
        "and are closed by it; a pool opens them again at its next request (with retry_on_timeout off it may fail once)"
    )


def _of_keepalive(node: NodeSettings, value: str) -> str:
    if value == "0":
        return f"a vanished client is never noticed: its connection counts against maxclients ({_clients(node)})"
    return f"a vanished client is noticed after about {2 * int(value)} s; applies to new connections ({_clients(node)})"


def _clients(node: NodeSettings) -> str:
    room = node.settings.get("maxclients", "")
    return f"{units.count(node.clients_count)} of {room or 'an unknown number'} connections now"
