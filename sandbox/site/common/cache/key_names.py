"""From the text of a key back to the key: warming only knows names."""

from urllib.parse import parse_qsl

from common.cache.keys import API, CacheKey
from common.cache.resources import Resource, resource_named


def parse_key(name: str) -> tuple[Resource, CacheKey] | None:
    """The resource and the key behind ``api:…``; None when this version of the site has no such answer."""
    namespace, _, rest = name.partition(":")
    view, *segments = rest.split(":")
    resource = resource_named(view)
    if namespace != API or resource is None:
        return None
    parent: tuple[str, int] | None = None
    pk: int | None = None
    query: tuple[tuple[str, str], ...] = ()
    user_id: int | None = None
    for segment in segments:
        label, _, value = segment.partition("=")
        if segment.isdecimal():
            pk = int(segment)
        elif label == "user_id" and value.isdecimal():
            user_id = int(value)
        elif label == resource.parent and value.isdecimal():
            parent = (label, int(value))
        else:
            query = tuple(parse_qsl(segment))
    key = CacheKey(view=view, parent=parent, pk=pk, query=query, user_id=user_id)
    return (resource, key) if str(key) == name else None
