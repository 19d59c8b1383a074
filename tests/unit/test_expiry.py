"""Parameters of giving keys a TTL, and the commands that are sent."""

import pytest

from runbooks_lib.actions.keys.expiry import ExpireKeys, expiring
from runbooks_lib.errors import UsageError


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": -5}, "ttl_seconds"),
        ({"ttl_seconds": 10**9}, "ttl_seconds"),
        ({"ttl_seconds": True}, "ttl_seconds"),
        ({"ttl_seconds": 1.5}, "ttl_seconds"),
        ({"jitter_ratio": -0.1}, "jitter_ratio"),
        ({"jitter_ratio": 1.0}, "jitter_ratio"),
        ({"jitter_ratio": float("nan")}, "jitter_ratio"),
        ({"jitter_ratio": "some"}, "jitter_ratio"),
        ({"max_keys": 0}, "max_keys"),
        ({"pattern": 7}, "pattern"),
    ],
)
def test_expire_keys_with_an_impossible_parameter_is_a_usage_error(changes, named):
    """Before anything is contacted."""
    with pytest.raises(UsageError, match=named):
        ExpireKeys(**{"pattern": "api:*", "ttl_seconds": 900, **changes})


def test_expiring_spreads_the_ttls_over_the_whole_range():
    """So that the keys do not all expire together."""
    commands = expiring(1000, 0.1, knows_nx=True)([b"k"] * 500)

    seconds = [command[2] for command in commands]
    assert min(seconds) < 920
    assert max(seconds) > 1080
    assert all(900 <= value <= 1100 for value in seconds)


def test_expiring_for_a_second_never_gives_zero():
    """EXPIRE with 0 deletes the key."""
    commands = expiring(1, 0.9, knows_nx=True)([b"k"] * 200)

    assert all(command[2] >= 1 for command in commands)


def test_expiring_before_redis_7_asks_for_one_key_at_a_time():
    """A script over many keys would stop the server for everybody, and find no node on a cluster."""
    commands = expiring(900, 0.0, knows_nx=False)([b"a", b"b\n*"])

    assert [(command[0], command[2], command[3], command[4]) for command in commands] == [
        ("EVAL", 1, b"a", 900),
        ("EVAL", 1, b"b\n*", 900),
    ]
