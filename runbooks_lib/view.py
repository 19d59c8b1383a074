"""One environment, ready to be read and judged: its sources, its policy, and what the next steps may refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbooks_lib import catalog
from runbooks_lib.config import Configuration, Environment
from runbooks_lib.errors import UsageError
from runbooks_lib.judgement.next_steps import Surroundings
from runbooks_lib.parameters import check_values, parse_duration
from runbooks_lib.policy import Policy, policy_for

if TYPE_CHECKING:
    from runbooks_lib.sources.cache_stats import CacheStats
    from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
    from runbooks_lib.sources.metrics.prometheus import Prometheus
    from runbooks_lib.sources.redis.cache import RedisCache
    from runbooks_lib.sources.site.django_site import DjangoSite
    from runbooks_lib.sources.site.web import Web


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
        secrets: values to remove from whatever they answer; longest first.
    """

    redis: RedisCache
    prometheus: Prometheus
    metrics: CacheMetrics
    web: Web
    cache_stats: CacheStats
    django: DjangoSite
    secrets: tuple[str, ...] = field(default=(), repr=False)


class View:
    """What a runbook reads and judges with. Made by ``open_view``; making it contacts nothing.

    Attributes:
        name: of the runbook.
        configuration: the parsed ``runbooks.toml``.
        environment: the site it looks at.
        parameters: what the runbook was given, checked.
    """

    def __init__(
        self, name: str, configuration: Configuration, environment: Environment, parameters: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.configuration = configuration
        self.environment = environment
        self.parameters = dict(parameters)

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


def open_view(configuration: Configuration, name: str, parameters: Mapping[str, Any]) -> View:
    """Check a runbook's parameters and resolve its environment.

    Args:
        configuration: the parsed ``runbooks.toml``.
        name: of the runbook.
        parameters: typed values; ``environment`` is one of them.

    Raises:
        UsageError: the environment or a parameter is not one, or does not fit.
        ConfigurationError: the environment's table is wrong.
    """
    values = _checked(configuration, name, parameters)
    return View(name, configuration, configuration.environment(values["environment"]), values)


def sources_of(environment: Environment) -> Sources:
    """The systems of an environment. Making them contacts nothing."""
    from runbooks_lib.sources.cache_stats import CacheStats
    from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
    from runbooks_lib.sources.metrics.prometheus import Prometheus
    from runbooks_lib.sources.redis.cache import RedisCache
    from runbooks_lib.sources.site.django_site import DjangoSite
    from runbooks_lib.sources.site.web import Web

    prometheus = Prometheus(environment)
    return Sources(
        redis=RedisCache(environment),
        prometheus=prometheus,
        metrics=CacheMetrics(prometheus, environment),
        web=Web(environment),
        cache_stats=CacheStats(environment),
        django=DjangoSite(environment),
        secrets=environment.secrets,
    )


def _checked(configuration: Configuration, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, held against what the notebook declares; a name without a notebook declares nothing."""
    try:
        entry = catalog.find(configuration.root, name)
    except UsageError:
        return dict(values)
    return check_values(entry.parameters, values, configuration.environment_names)
