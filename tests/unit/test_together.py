"""Reads side by side: one deadline, no hidden bugs, nothing that keeps the process."""

import logging
import subprocess
import sys
import threading
import time

import pytest

from runbooks_lib.errors import ConfigurationError, SourceError
from runbooks_lib.model import Kind, Unreadable
from runbooks_lib.sources.together import Begun, Read, read_together, side_by_side, within


def _raises(error: BaseException):
    def call():
        raise error

    return call


def test_read_together_all_answer_gives_facts_in_the_given_order():
    """The order is that of the reads, not that of the answers."""
    reads = {
        "slow": Read("slow thing", "redis", lambda: time.sleep(0.05) or 1),
        "quick": Read("quick thing", "web", lambda: 2),
    }

    assert list(read_together(reads, deadline_seconds=2).items()) == [("slow", 1), ("quick", 2)]


def test_read_together_reads_run_at_the_same_time():
    """Five reads of 0.2 s take about 0.2 s together."""
    reads = {str(n): Read("thing", "web", lambda: time.sleep(0.2)) for n in range(5)}
    began = time.monotonic()

    read_together(reads, deadline_seconds=5)

    assert time.monotonic() - began < 0.6


def test_read_together_a_fact_that_is_none_is_a_fact():
    """None is a value, not a missing answer."""
    assert read_together({"a": Read("a", "web", lambda: None)}, deadline_seconds=1) == {"a": None}


def test_read_together_source_error_becomes_unreadable_with_reason_and_hint():
    """The operator reads what the source said, under the name of what was asked."""
    error = SourceError("connection refused", source="redis", hint="start it", kind=Kind.DENIED)

    answers = read_together(
        {"a": Read("server", "web", _raises(error)), "b": Read("b", "web", lambda: 1)}, deadline_seconds=1
    )

    assert answers == {"a": Unreadable("redis", "server", "connection refused", "start it", Kind.DENIED), "b": 1}


def test_read_together_other_runbook_error_keeps_its_message():
    """A configuration error found while reading is not a bug of the library."""
    answers = read_together(
        {"a": Read("a", "web", _raises(ConfigurationError("wrong key", hint="fix it")))}, deadline_seconds=1
    )

    assert answers["a"] == Unreadable("web", "a", "wrong key", "fix it", Kind.WRONG)


def test_read_together_bug_is_named_and_logged_with_its_traceback(caplog):
    """An unexpected exception is neither hidden nor taken for a fault of the site."""
    caplog.set_level(logging.DEBUG)

    answer = read_together({"a": Read("alerts", "prometheus", _raises(KeyError("data")))}, deadline_seconds=1)["a"]

    assert isinstance(answer, Unreadable)
    assert "KeyError" in answer.reason
    assert "data" in answer.reason
    assert "bug" in answer.reason
    assert "Traceback" in caplog.text


def test_read_together_bug_message_with_a_secret_is_redacted(caplog):
    """Neither the reason nor the log repeats a password, nor the credentials of any URL."""
    caplog.set_level(logging.DEBUG)
    error = ValueError("cannot parse hunter2hunter2 in redis://:other-one@host")

    answer = read_together({"a": Read("a", "redis", _raises(error))}, deadline_seconds=1, secrets=["hunter2hunter2"])[
        "a"
    ]

    assert "hunter2" not in answer.reason + caplog.text
    assert "other-one" not in answer.reason + caplog.text


def test_read_together_system_exit_in_a_read_is_reported_at_once():
    """A library that calls sys.exit ends neither the thread in silence nor the process."""
    began = time.monotonic()

    answer = read_together({"a": Read("a", "web", _raises(SystemExit(3)))}, deadline_seconds=5)["a"]

    assert "SystemExit" in answer.reason
    assert time.monotonic() - began < 1


def test_read_together_hung_read_is_unreadable_at_the_deadline():
    """The others keep their answers; the hung one says how long it was waited for."""
    release = threading.Event()
    reads = {"hung": Read("health endpoint", "web", release.wait), "good": Read("good", "redis", lambda: 7)}
    began = time.monotonic()

    answers = read_together(reads, deadline_seconds=0.2)

    release.set()
    assert time.monotonic() - began < 0.6
    assert answers["good"] == 7
    assert "no answer within 0.2 s" in answers["hung"].reason


def test_read_together_hung_read_does_not_keep_the_process_from_ending():
    """The interpreter exits although a read never comes back."""
    program = (
        "import time\nfrom runbooks_lib.sources.together import Read, read_together\n"
        "print(read_together({'a': Read('a', 'web', lambda: time.sleep(60))}, deadline_seconds=0.1)['a'].reason)"
    )
    began = time.monotonic()

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0
    assert "no answer" in done.stdout
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("deadline", [0, -1, float("nan")])
def test_read_together_impossible_deadline_is_a_mistake_of_the_caller(deadline):
    """A deadline that can never be met is refused before anything starts."""
    with pytest.raises(ValueError, match="deadline_seconds"):
        read_together({}, deadline_seconds=deadline)


def test_read_together_without_reads_is_empty_at_once():
    """Nothing to read is not waited for."""
    assert read_together({}, deadline_seconds=5) == {}


def test_within_result_and_exception_come_through():
    """What the call returns or raises is what the caller gets."""
    assert within(1, lambda: 3) == 3
    with pytest.raises(KeyError):
        within(1, _raises(KeyError("x")))


def test_within_late_result_is_a_timeout():
    """The caller goes on although the call does not."""
    release = threading.Event()
    with pytest.raises(TimeoutError, match=r"0\.1 s"):
        within(0.1, release.wait)
    release.set()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: time.sleep(5), Kind.ABSENT),
        (_raises(ZeroDivisionError()), Kind.BUG),
        (_raises(SourceError("x", source="redis", kind=Kind.FAULTY)), Kind.FAULTY),
        (_raises(SourceError("x", source="redis")), Kind.WRONG),
    ],
)
def test_read_together_gives_the_kind_for_judgement(call, kind):
    """Only a system that is not there may be down."""
    assert read_together({"a": Read("a", "redis", call)}, deadline_seconds=0.2)["a"].kind is kind


def test_begun_read_is_there_when_it_is_asked_for():
    """It ran meanwhile; one that has not come is absent, one that failed says why."""
    quick = Begun(Read("a", "web", lambda: 7))
    failed = Begun(Read("a", "web", _raises(SourceError("my-secret is wrong", source="web"))), secrets=("my-secret",))
    assert quick.fact(1) == 7
    assert failed.fact(1).reason == "*** is wrong"
    assert Begun(Read("a", "web", lambda: time.sleep(5))).fact(0.05).kind is Kind.ABSENT


def test_side_by_side_gives_results_in_order_and_the_first_failure_at_once():
    """A hanging neighbour does not hold a failure back."""
    assert side_by_side([lambda: time.sleep(0.1) or 1, lambda: 2]) == [1, 2]
    began = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        side_by_side([lambda: time.sleep(5), _raises(ValueError("no"))])
    assert time.monotonic() - began < 1


def test_side_by_side_does_not_keep_the_process_from_ending():
    """Ctrl-C while Prometheus hangs ends the command at once: its threads are daemons."""
    code = (
        "import os, signal, threading, time\n"
        "from runbooks_lib.sources.together import side_by_side\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    side_by_side([lambda: time.sleep(9), lambda: time.sleep(9)])\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "interrupted\n"
    assert time.monotonic() - began < 5
