"""Content changed: its answers have to leave every cache."""

import logging
from collections.abc import Iterable

from common.cache import store
from common.cache.errors import CacheUnavailable
from common.cache.keys import LEGACY, CacheKey
from common.cache.page_cache import delete_pages
from common.cache.resources import resource_named
from common.publishing import publish

logger = logging.getLogger(__name__)

RETRY_TASK = "common.tasks.invalidate_names"


def invalidate(*, keys: Iterable[CacheKey]) -> None:
    """Delete the answers under ``keys`` from the enhanced, the plain and the page cache; call it after the commit.

    Exact names, no patterns: deleting one course must not cost a walk through the whole keyspace. If Redis is away,
    the deletion is handed to a worker, which tries again until Redis is back; what is not deleted by then ends with
    its TTL. A load that began before the commit can still store the old answer afterwards; that ends with its TTL,
    too.
    """
    names_by_endpoint: dict[str, list[str]] = {}
    for key in keys:
        resource = resource_named(key.view)
        if resource is None:
            raise ValueError(f"{key.view} is no cached view")
        names_by_endpoint.setdefault(resource.endpoint, []).extend((str(key), key.name(namespace=LEGACY)))
    for endpoint, names in names_by_endpoint.items():
        delete_pages(names=names)
        try:
            store.delete(names=names, endpoint=endpoint)
        except CacheUnavailable:
            logger.warning("%d answers of %s not deleted now, a worker will try again", len(names), endpoint)
            publish(task=RETRY_TASK, arguments=(endpoint, names))
