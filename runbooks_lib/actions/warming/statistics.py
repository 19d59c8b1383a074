"""The hash ``cache_warming_stats``: which strategies did not run for long, and taking their fields out and back in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError, UsageError
from runbooks_lib.facts import WarmingType
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.scan import count_matching
from runbooks_lib.sources.redis.cache import STATISTICS_KEY, ScanBudget
from runbooks_lib.sources.redis.replies import parse_warming_statistics

KEY = STATISTICS_KEY.encode()
COLUMNS = ("count", "tasks", "failures", "duration", "last_run")
_FIELDS_MAX = 500
_LONGEST = 1000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,7})([smhd])")
_ADAPTIVE = b"cache_stats:*"
_BUDGET = ScanBudget(seconds=0.5)
#: For each strategy the number of its fields, then fields and values in turn. All that is read is read before the first
#: field is touched, so that whatever the server refuses, it refuses while nothing is changed.
_CHOSEN = """
local chosen, at, number = {}, 1, 0
while at <= #ARGV do
  local last, fits = at + 2 * tonumber(ARGV[at]), true
  for i = at + 1, last, 2 do fits = fits and %s end
  if fits then chosen[#chosen + 1] = {number, at + 1, last} end
  at, number = last + 1, number + 1
end
local done = {}
for _, one in ipairs(chosen) do
  for i = one[2], one[3], 2 do %s end
  done[#done + 1] = one[1]
end
return done
"""
#: Deletes the fields of each strategy while all of them hold these values; gives the numbers of those strategies.
_IF_SAME = _CHOSEN % (
    "redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1]",
    "redis.call('HDEL', KEYS[1], ARGV[i])",
)
#: Sets the fields of each strategy while none of them is there; gives the numbers of those strategies.
_IF_ABSENT = _CHOSEN % (
    "redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0",
    "redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])",
)


def seconds_of(text: object) -> float:
    """``36h``, ``7d`` → seconds.

    Raises:
        UsageError: it is not a duration.
    """
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UsageError(f"older_than {str(text)[:40]!r} is not a duration", hint="write it such as 90m, 36h or 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def parse_fields(text: object) -> dict[str, str]:
    """``{"startup_count": "100"}`` → fields and values as Redis holds them.

    Raises:
        UsageError: it is something else.
    """
    hint = f'expected is {{"<strategy>_<{"|".join(COLUMNS)}>": "number"}}'
    try:
        parsed = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"fields is not JSON: {str(text)[:80]!r}", hint=hint) from error
    if not isinstance(parsed, dict) or not 0 < len(parsed) <= _FIELDS_MAX:
        raise UsageError(f"fields is not a table of 1 to {_FIELDS_MAX} fields: {str(text)[:80]!r}", hint=hint)
    for name, value in parsed.items():
        right = isinstance(value, str) and len(name) + len(value) <= _LONGEST and _strategy(name)
        if not right:
            raise UsageError(f"fields: {one_line(name, longest=60)!r} is {str(value)[:40]!r}", hint=hint)
    return parsed


def plan_removal(name: str, intent: Mapping[str, Any], older_than: str, site: Site) -> Plan:
    """A plan to remove the fields of strategies whose last run is older.

    Raises:
        SourceError: Redis could not be read.
        RefusedError: the key is not the statistics of warming.
    """
    read_at, fields = units.now(), _fields(site)
    types, unclear = parse_warming_statistics([part for pair in fields.items() for part in pair])
    ends = read_at.timestamp() - seconds_of(older_than)
    old = {one.name for one in types if one.last_run_at is not None and one.last_run_at.timestamp() < ends}
    gone = {_text(field): _text(value) for field, value in fields.items() if _strategy(_text(field)) in old}
    undated = [one.name for one in types if one.last_run_at is None]
    notes = [f"{one}: its last run is not known, so it is kept" for one in undated]
    return Plan(
        action=name,
        title=f"remove the statistics of warming that did not run for {older_than}",
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=site.nodes.shown,
        intent=intent,
        rests_on={"fields": gone},
        resources=("warming",),
        read_at=read_at,
        before=tuple(_last_run(one) for one in types),
        after=(Evidence("fields", f"{len(fields) - len(gone)} of {len(fields)}", f"HLEN {STATISTICS_KEY}"),),
        blast_radius=(Evidence("fields", units.count(len(gone))), Evidence("strategies", ", ".join(sorted(old)))),
        spared=(_adaptive(site),),
        undo=Command("restore_warming_statistics", {"fields": json.dumps(gone)}) if gone else None,
        irreversible="" if gone else "nothing would be removed",
        no_op=not gone,
        notes=(*notes, *unclear),
    )


def remove(plan: Plan, site: WritableSite) -> Written:
    """Delete the fields of all strategies in one step of the server, each strategy only while it is as the plan saw it.

    Raises:
        RefusedError: all of them changed meanwhile, or the server refused.
        MayHaveChangedError: no answer came back.
    """
    strategies = _by_strategy(plan.rests_on["fields"])
    removed = _carried_out(_IF_SAME, strategies, site)
    kept = sorted(strategies.keys() - removed)
    if not removed:
        raise RefusedError(f"{', '.join(kept)} ran meanwhile: its statistics are not old", hint="plan again")
    count = sum(len(strategies[name]) for name in removed)
    account = (Evidence("removed", f"{units.things(count, 'field')} of {', '.join(removed)}", "EVAL, HDEL"),)
    stopped = f"{', '.join(kept)} ran meanwhile and was kept" if kept else ""
    return Written(account, {"removed": removed}, stopped=stopped)


def read_removal_back(plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
    """Are the fields gone, or newer ones?

    Raises:
        SourceError: Redis could not be read.
    """
    removed = written.get("removed")
    fields = {
        field: value
        for field, value in plan.rests_on["fields"].items()
        if not isinstance(removed, list) or _strategy(field) in removed
    }
    now = {_text(field): _text(value) for field, value in _fields(site).items()}
    left = [field for field, value in fields.items() if now.get(field) == value]
    evidence = (Evidence("fields", units.count(len(now)), f"HGETALL {STATISTICS_KEY}"),)
    # A strategy that ran again has fields of its own by now; that one of them has the old value may happen.
    if any(field.endswith("_last_run") for field in left):
        return ReadBack(confirmed=False, evidence=evidence, detail=f"{', '.join(left[:5])} still hold the old values")
    return ReadBack(confirmed=True, evidence=evidence, detail=f"{units.things(len(fields), 'field')} removed.")


def plan_restoring(name: str, intent: Mapping[str, Any], fields: Mapping[str, str], site: Site) -> Plan:
    """A plan to write fields back for strategies that have none.

    Raises:
        SourceError: Redis could not be read.
        RefusedError: the key is not the statistics of warming.
    """
    read_at, now = units.now(), {_text(field) for field in _fields(site)}
    there = {_strategy(field) for field in now}
    missing = {one: part for one, part in _by_strategy(fields).items() if one not in there}
    kept = sorted(_by_strategy(fields).keys() - missing.keys())
    return Plan(
        action=name,
        title="write removed statistics of warming back",
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=site.nodes.shown,
        intent=intent,
        rests_on={"strategies": sorted(missing)},
        resources=("warming",),
        read_at=read_at,
        before=(Evidence("fields", units.count(len(now)), f"HLEN {STATISTICS_KEY}"),),
        after=(Evidence("fields", units.count(len(now) + sum(map(len, missing.values())))),),
        blast_radius=(Evidence("strategies", ", ".join(sorted(missing)) or "none"),),
        irreversible="they go again with remove_warming_statistics",
        no_op=not missing,
        notes=tuple(f"{one} has statistics of its own by now: left as it is" for one in kept),
    )


def restore(plan: Plan, site: WritableSite, fields: Mapping[str, str]) -> Written:
    """Write the fields of all strategies in one step of the server, each strategy only if it has none of them.

    Raises:
        RefusedError: every strategy has statistics by now, or the server refused.
        MayHaveChangedError: no answer came back.
    """
    strategies = {name: part for name, part in _by_strategy(fields).items() if name in plan.rests_on["strategies"]}
    written = _carried_out(_IF_ABSENT, strategies, site)
    kept = sorted(strategies.keys() - written)
    if not written:
        raise RefusedError("every one of these strategies ran meanwhile; nothing was written", hint="plan again")
    stopped = f"{', '.join(kept)} ran meanwhile and was left as it is" if kept else ""
    account = (Evidence("written", ", ".join(written), "EVAL, HSET"),)
    return Written(account, {"written": written}, stopped=stopped)


def read_restored_back(site: Site, fields: Mapping[str, str], written: Mapping[str, Any]) -> ReadBack:
    """Are they there?

    Raises:
        SourceError: Redis could not be read.
    """
    chosen = written.get("written")
    now = {_text(field) for field in _fields(site)}
    wanted = {field for field in fields if not isinstance(chosen, list) or _strategy(field) in chosen}
    missing = sorted(wanted - now)
    evidence = (Evidence("fields", units.count(len(now)), f"HGETALL {STATISTICS_KEY}"),)
    if missing:
        return ReadBack(confirmed=False, evidence=evidence, detail=f"missing: {', '.join(missing[:5])}")
    return ReadBack(confirmed=True, evidence=evidence, detail=f"{units.things(len(wanted), 'field')} written back.")


def _carried_out(script: str, strategies: Mapping[str, Mapping[str, str]], site: WritableSite) -> list[str]:
    """The strategies of which the script says that it did them.

    Raises:
        RefusedError: the server refused; nothing was changed.
        MayHaveChangedError: no answer came back, or one that says nothing.
    """
    words = [word for fields in strategies.values() for word in (str(len(fields)).encode(), *_turns(fields))]
    reply = site.writer(site.nodes.for_key(KEY)).write("EVAL", script, 1, KEY, *words)
    names = list(strategies)
    if not isinstance(reply, list) or not all(isinstance(number, int) and number < len(names) for number in reply):
        raise MayHaveChangedError(f"EVAL answered {one_line(repr(reply), longest=120)}", hint="look at the statistics")
    return [names[number] for number in reply]


def _fields(site: Site) -> dict[bytes, bytes]:
    """The hash as it is; empty where there is none."""
    node = site.nodes.for_key(KEY)
    kind = node.ask("TYPE", KEY)
    if kind not in (b"hash", b"none"):
        raise RefusedError(
            f"the key {STATISTICS_KEY} is not a hash", hint=f"look at it: redis-cli TYPE {STATISTICS_KEY}"
        )
    count = node.ask("HLEN", KEY)
    if isinstance(count, int) and count > _FIELDS_MAX:
        raise RefusedError(
            f"{STATISTICS_KEY} has {count:,} fields, so it is not the statistics of a few strategies",
            hint="look who writes there before anything is removed",
        )
    reply = node.ask("HGETALL", KEY)
    if not isinstance(reply, list) or len(reply) % 2:
        raise SourceError(f"HGETALL {STATISTICS_KEY} answered no fields and values", source="redis")
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _by_strategy(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for field, value in sorted(fields.items()):
        found.setdefault(_strategy(field), {})[field] = value
    return found


def _strategy(field: str) -> str:
    """``on_demand_last_run`` → ``on_demand``; empty for a field of another kind."""
    return next((field[: -len(one) - 1] for one in COLUMNS if field.endswith(f"_{one}")), "")


def _turns(fields: Mapping[str, str]) -> list[bytes]:
    return [part.encode("utf-8", "surrogateescape") for pair in fields.items() for part in pair]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _last_run(one: WarmingType) -> Evidence:
    return Evidence(f"last {one.name} run", units.timestamp(one.last_run_at), f"HGETALL {STATISTICS_KEY}")


def _adaptive(site: Site) -> Evidence:
    """How many hashes of the adaptive TTL there are: they are what people often mean by old statistics."""
    count, ended = count_matching(site.nodes, _ADAPTIVE, lambda _: True, budget=_BUDGET)
    shown = f"{'at least ' if ended else ''}{units.count(count)}; they expire 24 h after the last access"
    return Evidence("hashes cache_stats:* (adaptive TTL)", shown, "SCAN")
