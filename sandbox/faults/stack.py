"""What a fault can reach: the running sandbox, as handles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxError
from sandbox.files import read_json, write_json
from sandbox.layout import Home
from sandbox.processes.ports import LOOPBACK
from sandbox.processes.state import State, read_state
from sandbox.traffic.control import read_load, write_load

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from redis import Redis

FOLLOW_SECONDS = 20.0


@dataclass(frozen=True)
class Stack:
    """A running sandbox."""

    home: Home
    ports: Mapping[str, int]

    def add_traffic(self, name: str, stream: Mapping[str, Any]) -> None:
        """Add a stream to the traffic; ``kind`` is one of ``traffic.streams.KINDS``."""
        load = read_load(self.home.traffic_control)
        write_load(self.home.traffic_control, replace(load, streams={**load.streams, name: stream}))

    def remove_traffic(self, name: str) -> None:
        """Remove a stream; absent is fine."""
        load = read_load(self.home.traffic_control)
        streams = {other: stream for other, stream in load.streams.items() if other != name}
        write_load(self.home.traffic_control, replace(load, streams=streams))

    def add_site_fault(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Switch on a failure that the site has built in; it follows within half a second."""
        faults = read_json(self.home.site_faults, {})
        write_json(self.home.site_faults, {**faults, name: dict(parameters)})

    def remove_site_fault(self, name: str) -> None:
        """Switch off a failure of the site; absent is fine."""
        faults = read_json(self.home.site_faults, {})
        write_json(self.home.site_faults, {other: value for other, value in faults.items() if other != name})

    def stop_part(self, name: str) -> None:
        """Have the supervisor stop a part on purpose, and wait until it is gone.

        Raises:
            SandboxError: it did not happen in time.
        """
        stopped = set(read_json(self.home.wanted, {}).get("stopped", ()))
        write_json(self.home.wanted, {"stopped": sorted(stopped | {name})})
        self._wait_for(name, running=False)

    def start_part(self, name: str) -> None:
        """Have the supervisor start a part again that was stopped on purpose, and wait until it runs.

        Raises:
            SandboxError: it did not happen in time.
        """
        stopped = set(read_json(self.home.wanted, {}).get("stopped", ()))
        write_json(self.home.wanted, {"stopped": sorted(stopped - {name})})
        self._wait_for(name, running=True)

    def _wait_for(self, name: str, *, running: bool) -> None:
        deadline = time.monotonic() + FOLLOW_SECONDS
        while time.monotonic() < deadline:
            if _is_running(read_state(self.home.state), name) is running:
                return
            time.sleep(0.05)
        wanted = "start" if running else "stop"
        raise SandboxError(
            f"The supervisor did not {wanted} {name} within {FOLLOW_SECONDS:g} s. "
            "See `python -m sandbox status`; `down` and `up` give a fresh sandbox."
        )

    def cache(self, database: int = 1) -> AbstractContextManager[Redis]:
        """Connect to the cache's Redis server; use in a ``with`` statement."""
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return closing(
            Redis(
                host=LOOPBACK,
                port=self.ports["redis"],
                db=database,
                socket_timeout=5,
                retry=Retry(NoBackoff(), 0),
            )
        )


def _is_running(state: State | None, name: str) -> bool | None:
    """Whether a part runs; None where there is no such part, or no sandbox."""
    if state is None:
        return None
    found = [part.process is not None for part in state.parts if part.name == name]
    return found[0] if found else None
