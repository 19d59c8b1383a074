"""``cache_stats`` on real databases: the same rows give the same facts on SQLite and PostgreSQL."""

import random
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sources_fixtures import PASSWORD, SocketServer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.cache_stats import CacheStats

NAMES = [
    "course-list",
    "Course-list",
    "ärger",
    "zz",
    "a b",
    "'; DROP TABLE cache_stats; --",
    "<b>",
    "_",
    "course-detail",
]


def rows():
    """A few thousand lookups of the last two hours, skewed, with names that sort differently by locale.

    None is about to leave one of the windows: the two databases are asked one after the other.
    """
    rng = random.Random(7)
    now = datetime.now(UTC)
    ages = (rng.uniform(5, 7000) for _ in range(4000))
    return [
        (
            now - timedelta(seconds=age),
            rng.choices(NAMES, weights=range(1, 10))[0],
            rng.choice(["hit", "hit", "hit", "miss", "null_value", "stale", "bypass"]),
            rng.random() * 20,
            "enhanced",
        )
        for age in ages
        if not 800 < age <= 900 and not 3500 < age <= 3600
    ]


@pytest.fixture(scope="module")
def table(postgres_url):
    """The table in PostgreSQL, in a schema of its own that ends with the module."""
    plain = postgres_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE cache_stats (id bigserial primary key, created_at timestamptz, view_name text, status text, duration_ms float, cohort text)"
        )
        connection.execute("ALTER ROLE runner SET timezone = 'Asia/Tokyo'")
        yield connection
        connection.execute("DROP TABLE IF EXISTS cache_stats")
        connection.execute("ALTER ROLE runner RESET timezone")


@pytest.fixture
def filled(table):
    """The same rows in both databases."""
    data = rows()
    table.execute("TRUNCATE cache_stats")
    with table.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cache_stats (created_at, view_name, status, duration_ms, cohort) VALUES (%s, %s, %s, %s, %s)",
            data,
        )
    return data


@pytest.mark.parametrize(("window", "limit"), [(None, 50), (3600, 50), (3600, 3), (900, 9), (1, 5)])
def test_by_endpoint_sqlite_and_postgresql_give_equal_facts(tmp_path, postgres_url, filled, window, limit):
    """Counts, percentages to the last bit, order, newest and number of endpoints are the same."""
    with sqlite3.connect(tmp_path / "x.sqlite3") as connection:
        connection.execute(
            "CREATE TABLE cache_stats (id integer primary key, created_at datetime, view_name text, status text, duration_ms real, cohort text)"
        )
        stored = [(str(created.replace(tzinfo=None)), *rest) for created, *rest in filled]
        connection.executemany(
            "INSERT INTO cache_stats (created_at, view_name, status, duration_ms, cohort) VALUES (?, ?, ?, ?, ?)",
            stored,
        )
    connection.close()

    sqlite = CacheStats(site_environment(database_url=f"sqlite:///{tmp_path}/x.sqlite3")).by_endpoint(window, limit)
    postgres = CacheStats(site_environment(database_url=postgres_url)).by_endpoint(window, limit)

    assert postgres == replace(sqlite, provenance=postgres.provenance)
    assert bool(sqlite.rows) is (window != 1)


def test_by_endpoint_agrees_with_the_guides_own_sql(postgres_url, table, filled):
    """The query of the guide, word for word, gives the same rows."""
    guide = """SELECT view_name, status, COUNT(*) as count,
        COUNT(*) * 100.0 / SUM(COUNT(*)) OVER (PARTITION BY view_name) as percentage
        FROM cache_stats GROUP BY view_name, status ORDER BY view_name, count DESC"""
    expected = {(name, status): (count, float(percentage)) for name, status, count, percentage in table.execute(guide)}

    found = CacheStats(site_environment(database_url=postgres_url)).by_endpoint()

    assert {(r.view_name, r.status): r.count for r in found.rows} == {
        key: count for key, (count, _) in expected.items()
    }
    assert all(r.percent == pytest.approx(expected[r.view_name, r.status][1]) for r in found.rows)


def test_by_endpoint_postgresql_timestamp_without_zone_is_utc(postgres_url, table):
    """The time zone of the session, Tokyo here, does not shift the window."""
    table.execute("TRUNCATE cache_stats")
    table.execute("ALTER TABLE cache_stats ALTER created_at TYPE timestamp")
    now = datetime.now(UTC).replace(tzinfo=None)
    table.execute(
        "INSERT INTO cache_stats (created_at, view_name, status) VALUES (%s, 'a', 'hit'), (%s, 'a', 'miss')",
        [now, now - timedelta(hours=2)],
    )

    facts = CacheStats(site_environment(database_url=postgres_url)).by_endpoint(window_seconds=3600)

    table.execute("ALTER TABLE cache_stats ALTER created_at TYPE timestamptz USING created_at AT TIME ZONE 'UTC'")
    assert [r.status for r in facts.rows] == ["hit"]
    assert facts.newest_at == now.replace(tzinfo=UTC)


def test_by_endpoint_postgresql_tie_at_the_limit_does_not_depend_on_the_locale(postgres_url, table):
    """Which of equally busy endpoints are shown is decided by byte order, as in SQLite."""
    if table.execute("SELECT 1 FROM pg_collation WHERE collname = 'en-x-icu'").fetchone() is None:
        pytest.skip("this PostgreSQL was built without ICU")
    table.execute('TRUNCATE cache_stats; ALTER TABLE cache_stats ALTER view_name TYPE text COLLATE "en-x-icu"')
    table.execute(
        "INSERT INTO cache_stats (view_name, status) VALUES ('a', 'hit'), ('B', 'hit'), ('_c', 'hit'), ('D', 'hit')"
    )

    facts = CacheStats(site_environment(database_url=postgres_url)).by_endpoint(limit=2)

    table.execute('ALTER TABLE cache_stats ALTER view_name TYPE text COLLATE "default"')
    assert [row.view_name for row in facts.rows] == ["B", "D"]


def test_by_endpoint_postgresql_empty_table_has_no_rows(postgres_url, table):
    """The window of an empty table is empty."""
    table.execute("TRUNCATE cache_stats")

    facts = CacheStats(site_environment(database_url=postgres_url)).by_endpoint(window_seconds=60)

    assert (facts.rows, facts.newest_at, facts.missing_columns) == ((), None, ())


def refused(url, work=None, **keys) -> SourceError:
    stats = CacheStats(site_environment(database_url=url), **keys)
    with pytest.raises(SourceError) as caught:
        stats.by_endpoint() if work is None else stats._database.read(work)
    assert caught.value.source == "cache_stats"
    assert caught.value.hint
    assert PASSWORD not in str(caught.value)
    assert "p@ss-w0rd" not in str(caught.value)
    return caught.value


def test_by_endpoint_postgresql_transaction_refuses_to_write(postgres_url, filled):
    """Not only our query is harmless: nothing can write through this connection."""
    from sqlalchemy import text

    error = refused(postgres_url, lambda connection: connection.execute(text("DELETE FROM cache_stats")))

    assert "read-only" in error.message


def test_by_endpoint_postgresql_slow_query_is_ended_by_the_server(postgres_url, table):
    """The server ends the statement; it does not go on after the operator left."""
    from sqlalchemy import text

    began = time.monotonic()

    error = refused(
        postgres_url, lambda connection: connection.execute(text("SELECT pg_sleep(30)")), timeout_seconds=0.5
    )

    assert "statement timeout" in error.message
    assert "window" in error.hint
    assert time.monotonic() - began < 3
    assert table.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30)%%' AND state = 'active' AND pid <> pg_backend_pid()"
    ).fetchone() == (0,)


def test_by_endpoint_postgresql_lock_on_the_table_ends_in_time(postgres_url, table):
    """A migration that holds the table does not keep the operator."""
    with psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE cache_stats IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()

        refused(postgres_url, timeout_seconds=0.5)

        assert time.monotonic() - began < 3


def test_by_endpoint_postgresql_wrong_password_is_named_without_it(postgres_url):
    """The message says that it is the password, and not which."""
    error = refused(postgres_url.replace(PASSWORD, "wrong-secret"))

    assert "password authentication failed" in error.message
    assert "wrong-secret" not in str(error)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_by_endpoint_postgresql_missing_table_is_a_source_error(postgres_url, scheme):
    """Every way to write the address reaches the database and learns that the table is not there."""
    error = refused(
        postgres_url.replace("postgresql", scheme, 1).replace("/postgres", "/template1")
        if scheme != "postgres"
        else f"postgres{postgres_url.removeprefix('postgresql').removesuffix('/postgres')}/template1"
    )

    assert 'relation "cache_stats" does not exist' in error.message


def test_by_endpoint_postgresql_missing_database_and_closed_port_are_source_errors(postgres_url):
    """Both say what could not be reached, and what to check."""
    assert "does not exist" in refused(postgres_url.removesuffix("/postgres") + "/nothing").message
    assert "refused" in refused(f"postgresql://u:{PASSWORD}@127.0.0.1:1/x").message


def test_by_endpoint_server_that_accepts_and_stays_silent_ends_in_time():
    """The limits of the driver do not cover it; the deadline does."""
    server = SocketServer(lambda connection, _: time.sleep(5))
    began = time.monotonic()

    refused(f"postgresql://u:{PASSWORD}@127.0.0.1:{server.port}/x", timeout_seconds=0.5)

    server.close()
    assert time.monotonic() - began < 2


def test_by_endpoint_postgresql_missing_permission_names_the_grant(postgres_url, table):
    """The operator learns which right is missing."""
    table.execute("DROP ROLE IF EXISTS nobody_here")
    table.execute("CREATE ROLE nobody_here LOGIN PASSWORD 'p@ss-w0rd'")

    error = refused(postgres_url.replace("//runner", "//nobody_here"))

    table.execute("DROP ROLE nobody_here")
    assert "permission denied" in error.message
    assert "SELECT" in error.hint
