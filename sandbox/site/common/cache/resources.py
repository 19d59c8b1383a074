"""The answers that can be cached: how each is loaded, and how much it matters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from common.cache.keys import CacheKey

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind of answer, the same for requests and for warming.

    Attributes:
        view: class name of the view that serves it; the second part of the key.
        endpoint: URL name; the label of the metrics.
        load: reads the database; returns the answer as JSON-able data, or None when there is no such thing.
        warming_priority: 1 is warmed first.
        parent: name of the parent in keys of lists, for instance ``course``.
    """

    view: str
    endpoint: str
    load: Callable[[CacheKey], Payload | None]
    warming_priority: int
    parent: str | None = None


@cache
def all_resources() -> Mapping[str, Resource]:
    """All resources of the installed apps, by view."""
    return {resource.view: resource for path in settings.CACHE_RESOURCES for resource in import_string(path)}


def resource_named(view: str) -> Resource | None:
    """The resource that ``view`` serves."""
    return all_resources().get(view)
