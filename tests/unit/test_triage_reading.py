"""What triage reads, with sources that answer, fail, hang or lie. No server: the sources are objects in memory."""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from builders import FROM, NOW, health, history, lookups, requests, server, warming, warming_store

from runbooks_lib import triage, units
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Alerts, Flag, Flags
from runbooks_lib.judgement.change import earlier_window
from runbooks_lib.model import Kind, Unreadable
from runbooks_lib.policy import Policy
from runbooks_lib.sources.metrics import scrapes
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

    def hit_rate_gauge(self):
        return None


class NoMetrics:
    """Prometheus is gone."""

    lookups = history = requests = warming = hit_rate_gauge = staticmethod(refuse)


@dataclass
class Part:
    """One system with the calls that a test gives it."""

    calls: dict

    def __post_init__(self):
        for name, call in self.calls.items():
            setattr(self, name, call)


def flags_of_the_site(**_):
    """The site's own code answers."""
    return Flags((Flag("ENHANCED_CACHE", "on", 100.0, 0, True),), FROM)


@dataclass
class Django:
    """The site's shell; remembers for how long it was asked, and whether it was ended."""

    answer: object = flags_of_the_site
    timeouts: list = field(default_factory=list)
    ended: int = 0

    def flags(self, *, timeout_seconds=None):
        self.timeouts.append(timeout_seconds)
        return self.answer()

    def end(self):
        self.ended += 1


@dataclass
class Sources:
    """A healthy site; tests replace parts."""

    metrics: object = field(default_factory=Metrics)
    redis: object = field(default_factory=lambda: Part({"server": server, "warming": warming_store}))
    prometheus: object = field(default_factory=lambda: Part({"alerts": lambda: Alerts((), 3, FROM)}))
    web: object = field(default_factory=lambda: Part({"health": health, "exposition": refuse}))
    django: object = field(default_factory=Django)
    secrets: tuple = ()


def test_read_triage_of_a_healthy_site_reads_everything():
    """Nothing is unread, and flags come from the health endpoint without asking the site's shell."""
    sources = Sources(django=Django(hang))
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
    django = Django()
    policy = replace(POLICY, deadline_seconds=3.0)
    situation = read_triage(Sources(web=Part({"health": refuse, "exposition": refuse}), django=django), policy)
    assert situation.flags.flags[0].strategy == "on"
    assert 1.5 < django.timeouts[0] < 2.5
    assert django.ended == 1


def test_read_triage_without_time_for_the_sites_shell_does_not_start_it():
    """It could not answer, and would only have to be ended."""
    django = Django()
    situation = read_triage(Sources(web=Part({"health": refuse, "exposition": refuse}), django=django), POLICY)
    assert django.timeouts == []
    assert situation.flags.what == "feature flags"


def test_read_triage_with_everything_failing_keeps_both_reasons():
    """Why not from Prometheus, and why not by two scrapes."""

    def no_page():
        raise SourceError("404 for /metrics", source="web", hint="look at site_url", kind=Kind.WRONG)

    web = Part({"health": health, "exposition": no_page})
    situation = read_triage(Sources(metrics=NoMetrics(), prometheus=Part({"alerts": refuse}), web=web), POLICY)
    assert situation.lookups.reason == "connection refused; nor by two scrapes: 404 for /metrics"
    assert situation.lookups.hint == "is it running?; look at site_url"


@dataclass(frozen=True)
class Page:
    """An exposition with the moment of its read."""

    read_monotonic: float


def test_read_triage_with_prometheus_hanging_and_slow_metrics_still_gets_two_scrapes(monkeypatch):
    """The first scrape is read while Prometheus is waited for; only the second one comes after."""
    asked = []

    def page():
        asked.append(time.monotonic())
        time.sleep(0.3)
        return SimpleNamespace(pages=(Page(time.monotonic() - 0.15),))

    def late(*_):
        time.sleep(1.0)
        raise SourceError("gave no answer", source="prometheus", kind=Kind.ABSENT)

    class Hanging:
        lookups = history = requests = warming = hit_rate_gauge = staticmethod(late)

    monkeypatch.setattr(
        "runbooks_lib.sources.metrics.scrapes._compare",
        lambda *pages: SimpleNamespace(growths=pages, gap=asked[1] - asked[0]),
    )
    for name in ("_lookups", "_requests", "_warming"):
        monkeypatch.setattr(f"runbooks_lib.sources.metrics.scrapes.{name}", lambda pair, *_: pair)
    began = time.monotonic()
    web = Part({"health": health, "exposition": page})
    policy = replace(POLICY, deadline_seconds=4.0)
    situation = read_triage(Sources(metrics=Hanging(), web=web), policy)
    assert asked[0] - began < 0.8
    assert situation.lookups.gap >= 1.5
    assert time.monotonic() - began < 3.5
    assert "gave no answer" in situation.notes[0]


def test_read_triage_of_a_healthy_site_scrapes_nothing():
    """The fallback costs nothing where it is not needed."""
    pages = []
    read_triage(Sources(web=Part({"health": health, "exposition": lambda: pages.append(1)})), POLICY)
    assert pages == []


def test_read_triage_removes_secrets_from_reasons():
    """A source that repeats a password in its message does not bring it into the verdict."""

    def tells():
        raise SourceError("refused hunter2-and-more", source="redis")

    redis = Part({"server": tells, "warming": warming_store})
    situation = read_triage(Sources(redis=redis, secrets=("hunter2-and-more",)), POLICY)
    assert situation.server.reason == "refused ***"


def test_read_triage_interrupted_ends_the_sites_shell(monkeypatch):
    """Ctrl-C must not leave a process in the site."""
    django = Django()
    real = triage.read_together

    def interrupted(reads, **keys):
        if "flags" in reads:
            raise KeyboardInterrupt
        return real(reads, **keys)

    monkeypatch.setattr(triage, "read_together", interrupted)
    policy = replace(POLICY, deadline_seconds=3.0)
    with pytest.raises(KeyboardInterrupt):
        read_triage(Sources(web=Part({"health": refuse, "exposition": refuse}), django=django), policy)
    assert django.ended == 1


def test_read_triage_without_prometheus_takes_two_scrapes(monkeypatch):
    """Whatever the scrapes give replaces what is missing; history stays unread."""
    found = scrapes.Scraped(
        replace(lookups(), degraded="two scrapes"), requests(), Unreadable("web", "warming", "none")
    )
    monkeypatch.setattr("runbooks_lib.triage.two_scrapes", lambda *_args, **_kwargs: found)
    web = Part({"health": health, "exposition": lambda: None})
    situation = read_triage(Sources(metrics=NoMetrics(), prometheus=Part({"alerts": refuse}), web=web), POLICY)
    assert situation.lookups.degraded == "two scrapes"
    assert situation.requests == requests()
    assert isinstance(situation.warming, Unreadable)
    assert isinstance(situation.history, Unreadable)
    assert situation.warming.reason == "connection refused; nor by two scrapes: none"
    assert "connection refused" in situation.notes[0]


def test_read_triage_judges_by_prometheus_clock_and_says_when_it_differs():
    """A laptop's clock that is minutes off must neither date nor hide an incident."""

    class Behind(Metrics):
        def lookups(self, _window_seconds, at=None):
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
