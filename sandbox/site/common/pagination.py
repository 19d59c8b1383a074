"""Pages of lists. The page number is part of the cache key, so it is checked before a key is made of it."""

import math
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import ModelSerializer

from common.cache.keys import query_of
from common.cache.resources import Payload

PAGE_SIZE = 20
MAX_PAGE = 100_000


def page_number(request: Request) -> int | None:
    """The parameter ``page``; None for the first page, which has one name only.

    Raises:
        ValidationError: not a whole number in 1..100000.
    """
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= MAX_PAGE):
        raise ValidationError({"page": f"Must be a whole number from 1 to {MAX_PAGE}."})
    return int(text) if int(text) > 1 else None


def page_query(request: Request) -> tuple[tuple[str, str], ...]:
    """The query part of the key of a list without filters. Unknown parameters are no part of any key."""
    return query_of(values={"page": page_number(request)})


def page_of(
    *, queryset: QuerySet[Any], query: dict[str, str], serializer: type[ModelSerializer]
) -> Payload | None:
    """One page of ``queryset`` as ``{count, pages, page, results}``; None for a page behind the last."""
    number, count = int(query.get("page", "1")), queryset.count()
    page_count = max(1, math.ceil(count / PAGE_SIZE))
    if number > page_count:
        return None
    rows = queryset[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return {"count": count, "pages": page_count, "page": number, "results": serializer(rows, many=True).data}
