"""Restore a backup into a scratch server of one's own; never into a site."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from runbooks_lib import units
from runbooks_lib.actions.backup.back_up import proved
from runbooks_lib.actions.backup.manifest import FILE_NAME, read_manifest
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.sources.rdb.file import check_rdb, require_rdb, shown_path
from runbooks_lib.sources.rdb.persistence import save_state
from runbooks_lib.sources.rdb.scratch import ScratchRedis, start_scratch
from runbooks_lib.sources.redis.nodes import ReadNode


@dataclass(frozen=True, slots=True)
class Scratch:
    """One file of a backup, loaded into a running server that nobody else can reach.

    Attributes:
        file: what it was loaded from.
        server: end it with ``close``; else it stays up, also when this process has ended.
        evidence: what was found in the file, and what was loaded.
    """

    file: Path
    server: ScratchRedis
    evidence: tuple[Evidence, ...]

    @property
    def url(self) -> str:
        """For ``redis_url`` and for redis-py; only this user can connect."""
        return f"unix://{self.server.socket}?db=0"

    @property
    def connect_command(self) -> str:
        """How to look into it."""
        return shlex.join(["redis-cli", "-s", str(self.server.socket)])

    @property
    def stop_command(self) -> str:
        """How to end it and remove what it made."""
        folder = shlex.quote(str(self.server.folder))
        return f"{self.connect_command} shutdown nosave; rm -r {folder}"


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup in scratch servers: one for each of its files.

    Attributes:
        scratches: in the order of the manifest.
        proof: of the whole backup; confirmed is None for an ``.rdb`` without a manifest, which has nothing to be held
            against.
    """

    scratches: tuple[Scratch, ...]
    proof: ReadBack

    def close(self) -> None:
        """End all of them."""
        for scratch in self.scratches:
            scratch.server.close()


def restore_into_scratch(path: Path) -> Restored:
    """Prove a backup and load it into scratch servers on this machine, which stay up until they are ended.

    Args:
        path: a backup's folder, its ``manifest.json``, or one ``.rdb`` file from anywhere.

    Raises:
        SourceError: it is none of these, damaged, cut off, of a newer Redis, not as its manifest says, or a program is
            missing. Nothing is left running then.
    """
    folder = _backup_folder(path)
    if folder is None:
        files, proof = (
            [require_rdb(path)],
            ReadBack(None, detail="an .rdb file without a manifest: nothing to compare it with"),
        )
    else:
        files = [folder / entry.file for entry in read_manifest(folder / FILE_NAME).files]
        proof = proved(folder)
        if not proof.confirmed:
            raise SourceError(
                f"{shown_path(folder)} is not the backup that was made: {proof.detail}",
                source="redis",
                hint="use another backup; to look at one of its .rdb files all the same, give that file alone",
            )
    scratches: list[Scratch] = []
    try:
        scratches.extend(_scratch(file) for file in files)
    except BaseException:
        Restored(tuple(scratches), proof).close()
        raise
    return Restored(tuple(scratches), proof)


def _backup_folder(path: Path) -> Path | None:
    """The folder of a backup that the path leads to; None for anything else."""
    try:
        real = path.resolve()
        if real.is_dir() and (real / FILE_NAME).is_file():
            return real
        return real.parent if real.name == FILE_NAME and real.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a NUL in the name, links in a circle: told by whoever opens it
        return None


def _scratch(file: Path) -> Scratch:
    check = check_rdb(file)
    server = start_scratch(file)
    try:
        node = ReadNode(server.address())
        state = save_state(node)
        node.close()
    except BaseException:
        server.close()
        raise
    databases = ", ".join(f"{number}: {keys:,}" for number, keys in state.databases.items()) or "all empty"
    dropped = check.keys_count - state.keys_count
    evidence = (
        Evidence("keys in the file", f"{check.keys_count:,}", shown_path(file)),
        Evidence("keys loaded", f"{state.keys_count:,} (databases {databases})"),
        Evidence("expired since the backup", f"{dropped:,}: dropped while loading, as a site would drop them"),
        Evidence("checksum in the file", "right" if check.checksummed else "none (rdbchecksum no)"),
        Evidence("loading took", units.seconds(server.loading_seconds)),
    )
    return Scratch(file, server, evidence)
