"""Redis's own programs on this machine: where they are, and how to get them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.redis.replies import version_of
from runbooks_lib.sources.site.process import Limits, run_process

#: Program → the Debian package that holds it; on macOS and in conda one package holds all of them.
_DEBIAN = {"redis-server": "redis-server", "redis-check-rdb": "redis-tools", "redis-cli": "redis-tools"}
#: A byte that these programs never print: their output is read to its end.
NO_END = b"\x00"


def how_to_get(name: str) -> str:
    """How to install one of the programs."""
    return f"Debian: apt install {_DEBIAN[name]}; macOS: brew install redis; conda install -c conda-forge redis-server"


def missing(*names: str) -> tuple[str, ...]:
    """Which of the programs are not on the path?"""
    return tuple(name for name in names if shutil.which(name) is None)


def program(name: str) -> str:
    """The path of a program.

    Raises:
        SourceError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise SourceError(f"{name} is not installed here", source="redis", hint=how_to_get(name))
    return found


def server_version() -> str:
    """The version of the redis-server that is installed here, ``7.0.15``; empty where it does not say.

    Raises:
        SourceError: it is not installed.
    """
    command = [program("redis-server"), "--version"]
    done = run_process(command, cwd=Path("/"), stdin=b"", limits=Limits(10.0, 10_000, NO_END))
    found = re.search(rb"\bv=(\d+(?:\.\d+)+)", done.stdout)
    return found[1].decode("ascii") if found else ""


def is_older(version: str, than: str) -> bool:
    """Is the first two parts of a version less than the other's? Within those the file format does not change."""
    return version_of(version) < version_of(than)
