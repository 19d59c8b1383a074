"""The guide's query on SQLite files: right numbers, nothing written, nothing created, errors that help."""

import hashlib
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.cache_stats import CacheStats

COLUMNS = "id integer primary key, created_at datetime, view_name text, status text, duration_ms real, cohort text"


@pytest.fixture
def make_stats(tmp_path):
    """Makes a database and gives a reader of it."""

    def make(rows=(), columns=COLUMNS, names="created_at, view_name, status", name="site.sqlite3", **keys):
        path = tmp_path / name
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE cache_stats ({columns})")
            marks = ", ".join("?" for _ in names.split(","))
            connection.executemany(f"INSERT INTO cache_stats ({names}) VALUES ({marks})", rows)
        connection.close()
        return CacheStats(site_environment(database_url=f"sqlite:///{path}"), **keys)

    return make


def ago(seconds):
    """A time as Django stores it in SQLite."""
    return str(datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds))


def refused(call) -> SourceError:
    with pytest.raises(SourceError) as caught:
        call()
    assert caught.value.source == "cache_stats"
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value


def test_by_endpoint_counts_and_percentages_are_the_guides(make_stats):
    """Percentages are of the endpoint, rows come by endpoint and then by count."""
    stats = make_stats([(ago(1), "b", s) for s in ["hit"] * 3 + ["miss"]] + [(ago(1), "a", "hit")])

    facts = stats.by_endpoint()

    assert [(r.view_name, r.status, r.count, r.percent) for r in facts.rows] == [
        ("a", "hit", 1, 100.0),
        ("b", "hit", 3, 75.0),
        ("b", "miss", 1, 25.0),
    ]
    assert facts.endpoints_count == 2
    assert facts.missing_columns == ()
    assert facts.window_seconds is None
    assert "count(*)" in facts.provenance.query


def test_by_endpoint_window_takes_only_recent_rows(make_stats):
    """Text times as Django writes them compare rightly, with and without a fraction."""
    whole_second = ago(5).split(".")[0]
    stats = make_stats([(ago(1), "a", "hit"), (whole_second, "a", "hit"), (ago(3600), "a", "miss")])

    facts = stats.by_endpoint(window_seconds=60)

    assert [(r.status, r.count) for r in facts.rows] == [("hit", 2)]
    assert facts.window_seconds == 60
    assert (datetime.now(UTC) - facts.newest_at) < timedelta(seconds=30)


@pytest.mark.parametrize(
    "stored",
    [
        lambda moment: moment.isoformat(),
        lambda moment: moment.isoformat() + "Z",
        lambda moment: moment.replace(tzinfo=UTC).timestamp(),
        lambda moment: int(moment.replace(tzinfo=UTC).timestamp()),
    ],
    ids=["iso", "iso with zone", "unix time", "whole unix time"],
)
def test_by_endpoint_times_in_another_form_compare_rightly(make_stats, stored):
    """A site that does not store times as Django does is not read wrongly without a word."""
    now = datetime.now(UTC).replace(tzinfo=None)
    stats = make_stats(
        [(stored(now - timedelta(seconds=s)), "a", status) for s, status in [(2, "hit"), (7200, "miss")]]
    )

    facts = stats.by_endpoint(window_seconds=3600)

    assert [(r.status, r.count) for r in facts.rows] == [("hit", 1)]
    assert abs((datetime.now(UTC) - facts.newest_at).total_seconds()) < 30


def test_by_endpoint_limit_takes_the_busiest_endpoints_with_all_their_statuses(make_stats):
    """Thousands of endpoints stay readable, and the reader learns how many there are."""
    rows = [(ago(1), f"v{n}", status) for n in range(20) for status in ["hit", "miss"] for _ in range(n + 1)]

    facts = make_stats(rows).by_endpoint(limit=3)

    assert {r.view_name for r in facts.rows} == {"v17", "v18", "v19"}
    assert len(facts.rows) == 6
    assert facts.endpoints_count == 20


def test_by_endpoint_empty_table_has_no_rows_and_no_newest(make_stats):
    """Nothing was recorded; that is a fact."""
    facts = make_stats().by_endpoint(window_seconds=60)

    assert (facts.rows, facts.newest_at, facts.endpoints_count) == ((), None, 0)


def test_by_endpoint_minimal_table_names_what_it_lacks(make_stats):
    """The guide's query needs two columns only."""
    stats = make_stats([("a", "hit")], columns="view_name text, status text", names="view_name, status")

    facts = stats.by_endpoint()

    assert facts.missing_columns == ("created_at", "duration_ms", "cohort")
    assert facts.newest_at is None
    assert facts.rows[0].count == 1


def test_by_endpoint_window_without_created_at_is_a_source_error(make_stats):
    """All rows are not the last hour."""
    stats = make_stats(columns="view_name text, status text", names="view_name, status")

    assert "created_at" in refused(lambda: stats.by_endpoint(window_seconds=60)).message


def test_by_endpoint_without_a_required_column_names_it(make_stats):
    """SQLite would take an unknown quoted name for text; the column is looked for first."""
    stats = make_stats(columns="created_at text, status text", names="created_at, status")

    assert "view_name" in refused(stats.by_endpoint).message


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE cache_stats; --",
        '"',
        "%s ? :since",
        "<img src=x onerror=alert(1)>",
        "a\nb\x00c",
        "\u202e",
        "x" * 5000,
        "",
    ],
)
def test_by_endpoint_hostile_name_is_data(make_stats, name):
    """A view name passes through unchanged and is never a part of the SQL."""
    facts = make_stats([(ago(1), name, "hit"), (ago(1), "good", "hit")]).by_endpoint(window_seconds=60)

    assert {r.view_name for r in facts.rows} == {name, "good"}
    assert facts.provenance.query.count("cache_stats") == 1


def test_by_endpoint_values_that_are_no_text_are_shown_as_text(make_stats):
    """SQLite stores whatever it is given: NULL, a number, bytes that are not UTF-8."""
    stats = make_stats([(ago(1), None, "hit"), (ago(1), 7, None), (ago(1), b"\xff\xfe", "hit")])

    assert {r.view_name for r in stats.by_endpoint().rows} == {"", "7", "\ufffd\ufffd"}


def test_by_endpoint_text_that_is_not_utf8_does_not_fail(make_stats):
    """One broken name must not take the whole answer with it."""
    stats = make_stats(columns="view_name text, status text", names="view_name, status", name="broken.sqlite3")
    path = stats._database._environment.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO cache_stats VALUES (CAST(x'ff41' AS TEXT), 'hit')")
    connection.close()

    assert stats.by_endpoint().rows[0].view_name == "\ufffdA"


def test_by_endpoint_leaves_the_file_as_it_was(make_stats, tmp_path):
    """Reading writes nothing: not into the file, not beside it."""
    stats = make_stats([(ago(1), "a", "hit")])
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}

    stats.by_endpoint(window_seconds=60)

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()} == before


def test_by_endpoint_connection_refuses_to_write(make_stats):
    """Even code that tries cannot write through it."""
    from sqlalchemy import text

    stats = make_stats([(ago(1), "a", "hit")])

    assert "read" in refused(lambda: stats._database.read(lambda c: c.execute(text("DELETE FROM cache_stats")))).message
    assert len(stats.by_endpoint().rows) == 1


def test_by_endpoint_missing_file_is_not_created(tmp_path):
    """A wrong path must not become an empty database that looks healthy."""
    stats = CacheStats(site_environment(database_url=f"sqlite:///{tmp_path}/none.sqlite3"))

    assert "none.sqlite3 does not exist" in refused(stats.by_endpoint).message
    assert list(tmp_path.iterdir()) == []


def test_by_endpoint_file_that_goes_away_before_it_is_opened_is_not_created(make_stats, tmp_path):
    """SQLite itself is told not to create it; looking first would leave a gap."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        make_stats()._database._open_sqlite(tmp_path / "gone.sqlite3")
    assert not (tmp_path / "gone.sqlite3").exists()


def test_by_endpoint_relative_path_starts_at_the_root_of_the_configuration(make_stats, tmp_path):
    """The working directory of the operator does not matter."""
    make_stats([(ago(1), "a", "hit")], name="a b#.sqlite3")
    environment = site_environment(database_url="sqlite:///a b#.sqlite3", root=tmp_path)

    assert len(CacheStats(environment).by_endpoint().rows) == 1


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true", "not a url://", "nodb://u:hunter2hunter2@h/x"],
)
def test_by_endpoint_url_that_names_no_database_is_a_source_error(url):
    """Each says what to write instead, and repeats no password."""
    assert "hunter2" not in str(refused(CacheStats(site_environment(database_url=url)).by_endpoint))


def test_by_endpoint_folder_or_other_file_is_a_source_error(tmp_path):
    """A path that is something else is named as that."""
    (tmp_path / "text").write_text("not a database at all, but long enough to be looked at" * 20)

    for name, expected in [("", "is a folder"), ("/text", "not a database")]:
        assert (
            expected
            in refused(CacheStats(site_environment(database_url=f"sqlite:///{tmp_path}{name}")).by_endpoint).message
        )


def test_by_endpoint_missing_table_is_a_source_error(tmp_path):
    """A database without the table is probably not the site's."""
    sqlite3.connect(tmp_path / "x.sqlite3").executescript("CREATE TABLE other (id int)")

    error = refused(CacheStats(site_environment(database_url=f"sqlite:///{tmp_path}/x.sqlite3")).by_endpoint)

    assert "no such table: cache_stats" in error.message
    assert "migrations" in error.hint


def test_by_endpoint_locked_database_is_a_source_error_in_time(make_stats, tmp_path):
    """Somebody else's long write does not keep the operator."""
    stats = make_stats([(ago(1), "a", "hit")], timeout_seconds=0.4)
    holder = sqlite3.connect(tmp_path / "site.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()

    error = refused(stats.by_endpoint)

    holder.close()
    assert "locked" in error.message
    assert "WAL" in error.hint
    assert time.monotonic() - began < 1.5


def test_by_endpoint_slow_query_is_interrupted(make_stats):
    """The query itself ends, not only the wait for it."""
    from sqlalchemy import text

    stats = make_stats([(ago(1), "a", "hit")], timeout_seconds=0.3)
    forever = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    before = set(threading.enumerate())
    began = time.monotonic()

    error = refused(lambda: stats._database.read(lambda connection: connection.execute(text(forever)).scalar()))

    assert time.monotonic() - began < 1
    assert "window" in error.hint
    time.sleep(0.2)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("window", "limit"), [(0, 50), (-1, 50), (float("nan"), 50), (None, 0), (None, 10_001)])
def test_by_endpoint_impossible_argument_is_a_mistake_of_the_caller(make_stats, window, limit):
    """Refused before the database is opened."""
    with pytest.raises(ValueError, match="must be"):
        make_stats().by_endpoint(window_seconds=window, limit=limit)
