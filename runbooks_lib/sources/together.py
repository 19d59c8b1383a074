"""Independent reads side by side, under one deadline, in threads that cannot keep the process from ending.

``concurrent.futures`` joins its threads when the interpreter exits, so one hung read would keep an operator's shell;
the threads here are daemons and a late answer is dropped.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from runbooks_lib.errors import RunbookError, SourceError
from runbooks_lib.model import Kind, Unreadable
from runbooks_lib.redaction import one_line, redact

logger = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Read(Generic[T_co]):
    """One read to carry out.

    Attributes:
        what: as people say it (``alerts``, ``health endpoint``).
        source: the system that is read.
        call: carries the read out; gives the fact or raises ``SourceError``.
    """

    what: str
    source: str
    call: Callable[[], T_co]


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """What a thread came back with: a value, or what it raised."""

    name: str
    value: T | None
    error: BaseException | None


def read_together(
    reads: Mapping[str, Read[T]], *, deadline_seconds: float, secrets: Sequence[str] = ()
) -> dict[str, T | Unreadable]:
    """Carry out all reads at once; what gave no fact in time is ``Unreadable`` in its place.

    A ``SourceError`` becomes its reason, hint and kind; no answer in time is a system that is absent. Any other
    exception is a bug of the library: it is named in the reason, so that nobody takes it for a fault of the site, and
    its traceback is logged at debug level.

    Args:
        reads: name → read.
        deadline_seconds: for all of them together, over 0.
        secrets: values to remove from the reasons (``environment.secrets``).

    Returns:
        name → fact or ``Unreadable``, in the order of ``reads``. Never raises for a read.
    """
    if not deadline_seconds > 0:
        raise ValueError(f"deadline_seconds must be over 0, not {deadline_seconds}")
    arrived: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()
    ends = time.monotonic() + deadline_seconds
    for name, read in reads.items():
        _start(name, read.call, arrived)
    outcomes: dict[str, _Outcome[T]] = {}
    while len(outcomes) < len(reads):
        try:
            outcome = arrived.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        outcomes[outcome.name] = outcome
    return {name: _fact(read, outcomes.get(name), deadline_seconds, secrets) for name, read in reads.items()}


class Begun(Generic[T]):
    """A read that is under way in a thread of its own, to be asked for later or not at all.

    Args:
        read: is begun at once.
        secrets: values to remove from the reason (``environment.secrets``).
    """

    def __init__(self, read: Read[T], *, secrets: Sequence[str] = ()) -> None:
        self._read = read
        self._secrets = secrets
        self._arrived: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()
        _start(read.what, read.call, self._arrived)

    def fact(self, seconds: float) -> T | Unreadable:
        """What was read, or why it was not; waits at most so long. Ask once."""
        try:
            outcome = self._arrived.get(timeout=max(0.0, seconds))
        except queue.Empty:
            outcome = None
        return cast("T | Unreadable", _fact(self._read, outcome, seconds, self._secrets))


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """All results, in order. Every call must have a deadline of its own, because this waits for them.

    Raises:
        BaseException: what the first call to fail raised; the others are not waited for.
    """
    arrived: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()
    for number, call in enumerate(calls):
        _start(str(number), call, arrived)
    values: dict[int, T] = {}
    while len(values) < len(calls):
        outcome = arrived.get()
        if outcome.error is not None:
            raise outcome.error
        values[int(outcome.name)] = cast("T", outcome.value)
    return [values[number] for number in range(len(calls))]


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of ``call``, if it comes in time; the call itself is not ended.

    For calls whose own timeouts do not cover everything: looking up a name, an answer that arrives byte by byte.

    Raises:
        TimeoutError: there was no result after ``seconds``. What ``call`` raises is raised here as well.
    """
    arrived: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()
    _start("within", call, arrived)
    try:
        outcome = arrived.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no result within {seconds:g} s") from None
    if outcome.error is not None:
        raise outcome.error
    return cast("T", outcome.value)


def _start(name: str, call: Callable[[], T], arrived: queue.SimpleQueue[_Outcome[T]]) -> None:
    def work() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - a SystemExit would end the thread without a word
            arrived.put(_Outcome(name, None, error))
        else:
            arrived.put(_Outcome(name, value, None))

    threading.Thread(target=work, name=f"read-{name}", daemon=True).start()


def _fact(read: Read[Any], outcome: _Outcome[Any] | None, seconds: float, secrets: Sequence[str]) -> Any:
    """The value, or ``Unreadable``; nothing has arrived where there is no outcome."""
    if outcome is None:
        reason, hint = f"no answer within {seconds:g} s", f"is {read.source} reachable from here?"
        return Unreadable(read.source, read.what, reason, hint, Kind.ABSENT)
    if outcome.error is not None:
        return _unreadable(read, outcome.error, secrets)
    return outcome.value


def _unreadable(read: Read[Any], error: BaseException, secrets: Sequence[str]) -> Unreadable:
    if isinstance(error, RunbookError):
        source, kind = (error.source, error.kind) if isinstance(error, SourceError) else (read.source, Kind.WRONG)
        return Unreadable(source, read.what, redact(error.message, secrets), redact(error.hint, secrets), kind)
    text = "".join(traceback.format_exception(error))
    logger.debug("reading %s failed with a bug:\n%s", read.what, redact(text, secrets))
    reason = one_line(f"bug in the library: {type(error).__name__}: {error}", secrets)
    hint = "not a fault of the site: report it; logging at debug level shows the traceback"
    return Unreadable(read.source, read.what, reason, hint, Kind.BUG)
