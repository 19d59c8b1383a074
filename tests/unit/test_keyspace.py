"""What a key is by its name, what a pattern can reach, and how a sample is drawn."""

from collections import Counter

import pytest

from runbooks_lib.actions.keys.pattern import bounded, everything
from runbooks_lib.errors import RefusedError
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.names import KeyNames, Kind, glob_escape, masked, shown
from runbooks_lib.sources.keyspace.pacing import LARGEST_STEP, SMALLEST_STEP, Pace
from runbooks_lib.sources.keyspace.scan import Reservoir

DJANGO = KeyNames(b"django:1:")


@pytest.mark.parametrize(
    ("name", "kind", "group"),
    [
        (b"django:1:api:CourseViewSet:12:page=2", Kind.ANSWERS, b"api:CourseViewSet"),
        (b"django:1:django.contrib.sessions.cacheabc123", Kind.SESSIONS, b"django.contrib.sessions.cache"),
        (b"django:1:django.contrib.sessions.cached_dbabc", Kind.SESSIONS, b"django.contrib.sessions.cached_db"),
        (b"django:1:throttle_anon_1.2.3.4", Kind.THROTTLE, b"throttle_anon"),
        (b"django:1:throttle:user:7", Kind.THROTTLE, b"throttle:user"),
        (b"django:1:feature_flag:ENHANCED_CACHE", Kind.FLAGS, b"feature_flag:"),
        (b"django:1:views.decorators.cache.cache_page..GET", Kind.PAGES, b"views.decorators.cache.cache_page"),
        (b"cache_warming_lock:startup:all", Kind.LOCKS, b"cache_warming_lock:startup"),
        (b"cache_stats:django:1:api:X:1", Kind.STATISTICS, b"cache_stats:"),
        (b"cache_warming_stats", Kind.STATISTICS, b"cache_warming_stats"),
        (b"cache_warming_stats_of_others", Kind.FOREIGN, b"cache_warming_stats_of_others"),
        (b"django:1:report:9", Kind.OTHER, b"report"),
        (b"django:1:", Kind.OTHER, b""),
        (b"django:2:api:X:1", Kind.FOREIGN, b"django:2:"),
        (b"shop:1:api:X:1", Kind.FOREIGN, b"shop:1:"),
        (b"celery", Kind.FOREIGN, b"celery"),
        (b"django:1:1:api:X:1", Kind.FOREIGN, b"django:1:1:"),
        (b"django:1:shop:2:api:X:1", Kind.FOREIGN, b"django:1:shop:2:"),
        (b"django:1:report:9:summary", Kind.OTHER, b"report"),
        (b"django:1:api:CourseViewSet:12:views.x", Kind.ANSWERS, b"api:CourseViewSet"),
        (b"django:1:sessionid_abc", Kind.SESSIONS, b"sessionid_"),
        (b"a8f3k2secretcookie", Kind.FOREIGN, b"a"),
        (b"", Kind.FOREIGN, b""),
        (b"\xff\n*[", Kind.FOREIGN, b"\xff\n*["),
    ],
)
def test_key_names_tell_the_kind_and_the_group(name, kind, group):
    """Also of names that strangers made."""
    assert DJANGO.group_of(name) == (kind, group)


def test_key_names_with_an_empty_prefix_begin_with_a_colon():
    """django-redis writes ``:1:key`` where KEY_PREFIX is empty."""
    names = KeyNames(b":1:")

    assert names.group_of(b":1:api:X:1") == (Kind.ANSWERS, b"api:X")
    assert names.group_of(b"django:1:api:X:1")[0] is Kind.FOREIGN


COOKIE = b"k3y0f1session2abcdef456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        b"django:1:django.contrib.sessions.cache" + COOKIE,
        b"django:1:django.contrib.sessions.cached_db" + COOKIE,
        b"django:1:sessionid_" + COOKIE,
        b"django:1:api:X:session_id=" + COOKIE,
        b"django:1:token:" + COOKIE,
        b"cache_stats:django:1:django.contrib.sessions.cache" + COOKIE,
        b"cache_warming_lock:x:session:" + COOKIE,
        b"django:2:django.contrib.sessions.cache" + COOKIE,
        b"shop:1:anything:" + COOKIE,
        b"session:" + COOKIE,
        b"SESSION_" + COOKIE,
        b"session" + COOKIE,
        COOKIE,
    ],
)
def test_key_names_tell_no_name_that_lets_somebody_in(name):
    """Of this site, of others, without a prefix, inside of another name; neither the name nor its group."""
    for told in (DJANGO.tellable(name), masked(DJANGO.group_of(name)[1]), DJANGO.told(name).encode()):
        assert COOKIE[4:] not in told
    assert DJANGO.told(name).endswith("…")


@pytest.mark.parametrize(
    "name", [b"django:1:api:SessionViewSet:12", b"django:1:api:X:page=2", b"django:1:throttle:anon:203.0.113.7"]
)
def test_key_names_tell_whole_names_of_this_site(name):
    """What lets nobody in is shown as it is."""
    assert DJANGO.tellable(name) == name


@pytest.mark.parametrize(
    "pattern",
    [
        "django.contrib.sessions.cache{0}",
        "django:1:django.contrib.sessions.cached_db{0}",
        "session:{0}*",
        "sessionid_{0}",
        "shop:1:session:{0}",
        "session\\:{0}",
        "session:8f14e45f-ceea-467f-a9d5-0123456789ab",
    ],
)
def test_pattern_that_holds_the_key_of_a_session_is_refused_without_repeating_it(pattern):
    """Title, scope and intent of a plan are kept, and so is the refusal."""
    with pytest.raises(RefusedError, match="key of one session") as caught:
        bounded(pattern.format(COOKIE.decode()), DJANGO)

    assert COOKIE.decode() not in str(caught.value)
    assert "0123456789ab" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["session:user_profile:*", "django.contrib.sessions.cache*", "session:ab*"])
def test_pattern_that_names_sessions_is_none_that_holds_a_key(pattern):
    """Words and the beginning of a name."""
    assert bounded(pattern, DJANGO).text == pattern


def test_pattern_spares_what_looks_like_another_site_within_the_prefix():
    """KEY_PREFIX ``django:1`` beside ``django``."""
    for pattern in (everything(DJANGO), bounded("1*", DJANGO)):
        assert pattern.spares(b"django:1:1:api:CourseViewSet:1")
    assert not everything(DJANGO).spares(b"django:1:api:CourseViewSet:1")


def test_shown_of_a_hostile_name_is_one_short_line():
    """Ten kilobytes with escape sequences and bytes that are not UTF-8."""
    text = shown(b"\x1b[31m\n\xff" + b"a" * 10_000)

    assert len(text) <= 120
    assert text.isprintable()


@pytest.mark.parametrize("name", [b"a*b", b"[x]", b"a\\b", b"?", b"plain", b"new\nline", b"\xff*"])
def test_glob_escape_matches_the_name_and_nothing_else(name):
    """Also where the prefix itself holds glob characters."""
    match = glob_match.compiled(glob_escape(name))

    assert match.match(name)
    assert not match.match(name + b"x")
    assert not match.match(b"x" + name)


@pytest.mark.parametrize(
    ("pattern", "beginning"),
    [
        (b"api:*", b"api:"),
        (b"a\\*b*", b"a*b"),
        (b"*", b""),
        (b"?a", b""),
        (b"[a]pi", b""),
        (b"a\\", b"a\\"),
        (b"", b""),
    ],
)
def test_glob_literal_beginning_is_what_every_match_begins_with(pattern, beginning):
    """Escapes are taken away; the first wildcard ends it."""
    assert glob_match.literal_beginning(pattern) == beginning


@pytest.mark.parametrize(
    ("pattern", "begun"),
    [
        (b"a[bc", "["),
        (b"a[", "["),
        (b"a[b-]", "["),
        (b"a[b\\]", "["),
        (b"a\\", "\\"),
        (b"a[bc]", ""),
        (b"a\\[", ""),
        (b"[]", ""),
    ],
)
def test_glob_unfinished_names_what_is_not_ended(pattern, begun):
    """Redis would take such a pattern for something else than it looks like."""
    assert glob_match.unfinished(pattern) == begun


def test_glob_with_many_stars_takes_no_exponential_time():
    """A hostile pattern against a hostile name of ten kilobytes."""
    match = glob_match.compiled(b"a*" * 30 + b"b")

    assert match.match(b"a" * 10_000) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "\t",
        "*",
        "**",
        "?*",
        "*?",
        "???",
        "[^x]*",
        "[a-z]*",
        "*api*",
        "[]*",
        "django:1:",
        "django:1:*",
        "django:1:**",
    ],
)
def test_pattern_that_can_match_everything_is_refused(pattern):
    """Whatever it looks like, and also written with the prefix in front."""
    with pytest.raises(RefusedError, match="pattern"):
        bounded(pattern, DJANGO)


@pytest.mark.parametrize(
    "pattern",
    [
        "shop:1:api:*",
        "django:2:api:*",
        "django:*",
        ":1:api:*",
        "cache_stats:*",
        "cache_warming_lock:startup:*",
        "x:99:*",
    ],
)
def test_pattern_that_names_something_outside_the_prefix_is_refused(pattern):
    """Put behind the prefix it would silently match nothing, which is not what was meant."""
    with pytest.raises(RefusedError) as caught:
        bounded(pattern, DJANGO)

    assert "django:1:" in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    ["api:\n*", "api:\x00*", "api:\x1b*", "api:\u202e*", "api:\ud800*", "api:[ab*", "api:*\\", "a" * 1001],
    ids=["newline", "nul", "escape", "override", "surrogate", "bracket", "backslash", "long"],
)
def test_pattern_that_cannot_be_read_is_refused(pattern):
    """A control character, half a class, or more than anybody writes by hand; the refusal is one printable text."""
    with pytest.raises(RefusedError) as caught:
        bounded(pattern, DJANGO)

    assert caught.value.message.isprintable()


@pytest.mark.parametrize("pattern", ["api:*", "django:1:api:*"])
def test_pattern_is_understood_with_and_without_its_prefix(pattern):
    """Operators paste whole names."""
    found = bounded(pattern, DJANGO)

    assert (found.match, found.text) == (b"django:1:api:*", "api:*")


def test_pattern_under_a_prefix_of_glob_characters_stays_within_it():
    """The prefix is escaped, also where the operator wrote it as it is."""
    names = KeyNames(b"*[a-z]?:1:")

    for pattern in ("api:*", "*[a-z]?:1:api:*", "\\*\\[a-z\\]\\?:1:api:*"):
        match = glob_match.compiled(bounded(pattern, names).match)
        assert match.match(b"*[a-z]?:1:api:1")
        assert not match.match(b"django:1:api:1")


def test_pattern_under_an_empty_prefix_is_bounded_by_the_version():
    """Keys of another site in the same database cannot match."""
    match = glob_match.compiled(bounded("api:*", KeyNames(b":1:")).match)

    assert match.match(b":1:api:X")
    assert not match.match(b"django:1:api:X")


@pytest.mark.parametrize(
    ("pattern", "spared"),
    [
        ("api:*", set()),
        ("t*", {Kind.THROTTLE}),
        ("throttle:anon:*", set()),
        ("django.contrib.*", {Kind.SESSIONS}),
        ("django.contrib.sessions.cache*", set()),
        ("f*", {Kind.FLAGS}),
        ("l*", {Kind.LOCKS}),
        ("s*", {Kind.SESSIONS}),
    ],
)
def test_pattern_spares_what_it_reaches_without_naming_it(pattern, spared):
    """A session must not go because its name happens to begin with the same letter."""
    assert bounded(pattern, DJANGO).spared == spared


def test_everything_is_bounded_by_the_prefix_as_well():
    """The one pattern that may be a star alone."""
    match = glob_match.compiled(everything(DJANGO).match)

    assert match.match(b"django:1:django.contrib.sessions.cacheabc")
    assert not match.match(b"cache_stats:django:1:api:X")


def test_reservoir_gives_every_name_the_same_chance():
    """1,000 names in uneven batches, ten of them kept, 500 times: each tenth is kept about 500 times."""
    tenths: Counter[int] = Counter()
    for _ in range(500):
        sample = Reservoir(10)
        for at in range(0, 1000, 37):
            sample.add([b"%d" % number for number in range(at, min(at + 37, 1000))])
        assert len(set(sample.kept)) == 10
        tenths.update(int(name) // 100 for name in sample.kept)

    assert all(abs(count - 500) < 125 for count in tenths.values())


def test_pace_with_slow_steps_shortens_them_and_recovers():
    """One slow step is chance; several in a row halve the step, and quick ones bring it back."""
    pace = Pace(lambda: 0.0001, bound_seconds=0.01)

    pace.after(0.02)
    assert pace.step == LARGEST_STEP
    for _ in range(10):
        pace.after(0.006)
    assert pace.step == SMALLEST_STEP
    for _ in range(30):
        pace.after(0.0002)

    assert pace.step == LARGEST_STEP
    assert not pace.stopped


def test_pace_whose_ping_stays_late_stops_with_the_measured_values():
    """Five late answers in a row, with growing pauses between them."""
    answers = iter([0.0002] * 5 + [0.05] * 5)
    pace = Pace(lambda: next(answers), bound_seconds=0.01)
    pace._looked_at = float("-inf")

    for _ in range(5):
        pace.after(0.0002)

    assert "50.0 ms" in pace.stopped
    assert "10.2 ms" in pace.stopped


def test_pace_whose_ping_is_late_once_goes_on():
    """A save to disk forks the server and delays a single answer."""
    answers = iter([0.0002] * 5 + [0.5, 0.0002])
    pace = Pace(lambda: next(answers), bound_seconds=0.01)
    pace._looked_at = float("-inf")

    pace.after(0.0002)
    pace.after(0.0002)

    assert not pace.stopped
    assert pace.slowed_count == 1
