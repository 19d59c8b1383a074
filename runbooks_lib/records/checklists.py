"""Checklists of deployments in the ledger: what was measured, signed and waived, by whom and when.

::

    checklists = Checklists(ledger, "production", environment.secrets)
    checklists.measured("2026-11-23", "pre.flag", status=ItemStatus.DONE, text="gradual at 0 %", who=who)
    checklists.sign("2026-11-23", "deploy.staging", by="Anna Ng", note="build 812", who=who)
    checklists.read("2026-11-23")

Whatever is written here only adds events; a checklist is what they add up to, whoever wrote them, and however long ago.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbooks_lib.checklist import DEPLOY, ITEMS, Checklist, Entry, How, Item, ItemStatus, Phase, item_of, release_named
from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.checklist_rollout import rollout_entries
from runbooks_lib.records.event import Event, moment_of
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import Account, account_in, this_account
from runbooks_lib.records.people import unfit
from runbooks_lib.redaction import one_line, redact, redact_value

ITEM = "checklist.item"
_LONGEST_TEXT = 2_000
_IDS = frozenset(item.id for item in ITEMS)


@dataclass(frozen=True, slots=True)
class Who:
    """Who writes: the operator, in which run, from which account of the operating system."""

    operator: str
    run_id: str
    account: Account = field(default_factory=this_account)


class Checklists:
    """The checklists of one environment.

    Args:
        ledger: of events.
        environment: the configured environment.
        secrets: values to remove from evidence, notes and reasons; longest first.
    """

    def __init__(self, ledger: Ledger, environment: str, secrets: Sequence[str] = ()) -> None:
        self._ledger, self._environment = ledger, environment
        self._secrets = tuple(secrets)

    def read(self, release: str) -> Checklist:
        """Everything that is known of one release; without entries, where nothing was ever written.

        What the campaigns say that began between its deployment and that of the next release belongs to it.

        Raises:
            UsageError: that can be no release's name.
            RecordError: the ledger could not be read.
        """
        release_named(release)
        found = [(event.payload.get("release"), entry) for event in self._events() if (entry := _entry(event))]
        own = Checklist(self._environment, release, tuple(entry for name, entry in found if name == release))
        since = own.deployed_at
        if since is None:
            return own
        others = [entry.at for name, entry in found if name != release and entry.item == DEPLOY and entry.at > since]
        campaigns = Campaigns(self._ledger).all(self._environment)
        rollout = rollout_entries(campaigns, since=since, until=min(others, default=None))
        # By time: a waiver of a rollout that failed comes after its end.
        merged = sorted((*own.entries, *rollout), key=lambda entry: entry.at) if rollout else own.entries
        return Checklist(self._environment, release, tuple(merged))

    def releases(self) -> tuple[str, ...]:
        """The releases that have a checklist here, the one that was worked on last at the end.

        Raises:
            RecordError: the ledger could not be read.
        """
        names = (event.payload.get("release") for event in self._events())
        # The last place of each counts.
        found = dict.fromkeys(reversed([name for name in names if isinstance(name, str)]))
        return tuple(found)[::-1]

    def measured(  # noqa: PLR0913 - what and who; all but the first two are keywords
        self,
        release: str,
        item: str,
        *,
        status: ItemStatus,
        text: str,
        who: Who,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what a notebook found.

        Raises:
            UsageError: the item is a person's, or there is no such item or release.
            RecordError: the ledger could not be written; nothing was noted.
        """
        if not item_of(item).measured:
            raise UsageError(f"{item} is signed off by a person", hint="runbooks checklist RELEASE --sign …")
        payload = {"status": status, "how": How.MEASURED, "text": text, "values": dict(values or {})}
        self._append(release, item, payload, who)

    def sign(  # noqa: PLR0913 - what and who; all but the first two are keywords
        self,
        release: str,
        item: str,
        *,
        by: str,
        note: str,
        who: Who,
        status: ItemStatus = ItemStatus.DONE,
    ) -> None:
        """Note that a person says that an item is done, or that it failed.

        Args:
            release: its name.
            item: one that is a person's.
            by: the name under the signature.
            note: what was done or seen; may be empty for what is done.
            who: writes it.
            status: ``done`` or ``failed``.

        Raises:
            UsageError: there is no such item or release, or it failed without a note.
            RefusedError: the item is measured, or that is no person's name. Nothing was signed.
            RecordError: the ledger could not be written; nothing was signed.
        """
        found = item_of(item)
        if found.measured:
            raise _only_measured(found, self._environment, release)
        if status is ItemStatus.FAILED and not note.strip():
            raise UsageError(f"{item} failed: say what was seen", hint="add: --note 'what was seen'")
        payload = {"status": status, "how": How.SIGNED, "text": note, "by": _name(by)}
        self._append(release, item, payload, who)

    def waive(self, release: str, item: str, *, by: str, reason: str, who: Who) -> None:
        """Note that a person answers for going on without an item. It is never done by that.

        Raises:
            UsageError: there is no such item or release, or no reason is given.
            RefusedError: that is no person's name. Nothing was waived.
            RecordError: the ledger could not be written; nothing was waived.
        """
        item_of(item)
        if not reason.strip():
            raise UsageError(f"{item} is waived for a reason only", hint="add: --waive 'why it is not needed'")
        payload = {"status": ItemStatus.OPEN, "how": How.WAIVED, "text": reason, "by": _name(by)}
        self._append(release, item, payload, who)

    def _append(self, release: str, item: str, payload: Mapping[str, Any], who: Who) -> None:
        kept = {
            **payload,
            "text": one_line(str(payload["text"]), self._secrets, longest=_LONGEST_TEXT),
            "values": redact_value(payload.get("values", {}), self._secrets),
            "by": redact(str(payload.get("by", who.operator)), self._secrets),
            "release": release_named(release),
            "item": item,
            "account": who.account,
        }
        where = {"run_id": who.run_id, "environment": self._environment, "operator": who.operator}
        self._ledger.append(kind=ITEM, payload=kept, **where)

    def _events(self) -> tuple[Event, ...]:
        return self._ledger.events(environment=self._environment, kind=ITEM)


def _name(by: str) -> str:
    reason = unfit(by)
    if reason or not by.isprintable():
        raise RefusedError(
            f"nothing was signed: {one_line(by, longest=60)!r} is no name of a person",
            hint="give your name, in letters of one script: --by 'Anna Ng'",
        )
    return by.strip()


def _only_measured(item: Item, environment: str, release: str) -> RefusedError:
    words = ["runbooks", "run", item.notebook, "--environment", environment]
    run = shlex.join([*words, *(["-p", f"release={release}"] if item.phase is not Phase.ROLLOUT else [])])
    return RefusedError(
        f"{item.id} is measured, by the notebook {item.notebook}; nobody signs it off",
        hint=f"{run}. To go on without it, and answer for that: add --waive 'why'",
    )


def _entry(event: Event) -> Entry | None:
    """What an event says; None for one that makes no sense, since somebody may have edited it."""
    payload = event.payload
    at = moment_of(event)
    try:
        status, how = ItemStatus(str(payload.get("status"))), How(str(payload.get("how")))
    except ValueError:
        return None
    if at is None or payload.get("item") not in _IDS:
        return None
    account, values = account_in(payload), payload.get("values")
    return Entry(
        item=str(payload["item"]),
        status=status,
        text=str(payload.get("text", "")),
        how=how,
        by=str(payload.get("by") or event.operator),
        at=at,
        run_id=event.run_id,
        values=values if isinstance(values, dict) else {},
        account="" if account is None else account.shown,
    )
