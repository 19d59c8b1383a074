"""The steps of `up`, side by side where they can be: two cores are enough for a start within 20 seconds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sandbox.content.site_job import job_command, job_environment
from sandbox.content.template import answers_of, copy_template, is_complete, prune_templates, template_of
from sandbox.errors import PartFailed
from sandbox.files import last_lines, read_json, write_json, write_text
from sandbox.layout import REPOSITORY, SITE
from sandbox.processes.cleaning import clear_home
from sandbox.processes.configuration import SCHEDULED_WARMING_SECONDS, write_configuration, write_variables
from sandbox.processes.http import fetch
from sandbox.processes.orders import Step
from sandbox.processes.parts import Blueprint, Part
from sandbox.processes.runner import POLL_SECONDS, Runner
from sandbox.traffic.control import Load, write_load

JOB_SECONDS = 60.0
TRAFFIC_START_SECONDS = 0.5
# The history ends when it will be made. Too late a guess delays `up`, too early a guess widens the gap at the seam.
GUESSED_SECONDS, GUESSED_SECONDS_PER_DAY = 1.0, 0.7
LONGEST_GUESS_SECONDS, CAUTION = 12.0, 0.85
TARGETS_SECONDS = 15.0
HEALTHY_TARGETS = 'count(up{job=~"site|worker"} == 1 and (time() - timestamp(up)) < 10) == 2'


class BringUp:
    """Starts the parts of one run in an order in which each finds what it needs."""

    def __init__(self, blueprint: Blueprint, runner: Runner, report: Callable[[Step], None]) -> None:
        """Take the description; nothing is started yet."""
        self.blueprint, self.runner, self.report = blueprint, runner, report
        self.settings, self.home = blueprint.settings, blueprint.home
        self._staged = self.home.path / "staged.sqlite3"

    async def run(self) -> None:
        """Start everything and wait until all of it works.

        Raises:
            PartFailed: a part or a job failed.
        """
        self._prepare_home()
        await together(self._servers(), self._database())
        await together(self._warm_up(), self._site())
        # The counters of the site begin at 0 when traffic begins, which is when the history ends.
        end = int(time.time() + self._usual_history_seconds())
        await together(self._traffic(end), self._metrics_history(end))
        await self._prometheus()
        write_variables(self.home, self.blueprint.ports)

    def _prepare_home(self) -> None:
        clear_home(self.home)
        shutil.rmtree(self.home.logs, ignore_errors=True)
        self.home.failure.unlink(missing_ok=True)
        write_configuration(self.settings, self.home, self.blueprint.ports)
        write_load(self.home.traffic_control, Load(self.settings.rate_per_second, self.settings.exponent))

    async def _servers(self) -> None:
        async with self._step("redis-server, for the cache and for the task queue"):
            await together(self._start(self.blueprint.redis()), self._start(self.blueprint.broker()))

    async def _database(self) -> None:
        template = template_of(self.settings.cache, self.settings.catalogue)
        known = is_complete(template)
        note = "copied from the template" if known else "migrated and seeded"
        async with self._step("database", note):
            if not known:
                temporary = template.with_name(f".{self.blueprint.run_id}.sqlite3")
                temporary.parent.mkdir(parents=True, exist_ok=True)
                try:
                    sizes = json.dumps(vars(self.settings.catalogue))
                    await self._site_job("content.make_template", str(template), sizes, database=str(temporary))
                finally:
                    for leftover in temporary.parent.glob(f"{temporary.name}*"):
                        leftover.unlink(missing_ok=True)
                prune_templates(self.settings.cache)
            copy_template(template, database=self._staged, catalogue=self.home.catalogue)

    async def _site(self) -> None:
        await self._stats_history()
        await together(self._web(), self._worker(), self._beat())

    async def _web(self) -> None:
        async with self._step("site: gunicorn", f"{self.settings.web_workers} workers"):
            await self._start(self.blueprint.web())

    async def _worker(self) -> None:
        async with self._step("site: Celery worker"):
            await self._start(self.blueprint.worker())

    async def _beat(self) -> None:
        await self._start(self.blueprint.beat())

    async def _stats_history(self) -> None:
        async with self._step("rows in cache_stats", f"{self.settings.history_days:g} days"):
            rate, days = str(self.settings.rate_per_second), str(self.settings.history_days)
            await self._job("history.stats_rows", str(self._staged), str(int(time.time())), rate, days)
            self._staged.rename(self.home.database)

    async def _warm_up(self) -> None:
        async with self._step("cache warmed"):
            database = self.home.path / "warm-up.sqlite3"
            template = template_of(self.settings.cache, self.settings.catalogue)
            copy_template(template, database=database, catalogue=self.home.catalogue)
            await self._site_job(
                "content.warm_up", str(self.home.path), str(answers_of(template)), database=str(database)
            )
            for leftover in self.home.path.glob(f"{database.name}*"):
                leftover.unlink()

    async def _metrics_history(self, end: int) -> None:
        """Learn the series from the site itself, then tell their last seven days."""
        began = time.monotonic()
        async with self._step("history in Prometheus", f"{self.settings.history_days:g} days"):
            await together(
                self._learn("web", self.blueprint.ports.web),
                self._learn("worker", self.blueprint.ports.worker_metrics),
            )
            await together(self._half("older", end), self._half("newer", end))
        write_json(self._pace, {"history_seconds": round(time.monotonic() - began, 1)})

    @property
    def _pace(self) -> Path:
        """How long making a history of this length took the last time on this machine."""
        return self.settings.cache / f"pace-{self.settings.history_days:g}.json"

    def _usual_history_seconds(self) -> float:
        guess = GUESSED_SECONDS + GUESSED_SECONDS_PER_DAY * self.settings.history_days
        usual: float = read_json(self._pace, {"history_seconds": guess})["history_seconds"]
        return CAUTION * min(usual, LONGEST_GUESS_SECONDS)

    async def _learn(self, name: str, port: int) -> None:
        answer = await fetch(port, "/metrics", timeout_seconds=5)
        if answer is None or answer[0] != 200:
            status = "did not answer" if answer is None else f"answered {answer[0]}"
            raise PartFailed(name, f"{status} on /metrics", log_tail=last_lines(self.home.log(name)))
        write_text(self.home.folder("history") / f"{name}.txt", answer[1])

    async def _half(self, half: str, end: int) -> None:
        scheduled_seconds = SCHEDULED_WARMING_SECONDS / self.settings.time_scale
        await self._job(
            *("history.halves", str(self.home.path), str(end), str(self.settings.rate_per_second)),
            *(str(scheduled_seconds), str(self.settings.history_days)),
            *(self.blueprint.servers.promtool, half),
            log=f"history-{half}",
        )

    async def _traffic(self, begin: int) -> None:
        rate = f"{self.settings.rate_per_second:g} per second, exponent {self.settings.exponent:g}"
        await asyncio.sleep(max(0.0, begin - TRAFFIC_START_SECONDS - time.time()))
        async with self._step("traffic", rate):
            await self._start(self.blueprint.traffic())
            await self._until(self._traffic_flows, "traffic", "sent nothing")

    async def _traffic_flows(self) -> bool:
        return self.home.traffic_status.exists()

    async def _prometheus(self) -> None:
        async with self._step("Prometheus scrapes the site and the worker"):
            await self._start(self.blueprint.prometheus())
            await self._until(self._targets_are_up, "prometheus", "did not scrape both targets")

    async def _targets_are_up(self) -> bool:
        path = f"/api/v1/query?query={quote(HEALTHY_TARGETS)}"
        answer = await fetch(self.blueprint.ports.prometheus, path)
        return answer is not None and bool(json.loads(answer[1])["data"]["result"])

    async def _until(self, condition: Callable[[], Coroutine[Any, Any, bool]], part: str, reason: str) -> None:
        deadline = time.monotonic() + TARGETS_SECONDS
        while not await condition():
            if time.monotonic() > deadline:
                tail = last_lines(self.home.log(part))
                raise PartFailed(part, f"{reason} within {TARGETS_SECONDS:g} s", log_tail=tail)
            await asyncio.sleep(POLL_SECONDS)

    async def _start(self, part: Part) -> None:
        self.runner.start(part)
        await self.runner.wait_until_ready(part.name)

    async def _job(self, module: str, *arguments: str, log: str | None = None) -> None:
        """Run one of our own programs."""
        await self.runner.run_job(
            log or name_of(module),
            job_command(module, *arguments),
            cwd=REPOSITORY,
            environment=self.blueprint.environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", GOMAXPROCS="1"),
            timeout_seconds=JOB_SECONDS,
        )

    async def _site_job(self, module: str, *arguments: str, database: str) -> None:
        """Run one of our own programs inside the site, on a database of its own."""
        environment = job_environment(self.blueprint.environment(), self.home, Path(database))
        await self.runner.run_job(
            name_of(module),
            job_command(module, *arguments),
            cwd=SITE,
            environment=environment,
            timeout_seconds=JOB_SECONDS,
        )

    @contextlib.asynccontextmanager
    async def _step(self, name: str, note: str = "") -> AsyncIterator[None]:
        began = time.monotonic()
        yield
        self.report(Step(name, time.monotonic() - began, note))


def name_of(module: str) -> str:
    """Return what a program is called in logs and messages: the last word of its module."""
    return module.rpartition(".")[2]


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Do several things at a time; the first failure ends the others and is raised as itself."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
