"""All addresses of the site; their names are the ``endpoint`` labels of the metrics."""

from django.urls import include, path

from common.health.views import CacheHealthView
from common.metrics.views import metrics
from common.throttling.views import ThrottleStatusView

urlpatterns = [
    path("metrics", metrics, name="metrics"),
    path("api/health/cache", CacheHealthView.as_view(), name="health-cache"),
    path("api/throttle/status", ThrottleStatusView.as_view(), name="throttle-status"),
    path("api/", include("learning.urls")),
    path("api/", include("accounts.urls")),
]
