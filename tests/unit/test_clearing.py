"""What a deletion is judged by, and what its parameters may be."""

import pytest
from actions_fixtures import environment_of
from builders import NOW

from runbooks_lib.actions.keys import guards as key_guards
from runbooks_lib.actions.keys import plans as key_plans
from runbooks_lib.actions.keys.clearing import ClearAll, ClearPattern
from runbooks_lib.actions.keys.deletion import Found, judged
from runbooks_lib.actions.keys.pattern import bounded, everything
from runbooks_lib.actions.keys.survey import Survey
from runbooks_lib.actions.keys.sweep import packed, unpacked
from runbooks_lib.actions.registry import make_action
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import KeyGroup, KeyspaceLook
from runbooks_lib.model import Provenance
from runbooks_lib.sources.keyspace.asking import Answers
from runbooks_lib.sources.keyspace.names import KeyNames

DJANGO = KeyNames(b"django:1:")


def look(*matched: KeyGroup, complete: bool = True, spared: tuple[KeyGroup, ...] = ()) -> KeyspaceLook:
    """What was found in the keyspace."""
    groups = (*matched, *spared)
    count = sum(group.keys_count for group in groups)
    ended = "" if complete else "90 s"
    return KeyspaceLook(groups, matched, (), None, count, complete, ended, Provenance("redis", "SCAN", NOW))


@pytest.mark.parametrize("max_keys", [0, -1, 10**10, True, 1.5, "many"])
def test_clear_pattern_with_an_impossible_bound_is_a_usage_error(max_keys):
    """Before anything is contacted."""
    with pytest.raises(UsageError, match="max_keys"):
        ClearPattern(pattern="api:*", max_keys=max_keys)


def test_clear_all_with_another_method_is_a_usage_error():
    """Also from the command line's text."""
    with pytest.raises(UsageError):
        ClearAll(method="everything")
    with pytest.raises(UsageError):
        make_action("clear_all", {"method": "FLUSHALL"})


def test_clear_pattern_from_text_is_the_same_action():
    """A command line gives texts."""
    assert make_action("clear_pattern", {"pattern": "api:*", "max_keys": "7"}) == ClearPattern(
        pattern="api:*", max_keys=7
    )


@pytest.mark.parametrize(
    ("complete", "count", "holds"), [(True, 50, True), (True, 51, False), (False, 50, None), (False, 51, False)]
)
def test_bound_guard_holds_only_where_all_keys_were_seen(complete, count, holds):
    """A count that is a lower bound can only show that there are too many."""
    guard = key_guards.at_most(50, count, look(KeyGroup("answers", "api:X", count), complete=complete), "live")

    assert guard.holds is holds
    assert holds is True or guard.hint


def test_bound_guard_that_fails_names_a_bound_that_would_do():
    """Ready to paste, and no smaller than what was found."""
    guard = key_guards.at_most(50_000, 213_880, look(KeyGroup("answers", "api:X", 213_880)), "live")

    suggested = int(guard.hint.rpartition("=")[2].rstrip(")"))
    assert 213_880 < suggested <= 300_000
    assert "runbooks run high_memory --environment live)" in guard.hint


def test_protected_guard_names_what_the_pattern_would_take_along():
    """Twelve sessions under ``s*``."""
    guard = key_guards.spares_protected(bounded("s*", DJANGO), look(KeyGroup("sessions", "session:", 12)))

    assert guard.holds is False
    assert guard.detail == "sessions 12"
    assert "session* names sessions" in guard.hint


def test_protected_guard_of_a_literal_that_lacks_its_dot_asks_for_it():
    """``django.contrib.sessions*`` looks as if it named them."""
    pattern = bounded("django.contrib.sessions*", DJANGO)
    guard = key_guards.spares_protected(pattern, look(KeyGroup("sessions", "django.contrib.sessions.cache", 12)))

    assert guard.holds is False
    assert "django.contrib.sessions.* names sessions" in guard.hint


def test_protected_guard_of_a_pattern_that_names_them_holds():
    """Whoever writes ``throttle:anon:*`` means the counters."""
    found = look(KeyGroup("throttle counters", "throttle:anon", 12))

    assert key_guards.spares_protected(bounded("throttle:anon:*", DJANGO), found).holds is True


def test_consequences_say_how_many_users_are_signed_out():
    """The number that an operator must see before he empties a cache."""
    found = key_plans.consequences(look(KeyGroup("sessions", "django.contrib.sessions.cache", 812)))

    assert [line.value for line in found] == ["signs out up to 812 users"]


def test_title_and_consequences_of_an_incomplete_search_are_lower_bounds():
    """Nobody decides on "signs out up to 812 users" when the search had seen a tenth of the keys."""
    pattern = everything(DJANGO)
    seen = look(KeyGroup("sessions", "x", 812), KeyGroup("flags", "y", 3), complete=False)
    site = Site(environment_of("redis://127.0.0.1:1/0"))

    values = [line.value for line in (*key_plans.consequences(seen), *key_plans.kinds_shown(seen.matched, seen))]
    title = ClearAll()._title(site, Survey(pattern, seen, (), ()))

    assert values[0] == "signs out the users of at least 812 sessions"
    assert all("at least" in text for text in (*values, title))


@pytest.mark.parametrize(
    ("cache", "holds"),
    [
        ({"KEY_PREFIX": "django"}, True),
        ({"KEY_PREFIX": "django", "VERSION": 1}, True),
        ({"KEY_PREFIX": "django", "VERSION": None}, True),
        ({"KEY_PREFIX": "shop"}, False),
        ({}, False),
        ({"KEY_PREFIX": "django", "VERSION": 2}, False),
        ({"KEY_PREFIX": "django", "VERSION": "1"}, False),
        ({"KEY_PREFIX": ["django"]}, False),
        ({"KEY_PREFIX": "django", "KEY_FUNCTION": "site.keys.make\n'"}, None),
    ],
)
def test_own_head_holds_only_where_the_site_says_the_same(cache, holds):
    """Its answer is data: of the wrong type it is no agreement."""
    guard = key_guards.own_head(cache, environment_of("redis://127.0.0.1:1/0", key_prefix="django"))

    assert guard.holds is holds
    assert guard.detail.isprintable()
    assert holds is True or guard.hint


def test_matched_shown_hides_what_lets_somebody_in():
    """The name of a session is its cookie."""
    found = look(KeyGroup("sessions", "django.contrib.sessions.cache", 1))
    found = KeyspaceLook(
        found.groups,
        found.matched,
        (b"django:1:django.contrib.sessions.cachesecretcookie",),
        None,
        1,
        True,
        "",
        found.provenance,
    )

    text = " ".join(line.value for line in key_plans.matched_shown(found, DJANGO))
    assert "django.contrib.sessions.cache…" in text
    assert "secretcookie" not in text


@pytest.mark.parametrize("name", [b"plain", b"\xff\xfe\x00", b"a\nb", "é".encode(), b"'\"\\*"])
def test_packed_names_come_back_byte_for_byte(name):
    """The ledger holds text; a key is bytes."""
    assert unpacked(packed(name)) == name


DONE = {"changed": 100, "complete": True}


@pytest.mark.parametrize(
    ("written", "left", "sampled", "back", "confirmed"),
    [
        (DONE, 0, 50, 0, True),
        (DONE, 20, 50, 10, True),  # traffic wrote its popular keys anew
        (DONE, 51, 50, 0, False),  # half of them were never deleted
        (DONE, 100, 50, 50, False),  # a restored copy
        (DONE, 30, 50, 26, False),
        ({"changed": 50, "complete": False}, 90, 10, 0, True),  # stopped early: the rest is expected to be there
        ({"changed": 50, "complete": False}, 100, 10, 10, False),
        ({"changed": 1, "complete": True}, 1, 1, 1, True),  # one popular key, back at once
        ({"changed": 10, "complete": True}, 10, 10, 10, True),
        ({"changed": 11, "complete": True}, 11, 11, 11, False),  # more than happens by itself without a lookup
        ({"changed": 0, "complete": True}, 0, 0, 0, True),
        ({}, 0, 0, 0, True),
        ({}, 1, 0, 0, False),  # nobody knows whether it ran
    ],
)
def test_judged_deletion_tells_traffic_from_keys_that_were_put_back(written, left, sampled, back, confirmed):
    """By proportion, because keys in use are written anew by the next miss."""
    found = judged(written, Found(left, "", Answers(back, sampled)))

    assert found.confirmed is confirmed
    assert found.detail


def test_judged_deletion_of_which_not_all_keys_were_seen_is_not_confirmed():
    """None left is only known at the end of the search."""
    found = judged(DONE, Found(0, "90 s"))

    assert found.confirmed is None
    assert "90 s" in found.detail


@pytest.mark.parametrize(("missed", "confirmed"), [(99, False), (100, True), (5000, True), (-1, False), (None, False)])
def test_judged_deletion_takes_lookups_that_missed_for_what_brought_the_keys_back(missed, confirmed):
    """A site writes a key anew after a lookup that found nothing; who puts a copy back looks nothing up."""
    now = None if missed is None else 1000 + missed

    found = judged({**DONE, "misses_before": 1000}, Found(100, "", Answers(50, 50), now))

    assert found.confirmed is confirmed
    assert "there again" in found.detail


def test_judged_deletion_counts_what_was_not_answered_apart():
    """An error is not "gone"; where the names tell nothing, the number of keys still does."""
    refused = Answers(0, 0, 50, "NOPERM")

    assert "not answered for 50: NOPERM" in judged(DONE, Found(0, "", refused)).evidence[1].value
    assert judged(DONE, Found(0, "", refused)).confirmed is True  # SCAN saw that none matches
    assert judged(DONE, Found(100, "", refused)).confirmed is False
    assert judged({"changed": 50, "complete": False}, Found(90, "", refused)).confirmed is None
