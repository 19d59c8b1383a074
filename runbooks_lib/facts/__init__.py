"""Facts: what the sources read, before anybody judged it.

All are frozen and carry their provenance. A fact never holds an invented value: what was not measured is None.
"""

from runbooks_lib.facts.incidents import Entry, Incident
from runbooks_lib.facts.metrics import (
    Alert,
    Alerts,
    CacheStatistics,
    EndpointLookups,
    EndpointStatistics,
    History,
    HitRateGauge,
    Lookups,
    Requests,
    Sample,
    Series,
)
from runbooks_lib.facts.metrics_contract import SITE_METRICS, ExpectedMetric, MetricsContract, MetricState
from runbooks_lib.facts.redis import (
    KeyGroup,
    KeyspaceLook,
    NodeSettings,
    RedisNode,
    RedisServer,
    RedisSettings,
    SizeEstimate,
)
from runbooks_lib.facts.rollout import Baseline, BaselineSlot, CohortSample, Gap, RolloutWindow
from runbooks_lib.facts.site import Flag, Flags, FlagService, Health, Probe, ThrottleCounter, ThrottleCounters
from runbooks_lib.facts.warming import (
    Warming,
    WarmingActivity,
    WarmingLock,
    WarmingPermission,
    WarmingType,
    WorkerTask,
    WorkerTasks,
)

__all__ = [
    "SITE_METRICS",
    "Alert",
    "Alerts",
    "Baseline",
    "BaselineSlot",
    "CacheStatistics",
    "CohortSample",
    "EndpointLookups",
    "EndpointStatistics",
    "Entry",
    "ExpectedMetric",
    "Flag",
    "FlagService",
    "Flags",
    "Gap",
    "Health",
    "History",
    "HitRateGauge",
    "Incident",
    "KeyGroup",
    "KeyspaceLook",
    "Lookups",
    "MetricState",
    "MetricsContract",
    "NodeSettings",
    "Probe",
    "RedisNode",
    "RedisServer",
    "RedisSettings",
    "Requests",
    "RolloutWindow",
    "Sample",
    "Series",
    "SizeEstimate",
    "ThrottleCounter",
    "ThrottleCounters",
    "Warming",
    "WarmingActivity",
    "WarmingLock",
    "WarmingPermission",
    "WarmingType",
    "WorkerTask",
    "WorkerTasks",
]
