"""What a notebook opens and closes.

::

    runbook = open_runbook("low_hit_rate", environment=environment, window=window)
    memory = runbook.sources.redis.server()
    …
    runbook.close(verdict)

Under ``runbooks run`` the notebook belongs to a run that is recorded already. Under bare papermill and in JupyterLab it
starts a run of its own, so that it is recorded all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib import catalog, config
from runbooks_lib.config import Configuration, Environment
from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.execution import RUN_FOLDER_VARIABLE, RUN_ID_VARIABLE
from runbooks_lib.judgement.next_steps import Surroundings
from runbooks_lib.model import Verdict
from runbooks_lib.parameters import check_values, parse_duration
from runbooks_lib.policy import Policy, policy_for
from runbooks_lib.records import origin
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import Outcome, Run, attach_run, run_folder, start_run

if TYPE_CHECKING:
    from runbooks_lib.sources.cache_metrics import CacheMetrics
    from runbooks_lib.sources.cache_stats import CacheStats
    from runbooks_lib.sources.django_site import DjangoSite
    from runbooks_lib.sources.prometheus import Prometheus
    from runbooks_lib.sources.redis_cache import RedisCache
    from runbooks_lib.sources.web import Web


#: How many started runs are looked at for one that this very process left open.
_LOOK_BACK_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Sources:
    """The systems of one environment, each ready to be read; none is contacted before it is.

    Attributes:
        redis: the cache's Redis.
        prometheus: the metrics, by PromQL.
        metrics: lookups, requests and warming, computed from Prometheus.
        web: the site's own health endpoint and exposition.
        cache_stats: the table of lookups in the site's database.
        django: the site's own code, through ``manage.py``.
    """

    redis: RedisCache
    prometheus: Prometheus
    metrics: CacheMetrics
    web: Web
    cache_stats: CacheStats
    django: DjangoSite


class Runbook:
    """An opened runbook. Made by ``open_runbook``.

    Attributes:
        name: of the runbook.
        configuration: the parsed ``runbooks.toml``.
        environment: the site it looks at.
        parameters: what was handed to ``open_runbook``, checked.
        run: where it is recorded. ``run.ledger_error`` is worth showing when it is not empty.
    """

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        name: str,
        configuration: Configuration,
        environment: Environment,
        parameters: Mapping[str, Any],
        run: Run,
        *,
        owns_run: bool,
    ) -> None:
        self.name = name
        self.configuration = configuration
        self.environment = environment
        self.parameters = dict(parameters)
        self.run = run
        self._owns_run = owns_run
        self._closed = False

    def __repr__(self) -> str:
        return f"Runbook({self.name!r}, environment={self.environment.name!r}, run={self.run.id!r})"

    @cached_property
    def policy(self) -> Policy:
        """The guide's thresholds, with windows and hold times scaled for the environment."""
        return policy_for(self.environment.time_scale)

    @cached_property
    def sources(self) -> Sources:
        """The systems that can be read. Making them contacts nothing."""
        return sources_of(self.environment)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the next steps may refer to: the runbooks that exist, the site's shell, whom to call."""
        return Surroundings(
            environment=self.environment.name,
            runbooks=frozenset(entry.name for entry in catalog.entries(self.configuration.root)),
            manage=self.environment.manage,
            contacts=self.configuration.contacts,
        )

    def seconds(self, name: str) -> float | None:
        """A duration parameter in seconds; None for ``auto``, which leaves the choice to the policy.

        Raises:
            UsageError: the parameter is not a duration.
        """
        value = str(self.parameters[name])
        return None if value == "auto" else parse_duration(value)

    def close(self, verdict: Verdict) -> None:
        """Record the verdict; the first one counts. A run of its own is finished with it.

        Raises:
            RecordError: the run's folder could not be written.
        """
        if self._closed or not self.run.is_open:
            return
        self.run.judged(verdict)
        if self._owns_run:
            conclude(self.run, "finished")
        self._closed = True


def conclude(run: Run, outcome: Outcome, reason: str = "") -> None:
    """Write the report and close the run, in this order: the closing event holds the report's hash.

    A report that cannot be written never loses the run: the reason is kept in the record instead.

    Raises:
        RecordError: the run's folder could not be written.
    """
    from runbooks_lib.presentation.report import write_report

    record = run.ended(outcome, reason)
    try:
        write_report(run.folder, record)
    except (OSError, ValueError) as error:
        reason = f"{reason}; " * bool(reason) + f"the report could not be written: {error}"
    run.finish(outcome, reason)


def open_runbook(
    name: str,
    /,
    *,
    environment: str,
    configuration: Configuration | None = None,
    parameters: Mapping[str, Any] | None = None,
    **named: Any,
) -> Runbook:
    """Open a runbook on one environment. Nothing is contacted but the ledger.

    Args:
        name: of the runbook, as its file is named.
        environment: a configured environment.
        configuration: the parsed ``runbooks.toml``; the nearest one by default.
        parameters: the notebook's other parameters, as a mapping …
        named: … or one by one; both are checked against what the notebook declares, and recorded.

    Raises:
        UsageError: the environment or a parameter is not one, or does not fit.
        ConfigurationError: ``runbooks.toml`` is wrong.
        RecordError: the folder of a run of its own could not be made.
    """
    configuration = configuration or config.load()
    values = {**(parameters or {}), **named, "environment": environment}
    values = _checked(configuration, name, values)
    site = configuration.environment(environment)
    ledger = Ledger(configuration.ledger_url)
    run = _given_run(name, configuration, site, ledger)
    if run is not None:
        return Runbook(name, configuration, site, values, run, owns_run=False)
    run = start_run(
        ledger=ledger,
        runs_folder=configuration.runs_folder,
        runbook=name,
        environment=environment,
        parameters=values,
        secrets=site.secrets,
        root=configuration.root,
    )
    _supersede_earlier(run, configuration, site)
    return Runbook(name, configuration, site, values, run, owns_run=True)


def sources_of(environment: Environment) -> Sources:
    """The systems of an environment. Making them contacts nothing."""
    from runbooks_lib.sources.cache_metrics import CacheMetrics
    from runbooks_lib.sources.cache_stats import CacheStats
    from runbooks_lib.sources.django_site import DjangoSite
    from runbooks_lib.sources.prometheus import Prometheus
    from runbooks_lib.sources.redis_cache import RedisCache
    from runbooks_lib.sources.web import Web

    prometheus = Prometheus(environment)
    return Sources(
        redis=RedisCache(environment),
        prometheus=prometheus,
        metrics=CacheMetrics(prometheus, environment),
        web=Web(environment),
        cache_stats=CacheStats(environment),
        django=DjangoSite(environment),
    )


def _checked(configuration: Configuration, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, held against what the notebook declares; a name without a notebook declares nothing."""
    try:
        entry = catalog.find(configuration.root, name)
    except UsageError:
        return dict(values)
    return check_values(entry.parameters, values, configuration.environment_names)


def _given_run(name: str, configuration: Configuration, site: Environment, ledger: Ledger) -> Run | None:
    """The run that ``runbooks run`` started for this notebook; None when this process was started otherwise.

    A notebook that starts another notebook hands the variables on, so the name must fit and the run must be open.
    """
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return None
    try:
        run = attach_run(Path(folder), ledger=ledger, root=configuration.root, secrets=site.secrets)
        mine = run.is_open and run.id == os.environ.get(RUN_ID_VARIABLE)
    except RecordError:
        return None
    return run if mine and run.runbook == name and run.environment == site.name else None


def _supersede_earlier(run: Run, configuration: Configuration, site: Environment) -> None:
    """Close runs of this runbook that this very process opened and never closed: the cell was executed again."""
    if run.ledger_error:
        return
    try:
        process = asdict(origin.this_process())
        for event in run.ledger.events(kind="run.started", operator=run.operator, limit=_LOOK_BACK_EVENTS):
            payload = event.payload
            if event.run_id != run.id and (payload.get("process"), payload.get("runbook")) == (process, run.runbook):
                folder = run_folder(configuration.runs_folder, event.run_id)
                earlier = attach_run(folder, ledger=run.ledger, root=configuration.root, secrets=site.secrets)
                if earlier.is_open:
                    earlier.finish("superseded", f"opened again as {run.id}")
    except (RecordError, UsageError):
        # The earlier run stays without a closing event, which says the same with fewer words.
        return
