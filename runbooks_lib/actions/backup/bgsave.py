"""BGSAVE, awaited until it is known how it ended.

``LASTSAVE`` proves nothing: it has a resolution of one second, so it may stand still although a save ended, and it
never moves when one fails. ``rdb_saves`` counts failed saves as well. So all four are looked at: no save in progress
any more, one more counted, the last one good, and its time not before ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.backup.choice import WHAT_INSTEAD
from runbooks_lib.actions.backup.fork_moment import ForkMoment
from runbooks_lib.actions.site import Progress, WriteNode
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.sources.rdb.persistence import SaveRules, SaveState, Saving, save_state, server_seconds
from runbooks_lib.sources.redis.nodes import ReadNode

_SHORTEST_PATIENCE_SECONDS = 60.0
_LONGEST_PATIENCE_SECONDS = 4 * 3600.0
#: Where there was no save to go by: a slow disk under load.
_SLOWEST_BYTES_PER_SECOND = 10e6
_POLL_SECONDS = (0.02, 0.5)
_BUSY_AGAIN = 3
#: Redis's own words when a save or a rewrite began since we looked.
_BUSY = ("in progress", "child process", "AOF")


def patience_seconds(facts: Saving) -> float:
    """How long a save may take: three times the last one, or by the amount of data where there was none."""
    if facts.state.last_took_seconds:
        expected = 3.0 * facts.state.last_took_seconds
    else:
        expected = facts.dataset_bytes / _SLOWEST_BYTES_PER_SECOND
    return min(max(expected, _SHORTEST_PATIENCE_SECONDS), _LONGEST_PATIENCE_SECONDS)


@dataclass(frozen=True, slots=True)
class Saver:
    """One primary that is made to save.

    Attributes:
        node: for reading.
        writer: the same primary for writing.
        rules: how it is configured, to say what a failure means.
        patience_seconds: for a save that runs already, and again for our own.
        progress: told while it runs; may raise.
    """

    node: ReadNode
    writer: WriteNode
    rules: SaveRules
    patience_seconds: float
    progress: Callable[[Progress], None]

    def save(self, moment: ForkMoment) -> None:
        """Save, and return when the file is there. A save that runs already is waited for: it may be too old.

        Args:
            moment: read on both sides of the fork; BGSAVE answers right after it.

        Raises:
            RefusedError: Redis did not begin to save: nothing changed.
            MayHaveChangedError: the save failed, was not over in time, or the server went away.
        """
        for attempts_left in reversed(range(_BUSY_AGAIN)):
            before, started_seconds = self._idle(), server_seconds(self.node)
            moment.before()
            try:
                self.writer.write("BGSAVE")
                break
            except RefusedError as error:
                if attempts_left and any(word in error.message for word in _BUSY):
                    continue  # somebody else's save began in between
                raise self._not_begun(before, error) from error
        try:
            moment.after()
            after = self._finished(before)
        except SourceError as error:
            raise MayHaveChangedError(
                f"{self.node.shown} went away while it was saving: {error.message}",
                hint="its last complete file is untouched, since a save writes to a temporary one; look why it ended, "
                f"and whether it is up again. {error.hint}",
            ) from error
        if not after.last_ok or after.last_saved_at_seconds < started_seconds:
            raise MayHaveChangedError(f"the save on {self.node.shown} failed", hint=what_a_failure_means(self.rules))

    def _idle(self) -> SaveState:
        """Until no save and no AOF rewrite runs."""
        what = f"waiting for a save that runs already on {self.node.shown}"
        state = self._when(lambda state: not (state.running or state.rewriting), what)
        if state.running or state.rewriting:
            raise RefusedError(
                f"{'a save' if state.running else 'an AOF rewrite'} has been running on {self.node.shown} for more "
                f"than {units.duration(self.patience_seconds)}",
                hint="look at its disk (INFO persistence: current_save_keys_processed), then back up again",
            )
        return state

    def _finished(self, before: SaveState) -> SaveState:
        """Until our save has ended, well or badly."""
        counted = before.saves_count or 0

        def is_over(state: SaveState) -> bool:
            return not state.running and (state.saves_count is None or state.saves_count > counted)

        state = self._when(is_over, f"saving keys on {self.node.shown}")
        if not is_over(state):
            raise MayHaveChangedError(
                f"{self.node.shown} was still saving after {units.duration(self.patience_seconds)}: "
                f"{state.processed_count:,} of {state.total_count:,} keys",
                hint="the save goes on by itself; look at its disk, and at INFO persistence for its end",
            )
        return state

    def _when(self, holds: Callable[[SaveState], bool], what: str) -> SaveState:
        """Look again and again until it holds; the last look, where it does not in time."""
        ends, pause = time.monotonic() + self.patience_seconds, _POLL_SECONDS[0]
        while not holds(state := save_state(self.node)) and time.monotonic() < ends:
            self.progress(Progress(state.processed_count, state.total_count or None, what))
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_SECONDS[1])
        return state

    def _not_begun(self, before: SaveState, error: RefusedError) -> RefusedError | MayHaveChangedError:
        """A refused BGSAVE changed nothing, unless the fork itself failed: that counts as a failed save."""
        try:
            failed_now = before.last_ok and not save_state(self.node).last_ok
        except SourceError:
            failed_now = False
        if failed_now:
            hint = what_a_failure_means(self.rules)
            return MayHaveChangedError(f"{self.node.shown} could not fork to save", hint=hint)
        if "does not allow" in error.message or "does not offer" in error.message:
            return RefusedError(error.message, hint=f"try method=replication. {WHAT_INSTEAD}")
        return error


def what_a_failure_means(rules: SaveRules) -> str:
    """What the server does after a failed save, and the way out."""
    if not rules.failure_stops_writes:
        return "writes go on; free disk space where it saves, read its log, and back up again"
    return (
        "it now refuses writes (SET, DEL, even PING fail with MISCONF) until a save succeeds: free disk space where it "
        "saves and send BGSAVE, or at once: CONFIG SET stop-writes-on-bgsave-error no"
    )
