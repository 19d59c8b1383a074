"""The locks of one change, kept alive while it lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.site import Progress
from runbooks_lib.errors import MayHaveChangedError, RecordError, RefusedError
from runbooks_lib.records.leases import Lease, Leases
from runbooks_lib.target import places_of

#: So many renewals may fail before a lock runs out.
_BEATS = 3
_JOIN_SECONDS = 2.0


@contextlib.contextmanager
def locked(desk: Desk, resources: Sequence[str], purpose: str) -> Iterator[Keeper]:
    """Hold the locks until the block ends; those that the desk holds already stay afterwards.

    Raises:
        LeaseHeldError: somebody else holds one of them.
        RecordError: the ledger could not be written.
    """
    leases = Leases(desk.ledger)
    own = {lease.resource: lease for lease in desk.leases if lease.environment == desk.environment.name}
    taken = leases.acquire(
        environment=desk.environment.name,
        resources=[resource for resource in resources if resource not in own],
        holder=desk.run_id,
        operator=desk.operator,
        seconds=desk.lease_seconds,
        purpose=purpose,
        places=places_of(desk.environment),
    )
    keeper = Keeper(desk, leases, (*taken, *(own[resource] for resource in resources if resource in own)))
    try:
        with keeper.beating():
            yield keeper
    finally:
        # Where the ledger cannot be written they run out by themselves.
        with contextlib.suppress(RecordError):
            leases.release(taken)


class Keeper:
    """Renews locks in the background, and says when they are lost. Made by ``locked``.

    Attributes:
        held: the locks.
        lost: why they are ours no more; None while they are.
    """

    def __init__(self, desk: Desk, leases: Leases, held: tuple[Lease, ...]) -> None:
        self.held = held
        self.lost: RefusedError | None = None
        self._desk = desk
        self._leases = leases
        self._looking = threading.Lock()
        self._renewed_at = _clocks()

    @property
    def fencing(self) -> dict[str, int]:
        """Resource → fencing number."""
        return {lease.resource: lease.fencing_number for lease in self.held}

    def require(self) -> None:
        """Renew now, right before a write.

        Raises:
            RefusedError: somebody else holds a lock by now.
            RecordError: the ledger could not be written, so nobody can tell.
        """
        if self.lost is None:
            try:
                self._renew()
            except RefusedError as error:
                self.lost = error
        if self.lost is not None:
            raise self.lost

    def allowed(self) -> None:
        """Directly before anything is sent: is the lock certainly ours? Costs nothing while it was renewed lately.

        A process that was stopped (SIGSTOP, a laptop's lid, a frozen container) wakes up here before its background
        thread has looked: the clock tells.

        Raises:
            RefusedError: somebody else holds the lock by now, or it ran out and the ledger cannot be asked.
        """
        if self.lost is None and self._age_seconds() > self._desk.lease_seconds / _BEATS:
            self._look()
        if self.lost is not None:
            raise self.lost

    def progress(self, progress: Progress) -> None:
        """Between two steps of a write.

        Raises:
            MayHaveChangedError: the lock was lost, so the write must end here.
        """
        try:
            self.allowed()
        except RefusedError as error:
            raise MayHaveChangedError(error.message, hint=error.hint) from error
        self._desk.on_progress(progress)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Renew in the background: one command of a write, or a read-back, may take longer than a lock lasts."""
        ended = threading.Event()
        beat = threading.Thread(target=self._beat, args=(ended,), name="runbooks-lease", daemon=True)
        beat.start()
        try:
            yield
        finally:
            ended.set()
            beat.join(_JOIN_SECONDS)

    def _beat(self, ended: threading.Event) -> None:
        while self.lost is None and not ended.wait(self._desk.lease_seconds / _BEATS):
            self._look()

    def _look(self) -> None:
        """Renew; where that fails, the lock counts as lost when it is somebody else's or its time is over."""
        try:
            if self._looking.acquire(timeout=self._desk.lease_seconds):
                try:
                    self._renew()
                finally:
                    self._looking.release()
        except RefusedError as error:
            self.lost = error
            return
        except RecordError as error:
            problem, hint = error.message, error.hint
        else:
            problem, hint = "renewing it took too long", "see runbooks locks and runbooks log, then plan again"
        if self._age_seconds() >= self._desk.lease_seconds:
            self.lost = RefusedError(f"the lock ran out: {problem}", hint=hint)

    def _renew(self) -> None:
        started = _clocks()
        self._leases.renew(self.held, seconds=self._desk.lease_seconds)
        self._renewed_at = started

    def _age_seconds(self) -> float:
        """Since the last renewal began; by the clock that got on furthest."""
        return max(now - then for now, then in zip(_clocks(), self._renewed_at, strict=True))


def _clocks() -> tuple[float, ...]:
    """A clock that goes on while the machine sleeps; where there is none, the wall clock beside the usual one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return (time.clock_gettime(time.CLOCK_BOOTTIME),)
    return (time.monotonic(), time.time())
