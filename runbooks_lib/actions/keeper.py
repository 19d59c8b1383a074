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
        self._renewed_at = time.monotonic()

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

    def progress(self, progress: Progress) -> None:
        """Between two steps of a write.

        Raises:
            MayHaveChangedError: the lock was lost, so the write must end here.
        """
        if self.lost is not None:
            raise MayHaveChangedError(self.lost.message, hint=self.lost.hint) from self.lost
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
            try:
                self._renew()
            except RefusedError as error:
                self.lost = error
            except RecordError as error:
                if time.monotonic() - self._renewed_at > self._desk.lease_seconds:
                    self.lost = RefusedError(f"the lock ran out: {error.message}", hint=error.hint)

    def _renew(self) -> None:
        started = time.monotonic()
        self._leases.renew(self.held, seconds=self._desk.lease_seconds)
        self._renewed_at = started
