"""The program that answers reads inside the site. Its text is sent to ``manage.py shell``; nothing here imports it.

Standard library, Django and the site's own code only; Python 3.8 and later. It only reads.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runbooks_lib.sources.site.on_site_shared import feature_named, plain, said

#: What ``flags_later`` waits at the most, in seconds.
LONGEST_WAIT = 15.0
#: How a statement begins that changes data or tables, comments before it included.
CHANGES = re.compile(
    r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/|\()*"
    r"(?:INSERT|UPDATE|DELETE|REPLACE|MERGE|CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COPY|CALL|DO|VACUUM|WITH\b.*?\b(?:INSERT|UPDATE|DELETE))\b"
)

#: What may be shown of a cache. Everything else, OPTIONS above all, may hold a password.
CACHE_KEYS = ("BACKEND", "KEY_PREFIX", "VERSION", "TIMEOUT", "KEY_FUNCTION")
CACHE_OPTIONS = ("CLIENT_CLASS", "COMPRESSOR", "SERIALIZER", "IGNORE_EXCEPTIONS", "MAX_ENTRIES")
POOL_OPTIONS = ("max_connections", "retry_on_timeout", "socket_timeout", "socket_connect_timeout")


def flags() -> Any:
    """Every feature flag, as the site's own code states it."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return FeatureFlagService.get_all_features_status()


def flag_service() -> dict[str, Any]:
    """The flags, what the service offers, and where it looked for them: the tables that it asked, caches apart."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from django.db import connections  # type: ignore[import-not-found,import-untyped,unused-ignore]

    tables: set[str] = set()

    def note(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        tables.update(table_named(name) for name in re.findall(r"(?i)\b(?:FROM|JOIN)\s+([\w\"`\[\].]+)", str(sql)))
        return execute(sql, params, many, context)

    with contextlib.ExitStack() as watched:
        for connection in connections.all():
            watched.enter_context(connection.execute_wrapper(note))
        status = FeatureFlagService.get_all_features_status()
    configured = getattr(settings, "CACHES", None) or {}
    # Django's DatabaseCache has the name of its table as its location.
    caches = {table_named(str(cache.get("LOCATION", ""))) for cache in configured.values()}
    return {
        "flags": status,
        "tables": sorted(tables - caches),
        "cache_tables": sorted(tables & caches),
        "methods": sorted(name for name in dir(FeatureFlagService) if not name.startswith("_")),
        "cache_seconds": getattr(settings, "FEATURE_FLAG_CACHE_SECONDS", None),
    }


def table_named(name: str) -> str:
    """``"public"."common_featureflag"`` → ``common_featureflag``."""
    return re.sub(r"[\"`\[\]]", "", name).rpartition(".")[2]


def flags_later(data: Mapping[str, Any]) -> Any:
    """Every feature flag again, once this process had to forget its copy."""
    time.sleep(min(max(0.0, float(data["wait_seconds"])), LONGEST_WAIT))
    return flags()


def whitelisted(data: Mapping[str, Any]) -> Any:
    """Is the user on the whitelist of the feature? None where the service cannot tell."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]

    asked = getattr(FeatureFlagService, "is_whitelisted", None)
    return None if asked is None else bool(asked(feature_named(data["feature"]), data["user_id"]))


def warming_state() -> dict[str, Any]:
    """May the site warm, and does it have the command that starts a run?"""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from django.core.management import get_commands  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return {
        "settings": getattr(settings, "CACHE_WARMING", None),
        "flag": FeatureFlagService.get_feature_status(feature_named("CACHE_WARMING")),
        "command": "warm_cache" in get_commands(),
    }


def running_tasks() -> dict[str, Any]:
    """What the Celery workers that answer within a second are working on."""
    from celery import current_app  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with current_app.connection_for_read(connect_timeout=1) as broker:
        # Without this a broker that is away would be tried again a hundred times.
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        answers = current_app.control.inspect(timeout=1.0, connection=broker).active() or {}
    tasks = [
        {"worker": str(worker), "task": str(task.get("name", "")), "started_at": task.get("time_start")}
        for worker, active in answers.items()
        for task in active
    ]
    return {"workers": len(answers), "tasks": tasks[:200]}


def cache_warming() -> Any:
    """The setting CACHE_WARMING."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return getattr(settings, "CACHE_WARMING", None)


def throttling() -> dict[str, Any]:
    """The throttling part of the setting REST_FRAMEWORK."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    framework = getattr(settings, "REST_FRAMEWORK", None) or {}
    return {
        "classes": [str(name) for name in framework.get("DEFAULT_THROTTLE_CLASSES", [])],
        "rates": dict(framework.get("DEFAULT_THROTTLE_RATES", {})),
        "num_proxies": framework.get("NUM_PROXIES"),
    }


def caches() -> dict[str, Any]:
    """The setting CACHES without anything that may be a password."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return {alias: cache_without_secrets(cache) for alias, cache in settings.CACHES.items()}


def cache_without_secrets(cache: Mapping[str, Any]) -> dict[str, Any]:
    """One cache: chosen keys, and its location without user, password and query."""
    options = cache.get("OPTIONS") or {}
    pool = options.get("CONNECTION_POOL_KWARGS") or {}
    location = cache.get("LOCATION", "")
    several = list(location) if isinstance(location, (list, tuple)) else [location]
    shown = {key: cache[key] for key in CACHE_KEYS if key in cache}
    shown["LOCATION"] = [without_credentials(str(one)) for one in several]
    shown["OPTIONS"] = {key: options[key] for key in CACHE_OPTIONS if key in options}
    shown["OPTIONS"]["CONNECTION_POOL_KWARGS"] = {key: pool[key] for key in POOL_OPTIONS if key in pool}
    return shown


def without_credentials(location: str) -> str:
    """``redis://:secret@host:6379/1?password=x`` → ``redis://host:6379/1``."""
    if "://" not in location:
        return location.rpartition("@")[2]
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def sessions() -> dict[str, str]:
    """Where sessions are kept: in a cache, clearing that cache signs every user out."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return {"engine": settings.SESSION_ENGINE, "cache_alias": settings.SESSION_CACHE_ALIAS}


def dbsize() -> Any:
    """Number of keys in the Redis database of the default cache."""
    from django_redis import get_redis_connection  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return get_redis_connection("default").dbsize()


def identity() -> dict[str, Any]:
    """Which site this is: its settings, where its databases and caches are; nothing that may be a password."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE", "")
    databases = getattr(settings, "DATABASES", None) or {}
    caches = getattr(settings, "CACHES", None) or {}
    return {
        "settings": str(module),
        "databases": {str(alias): place_of_database(one) for alias, one in databases.items()},
        "caches": {str(alias): place_of_cache(one) for alias, one in caches.items()},
    }


def place_of_database(database: Mapping[str, Any]) -> dict[str, str]:
    """Engine, host, port and name, and the service that stands for them."""
    found = {key: str(database.get(key) or "") for key in ("ENGINE", "HOST", "PORT", "NAME")}
    found["NAME"] = without_credentials(found["NAME"]) if "://" in found["NAME"] else found["NAME"]
    service = (database.get("OPTIONS") or {}).get("service")
    return {**found, "service": str(service)} if service else found


def place_of_cache(cache: Mapping[str, Any]) -> dict[str, Any]:
    """Kind, hosts and database, and how its keys begin."""
    options = cache.get("OPTIONS") or {}
    location = cache.get("LOCATION", "")
    several = list(location) if isinstance(location, (list, tuple)) else [location]
    database = options.get("DB", options.get("db", (options.get("CONNECTION_POOL_KWARGS") or {}).get("db")))
    shown: dict[str, Any] = {key: str(cache[key]) for key in ("BACKEND", "KEY_PREFIX", "VERSION") if key in cache}
    shown["LOCATION"] = [with_database(str(one), database) for one in several]
    if options.get("SENTINELS"):
        shown["SENTINELS"] = str(options["SENTINELS"])
    return shown


def with_database(location: str, database: Any) -> str:
    """The location without credentials; of its query, or of the options, the number of the database stays."""
    found = (parse_qs(urlsplit(location).query).get("db") or [database])[0]
    return without_credentials(location) if found is None else f"{without_credentials(location)}?db={found}"


READS = {
    "flags": flags,
    "cache_warming": cache_warming,
    "throttling": throttling,
    "caches": caches,
    "sessions": sessions,
    "dbsize": dbsize,
    "flag_service": flag_service,
    "warming_state": warming_state,
    "running_tasks": running_tasks,
    "identity": identity,
}
#: Reads that are about something in particular; they get the request's data.
ASKED = {"flags_later": flags_later, "whitelisted": whitelisted}


def answer(data: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the named reads; one that fails does not take the others with it."""
    asked = {name: functools.partial(read, data) for name, read in ASKED.items()}
    with reading_only():
        return {name: attempt(asked[name] if name in asked else READS[name]) for name in data["reads"]}


@contextlib.contextmanager
def reading_only() -> Iterator[None]:
    """Inside, SQL that changes something is refused before it is sent; some sites write while they are read."""
    with contextlib.ExitStack() as watched:
        for connection in connections_of_the_site():
            watched.enter_context(connection.execute_wrapper(refuse_changes))
        yield


def connections_of_the_site() -> Any:
    """Its database connections; none where this is no Django site with settings."""
    try:
        from django.db import connections  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return connections.all()
    except Exception:  # noqa: BLE001 - each read then says for itself what is wrong
        return []


def refuse_changes(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    """Passes on what does not begin with a word that changes data or tables."""
    if CHANGES.match(str(sql)):
        raise PermissionError(f"reading must not change anything, but the site's code sent {str(sql).split()[0]}")
    return execute(sql, params, many, context)


def attempt(read: Callable[[], Any]) -> dict[str, Any]:
    """``{"value": …}``, or ``{"error": …}`` with the type and the message of what went wrong."""
    try:
        return {"value": plain(read())}
    except Exception as error:  # noqa: BLE001 - whatever the site's code raises is the answer
        return {"error": said(error)}
