"""The site through ``manage.py shell``, played by scripts that print noise, hang, crash or answer nonsense."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.model import Kind, Unreadable
from runbooks_lib.sources.site.django_site import READS, DjangoSite
from runbooks_lib.sources.site.manage_shell import ManageShell

#: What ``manage.py shell`` of Django does with its input, with the noise around it.
SHELL = """
import sys
print("7 objects imported automatically (use -v 2 for details).")
print("RemovedInDjango60Warning: something", file=sys.stderr)
exec(sys.stdin.read(), {})
print("closing connections")
"""
ECHO = "def answer(data):\n    return data\n"
STATUS = {"feature": "ENHANCED_CACHE", "strategy": "gradual", "percentage": 25, "whitelist_count": 3, "enabled": True}


@pytest.fixture
def make_site(tmp_path):
    """Makes a site out of the text of its manage.py and, if wanted, of its flag service."""

    def make(script=SHELL, service=None, timeout_seconds=5.0, **keys):
        (tmp_path / "manage.py").write_text(textwrap.dedent(script))
        if service is not None:
            (tmp_path / "common").mkdir(exist_ok=True)
            (tmp_path / "common" / "__init__.py").write_text("")
            (tmp_path / "common" / "feature_flags.py").write_text(
                f"class FeatureFlagService:\n    @staticmethod\n    def get_all_features_status():\n        {service}\n"
            )
        environment = site_environment(root=tmp_path, manage=(sys.executable, "manage.py"), **keys)
        return DjangoSite(environment, timeout_seconds=timeout_seconds)

    return make


def refused(call) -> SourceError:
    with pytest.raises(SourceError) as caught:
        call()
    assert caught.value.source == "django"
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value


# --- flags ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{'ENHANCED_CACHE': %r}", "[%r]"])
def test_flags_both_forms_of_the_answer_give_the_same_fact(make_site, form):
    """Sites answer with a table by name or with a list."""
    flags = make_site(service="return " + form % STATUS).flags()

    (flag,) = flags.flags
    assert (flag.feature, flag.strategy, flag.percentage) == ("ENHANCED_CACHE", "gradual", 25.0)
    assert (flag.whitelist_count, flag.enabled) == (3, True)
    assert flags.provenance.source == "django"
    assert "get_all_features_status" in flags.provenance.query


def test_flags_members_of_an_enumeration_are_their_values(make_site):
    """A service may hand out its own types."""
    service = """import enum
        E = enum.Enum("E", {"X": "ENHANCED_CACHE", "ON": "on"})
        return {E.X: {"feature": E.X, "strategy": E.ON, "percentage": 100}}"""

    (flag,) = make_site(service=service).flags().flags

    assert (flag.feature, flag.strategy, flag.whitelist_count, flag.enabled) == ("ENHANCED_CACHE", "on", None, None)


@pytest.mark.parametrize(
    "value",
    [
        "None",
        "7",
        "'on'",
        "{'F': 50}",
        "{'F': {}}",
        "{'F': {'strategy': 'on'}}",
        "{'F': {'strategy': 5, 'percentage': 5}}",
        "{'F': {'strategy': 'on', 'percentage': True}}",
        "{'F': {'strategy': 'on', 'percentage': '50'}}",
        "{'F': {'strategy': 'on', 'percentage': 101}}",
        "{'F': {'strategy': 'on', 'percentage': -1}}",
        "{'F': {'strategy': 'on', 'percentage': float('nan')}}",
        "[{'strategy': 'on', 'percentage': 1}]",
        "{str(n): {'strategy': 'on', 'percentage': 1} for n in range(500)}",
    ],
)
def test_flags_answer_of_a_wrong_shape_is_a_source_error(make_site, value):
    """A percentage that is not one must not become a rollout decision."""
    assert "flag service gave" in refused(make_site(service=f"return {value}").flags).message


def test_flags_service_that_raises_is_a_source_error_with_its_words(make_site):
    """What the site's code said is passed on, without the credentials in it."""
    error = refused(make_site(service="raise OSError('no database postgres://u:hunter2hunter2@db/x')").flags)

    assert "OSError: no database" in error.message
    assert "hunter2" not in str(error)


def test_flags_site_without_a_service_is_a_source_error(make_site):
    """Not every site has feature flags."""
    assert "ModuleNotFoundError" in refused(make_site().flags).message


# --- several reads in one start -------------------------------------------------------------------------------------


def test_call_one_failed_read_does_not_take_the_others(make_site):
    """Flags are read while Redis is down, in the same start of the site."""
    answers = make_site(service=f"return {[STATUS]!r}").call(["dbsize", "flags"])

    assert isinstance(answers["dbsize"], Unreadable)
    assert answers["dbsize"].what == "cache size"
    assert answers["flags"] == [STATUS]


def test_call_starts_the_site_once(make_site, tmp_path):
    """A start takes about a second: several reads share it."""
    make_site('open("starts", "a").write("x")\n' + textwrap.dedent(SHELL)).call(list(READS))

    assert (tmp_path / "starts").read_text() == "x"


def test_call_unknown_name_is_refused_before_anything_starts(make_site, tmp_path):
    """Only what stands in the table can be asked for."""
    with pytest.raises(UsageError, match="delete_everything"):
        make_site('open("started", "w")').call(["delete_everything"])
    assert not (tmp_path / "started").exists()


def test_program_on_the_site_offers_exactly_the_reads_of_the_table():
    """The table here and the functions there are the same."""
    from runbooks_lib.sources.site import on_site

    assert on_site.READS.keys() == READS.keys()


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("redis://user:secret@host:6379/1?password=x", "redis://host:6379/1"),
        ("redis://:se@cret@host/1", "redis://host/1"),
        ("unix://:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("user:secret@127.0.0.1:11211", "127.0.0.1:11211"),
        ("/var/cache", "/var/cache"),
    ],
)
def test_cache_settings_hold_no_password(location, shown):
    """Whatever form a location has, only where it leads is shown; options are chosen by name."""
    from runbooks_lib.sources.site.on_site import cache_without_secrets

    options = {
        "PASSWORD": "secret",
        "COMPRESSOR": "z",
        "CONNECTION_POOL_KWARGS": {"password": "secret", "max_connections": 5},
    }

    cache = cache_without_secrets({"BACKEND": "b", "LOCATION": [location], "OPTIONS": options})

    assert cache["LOCATION"] == [shown]
    assert cache["OPTIONS"] == {"COMPRESSOR": "z", "CONNECTION_POOL_KWARGS": {"max_connections": 5}}
    assert "secret" not in json.dumps(cache)


# --- how values travel ----------------------------------------------------------------------------------------------

HOSTILE = [
    "'; import os; os.system('touch pwned') #",
    '"""',
    "\\",
    '\\"); raise SystemExit #',
    "\n\nraise SystemExit\n",
    "\r\n\x00\x04\x1a\x1b[A",
    "$(touch pwned) `touch pwned` %s {0} %(x)s",
    "\ud800",
    "😀\u2028\u2029\ufeff",
    "runbooks-answer-ends",
    "x" * 300_000,
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_run_hostile_value_arrives_equal_and_is_never_code(make_site, tmp_path, value):
    """Quotes, backslashes, newlines, control characters and shell syntax are data on both ways."""
    make_site()
    shell = ManageShell(site_environment(root=tmp_path, manage=(sys.executable, "manage.py")), 10)

    assert shell.run(ECHO, {"a": [value], value: None}) == {"a": [value], value: None}
    assert not (tmp_path / "pwned").exists()


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_input_whatever_the_value_the_code_is_the_same(value):
    """Only characters that cannot end a literal vary, and what they hold is equal to the value."""
    from runbooks_lib.sources.site.manage_shell import _input

    text = _input({"token": "t", "program": ECHO, "data": value}).decode("ascii")
    head, data, tail = (
        text.partition("b64decode(\n")[0],
        text.partition("b64decode(\n")[2].partition("\n))\n")[0],
        text.rpartition("\n))\n")[2],
    )
    space: dict = {}
    exec(text.replace(tail, ""), space)

    assert set(data) <= set('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="\n')
    assert (head, tail) == (
        _input(None).decode().partition("b64decode(\n")[0],
        _input(None).decode().rpartition("\n))\n")[2],
    )
    assert space["_request"]["data"] == value
    assert max(map(len, data.splitlines())) < 1000


def test_run_through_a_shell_prefix_works(make_site, tmp_path):
    """As with ``ssh host 'cd … && exec python manage.py'``: the words after the prefix are joined by a shell."""
    make_site()
    fake_ssh = tmp_path / "ssh"
    fake_ssh.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
    fake_ssh.chmod(0o755)
    prefix = (str(fake_ssh), "web1", f"cd '{tmp_path}' && exec {sys.executable} manage.py")

    assert ManageShell(site_environment(root=tmp_path, manage=prefix), 10).run(ECHO, HOSTILE[:8]) == HOSTILE[:8]


def test_run_interactive_python_shell_reads_the_same_text(make_site, tmp_path):
    """Input that arrives late meets an interactive shell, prompts and all."""
    make_site("import code\ncode.interact(local={})\n")
    shell = ManageShell(site_environment(root=tmp_path, manage=(sys.executable, "manage.py")), 10)

    assert shell.run(ECHO, HOSTILE) == HOSTILE


def test_run_echoed_input_is_not_taken_for_the_answer(make_site, tmp_path):
    """A terminal in between that echoes its input does not know the token."""
    make_site("import sys\ntext = sys.stdin.read()\nprint(text)\nprint(repr(text), file=sys.stderr)\nexec(text, {})\n")
    shell = ManageShell(site_environment(root=tmp_path, manage=(sys.executable, "manage.py")), 10)

    assert shell.run(ECHO, {"a": 1}) == {"a": 1}


def test_run_forged_answer_in_the_output_is_ignored(make_site, tmp_path):
    """A log line that looks like an answer has another token."""
    make_site('print("runbooks-answer-begins 0 {} runbooks-answer-ends 0")\n' + textwrap.dedent(SHELL))
    shell = ManageShell(site_environment(root=tmp_path, manage=(sys.executable, "manage.py")), 10)

    assert shell.run(ECHO, [1]) == [1]


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_flags_without_manage_says_that_it_is_not_configured():
    """A site that cannot be reached that way is not a failure of the site."""
    assert "not configured" in refused(DjangoSite(site_environment()).flags).message


def test_flags_command_that_is_not_there_is_a_source_error(tmp_path):
    """The command is named."""
    error = refused(DjangoSite(site_environment(root=tmp_path, manage=("no-such-command", "manage.py"))).flags)

    assert "no-such-command" in error.message
    assert "could not be started" in error.message


def test_flags_missing_working_directory_is_a_source_error(tmp_path):
    """So is a root that went away."""
    error = refused(DjangoSite(site_environment(root=tmp_path / "gone", manage=(sys.executable, "manage.py"))).flags)
    assert error.hint


def test_flags_non_zero_exit_shows_the_last_lines_of_standard_error(make_site):
    """The end of a traceback is what the operator needs; a configured secret is not."""
    manage = """
    import sys
    for n in range(3000): print("frame", n, file=sys.stderr)
    sys.exit("\\x1b[31mdjango.core.exceptions.ImproperlyConfigured: SECRET_KEY topsecret99 is wrong")
    """
    error = refused(make_site(manage, secrets=("topsecret99",)).flags)

    assert "exit code 1" in error.message
    assert "ImproperlyConfigured" in error.message
    assert "topsecret99" not in error.message
    assert "frame 5 " not in error.message
    assert "variable" in error.hint


@pytest.mark.parametrize(
    ("manage", "expected"),
    [
        ("", "without an answer"),
        ("print('{}')", "without an answer"),
        ("import os; os.abort()", "exit code -6"),
        ("import os, sys; sys.stdin.close(); os._exit(3)", "exit code 3"),
        (
            SHELL.replace(
                "exec(", "sys.stdout.write = lambda text: sys.__stdout__.buffer.write(text[:60].encode()); exec("
            ),
            "within its answer",
        ),
        (SHELL.replace("exec(", "import json; json.dumps = lambda value: '{nonsense'; exec("), "not JSON"),
        (SHELL.replace("exec(", "import json; json.dumps = lambda value: '[' * 100000; exec("), "not JSON"),
        (SHELL.replace("exec(", "import json; json.dumps = lambda value: '7'; exec("), "its answer as 7"),
    ],
)
def test_flags_process_that_does_not_answer_is_a_source_error(make_site, manage, expected):
    """Silence, half an answer, nonsense and a crash are told apart."""
    assert expected in refused(make_site(manage).flags).message


def test_flags_endless_output_is_ended(make_site):
    """A site that prints without end fills neither memory nor the night."""
    error = refused(make_site("while True: print('x' * 1000)", timeout_seconds=20).flags)

    assert "printed more than 8 MiB" in error.message


def test_flags_hanging_process_is_ended_with_its_children(make_site, tmp_path):
    """The whole group ends; nothing goes on in the site for nobody."""
    manage = """
    import os, subprocess, sys, time, signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open("pids", "w").write(f"{os.getpid()} {child.pid}")
    print("waiting for the database", file=sys.stderr, flush=True)
    time.sleep(60)
    """
    began = time.monotonic()

    error = refused(make_site(manage, timeout_seconds=1.0).flags)

    assert time.monotonic() - began < 4
    assert "within 1 s" in error.message
    assert "waiting for the database" in error.message
    time.sleep(0.2)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert not _alive(pid)


def _alive(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_flags_process_that_does_not_end_after_its_answer_is_not_waited_for(make_site):
    """A thread that the site left running does not cost the timeout."""
    began = time.monotonic()

    flags = make_site(
        SHELL + "import time; sys.stdout.flush(); time.sleep(60)", service=f"return {[STATUS]!r}", timeout_seconds=20
    ).flags()

    assert len(flags.flags) == 1
    assert time.monotonic() - began < 5


def test_flags_grandchild_that_keeps_the_output_open_is_not_waited_for(make_site):
    """The master connection of ssh stays behind and keeps standard error open."""
    manage = """
    import subprocess, sys
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"], stdout=subprocess.DEVNULL)
    sys.exit("no such host")
    """
    began = time.monotonic()

    error = refused(make_site(manage, timeout_seconds=20).flags)

    assert "no such host" in error.message
    assert time.monotonic() - began < 2


def test_flags_has_no_terminal_to_ask_for_a_password(make_site):
    """ssh must fail instead of waiting for a password that nobody types."""
    manage = SHELL + "import os\n"
    site = make_site(
        'import os, sys\ntry:\n    os.open("/dev/tty", os.O_RDWR)\nexcept OSError:\n    sys.exit("no terminal")\n'
        + manage
    )

    assert "no terminal" in refused(site.flags).message


def test_flags_process_gets_the_environment_of_the_operator(make_site, monkeypatch):
    """KUBECONFIG, SSH_AUTH_SOCK and the like reach the command."""
    monkeypatch.setenv("SOME_CONTEXT", "staging-7")

    assert "staging-7" in refused(make_site('import os, sys\nsys.exit(os.environ["SOME_CONTEXT"])').flags).message
    assert os.environ["SOME_CONTEXT"] == "staging-7"


@pytest.mark.parametrize(
    ("manage", "kind"),
    [
        ("import time; time.sleep(60)", Kind.ABSENT),
        ("raise SystemExit('root@web1: Permission denied (publickey).')", Kind.DENIED),
        ("raise SystemExit('ssh: Could not resolve hostname web1')", Kind.ABSENT),
        ("raise SystemExit('ssh: connect to host web1 port 22: Connection refused')", Kind.ABSENT),
        ("raise SystemExit('django.core.exceptions.ImproperlyConfigured: DATABASE_URL')", Kind.FAULTY),
        ("print('nothing')", Kind.WRONG),
    ],
)
def test_flags_without_an_answer_have_the_kind_for_judgement(make_site, manage, kind):
    """Not there, not let in, not able to."""
    assert refused(make_site(manage, timeout_seconds=1.0).flags).kind is kind


def test_flags_whose_service_fails_are_faulty(make_site):
    """The site itself says so."""
    assert refused(make_site(service="raise ValueError('no table')").flags).kind is Kind.FAULTY


HANGING = """
import os, subprocess, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids.new", "w").write(f"{os.getpid()} {child.pid}")
os.rename("pids.new", "pids")
time.sleep(60)
"""


def test_flags_with_less_time_are_ended_by_then(make_site):
    """What is left of a triage's deadline is shorter than what the site may take otherwise."""
    began = time.monotonic()
    error = refused(lambda: make_site(HANGING, timeout_seconds=30.0).flags(timeout_seconds=0.6))
    assert time.monotonic() - began < 4
    assert "within 0.6 s" in error.message


def test_end_kills_what_a_dropped_read_left_running(make_site, tmp_path):
    """Nobody waits for it any more, so nothing of it goes on in the site."""
    site = make_site(HANGING, timeout_seconds=30.0)
    waiting = threading.Thread(target=refused, args=(site.flags,), daemon=True)
    waiting.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    site.end()
    time.sleep(0.3)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert not _alive(pid)
    waiting.join(timeout=5)
    assert not waiting.is_alive()
