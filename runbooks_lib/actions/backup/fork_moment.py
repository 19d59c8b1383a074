"""What a server holds on both sides of the moment at which its data is copied.

An RDB file is the image of one moment: the fork. What is read just before and just after it must be in the file, if it
is the same both times; writes that come later, during the seconds of the save, do not matter any more.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable

from runbooks_lib.actions.backup.manifest import Moment, SampledKey
from runbooks_lib.sources.keyspace.sample import Value, random_keys, shares, values_of
from runbooks_lib.sources.rdb.persistence import SaveState, node_of_database, save_state
from runbooks_lib.sources.redis.nodes import ReadNode

#: All of them equal: with 95 % confidence fewer than 0.6 % of all values can differ.
SAMPLE_KEYS = 500


class ForkMoment:
    """Reads one primary before and after its fork.

    Args:
        node: the primary.
        state: as read a moment ago, for the sizes of its databases.
    """

    def __init__(self, node: ReadNode, state: SaveState) -> None:
        self._node = node
        self._keys = {
            number: self._chosen(number, state.databases[number], wanted)
            for number, wanted in shares(state.databases, SAMPLE_KEYS).items()
        }
        self._before: dict[int, list[Value]] = {}
        self._after: dict[int, list[Value]] = {}
        self._states: list[SaveState] = []

    def before(self) -> None:
        """Read it: values first, then the counts, which move faster.

        Raises:
            SourceError: it could not be read.
        """
        self._before = self._values()
        self._states = [save_state(self._node)]

    def closer(self, still_before: Callable[[], bool]) -> None:
        """Read the first side once more, closer to a fork that lets itself be waited for.

        Args:
            still_before: asked when all is read; unless it holds, the earlier reading stays.

        Raises:
            SourceError: it could not be read.
        """
        values, state = self._values(), save_state(self._node)
        if still_before():
            self._before, self._states = values, [state]

    def after(self) -> None:
        """Read it again: the counts first.

        Raises:
            SourceError: it could not be read.
        """
        self._states = [self._states[0], save_state(self._node)]
        self._after = self._values()

    @property
    def result(self) -> Moment:
        """Both readings."""
        first, last = self._states
        changes = last.changes_count - first.changes_count
        if changes < 0:  # somebody else's save ended in between and set the counter back to what came after its fork
            changes = last.changes_count
        # Expired and evicted keys go without being counted as changes.
        changes += max(0, last.removed_count - first.removed_count)
        sample = (
            SampledKey(number, base64.b64encode(key).decode("ascii"), before, after)
            for number, keys in self._keys.items()
            for key, before, after in zip(keys, self._before[number], self._after[number], strict=True)
        )
        return Moment(first.databases, last.databases, changes, tuple(sample))

    def _chosen(self, number: int, keys_count: int, wanted: int) -> tuple[bytes, ...]:
        with contextlib.closing(node_of_database(self._node, number)) as there:
            return random_keys(there, keys_count, at_most=wanted)

    def _values(self) -> dict[int, list[Value]]:
        values = {}
        for number, keys in self._keys.items():
            with contextlib.closing(node_of_database(self._node, number)) as there:
                values[number] = values_of(there, keys)
        return values
