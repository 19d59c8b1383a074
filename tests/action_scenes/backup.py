"""The scene of ``back_up``: a server with keys in two databases and a folder without backups."""

from __future__ import annotations

import shutil
from pathlib import Path

from redis_topology_fixtures import write_commands
from servers_fixtures import RunningRedis
from sources_fixtures import site_environment

from action_scenes.scene import Scene
from runbooks_lib.actions.backup.back_up import BackUp


def backup_scene(server: RunningRedis, folder: Path) -> Scene:
    """A scene on this server, which belongs to the test alone.

    Args:
        server: any redis-server; its keys are replaced.
        folder: for ``runbooks.toml``'s place and the backups below it.
    """
    backups = folder / "backups"

    def reset() -> None:
        shutil.rmtree(backups, ignore_errors=True)
        client = server.client(1)
        client.flushall()
        client.config_set("save", "")
        client.mset({f"page:{number}": f"body {number}" for number in range(200)})
        server.client(0).set("celery", "queue")

    def state() -> object:
        client = server.client(1)
        files = sorted(path.name for path in backups.glob("*/*")) if backups.exists() else []
        return len(files), client.dbsize(), client.config_get("save")

    reset()
    return Scene(
        action=BackUp(),
        environment=site_environment(redis_url=server.url(1), root=folder, allow_auto=True),
        state=state,
        reset=reset,
        # A save point: from now on a save that fails would stop the site's writes.
        disturb=lambda: server.client(1).config_set("save", "900 1"),
        fulfil=None,
        write_commands=lambda: write_commands([server.client(1)]),
    )


SCENES = {
    "back_up": lambda request: backup_scene(
        request.getfixturevalue("redis_server")(), request.getfixturevalue("tmp_path") / "site"
    )
}
