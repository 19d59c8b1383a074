"""Throttling judged on facts, and the client of a reset checked before anything is contacted."""

from dataclasses import replace

import pytest
from builders import FROM, HOSTILE, NO_PROMETHEUS, NO_REDIS, NO_WEB, requests

from runbooks_lib.actions.registry import make_action
from runbooks_lib.actions.throttle_windows import CounterSeen, is_anew
from runbooks_lib.actions.throttling import ResetThrottle
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import Flag, Flags, ThrottleCounter, ThrottleCounters
from runbooks_lib.judgement.throttling import check_counters, check_share_throttled, check_throttle_works
from runbooks_lib.model import Status
from runbooks_lib.operations.throttling import ThrottleState, show_fullest
from runbooks_lib.policy import policy_for
from runbooks_lib.sources.redis.throttle_counters import counter_names

POLICY = policy_for(1.0)
RATES = {"anon": "100/hour", "user": "1000/hour"}
SETTINGS = {"classes": ["common.throttling.AnonRateThrottle"], "rates": RATES, "num_proxies": 1}


def counters(*counts, scope="anon", complete=True, total=None, client="203.0.113.7"):
    """Counters of one scope, fullest first."""
    found = tuple(ThrottleCounter("k", scope, client, count, 600.0) for count in counts)
    warnings = () if complete else ("the search ended after 0.5 s",)
    return ThrottleCounters(
        {scope: len(counts) if total is None else total}, found, len(counts), FROM, complete, warnings
    )


def flags(percentage=100.0):
    """The one flag that matters here."""
    return Flags((Flag("RATE_LIMITING", "gradual", percentage, None, True),), FROM)


def works(**changes):
    """The finding on whether the throttle works; well by default."""
    usual = {"flags": flags(), "throttling": SETTINGS, "counters": counters(5, 4), "requests": requests()}
    return check_throttle_works(**{**usual, **changes})


@pytest.mark.parametrize(
    "client",
    ["", "*", "203.0.113.*", "203.0.113.7\n", "203.0.113.7 ", "203.0.113.7,1.1.1.1", "localhost", HOSTILE, "1" * 50],
)
def test_reset_throttle_of_what_is_no_address_is_refused(client):
    """Only an address can be an anonymous client; patterns above all are none."""
    with pytest.raises(UsageError, match="is no IP address"):
        ResetThrottle(client=client)


@pytest.mark.parametrize(
    ("before", "now", "anew"),
    [
        (CounterSeen("k", 100, 3, 50.0, 50.1), CounterSeen("k", 2, 1, 50.05, 50.2), True),
        (CounterSeen("k", 100, 3, 50.0, 50.1), CounterSeen("k", 100, 3, 50.05, 50.2), False),
        (CounterSeen("k", 100, 3, 50.0, 50.1), CounterSeen("k", 101, 3, 50.6, 50.7), None),
        (CounterSeen("k", 1, 1, 50.0, 50.1), CounterSeen("k", 1, 1, 50.6, 50.7), None),
        (CounterSeen("k", None, 900, 50.0, 50.1), CounterSeen("k", None, 9, 50.6, 50.7), True),
        (CounterSeen("k", None, 900, 50.0, 50.1), CounterSeen("k", None, 909, 50.6, 50.7), None),
        (CounterSeen("k", None, None, 50.0, 50.1), CounterSeen("k", None, None, 90.0, 90.1), None),
        (CounterSeen("k", 100, 3), CounterSeen("k", 100, 3), False),
        (CounterSeen("k", 100, 3), CounterSeen("k", 1, 1, 50.0, 50.1), True),
        (CounterSeen("k", 100, 3), CounterSeen("k", 100, 3, 50.0, 50.1), None),
    ],
)
def test_is_anew_goes_by_what_it_holds_and_only_then_by_its_end(before, now, anew):
    """Fewer requests are a new window whenever it ends; as many with the same end are the old one."""
    assert is_anew(before, now) is anew


@pytest.mark.parametrize("client", ["", "a\nb", "a\x00b", "x" * 201, "\u202eabc", "\x1b]0;owned\x07"])
def test_reset_throttle_of_what_is_no_user_id_is_refused(client):
    """Nothing, too much, and what cannot be seen; the message shows it harmlessly."""
    with pytest.raises(UsageError) as caught:
        make_action("reset_throttle", {"client": client, "scope": "user"})
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_reset_throttle_of_an_unknown_scope_is_refused():
    """A scope is anon or user."""
    with pytest.raises(UsageError):
        make_action("reset_throttle", {"client": "203.0.113.7", "scope": "everybody"})


def test_counter_names_are_exact_and_hold_the_client_as_it_is():
    """Both kinds of names, and nothing that has a meaning to Redis."""
    assert counter_names("django", 1, "anon", "1.2.3.4") == (
        b"django:1:throttle:anon:1.2.3.4",
        b"django:1:throttle_anon_1.2.3.4",
    )
    assert counter_names("", 2, "user", "a*[b]")[0] == b":2:throttle:user:a*[b]"


@pytest.mark.parametrize(
    ("count", "status"), [(0, Status.OK), (450, Status.OK), (900, Status.WARN), (4500, Status.FAIL)]
)
def test_check_share_throttled_judges_one_scope_of_all_requests(count, status):
    """9,000 requests: a tenth turned away is a warning, half of them a failure."""
    finding = check_share_throttled(requests(throttled={"anon": count, "user": 5}), "anon", POLICY)
    assert finding.status is status
    assert "of 9,000 requests in 15 min" in finding.detail


def test_check_share_throttled_without_requests_or_prometheus_is_unknown():
    """Nothing measured is not "nobody is throttled"."""
    assert check_share_throttled(requests(throttled=None), "anon", POLICY).status is Status.UNKNOWN
    assert check_share_throttled(requests(total=3), "anon", POLICY).status is Status.UNKNOWN
    assert check_share_throttled(NO_PROMETHEUS, "anon", POLICY).status is Status.UNKNOWN


def test_check_counters_names_who_is_at_the_limit_and_who_is_near():
    """The limit is the site's own rate."""
    finding = check_counters(counters(140, 100, 85, 12), RATES, "anon")
    assert finding.status is Status.WARN
    assert finding.shown == "2 clients at the limit, 1 near it"
    assert finding.limit == "100 in 1 h"
    assert finding.evidence[0].value == "140 of 100, 10 min left"


def test_check_counters_with_more_than_were_kept_says_at_least():
    """All that were kept are over: there may be more."""
    assert check_counters(counters(140, 120, total=500), RATES, "anon").shown.startswith("at least 2 clients")


@pytest.mark.parametrize(
    ("found", "rates", "status"),
    [
        (counters(3), RATES, Status.OK),
        (counters(), RATES, Status.OK),
        (counters(3, complete=False), RATES, Status.UNKNOWN),
        (counters(200, complete=False), RATES, Status.WARN),
        (NO_REDIS, RATES, Status.UNKNOWN),
        (counters(3), {"anon": None}, Status.UNKNOWN),
        (counters(3), {"anon": "lots"}, Status.UNKNOWN),
    ],
)
def test_check_counters_is_ok_only_where_everything_was_seen(found, rates, status):
    """A search that ended early proves nobody innocent; what it found stands."""
    assert check_counters(found, rates, "anon").status is status


def test_check_counters_shows_a_hostile_client_on_one_line():
    """A user id can hold anything."""
    finding = check_counters(counters(200, client=HOSTILE), RATES, "anon")
    assert finding.evidence[0].name.isprintable()


def test_check_throttle_works_on_a_site_that_is_set_well_is_ok():
    """Flag at 100 %, classes, NUM_PROXIES, several addresses."""
    assert works().status is Status.OK


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flags": flags(25.0)}, "RATE_LIMITING is at 25 %"),
        ({"throttling": {**SETTINGS, "num_proxies": None}}, "NUM_PROXIES is not set"),
        ({"throttling": {**SETTINGS, "classes": []}}, "no throttle class is set"),
        ({"counters": counters(140)}, "all anonymous clients count as one address (203.0.113.7)"),
    ],
)
def test_check_throttle_works_names_every_way_around_it(changes, words):
    """Each with what to change."""
    finding = works(**changes)
    assert finding.status is Status.WARN
    assert words in finding.shown
    assert finding.hint


def test_check_throttle_works_without_flags_or_settings_is_unknown():
    """What could not be read may be the way around."""
    assert works(flags=NO_WEB).status is Status.UNKNOWN
    assert works(throttling=NO_WEB).status is Status.UNKNOWN


def test_show_fullest_lists_first_whose_allowance_is_used_up_most_and_shows_clients_as_text():
    """A user at half of 1000 stands below an address at its 100; names of strangers are escaped."""
    found = (*counters(100, client=HOSTILE).fullest, *counters(500, scope="user", client="42").fullest)
    state = ThrottleState(requests(), ThrottleCounters({"anon": 1, "user": 1}, found[::-1], 2, FROM), SETTINGS, flags())
    shown = show_fullest(state)
    lines = shown.text.splitlines()
    assert lines[2].startswith("anon | ")
    assert lines[3] == "user | 42 | 500 | 1,000 | 10 min"
    assert "<img" not in shown.html
    assert "refused" in show_fullest(replace(state, counters=NO_REDIS)).text
