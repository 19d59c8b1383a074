"""The names that may appear as ``endpoint`` labels: URL names, never ids."""

from functools import cache

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

# Probes of the operators are no traffic: a failing health check must not look like a failing site.
OPERATOR_ENDPOINTS = frozenset({"metrics", "health-cache"})
UNMATCHED = "unmatched"


@cache
def cached_endpoints() -> tuple[str, ...]:
    """URL names of the answers that are cached."""
    return tuple(resource.endpoint for path in settings.CACHE_RESOURCES for resource in import_string(path))


@cache
def http_endpoints() -> tuple[str, ...]:
    """URL names that are counted as traffic, and one name for addresses that do not exist."""
    names = {name for name in _names(get_resolver().url_patterns) if name not in OPERATOR_ENDPOINTS}
    return (*sorted(names), UNMATCHED)


def _names(patterns: list[URLPattern | URLResolver]) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            found.extend(_names(pattern.url_patterns))
        elif pattern.name:
            found.append(pattern.name)
    return found
