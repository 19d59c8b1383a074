"""What every action offers.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class SetPercentage:
        # a docstring: its first line says what it does

        name: ClassVar[str] = "set_percentage"
        feature: str
        percentage: int

Its fields are its parameters: JSON types (``str``, ``int``, ``float``, ``bool``), checked in ``__post_init__``, which
raises ``UsageError`` and contacts nothing. The class's docstring is its help; its first line says what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.model import Evidence
from runbooks_lib.records.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did.

    Attributes:
        account: what was changed, in numbers, for people.
        data: the same for ``read_back`` and the ledger, JSON types.
        stopped: why it ended before its end (Ctrl-C, latency, a bound); empty when it did not.
        undo_lost: why the plan's undo no longer holds after this write; empty when it does.
    """

    account: tuple[Evidence, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = ""
    undo_lost: str = ""


@runtime_checkable
class AsksLedger(Protocol):
    """An action with conditions that only the ledger can answer: who rolls what out already."""

    def ledger_guards(self, ledger: Ledger, environment: str) -> tuple[Guard, ...]:
        """Conditions, judged on what the ledger says now; asked again under the lock.

        Raises:
            RecordError: the ledger could not be read.
        """
        ...


class Action(Protocol):
    """One change to a site, with its parameters."""

    name: ClassVar[str]

    def resources(self) -> tuple[str, ...]:
        """What is locked while it is applied (``flag:ENHANCED_CACHE``): sorted, known without reading."""
        ...

    def plan(self, site: Site) -> Plan:
        """Read, judge, and say what would be done. Never writes: the site that it is given cannot.

        Raises:
            SourceError: something that the plan needs could not be read.
            RefusedError: what was asked for is never done (a pattern of ``*``).
        """
        ...

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """Do it. Called once, after every check, with the intention in the ledger already.

        A long write tells ``site.progress`` between its steps, and ends in good order on KeyboardInterrupt with an
        exact account.

        Raises:
            RefusedError: nothing at all was changed.
            Exception: anything else means that something may have changed.
        """
        ...

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """Look again, on new connections and in new processes: is it as the plan said?

        Also called long afterwards, to check an intention whose outcome was never written; ``written`` is empty then.

        Raises:
            SourceError: it could not be read.
        """
        ...
