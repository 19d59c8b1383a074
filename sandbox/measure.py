"""What the sandbox's own Prometheus says about the site now."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from sandbox.processes.ports import LOOPBACK

WINDOW_SECONDS = 20


@dataclass(frozen=True)
class Vitals:
    """The site's vital signs over the last seconds; None where there is no answer.

    Attributes:
        requests_per_second: answered HTTP requests.
        hit_ratio: (hit + stale + null_value) / all lookups, 0..1.
        penetration_ratio: null_value / all lookups, 0..1.
    """

    requests_per_second: float | None
    hit_ratio: float | None
    penetration_ratio: float | None


def query(port: int, expression: str, *, at: float | None = None) -> float | None:
    """Evaluate an expression that gives one number.

    Args:
        port: of Prometheus.
        expression: PromQL.
        at: unix time; None is now.

    Returns:
        The number; None if there is no result, or Prometheus does not answer.
    """
    parameters = {"query": expression, **({} if at is None else {"time": str(at)})}
    url = f"http://{LOOPBACK}:{port}/api/v1/query?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            result = json.load(answer)["data"]["result"]
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return None
    number = float(result[0]["value"][1]) if result else float("nan")
    return None if math.isnan(number) else number


def vitals(port: int, *, window_seconds: int = WINDOW_SECONDS, at: float | None = None) -> Vitals:
    """Read the vital signs over a window."""
    window = f"[{window_seconds}s]"
    everything = f"sum(rate(cache_requests_total{window}))"
    return Vitals(
        query(port, f"sum(rate(http_requests_total{window}))", at=at),
        query(port, f'sum(rate(cache_requests_total{{status!="miss"}}{window})) / ({everything} > 0)', at=at),
        query(
            port,
            f'sum(rate(cache_requests_total{{status="null_value"}}{window})) / ({everything} > 0)',
            at=at,
        ),
    )
