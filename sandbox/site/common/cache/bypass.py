"""Serving without Redis: from the page cache where that is on, else from the database."""

from common.cache.answer import Answer
from common.cache.keys import CacheKey
from common.cache.page_cache import read_page, write_page
from common.cache.resources import Resource
from common.callers import Caller
from common.feature_flags import Feature
from common.metrics.labels import LookupStatus


def answer_without_redis(*, resource: Resource, key: CacheKey, caller: Caller) -> Answer:
    """Answer ``key`` although there is no Redis; anonymous readers may get a page up to a minute old."""
    if Feature.PAGE_CACHE not in caller.features or not caller.is_anonymous:
        return Answer(LookupStatus.BYPASS, resource.load(key))
    page = read_page(name=str(key))
    if page is not None:
        return Answer(LookupStatus.BYPASS, page.data, age_seconds=page.age_seconds, page_cache="HIT")
    data = resource.load(key)
    if data is not None:
        write_page(name=str(key), data=data)
    return Answer(LookupStatus.BYPASS, data, page_cache="MISS")
