"""What a site says of itself, so that a plan can be bound to it: every place, and no password."""

import pytest

from runbooks_lib.sources.site.on_site import place_of_cache, place_of_database

SECRET = "s3cr3t-and-more"
CACHE = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://:{SECRET}@h:6379/1", "KEY_PREFIX": "a"}
DATABASE = {"ENGINE": "postgresql", "HOST": "db", "PORT": 5432, "NAME": "site", "USER": "u", "PASSWORD": SECRET}


@pytest.mark.parametrize(
    "changes",
    [
        {"LOCATION": f"redis://:{SECRET}@h:6379/2"},
        {"LOCATION": f"redis://:{SECRET}@other:6379/1"},
        {"LOCATION": "unix:///run/redis.sock?db=1"},
        {"LOCATION": "unix:///run/redis.sock?db=2"},
        {"OPTIONS": {"DB": 3, "PASSWORD": SECRET}},
        {"OPTIONS": {"CONNECTION_POOL_KWARGS": {"db": 4, "password": SECRET}}},
        {"OPTIONS": {"SENTINELS": [("s1", 26379)], "SENTINEL_KWARGS": {"password": SECRET}}},
        {"KEY_PREFIX": "b"},
        {"LOCATION": [f"redis://:{SECRET}@h:6379/1", f"redis://:{SECRET}@replica:6379/1"]},
    ],
)
def test_place_of_cache_differs_with_the_place_and_holds_no_password(changes):
    """The number of the database may stand in the URL, in its query, or in two kinds of options."""
    usual, other = place_of_cache(CACHE), place_of_cache({**CACHE, **changes})

    assert usual != other
    assert SECRET not in f"{usual}{other}"


def test_place_of_cache_of_two_sockets_databases_differ():
    """Their number stands in the query, which is dropped with the password in it."""
    first, second = (place_of_cache({"LOCATION": f"unix://:{SECRET}@/run/r.sock?db={db}"}) for db in (1, 2))

    assert first != second
    assert SECRET not in f"{first}{second}"


@pytest.mark.parametrize(
    "changes",
    [{"HOST": "other"}, {"NAME": "other"}, {"PORT": 1}, {"ENGINE": "mysql"}, {"OPTIONS": {"service": "prod"}}],
    ids=lambda changes: next(iter(changes)),
)
def test_place_of_database_differs_with_the_place_and_holds_no_password(changes):
    """User and password say nothing about which site it is."""
    usual, other = place_of_database(DATABASE), place_of_database({**DATABASE, **changes})

    assert usual != other
    assert usual == place_of_database({**DATABASE, "USER": "v", "PASSWORD": "x"})
    assert SECRET not in f"{usual}{other}"
