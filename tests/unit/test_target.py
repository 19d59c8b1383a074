"""Where an environment really leads: other places differ, other credentials do not."""

import pytest
from actions_fixtures import environment_of

from runbooks_lib.target import leads_to_the_same, target_of

USUAL = {"manage": ("ssh", "web1", "/srv/manage.py"), "database_url": "postgresql://ro:pw1@db/site"}


def site(redis_url="redis://:pw1@cache:6379/1", **changes):
    """An environment whose every value came out of a variable, and is masked wherever it is shown."""
    return environment_of(redis_url, **{**USUAL, "secrets": ("web1", "web2", "cache", "db", "other"), **changes})


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("redis_url", {"redis_url": "redis://:pw1@other:6379/1"}),
        ("redis_url", {"redis_url": "redis://:pw1@cache:6379/2"}),
        ("manage", {"manage": ("ssh", "web2", "/srv/manage.py")}),
        ("database_url", {"database_url": "postgresql://ro:pw1@other/site"}),
        ("site_url", {"site_url": "http://other"}),
        ("key_prefix", {"key_prefix": "other"}),
        ("key_version", {"key_version": 2}),
    ],
)
def test_target_of_another_place_differs_in_that_part_though_it_is_shown_masked(part, changes):
    """Secrets by configuration are masked for people, never for the digest."""
    one, other = target_of(site()), target_of(site(**changes))

    assert {name for name in one if one[name] != other[name]} == {part}


@pytest.mark.parametrize(
    "changes",
    [
        {"redis_url": "redis://:pw2@cache:6379/1"},
        {"database_url": "postgresql://ro:pw2@db/site"},
        {"manage": ("env", "DB_PASSWORD=new", "/srv/manage.py")},
        {"site_url": "http://127.0.0.1:1?api_token=new"},
    ],
    ids=["redis", "database", "manage", "query"],
)
def test_target_of_another_password_is_the_same(changes):
    """A password that was changed between plan and confirmation changes no place, and cannot be guessed from a hash."""
    usual = {"manage": ("env", "DB_PASSWORD=old", "/srv/manage.py"), "site_url": "http://127.0.0.1:1?api_token=old"}

    assert target_of(site(**usual)) == target_of(site(**{**usual, **changes}))


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("redis://:a@h:6379/0", "rediss://u:b@H", True),
        ("redis://localhost/1", "redis://127.0.0.1:6379/1", True),
        ("redis://h/1", "redis://h/9?db=1", True),
        ("unix:///run/r.sock?db=2", "unix://u:p@/run/r.sock?db=2", True),
        ("unix:///run/r.sock?db=2", "unix:///run/r.sock", False),
        ("redis://h/1", "redis://h/2", False),
        ("redis://h:1/1", "redis://h:2/1", False),
        ("sentinel://:a@h1,h2/1?service=x", "sentinel://:b@h1,h2/1?service=x", True),
        ("sentinel://h1,h2/1?service=x", "sentinel://h1,h2/1?service=y", False),
    ],
)
def test_leads_to_the_same_redis_whoever_logs_in(url, other, same):
    """One database of one server under two names in the file."""
    assert leads_to_the_same(environment_of(url), environment_of(other)) is same


def test_leads_to_the_same_code_counts_without_the_same_redis():
    """Flags are set through the site's code; without it two environments share nothing."""
    manage = ("ssh", "web1", "manage.py")

    assert leads_to_the_same(environment_of("redis://a/1", manage=manage), environment_of("redis://b/1", manage=manage))
    assert not leads_to_the_same(environment_of("redis://a/1"), environment_of("redis://b/1"))
