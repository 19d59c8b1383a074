"""The URLs of Sentinel and of clusters: what they mean, and what is said about the ones that mean nothing."""

import pytest
from sources_fixtures import site_environment

from runbooks_lib import config
from runbooks_lib.errors import ConfigurationError, SourceError
from runbooks_lib.redis_urls import BadUrlError, parse_many_hosts
from runbooks_lib.sources.redis.client import address_from
from runbooks_lib.sources.redis.topology import locate

SECRET = "s3cret"


def test_sentinel_url_gives_seeds_with_their_own_login():
    """Redis's password is never sent to Sentinel, nor the other way round."""
    many = parse_many_hosts(
        "sentinel://app:p%40ss@s1,s2:26380,[::1]:1/3?service=my%20master&sentinel_username=w&sentinel_password=a%2Fb+c"
    )
    seeds = [address_from(url) for url in many.seeds]
    primary = address_from(many.primary)

    assert many.service == "my master"
    assert [seed.shown for seed in seeds] == ["s1:26379", "s2:26380", "::1:1"]
    assert {(seed.options["username"], seed.options["password"]) for seed in seeds} == {("w", "a/b+c")}
    assert (primary.options["username"], primary.options["password"], primary.database) == ("app", "p@ss", 3)
    assert not primary.tls


def test_cluster_url_gives_seeds_in_database_0():
    """The default port is Redis's."""
    many = parse_many_hosts(
        "rediscluster://:pw@a,b:7001/0?tls=true&ssl_ca_certs=/etc/c%20a+1.pem&ssl_check_hostname=false"
    )
    seeds = [address_from(url) for url in many.seeds]

    assert [seed.shown for seed in seeds] == ["a:6379", "b:7001"]
    assert all(seed.tls and seed.database == 0 for seed in seeds)
    assert seeds[0].options["ssl_ca_certs"] == "/etc/c a+1.pem"
    assert seeds[0].options["ssl_check_hostname"] is False


@pytest.mark.parametrize(
    ("query", "sentinel", "redis"),
    [("&tls=true", True, True), ("&tls=yes&sentinel_tls=no", False, True), ("", False, False)],
)
def test_sentinel_url_says_where_tls_is_spoken(query, sentinel, redis):
    """Often Redis speaks it and Sentinel does not."""
    many = parse_many_hosts(f"sentinel://h/0?service=m{query}")

    assert many.seeds[0].startswith("rediss://") is sentinel
    assert many.primary.startswith("rediss://") is redis


BAD = {
    "no host": ("sentinel:///1?service=m", "host or port"),
    "empty host": ("rediscluster://a,,b", "host or port"),
    "no port": ("rediscluster://a:port", "host or port"),
    "port 0": ("rediscluster://a:0", "host or port"),
    "port too large": ("rediscluster://a:65536", "host or port"),
    "bracket": ("rediscluster://[::1", "host or port"),
    "blank": ("rediscluster://a b", "host or port"),
    "raw slash in password": (f"rediscluster://:{SECRET}/x@a", "host or port"),
    "raw @ is a host": (f"rediscluster://:{SECRET}@{SECRET}@a:x", "host or port"),
    "database of a cluster": ("rediscluster://a/1", "database 1, and a cluster has database 0 only"),
    "name as database": ("sentinel://a/mymaster", "database number"),
    "no service": ("sentinel://a/1", "names no service"),
    "empty service": ("sentinel://a/1?service=", "names no service"),
    "unknown option": (f"rediscluster://a?{SECRET}=1", "option that is not known"),
    "service of a cluster": ("rediscluster://a?service=m", "option that is not known"),
    "tls maybe": (f"sentinel://a/1?service=m&tls={SECRET}", "tls a value"),
}


@pytest.mark.parametrize(("url", "message"), BAD.values(), ids=BAD)
def test_bad_url_is_refused_with_what_is_expected(url, message, tmp_path):
    """When the environment is opened, and when a fact is asked for; the URL itself is never shown."""
    with pytest.raises(BadUrlError, match=message) as parsed:
        parse_many_hosts(url)
    with pytest.raises(SourceError, match=message) as located:
        locate(site_environment(redis_url=url))
    path = tmp_path / "runbooks.toml"
    path.write_text(f'[environments.x]\nredis_url = "{url}"\nprometheus_url = "http://h"\nsite_url = "http://h"\n')
    with pytest.raises(ConfigurationError, match=message) as configured:
        config.load(path, {}).environment("x")
    for caught in (parsed, located, configured):
        assert caught.value.hint
        assert SECRET not in f"{caught.value}{caught.value.hint}"
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["sentinel://:${PW}@a,b:1/1?service=m&sentinel_password=${PW}", "rediscluster://:${PW}@a:1,b:2"]
)
def test_good_url_is_accepted_and_its_secret_is_known(url, tmp_path):
    """Also the password that stands in an option."""
    path = tmp_path / "runbooks.toml"
    path.write_text(f'[environments.x]\nredis_url = "{url}"\nprometheus_url = "http://h"\nsite_url = "http://h"\n')
    environment = config.load(path, {"PW": SECRET}).environment("x")

    assert environment.secrets == (SECRET,)
    assert SECRET not in repr(parse_many_hosts(environment.redis_url))
