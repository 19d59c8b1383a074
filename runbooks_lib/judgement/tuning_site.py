"""How Django is set against the guide, each difference with what it does here. Pure.

What the site answered is untrusted: a value of another kind than expected is UNKNOWN, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.facts import NodeSettings, RedisSettings
from runbooks_lib.judgement.findings import unknown
from runbooks_lib.model import Finding, Kind, Status, Unreadable
from runbooks_lib.policy import GUIDE, Policy, allowance
from runbooks_lib.redaction import one_line

REASON = "guide, Django Settings Tuning"
_OPTIONS = "CACHES['default']['OPTIONS']"
#: Backends that keep nothing, or something else in every process.
_NOT_SHARED = {"locmem": "every process has a cache of its own", "dummy": "nothing is cached at all"}


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What ``DjangoSite.call`` read; each may be ``Unreadable``.

    Attributes:
        caches: setting CACHES without passwords.
        throttling: classes, rates and NUM_PROXIES.
        cache_warming: setting CACHE_WARMING.
        sessions: engine and cache alias.
    """

    caches: object
    throttling: object
    cache_warming: object
    sessions: object


@dataclass(frozen=True, slots=True)
class _Judged:
    """A setting, judged: its value as shown, the guide's, what it does, and the line to change."""

    status: Status
    shown: str
    guide: str
    effect: str
    line: str = ""


def judge_site_settings(
    site: SiteSettings, redis: RedisSettings | Unreadable, policy: Policy, *, key_prefix: str
) -> tuple[Finding, ...]:
    """One finding for each setting of Django that the guide gives, and for those that decide what it is worth.

    Args:
        site: as read.
        redis: how Redis is set; gives the numbers.
        policy: scaled for the environment.
        key_prefix: of the environment, as in ``runbooks.toml``.

    Returns:
        Findings ``tuning.django.*``. What could not be read is UNKNOWN.

    Source:
        settings.CACHES, REST_FRAMEWORK, CACHE_WARMING, SESSION_ENGINE; guide, Django Settings Tuning.
    """
    cache = _default(site.caches)
    nodes = () if isinstance(redis, Unreadable) else redis.nodes
    of_cache: Mapping[str, Callable[[Mapping[str, object]], _Judged]] = {
        "backend": _backend,
        "client_class": _client_class,
        "compressor": lambda one: _compressor(one, nodes),
        "max_connections": lambda one: _max_connections(one, nodes),
        "retry_on_timeout": _retry,
        "key_prefix": lambda one: _key_prefix(one, key_prefix),
        "ignore_exceptions": _ignore_exceptions,
        "serializer": _serializer,
    }
    findings = [_finding(name, cache, check) for name, check in of_cache.items()]
    findings.append(_finding("sessions", _mapping(site.sessions, "session settings"), _sessions))
    throttling = _mapping(site.throttling, "throttling settings")
    findings.append(_finding("throttle_rates", throttling, _rates))
    warming = _mapping(site.cache_warming, "warming settings")
    findings.append(_finding("warming_interval", warming, lambda one: _warming(one, cache, policy)))
    return tuple(findings)


def _finding(
    name: str, value: Mapping[str, object] | Unreadable, check: Callable[[Mapping[str, object]], _Judged]
) -> Finding:
    identifier, title = f"tuning.django.{name}", f"django {name.replace('_', ' ')}"
    if isinstance(value, Unreadable):
        return unknown(identifier, title, value)
    judged = check(value)
    return Finding(
        identifier,
        title,
        judged.status,
        one_line(judged.shown, longest=120),
        limit=f"guide: {judged.guide}" if judged.guide else "",
        detail=one_line(judged.effect, longest=400),
        reason=REASON if judged.guide else "this project's choice: it decides what the guide's settings are worth",
        hint="" if judged.status is Status.OK else one_line(f"settings.py: {judged.line}", longest=300),
    )


def _default(caches: object) -> Mapping[str, object] | Unreadable:
    found = _mapping(caches, "cache settings")
    return found if isinstance(found, Unreadable) else _mapping(found.get("default"), "CACHES['default']")


def _mapping(value: object, what: str) -> Mapping[str, object] | Unreadable:
    if isinstance(value, Unreadable):
        return value
    if isinstance(value, Mapping):
        return value
    reason = f"the site gave {one_line(repr(value), longest=60)} for its {what}"
    return Unreadable("django", what, reason, "does this site have that setting?", Kind.WRONG)


def _options(cache: Mapping[str, object]) -> Mapping[str, object]:
    options = cache.get("OPTIONS")
    return options if isinstance(options, Mapping) else {}


def _pool(cache: Mapping[str, object]) -> Mapping[str, object]:
    pool = _options(cache).get("CONNECTION_POOL_KWARGS")
    return pool if isinstance(pool, Mapping) else {}


def _backend(cache: Mapping[str, object]) -> _Judged:
    value = str(cache.get("BACKEND", ""))
    line = f"CACHES['default']['BACKEND'] = '{GUIDE.backend}'"
    if value == GUIDE.backend:
        return _Judged(Status.OK, value, GUIDE.backend, "the cache is the Redis that these runbooks read")
    for word, effect in _NOT_SHARED.items():
        if word in value.lower():
            return _Judged(Status.FAIL, value, GUIDE.backend, effect, line)
    effect = "another backend may name its keys otherwise: what the runbooks count and clear is not certain"
    return _Judged(Status.WARN, value or "not set", GUIDE.backend, effect, line)


def _client_class(cache: Mapping[str, object]) -> _Judged:
    value = str(_options(cache).get("CLIENT_CLASS", GUIDE.client_class))
    if value == GUIDE.client_class:
        return _Judged(Status.OK, value, GUIDE.client_class, "one primary answers reads and writes")
    effect = "keys may lie on several servers, or be stored in another form, than those that the runbooks see"
    line = f"{_OPTIONS}['CLIENT_CLASS'] = '{GUIDE.client_class}'"
    return _Judged(Status.WARN, value, GUIDE.client_class, effect, line)


def _compressor(cache: Mapping[str, object], nodes: tuple[NodeSettings, ...]) -> _Judged:
    value = str(_options(cache).get("COMPRESSOR", ""))
    if value == GUIDE.compressor:
        return _Judged(Status.OK, value, GUIDE.compressor, "values are stored compressed")
    if value and "identity" not in value.lower():
        return _Judged(
            Status.OK, value, GUIDE.compressor, "another compressor: values written by the guide's expire first"
        )
    used = units.size(sum(node.used_memory_bytes for node in nodes)) if nodes else "an unknown number of bytes"
    effect = f"values are stored as they are, in {used}: compressed, more of them would fit under the same limit"
    line = f"{_OPTIONS}['COMPRESSOR'] = '{GUIDE.compressor}' (values in the cache become unreadable: clear after it)"
    return _Judged(Status.WARN, value or "none", GUIDE.compressor, effect, line)


def _max_connections(cache: Mapping[str, object], nodes: tuple[NodeSettings, ...]) -> _Judged:
    value, guide = _pool(cache).get("max_connections"), str(GUIDE.max_connections)
    line = f"{_OPTIONS}['CONNECTION_POOL_KWARGS']['max_connections'] = {guide}"
    rooms = [int(node.settings["maxclients"]) for node in nodes if node.settings.get("maxclients", "").isdecimal()]
    room = min(rooms, default=None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        at_most = "" if room is None else f" up to maxclients ({room})"
        effect = f"a process opens as many connections as it likes{at_most}; then every client is refused"
        return _Judged(Status.WARN, f"not limited ({value})", guide, effect, line)
    fits = "" if room is None else f"; maxclients {room} has room for {units.count(room // value)} processes"
    effect = f"a process uses at most {value} connections at once, the next one is an error{fits}"
    tight = room is not None and room < value
    return _Judged(Status.WARN if tight else Status.OK, str(value), guide, effect, line)


def _retry(cache: Mapping[str, object]) -> _Judged:
    value = _pool(cache).get("retry_on_timeout", False)
    guide = str(GUIDE.retry_on_timeout)
    if value is True:
        effect = "a command that timed out is sent again: a counter (throttling) may then count one request twice"
    else:
        effect = "a command that timed out fails at once, and counts once: the site must answer without the cache then"
    return _Judged(Status.OK, str(value), guide, effect)


def _key_prefix(cache: Mapping[str, object], ours: str) -> _Judged:
    value = str(cache.get("KEY_PREFIX", ""))
    if value != ours:
        effect = f"runbooks.toml says {ours!r}: the runbooks count and clear the keys of another prefix"
        return _Judged(
            Status.FAIL,
            repr(value),
            repr(GUIDE.key_prefix),
            effect,
            f"unchanged; set key_prefix = {value!r} in runbooks.toml",
        )
    if not value:
        effect = "keys begin with ':1:': two sites in one database would overwrite each other's"
        return _Judged(
            Status.WARN, "''", GUIDE.key_prefix, effect, f"CACHES['default']['KEY_PREFIX'] = '{GUIDE.key_prefix}'"
        )
    return _Judged(Status.OK, value, GUIDE.key_prefix, "the keys of this site can be told from others")


def _ignore_exceptions(cache: Mapping[str, object]) -> _Judged:
    value = _options(cache).get("IGNORE_EXCEPTIONS", False)
    if value:
        effect = "an outage looks like misses: every request goes to the database, throttles let everybody through"
        return _Judged(Status.WARN, str(value), "", effect, f"{_OPTIONS}['IGNORE_EXCEPTIONS'] = False")
    return _Judged(Status.OK, str(value), "", "an outage is an error that the site sees and answers")


def _serializer(cache: Mapping[str, object]) -> _Judged:
    value = str(_options(cache).get("SERIALIZER", "django_redis.serializers.pickle.PickleSerializer"))
    if "pickle" in value.lower():
        effect = "whoever can write to this Redis can run code in the site, because values are unpickled"
        line = f"{_OPTIONS}['SERIALIZER'] = 'django_redis.serializers.json.JSONSerializer' (clear the cache after it)"
        return _Judged(Status.WARN, value, "", effect, line)
    return _Judged(Status.OK, value, "", "values are data only")


def _sessions(sessions: Mapping[str, object]) -> _Judged:
    engine, alias = str(sessions.get("engine", "")), str(sessions.get("cache_alias", ""))
    if engine.endswith(".cache") and alias == "default":
        effect = "clearing the cache signs every user out, and Redis may evict a session"
        line = "SESSION_ENGINE = 'django.contrib.sessions.backends.cached_db', or a SESSION_CACHE_ALIAS of its own"
        return _Judged(Status.WARN, f"{engine} in cache {alias}", "", effect, line)
    return _Judged(Status.OK, engine, "", "clearing the default cache signs nobody out")


def _rates(throttling: Mapping[str, object]) -> _Judged:
    rates = throttling.get("rates")
    given = rates if isinstance(rates, Mapping) else {}
    guide = {"anon": GUIDE.anon_rate, "user": GUIDE.user_rate}
    shown = ", ".join(f"{scope} {given.get(scope) or 'none'}" for scope in guide)
    wanted = ", ".join(f"{scope} {rate}" for scope, rate in guide.items())
    line = f"REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'] = {guide}"
    effects, unlimited = [], False
    for scope, rate in guide.items():
        factor = _times(given.get(scope), rate)
        if factor is None:
            unlimited = True
            effects.append(f"{scope}: nobody is limited")
        elif factor != 1:
            effects.append(f"{scope}: {factor:.3g} times the guide's allowance")
    if not throttling.get("classes"):
        unlimited = True
        effects.append("DEFAULT_THROTTLE_CLASSES is empty: no view is throttled by default")
    status = Status.WARN if unlimited else Status.OK
    return _Judged(status, shown, wanted, "; ".join(effects) or "the guide's allowances", line)


def _times(rate: object, guide: str) -> float | None:
    """How many times the guide's allowance; None where there is none."""
    given, wanted = allowance(rate), allowance(guide)
    if given is None or wanted is None or not given[0]:
        return None
    return (given[0] / given[1]) / (wanted[0] / wanted[1])


def _warming(warming: Mapping[str, object], cache: Mapping[str, object] | Unreadable, policy: Policy) -> _Judged:
    wanted = policy.warming_interval_seconds
    guide, line = f"every {units.duration(wanted)}", f"CACHE_WARMING['SCHEDULED_INTERVAL'] = {wanted:g}"
    if warming.get("ENABLED") is False:
        return _Judged(Status.WARN, "not enabled", guide, "nothing is warmed: a cleared cache fills by misses", line)
    value = warming.get("SCHEDULED_INTERVAL")
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        return _Judged(Status.WARN, f"{value}", guide, "how often the cache is warmed is not known", line)
    timeout = None if isinstance(cache, Unreadable) else cache.get("TIMEOUT")
    effect = "values are warmed again before most of them expire"
    if isinstance(timeout, int | float) and timeout < value:
        gone = units.duration(value - timeout)
        effect = (
            f"a value with the default TTL ({units.duration(timeout)}) is gone for up to {gone} before the next run"
        )
    late = value > wanted
    return _Judged(Status.WARN if late else Status.OK, f"every {units.duration(value)}", guide, effect, line)
