"""Views under throttling, and the page that shows a caller's allowance."""

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from common.throttling.status import get_rate_limit_status
from common.throttling.throttles import WindowThrottle


class ThrottledAPIView(APIView):
    """Says in each answer how much of the allowance is left."""

    def get_throttles(self) -> list[BaseThrottle]:
        """The throttles of this request, kept for the headers."""
        self._throttles = super().get_throttles()
        return self._throttles

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: object, **kwargs: object
    ) -> HttpResponseBase:
        """Add the headers, also to refusals."""
        response = super().finalize_response(request, response, *args, **kwargs)
        for throttle in getattr(self, "_throttles", ()):
            if isinstance(throttle, WindowThrottle) and throttle.window is not None:
                response["X-RateLimit-Limit"] = str(throttle.num_requests)
                response["X-RateLimit-Remaining"] = str(max(0, throttle.num_requests - throttle.window.count))
        return response


class ThrottleStatusView(APIView):
    """The caller's allowance; looking is free."""

    throttle_classes = ()

    def get(self, request: Request) -> Response:
        """The status as ``get_rate_limit_status`` gives it."""
        return Response(get_rate_limit_status(request), headers={"Cache-Control": "no-store"})
