"""Change memory limit, eviction policy and timeouts of Redis, on every primary, with what each change does there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.redis_settings_proof import look_again
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError, UsageError
from runbooks_lib.facts import NodeSettings
from runbooks_lib.judgement.redis_effects import (
    POLICIES,
    bytes_to_evict,
    differs,
    effects_evidence,
    fits_host,
    put_back_by_hand,
    settings_evidence,
    shown_setting,
)
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.policy import GUIDE
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.replies import Info, version_of
from runbooks_lib.sources.redis.settings import NO_CONFIG_HINT, redis_settings
from runbooks_lib.units import parse_redis_size

UNTIL_RESTART = "until restart"
IN_THE_FILE = "in the file"
_LEAVE = -1
_LARGEST_SECONDS = 2_147_483_647


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRedis:
    """Set memory limit, eviction policy and timeouts of Redis, by default to the guide's values.

    Args:
        maxmemory: the limit as Redis reads it: ``4gb`` (1024³), ``4g`` (1000³), bytes; 0 for none, empty to leave it.
        policy: ``maxmemory-policy``; empty to leave it.
        timeout_seconds: an idle client is closed after this; 0 for never, -1 to leave it.
        tcp_keepalive_seconds: between two probes of a silent connection; 0 for none, -1 to leave it.
        keep: ``until restart``, or ``in the file`` to write it into redis.conf as well (CONFIG REWRITE).
    """

    name: ClassVar[str] = "tune_redis"
    maxmemory: str = GUIDE.maxmemory
    policy: str = GUIDE.maxmemory_policy
    timeout_seconds: int = GUIDE.timeout_seconds
    tcp_keepalive_seconds: int = GUIDE.tcp_keepalive_seconds
    keep: Literal["until restart", "in the file"] = "until restart"

    def __post_init__(self) -> None:
        """Raises ``UsageError`` for values that Redis would refuse, or take for something else."""
        if self.maxmemory and parse_redis_size(self.maxmemory) is None:
            raise UsageError(
                f"maxmemory {one_line(self.maxmemory, longest=40)!r} is not a size of Redis",
                hint="a whole number with b, k, kb, m, mb, g or gb: 4gb is 4 × 1024³ bytes, 4g 4 × 1000³, 0 no limit",
            )
        if self.policy and self.policy not in POLICIES:
            raise UsageError(
                f"policy {one_line(self.policy, longest=40)!r} is not one of Redis",
                hint=f"choose one of: {', '.join(POLICIES)}",
            )
        for name, value in (("timeout", self.timeout_seconds), ("tcp_keepalive", self.tcp_keepalive_seconds)):
            if not _LEAVE <= value <= _LARGEST_SECONDS:
                raise UsageError(
                    f"{name}_seconds is {value}", hint=f"0 to {_LARGEST_SECONDS:,} seconds, or -1 to leave it as it is"
                )
        if self.keep not in (UNTIL_RESTART, IN_THE_FILE):
            raise UsageError(f"keep is {str(self.keep)[:40]!r}", hint=f"choose {UNTIL_RESTART!r} or {IN_THE_FILE!r}")
        if not self.wanted:
            raise UsageError("nothing is to be set", hint="give maxmemory, policy, timeout_seconds or another one")

    @property
    def wanted(self) -> dict[str, str]:
        """Redis's name → the value as CONFIG GET will answer it."""
        size = parse_redis_size(self.maxmemory)
        values = {
            "maxmemory": "" if size is None else str(size),
            "maxmemory-policy": self.policy,
            "timeout": "" if self.timeout_seconds == _LEAVE else str(self.timeout_seconds),
            "tcp-keepalive": "" if self.tcp_keepalive_seconds == _LEAVE else str(self.tcp_keepalive_seconds),
        }
        return {name: value for name, value in values.items() if value}

    def resources(self) -> tuple[str, ...]:
        """The settings of all primaries together."""
        return ("redis:settings",)

    def plan(self, site: Site) -> Plan:
        """Each setting before and after on each primary, and what the change does there.

        Raises:
            SourceError: Redis could not be read.
            RefusedError: a primary keeps its settings to itself (a managed service, an ACL).
        """
        facts = redis_settings(site.nodes)
        for node in facts.nodes:
            if node.unread:
                raise RefusedError(node.unread, hint=node.unread_hint)
        nodes, wanted = facts.nodes, self.wanted
        undo = self._undo(nodes)
        return Plan(
            action=self.name,
            title=_title(nodes, wanted),
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=site.nodes.shown,
            intent=self._intent(),
            rests_on={node.node: {name: node.settings.get(name, "") for name in wanted} for node in nodes},
            resources=self.resources(),
            read_at=facts.provenance.read_at,
            before=tuple(settings_evidence(nodes, wanted)),
            after=tuple(Evidence(name, shown_setting(name, value)) for name, value in wanted.items()),
            blast_radius=tuple(effects_evidence(nodes, wanted)),
            spared=(Evidence("other settings", "not touched"),),
            undo=undo,
            irreversible="" if undo else put_back_by_hand(nodes, wanted),
            guards=tuple(self._guards(nodes)),
            no_op=self.keep == UNTIL_RESTART and all(not differs(node, wanted) for node in nodes),
            offers=(
                NextStep(
                    "See what the settings do now",
                    f"runbooks run performance_tuning --environment {site.environment.name}",
                ),
            ),
            notes=tuple(self._notes(nodes)),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """Primary by primary; what is set where is accounted for exactly.

        Raises:
            RefusedError: the first primary refused: nothing was changed.
            MayHaveChangedError: a primary did not answer; says what had been set before.
        """
        new = [node.shown for node in site.nodes if node.shown not in plan.rests_on]
        if new:
            raise RefusedError(f"{', '.join(new)} was no primary when this was planned", hint="plan it again")
        done, kept = dict[str, dict[str, str]](), list[str]()
        for number, node in enumerate(site.nodes, start=1):
            before = plan.rests_on[node.shown]
            changes = {name: value for name, value in self.wanted.items() if before.get(name) != value}
            try:
                for pairs in set_commands(changes, _version(node)):
                    site.writer(node).write("CONFIG", "SET", *pairs)
                    done.setdefault(node.shown, {}).update(zip(pairs[::2], pairs[1::2], strict=True))
                if self.keep == IN_THE_FILE:
                    site.writer(node).write("CONFIG", "REWRITE")
                    kept.append(node.shown)
            except (RefusedError, SourceError) as error:
                if not done and not kept:
                    raise RefusedError(error.message, hint=error.hint) from error
                return _written(done, kept, stopped=f"{node.shown}: {error.message}. {error.hint}".strip(". ") + ".")
            except MayHaveChangedError as error:
                raise MayHaveChangedError(f"{error.message}; {_account_text(done, kept)}", hint=error.hint) from error
            site.progress(Progress(number, len(site.nodes), "primaries set"))
        return _written(done, kept)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """CONFIG GET of every primary that there is now, on new connections; see ``redis_settings_proof.look_again``.

        Raises:
            SourceError: Redis could not be read.
        """
        return look_again(plan, site.nodes, self.wanted, written, in_the_file=self.keep == IN_THE_FILE)

    def _intent(self) -> dict[str, object]:
        return {
            "maxmemory": self.maxmemory,
            "policy": self.policy,
            "timeout_seconds": self.timeout_seconds,
            "tcp_keepalive_seconds": self.tcp_keepalive_seconds,
            "keep": self.keep,
        }

    def _undo(self, nodes: tuple[NodeSettings, ...]) -> Command | None:
        """The values as they are, where all primaries have the same ones."""
        wanted = self.wanted
        old = {name: {node.settings.get(name, "") for node in nodes} for name in wanted}
        if any(len(values) != 1 or "" in values for values in old.values()):
            return None
        one = {name: next(iter(values)) for name, values in old.items()}
        return Command(
            self.name,
            {
                "maxmemory": one.get("maxmemory", ""),
                "policy": one.get("maxmemory-policy", ""),
                "timeout_seconds": int(one.get("timeout", _LEAVE)),
                "tcp_keepalive_seconds": int(one.get("tcp-keepalive", _LEAVE)),
                "keep": self.keep,
            },
        )

    def _guards(self, nodes: tuple[NodeSettings, ...]) -> Iterator[Guard]:
        limit = self.wanted.get("maxmemory")
        for node in nodes:
            if limit is not None:
                evicted = bytes_to_evict(node, int(limit))
                yield Guard(
                    f"evicts nothing on {node.node}",
                    holds=evicted == 0,
                    detail=f"{units.size(node.evictable_bytes)} in use, would evict {units.size(evicted)} at once",
                    hint="choose a higher limit, or shorten TTLs first",
                )
                yield from fits_host_guard(node, int(limit))
            if node.may_set is not None:
                yield Guard(f"CONFIG SET is allowed on {node.node}", holds=node.may_set, hint=NO_CONFIG_HINT)
            if self.keep == IN_THE_FILE:
                yield Guard(
                    f"{node.node} has a configuration file",
                    holds=bool(node.config_file),
                    detail=node.config_file or "it was started without one",
                    hint=f"use keep={UNTIL_RESTART!r}, and set it where the server gets its options from",
                )

    def _notes(self, nodes: tuple[NodeSettings, ...]) -> Iterator[str]:
        if self.keep == UNTIL_RESTART:
            yield "a restart of Redis forgets this: keep='in the file' writes redis.conf as well (CONFIG REWRITE)"
        replicas = sum(node.replicas_count for node in nodes)
        if replicas:
            yield (
                f"{units.things(replicas, 'replica')} keep settings of their own: after a failover the old ones apply"
            )
        for node in nodes:
            if node.may_set is None:
                yield f"{node.node}: whether CONFIG SET is allowed shows when it is tried; a refusal changes nothing"
        if "maxmemory" in self.wanted:
            unknown = any(node.host_memory_bytes is None for node in nodes)
            yield (
                "the RAM of a host is not known: make sure that the limit fits"
                if unknown
                else "RAM is that of the host: a container or a cgroup that allows less is not seen from here"
            )


def _title(nodes: tuple[NodeSettings, ...], wanted: Mapping[str, str]) -> str:
    """What changes; all of it where nothing does."""
    changing = {name: value for node in nodes for name, value in differs(node, wanted).items()} or wanted
    return "set " + ", ".join(f"{name} to {shown_setting(name, value)}" for name, value in changing.items())


def fits_host_guard(node: NodeSettings, limit_bytes: int) -> Iterator[Guard]:
    """A limit over the RAM of the host ends Redis (out of memory) before it evicts; nothing where that is not known."""
    if node.host_memory_bytes is not None and limit_bytes:
        yield Guard(
            f"fits the host of {node.node}",
            holds=fits_host(node, limit_bytes),
            detail=f"{units.size(limit_bytes)} of {units.size(node.host_memory_bytes)} RAM",
            hint="leave room for the copy that a save makes and for the host: about half of the RAM",
        )


def set_commands(changes: Mapping[str, str], version: tuple[int, int]) -> list[list[str]]:
    """The pairs of each CONFIG SET: all in one from Redis 7 on, which takes all or none; one by one before."""
    pairs = [[name, value] for name, value in changes.items()]
    if version >= (7, 0) and pairs:
        return [[word for pair in pairs for word in pair]]
    return pairs


def _version(node: ReadNode) -> tuple[int, int]:
    return version_of(Info(node.ask("INFO", "server")).text("redis_version"))


def _written(done: Mapping[str, Mapping[str, str]], kept: Sequence[str], *, stopped: str = "") -> Written:
    account = tuple(
        Evidence(f"{name} on {node}", shown_setting(name, value), "CONFIG SET")
        for node, values in done.items()
        for name, value in values.items()
    )
    files = tuple(Evidence(f"configuration file of {node}", "written", "CONFIG REWRITE") for node in kept)
    return Written((*account, *files), {"set": done, "kept": kept, "stopped": stopped}, stopped=stopped)


def _account_text(done: Mapping[str, Mapping[str, str]], kept: Sequence[str]) -> str:
    parts = [
        f"{node}: {', '.join(f'{name} {value}' for name, value in values.items())}" for node, values in done.items()
    ]
    parts += [f"{node}: configuration file written" for node in kept]
    return f"set before that: {'; '.join(parts)}" if parts else "nothing had been set before that"
