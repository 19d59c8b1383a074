"""Count and time every request."""

from collections.abc import Callable
from time import perf_counter

from django.http import HttpRequest, HttpResponse

from common.callers import caller_of
from common.endpoints import OPERATOR_ENDPOINTS, UNMATCHED
from common.metrics.definitions import HTTP_REQUEST_DURATION, HTTP_REQUESTS

KNOWN_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class HttpMetricsMiddleware:
    """Fills ``http_requests_total`` and ``http_request_duration_seconds``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, then record it; probes of the operators are not recorded."""
        started = perf_counter()
        response = self._get_response(request)
        endpoint = _endpoint(request)
        if endpoint not in OPERATOR_ENDPOINTS:
            # A method is whatever a stranger sends; unknown ones share one label.
            method = request.method if request.method in KNOWN_METHODS else "OTHER"
            known = getattr(request, "caller", None)
            cohort = (known or caller_of(request)).cohort.value
            HTTP_REQUESTS.labels(
                endpoint=endpoint, method=method, code=str(response.status_code), cohort=cohort
            ).inc()
            HTTP_REQUEST_DURATION.labels(endpoint=endpoint, cohort=cohort).observe(perf_counter() - started)
        return response


def _endpoint(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.url_name if match is not None and match.url_name else UNMATCHED
