"""Where backups lie: one folder for each, named by environment and time, readable by its owner only."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runbooks_lib import units
from runbooks_lib.actions.backup.manifest import FILE_NAME, read_manifest
from runbooks_lib.actions.plan import Plan
from runbooks_lib.config import Environment
from runbooks_lib.errors import RefusedError, SourceError

#: A folder with this ending is being made, or its maker was killed: it is no backup.
UNFINISHED = ".part"
_STAMP = r"\d{8}T\d{6}Z-[0-9a-f]{4}"


def resolved(folder: str, environment: Environment) -> Path:
    """The folder that is meant, absolute."""
    return (environment.root / folder if folder else environment.backups_folder).resolve()


def begin(folder: Path, environment: str) -> Path:
    """A new folder for a backup that is being made; it ends in ``.part`` until it is done.

    Raises:
        RefusedError: it could not be made; nothing was changed.
    """
    made = folder / f"{_plain(environment)}-{units.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}{UNFINISHED}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made.mkdir(mode=0o700)
    except OSError as error:
        raise RefusedError(
            f"the backup's folder could not be made: {error}",
            hint="choose another one: -p folder=…, or backups in runbooks.toml",
        ) from error
    return made


def finish(unfinished: Path) -> Path:
    """The backup is whole: give its folder the name that says so."""
    return unfinished.rename(unfinished.with_name(unfinished.name.removesuffix(UNFINISHED)))


def made_in(folder: Path, environment: str) -> list[Path]:
    """The finished backups of an environment, oldest first."""
    return _folders(folder, environment, "")


def unfinished_in(folder: Path, environment: str) -> list[Path]:
    """Those that are being made, or whose maker was killed."""
    return _folders(folder, environment, re.escape(UNFINISHED))


def newest_since(folder: Path, plan: Plan) -> Path | None:
    """The newest backup that was made by this plan, after it was read."""
    for path in reversed(made_in(folder, plan.environment)):
        try:
            manifest = read_manifest(path / FILE_NAME)
        except SourceError:
            continue
        made_at = datetime.fromisoformat(manifest.made_at)
        if manifest.plan_digest == plan.full_digest and made_at >= plan.read_at.astimezone(UTC) - timedelta(seconds=1):
            return path
    return None


def file_name(shown: str, number: int) -> str:
    """The name of one primary's file; the number keeps two apart whose names only differ in odd characters."""
    return f"{number}-{_plain(shown)}.rdb"


def _folders(folder: Path, environment: str, ending: str) -> list[Path]:
    name = re.compile(f"{re.escape(_plain(environment))}-{_STAMP}{ending}")
    try:
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and path.is_dir())
    except OSError:
        return []  # no such folder yet, or one that may not be read: there is none to be seen


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)[:80].strip(".") or "_"
