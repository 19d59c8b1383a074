"""Which process is it, and does it live? Said only where that can be known."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runbooks_lib.records import origin
from runbooks_lib.records.origin import Process, is_alive, this_process

ASK = """
import sys
from runbooks_lib.records.origin import Process, is_alive
print(is_alive(Process(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
"""


def asked(prefix: list[str], process: Process) -> str:
    """What another process, started with ``prefix``, says of this one."""
    command = [*prefix, sys.executable, "-c", ASK, process.host, str(process.pid), process.started]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode:
        pytest.skip(f"not possible here: {' '.join(prefix)}: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def test_is_alive_of_this_process_is_known_and_its_namespace_is_named():
    """Host, boot, start and PID namespace."""
    assert is_alive(this_process()) is True
    assert this_process().started.count("/") == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda boot, ticks, space: f"{boot}/{ticks}", True),
        (lambda boot, ticks, space: f"{boot}/{int(ticks) + 1}", False),
        (lambda boot, ticks, space: f"{boot}/{int(ticks) + 1}/{space}", False),
        (lambda boot, ticks, space: f"{boot}/{ticks}/1", None),
        (lambda boot, ticks, space: f"another/{ticks}/{space}", None),
        (lambda boot, ticks, space: "", None),
    ],
    ids=["older record", "older, number used again", "used again", "other namespace", "other boot", "nothing said"],
)
def test_is_alive_is_said_of_the_same_boot_and_namespace_only(change, expected):
    """Everything else waits until the lease runs out."""
    me = this_process()

    assert is_alive(replace(me, started=change(*me.started.split("/")))) is expected


@pytest.mark.parametrize("pid", [0, -1, 2**70, 2**22 + 7])
def test_is_alive_of_a_number_that_no_process_has_is_not_alive(pid):
    """Nothing is signalled by it."""
    assert is_alive(replace(this_process(), pid=pid)) is not True


def test_is_alive_of_a_killed_process_is_false():
    """Also while its corpse is still there."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = f"{origin.process_started(child.pid)}/{this_process().started.split('/')[2]}"
    process = Process(socket.gethostname(), child.pid, started)
    assert is_alive(process) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert is_alive(process) is False
    child.communicate()
    assert is_alive(process) is False


@pytest.mark.parametrize("mounted", [["--mount-proc"], []], ids=["with its own proc", "with ours"])
def test_is_alive_asked_from_another_pid_namespace_with_the_same_name_is_unknown(mounted):
    """A container on the same host does not see this process, and must not take its locks."""
    assert asked(["unshare", "--pid", "--fork", *mounted], this_process()) == "None"


def test_is_alive_where_proc_hides_the_process_is_unknown():
    """``hidepid``: another user's process is not shown, and yet the kernel says that there is one."""
    if os.geteuid() != 0:
        pytest.skip("only root can hide processes")
    script = 'mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'

    assert asked(["unshare", "--mount", "sh", "-c", script, "sh"], this_process()) == "None"
