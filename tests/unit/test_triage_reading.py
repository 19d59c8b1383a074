"""What triage reads, with sources that answer, fail, hang or lie. No server: the sources are objects in memory."""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta

from builders import FROM, NOW, health, history, lookups, requests, server, warming, warming_store

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Alerts, Flag, Flags
from runbooks_lib.judgement.change import earlier_window
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy
from runbooks_lib.sources import scrapes
from runbooks_lib.triage import read_triage

POLICY = replace(Policy(), deadline_seconds=1.0)


def refuse(*_args, **_kwargs):
    """A read that fails at once."""
    raise SourceError("connection refused", source="prometheus", hint="is it running?")


def hang(*_args, **_kwargs):
    """A read that never comes back while a test lasts."""
    threading.Event().wait(30)


@dataclass
class Metrics:
    """Metrics that answer, and remember what they were asked."""

    asked: list = field(default_factory=list)
    past: object = None

    def lookups(self, window_seconds, at=None):
        self.asked.append((window_seconds, at))
        return replace(lookups(), ended_at=at or units.now())

    def history(self, _lookback_seconds):
        return self.past or history([0.95] * 120)

    def requests(self, *_):
        return requests()

    def warming(self, *_):
        return warming()


class NoMetrics:
    """Prometheus is gone."""

    lookups = history = requests = warming = staticmethod(refuse)


@dataclass
class Part:
    """One system with the calls that a test gives it."""

    calls: dict

    def __post_init__(self):
        for name, call in self.calls.items():
            setattr(self, name, call)


@dataclass
class Sources:
    """A healthy site; tests replace parts."""

    metrics: object = field(default_factory=Metrics)
    redis: object = field(default_factory=lambda: Part({"server": server, "warming": warming_store}))
    prometheus: object = field(default_factory=lambda: Part({"alerts": lambda: Alerts((), 3, FROM)}))
    web: object = field(default_factory=lambda: Part({"health": health}))
    django: object = field(
        default_factory=lambda: Part({"flags": lambda: Flags((Flag("ENHANCED_CACHE", "on", 100.0, 0, True),), FROM)})
    )


def test_read_triage_of_a_healthy_site_reads_everything():
    """Nothing is unread, and flags come from the health endpoint without asking the site's shell."""
    sources = Sources(django=Part({"flags": hang}))
    situation = read_triage(sources, POLICY)
    assert situation.unread == ()
    assert [flag.feature for flag in situation.flags.flags] == ["ENHANCED_CACHE"]


def test_read_triage_with_a_source_that_hangs_ends_at_the_deadline_with_the_rest():
    """One hung read costs its own fact."""
    started = time.monotonic()
    situation = read_triage(Sources(redis=Part({"server": hang, "warming": warming_store})), POLICY)
    assert time.monotonic() - started < 2
    assert isinstance(situation.server, Unreadable)
    assert "no answer within" in situation.server.reason
    assert situation.lookups.total > 0


def test_read_triage_without_health_asks_the_sites_own_code_for_the_flags():
    """The flags are what an operator may have to change next."""
    situation = read_triage(Sources(web=Part({"health": refuse})), POLICY)
    assert situation.flags.flags[0].strategy == "on"


def test_read_triage_without_prometheus_takes_two_scrapes(monkeypatch):
    """Whatever the scrapes give replaces what is missing; history stays unread."""
    found = scrapes.Scraped(
        replace(lookups(), degraded="two scrapes"), requests(), Unreadable("web", "warming", "none")
    )
    monkeypatch.setattr("runbooks_lib.triage.two_scrapes", lambda *_args, **_kwargs: found)
    situation = read_triage(Sources(metrics=NoMetrics(), prometheus=Part({"alerts": refuse})), POLICY)
    assert situation.lookups.degraded == "two scrapes"
    assert situation.requests == requests()
    assert isinstance(situation.warming, Unreadable)
    assert isinstance(situation.history, Unreadable)
    assert situation.warming.reason == "connection refused"


def test_read_triage_judges_by_prometheus_clock_and_says_when_it_differs():
    """A laptop's clock that is minutes off must neither date nor hide an incident."""

    class Behind(Metrics):
        def lookups(self, window_seconds, at=None):
            return replace(lookups(), ended_at=at or units.now() - timedelta(minutes=5))

    situation = read_triage(Sources(metrics=Behind()), POLICY)
    assert abs((units.now() - situation.at).total_seconds() - 300) < 5
    assert "5 min ahead of Prometheus's" in situation.notes[0]
    assert read_triage(Sources(), POLICY).notes == ()


def test_read_triage_compares_with_the_moment_before_the_fall():
    """Not with yesterday, when the history shows where it fell."""
    past = history([0.95] * 80 + [0.5] * 40)
    metrics = Metrics(past=past)
    read_triage(Sources(metrics=metrics), POLICY)
    window, at = metrics.asked[-1]
    assert at == past.times[80] - timedelta(minutes=4)
    assert window == POLICY.window_seconds


def test_earlier_window_without_a_visible_fall_is_the_same_time_yesterday():
    """Healthy, ill since before the history, or no history at all."""
    yesterday = NOW - timedelta(hours=24)
    for past in (history([0.95] * 120), history([0.5] * 120), Unreadable("prometheus", "history", "x")):
        assert earlier_window(past, Policy(), NOW) == (yesterday, 3600)


def test_read_triage_with_a_bug_in_a_source_names_it_and_goes_on():
    """The rest of the verdict is still worth having."""

    def broken():
        raise ZeroDivisionError("division by zero")

    situation = read_triage(Sources(prometheus=Part({"alerts": broken})), POLICY)
    assert "ZeroDivisionError" in situation.alerts.reason
