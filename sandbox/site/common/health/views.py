"""The health address of the cache."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.feature_flags import FeatureFlagService
from common.health.judgement import HealthStatus, judge
from common.health.selectors import RedisReading, read_redis
from common.metrics.recent import recent_lookups


class CacheHealthView(APIView):
    """200 while the cache serves, healthy or degraded; 503 when Redis is gone (the site itself still serves)."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def get(self, request: Request) -> Response:
        """Everything at a glance. Ratios are 0..1 over all web workers and the last minutes; null: not known."""
        redis, totals = read_redis(), recent_lookups.observe()
        status = judge(redis=redis, totals=totals)
        body = {
            "status": status.value,
            "redis": _redis_part(redis),
            "hit_rate": totals.hit_ratio,
            "penetration_rate": totals.penetration_ratio,
            "warming": {
                "last_run": redis.last_warming_at if redis else None,
                "running": redis.warming_running if redis else None,
            },
            "features": FeatureFlagService.get_all_features_status(),
            "version": settings.SITE_VERSION,
        }
        code = 503 if status is HealthStatus.DOWN else 200
        return Response(body, status=code, headers={"Cache-Control": "no-store"})


def _redis_part(redis: RedisReading | None) -> dict[str, Any]:
    return {
        "reachable": redis is not None,
        "latency_ms": redis.latency_ms if redis else None,
        "used_memory_bytes": redis.used_memory_bytes if redis else None,
        "maxmemory_bytes": redis.maxmemory_bytes if redis else None,
    }
