"""A warming lock that its owner will not release: what proves it, and how it is removed.

Proof is one of two, and no worker may report a warming task:

*Untouched longer than a run may last.* Nobody set, read or tried to take the lock for as long as the contract lets a
lock live at all (600 s, on demand 60 s). ``OBJECT IDLETIME`` says so and does not count as a touch; ``GET`` does, so
the token is read only where the other proof holds. The script that deletes looks at the idle time again, in the same
step.

*Not an ordinary lock, and nobody at work.* It has no expiry, or a longer one than the contract gives, so no living run
of this site would hold it; and the task workers answered, and none of them is warming. The script deletes it only
while it holds the token that the plan saw. A worker that answers nothing while it works (the pool ``solo``) is not
seen: how many answered stands in the plan.

A lock with an ordinary expiry is left alone: it ends by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.registry import command_line
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import RefusedError, SourceError, UsageError
from runbooks_lib.facts import WorkerTasks
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.redaction import one_line

PREFIX = "cache_warming_lock:"
_LONGEST_NAME = 1000
#: How long the contract lets a lock live, in seconds. Measured times: never scaled.
_LIVES_SECONDS = {"on_demand": 60.0}
_USUAL_LIFE_SECONDS = 600.0
_LONGEST_TOKEN_BYTES = 4096
#: Deletes the lock while it holds this token; gives the token back, or nothing.
_IF_HELD = """
local now = redis.call('GET', KEYS[1])
if now == ARGV[1] then redis.call('DEL', KEYS[1]) return now end
return false
"""
#: Deletes the lock while it is untouched for so many seconds; the idle time is asked first, because GET touches.
_IF_UNTOUCHED = """
local idle = redis.call('OBJECT', 'IDLETIME', KEYS[1])
if not idle or idle < tonumber(ARGV[1]) then return false end
local now = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return now
"""


@dataclass(frozen=True, slots=True)
class Lock:
    """What could be told of one lock without touching it.

    Attributes:
        kind: of the key; ``none`` when it is not there.
        ttl_seconds: None when it never expires.
        idle_seconds: since anybody touched it; None where the server keeps no such time (LFU policies).
    """

    kind: str
    ttl_seconds: float | None
    idle_seconds: float | None


def require_lock_name(lock: object) -> None:
    """``cache_warming_lock:<type>:<identifier>``; what the parts hold is data.

    Raises:
        UsageError: it is not the name of a warming lock.
    """
    shown = one_line(str(lock), longest=80)
    parts = lock.removeprefix(PREFIX).split(":", 1) if isinstance(lock, str) and lock.startswith(PREFIX) else []
    if len(parts) != 2 or not all(parts) or len(str(lock)) > _LONGEST_NAME:
        raise UsageError(
            f"lock {shown!r} is not the name of a warming lock", hint=f"give all of it: {PREFIX}<type>:<identifier>"
        )


def plan_removal(name: str, intent: Mapping[str, Any], lock: str, site: Site) -> Plan:
    """A plan to remove one lock.

    Raises:
        SourceError: Redis could not be read.
    """
    read_at, key, life = units.now(), _key(lock), _life(lock)
    found = _look(site, key)
    tasks = _tasks(site) if found.kind == "string" else "not asked"
    guards = _guards(found, life, tasks) if found.kind != "none" else ()
    proof = "untouched" if _is_old(found, life) else ""
    notes: tuple[str, ...] = ()
    # Without a token the plan cannot be carried out; where it cannot be anyway, the lock is left as old as it is.
    if found.kind == "string" and not proof and all(guard.holds for guard in guards):
        proof, notes = _read_token(site, key, found)
    return Plan(
        action=name,
        title=f"remove the lock {one_line(lock, longest=200)}",
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=site.nodes.shown,
        intent=intent,
        rests_on={"kind": found.kind, "token": proof, "expires": found.ttl_seconds is not None},
        resources=("warming",),
        read_at=read_at,
        before=(Evidence("lock", _shown(found), "TYPE, PTTL, OBJECT IDLETIME"),),
        after=(Evidence("lock", "gone; the next run takes its own"),),
        blast_radius=(Evidence("keys", "1"), Evidence("runs that may begin", _scope_of_lock(lock))),
        irreversible="a lock is not put back; the next run takes its own",
        guards=guards,
        no_op=found.kind == "none",
        offers=(NextStep("warm now, and see that it works", _warming(site)),),
        notes=notes,
    )


def remove(plan: Plan, site: WritableSite, lock: str) -> Written:
    """Delete the lock in the same step that looks whether it still is the one of the plan.

    Raises:
        RefusedError: it is another one by now, it was touched, or the server refused.
        MayHaveChangedError: no answer came back.
    """
    key, proof = _key(lock), str(plan.rests_on.get("token", ""))
    writer = site.writer(site.nodes.for_key(key))
    if proof == "untouched":
        deleted = writer.write("EVAL", _IF_UNTOUCHED, 1, key, int(_life(lock)))
    else:
        try:
            token = site.nodes.for_key(key).ask("GET", key)
        except SourceError as error:
            raise RefusedError(f"{error.message}; the lock was not touched", hint=error.hint) from error
        if not isinstance(token, bytes) or _hash(token) != proof:
            raise _other_lock(lock)
        deleted = writer.write("EVAL", _IF_HELD, 1, key, token)
    if not isinstance(deleted, bytes):
        raise _other_lock(lock)
    return Written((Evidence("removed", "1 lock", "EVAL, compare and delete"),), {"token_hash": _hash(deleted)})


def read_removal_back(plan: Plan, site: Site, lock: str, written: Mapping[str, Any]) -> ReadBack:
    """Is it gone, or another one?

    Raises:
        SourceError: Redis could not be read.
    """
    key = _key(lock)
    token = site.nodes.for_key(key).ask("GET", key)
    evidence = (Evidence("lock", "gone" if token is None else "there", "GET"),)
    if token is None:
        return ReadBack(confirmed=True, evidence=evidence, detail="The lock is gone.")
    removed = written.get("token_hash") or plan.rests_on.get("token")
    if isinstance(token, bytes) and removed not in ("untouched", None, _hash(token)):
        return ReadBack(confirmed=True, evidence=evidence, detail="The lock is gone; a new run holds its own by now.")
    return ReadBack(confirmed=False, evidence=evidence, detail="the lock is there, with the same token")


def _look(site: Site, key: bytes) -> Lock:
    node = site.nodes.for_key(key)
    kind = node.ask("TYPE", key)
    shown = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if shown != "string":
        return Lock(shown, None, None)
    left = node.ask("PTTL", key)
    ttl = left / 1000 if isinstance(left, int) and left >= 0 else None
    try:
        idle = node.ask("OBJECT", "IDLETIME", key)
    except SourceError:
        idle = None  # under an LFU policy the server answers with an error
    return Lock(shown, ttl, float(idle) if isinstance(idle, int) else None)


def _read_token(site: Site, key: bytes, found: Lock) -> tuple[str, tuple[str, ...]]:
    """The hash of what the lock holds, and a note where reading it made the lock look used.

    From Redis 7.2 on, a connection can ask that its reads do not touch; older servers answer with an error.
    """
    node = site.nodes.for_key(key)
    node.ask_many([("CLIENT", "NO-TOUCH", "ON")])
    token = node.ask("GET", key)
    (idle,) = node.ask_many([("OBJECT", "IDLETIME", key)])
    touched = isinstance(idle, int) and found.idle_seconds is not None and idle < found.idle_seconds
    note = f"reading its token counted as a use: it was untouched for {_idle(found)} before, and counts anew from now"
    return _hash(token) if isinstance(token, bytes) else "", (note,) if touched else ()


def _idle(found: Lock) -> str:
    return "not known" if found.idle_seconds is None else units.duration(found.idle_seconds)


def _guards(found: Lock, life: float, tasks: WorkerTasks | str) -> tuple[Guard, ...]:
    old, odd = _is_old(found, life), found.ttl_seconds is None or found.ttl_seconds > life
    is_lock = Guard("it is a lock", found.kind == "string", f"a {found.kind}", "look at it with redis-cli TYPE")
    detail = f"{'no expiry' if found.ttl_seconds is None else f'{units.duration(found.ttl_seconds)} left'}, "
    detail += f"untouched for {_idle(found)}, a lock may live {units.duration(life)}"
    ends = "it ends by itself: wait" if found.ttl_seconds is not None else ""
    outlived = Guard("no living run would hold it so", old or odd, detail, ends)
    return (is_lock, outlived, _nobody_at_work(tasks, needed=not old))


def _nobody_at_work(tasks: WorkerTasks | str, *, needed: bool) -> Guard:
    """The workers say that none of them is warming; where they cannot be asked, age alone must do."""
    name = "no task worker is warming"
    hint = "ask on the site: celery inspect active; or wait until the lock is untouched for longer than a run may last"
    if isinstance(tasks, str):
        return Guard(name, None if needed else True, tasks, hint if needed else "")
    busy = [task for task in tasks.tasks if "warm" in task.name.lower() or "refresh" in task.name.lower()]
    if busy:
        shown = ", ".join(f"{task.name} on {task.worker}" for task in busy[:3])
        return Guard(name, holds=False, detail=shown, hint="wait until it is over")
    if not tasks.workers_count:
        return Guard(name, None if needed else True, "no worker answered within a second", hint if needed else "")
    answered = f"{units.things(tasks.workers_count, 'worker')} answered: {units.things(len(tasks.tasks), 'task')}"
    return Guard(name, holds=True, detail=answered)


def _tasks(site: Site) -> WorkerTasks | str:
    try:
        return site.django.running_tasks()
    except SourceError as error:
        return f"the workers could not be asked: {error.message}"


def _is_old(found: Lock, life: float) -> bool:
    return found.kind == "string" and found.idle_seconds is not None and found.idle_seconds >= life


def _shown(found: Lock) -> str:
    if found.kind != "string":
        return "not there" if found.kind == "none" else f"a {found.kind}"
    ttl = "never expires" if found.ttl_seconds is None else f"{units.duration(found.ttl_seconds)} left"
    return ttl if found.idle_seconds is None else f"{ttl}, untouched for {units.duration(found.idle_seconds)}"


def _warming(site: Site) -> str:
    return command_line(Command("trigger_warming", {"strategy": "startup"}), site.environment.name)


def _scope_of_lock(lock: str) -> str:
    return f"{one_line(lock.split(':', 2)[1], longest=60)} warming"


def _life(lock: str) -> float:
    return _LIVES_SECONDS.get(lock.removeprefix(PREFIX).partition(":")[0], _USUAL_LIFE_SECONDS)


def _key(lock: str) -> bytes:
    return lock.encode("utf-8", "surrogateescape")


def _hash(token: bytes) -> str:
    return hashlib.sha256(token[:_LONGEST_TOKEN_BYTES]).hexdigest()[:16]


def _other_lock(lock: str) -> RefusedError:
    return RefusedError(
        f"{one_line(lock, longest=200)} is not the lock of the plan any more: it was released, taken again or touched",
        hint="somebody is at work: look again before anything else",
    )
