"""How large the database is, what lives in it, and what is done with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.plan import Command
from runbooks_lib.facts import KeyGroup, KeyspaceLook
from runbooks_lib.judgement.operations import check_database_contents, check_database_size
from runbooks_lib.model import Finding, Unreadable
from runbooks_lib.operations.choice import choose
from runbooks_lib.operations.reading import attempt
from runbooks_lib.parameters import parse_duration
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.sources.keyspace.names import key_names
from runbooks_lib.sources.keyspace.scan import look
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import Nodes, ReadNode, open_nodes
from runbooks_lib.sources.redis.replies import Info
from runbooks_lib.view import View

#: A look, not an inventory: two million names, or a quarter of a minute.
LOOK_BUDGET = ScanBudget(keys=2_000_000, round_trips=20_000, seconds=15.0)
_EVERY_NAME = re.compile(b"", re.DOTALL)
_MOST_ROWS = 25


@dataclass(frozen=True, slots=True)
class NodeSize:
    """One primary: keys of the configured database, and memory of the server (0 of the limit means no limit)."""

    node: str
    keys_count: int
    expiring_count: int
    used_memory_bytes: int
    maxmemory_bytes: int
    policy: str


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The cache's database at one moment.

    Attributes:
        shown: addresses and database, never a password.
        sizes: one entry for each primary.
        contents: what the keys are, by their names.
    """

    shown: str
    sizes: tuple[NodeSize, ...] | Unreadable
    contents: KeyspaceLook | Unreadable


def read_database(view: View) -> DatabaseState:
    """How large is the database, and what lives in it?

    Source:
        DBSIZE and INFO of every primary; one pass of SCAN over the names, and MEMORY USAGE of some.
    """
    opened = attempt(view, "database", "redis", lambda: open_nodes(view.environment))
    if isinstance(opened, Unreadable):
        return DatabaseState("", opened, opened)
    with opened as nodes:
        sizes = attempt(view, "size of the database", "redis", lambda: tuple(_size(node, nodes) for node in nodes))
        if isinstance(sizes, Unreadable):
            return DatabaseState(nodes.shown, sizes, sizes)
        names = key_names(view.environment)
        contents = attempt(view, "keys by name", "redis", lambda: look(nodes, names, _EVERY_NAME, budget=LOOK_BUDGET))
        return DatabaseState(nodes.shown, sizes, contents)


def _size(node: ReadNode, nodes: Nodes) -> NodeSize:
    keys, info = node.ask("DBSIZE"), Info(node.ask("INFO"))
    counts = dict(part.partition("=")[::2] for part in info.text(f"db{nodes.database}").split(","))
    return NodeSize(
        node.shown,
        keys if isinstance(keys, int) else 0,
        int(counts.get("expires", "0") or 0),
        info.required("used_memory"),
        info.integer("maxmemory") or 0,
        info.text("maxmemory_policy"),
    )


def choose_cache_operation(operation: str, *, pattern: str, max_keys: int, ttl: str) -> Command | None:
    """What the notebook's parameters ask for; None for ``look``.

    Args:
        operation: as the notebook names it.
        pattern: glob over what follows the prefix; for ``clear_pattern`` and ``expire_keys``.
        max_keys: more keys than this are refused.
        ttl: a duration, for ``expire_keys``.

    Raises:
        UsageError: the operation is none of these, or ``ttl`` is not a duration.
    """
    bounded = {"pattern": pattern, "max_keys": max_keys}
    return choose(
        operation,
        {
            "clear_pattern": Command("clear_pattern", bounded),
            "clear_all": Command("clear_all", {"max_keys": max_keys}),
            "expire_keys": Command("expire_keys", {**bounded, "ttl_seconds": round(parse_duration(ttl))}),
            "back_up": Command("back_up"),
            "remove_warming_statistics": Command("remove_warming_statistics"),
        },
    )


def judge_database(state: DatabaseState) -> tuple[Finding, ...]:
    """Size and contents: could they be read, and does something live there that a clearing would take with it?"""
    total = state.sizes if isinstance(state.sizes, Unreadable) else sum(size.keys_count for size in state.sizes)
    return (check_database_size(total, state.shown), check_database_contents(state.contents))


def show_size(state: DatabaseState) -> Shown:
    """Keys and memory of every primary."""
    if isinstance(state.sizes, Unreadable):
        return show_text(f"The size could not be read ({state.sizes.reason}). {state.sizes.hint}")
    rows = [_size_row(size) for size in state.sizes]
    columns = ("Primary", "Keys", "Without expiry", "Memory of the server", "Policy")
    return show_table(columns, rows, caption=f"Database {state.shown}")


def _size_row(size: NodeSize) -> tuple[str, ...]:
    limit = f" of {units.size(size.maxmemory_bytes)}" if size.maxmemory_bytes else ", no limit"
    share = f" ({units.percent(size.used_memory_bytes / size.maxmemory_bytes)})" if size.maxmemory_bytes else ""
    forever = size.keys_count - size.expiring_count
    memory = f"{units.size(size.used_memory_bytes)}{limit}{share}"
    return size.node, units.count(size.keys_count), units.count(max(0, forever)), memory, size.policy or "not readable"


def show_contents(state: DatabaseState) -> Shown:
    """What lives in the database, by kind and name."""
    contents = state.contents
    if isinstance(contents, Unreadable):
        return show_text(f"The keys could not be looked at ({contents.reason}). {contents.hint}")
    if not contents.groups:
        return show_text("The database is empty.")
    rows = [_group_row(group, contents) for group in contents.groups[:_MOST_ROWS]]
    more = "" if len(contents.groups) <= _MOST_ROWS else f", the first {_MOST_ROWS} of {len(contents.groups)} groups"
    counted = (
        f"{units.count(contents.looked_at_count)} keys looked at in {units.seconds(contents.provenance.took_seconds)}"
    )
    caption = ". ".join((f"What lives there{more}; {counted}", *contents.warnings))
    return show_table(("What", "Names begin with", "Keys", "Share"), rows, caption=caption)


def _group_row(group: KeyGroup, contents: KeyspaceLook) -> tuple[str, str, str, str]:
    share = group.keys_count / contents.looked_at_count if contents.looked_at_count else None
    return group.kind, group.name, units.count(group.keys_count), units.percent(share)
