"""One change to every key that matches a glob: in small steps, at a pace that nobody notices, with an exact account.

SCAN gives some names; the next SCAN is sent, and right behind it the change for these names, so that the server is at
work while the change is being packed, and serves others between the two. Never a transaction and never one command
over everything: those stop the server for everybody for over a second. Every reply
counts what it changed, so the account is exact whenever and however the sweep ends; only a broken connection leaves one
step of at most 100 keys unknown, and then that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis import exceptions

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys.interrupts import held_interrupts
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.site import Progress, WritableSite, WriteNode
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.pacing import Pace
from runbooks_lib.sources.keyspace.scan import Reservoir, ping_seconds
from runbooks_lib.sources.redis.nodes import Command, ReadNode
from runbooks_lib.sources.redis.replies import parse_scan

#: Names that are kept, to look at them again when the result is read back.
SAMPLE_COUNT = 100
_PROGRESS_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is done, and to which keys.

    Attributes:
        pattern: which keys; those that it spares are left alone.
        commands: the change for some names; every reply is the number of keys that it changed.
        max_keys: never more than so many keys are changed.
        verb: past participle, for people: ``deleted``.
    """

    pattern: KeyPattern
    commands: Callable[[Sequence[bytes]], list[Command]]
    max_keys: int
    verb: str

    def may_be_kept(self, name: bytes) -> bool:
        """May the name stand in the ledger? That of a session lets its holder in."""
        return self.pattern.names.tellable(name) == name


@dataclass(slots=True)
class Tally:
    """How far a sweep is. ``matched`` are names that SCAN gave, ``changed`` and ``spared`` those of them."""

    matched: int = 0
    changed: int = 0
    spared: int = 0
    slowed: int = 0
    stopped: str = ""
    sample: Reservoir = field(default_factory=lambda: Reservoir(SAMPLE_COUNT))
    began: float = field(default_factory=time.monotonic)

    def written(self, sweep: Sweep) -> Written:
        """The account, for people and as data."""
        seconds = time.monotonic() - self.began
        rate = f", {units.per_second(self.changed / seconds)}" if self.changed else ""
        spared = (
            Evidence("left alone: another site's, or not named by the pattern", units.exactly(self.spared, "key")),
        )
        slowed = (Evidence("slowed down for others", units.exactly(self.slowed, "time")),)
        return Written(
            account=(
                Evidence(
                    sweep.verb,
                    f"{units.exactly(self.changed, 'key')} in {units.seconds(seconds)}{rate}",
                    "replies of Redis",
                ),
                Evidence("names looked at that match", f"{self.matched:,}", "SCAN"),
                *(spared if self.spared else ()),
                *(slowed if self.slowed else ()),
            ),
            data={
                "changed": self.changed,
                "matched": self.matched,
                "spared": self.spared,
                "complete": not self.stopped,
                "sample": [packed(name) for name in self.sample.kept if sweep.may_be_kept(name)],
            },
            stopped=f"{self.stopped}; {units.exactly(self.changed, 'key')} {sweep.verb}" if self.stopped else "",
        )


def carry_out(sweep: Sweep, site: WritableSite) -> Written:
    """Change every key that matches, on every primary.

    Returns:
        The exact account; ``stopped`` says why it ended early: Ctrl-C, the bound, the server's latency, or an error
        that the server answered with after some keys had been changed.

    Raises:
        RefusedError: nothing at all was changed.
        MayHaveChangedError: the connection broke, or the lock was lost; the message holds the account up to there.
    """
    tally = Tally()
    with held_interrupts() as interrupted:
        teller = _Teller(sweep, site, tally, interrupted)
        with nothing_sent_yet():
            nodes = site.nodes
        for node in nodes:
            if not tally.stopped:
                _sweep_node(sweep, site, node, teller)
    return tally.written(sweep)


@contextmanager
def nothing_sent_yet() -> Iterator[None]:
    """What cannot be read before the first change is sent is a refusal: nothing was changed."""
    try:
        yield
    except SourceError as error:
        raise RefusedError(error.message, hint=error.hint) from error


def packed(name: bytes) -> str:
    """A name as text that gives it back exactly (``unpacked``), whatever its bytes are."""
    return name.decode("latin-1")


def unpacked(text: str) -> bytes:
    """The name that ``packed`` was given."""
    return text.encode("latin-1", "ignore")


class _Teller:
    """Between two steps: tells how far it is, and whether to go on."""

    def __init__(self, sweep: Sweep, site: WritableSite, tally: Tally, interrupted: Callable[[], str]) -> None:
        self.tally = tally
        self._sweep, self._site, self._interrupted = sweep, site, interrupted
        self._told_at = float("-inf")

    def may_go_on(self, *, more: bool) -> bool:
        """Where not, ``tally.stopped`` says why.

        Args:
            more: there is another key to change.
        """
        if by := self._interrupted():
            self.tally.stopped = f"interrupted by {by}"
        elif more and self.tally.changed >= self._sweep.max_keys:
            self.tally.stopped = f"the bound of {self._sweep.max_keys:,} keys is reached and more keys match"
        else:
            self._tell()
        return not self.tally.stopped

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_EVERY_SECONDS:
            return
        self._told_at = now
        try:
            self._site.progress(Progress(self.tally.changed, None, f"keys {self._sweep.verb}"))
        except KeyboardInterrupt:
            self.tally.stopped = f"interrupted by {self._interrupted() or 'Ctrl-C'}"
        except MayHaveChangedError as error:
            raise _with_account(error, self._sweep, self.tally, in_flight=0) from error


class _NodeSweep:
    """All steps on one primary."""

    def __init__(self, sweep: Sweep, writer: WriteNode, pace: Pace, teller: _Teller) -> None:
        self._sweep, self._writer, self._pace, self._teller = sweep, writer, pace, teller
        self._tally = teller.tally
        self._cursor: int | None = None
        self._pending: list[bytes] = []

    def run(self) -> None:
        while (self._pending or self._cursor != 0) and self._teller.may_go_on(more=bool(self._pending)):
            began = time.monotonic()
            self._step()
            self._pace.after(time.monotonic() - began)
            self._tally.stopped = self._tally.stopped or self._pace.stopped
        self._tally.slowed += self._pace.slowed_count

    def _step(self) -> None:
        """Change the names that are waiting, while the server already looks for the next ones."""
        most = self._sweep.max_keys - self._tally.changed
        chosen, self._pending = self._pending[:most], self._pending[most:]
        changes = self._sweep.commands(chosen) if chosen else []
        scan = [] if self._pending or self._cursor == 0 else [self._scan()]
        replies = self._sent(changes, scan, in_flight=len(chosen))
        _count(replies[len(scan) :], chosen, self._tally)
        for reply in replies[: len(scan)]:
            if isinstance(reply, exceptions.ResponseError):
                _refuse(reply, self._tally)
            else:
                self._cursor, found = parse_scan(reply)
                self._pending = self._to_change([name for name in found if isinstance(name, bytes)])

    def _scan(self) -> Command:
        return ("SCAN", self._cursor or 0, "MATCH", self._sweep.pattern.match, "COUNT", self._pace.step)

    def _sent(self, changes: list[Command], scan: list[Command], *, in_flight: int) -> list[object]:
        """The replies; none, and the sweep stopped, where the next connection was refused after keys were changed."""
        try:
            return self._writer.write_many(changes, ahead=scan)
        except RefusedError as error:
            if not self._tally.changed:
                raise
            self._tally.stopped = error.message
            return []
        except MayHaveChangedError as error:
            raise _with_account(error, self._sweep, self._tally, in_flight=in_flight) from error
        except KeyboardInterrupt as error:
            problem = MayHaveChangedError("it was interrupted a second time, while it waited for Redis")
            raise _with_account(problem, self._sweep, self._tally, in_flight=in_flight) from error

    def _to_change(self, names: list[bytes]) -> list[bytes]:
        names = list(dict.fromkeys(names))
        self._tally.matched += len(names)
        pattern = self._sweep.pattern
        kept = [name for name in names if not pattern.spares(name)]
        self._tally.spared += len(names) - len(kept)
        return kept


def _sweep_node(sweep: Sweep, site: WritableSite, node: ReadNode, teller: _Teller) -> None:
    tally = teller.tally
    try:
        pace = Pace(lambda: ping_seconds(node), bound_seconds=site.policy.redis_latency.warn)
        _NodeSweep(sweep, site.writer(node), pace, teller).run()
    except SourceError as error:
        # A PING or a SCAN went wrong, not a change: every change that was sent has been answered.
        if not tally.changed:
            raise RefusedError(error.message, hint=error.hint) from error
        tally.stopped = error.message


def _count(replies: Sequence[object], chosen: Sequence[bytes], tally: Tally) -> None:
    """Add up what was changed. An error reply changed nothing, and ends the sweep."""
    if not replies:
        return
    tally.changed += sum(reply for reply in replies if isinstance(reply, int))
    each = len(replies) == len(chosen)
    tally.sample.add([name for name, reply in zip(chosen, replies, strict=True) if reply == 1] if each else chosen)
    refused = next((reply for reply in replies if isinstance(reply, exceptions.ResponseError)), None)
    if refused is not None:
        _refuse(refused, tally)


def _refuse(error: exceptions.ResponseError, tally: Tally) -> None:
    """The server said no: refused where nothing was changed yet, else the end of the sweep."""
    message = f"Redis refused: {one_line(str(error))}"
    if not tally.changed:
        raise RefusedError(message, hint="look at the server's role and at this user's rights (ACL GETUSER)") from error
    tally.stopped = tally.stopped or message


def _with_account(error: MayHaveChangedError, sweep: Sweep, tally: Tally, *, in_flight: int) -> MayHaveChangedError:
    """The same error with what is known: what was changed before it, and what is not known."""
    unknown = f"; of {units.exactly(in_flight, 'more key')} that is not known" if in_flight else ""
    return MayHaveChangedError(
        f"{error.message}; before that {units.exactly(tally.changed, 'key')} {sweep.verb}{unknown}", hint=error.hint
    )
