"""The systems of one environment, for actions: ``Site`` reads, ``WritableSite`` writes.

A plan is made with a ``Site``. Its Redis refuses every command that the server does not flag as reading, its SQL runs
in read-only transactions, and its Django shell runs reads only: a dry run cannot write. ``apply`` makes the
``WritableSite`` after everything else has been checked, and nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbooks_lib.actions.write_node import Gate, WriteNode
from runbooks_lib.config import Environment
from runbooks_lib.policy import Policy, policy_for
from runbooks_lib.sources.redis.nodes import Nodes, ReadNode, open_nodes

if TYPE_CHECKING:
    from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
    from runbooks_lib.sources.redis.cache import RedisCache
    from runbooks_lib.sources.site.django_site import DjangoSite
    from runbooks_lib.sources.site.web import Web

__all__ = ["Progress", "Site", "WritableSite", "WriteNode"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a write is: told to the operator, and a chance to keep the lease alive."""

    done: int
    total: int | None
    what: str


class Site:
    """What a plan may read. Nothing is contacted before it is asked for; close it afterwards.

    Args:
        environment: the configured site.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @cached_property
    def policy(self) -> Policy:
        """Thresholds and durations, scaled for the environment."""
        return policy_for(self.environment.time_scale)

    @cached_property
    def nodes(self) -> Nodes:
        """Redis, one entry for each primary; reading commands only."""
        return open_nodes(self.environment)

    @cached_property
    def redis(self) -> RedisCache:
        """Redis as facts."""
        from runbooks_lib.sources.redis.cache import RedisCache

        return RedisCache(self.environment)

    @cached_property
    def django(self) -> DjangoSite:
        """The site's own code; reads only."""
        from runbooks_lib.sources.site.django_site import DjangoSite

        return DjangoSite(self.environment)

    @cached_property
    def metrics(self) -> CacheMetrics:
        """The site's metrics in Prometheus."""
        from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
        from runbooks_lib.sources.metrics.prometheus import Prometheus

        return CacheMetrics(Prometheus(self.environment), self.environment)

    @cached_property
    def web(self) -> Web:
        """The site's health endpoint, exposition and pages."""
        from runbooks_lib.sources.site.web import Web

        return Web(self.environment)

    def close(self) -> None:
        """Close connections and end the site's shells that are still running."""
        if "nodes" in self.__dict__:
            self.nodes.close()
        if "django" in self.__dict__:
            self.django.end()


def _always() -> None:
    """No lock to ask about."""


class WritableSite(Site):
    """A site that may be changed. Made by ``apply`` only.

    Args:
        environment: the configured site.
        on_progress: told between steps of a long write; raises when the write must not go on (the lease was lost).
        allowed: called directly before everything that is sent; raises RefusedError when it must not be sent.
    """

    def __init__(
        self,
        environment: Environment,
        on_progress: Callable[[Progress], None],
        allowed: Callable[[], None] = _always,
    ) -> None:
        super().__init__(environment)
        self.progress = on_progress
        self._gate = Gate(allowed)
        self._writers: dict[str, WriteNode] = {}

    @property
    def sent(self) -> bool:
        """Was anything sent that changes the site? Files that were written here do not count."""
        return self._gate.sent

    def writer(self, node: ReadNode) -> WriteNode:
        """The same primary, with writing commands."""
        if node.shown not in self._writers:
            self._writers[node.shown] = WriteNode(node, self._gate)
        return self._writers[node.shown]

    def run_in_site(self, program: str, data: Mapping[str, Any], *, timeout_seconds: float = 60.0) -> Any:
        """Run one of this library's changing programs in ``manage.py shell``; see ``sources.site.manage_shell``.

        Raises:
            SourceError: the site gave no answer; whether it changed anything is for the caller to say.
            RefusedError: the lock is lost: it was not started, and nothing was sent before it.
            MayHaveChangedError: the same after other writes.
        """
        from runbooks_lib.sources.site.manage_shell import ManageShell, NotStartedError

        sent_before = self._gate.sent
        self._gate.open()
        try:
            return ManageShell(self.environment, timeout_seconds).run(program, data)
        except NotStartedError:
            self._gate.sent = sent_before
            raise

    def close(self) -> None:
        """Close every connection."""
        for writer in self._writers.values():
            writer.close()
        super().close()
