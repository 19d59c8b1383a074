"""Backups of real servers: saved, dumped, proved, damaged, interrupted, and restored into scratch servers."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis_topology_fixtures import acl_user, wait_until
from sources_fixtures import site_environment

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.backup.back_up import BackUp, proved
from runbooks_lib.actions.backup.bgsave import Saver
from runbooks_lib.actions.backup.choice import choose
from runbooks_lib.actions.backup.fork_moment import ForkMoment
from runbooks_lib.actions.backup.making import make_backup
from runbooks_lib.actions.backup.manifest import read_manifest
from runbooks_lib.actions.backup.proof import prove_file
from runbooks_lib.actions.backup.restore import restore_into_scratch
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.change_verdict import steps_after
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.sources.rdb.file import check_rdb
from runbooks_lib.sources.rdb.persistence import SaveRules, save_state, saving
from runbooks_lib.sources.rdb.save_place import save_place
from runbooks_lib.sources.rdb.scratch import start_scratch
from runbooks_lib.sources.redis.nodes import open_nodes

#: A save takes so long for each key (a setting that Redis has for its own tests), so that there is time to disturb it.
DELAY = "rdb-key-save-delay"


def environment_of(server, folder, **keys):
    return site_environment(**{"redis_url": server.url(1), "root": folder, **keys})


def planned(environment, **parameters):
    with contextlib.closing(Site(environment)) as site:
        return BackUp(**parameters).plan(site)


def backed_up(environment, on_progress=lambda progress: None, **parameters):
    """Plan and write, without the guards and the ledger of ``apply``; gives the plan and what was written."""
    plan = planned(environment, **parameters)
    with contextlib.closing(WritableSite(environment, on_progress)) as site:
        return plan, BackUp(**parameters).write(plan, site)


def read_again(environment, plan, written):
    with contextlib.closing(Site(environment)) as site:
        return BackUp(**plan.intent).read_back(plan, site, written)


def guard_of(plan, words):
    (found,) = (guard for guard in plan.guards if words in guard.name)
    return found


def fill(server, count=300):
    """All types in database 1, one key in database 0."""
    client = server.client(1)
    client.flushall()
    client.mset({f"page:{number}": os.urandom(50) for number in range(count)})
    client.hset("hash", mapping={f"f{number}": number for number in range(600)})
    client.sadd("set", *(f"m{number}" for number in range(600)))
    client.zadd("zset", {f"m{number}": number / 3 for number in range(200)})
    client.rpush("list", "a", "b")
    client.xadd("stream", {"field": "value"})
    client.set("timed", "x", ex=1000)
    client.set(b"odd\xff\n'\"; $(reboot)", "__import__('os')")
    server.client(0).set("celery", "queue")


@pytest.fixture(scope="module")
def server(redis_server):
    return redis_server()


@pytest.fixture
def filled(server):
    client = server.client(1)
    client.config_set("save", "")
    client.config_set(DELAY, 0)
    wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "a save of the test before still runs")
    fill(server)
    client.save()  # where no process can be seen (macOS), its file is known by the time of its last save
    return server


@pytest.fixture(scope="module")
def kept(server, tmp_path_factory):
    """A finished backup that nobody touches: its plan and its folder."""
    fill(server)
    server.client(1).save()
    plan, written = backed_up(environment_of(server, tmp_path_factory.mktemp("kept")))
    return plan, Path(written.data["folder"])


@pytest.fixture
def finished(kept, server, tmp_path):
    """A finished backup to be spoilt: its environment, plan, folder and the path of its RDB file."""
    plan, source = kept
    folder = tmp_path / "backups" / source.name
    shutil.copytree(source, folder)
    return environment_of(server, tmp_path), plan, folder, next(folder.glob("*.rdb"))


def test_backup_of_all_types_in_two_databases_is_proved(filled, tmp_path):
    """Checksum, counts of each database and sampled values of every type; only the owner may read the files."""
    environment = environment_of(filled, tmp_path)
    plan, written = backed_up(environment)
    found = read_again(environment, plan, written.data)
    folder = Path(written.data["folder"])
    (entry,) = read_manifest(folder / "manifest.json").files

    assert found.confirmed, found.detail
    assert "308 keys" in found.detail
    assert "308 of 308 sampled values equal" in found.detail
    assert entry.method == "bgsave"
    assert dict(entry.moment.after) == {0: 1, 1: 307}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_backup_leaves_the_servers_own_file_as_it_was_made(filled, tmp_path):
    """A hard link would have shared its owner and mode with the copy."""
    _, written = backed_up(environment_of(filled, tmp_path))
    own, (copy,) = filled.folder / "dump.rdb", Path(written.data["folder"]).glob("*.rdb")
    assert own.read_bytes() == copy.read_bytes()
    assert own.stat().st_ino != copy.stat().st_ino
    assert stat.S_IMODE(own.stat().st_mode) != 0o600


def test_backup_plan_changes_nothing_and_says_what_it_costs(filled, tmp_path):
    """A plan only reads: no save, no folder; method, databases, rights of the files and the sense of it are shown."""
    saves = filled.client().info("persistence")["rdb_saves"]
    plan = planned(environment_of(filled, tmp_path))
    assert filled.client().info("persistence")["rdb_saves"] == saves
    assert not (tmp_path / "backups").exists()
    assert plan.failed_guards == ()
    assert "bgsave" in plan.after[0].value
    assert "0: 1, 1: 307" in plan.blast_radius[0].value
    assert any("switch features off and warm" in note for note in plan.notes)


def test_backup_plan_goes_stale_with_the_save_points(filled, tmp_path):
    """With save points a failed save would stop the site's writes: that is another plan, and it says so loudly."""
    before = planned(environment_of(filled, tmp_path))
    filled.client().config_set("save", "900 1")
    after = planned(environment_of(filled, tmp_path))
    assert before.digest != after.digest
    assert any("MISCONF" in note for note in after.notes)
    assert "MISCONF" in guard_of(after, "free disk where").hint


def test_backup_while_keys_change_is_proved(filled, tmp_path):
    """Writes during the save are not held against the file: both readings stand close around the fork."""
    client = filled.client(1)
    client.mset({f"busy:{number}": 0 for number in range(2000)})
    client.config_set(DELAY, 200)
    over = threading.Event()

    def write():
        own, number = redis.Redis(port=filled.port, db=1), 0
        while not over.is_set():
            number += 1
            pipe = own.pipeline(transaction=False)
            for step in range(20):
                pipe.set(f"busy:{(number * 20 + step) % 2000}", number)
            pipe.set(f"new:{number}", 1).delete(f"new:{number - 5}").execute()
            time.sleep(0.005)  # some 4,000 writes per second
        own.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        environment = environment_of(filled, tmp_path)
        plan, written = backed_up(environment)
        found = read_again(environment, plan, written.data)
    finally:
        over.set()
        writer.join()
    assert found.confirmed, found.detail
    assert " 0 wrong" in {line.name: line.value for line in found.evidence}["sampled values"]


def test_backup_while_a_save_runs_waits_and_makes_its_own(filled, tmp_path):
    """A save that runs already may be older than the wish for a backup."""
    client = filled.client(1)
    client.config_set(DELAY, 1000)
    client.bgsave()
    saves = client.info("persistence")["rdb_saves"]
    client.set("late", "written while the other save ran")
    client.config_set(DELAY, 0)
    told = []
    environment = environment_of(filled, tmp_path)
    plan, written = backed_up(environment, told.append)
    assert any("waiting for a save" in progress.what for progress in told)
    assert client.info("persistence")["rdb_saves"] == saves + 1  # counted when it begins
    with contextlib.closing(restore_into_scratch(Path(written.data["folder"]))) as restored:
        (scratch,) = restored.scratches
        with redis.Redis.from_url(scratch.url.replace("db=0", "db=1")) as copy:
            assert copy.get("late") == b"written while the other save ran"
    assert any("save is running" in note for note in plan.notes)


def test_backup_of_a_server_that_dies_while_it_saves_says_so_and_leaves_nothing(redis_server, tmp_path):
    """It may have changed, the last complete file is untouched, and no half backup is left."""
    own = redis_server()
    fill(own)
    own.client().config_set(DELAY, 3000)

    def kill(progress):
        own.stop()

    with pytest.raises(MayHaveChangedError, match="went away while it was saving") as caught:
        backed_up(environment_of(own, tmp_path), kill)
    assert "last complete file is untouched" in caught.value.hint
    assert list((tmp_path / "backups").iterdir()) == []


def test_backup_does_not_wait_for_ever(filled, tmp_path):
    """Neither for somebody else's save, which changed nothing, nor for its own, which goes on by itself."""
    filled.client().config_set(DELAY, 5000)
    with contextlib.closing(WritableSite(environment_of(filled, tmp_path), lambda progress: None)) as site:
        (node,) = site.nodes
        saver = Saver(node, site.writer(node), SaveRules(), 0.2, site.progress)
        with pytest.raises(MayHaveChangedError, match=r"was still saving after 0\.2 s: \d+ of 308 keys"):
            saver.save(ForkMoment(node, save_state(node)))
        with pytest.raises(RefusedError, match="a save has been running"):
            saver.save(ForkMoment(node, save_state(node)))
    filled.client().config_set(DELAY, 0)


def test_backup_of_a_server_that_feeds_a_replica_waits_for_its_end(redis_server, tmp_path):
    """A second fork would cost the same again."""
    own = redis_server("--repl-diskless-sync-delay", "0", "--" + DELAY, "4000")
    fill(own)
    redis_server("--replicaof", "127.0.0.1", str(own.port))
    wait_until(lambda: own.client().info("persistence")["rdb_bgsave_in_progress"], "no replica came")
    assert guard_of(planned(environment_of(own, tmp_path)), "is being fed").holds is False


def test_backup_of_a_server_that_still_loads_is_refused(filled, redis_server, tmp_path):
    """Half of the data would be saved."""
    slowly = ["--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024"]
    loading = redis_server("--dir", str(filled.folder), *slowly)
    assert guard_of(planned(environment_of(loading, tmp_path)), "has loaded its data").holds is False
    loading.stop()


def test_backup_killed_in_the_middle_is_shown_by_the_next_plan(finished):
    """What it left can be deleted, and does not count as a backup."""
    environment, _, folder, _ = finished
    left = folder.rename(folder.with_name(folder.name + ".part"))
    plan = planned(environment)
    assert plan.before[0].value == "none"
    assert any(left.name in note and "can be deleted" in note for note in plan.notes)


def test_backup_interrupted_leaves_nothing_and_says_what_goes_on(filled, tmp_path):
    """Ctrl-C ends it in good order; the save, once begun, is the server's own."""
    filled.client().config_set(DELAY, 1000)

    def interrupt(progress):
        raise KeyboardInterrupt

    environment = environment_of(filled, tmp_path)
    plan, written = backed_up(environment, interrupt)
    filled.client().config_set(DELAY, 0)
    assert "interrupted" in written.stopped
    assert "goes on by itself" in written.account[-1].value
    assert read_again(environment, plan, written.data).confirmed
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB; skipped where it may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_backup_onto_a_full_disk_is_refused_and_a_failed_save_says_the_way_out(redis_server, tmp_path, small_disk):
    """The guard refuses beforehand; where the disk fills up meanwhile, MISCONF and both ways out are named."""
    own = redis_server("--dir", str(small_disk), "--save", "900 1000000")
    own.client(1).mset({f"page:{number}": os.urandom(1000) for number in range(3000)})
    environment = environment_of(own, tmp_path)
    plan = planned(environment)
    assert guard_of(plan, "free disk where").holds is False
    with pytest.raises(MayHaveChangedError, match=r"the save on .* failed") as caught:
        backed_up(environment)
    assert "MISCONF" in caught.value.hint
    assert "stop-writes-on-bgsave-error no" in caught.value.hint
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        own.client(1).set("a", 1)
    own.client(1).config_set("stop-writes-on-bgsave-error", "no")
    assert own.client(1).set("a", 1)
    assert list((tmp_path / "backups").iterdir()) == []


def test_backup_folder_that_fills_up_leaves_nothing(filled, tmp_path, small_disk):
    """The copy fails, the site's data is untouched, and no half file stays."""
    filled.client(1).set("large", os.urandom(4_000_000))
    with pytest.raises(MayHaveChangedError, match="could not be written") as caught:
        backed_up(environment_of(filled, tmp_path, backups=str(small_disk)))
    assert "free disk space" in caught.value.hint
    assert list(small_disk.iterdir()) == []


def test_backup_by_replication_with_a_password_is_proved_and_the_password_stays_hidden(redis_server, tmp_path):
    """The file comes over the network; the password is in no argument of the process and in no file."""
    own = redis_server("--repl-diskless-sync-delay", "1", password="s3cret pässword")
    fill(own)
    seen = []

    def look(progress):
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.joinpath("comm").read_text().startswith("redis-cli"):
                    seen.append(process.joinpath("cmdline").read_bytes())

    environment = environment_of(own, tmp_path)
    plan, written = backed_up(environment, look, method="replication")
    found = read_again(environment, plan, written.data)
    assert found.confirmed, found.detail
    assert seen
    assert not any(b"s3cret" in arguments for arguments in seen)
    assert own.client().info("stats")["sync_full"] == 1
    assert {path.suffix for path in Path(written.data["folder"]).iterdir()} == {".rdb", ".json"}
    assert stat.S_IMODE(next(Path(written.data["folder"]).glob("*.rdb")).stat().st_mode) == 0o600


def rewrite_during_a_foreign_save(server, keys_count):
    """As soon as a dump waits for its fork: somebody else's save, and then every key gets another value."""
    client = server.client(1)
    wait_until(lambda: "wait_bgsave" in str(client.info("replication")), "no dump was asked for")
    client.bgsave()
    wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "the foreign save did not end")
    client.mset({f"page:{number}": os.urandom(50) for number in range(keys_count)})


def test_backup_by_replication_is_not_fooled_by_somebody_elses_save(redis_server, tmp_path):
    """The server lets a dump wait for other replicas; a save in that time is not the fork that the dump is the image of."""
    own = redis_server("--repl-diskless-sync-delay", "2", "--" + DELAY, "500")
    fill(own)
    somebody = threading.Thread(target=rewrite_during_a_foreign_save, args=(own, 300))
    somebody.start()
    environment = environment_of(own, tmp_path)
    plan, written = backed_up(environment, method="replication")
    somebody.join()
    found = read_again(environment, plan, written.data)

    assert found.confirmed, found.detail
    assert "308 of 308 sampled values equal" in found.detail
    assert own.client().info("stats")["total_forks"] == 2


def test_backup_by_replication_of_a_server_that_writes_its_file_first_is_proved(redis_server, tmp_path):
    """Without diskless sync the data comes when the fork is long over; what is written meanwhile is not held against it."""
    own = redis_server("--repl-diskless-sync", "no", "--" + DELAY, "2000")
    fill(own)
    client = own.client(1)
    rewritten = []

    def rewrite(progress):
        if not rewritten and client.info("persistence")["rdb_bgsave_in_progress"]:
            rewritten.append(client.mset({f"page:{number}": b"later" for number in range(100)}))

    environment = environment_of(own, tmp_path)
    plan, written = backed_up(environment, rewrite, method="replication")
    found = read_again(environment, plan, written.data)
    assert rewritten
    assert found.confirmed, found.detail


def test_backup_behind_sentinel_is_that_of_the_primary(start_redis_sentinel, tmp_path):
    """The primary that Sentinel names, and no more than one file."""
    guarded = start_redis_sentinel()
    fill(guarded.primary)
    environment = guarded.environment(root=tmp_path)
    plan, written = backed_up(environment)
    found = read_again(environment, plan, written.data)
    assert found.confirmed, found.detail
    assert found.detail.startswith("1 file ")
    (entry,) = read_manifest(Path(written.data["folder"]) / "manifest.json").files
    assert entry.node.endswith(f":{guarded.primary.port}")


@pytest.mark.parametrize("method", ["bgsave", "replication"])
def test_backup_over_a_unix_socket_is_proved(redis_server, tmp_path, method):
    """Both ways take the path from redis_url."""
    own = redis_server("--repl-diskless-sync-delay", "0", "--unixsocket", "s")
    own.client(1).set("page:1", "body")
    environment = environment_of(own, tmp_path, redis_url=f"unix://{own.folder}/s?db=1")
    plan, written = backed_up(environment, method=method)
    assert plan.rests_on[f"{own.folder}/s"]["method"] == method
    assert read_again(environment, plan, written.data).confirmed


def test_backup_ends_with_the_command_that_opens_what_was_just_made(filled, ledger, tmp_path):
    """The folder has its name only after the write; checked later it is named as well."""
    environment = environment_of(filled, tmp_path, allow_auto=True)
    done = apply(BackUp(), Desk(environment, ledger, "run-1", "anna"), confirm="auto")
    (folder,) = (tmp_path / "backups").iterdir()
    assert done.result is Result.APPLIED
    assert [step.command for step in steps_after(done, "")] == [f"runbooks restore {folder}"]
    assert read_again(environment, done.plan, {}).offers[0].command == f"runbooks restore {folder}"


@pytest.mark.parametrize("method", ["bgsave", "replication"])
def test_backup_over_tls_is_proved(redis_server, tmp_path, method):
    """Both ways take the authority from redis_url."""
    own = redis_server("--repl-diskless-sync-delay", "0", tls=True)
    own.client(1).set("page:1", "body")
    environment = environment_of(own, tmp_path, redis_url=f"{own.url(1)}?ssl_ca_certs={own.folder}/cert.pem")
    plan, written = backed_up(environment, method=method)
    assert read_again(environment, plan, written.data).confirmed


def test_backup_of_a_cluster_makes_one_proved_file_for_each_primary(redis_cluster, tmp_path):
    """All primaries, all keys."""
    redis_cluster.flush()
    redis_cluster.fill({f"page:{number}": "body" for number in range(60)})
    environment = redis_cluster.environment(root=tmp_path)
    plan, written = backed_up(environment)
    found = read_again(environment, plan, written.data)
    assert found.confirmed, found.detail
    assert found.detail.startswith("3 files")
    assert "60 keys" in found.detail


def test_backup_by_a_user_without_bgsave_takes_the_other_way(redis_server, tmp_path):
    """``auto`` uses what the ACL allows and says why."""
    own = redis_server("--repl-diskless-sync-delay", "0")
    fill(own)
    url = acl_user(
        own, "dumper", "~*", "+@read", "+select", "+info", "+time", "+config|get", "+sync", "+replconf", "+acl"
    )
    environment = environment_of(own, tmp_path, redis_url=url)
    plan, written = backed_up(environment)
    assert "does not allow BGSAVE" in plan.after[0].value
    assert "new replica" in " ".join(plan.notes)
    assert read_again(environment, plan, written.data).confirmed


def test_backup_by_a_user_with_neither_right_is_refused_with_what_to_do(filled, tmp_path):
    """The guard names both refusals, the rights to ask for, the provider's snapshot and the last resort."""
    url = acl_user(filled, "reader", "~*", "+@read", "+select", "+info", "+time", "+config|get", "+acl", "+command")
    plan = planned(environment_of(filled, tmp_path, redis_url=url))
    guard = guard_of(plan, "there is a way")
    assert guard.holds is False
    assert "BGSAVE" in guard.detail
    assert "SYNC" in guard.detail
    for words in ("snapshot", "+sync +replconf", "DUMP and PTTL"):
        assert words in guard.hint


def test_backup_whose_right_cannot_be_told_beforehand_is_refused_by_the_server(filled, tmp_path):
    """Without ACL DRYRUN the server itself says no, and nothing was changed."""
    url = acl_user(filled, "blind", "~*", "+@read", "+select", "+info", "+time", "+config|get")
    saves = filled.client().info("persistence")["rdb_saves"]
    with pytest.raises(RefusedError, match="does not allow the command bgsave") as caught:
        backed_up(environment_of(filled, tmp_path, redis_url=url), method="bgsave")
    assert "ask for +bgsave" in caught.value.hint
    assert filled.client().info("persistence")["rdb_saves"] == saves
    assert list((tmp_path / "backups").iterdir()) == []


def test_backup_dump_that_is_not_let_in_is_refused(filled, tmp_path):
    """redis-cli's own words are turned into the rights that are missing."""
    url = acl_user(filled, "blind", "~*", "+@read", "+select", "+info", "+time", "+config|get")
    with pytest.raises(RefusedError, match="does not let redis-cli dump") as caught:
        backed_up(environment_of(filled, tmp_path, redis_url=url), method="replication")
    assert "+sync +replconf" in caught.value.hint


def test_backup_of_a_service_that_blocks_commands_names_them(redis_server, tmp_path):
    """Managed services rename or block them: no guess, no traceback."""
    blocked = [part for name in ("BGSAVE", "CONFIG", "SYNC", "LASTSAVE") for part in ("--rename-command", name, "")]
    own = redis_server(*blocked)
    plan = planned(environment_of(own, tmp_path))
    guard = guard_of(plan, "there is a way")
    assert guard.holds is False
    assert "BGSAVE is not offered" in guard.detail
    assert "SYNC is not offered" in guard.detail
    assert "managed service" in guard.hint


def test_backup_without_config_takes_replication_and_cannot_promise_the_disk(redis_server, tmp_path):
    """Where CONFIG GET is blocked it is not known whether the server would use its disk, so it is not promised."""
    own = redis_server("--rename-command", "CONFIG", "")
    plan = planned(environment_of(own, tmp_path))
    assert "by replication" in plan.after[0].value
    assert guard_of(plan, "would not stop the writes").holds is None


def test_backup_of_another_machines_folder_is_not_taken_for_this_ones(filled, redis_server, tmp_path):
    """The same path may be another disk: in a container, behind a tunnel."""
    other = redis_server()
    other.client().save()
    os.utime(other.folder / "dump.rdb", (1, 1))
    with open_nodes(environment_of(filled, tmp_path)) as nodes:
        facts = saving(next(iter(nodes)))
    assert save_place(facts).reachable
    elsewhere = replace(facts, rules=replace(facts.rules, folder=str(other.folder)))
    assert not save_place(elsewhere).reachable
    assert "another host or a container" in save_place(elsewhere).how
    sneaky = replace(facts, rules=replace(facts.rules, file_name="../../../etc/passwd"))
    assert not save_place(sneaky).reachable


def test_backup_of_a_process_that_is_not_seen_knows_its_file_by_the_time_of_the_save(filled, tmp_path):
    """Without /proc the file's time must be that of the last save."""
    filled.client().save()
    with open_nodes(environment_of(filled, tmp_path)) as nodes:
        facts = saving(next(iter(nodes)))
    unseen = replace(facts, process_id=0)
    assert save_place(unseen).reachable
    assert not save_place(unseen).same_machine
    os.utime(filled.folder / "dump.rdb", (1, 1))
    assert not save_place(unseen).reachable


def test_backup_of_a_file_that_does_not_change_with_the_save_is_given_up(filled, redis_server, tmp_path):
    """Two machines that saved in the same second look alike until one of them saves again."""
    other = redis_server()
    environment = environment_of(filled, tmp_path)
    plan = planned(environment)
    with contextlib.closing(WritableSite(environment, lambda progress: None)) as site:
        (choice,) = (choose(node, "bgsave") for node in site.nodes)
        place = replace(choice.place, file=other.folder / "dump.rdb")
        with pytest.raises(MayHaveChangedError, match="not that server's"):
            make_backup(plan, site, [replace(choice, place=place)], tmp_path)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "damaged"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "is cut off"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.rename(path.with_suffix(".x")) and path.symlink_to("/etc/passwd"), "is a link"),
        (lambda path: path.with_name("manifest.json").write_text("{"), "cannot be read as the manifest"),
        (lambda path: path.with_name("manifest.json").unlink(), "cannot be read as the manifest"),
    ],
    ids=["flipped", "truncated", "empty", "missing", "link", "manifest", "no-manifest"],
)
def test_backup_damaged_afterwards_is_not_confirmed(finished, damage, words):
    """Reading back proves the files on the disk, not the memory of having made them."""
    environment, plan, folder, rdb = finished
    damage(rdb)
    found = read_again(environment, plan, {"folder": str(folder)})
    assert found.confirmed is False
    assert words in found.detail


def test_backup_replaced_by_another_sound_file_is_not_confirmed(finished, redis_server):
    """A whole RDB file of another server fails by its sum, its keys and its time."""
    _, _, folder, rdb = finished
    other = redis_server()
    other.client().set("other", 1)
    other.client().save()
    shutil.copy(other.folder / "dump.rdb", rdb)
    found = proved(folder)
    assert found.confirmed is False
    for words in ("sha256", "the file holds 1 keys", "sampled values are not in the file"):
        assert words in found.detail


def test_backup_proof_names_a_value_that_differs(finished):
    """One value that was the same before and after the fork and is another one in the file."""
    _, _, folder, _ = finished
    (entry,) = read_manifest(folder / "manifest.json").files
    wrong, *others = entry.moment.sample
    value = replace(wrong.before, digest="0" * 32)
    moment = replace(entry.moment, sample=(replace(wrong, before=value, after=value), *others))
    proof = prove_file(folder, replace(entry, moment=moment))
    assert len(proof.problems) == 1
    assert "1 of 308 sampled values" in proof.problems[0]


def test_backup_whose_keys_expired_since_is_still_proved(filled, tmp_path):
    """A primary drops them while it loads: they are counted, and not missed."""
    filled.client(1).mset({f"short:{number}": "x" for number in range(50)})
    for number in range(50):
        filled.client(1).pexpire(f"short:{number}", 1500)
    environment = environment_of(filled, tmp_path)
    plan, written = backed_up(environment)
    time.sleep(1.6)
    found = read_again(environment, plan, written.data)
    assert found.confirmed, found.detail
    shown = {line.name: line.value for line in found.evidence}
    assert shown["keys loaded"] == "308, 50 expired since they were saved"


def test_backup_checked_without_its_account_finds_what_this_plan_made(finished):
    """After a kill nobody knows what was written: the folder tells; an older backup does not count."""
    environment, plan, folder, _ = finished
    assert read_again(environment, plan, {}).confirmed
    later = planned(environment)
    missing = read_again(environment, replace(later, read_at=later.read_at.replace(year=2100)), {})
    assert missing.confirmed is False
    assert "no backup of this plan" in missing.detail
    folder.rename(folder.with_name(folder.name + ".part"))
    assert read_again(environment, plan, {}).confirmed is False


def test_restore_keeps_scratch_servers_until_they_are_closed(finished):
    """Loaded, reachable for this user alone, saving nothing, and gone with its folder afterwards."""
    _, _, folder, rdb = finished
    before = rdb.read_bytes()
    restored = restore_into_scratch(folder / "manifest.json")
    (scratch,) = restored.scratches
    with redis.Redis.from_url(scratch.url) as copy:
        assert copy.get("celery") == b"queue"
        assert copy.config_get("port")["port"] == "0"
        copy.set("celery", "changed")
        copy.save()  # even this leaves the backup alone
    assert rdb.read_bytes() == before
    assert stat.S_IMODE(scratch.server.folder.stat().st_mode) == 0o700
    subprocess.run(scratch.stop_command, shell=True, check=True, capture_output=True)
    assert not scratch.server.folder.exists()
    restored.close()


def test_restore_of_a_bare_file_has_nothing_to_compare_with(finished, tmp_path):
    """Any RDB file can be looked at, whatever its name; it is not called proved."""
    *_, rdb = finished
    odd = tmp_path / "-o 'dd\"\n$(x) ü.rdb"
    shutil.copy(rdb, odd)
    (tmp_path / "link.rdb").symlink_to(odd)
    with contextlib.closing(restore_into_scratch(tmp_path / "link.rdb")) as restored:
        assert restored.proof.confirmed is None
        assert restored.scratches[0].file == odd
        assert restored.scratches[0].evidence[0].value == "308"


def test_backup_with_any_one_flipped_byte_is_found(finished):
    """Wherever it lies: by the checksum, or by the structure that it breaks."""
    _, _, _, rdb = finished
    good = rdb.read_bytes()
    for position in range(9, len(good), len(good) // 12):
        damaged = bytearray(good)
        damaged[position] ^= 0x10
        rdb.write_bytes(damaged)
        with pytest.raises(SourceError):
            check_rdb(rdb)


def newer(path):
    data = bytearray(path.read_bytes())
    data[5:9] = b"0099"
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"PK\x03\x04 no rdb at all"), "is not an RDB file"),
        (lambda path: os.truncate(path, 200), "is cut off"),
        (flip, "damaged"),
        (newer, "newer Redis: its format 99"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be read"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is no ordinary file"),
    ],
    ids=["missing", "folder", "empty", "zip", "truncated", "flipped", "newer", "loop", "fifo"],
)
def test_restore_of_what_is_no_backup_says_why(finished, tmp_path, make, words):
    """Each kind of wrong file has its own words, and nothing is left running."""
    *_, rdb = finished
    path = tmp_path / "a b'c.rdb"
    shutil.copy(rdb, path)
    make(path)
    with pytest.raises(SourceError, match=words) as caught:
        restore_into_scratch(path)
    assert caught.value.hint


def test_restore_of_a_manifest_that_leads_elsewhere_is_refused(finished):
    """A manifest from a stranger cannot make this program read other files."""
    _, _, folder, rdb = finished
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(rdb.name, "../../../etc/passwd"))
    with pytest.raises(SourceError, match="outside its folder"):
        restore_into_scratch(folder)


def test_restore_without_redis_programs_says_how_to_get_them(finished, monkeypatch):
    """For Debian, macOS and conda."""
    environment, plan, folder, rdb = finished
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="redis-check-rdb is not installed") as caught:
        restore_into_scratch(rdb)
    assert "apt install redis-tools; macOS: brew install redis; conda install" in caught.value.hint
    with pytest.raises(SourceError, match="redis-server is not installed"):
        read_again(environment, plan, {"folder": str(folder)})
    guard = guard_of(planned(environment), "programs for the proof")
    assert guard.holds is False


def test_scratch_server_started_for_a_proof_ends_with_its_starter(finished, tmp_path):
    """Killed with -9 in the middle of a proof, no server with the site's data is left behind."""
    *_, rdb = finished
    code = (
        "import sys, time, pathlib; from runbooks_lib.sources.rdb.scratch import scratch_redis\n"
        "with scratch_redis(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.process_id, server.folder, flush=True); time.sleep(60)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(rdb)], stdout=subprocess.PIPE, text=True)
    number, folder = starter.stdout.readline().split()
    process = Path("/proc") / number
    assert (process / "comm").read_text().startswith("redis-server")
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not process.exists(), "the scratch server outlived its starter")
    assert not Path(folder).exists()


def test_scratch_server_for_people_outlives_its_starter(finished):
    """``runbooks restore`` ends, and the server stays until it is stopped."""
    *_, rdb = finished
    server = start_scratch(rdb)
    assert os.getsid(server.process_id) == server.process_id
    server.close()
    assert not server.folder.exists()
