"""Processes, files, state: identity, tethers, and what survives a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sandbox.errors import PartFailed, SandboxError
from sandbox.files import last_lines, locked, read_json, write_json
from sandbox.layout import Home
from sandbox.processes.cleaning import clear_home, end_leftovers
from sandbox.processes.state import PartState, Phase, State, read_failure, read_state, write_failure, write_state
from sandbox.processes.tether import RUN_ID, ProcessId, end_all, members_of_run, start_tethered

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
SPAWN = """
import os, sys
from pathlib import Path
from sandbox.processes.tether import start_tethered
child = start_tethered([sys.executable, "-c", "import time; time.sleep(60)"], cwd=Path("."),
                       environment=os.environ, log=Path(sys.argv[1]))
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def sleeper():
    """A process that does nothing for a minute."""
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def wait_until(condition, seconds: float = 5.0) -> bool:
    """Wait for a condition; return whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_process_id_of_a_running_process_is_alive_until_it_ends(sleeper):
    """A zombie counts as ended."""
    process = ProcessId.of(sleeper.pid)
    assert process.alive
    sleeper.kill()
    assert wait_until(lambda: not process.alive)


def test_process_id_with_another_start_is_somebody_else(sleeper):
    """The pid alone does not make it ours: no signal is sent."""
    stranger = ProcessId(sleeper.pid, "another time")
    assert not stranger.alive
    assert stranger.send(signal.SIGKILL) is False
    assert sleeper.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the tether needs PR_SET_PDEATHSIG")
def test_start_tethered_child_ends_when_its_parent_is_killed(tmp_path):
    """Not even SIGKILL of the supervisor leaves a child behind."""
    parent = subprocess.Popen([sys.executable, "-c", SPAWN, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    child = ProcessId.of(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not child.alive)


def test_members_of_run_finds_by_run_id_only(tmp_path):
    """Processes of another run are not touched."""
    run_id = f"test-{os.getpid()}-{time.monotonic_ns()}"
    mine = start_tethered(SLEEP, cwd=tmp_path, environment={**os.environ, RUN_ID: run_id}, log=tmp_path / "a")
    other = start_tethered(SLEEP, cwd=tmp_path, environment={**os.environ, RUN_ID: "x"}, log=tmp_path / "b")
    try:
        assert wait_until(lambda: [member.pid for member in members_of_run(run_id)] == [mine.pid])
        assert end_all(members_of_run(run_id), grace_seconds=2) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        mine.wait()


def test_end_leftovers_ends_recorded_processes_and_clears_the_home(tmp_path, sleeper):
    """What a crashed sandbox left is recognised, ended and removed; its logs stay."""
    home = Home(tmp_path)
    part = PartState("redis", 1, ProcessId.of(sleeper.pid), 0.0)
    gone = ProcessId(1, "never")
    state = State("no-such-run", Phase.RUNNING, gone, 0.0, {}, {}, (part,))
    write_state(home.state, state)
    home.folder("logs")
    assert end_leftovers(home, state) == 1
    sleeper.wait(timeout=5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["logs"]


def test_clear_home_keeps_logs_and_ports(tmp_path):
    """What helps afterwards stays, data goes."""
    home = Home(tmp_path)
    home.folder("logs")
    home.folder("prometheus")
    write_json(home.ports, {})
    home.database.touch()
    clear_home(home)
    assert {entry.name for entry in tmp_path.iterdir()} == {"logs", "ports.json"}


def test_state_is_read_back_as_written(tmp_path):
    """Whoever reads the state gets what the supervisor wrote."""
    part = PartState("web", 80, ProcessId(5, "then"), 1.0)
    stopped = PartState("redis", 81, None, None)
    state = State("id", Phase.RUNNING, ProcessId(4, "then"), 1.0, {"web": 80}, {"a": 1}, (part, stopped))
    write_state(tmp_path / "state.json", state)
    assert read_state(tmp_path / "state.json") == state
    assert state.processes == [ProcessId(5, "then")]


def test_failure_keeps_part_exit_code_and_log_tail(tmp_path):
    """``status`` can say which part ended, and its last words."""
    error = PartFailed("web", "ended with exit code 3", exit_code=3, log_tail=("one", "two"))
    write_failure(tmp_path / "failure.json", error, at=1.0, log=tmp_path / "web.log")
    failure = read_failure(tmp_path / "failure.json")
    assert failure.exit_code == 3
    assert "web ended with exit code 3" in failure.message
    assert "| two" in failure.message


def test_write_json_is_never_seen_half_written(tmp_path):
    """A reader that runs all the time sees whole files only."""
    path = tmp_path / "value.json"
    write_json(path, {"value": "x" * 100_000})
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            write_json(path, {"value": "y" * 100_000})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(len(read_json(path)["value"]) == 100_000 for _ in range(200))
    finally:
        stop.set()
        writer.join()
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_read_json_that_is_no_json_names_the_file(tmp_path):
    """The message says what to do."""
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(SandboxError, match=r"state\.json is not valid JSON"):
        read_json(tmp_path / "state.json")
    with pytest.raises(json.JSONDecodeError):
        json.loads((tmp_path / "state.json").read_text())


def test_locked_by_somebody_else_gives_the_message(tmp_path):
    """The second one is told, and does not wait for ever."""
    path = tmp_path / "lock"
    with (
        locked(path, timeout_seconds=0, busy="first"),
        pytest.raises(SandboxError, match="second"),
        locked(path, timeout_seconds=0.1, busy="second"),
    ):
        pass
    with locked(path, timeout_seconds=0, busy="free again"):
        pass


def test_last_lines_of_a_log_are_bounded(tmp_path):
    """Few, short, and none for a log that is not there."""
    path = tmp_path / "log"
    path.write_text("".join(f"line {number} {'x' * 1000}\n\n" for number in range(100)))
    lines = last_lines(path, 3)
    assert [line.split()[1] for line in lines] == ["97", "98", "99"]
    assert max(map(len, lines)) <= 300
    assert last_lines(tmp_path / "none") == ()
