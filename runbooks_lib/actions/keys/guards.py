"""What must hold before many keys are changed: how many, whose, and that the server can bear it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.keys.plans import by_kind, counted_in, keys
from runbooks_lib.actions.plan import Guard
from runbooks_lib.actions.site import Site
from runbooks_lib.config import Environment
from runbooks_lib.facts import KeyGroup, KeyspaceLook
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.model import Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.names import PROTECTED, KeyNames, Kind, key_names, literals_of, shown
from runbooks_lib.sources.keyspace.scan import latency_seconds
from runbooks_lib.sources.together import Begun, Read

MOST_KEYS = 1_000_000_000
#: A plan waits so long for the site's settings; its shell may be as ill as its cache.
_SITE_SECONDS = 10.0
_DEFAULT_KEY_FUNCTION = "django.core.cache.backends.base.default_key_func"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whether the keys are the site's: what must hold, and what is not known of it."""

    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Nothing speaks against it."""
        return all(guard.holds for guard in self.guards)


def asked_for_caches(site: Site) -> Begun[Mapping[str, object]]:
    """The site's cache settings, which take it a second to tell: asked for while the keys are looked at."""
    django = site.django
    read = Read("cache settings", "django", lambda: django.call(["caches"], timeout_seconds=_SITE_SECONDS))
    return Begun(read, secrets=site.environment.secrets)


def ownership(site: Site, asked: Begun[Mapping[str, object]]) -> Ownership:
    """Does the site itself name its keys as runbooks.toml says?

    ``key_prefix`` is written down there, so a site that cannot be asked (no ``manage``, or a shell that is as dead as
    the cache) costs a note. A site that answers otherwise is a guard that fails: the keys would be another site's.

    Source:
        settings.CACHES through ``manage.py shell``: KEY_PREFIX, VERSION, KEY_FUNCTION of ``default``.
    """
    answer = asked.fact(_SITE_SECONDS + 1)
    caches = answer if isinstance(answer, Unreadable) else answer.get("caches")
    if isinstance(caches, dict) and isinstance(caches.get("default"), dict):
        return Ownership((own_head(caches["default"], site.environment),))
    reason = caches.reason if isinstance(caches, Unreadable) else "the site told of no cache named default"
    head = key_names(site.environment).shown
    return Ownership(
        notes=(f"NOT COMPARED with the site: that its keys begin with {head} is runbooks.toml's; {reason}",)
    )


def own_head(cache: Mapping[str, object], environment: Environment) -> Guard:
    """The keys begin as the site's own settings say.

    Args:
        cache: one of its CACHES: ``KEY_PREFIX``, ``VERSION``, ``KEY_FUNCTION``; untrusted.
        environment: what runbooks.toml says.
    """
    name = "key_prefix and key_version are the site's own"
    function = cache.get("KEY_FUNCTION")
    if function and function != _DEFAULT_KEY_FUNCTION:
        return Guard(
            name,
            holds=None,
            detail=f"the site names its keys with {one_line(str(function), longest=80)}, which is not known here",
            hint="clear with the site's own code: delete_cache_pattern in manage.py shell",
        )
    theirs = cache.get("KEY_PREFIX") or "", cache.get("VERSION") or 1
    ours = environment.key_prefix, environment.key_version
    head, own = (shown(f"{prefix}:{version}:".encode()) for prefix, version in (theirs, ours))
    return Guard(
        name,
        holds=theirs == ours,
        detail=f"the site's keys begin with {head}, those of runbooks.toml with {own}",
        hint=""
        if theirs == ours
        else "correct key_prefix and key_version in runbooks.toml: these keys are not this site's",
    )


def others_noted(seen: KeyspaceLook, names: KeyNames) -> tuple[str, ...]:
    """What lies there of others, where that matters: within our own prefix, or in place of our keys."""
    foreign = by_kind(seen.groups).get(Kind.FOREIGN, [])
    within = [group for group in foreign if group.name.startswith(names.shown)]
    notes = []
    if within:
        notes.append(f"left alone, because they look like another site's: {_listed(within, seen)}")
    if not seen.matched_count and foreign:
        notes.append(f"nothing matches, but others have keys there: {_listed(foreign, seen)}; is {names.shown} right?")
    return tuple(notes)


def at_most(most: int, count: int, look: KeyspaceLook, environment: str) -> Guard:
    """No more keys than the operator allowed."""
    name = f"at most {most:,} keys"
    detail = counted_in(look, count)
    if count > most:
        why = f"look why there are so many ({run_command('high_memory', environment)})"
        return Guard(name, holds=False, detail=detail, hint=f"{why}, or plan again with max_keys={_rounded(count)}")
    if not look.complete:
        detail = f"{detail}; the search ended after {look.ended}"
        return Guard(name, holds=None, detail=detail, hint="try again when the server has less to do")
    return Guard(name, holds=True, detail=detail)


def spares_protected(pattern: KeyPattern, look: KeyspaceLook) -> Guard:
    """Sessions and the like are touched only where the pattern names them."""
    name = f"no {', '.join(kind.value for kind in PROTECTED)} but those that the pattern names"
    hit = by_kind(group for group in look.matched if Kind(group.kind) in pattern.spared)
    if hit:
        detail = ", ".join(f"{kind.value} {keys(own):,}" for kind, own in hit.items())
        literal = glob_match.literal_beginning(pattern.text.encode())
        meant = [f"{shown(text)}* names {kind.value}" for kind in hit for text in literals_of(kind, literal)]
        hint = f"write more of the name, so that it matches one kind only: {', '.join(meant)}"
        return Guard(name, holds=False, detail=detail, hint=hint)
    certain = look.complete or not pattern.spared
    return Guard(name, holds=True if certain else None, detail="none matches" if certain else "not all keys were seen")


def calm_redis(site: Site) -> Guard:
    """Every primary answers as fast as usual."""
    limit = site.policy.redis_latency.warn
    took = latency_seconds(site.nodes)
    hint = f"find out what it is busy with first ({run_command('triage', site.environment.name)})"
    return Guard(
        f"redis answers within {units.seconds(limit)}",
        holds=took <= limit,
        detail=units.seconds(took),
        hint="" if took <= limit else hint,
    )


def on_primary(site: Site) -> Guard:
    """What redis_url leads to takes writes."""
    replicas = site.nodes.replicas()
    return Guard(
        "redis_url leads to a primary",
        holds=not replicas,
        detail="; ".join(replicas) or site.nodes.shown,
        hint="give the primary in redis_url (runbooks.toml), or sentinel://, which finds it" if replicas else "",
    )


def require_bound(most: int) -> str:
    """What is wrong with a ``max_keys``; empty when nothing is."""
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_KEYS:
        return f"max_keys must be a whole number from 1 to {MOST_KEYS:,}, not {str(most)[:40]}"
    return ""


def _listed(groups: list[KeyGroup], seen: KeyspaceLook) -> str:
    largest = sorted(groups, key=lambda group: -group.keys_count)[:5]
    named = ", ".join(f"{group.name} {group.keys_count:,}" for group in largest)
    return f"{counted_in(seen, keys(groups))} ({named}{', …' if len(groups) > len(largest) else ''})"


def _rounded(count: int) -> int:
    """A little above a count, with two digits: 213,880 → 250,000."""
    unit: int = 5 * 10 ** max(0, len(str(count)) - 2)
    return -(-int(count * 1.1) // unit) * unit
