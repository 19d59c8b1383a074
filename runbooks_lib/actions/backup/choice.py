"""How can this server's data be had: its own save, read from its disk, or a dump over the replication protocol?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbooks_lib.sources.rdb.persistence import Saving, may_run, saving
from runbooks_lib.sources.rdb.save_place import SavePlace, save_place
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.programs import how_to_get, missing

Method = Literal["bgsave", "replication"]

WHAT_INSTEAD = (
    "managed service (ElastiCache, Memorystore, Azure): take the provider's snapshot, by its console or API. Own "
    "server: ask for +bgsave +config|get and read access to its dir (group redis), or for +sync +replconf. Last "
    "resort, for one prefix: DUMP and PTTL of each key, RESTOREd elsewhere"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One primary, how it saves, and how its data will be had.

    Attributes:
        method: None where there is no way.
        why: why this way; or, where there is none, what stands against each.
        hint: what to do where there is none.
    """

    node: ReadNode
    facts: Saving
    place: SavePlace
    method: Method | None
    why: str
    hint: str = ""


def choose(node: ReadNode, wanted: str) -> Choice:
    """The way for one primary: the wanted one, or for ``auto`` its own save where its file is within reach.

    Raises:
        SourceError: it could not be read.
    """
    facts = saving(node)
    place = save_place(facts)
    against = {
        "bgsave": _against_bgsave(node, place),
        "replication": _against_replication(node) if wanted != "bgsave" else ("", ""),
    }
    methods: tuple[Method, ...] = ("bgsave", "replication")
    tried = [method for method in methods if wanted in ("auto", method)]
    for method in tried:
        if not against[method][0]:
            reasons = [f"{other}: {against[other][0]}" for other in tried if against[other][0]]
            how = place.how if method == "bgsave" else "over the network"
            return Choice(node, facts, place, method, "; ".join([how, *reasons]))
    why = "; ".join(f"{method}: {against[method][0]}" for method in tried)
    hints = [against[method][1] for method in tried if against[method][1]]
    return Choice(node, facts, place, None, why, "; ".join([*hints, WHAT_INSTEAD]))


def _against_bgsave(node: ReadNode, place: SavePlace) -> tuple[str, str]:
    """What stands against it, and what to do about that; empty where nothing does."""
    allowed, reason = may_run(node, "BGSAVE")
    if allowed is False:
        return reason, ""
    return ("", "") if place.reachable else (place.how, "")


def _against_replication(node: ReadNode) -> tuple[str, str]:
    if missing("redis-cli"):
        return "redis-cli is not installed here", how_to_get("redis-cli")
    for command in ("SYNC", "REPLCONF"):
        allowed, reason = may_run(node, command)
        if allowed is False:
            return reason, ""
    return "", ""
