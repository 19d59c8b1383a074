"""Prometheus against a real one: queries, ranges, alerts, limits, and a process that hangs or ends."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from servers_fixtures import openmetrics
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.metrics import promql
from runbooks_lib.sources.metrics.prometheus import Prometheus

END = int(time.time()) // 60 * 60
RULES = """
groups:
- name: cache
  rules:
  - {record: "cache:one", expr: "vector(1)"}
  - {alert: LowHitRate, expr: "vector(1) > 0", labels: {severity: critical}, annotations: {summary: "hit rate is low"}}
  - {alert: Waiting, expr: "vector(1)", for: 1h, labels: {severity: warning}}
  - {alert: Quiet, expr: "vector(0) > 1"}
"""
STRANGE = 'a"b\\c\nd{}'


@pytest.fixture(scope="module")
def server(prometheus_server):
    """Ten minutes of one counter of 2/s, a gauge that is NaN, and a label written by a stranger."""
    times = range(END - 600, END + 1, 15)
    escaped = STRANGE.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    samples = {
        "requests_total": [('job="site"', 2.0 * (at - END + 600), at) for at in times],
        "not_set": [('job="site"', float("nan"), at) for at in times],
        "strange": [(f'name="{escaped}"', 1.0, at) for at in times],
    }
    text = openmetrics(samples).replace(" nan ", " NaN ")
    return prometheus_server(text, rules=RULES)


@pytest.fixture
def prometheus(server):
    """A reader of that server."""
    return Prometheus(site_environment(prometheus_url=server.url))


AT = datetime.fromtimestamp(END, UTC)


def test_query_gives_values_at_the_asked_time(prometheus):
    """An exact rate, in the past."""
    (sample,) = prometheus.query('rate(requests_total{job="site"}[5m])', AT)

    assert sample.value == pytest.approx(2.0)
    assert sample.at == AT
    assert sample.labels == {"job": "site"}


def test_query_without_a_value_is_none(prometheus):
    """NaN in the data, and division by zero."""
    assert [sample.value for sample in prometheus.query("not_set or vector(1) / 0", AT)] == [None, None]


def test_query_with_an_escaped_label_finds_it(prometheus):
    """Quotes, backslashes and line breaks of a stranger's label come back unharmed."""
    (sample,) = prometheus.query(prometheus.selector("strange", promql.matcher("name", STRANGE)), AT)

    assert sample.labels["name"] == STRANGE


def test_query_range_is_aligned_and_leaves_gaps_out(prometheus):
    """Points before the first sample are not there."""
    (series,) = prometheus.query_range("requests_total", AT - timedelta(minutes=20), AT, 60)

    assert series.times[0] == AT - timedelta(minutes=10)
    assert len(series.times) == 11
    assert series.values[-1] == 1200.0


def test_query_range_over_thirty_days_at_a_second_is_widened(prometheus):
    """2.6 million points would be refused."""
    (series,) = prometheus.query_range("requests_total", AT - timedelta(days=30), AT, 1)

    assert series.values[-1] is not None


def test_query_that_is_wrong_has_the_parsers_words(prometheus):
    """What Prometheus says about it."""
    with pytest.raises(SourceError, match="unclosed left parenthesis"):
        prometheus.query("sum(")


def test_query_that_is_too_heavy_is_stopped_by_the_server_itself(server):
    """Prometheus gives up before we do and says why."""
    source = Prometheus(site_environment(prometheus_url=server.url), timeout_seconds=0.25)
    source.ready()
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"time limit|no complete answer") as caught:
        source.query("count(count_over_time(requests_total[10m:1ms]) or count_over_time(strange[10m:1ms]))", AT)

    assert "shorter window" in caught.value.hint
    assert time.monotonic() - started < 0.6


def test_alerts_and_rules_are_read(prometheus):
    """One fires, one waits, three rules can alert; a recording rule cannot."""
    ends = time.monotonic() + 8
    while len(prometheus.alerts().alerts) < 2 and time.monotonic() < ends:
        time.sleep(0.2)
    alerts = prometheus.alerts()

    assert {alert.name: alert.state for alert in alerts.alerts} == {"LowHitRate": "firing", "Waiting": "pending"}
    assert alerts.rules_count == 3
    firing = next(alert for alert in alerts.alerts if alert.state == "firing")
    assert (firing.severity, firing.summary) == ("critical", "hit rate is low")
    assert timedelta() <= datetime.now(UTC) - firing.active_at < timedelta(minutes=1)


def test_client_is_a_prometheus_connect_on_the_same_session(prometheus):
    """For what this class does not offer."""
    assert prometheus.client.custom_query("vector(7)")[0]["value"][1] == "7"


def test_many_queries_at_once_reuse_connections(prometheus, caplog):
    """Thirty queries of several threads, without a word about a full pool."""
    answers = prometheus.query_all({str(number): f"vector({number})" for number in range(30)})

    assert answers.samples["29"][0].value == 29
    assert caplog.records == []


def test_prometheus_that_hangs_and_then_ends(prometheus_server):
    """Frozen: within the deadline. Gone: at once. Each with a next step."""
    server = prometheus_server()
    source = Prometheus(site_environment(prometheus_url=server.url), timeout_seconds=0.6)
    assert source.ready() < 0.6
    server.freeze()
    started = time.monotonic()
    with pytest.raises(SourceError, match="no complete answer") as frozen:
        source.query("up")
    assert time.monotonic() - started < 1
    server.stop()
    with pytest.raises(SourceError, match=r"refused") as gone:
        source.query("up")

    assert frozen.value.hint
    assert gone.value.hint
