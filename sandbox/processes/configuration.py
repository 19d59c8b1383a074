"""The configuration files that `up` writes into the home folder."""

from __future__ import annotations

import json
import secrets
import sys

from sandbox.files import write_text
from sandbox.layout import Home
from sandbox.processes.alert_rules import alert_rules
from sandbox.processes.ports import LOOPBACK, Ports
from sandbox.settings import Settings

SCRAPE_SECONDS = 2
SCHEDULED_WARMING_SECONDS = 3600
HEALTH_WINDOW_SECONDS = 900
CACHE_BYTES = 256 * 1024 * 1024
BROKER_BYTES = 64 * 1024 * 1024


def write_configuration(settings: Settings, home: Home, ports: Ports) -> None:
    """Write every configuration file; the folders they name exist afterwards."""
    write_text(home.folder("redis") / "redis.conf", cache_configuration(home, ports))
    write_text(home.folder("broker") / "redis.conf", broker_configuration(home, ports))
    write_text(home.folder("prometheus") / "prometheus.yml", prometheus_configuration(ports))
    write_text(home.folder("prometheus") / "rules.yml", alert_rules(settings.time_scale))
    write_text(home.site_environment, _lines(site_variables(settings, home, ports)))
    for name in ("multiprocess-web", "multiprocess-worker", "page-cache", "beat"):
        home.folder(name)
    write_text(home.site_faults, "{}\n")


def write_variables(home: Home, ports: Ports) -> None:
    """Write ``variables.env`` for ``runbooks.toml``; its presence says that the sandbox is up."""
    write_text(home.variables, _lines(published_variables(home, ports)))


def cache_configuration(home: Home, ports: Ports) -> str:
    """Return the redis.conf of the cache: the guide's settings, with a limit that fits a laptop."""
    return _redis_configuration(home, "redis", ports.redis, CACHE_BYTES, "allkeys-lru") + (
        "timeout 300\ntcp-keepalive 60\n"
    )


def broker_configuration(home: Home, ports: Ports) -> str:
    """Return the redis.conf of the Celery broker: a server of its own, because an LRU cache may evict a queue."""
    return _redis_configuration(home, "broker", ports.broker, BROKER_BYTES, "noeviction")


def _redis_configuration(home: Home, name: str, port: int, maxmemory_bytes: int, policy: str) -> str:
    return (
        f"port {port}\nbind {LOOPBACK}\nprotected-mode yes\ndaemonize no\n"
        f'dir "{home.path / name}"\nsave ""\nappendonly no\n'
        f"maxmemory {maxmemory_bytes}\nmaxmemory-policy {policy}\n"
    )


def prometheus_configuration(ports: Ports) -> str:
    """Return prometheus.yml: the web processes and the task worker, every two seconds."""
    jobs = [
        {
            "job_name": job,
            "static_configs": [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"instance": instance}}],
        }
        for job, instance, port in (("site", "web", ports.web), ("worker", "worker", ports.worker_metrics))
    ]
    configuration = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": jobs,
    }
    return json.dumps(configuration, indent=1) + "\n"  # JSON is YAML


def site_variables(settings: Settings, home: Home, ports: Ports) -> dict[str, str]:
    """Return the ``SITE_*`` variables; the secret key is new for every sandbox."""
    return {
        "SITE_SECRET_KEY": secrets.token_urlsafe(48),
        "SITE_DEBUG": "0",
        "SITE_DATABASE_URL": f"sqlite:///{home.database}",
        "SITE_REDIS_URL": f"redis://{LOOPBACK}:{ports.redis}/1",
        "SITE_BROKER_URL": f"redis://{LOOPBACK}:{ports.broker}/0",
        "SITE_ALLOWED_HOSTS": f"{LOOPBACK},localhost",
        "SITE_TRUSTED_PROXIES": "1",
        "SITE_WARMING_SCHEDULED_INTERVAL": f"{SCHEDULED_WARMING_SECONDS / settings.time_scale:g}",
        "SITE_HEALTH_WINDOW_SECONDS": f"{HEALTH_WINDOW_SECONDS / settings.time_scale:g}",
        "SITE_FAULTS_FILE": str(home.site_faults),
        "SITE_CACHE_STATS_FLUSH_SECONDS": "2",
        "SITE_WORKER_METRICS_PORT": str(ports.worker_metrics),
        "SITE_PAGE_CACHE_DIR": str(home.path / "page-cache"),
        "SITE_VERSION": "sandbox",
        "SITE_WEB_WORKERS": str(settings.web_workers),
        "SITE_WEB_BIND": f"{LOOPBACK}:{ports.web}",
    }


def published_variables(home: Home, ports: Ports) -> dict[str, str]:
    """Return what ``runbooks.toml`` and the tests may refer to."""
    return {
        "SANDBOX_HOME": str(home.path),
        "SANDBOX_PYTHON": sys.executable,
        "SANDBOX_REDIS_PORT": str(ports.redis),
        "SANDBOX_BROKER_PORT": str(ports.broker),
        "SANDBOX_PROMETHEUS_PORT": str(ports.prometheus),
        "SANDBOX_WEB_PORT": str(ports.web),
        "SANDBOX_WORKER_METRICS_PORT": str(ports.worker_metrics),
        "SANDBOX_DATABASE": str(home.database),
    }


def _lines(variables: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())
