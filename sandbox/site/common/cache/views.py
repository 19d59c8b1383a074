"""The base of all views whose answers are cached."""

from typing import ClassVar

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from common.cache.keys import CacheKey
from common.cache.lookup import is_refused, look_up
from common.cache.resources import Resource
from common.callers import caller_of
from common.enhanced_faults import suffer
from common.throttling.views import ThrottledAPIView


class CachedAPIView(ThrottledAPIView):
    """A view names its resource, and answers with ``answer(request, key)``."""

    resource: ClassVar[Resource]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Authenticate and throttle; then the faults that hit only callers with the enhanced cache."""
        super().initial(request, *args, **kwargs)
        suffer(caller_of(request))

    def answer(self, request: Request, key: CacheKey) -> Response:
        """The answer under ``key``: 200 with the data, or 404, with the headers of the contract."""
        caller = caller_of(request)
        if is_refused(key=key, caller=caller):
            return _not_found(headers={"Cache-Control": "no-store"})
        found = look_up(resource=self.resource, key=key, caller=caller)
        headers = found.headers(visibility="public" if key.user_id is None else "private")
        if found.data is None:
            return _not_found(headers=headers)
        return Response(found.data, headers=headers)


def _not_found(*, headers: dict[str, str]) -> Response:
    return Response({"detail": "Not found."}, status=status.HTTP_404_NOT_FOUND, headers=headers)
