"""The address that Prometheus scrapes."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST

from common.metrics.exposition import exposition
from common.metrics.recent import recent_lookups


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics of all web workers. Keep it off the public network: it needs no credentials."""
    recent_lookups.observe()
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)
