"""Settings against the guide: each difference with what it does in this site's numbers."""

from dataclasses import replace

import pytest
from builders import HOSTILE, NO_REDIS, NOW

from runbooks_lib.actions.redis_settings import TuneRedis, set_commands
from runbooks_lib.actions.registry import make_action
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import NodeSettings, RedisSettings
from runbooks_lib.judgement.redis_effects import bytes_to_evict, effects, fits_host
from runbooks_lib.judgement.tuning import GUIDE_REDIS, judge_redis_settings
from runbooks_lib.judgement.tuning_site import SiteSettings, judge_site_settings
from runbooks_lib.model import Kind, Provenance, Status, Unreadable
from runbooks_lib.operations.tuning import tuning_headline
from runbooks_lib.policy import GUIDE, allowance, policy_for
from runbooks_lib.units import parse_redis_size

GIB = 1024**3
POLICY = policy_for(1.0)
GUIDE_CACHE = {
    "BACKEND": "django_redis.cache.RedisCache",
    "KEY_PREFIX": "django",
    "TIMEOUT": 900,
    "OPTIONS": {
        "CLIENT_CLASS": "django_redis.client.DefaultClient",
        "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
        "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        "IGNORE_EXCEPTIONS": False,
        "CONNECTION_POOL_KWARGS": {"max_connections": 100, "retry_on_timeout": True},
    },
}
GUIDE_THROTTLING = {
    "classes": ["common.throttling.AnonRateThrottle"],
    "rates": {"anon": "100/hour", "user": "1000/hour"},
}
GUIDE_WARMING = {"ENABLED": True, "SCHEDULED_INTERVAL": 3600}
SESSIONS = {"engine": "django.contrib.sessions.backends.db", "cache_alias": "default"}


def node(*, used=2 * GIB, **changes):
    """A primary that is set as the guide says, half full."""
    settings = {**GUIDE_REDIS, "save": "", "stop-writes-on-bgsave-error": "yes", "maxclients": "10000"}
    settings |= changes.pop("settings", {})
    usual = NodeSettings(
        node="10.0.0.1:6379",
        version="7.0.15",
        settings=settings,
        used_memory_bytes=used,
        not_evictable_bytes=0,
        keys_count=1000,
        without_ttl_count=20,
        evicted_count=0,
        uptime_seconds=36_000,
        clients_count=40,
        rejected_count=0,
        replicas_count=0,
        config_file="/etc/redis.conf",
        last_save_failed=False,
        host_memory_bytes=16 * GIB,
        idle_seconds=(1, 2, 400),
        may_set=True,
    )
    return replace(usual, **changes)


def of_redis(*nodes):
    """Findings of Redis by the last part of their id."""
    settings = RedisSettings(nodes or (node(),), Provenance("redis", "CONFIG GET", NOW))
    return {finding.id.removeprefix("tuning.redis."): finding for finding in judge_redis_settings(settings, POLICY)}


def of_site(cache=None, *, prefix="django", redis=None, **changes):
    """Findings of Django by the last part of their id; ``cache`` replaces keys of the guide's default cache."""
    options = {**GUIDE_CACHE["OPTIONS"], **(cache or {}).pop("OPTIONS", {})}
    usual = {
        "caches": {"default": {**GUIDE_CACHE, "OPTIONS": options, **(cache or {})}},
        "throttling": GUIDE_THROTTLING,
        "cache_warming": GUIDE_WARMING,
        "sessions": SESSIONS,
    }
    site = SiteSettings(**{**usual, **changes})
    redis = redis or RedisSettings((node(),), Provenance("redis", "CONFIG GET", NOW))
    findings = judge_site_settings(site, redis, POLICY, key_prefix=prefix)
    return {finding.id.removeprefix("tuning.django."): finding for finding in findings}


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("4gb", 4 * GIB),
        ("4g", 4 * 10**9),
        ("4GB", 4 * GIB),
        ("1k", 1000),
        ("1kb", 1024),
        ("64mb", 64 * 2**20),
        ("0", 0),
    ],
)
def test_parse_redis_size_reads_sizes_as_redis_does(text, bytes_):
    """k is a thousand and kb is 1024, as measured on Redis 7."""
    assert parse_redis_size(text) == bytes_


@pytest.mark.parametrize(
    "text", ["", "-1", "4.5gb", "4 gb", "10%", "4t", "gb", "9" * 20, "99999999999gb", "٤gb", "4bg", "4gb\n"]
)
def test_parse_redis_size_of_what_is_no_size_is_none(text):
    """Redis would take a blank for 0 and a huge number for 2^64 - 1; nobody means that."""
    assert parse_redis_size(text) is None


def test_tune_redis_by_default_sets_the_guides_values():
    """They stand in policy.py once, and reach Redis as CONFIG GET answers them."""
    assert TuneRedis().wanted == {
        "maxmemory": "4294967296",
        "maxmemory-policy": "allkeys-lru",
        "timeout": "300",
        "tcp-keepalive": "60",
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"maxmemory": "4.5gb"},
        {"maxmemory": "4gb; FLUSHALL"},
        {"policy": "allkeys-lru\r\nFLUSHALL"},
        {"policy": "fastest"},
        {"timeout_seconds": -2},
        {"tcp_keepalive_seconds": 2**31},
        {"keep": "for ever"},
        {"maxmemory": "", "policy": "", "timeout_seconds": -1, "tcp_keepalive_seconds": -1},
        {"timeout_seconds": "soon"},
        {"unknown": 1},
    ],
)
def test_tune_redis_with_an_impossible_value_is_refused_before_anything_is_contacted(parameters):
    """The error names what would be accepted."""
    with pytest.raises(UsageError) as caught:
        make_action("tune_redis", parameters)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("version", "commands"),
    [
        ((7, 0, 15), [["timeout", "300", "tcp-keepalive", "60"]]),
        ((6, 2, 14), [["timeout", "300"], ["tcp-keepalive", "60"]]),
        ((), [["timeout", "300"], ["tcp-keepalive", "60"]]),
    ],
)
def test_set_commands_are_one_where_redis_takes_all_or_none(version, commands):
    """Several pairs in one CONFIG SET need Redis 7; an unknown version is taken for an older one."""
    assert set_commands({"timeout": "300", "tcp-keepalive": "60"}, version) == commands
    assert set_commands({}, version) == []


def test_bytes_to_evict_leaves_out_what_never_counts_against_the_limit():
    """Replica buffers are in used_memory and are not evicted for."""
    assert bytes_to_evict(node(used=3 * GIB, not_evictable_bytes=GIB), 2 * GIB) == 0
    assert bytes_to_evict(node(used=3 * GIB), 2 * GIB) == GIB
    assert bytes_to_evict(node(used=3 * GIB), 0) == 0


def test_fits_host_holds_for_a_limit_that_is_no_worse_than_now():
    """Where there is no limit at all, one over the RAM is an improvement, and an undo must be possible."""
    over = 32 * GIB
    assert not fits_host(node(), over)
    assert fits_host(node(settings={"maxmemory": "0"}), over)
    assert fits_host(node(host_memory_bytes=None), over)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("maxmemory", str(GIB), "would evict 1.0 GiB (1073741824 bytes) at once"),
        ("maxmemory", str(4 * GIB), "headroom 2.0 GiB (50.0 %)"),
        ("maxmemory", "0", "grows until its host has no memory left"),
        ("maxmemory-policy", "noeviction", "every write fails"),
        ("maxmemory-policy", "volatile-lru", "20 of 1,000 keys have no TTL"),
        ("maxmemory-policy", "allkeys-lfu", "least often used keys go"),
        ("timeout", "300", "1 of 3 connections are idle for over 300 s"),
        ("timeout", "0", "never closed"),
        ("tcp-keepalive", "60", "after about 120 s"),
        ("tcp-keepalive", "0", "never noticed"),
    ],
)
def test_effects_are_said_in_the_numbers_of_this_server(name, value, words):
    """The same words stand in plans and in findings."""
    assert words in effects(node(), name, value)


def test_judge_redis_settings_as_the_guide_says_is_ok_in_everything():
    """With the guide's value beside each."""
    found = of_redis()
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["maxmemory"].limit == "guide: 4.0 GiB (4294967296 bytes)"
    assert "room for 100 processes" in found["maxclients"].detail


@pytest.mark.parametrize(
    ("changes", "name", "status", "words"),
    [
        ({"settings": {"maxmemory": "0"}}, "maxmemory", Status.FAIL, "no limit"),
        ({"settings": {"maxmemory": str(20 * GIB)}}, "maxmemory", Status.FAIL, "over the RAM"),
        ({"used": 4 * GIB}, "maxmemory", Status.OK, "100.0 % in use, 0 evicted"),
        ({"used": 4 * GIB, "evicted_count": 5000}, "maxmemory", Status.WARN, "500 an hour"),
        ({"settings": {"maxmemory": str(3 * GIB)}}, "maxmemory", Status.OK, "with the guide's: evicts nothing now"),
        ({"settings": {"maxmemory-policy": "noeviction"}}, "maxmemory_policy", Status.WARN, "every write fails"),
        ({"settings": {"maxmemory-policy": "noeviction"}, "used": 4 * GIB}, "maxmemory_policy", Status.FAIL, "OOM"),
        ({"settings": {"maxmemory-policy": "volatile-ttl"}}, "maxmemory_policy", Status.WARN, "have no TTL"),
        ({"settings": {"maxmemory-policy": "allkeys-lfu"}}, "maxmemory_policy", Status.OK, "least often"),
        ({"settings": {"maxmemory-policy": "volatile-lrm"}}, "maxmemory_policy", Status.WARN, ""),
        ({"settings": {"timeout": "0"}}, "timeout", Status.WARN, "1 connection silent"),
        ({"settings": {"timeout": "0"}, "idle_seconds": (1,)}, "timeout", Status.OK, "0 connections silent"),
        ({"settings": {"timeout": "5"}}, "timeout", Status.WARN, "pools lose"),
        ({"settings": {"tcp-keepalive": "0"}}, "tcp_keepalive", Status.WARN, "never noticed"),
        ({"settings": {"tcp-keepalive": "300"}}, "tcp_keepalive", Status.OK, "600 s"),
        ({"settings": {"save": "3600 1"}}, "save", Status.WARN, "MISCONF"),
        ({"settings": {"save": "3600 1"}, "last_save_failed": True}, "save", Status.FAIL, "refuses every write now"),
        ({"rejected_count": 3}, "maxclients", Status.WARN, "3 connections refused"),
        ({"clients_count": 9000}, "maxclients", Status.WARN, "90.0 % in use"),
    ],
)
def test_judge_redis_settings_says_what_a_difference_does(changes, name, status, words):
    """A full LRU cache that evicts nothing is normal; a difference without effect is OK and said."""
    finding = of_redis(node(**changes))[name]
    assert finding.status is status
    assert words in finding.detail
    assert bool(finding.hint) == (status is not Status.OK)


def test_judge_redis_settings_that_could_not_be_read_are_unknown():
    """A managed service tells its limit and policy by INFO, and nothing else."""
    kept = node(unread="unknown command CONFIG", unread_hint="use its console")
    kept = replace(kept, settings={"maxmemory": str(4 * GIB), "maxmemory-policy": "allkeys-lru"})
    found = of_redis(kept)
    assert found["maxmemory"].status is Status.OK
    assert found["timeout"].status is Status.UNKNOWN
    assert found["timeout"].hint == "use its console"
    assert {finding.status for finding in judge_redis_settings(NO_REDIS, POLICY)} == {Status.UNKNOWN}


def test_judge_redis_settings_of_primaries_that_differ_warns_and_names_each():
    """Keys of one primary would live by other rules than those of the next."""
    found = of_redis(node(), replace(node(settings={"timeout": "600"}), node="10.0.0.2:6379"))
    assert found["timeout"].status is Status.WARN
    assert found["timeout"].shown == "300 s / 600 s"
    assert [item.name for item in found["timeout"].evidence] == ["10.0.0.1:6379", "10.0.0.2:6379"]


def test_judge_site_settings_as_the_guide_says_is_ok_but_for_what_the_guide_leaves_open():
    """The guide's own values give no warning."""
    assert {name: f.status for name, f in of_site().items() if f.status is not Status.OK} == {}
    assert len(of_site()) == 11


@pytest.mark.parametrize(
    ("cache", "name", "status", "words"),
    [
        ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "backend", Status.FAIL, "every process"),
        ({"BACKEND": "django.core.cache.backends.redis.RedisCache"}, "backend", Status.WARN, "another backend"),
        ({"OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"}}, "client_class", Status.WARN, "several"),
        ({"OPTIONS": {"COMPRESSOR": ""}}, "compressor", Status.WARN, "2.0 GiB"),
        ({"OPTIONS": {"CONNECTION_POOL_KWARGS": {}}}, "max_connections", Status.WARN, "up to maxclients (10000)"),
        (
            {"OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 50}}},
            "max_connections",
            Status.OK,
            "200 processes",
        ),
        ({"OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 20000}}}, "max_connections", Status.WARN, "0 proc"),
        ({"OPTIONS": {"CONNECTION_POOL_KWARGS": {}}}, "retry_on_timeout", Status.OK, "fails at once"),
        ({"OPTIONS": {"IGNORE_EXCEPTIONS": True}}, "ignore_exceptions", Status.WARN, "looks like misses"),
        (
            {"OPTIONS": {"SERIALIZER": "django_redis.serializers.pickle.PickleSerializer"}},
            "serializer",
            Status.WARN,
            "code",
        ),
        ({"KEY_PREFIX": "shop"}, "key_prefix", Status.FAIL, "runbooks.toml says 'django'"),
        ({"OPTIONS": {"CLIENT_CLASS": HOSTILE}}, "client_class", Status.WARN, "several"),
    ],
)
def test_judge_site_settings_says_what_a_difference_does_and_which_line_to_change(cache, name, status, words):
    """Each with its line of settings.py."""
    finding = of_site(dict(cache))[name]
    assert finding.status is status
    assert words in finding.detail
    assert finding.hint.startswith("settings.py: ") == (status is not Status.OK)
    assert finding.shown.isprintable()


def test_judge_site_settings_with_an_empty_prefix_on_both_sides_warns():
    """Keys begin with ':1:' then."""
    assert of_site({"KEY_PREFIX": ""}, prefix="")["key_prefix"].status is Status.WARN


@pytest.mark.parametrize(
    ("changes", "name", "status", "words"),
    [
        (
            {"sessions": {"engine": "a.cache", "cache_alias": "default"}},
            "sessions",
            Status.WARN,
            "signs every user out",
        ),
        ({"sessions": {"engine": "a.cache", "cache_alias": "users"}}, "sessions", Status.OK, "nobody"),
        ({"throttling": {"classes": ["x"], "rates": {"anon": "200/h"}}}, "throttle_rates", Status.WARN, "user: nobody"),
        ({"throttling": {**GUIDE_THROTTLING, "classes": []}}, "throttle_rates", Status.WARN, "no view is throttled"),
        (
            {"throttling": {"classes": ["x"], "rates": {"anon": "10/minute", "user": "1000/hour"}}},
            "throttle_rates",
            Status.OK,
            "anon: 6 times",
        ),
        ({"cache_warming": {"ENABLED": False}}, "warming_interval", Status.WARN, "nothing is warmed"),
        ({"cache_warming": {"ENABLED": True, "SCHEDULED_INTERVAL": 7200}}, "warming_interval", Status.WARN, "gone for"),
        (
            {"cache_warming": {"ENABLED": True, "SCHEDULED_INTERVAL": "often"}},
            "warming_interval",
            Status.WARN,
            "not known",
        ),
    ],
)
def test_judge_site_settings_judges_sessions_rates_and_warming(changes, name, status, words):
    """What decides who is signed out, limited and warmed."""
    finding = of_site(**changes)[name]
    assert finding.status is status
    assert words in finding.detail


@pytest.mark.parametrize("value", [None, [], "nonsense", {"other": {}}, {"default": None}, {"default": "x"}])
def test_judge_site_settings_of_a_site_that_answers_nonsense_is_unknown(value):
    """A value of another kind is never guessed at."""
    assert of_site(caches=value)["backend"].status is Status.UNKNOWN


def test_judge_site_settings_of_a_site_that_cannot_be_asked_is_unknown_in_everything():
    """Nothing is OK that was not read."""
    gone = Unreadable("django", "settings", "manage.py shell timed out", "is the site installed here?", Kind.ABSENT)
    found = of_site(caches=gone, throttling=gone, cache_warming=gone, sessions=gone)
    assert {finding.status for finding in found.values()} == {Status.UNKNOWN}


@pytest.mark.parametrize(
    ("rate", "meant"),
    [
        ("100/hour", (100, 3600)),
        ("5/s", (5, 1)),
        ("7/day", (7, 86400)),
        ("1000/minute", (1000, 60)),
        (None, None),
        ("x", None),
    ],
)
def test_allowance_reads_rates_as_rest_framework_does(rate, meant):
    """By the first letter of the period."""
    assert allowance(rate) == meant


def test_guide_settings_are_those_that_the_guide_prints():
    """Redis Configuration and Django Settings Tuning."""
    assert (GUIDE.maxmemory, GUIDE.maxmemory_policy) == ("4gb", "allkeys-lru")
    assert (GUIDE.timeout_seconds, GUIDE.tcp_keepalive_seconds, GUIDE.max_connections) == (300, 60, 100)


def test_tuning_headline_says_what_differs_from_the_guide_and_why_that_is_well():
    """The same page plans the guide's value: both must be true at once."""
    small = node(used=GIB // 16, settings={"maxmemory": str(GIB // 4)})
    findings = (*of_redis(small).values(), *of_site().values())
    (limit,) = [finding for finding in findings if finding.id == "tuning.redis.maxmemory"]

    assert limit.status is Status.OK
    assert "OK as it is, because what is there fits" in limit.detail
    assert tuning_headline(findings).startswith("0 of 17 settings need attention; 1 differs from the guide and does no")
    assert tuning_headline(findings).endswith("redis maxmemory 256.0 MiB (guide: 4.0 GiB)")
    assert tuning_headline(tuple(of_redis().values())) == "0 of 6 settings need attention"
