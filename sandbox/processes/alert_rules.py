"""The alert rules of the practice site's Prometheus: the guide's, so that somebody would be told."""

from __future__ import annotations

import json

LOOKUPS = "cache_requests_total"
HELD_SECONDS = {"CacheLowHitRate": 900, "CacheHighPenetration": 300, "CacheWithoutLookups": 300}


def alert_rules(time_scale: float) -> str:
    """Return rules.yml: low hit rate, high penetration, no lookups at all; hold times divided by ``time_scale``."""
    # Four scrapes at least, or a rate has nothing to compare.
    window = "10s"
    every = f"sum(rate({LOOKUPS}[{window}]))"
    hits = f'sum(rate({LOOKUPS}{{status!="miss"}}[{window}]))'
    attempts = f"sum(rate(cache_penetration_attempts_total[{window}]))"
    expressions = {
        "CacheLowHitRate": f"{hits} / ({every} > 1) < 0.8",
        "CacheHighPenetration": f"{attempts} / ({every} > 1) > 0.1",
        "CacheWithoutLookups": f"{every} == 0 and sum(rate(http_requests_total[{window}])) > 1",
    }
    rules = [
        {
            "alert": name,
            "expr": expression,
            "for": f"{max(1, round(HELD_SECONDS[name] / time_scale))}s",
            "labels": {"severity": "warning"},
            "annotations": {"summary": f"{name} on the practice site", "runbook": "runbooks triage -e sandbox"},
        }
        for name, expression in expressions.items()
    ]
    return json.dumps({"groups": [{"name": "cache", "rules": rules}]}, indent=1) + "\n"  # JSON is YAML
