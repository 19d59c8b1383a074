"""The metrics of the site. Names and labels are an interface: dashboards and runbooks depend on them."""

from prometheus_client import Counter, Gauge, Histogram

CACHE_REQUESTS = Counter(
    "cache_requests_total", "Cache lookups by outcome; bypassed ones are not lookups.", ["endpoint", "status"]
)
CACHE_PENETRATION_ATTEMPTS = Counter(
    "cache_penetration_attempts_total", "Cache lookups of a resource that does not exist.", ["endpoint"]
)
CACHE_OPERATION_DURATION = Histogram(
    "cache_operation_duration_seconds",
    "Duration of one cache operation, round trip and decoding.",
    ["operation", "endpoint"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)

# Ratios of one process since it started. No multiprocess mode adds ratios up rightly: `livemostrecent` shows the
# worker that answered last, and forgets a worker that died. For anything that matters, use the counters.
CACHE_HIT_RATE = Gauge(
    "cache_hit_rate",
    "(hit + stale + null_value) / all lookups, 0..1, of the worker that answered last, since its start.",
    ["endpoint"],
    multiprocess_mode="livemostrecent",
)
CACHE_PENETRATION_RATE = Gauge(
    "cache_penetration_rate",
    "null_value / all lookups, 0..1, of the worker that answered last, since its start.",
    ["endpoint"],
    multiprocess_mode="livemostrecent",
)

CACHE_WARMING_TASKS = Counter(
    "cache_warming_tasks_total", "Warming runs by outcome.", ["warming_type", "status"]
)
CACHE_WARMING_ITEMS = Counter("cache_warming_items_total", "Values stored by warming.", ["warming_type"])
CACHE_WARMING_DURATION = Histogram(
    "cache_warming_duration_seconds",
    "Duration of a warming run that was not skipped.",
    ["warming_type"],
    buckets=(1, 5, 10, 30, 60, 120, 300),
)

HTTP_REQUESTS = Counter("http_requests_total", "Answered requests.", ["endpoint", "method", "code", "cohort"])
HTTP_REQUEST_DURATION = Histogram(
    "http_request_duration_seconds",
    "Duration of a request; a slow one takes over 1 s.",
    ["endpoint", "cohort"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
THROTTLED_REQUESTS = Counter("throttled_requests_total", "Requests answered 429.", ["scope"])

# The worker that read the flags last; all read within FEATURE_FLAG_CACHE_SECONDS of each other.
FEATURE_FLAG_PERCENTAGE = Gauge(
    "feature_flag_percentage",
    "Share of the public, 0..100, that this process serves the feature to.",
    ["feature"],
    multiprocess_mode="livemostrecent",
)

CACHE_STATS_ROWS = Counter(
    "cache_stats_rows_total", "Rows for the table cache_stats, written or lost.", ["outcome"]
)
