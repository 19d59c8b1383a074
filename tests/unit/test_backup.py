"""Backups without a server: parameters, counts and samples held against each other, manifests, names, rights."""

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_fixtures import site_environment

from runbooks_lib.actions.backup.back_up import BackUp
from runbooks_lib.actions.backup.bgsave import patience_seconds, what_a_failure_means
from runbooks_lib.actions.backup.choice import Choice
from runbooks_lib.actions.backup.folder import file_name, made_in, resolved
from runbooks_lib.actions.backup.guards import (
    _disk_guard,
    _folder_guard,
    _fork_guards,
    _memory_guard,
    _room_guard,
    cow_bytes,
    disk_bytes,
)
from runbooks_lib.actions.backup.manifest import BackupFile, Manifest, Moment, SampledKey, read_manifest, write_manifest
from runbooks_lib.actions.backup.proof import Sampled, _count, count_problems, sample_problems
from runbooks_lib.actions.backup.replication_dump import _command
from runbooks_lib.actions.plan import Command
from runbooks_lib.actions.registry import command_line, make_action
from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.sources.keyspace.sample import Value, _digest, shares
from runbooks_lib.sources.rdb.file import RdbCheck, copy_private
from runbooks_lib.sources.rdb.persistence import SaveRules, SaveState, Saving
from runbooks_lib.sources.rdb.save_place import SavePlace
from runbooks_lib.sources.redis.client import address_from
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.programs import is_older
from runbooks_lib.sources.redis.replies import version_of

STATE = SaveState(
    running=False,
    rewriting=False,
    last_ok=True,
    saves_count=1,
    last_saved_at_seconds=1,
    last_took_seconds=0,
    last_cow_bytes=0,
    processed_count=0,
    total_count=0,
    changes_count=0,
    removed_count=0,
    databases={0: 10, 1: 90},
)
CHECK = RdbCheck(100, 0, 0, 1, "7.0.15", checksummed=True)
MOMENT = Moment({0: 10, 1: 90}, {0: 10, 1: 90}, 0)


def read(digest="d", expires_at_ms=None):
    return Value("read", digest, expires_at_ms)


@pytest.mark.parametrize(
    "parameters",
    [{"method": "save"}, {"folder": "a\nb"}, {"folder": "a\0b"}, {"folder": "~/backups"}, {"folder": "\x1b[2J"}],
)
def test_back_up_refuses_parameters_that_make_no_sense(parameters):
    """Before anything is contacted, with the value and what to write instead."""
    with pytest.raises(UsageError) as caught:
        make_action("back_up", parameters)
    assert caught.value.hint or "method" in caught.value.message


@pytest.mark.parametrize("folder", ["a b", "it's", '"x"', "$(reboot)", "../else", "*", "-rf"])
def test_back_up_takes_any_printable_folder_as_data(folder, tmp_path):
    """Quotes, blanks and shell signs name a folder; the command line that repeats it keeps them."""
    assert make_action("back_up", {"folder": folder}).folder == folder
    assert resolved(folder, site_environment(root=tmp_path)) == (tmp_path / folder).resolve()
    assert "back_up" in command_line(Command("back_up", {"folder": folder}), "sandbox")


def test_back_up_goes_where_the_environment_says(tmp_path):
    """``backups`` of the environment, ``backups`` beside runbooks.toml without one; the parameter wins."""
    assert resolved("", site_environment(root=tmp_path)) == tmp_path / "backups"
    assert resolved("", site_environment(root=tmp_path, backups="/srv/kept")) == Path("/srv/kept")
    assert resolved("here", site_environment(root=tmp_path, backups="/srv/kept")) == tmp_path / "here"
    assert BackUp().resources() == ("redis:backup",)


@given(st.text(), st.text())
def test_backup_file_name_is_harmless_and_its_own(one, other):
    """Whatever a server calls itself: no separator, no control character, no option, and never another one's name."""
    first, second = file_name(one, 0), file_name(other, 1)
    assert first != second
    assert first.isascii()
    assert first.isprintable()
    assert "/" not in first
    assert not first.startswith(("-", "."))
    assert len(first) < 100


def test_backup_counts_that_are_the_same_have_no_problem():
    """The file, what was loaded and the source agree."""
    assert count_problems(MOMENT, CHECK, STATE) == []


@pytest.mark.parametrize(
    ("moment", "check", "loaded", "words"),
    [
        (
            MOMENT,
            replace(CHECK, keys_count=99),
            {0: 10, 1: 89},
            "the file holds 99 keys, and the source held 100 to 100",
        ),
        (MOMENT, CHECK, {0: 10, 1: 89}, "of 100 keys in the file 99 were loaded"),
        (MOMENT, CHECK, {0: 9, 1: 91}, "database 0 loaded 9 keys, and the source held 10 to 10"),
        (MOMENT, CHECK, {0: 10, 2: 90}, "database 1 loaded 0 keys"),
        (MOMENT, CHECK, {0: 20, 1: 90}, "were loaded"),
    ],
    ids=["fewer", "not-loaded", "other-database", "moved", "more"],
)
def test_backup_counts_that_differ_are_named(moment, check, loaded, words):
    """Each with both numbers."""
    assert words in " / ".join(count_problems(moment, check, replace(STATE, databases=loaded)))


def test_backup_counts_allow_what_was_written_during_the_fork_and_what_expired():
    """Three changes in between, and five keys whose TTL ran out before they were loaded."""
    moment = Moment({0: 10, 1: 90}, {0: 10, 1: 91}, 3)
    check = RdbCheck(94, 20, 5, 1, "7.0.15", checksummed=True)
    assert count_problems(moment, check, replace(STATE, databases={0: 10, 1: 79})) != []
    assert count_problems(moment, replace(check, keys_count=97), replace(STATE, databases={0: 10, 1: 82})) == []
    assert count_problems(moment, replace(check, keys_count=105), replace(STATE, databases={0: 10, 1: 90})) != []


NOW = int(time.time() * 1000)


@pytest.mark.parametrize(
    ("before", "after", "in_file", "counted"),
    [
        (read(), read(), read(), "equal"),
        (read("old"), read("new"), read("old"), "equal"),
        (read("old"), read("new"), read("new"), "equal"),
        (read("old"), read("new"), read("between"), "changed"),
        (read("old"), Value("absent"), Value("absent"), "equal"),
        (Value("absent"), read("new"), read("new"), "equal"),
        (read("old"), read("new"), Value("absent"), "changed"),
        (read(), read(), read("other"), "wrong"),
        (read(), read(), Value("absent"), "wrong"),
        (read(), read(), read("d", NOW + 50_000), "wrong"),
        (read("d", NOW + 50_000), read("d", NOW + 50_300), read("d", NOW + 50_001), "equal"),
        (read("d", NOW + 50_000), read("d", NOW + 50_000), read("d", NOW + 90_000), "wrong"),
        (read("d", NOW - 5), read("d", NOW - 5), Value("absent"), "expired"),
        (read("d", NOW + 50_000), read("d", NOW + 50_000), Value("absent"), "wrong"),
        (Value("skipped"), read(), read(), "skipped"),
    ],
)
def test_backup_sample_counts_each_key_once(before, after, in_file, counted):
    """What was the same on both sides of the fork must be in the file; what was not may be either, or in between."""
    counts = Sampled()
    _count(counts, b"key", (before, after), in_file, NOW)
    assert {"equal": counts.equal, "changed": counts.changed, "expired": counts.expired} | {
        "skipped": counts.skipped,
        "wrong": len(counts.wrong),
    } == {name: int(name == counted) for name in ("equal", "changed", "expired", "skipped", "wrong")}


def test_backup_sample_speaks_against_the_file_or_for_too_little():
    """One wrong value is enough; half that could not be compared is too little; none at all of an empty server is not."""
    assert sample_problems(Sampled(equal=500), 500) == []
    assert sample_problems(Sampled(), 0) == []
    assert sample_problems(Sampled(expired=500), 500) == []
    assert "1 of 500" in sample_problems(Sampled(equal=499, wrong=[b"a\n\x1b[2Jkey"]), 500)[0]
    assert "\n" not in sample_problems(Sampled(wrong=[b"a\n\x1b[2Jkey"]), 1)[0]
    assert "could not be read" in sample_problems(Sampled(equal=100, skipped=400), 500)[0]
    assert "too few are left" in sample_problems(Sampled(equal=100, changed=400), 500)[0]


def test_backup_values_are_equal_whatever_order_and_number_format_a_server_chooses():
    """Hash tables have the order of their process, and Redis 8 writes scores shorter than Redis 7."""
    assert _digest(b"set", [b"a", b"b"]) == _digest(b"set", [b"b", b"a"])
    assert _digest(b"hash", [b"a", b"1", b"b", b"2"]) == _digest(b"hash", [b"b", b"2", b"a", b"1"])
    assert _digest(b"hash", [b"a", b"1", b"b", b"2"]) != _digest(b"hash", [b"a", b"2", b"b", b"1"])
    assert _digest(b"zset", [b"m", b"0.10000000000000001"]) == _digest(b"zset", [b"m", b"0.1"])
    assert _digest(b"list", [b"a", b"b"]) != _digest(b"list", [b"b", b"a"])
    assert _digest(b"list", [b"ab", b"c"]) != _digest(b"list", [b"a", b"bc"])


def test_backup_sample_takes_some_of_every_database():
    """By size, but a small database is looked at as well."""
    assert shares({0: 1_000_000, 1: 100, 2: 0}, 500) == {0: 499, 1: 20}


def manifest():
    sample = (SampledKey(1, base64.b64encode(b"odd\xff\nkey").decode(), read(), read("d", 5)),)
    entry = BackupFile("0-a.rdb", "a:1", "bgsave", "0" * 64, 1, "7.0.15", 1, 2, replace(MOMENT, sample=sample))
    return Manifest("test", "a:1/1", "2026-11-22T00:00:00+00:00", "f" * 64, "runbooks_lib 0", (entry,))


def test_backup_manifest_is_read_as_it_was_written(tmp_path):
    """Names of keys may hold any bytes; only the owner may read it."""
    write_manifest(manifest(), tmp_path)
    path = tmp_path / "manifest.json"
    assert read_manifest(path) == manifest()
    assert read_manifest(path).files[0].moment.sample[0].name == b"odd\xff\nkey"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\x00", '{"files": []}'])
def test_backup_manifest_that_is_none_is_refused(tmp_path, text):
    """Nothing, nonsense, another format."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(SourceError, match=r"manifest\.json"):
        read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.rdb", "..", "", "a/b", "a\0b"])
def test_backup_manifest_that_names_other_files_is_refused(tmp_path, name):
    """It may come from a stranger."""
    made = manifest()
    write_manifest(replace(made, files=(replace(made.files[0], file=name),)), tmp_path)
    with pytest.raises(SourceError, match="outside its folder"):
        read_manifest(tmp_path / "manifest.json")


def test_backup_manifest_of_a_later_format_is_refused(tmp_path):
    """It names both formats."""
    write_manifest(replace(manifest(), format="runbooks-backup-9"), tmp_path)
    with pytest.raises(SourceError, match="runbooks-backup-9"):
        read_manifest(tmp_path / "manifest.json")


def test_backup_folders_of_others_and_unfinished_ones_do_not_count(tmp_path):
    """Only finished backups of this environment."""
    for name in ("shop-20261122T010203Z-0a1b", "shop-20261122T010203Z-0a1b.part", "shop-eu-20261122T010203Z-0a1b", "x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in made_in(tmp_path, "shop")] == ["shop-20261122T010203Z-0a1b"]
    assert made_in(tmp_path / "missing", "shop") == []


def test_copy_private_refuses_links_and_does_not_replace_a_file(tmp_path):
    """The server names the file; it must not lead anywhere else."""
    source, link, target = (tmp_path / name for name in ("source", "link", "target"))
    source.write_bytes(b"data")
    link.symlink_to(source)
    with pytest.raises(OSError, match="symbolic links"):
        copy_private(link, target)
    assert copy_private(source, target) == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    with pytest.raises(FileExistsError):
        copy_private(source, target)


def test_dump_command_holds_no_password(tmp_path):
    """Arguments can be read by every user of the machine; the environment cannot."""
    address = address_from("rediss://us%20er:p%40ss@h-1:6380/3?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none")
    command, environment = _command(address, "x.rdb")
    assert environment["REDISCLI_AUTH"] == "p@ss"
    assert not any("p@ss" in part for part in command)
    assert command[1:] == [
        *("--no-auth-warning", "-h", "h-1", "-p", "6380", "--user", "us er"),
        *("--tls", "--cacert", "/ca.pem", "--insecure", "--rdb", "./x.rdb"),
    ]


def test_dump_command_uses_the_socket_and_forgets_a_password_of_the_shell(monkeypatch):
    """A password that is exported for another server is not sent to this one."""
    monkeypatch.setenv("REDISCLI_AUTH", "another")
    command, environment = _command(address_from("unix:///run/redis.sock?db=1"), "x.rdb")
    assert command[2:4] == ["-s", "/run/redis.sock"]
    assert "REDISCLI_AUTH" not in environment


FACTS = Saving(
    version="7.0.15",
    process_id=1,
    uptime_seconds=1,
    loading=False,
    role="master",
    syncing=0,
    expiring_count=0,
    mean_ttl_seconds=None,
    used_memory_bytes=1,
    dataset_bytes=10_000_000_000,
    rss_bytes=1,
    fork_seconds=0.0,
    state=STATE,
    rules=SaveRules(folder="/", file_name="dump.rdb"),
)


def chosen(**facts):
    node = ReadNode(address_from("redis://127.0.0.1:1/0"))
    place = SavePlace(Path("/dump.rdb"), reachable=True, same_machine=True, how="")
    return Choice(node, replace(FACTS, **facts), place, "bgsave", "")


def test_backup_guards_hold_memory_back_for_the_fork():
    """By the last save's copy on write, at least a tenth; half of the memory where there was none."""
    assert cow_bytes(replace(FACTS, used_memory_bytes=1000)) == 500
    assert cow_bytes(replace(FACTS, used_memory_bytes=1000, state=replace(STATE, last_cow_bytes=7))) == 100
    assert cow_bytes(replace(FACTS, used_memory_bytes=1000, state=replace(STATE, last_cow_bytes=700))) == 700
    memory, fork = _fork_guards(chosen(used_memory_bytes=10**15, rss_bytes=10**15))
    overcommit = Path("/proc/sys/vm/overcommit_memory")
    assert memory.holds is (False if overcommit.exists() else None)
    assert fork.holds is not (overcommit.exists() and overcommit.read_text().strip() == "0")
    assert _memory_guard([chosen(used_memory_bytes=10**15)]).holds is (not overcommit.exists())


def test_backup_guards_want_room_on_both_disks(tmp_path):
    """1.3 of the data where the server saves, and in the folder; what a failure would do stands in the hint."""
    rules = SaveRules(folder=str(tmp_path), file_name="dump.rdb", save_points="900 1")
    large = chosen(dataset_bytes=10**15, rules=rules)
    assert disk_bytes(large.facts) == 1.3 * 10**15
    assert _disk_guard(large).holds is False
    assert "MISCONF" in _disk_guard(large).hint
    assert _room_guard([large], tmp_path / "later" / "backups").holds is False
    assert _room_guard([chosen(dataset_bytes=1, rules=rules)], tmp_path).holds is True


def test_backup_guard_of_a_folder_that_cannot_be(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    assert _folder_guard(tmp_path / "new" / "folder").holds is True
    assert _folder_guard(tmp_path / "file" / "folder").holds is False


def test_save_patience_follows_the_last_save_and_the_size():
    """Three times the last one; a minute at least; hours at most."""
    assert patience_seconds(FACTS) == 1000
    assert patience_seconds(replace(FACTS, dataset_bytes=1)) == 60
    assert patience_seconds(replace(FACTS, state=replace(STATE, last_took_seconds=100))) == 300
    assert patience_seconds(replace(FACTS, state=replace(STATE, last_took_seconds=90_000))) == 14_400


def test_save_failure_means_misconf_only_with_save_points():
    """Both ways out of it are named; without save points writes go on."""
    risky = SaveRules(save_points="900 1", stop_writes=True)
    assert "stop-writes-on-bgsave-error no" in what_a_failure_means(risky)
    assert "writes go on" in what_a_failure_means(SaveRules(save_points="", stop_writes=True))
    assert "writes go on" in what_a_failure_means(SaveRules(save_points="900 1", stop_writes=False))
    assert "MISCONF" in what_a_failure_means(SaveRules(unread="NOPERM"))


def test_redis_versions_are_compared_by_their_first_two_numbers():
    """The file's format may change with those."""
    assert is_older("7.0.15", "7.2.0")
    assert is_older("7.0.15", "8.0")
    assert not is_older("7.0.15", "7.0.99")
    assert not is_older("10.0", "9.9")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("7.0.15", (7, 0)),
        ("10.2", (10, 2)),
        ("7", (7, 0)),
        ("6.2-rc1", (6, 2)),
        ("", (0, 0)),
        ("unstable", (0, 0)),
        ("٧.٠", (0, 0)),
    ],
)
def test_redis_version_is_two_numbers_and_nonsense_is_older_than_all(text, version):
    """What a server says of itself is compared in one way everywhere."""
    assert version_of(text) == version
