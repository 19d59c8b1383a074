"""Ports, servers, settings and the command line: what is checked before anything is started."""

from __future__ import annotations

import contextlib
import socket
import stat

import pytest

from sandbox.cli import main
from sandbox.errors import MissingServer, PortInUse, UsageError
from sandbox.processes.ports import PORT_NAMES, choose_ports, is_free
from sandbox.processes.servers import find_servers
from sandbox.settings import Settings, default_settings


@pytest.fixture
def taken():
    """A port on which somebody listens."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_choose_ports_finds_free_and_different_ones():
    """Five parts, five ports, all of which can be bound afterwards."""
    ports = choose_ports(fixed={}, remembered={}).as_dict()
    assert len(set(ports.values())) == len(PORT_NAMES)
    assert all(is_free(port) for port in ports.values())


def test_choose_ports_fixed_one_in_use_names_port_part_and_way_out(taken):
    """The message says which port, for what, and what to do."""
    with pytest.raises(PortInUse, match=rf"Port {taken} \(redis\) is in use.*--redis-port"):
        choose_ports(fixed={"redis": taken}, remembered={})


def test_choose_ports_one_port_for_two_parts_is_refused():
    """A fixed port can be given once."""
    free = choose_ports(fixed={}, remembered={}).web
    with pytest.raises(PortInUse, match="in use"):
        choose_ports(fixed={"redis": free, "web": free}, remembered={})


def test_choose_ports_remembered_one_is_kept_if_free(taken):
    """Bookmarks stay valid; a remembered port that is taken is replaced in silence."""
    free = choose_ports(fixed={}, remembered={}).web
    ports = choose_ports(fixed={}, remembered={"web": free, "redis": taken})
    assert ports.web == free
    assert ports.redis != taken


def test_find_servers_missing_ones_say_how_to_get_them(tmp_path, monkeypatch):
    """All missing programs at once, for Debian, macOS and conda."""
    monkeypatch.setattr("sandbox.processes.servers._usual_place", lambda name: None)
    with pytest.raises(MissingServer) as caught:
        find_servers({"PATH": str(tmp_path)})
    for word in ("redis-server, prometheus, promtool", "apt install", "brew install", "conda install"):
        assert word in str(caught.value)


def test_find_servers_override_that_does_not_exist_is_named():
    """A wrong override is an error, not a reason to take another program."""
    with pytest.raises(MissingServer, match="SANDBOX_PROMTOOL=/nowhere"):
        find_servers({"PATH": "/usr/bin", "SANDBOX_PROMTOOL": "/nowhere/promtool"})


def test_find_servers_override_wins(tmp_path):
    """A program named in the environment is used."""
    program = tmp_path / "my-redis"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    servers = find_servers({"PATH": "/usr/bin", "SANDBOX_REDIS_SERVER": str(program)})
    assert servers.redis_server == str(program)


def test_settings_survive_their_json():
    """The supervisor gets exactly what the caller chose."""
    settings = default_settings({"SANDBOX_HOME": "/tmp/x", "SANDBOX_FIXED_WEB_PORT": "8123"}, exponent=0.7)
    assert Settings.from_dict(settings.as_dict()) == settings
    assert settings.fixed_ports == {"web": 8123}


@pytest.mark.parametrize(
    "chosen",
    [{"rate_per_second": 1000.0}, {"exponent": -1.0}, {"web_workers": 0}, {"fixed_ports": {"web": 70_000}}],
)
def test_settings_impossible_value_is_refused(chosen):
    """A wrong request is refused before anything is started."""
    with pytest.raises(UsageError):
        default_settings({}, **chosen)


def test_cli_up_with_a_port_in_use_says_so_and_leaves_nothing(tmp_path, capsys, taken):
    """Exit code 1, one message, no folder."""
    home = tmp_path / "home"
    assert main(["--home", str(home), "up", "--redis-port", str(taken)]) == 1
    assert f"Port {taken} (redis) is in use" in capsys.readouterr().err
    assert not home.exists()


def test_cli_up_with_a_missing_server_says_so_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    """Exit code 1, one message, no folder."""
    home = tmp_path / "home"
    monkeypatch.setenv("SANDBOX_REDIS_SERVER", "/nowhere/redis-server")
    assert main(["--home", str(home), "up"]) == 1
    assert "/nowhere/redis-server" in capsys.readouterr().err
    assert not home.exists()


def test_cli_unknown_fault_is_a_usage_error(tmp_path, capsys):
    """Exit code 2 and the list of names."""
    assert main(["--home", str(tmp_path), "fault", "meteor"]) == 2
    assert "redis_down" in capsys.readouterr().err


def test_cli_fault_without_a_name_lists_all(tmp_path, capsys):
    """Cause, symptom and parameters of each."""
    assert main(["--home", str(tmp_path), "fault"]) == 0
    assert "penetration_attack" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["fault", "redis_down"], ["heal", "redis_down"], ["load", "--rate", "5"]])
def test_cli_without_a_running_sandbox_says_how_to_start_one(tmp_path, capsys, words):
    """Exit code 1 and the next step."""
    assert main(["--home", str(tmp_path), *words]) == 1
    assert "python -m sandbox up" in capsys.readouterr().err


def test_cli_status_and_down_without_a_sandbox_are_harmless(tmp_path, capsys):
    """Status answers 1, down answers 0, twice."""
    assert main(["--home", str(tmp_path), "status"]) == 1
    assert main(["--home", str(tmp_path), "down"]) == 0
    assert main(["--home", str(tmp_path), "down"]) == 0
    assert "No sandbox was running" in capsys.readouterr().out
