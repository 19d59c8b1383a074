"""The reference site through its real ``manage.py shell``, with a real database and a real Redis."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sources_fixtures import site_environment

from runbooks_lib.model import Unreadable
from runbooks_lib.sources.site.django_site import READS, DjangoSite
from runbooks_lib.sources.site.manage_shell import ManageShell

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ["'; import os #", '"""', "\\", "\n\nraise SystemExit\n", "$(id) `id`", "😀\u2028", "\x04\x1b[A\x00"]


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory):
    """A Redis of our own with three keys in database 1."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed: apt install redis-server, brew install redis")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""], stdout=subprocess.DEVNULL
    )
    import redis

    client = redis.Redis(port=port, db=1)
    for _ in range(100):
        try:
            client.mset({"django:1:a": 1, "django:1:b": 2, "django:1:c": 3})
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    yield port
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture(scope="module")
def variables(tmp_path_factory, redis_port):
    """Settings of the site as ``NAME=value``, with its database migrated."""
    folder = tmp_path_factory.mktemp("site")
    values = {
        "SITE_DEBUG": "1",
        "SITE_DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
        "SITE_REDIS_URL": f"redis://:@127.0.0.1:{redis_port}/1",
        "SITE_BROKER_URL": f"redis://127.0.0.1:{redis_port}/2",
        "SITE_PAGE_CACHE_DIR": f"{folder}/pages",
    }
    command = [sys.executable, "sandbox/site/manage.py", "migrate", "-v", "0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **values}, check=True, capture_output=True)
    return [f"{name}={value}" for name, value in values.items()]


@pytest.fixture
def manage(variables):
    """The command prefix of the site."""
    return ("env", *variables, sys.executable, "sandbox/site/manage.py")


def test_flags_of_the_reference_site_are_all_features(manage):
    """Every feature of the contract, with values that can be judged."""
    flags = DjangoSite(site_environment(root=ROOT, manage=manage)).flags()

    by_name = {flag.feature: flag for flag in flags.flags}
    assert len(by_name) == 7
    assert by_name["ENHANCED_CACHE"].strategy == "on"
    assert by_name["PAGE_CACHE"].percentage == 0
    assert all(flag.enabled is not None and flag.whitelist_count == 0 for flag in flags.flags)
    assert flags.provenance.took_seconds > 0


def test_flags_changed_by_another_process_are_read_anew(manage):
    """What an operator sets in a shell is what the next read gives."""
    set_percentage = """
def answer(data):
    from common.feature_flags import FeatureFlagService
    return FeatureFlagService.set_percentage(data["feature"], data["percentage"])
"""
    environment = site_environment(root=ROOT, manage=manage)

    status = ManageShell(environment, 20).run(set_percentage, {"feature": "ADAPTIVE_TTL", "percentage": 25})
    flag = next(f for f in DjangoSite(environment).flags().flags if f.feature == "ADAPTIVE_TTL")

    assert status["percentage"] == 25
    assert (flag.strategy, flag.percentage) == ("gradual", 25.0)


def test_call_all_reads_in_one_start(manage):
    """Settings, sessions and the size of the cache, as the running code sees them."""
    answers = DjangoSite(site_environment(root=ROOT, manage=manage)).call(list(READS))

    assert answers["dbsize"] == 3
    assert answers["cache_warming"]["STARTUP_COURSE_LIMIT"] == 100
    assert answers["throttling"]["rates"] == {"anon": "100/hour", "user": "1000/hour"}
    assert answers["caches"]["default"]["KEY_PREFIX"] == "django"
    assert answers["caches"]["default"]["LOCATION"][0].startswith("redis://127.0.0.1:")
    assert answers["sessions"]["engine"]
    identity = answers["identity"]
    assert identity["settings"]
    assert identity["databases"]["default"]["ENGINE"].startswith("django.db.backends.")
    assert identity["caches"]["default"]["LOCATION"] == answers["caches"]["default"]["LOCATION"]


def test_call_while_redis_is_down_still_gives_the_flags(manage):
    """The first step of a severity 1 incident works without Redis."""
    without = tuple(
        part if not part.startswith("SITE_REDIS_URL") else "SITE_REDIS_URL=redis://127.0.0.1:1/1" for part in manage
    )

    answers = DjangoSite(site_environment(root=ROOT, manage=without)).call(["flags", "dbsize"])

    assert isinstance(answers["dbsize"], Unreadable)
    assert "refused" in answers["dbsize"].reason
    assert len(answers["flags"]) == 7


def test_run_hostile_values_through_the_real_shell(manage):
    """Django's own way of reading its input, with its auto-imports before and after."""
    shell = ManageShell(site_environment(root=ROOT, manage=manage), 20)

    assert shell.run("def answer(data):\n    return data\n", HOSTILE) == HOSTILE


@pytest.mark.parametrize("interface", ["ipython", "python"])
def test_run_input_that_arrives_late_meets_an_interactive_shell(manage, interface, tmp_path):
    """Over a slow connection Django starts an interactive shell; the answer is the same."""
    script = tmp_path / "late.sh"
    command = " ".join(f"'{part}'" for part in manage)
    script.write_text(f'#!/bin/sh\n(sleep 2.5; cat) | IPYTHONDIR={tmp_path} {command} "$2" -i {interface}\n')
    prefix = ("sh", str(script), "manage.py")

    answer = ManageShell(site_environment(root=ROOT, manage=prefix), 20).run(
        "def answer(data):\n    return data\n", HOSTILE
    )

    assert answer == HOSTILE


def test_flags_of_a_site_with_broken_settings_is_a_source_error_with_the_variable(manage):
    """The operator reads which setting is missing."""
    from runbooks_lib.errors import SourceError

    broken = ("env", "SITE_DEBUG=0", sys.executable, "sandbox/site/manage.py")
    with pytest.raises(SourceError, match="SITE_SECRET_KEY"):
        DjangoSite(site_environment(root=ROOT, manage=broken)).flags()
