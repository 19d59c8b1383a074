"""The parts of the sandbox: how each is started, and how one knows that it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.layout import REPOSITORY, SITE, Home
from sandbox.processes.ports import LOOPBACK, Ports
from sandbox.processes.servers import Servers
from sandbox.processes.tether import RUN_ID
from sandbox.settings import Settings


@dataclass(frozen=True)
class Part:
    """One long-running process with its children.

    Attributes:
        name: what people call it.
        argv: program and arguments.
        cwd: working directory.
        environment: complete environment.
        port: where it listens, if it does.
        ready_path: URL path that answers 200 once it is ready; None: it is ready when the port accepts.
        ready_seconds: how long that may take.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = field(repr=False)
    port: int | None = None
    ready_path: str | None = None
    ready_seconds: float = 20.0


@dataclass(frozen=True)
class Blueprint:
    """Makes the description of every part of one run."""

    settings: Settings
    home: Home
    ports: Ports
    servers: Servers
    run_id: str

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a child: ours, the id of this run, and what the child needs."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SITE_")}
        return {**inherited, RUN_ID: self.run_id, "PYTHONUNBUFFERED": "1", **more}

    def site_environment(self, multiprocess: str | None = None) -> dict[str, str]:
        """Return the environment of a process of the site."""
        environment = self.environment(SITE_ENV_FILE=str(self.home.site_environment))
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
        if multiprocess is not None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(self.home.path / multiprocess)
        return environment

    def redis(self) -> Part:
        """The site's cache."""
        return self._redis_server("redis", self.ports.redis)

    def broker(self) -> Part:
        """Celery's queue."""
        return self._redis_server("broker", self.ports.broker)

    def _redis_server(self, name: str, port: int) -> Part:
        folder = self.home.path / name
        argv = (self.servers.redis_server, str(folder / "redis.conf"))
        return Part(name, argv, folder, self.environment(), port=port, ready_seconds=5)

    def web(self) -> Part:
        """The site under gunicorn."""
        argv = (
            *(sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "gunicorn_conf.py"),
            *("--bind", f"{LOOPBACK}:{self.ports.web}", "--workers", str(self.settings.web_workers)),
        )
        environment = self.site_environment("multiprocess-web")
        return Part("web", argv, SITE, environment, port=self.ports.web, ready_path="/api/health/cache")

    def worker(self) -> Part:
        """The Celery worker, which warms the cache and serves its own metrics."""
        argv = (
            *(sys.executable, "-m", "celery", "-A", "config", "worker"),
            *("--concurrency", "2", "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle", "--hostname", "sandbox@localhost"),
        )
        environment = self.site_environment("multiprocess-worker")
        return Part("worker", argv, SITE, environment, port=self.ports.worker_metrics, ready_path="/metrics")

    def beat(self) -> Part:
        """Celery's clock."""
        folder = self.home.path / "beat"
        argv = (
            *(sys.executable, "-m", "celery", "-A", "config", "beat", "--loglevel", "INFO"),
            *("--schedule", str(folder / "schedule"), "--pidfile", ""),
        )
        return Part("beat", argv, SITE, self.site_environment())

    def traffic(self) -> Part:
        """The traffic generator."""
        users = str(self.settings.catalogue.users)
        argv = (
            sys.executable,
            "-m",
            "sandbox.traffic.generator",
            str(self.home.path),
            str(self.ports.web),
            users,
        )
        return Part("traffic", argv, REPOSITORY, self.environment())

    def prometheus(self) -> Part:
        """Prometheus, on the blocks that hold the history."""
        folder = self.home.path / "prometheus"
        argv = (
            self.servers.prometheus,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=30d",
            # Merging the blocks of the history would take a core for seconds and gain nothing here.
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=2h",
            f"--web.listen-address={LOOPBACK}:{self.ports.prometheus}",
            "--log.level=warn",
        )
        environment = self.environment(GOGC="60")
        port = self.ports.prometheus
        return Part("prometheus", argv, folder, environment, port=port, ready_path="/-/ready")
