"""Ports on loopback: found free, remembered, or fixed by the caller."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

from sandbox.errors import PortInUse

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The port of every part that listens, all on 127.0.0.1."""

    redis: int
    broker: int
    prometheus: int
    web: int
    worker_metrics: int

    def as_dict(self) -> dict[str, int]:
        """Return name to port."""
        return asdict(self)


PORT_NAMES = tuple(field.name for field in fields(Ports))


def choose_ports(*, fixed: Mapping[str, int], remembered: Mapping[str, int]) -> Ports:
    """Choose a free port for every name: the fixed one, else the remembered one if it is free, else any.

    Raises:
        PortInUse: a fixed port is taken, or is given to two parts.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for name in sorted(PORT_NAMES, key=lambda name: name not in fixed):
            chosen[name] = held.enter_context(_hold(name, fixed.get(name), remembered.get(name)))
    return Ports(**chosen)


def is_free(port: int) -> bool:
    """Whether a server could bind the port now."""
    with contextlib.closing(socket.socket()) as probe:
        return _bind(probe, port)


@contextlib.contextmanager
def _hold(name: str, fixed: int | None, remembered: int | None) -> Iterator[int]:
    """Hold a port so that no two parts get the same one while the others are chosen."""
    with contextlib.closing(socket.socket()) as listener:
        if fixed is not None:
            if not _bind(listener, fixed):
                raise PortInUse(
                    f"Port {fixed} ({name}) is in use{_owner(fixed)}. Nothing was started. "
                    f"Stop that program, or run `up` without --{name.replace('_', '-')}-port to get a free one."
                )
        elif not (remembered and _bind(listener, remembered)):
            _bind(listener, 0)
        yield listener.getsockname()[1]


def _bind(listener: socket.socket, port: int) -> bool:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1)  # on Linux a bound socket that does not listen lets a second one bind
    except OSError:
        return False
    return True


def _owner(port: int) -> str:
    """Say who listens on a port, where the system tells."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()}, pid {connection.pid}"
    return ""
