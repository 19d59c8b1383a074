"""What is in an RDB file, and is it whole? Told by ``redis-check-rdb``, which reads all of it and its checksum."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from runbooks_lib.errors import SourceError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.programs import NO_END, program
from runbooks_lib.sources.site.process import Limits, run_process

_CHUNK_BYTES = 1024 * 1024
#: A slow disk reads at least so much in a second; the deadlines for whole files follow from it.
SLOWEST_BYTES_PER_SECOND = 20e6
_SIGNATURE_BYTES = 9

#: What redis-check-rdb says → what it means, and what to do.
_SAID = (
    (
        r"Can't handle RDB format version (\d+)",
        "was written by a newer Redis: its format {0} is not known to the programs installed here",
        "install the Redis version that wrote it, or a newer one, on this machine",
    ),
    (
        r"CRC error",
        "is damaged: its checksum does not fit its content",
        "it cannot be trusted: use another copy, or make a new backup",
    ),
    (
        r"Unexpected EOF",
        "is cut off or damaged: it ends in the middle of the data",
        "it was copied only in part, or the disk was full: use another copy, or make a new backup",
    ),
    (r"Wrong signature", "is not an RDB file", "give the .rdb file or the manifest.json of a backup"),
)


@dataclass(frozen=True, slots=True)
class RdbCheck:
    """A whole file, as redis-check-rdb read it.

    Attributes:
        keys_count: all keys in it, expired ones as well.
        expiring_count: of those, with a TTL.
        expired_count: of those, past it by now: a primary drops them while it loads.
        written_at_seconds: unix time by the clock of the server that wrote it; None where it does not say.
        version: of that server; empty where it does not say.
        checksummed: it carries a checksum, which is right; False for ``rdbchecksum no``.
    """

    keys_count: int
    expiring_count: int
    expired_count: int
    written_at_seconds: int | None
    version: str
    checksummed: bool


def require_rdb(path: Path) -> Path:
    """The file itself, behind links, if it can be a backup at all.

    Raises:
        SourceError: there is no such file, it is a folder or a device, it is empty, not readable or no RDB file.
    """
    shown = shown_path(path)
    try:
        real = path.resolve(strict=True)
        found = real.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _bad(f"{shown} is a folder", "give the .rdb file or the manifest.json in it")
        if not stat.S_ISREG(found.st_mode):
            raise _bad(f"{shown} is no ordinary file", "give the .rdb file or the manifest.json of a backup")
        if not found.st_size:
            raise _bad(f"{shown} is empty (0 bytes)", "nothing was ever saved in it: use another copy")
        with real.open("rb") as opened:
            head = opened.read(_SIGNATURE_BYTES)
    except FileNotFoundError as error:
        raise _bad(f"{shown} does not exist", "list the backups folder") from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; links in a circle
        raise _bad(
            f"{shown} cannot be read: {one_line(str(error), longest=120)}", "look at its owner and mode"
        ) from error
    if not re.fullmatch(rb"REDIS\d{4}", head):
        raise _bad(f"{shown} is not an RDB file", "give the .rdb file or the manifest.json of a backup")
    return real


def check_rdb(path: Path) -> RdbCheck:
    """Is the file whole, and what does it hold?

    Args:
        path: an RDB file, as ``require_rdb`` gave it.

    Raises:
        SourceError: it is damaged, cut off, of a newer format, or redis-check-rdb is not installed.

    Source:
        ``redis-check-rdb FILE``.
    """
    limits = Limits(_deadline_seconds(path), 200_000, NO_END)
    # Given without its folder and behind ./, so that no name is taken for an option.
    done = run_process([program("redis-check-rdb"), f"./{path.name}"], cwd=path.parent, stdin=b"", limits=limits)
    text = done.stdout.decode("utf-8", "backslashreplace")
    if done.exit_code != 0 or "RDB looks OK" not in text:
        raise _explained(path, text, timed_out=done.timed_out)
    ctime, version = re.search(r"AUX FIELD ctime = '(\d+)'", text), re.search(r"AUX FIELD redis-ver = '([^']*)'", text)
    return RdbCheck(
        keys_count=_count(text, "keys read"),
        expiring_count=_count(text, "expires"),
        expired_count=_count(text, "already expired"),
        written_at_seconds=int(ctime[1]) if ctime else None,
        version=version[1] if version else "",
        checksummed="Checksum OK" in text,
    )


def copy_private(source: Path, target: Path) -> str:
    """Copy a file so that only its owner may read it; gives the SHA-256 (hex) of what was copied.

    It is opened once: a save that ends meanwhile puts a new file in its place, and this one stays whole. A hard link
    would do that without a copy, but shares owner and mode with the server's own file.

    Raises:
        OSError: it could not be read or written; FileExistsError where there is such a file already.
    """
    digest = hashlib.sha256()
    own = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(own, "rb") as reading:
        if not stat.S_ISREG(os.fstat(own).st_mode):
            raise OSError(f"{source} is no ordinary file")
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
            while chunk := reading.read(_CHUNK_BYTES):
                digest.update(chunk)
                writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file.

    Raises:
        OSError: it could not be read.
    """
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def shown_path(path: Path) -> str:
    """A path for messages: one line, whatever is in it."""
    return one_line(str(path), longest=200)


def _deadline_seconds(path: Path) -> float:
    return 30.0 + path.stat().st_size / SLOWEST_BYTES_PER_SECOND


def _count(text: str, what: str) -> int:
    found = re.search(rf"^\[info\] (\d+) {what}$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _explained(path: Path, text: str, *, timed_out: bool) -> SourceError:
    shown = shown_path(path)
    if timed_out:
        return _bad(f"redis-check-rdb did not read {shown} to its end in time", "the disk hangs, or is very slow")
    # What stands before the mark are fields of the file, which anybody may have written.
    _, _, said = text.partition("--- RDB ERROR DETECTED ---")
    said = said.partition("[additional info]")[0] or text
    for pattern, message, hint in _SAID:
        found = re.search(pattern, said)
        if found:
            return _bad(f"{shown} {message.format(*found.groups())}", hint)
    hint = "it cannot be trusted: use another copy, or make a new backup"
    return _bad(f"{shown} is damaged, redis-check-rdb says: {one_line(said, longest=160)}", hint)


def _bad(message: str, hint: str) -> SourceError:
    return SourceError(message, source="redis", hint=hint)
