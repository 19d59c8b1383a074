"""Settings of the site. Every value that differs between installations comes from ``SITE_*`` variables."""

import secrets
from pathlib import Path

from kombu import Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.env import parse_database_url, read_environment

ENV = read_environment()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- core ----------------------------------------------------------------------------------------------------------
DEBUG = ENV.switch("SITE_DEBUG")
SECRET_KEY = (
    ENV.text("SITE_SECRET_KEY", default=secrets.token_urlsafe(50))
    if DEBUG
    else ENV.required(
        "SITE_SECRET_KEY", hint="Set it to a long random string, or set SITE_DEBUG=1 for development."
    )
)
ALLOWED_HOSTS = ENV.names("SITE_ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
SITE_VERSION = ENV.text("SITE_VERSION", default="development")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "common",
    "accounts",
    "learning",
]
MIDDLEWARE = [
    # Outermost, so that its duration is the whole of the request.
    "common.middleware.HttpMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# --- database ------------------------------------------------------------------------------------------------------
DATABASES = {
    "default": {
        **parse_database_url(ENV.text("SITE_DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'site.sqlite3'}")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}

# --- caches --------------------------------------------------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": ENV.text("SITE_REDIS_URL", default="redis://127.0.0.1:6379/1"),
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
            # JSON instead of pickle: whoever can write to Redis must not be able to run code here, and an
            # operator can read a value without this code base.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            # A dead cache must be an error that we answer, not a silent None.
            "IGNORE_EXCEPTIONS": False,
            "CONNECTION_POOL_KWARGS": {
                "max_connections": 100,
                # The database answers in milliseconds: waiting longer than this for a cache is a loss.
                "socket_connect_timeout": 0.25,
                "socket_timeout": 0.5,
                # Explicit, because the default differs between versions, and a retried INCR counts twice.
                "retry": Retry(NoBackoff(), 0),
                "retry_on_timeout": False,
            },
        },
        "KEY_PREFIX": "django",
        "VERSION": 1,
    },
    "pages": {
        # The fallback of the fallback: it has to work when Redis does not.
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": ENV.text("SITE_PAGE_CACHE_DIR", default=str(BASE_DIR / "var" / "page-cache")),
        "TIMEOUT": 60,
        "OPTIONS": {"MAX_ENTRIES": 2000},
    },
}
# The answers that can be cached, and what startup warming loads. Dotted paths keep `common` free of the apps.
CACHE_RESOURCES = ["learning.resources.RESOURCES", "accounts.resources.RESOURCES"]
CACHE_STARTUP_PLAN = "learning.warming_plan.startup_keys"
CACHE_NULL_TTL_SECONDS = 60
CACHE_WARMING = {
    "ENABLED": True,
    "STARTUP_COURSE_LIMIT": 100,
    "CHAPTERS_PER_COURSE": 5,
    "PROBLEM_LIMIT": 100,
    "SCHEDULED_INTERVAL": ENV.number("SITE_WARMING_SCHEDULED_INTERVAL", default=3600),
}
# The health address speaks of this many seconds; a scrape or check in that time is needed to know where they began.
HEALTH_WINDOW_SECONDS = ENV.number("SITE_HEALTH_WINDOW_SECONDS", default=300)
CACHE_STATS_FLUSH_SECONDS = ENV.number("SITE_CACHE_STATS_FLUSH_SECONDS", default=2)
CACHE_STATS_RETENTION_DAYS = 14
FEATURE_FLAG_CACHE_SECONDS = 2
TOKEN_CACHE_SECONDS = 5
# Off in tests only: there, queued work is run by an explicit flush.
BACKGROUND_THREADS = True
FAULTS_FILE = ENV.text("SITE_FAULTS_FILE", default="")

# --- API -----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BrieflyCachedTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["common.permissions.IsStaffOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["common.throttling.AnonRateThrottle", "common.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "100/hour", "user": "1000/hour"},
    "NUM_PROXIES": int(ENV.number("SITE_TRUSTED_PROXIES", default=0)),
}

# --- Celery --------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = ENV.text("SITE_BROKER_URL", default="redis://127.0.0.1:6380/0")
CELERY_TASK_IGNORE_RESULT = True
# Without acknowledgements: a message on its way when the broker dies can bring kombu's Redis transport down with it
# (`restore_unacked` on a closed connection). All tasks here may be lost, the next occasion asks for them again.
CELERY_TASK_QUEUES = [Queue("celery", no_ack=True)]
CELERY_TASK_TIME_LIMIT = 330
CELERY_TASK_SOFT_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 0.25
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.25,
    # A publisher must come back from a broker that stopped answering; kombu uses it for its own reads, too.
    "socket_timeout": 5,
    "max_retries": 0,
    "interval_start": 0,
    "connect_retries_timeout": 0.25,
}
CELERY_BEAT_SCHEDULE = {
    "scheduled-warming": {
        "task": "common.tasks.run_scheduled_warming",
        "schedule": CACHE_WARMING["SCHEDULED_INTERVAL"],
        # A run that waited longer than an interval is not worth running.
        "options": {"expires": CACHE_WARMING["SCHEDULED_INTERVAL"]},
    },
    "prune-cache-stats": {"task": "common.tasks.prune_cache_stats", "schedule": 3600.0},
}
WORKER_METRICS_ADDRESS = ENV.text("SITE_WORKER_METRICS_ADDRESS", default="127.0.0.1")
WORKER_METRICS_PORT = int(ENV.number("SITE_WORKER_METRICS_PORT", default=0))

# --- logging -------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        **{name: {"level": "INFO"} for name in ("common", "learning", "accounts")},
        # One line for each 404 would let whoever scans ids fill the disk; the metrics count them.
        "django.request": {"level": "ERROR"},
    },
}
