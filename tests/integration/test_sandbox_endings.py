"""However a sandbox ends, nothing of it stays: crash of a part, of the supervisor, Ctrl-C, a lost race for a port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_fixtures import eventually

from sandbox import Sandbox, SandboxError, default_settings
from sandbox.errors import PortInUse
from sandbox.layout import REPOSITORY
from sandbox.processes.launch import make_order
from sandbox.processes.orders import Lifetime
from sandbox.processes.ports import choose_ports, is_free
from sandbox.processes.state import State, read_state
from sandbox.processes.tether import ProcessId, members_of_run

KEPT = {"logs", "ports.json", "up.lock", "control.lock"}


@pytest.fixture
def second(tmp_path):
    """A sandbox of this test's own, beside the session's one, with a short history for a fast start."""
    sandbox = Sandbox(tmp_path / "home", settings=default_settings(history_days=0.1))
    yield sandbox
    sandbox.down()


@pytest.fixture
def taken():
    """A port on which somebody else listens."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def state_of(sandbox: Sandbox) -> State:
    """Return what the supervisor wrote."""
    state = read_state(sandbox.home.state)
    assert state is not None
    return state


def assert_nothing_is_left(sandbox: Sandbox, state: State, *, also: frozenset[str] = frozenset()) -> None:
    """No process, no bound port, no data."""
    eventually(lambda: not any(process.alive for process in state.processes), seconds=10)
    eventually(lambda: not members_of_run(state.run_id), seconds=10)
    assert all(is_free(port) for port in state.ports.values())
    assert {entry.name for entry in sandbox.home.path.iterdir()} <= KEPT | also


def up_in_a_process(home: Path) -> subprocess.Popen[str]:
    """Run ``up`` as people do."""
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--home", str(home), "up"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.any_health
def test_two_sandboxes_beside_each_other_and_a_killed_part(sandbox, second):
    """The second has other ports; when its site is killed it ends whole, says why, and the first lives on."""
    second.up()
    state = state_of(second)
    assert not set(state.ports.values()) & set(sandbox.stack().ports.values())
    web = next(part.process for part in state.parts if part.name == "web")
    web.send(signal.SIGKILL)
    eventually(lambda: second.status().phase == "failed", seconds=20)
    assert_nothing_is_left(second, state, also=frozenset({"failure.json"}))
    assert "web was ended by SIGKILL" in second.status().failure
    assert sandbox.status().is_running


def test_lost_race_for_a_port_is_retried_and_a_killed_supervisor_leaves_nothing(second, monkeypatch, taken):
    """One retry with other ports. SIGKILL cannot be answered: the kernel ends the parts, ``down`` clears the files."""
    steps = []
    stale = replace(choose_ports(fixed={}, remembered={}), redis=taken)
    monkeypatch.setattr("sandbox.processes.launch.choose_ports", lambda **_: stale)
    second.up(on_step=steps.append)
    assert any("port was taken" in step.name for step in steps)
    state = state_of(second)
    assert state.ports["redis"] != taken
    state.supervisor.send(signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: not members_of_run(state.run_id), seconds=15)
    assert second.status().phase == "crashed"
    assert second.down() is True
    assert_nothing_is_left(second, state)
    assert second.down() is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_up_that_is_interrupted_leaves_nothing(second, number):
    """Ctrl-C, and even SIGKILL of ``up``, take everything down that was started."""
    up = up_in_a_process(second.home.path)
    up.stdout.readline()  # the first step is done
    eventually(lambda: second.home.state.exists() and len(state_of(second).parts) >= 2, seconds=10)
    state = state_of(second)
    up.send_signal(number)
    output, _ = up.communicate(timeout=20)
    eventually(lambda: not state.supervisor.alive, seconds=20)
    assert_nothing_is_left(second, state)
    if number is signal.SIGINT:
        assert up.returncode == 1
        assert "taken down" in output


def test_up_with_a_site_that_does_not_start_gives_one_message_and_leaves_nothing(second, monkeypatch, tmp_path):
    """A half-started stack names the part, shows its last words and is taken down."""
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'cannot allocate memory' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setenv("SANDBOX_REDIS_SERVER", str(broken))
    with pytest.raises(SandboxError, match=r"exit code 7(.|\n)*cannot allocate memory"):
        second.up()
    assert {entry.name for entry in second.home.path.iterdir()} <= KEPT | {"failure.json"}
    assert second.status().phase == "failed"


@pytest.mark.any_health
def test_port_taken_by_a_running_sandbox_is_refused_before_anything_starts(sandbox, tmp_path):
    """A fixed port of the session's sandbox: one message, no folder."""
    port = sandbox.stack().ports["web"]
    home = tmp_path / "home"
    up = subprocess.run(
        [sys.executable, "-m", "sandbox", "--home", str(home), "up", "--web-port", str(port)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert up.returncode == 1
    assert f"Port {port} (web) is in use" in up.stderr
    assert not home.exists()
    settings = Sandbox(home).settings
    with pytest.raises(PortInUse):
        make_order(type(settings)(home, settings.cache, fixed_ports={"web": port}), Lifetime.DETACHED)


def test_owned_sandbox_ends_with_its_owner(tmp_path):
    """A test run that is killed takes its sandbox with it."""
    home = tmp_path / "home"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sandbox import Sandbox, default_settings\n"
        "sandbox = Sandbox(Path(sys.argv[1]), settings=default_settings(history_days=0.1))\n"
        "with sandbox.hold(on_step=lambda step: print('step', flush=True)): print('up', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(home)], cwd=REPOSITORY, stdout=subprocess.PIPE, env=os.environ
    )
    assert owner.stdout.readline() == b"step\n"
    assert b"up\n" in iter(owner.stdout.readline, b"")
    state = state_of(Sandbox(home))
    assert ProcessId(**json.loads((home / "state.json").read_text())["supervisor"]).alive
    owner.kill()
    owner.communicate()
    began = time.monotonic()
    eventually(lambda: not state.supervisor.alive, seconds=20)
    assert_nothing_is_left(Sandbox(home), state)
    assert time.monotonic() - began < 15
