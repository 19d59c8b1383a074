"""Makes fake sites: a JSON file, and a web server that says what is served."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sources_fixtures import site_environment

from runbooks_lib.config import Environment

MANAGE = Path(__file__).parent / "manage.py"
HEALTHY = {"status": "healthy", "redis": {"reachable": True}}
NAMES = (
    *("ENHANCED_CACHE", "CACHE_WARMING", "CACHE_MONITORING", "RATE_LIMITING"),
    *("PENETRATION_PROTECTION", "ADAPTIVE_TTL", "PAGE_CACHE"),
)


class FakeSite:
    """One fake site, in a folder of its own.

    Args:
        folder: for its file.
        redis_port: of the Redis in which it keeps what warming did, and flags where it is told to; 0 for none.
    """

    def __init__(self, folder: Path, redis_port: int = 0) -> None:
        self.file = folder / "site.json"
        self.folder = folder
        self._redis_port = redis_port
        flags = {name: {"strategy": "on", "percentage": 100, "whitelist": []} for name in NAMES}
        flags["PAGE_CACHE"] = {"strategy": "off", "percentage": 0, "whitelist": []}
        self._write(
            {
                "flags": flags,
                "behaviour": {},
                "copy_seconds": 0.05,
                "redis_port": redis_port,
                "workers": {"celery@one": []},
                "warming_run": {"items": 12, "seconds": 0.4},
                "queued": [],
                "caches": {"default": {"KEY_PREFIX": "django", "VERSION": 1}},
                "health": HEALTHY,
                "served": {},
            }
        )
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.read))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def environment(self) -> Environment:
        """Unprotected, ``allow_auto`` on; Prometheus does not answer."""
        return site_environment(
            root=self.folder,
            manage=("env", f"FAKE_SITE={self.file}", sys.executable, "-S", "-E", str(MANAGE)),
            site_url=f"http://127.0.0.1:{self._server.server_address[1]}",
            redis_url=f"redis://127.0.0.1:{self._redis_port or 1}/1",
            key_prefix="django",
            allow_auto=True,
        )

    @property
    def starts(self) -> int:
        """How often its ``manage.py`` was started."""
        path = self.folder / "starts"
        return len(path.read_text()) if path.exists() else 0

    @property
    def flags(self) -> dict[str, Any]:
        """How the flags are stored, read around everything."""
        return self.read()["flags"]

    def read(self) -> dict[str, Any]:
        """Everything that it stores."""
        return json.loads(self.file.read_text(encoding="utf-8"))

    def set(self, **changes: Any) -> None:
        """Replace top-level entries: ``behaviour``, ``workers``, ``caches``, ``health``, ``served``."""
        self._write({**self.read(), **changes})

    def misbehave(self, **behaviour: Any) -> None:
        """Replace how it misbehaves; nothing for a good site."""
        self.set(behaviour=behaviour)

    def set_flag(self, name: str, strategy: str, percentage: float = 0, whitelist: tuple[int, ...] = ()) -> None:
        """One flag, written around everything."""
        flag = {"strategy": strategy, "percentage": percentage, "whitelist": list(whitelist)}
        self.set(flags={**self.flags, name: flag}, resets={})

    def close(self) -> None:
        """End its web server."""
        self._server.shutdown()
        self._server.server_close()

    def _write(self, found: dict[str, Any]) -> None:
        fresh = self.file.with_suffix(".fresh")
        fresh.write_text(json.dumps(found), encoding="utf-8")
        fresh.replace(self.file)


def _handler(read: Callable[[], dict[str, Any]]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = read()
            served = {**{name: _served(flag) for name, flag in found["flags"].items()}, **found["served"]}
            if self.path == "/metrics":
                lines = (f'feature_flag_percentage{{feature="{name}"}} {value}\n' for name, value in served.items())
                body = "".join(lines).encode()
            else:
                body = json.dumps({**found["health"], "features": served}).encode()
            self.send_response(200 if found["health"] else 500)
            self.send_header("Content-Type", "text/plain" if self.path == "/metrics" else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler


def _served(flag: dict[str, Any]) -> int:
    return {"on": 100, "gradual": flag["percentage"]}.get(flag["strategy"], 0)
