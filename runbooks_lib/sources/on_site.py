"""The program that answers reads inside the site. Its text is sent to ``manage.py shell``; nothing here imports it.

Standard library, Django and the site's own code only; Python 3.8 and later. It only reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

#: What may be shown of a cache. Everything else, OPTIONS above all, may hold a password.
CACHE_KEYS = ("BACKEND", "KEY_PREFIX", "VERSION", "TIMEOUT", "KEY_FUNCTION")
CACHE_OPTIONS = ("CLIENT_CLASS", "COMPRESSOR", "SERIALIZER", "IGNORE_EXCEPTIONS", "MAX_ENTRIES")
POOL_OPTIONS = ("max_connections", "retry_on_timeout", "socket_timeout", "socket_connect_timeout")


def flags() -> Any:
    """Every feature flag, as the site's own code states it."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return FeatureFlagService.get_all_features_status()


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


READS = {
    "flags": flags,
    "cache_warming": cache_warming,
    "throttling": throttling,
    "caches": caches,
    "sessions": sessions,
    "dbsize": dbsize,
}


def answer(data: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the named reads; one that fails does not take the others with it."""
    return {name: attempt(READS[name]) for name in data["reads"]}


def attempt(read: Callable[[], Any]) -> dict[str, Any]:
    """``{"value": …}``, or ``{"error": …}`` with the type and the message of what went wrong."""
    try:
        return {"value": plain(read())}
    except Exception as error:  # noqa: BLE001 - whatever the site's code raises is the answer
        return {"error": f"{type(error).__name__}: {error}"}


def plain(value: Any) -> Any:
    """JSON only: members of an enumeration by their value, anything unknown as text."""
    if isinstance(value, dict):
        return {str(getattr(key, "value", key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "value") and not isinstance(value, (str, int, float)):
        return plain(value.value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)
