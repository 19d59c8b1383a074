"""A dump over the replication protocol, where the host's files are out of reach: ``redis-cli --rdb``.

The server treats it as a new replica: it forks, streams the image, and counts a full resync. It needs the rights
``+sync +replconf``; without REPLCONF redis-cli falls back to a way that writes a file on the server's own disk.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runbooks_lib import units
from runbooks_lib.actions.backup.fork_moment import ForkMoment
from runbooks_lib.actions.site import Progress
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.rdb.persistence import Feeding, feeding
from runbooks_lib.sources.redis.client import Address
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.programs import program

#: Until a fork is seen, and afterwards.
_POLL_SECONDS = (0.02, 0.1)
#: While the fork is waited for, its first side is read again so often, and never for more than a part of the time.
_CLOSER_SECONDS, _CLOSER_PART = 0.5, 0.2
#: By default a server waits for more replicas before it feeds one (repl-diskless-sync-delay).
FEED_DELAY_SECONDS = 5.0
_NOT_LET_IN = ("NOPERM", "unknown command", "NOAUTH", "WRONGPASS", "Could not connect", "Connection refused")


@dataclass(frozen=True, slots=True)
class Dump:
    """One dump of one primary.

    Attributes:
        node: the primary.
        target: the file that is made, readable by its owner only; it does not exist yet.
        patience_seconds: for all of it.
        progress: told how many bytes have come; may raise.
    """

    node: ReadNode
    target: Path
    patience_seconds: float
    progress: Callable[[Progress], None]

    def run(self, moment: ForkMoment) -> None:
        """Write the primary's data into the file.

        Args:
            moment: read on both sides of the fork, which is seen in INFO.

        Raises:
            RefusedError: Redis did not let it begin: nothing changed.
            MayHaveChangedError: it broke off, or was not over in time; the server keeps nothing but a counted resync.
            SourceError: redis-cli is not installed, or Redis could not be read.
        """
        command, environment = _command(self.node.address, self.target.name)
        moment.before()
        log = self.target.with_name(self.target.name + ".log")
        with log.open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - an argument list; the password is not in it
                command,
                cwd=self.target.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                umask=0o077,
            )
        try:
            self._watch(process, _Fork(self.node, moment))
        except SourceError as error:
            raise MayHaveChangedError(
                f"{self.node.shown} could not be read while it was dumped: {error.message}", hint=error.hint
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            words = log.read_text(encoding="utf-8", errors="backslashreplace")
            log.unlink()
        _require_done(process.returncode, words, self.node, self.target)

    def _watch(self, process: subprocess.Popen[bytes], fork: _Fork) -> None:
        ends, size = time.monotonic() + self.patience_seconds, 0
        while process.poll() is None:
            fork.look(data_came=size > 0)
            if time.monotonic() > ends:
                raise MayHaveChangedError(
                    f"the dump of {self.node.shown} was not over after {units.duration(self.patience_seconds)}",
                    hint="it was ended; look at the network and at client-output-buffer-limit replica",
                )
            size = self.target.stat().st_size if self.target.exists() else 0
            self.progress(Progress(size, None, f"bytes received from {self.node.shown}"))
            time.sleep(fork.pause_seconds)
        if process.returncode == 0:
            fork.look(data_came=True)  # it may have been too quick to be seen


@dataclass(slots=True)
class _Fork:
    """The fork that the dump is the image of, told from those that others cause.

    A server lets a new replica wait (for others, or for a save that runs already), and anybody may save meanwhile. So
    each fork that is seen is taken for ours until another one is seen before the data comes; and as long as ours is
    certainly still to come, the first side is read again: what was written while it waited must not count as
    written during the fork.
    """

    node: ReadNode
    moment: ForkMoment
    _certain: bool = False
    _forks: tuple[str, ...] = ()
    _closer_at: float = field(default_factory=time.monotonic)

    @property
    def pause_seconds(self) -> float:
        """Until the next look: short while a fork may begin at any moment."""
        return _POLL_SECONDS[bool(self._forks)]

    def look(self, *, data_came: bool) -> None:
        """Look once, and read the side of the fork that is to be read now.

        Raises:
            SourceError: it could not be read although the fork is over.
        """
        if self._certain:
            return
        try:
            seen = feeding(self.node)
            over = data_came or seen.begun
            if seen.waits and not over:
                self._closer(seen)
            elif over or seen.running:
                self._after(seen)
                self._certain = over
        except SourceError:
            if data_came:
                raise
            # What became of the dump is told by redis-cli.

    def _closer(self, seen: Feeding) -> None:
        started = time.monotonic()
        if started < self._closer_at:
            return
        self._forks = ()  # what was taken for our fork was none: its second side must be read anew
        self.moment.closer(lambda: (now := feeding(self.node)).waits and now.forks == seen.forks)
        ended = time.monotonic()
        self._closer_at = ended + max(_CLOSER_SECONDS, (ended - started) / _CLOSER_PART)

    def _after(self, seen: Feeding) -> None:
        """Read the second side, unless it was read since the last fork."""
        if self._forks != seen.forks:
            self.moment.after()
            self._forks = seen.forks


def _command(address: Address, file_name: str) -> tuple[list[str], dict[str, str]]:
    """redis-cli's arguments and environment. The password is in neither the arguments nor a file."""
    options = address.options
    command = [program("redis-cli"), "--no-auth-warning"]
    if options.get("path"):
        command += ["-s", str(options["path"])]
    else:
        command += ["-h", str(options.get("host", "localhost")), "-p", str(options.get("port", 6379))]
    if options.get("username"):
        command += ["--user", str(options["username"])]
    if address.tls:
        command.append("--tls")
        for ours, theirs in (("ssl_ca_certs", "--cacert"), ("ssl_certfile", "--cert"), ("ssl_keyfile", "--key")):
            command += [theirs, str(options[ours])] if options.get(ours) else []
        command += ["--insecure"] if str(options.get("ssl_cert_reqs", "")).lower() in ("none", "cert_none") else []
    environment = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
    if address.has_password:
        environment["REDISCLI_AUTH"] = str(options["password"])
    return [*command, "--rdb", f"./{file_name}"], environment


def _require_done(code: int | None, words: str, node: ReadNode, target: Path) -> None:
    if code == 0 and target.exists() and "REPLCONF" in words and "error" not in words:
        return
    last = one_line(words.strip().rpartition("\n")[2], node.address.secrets, longest=200)
    if any(word in words for word in _NOT_LET_IN):
        raise RefusedError(
            f"{node.shown} does not let redis-cli dump its data: {last}",
            hint="ask for the rights +sync +replconf; a managed service forbids them: take its own snapshot instead",
        )
    raise MayHaveChangedError(
        f"the dump of {node.shown} broke off (redis-cli ended with {code}): {last}",
        hint="the server holds nothing of it but a counted resync; look whether it is up, and at its log",
    )
