"""A plan: exactly what a change would do, in numbers, bound to a digest.

The digest is over what was asked for (``intent``), its place (``scope`` as it is shown, ``target`` as it really is),
whether it is protected, and the state that it rests on (``rests_on``). Numbers that move every second are not in it:
they are held by a bound that stands in the intent, and by a guard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.records.event import canonical_json

_DIGEST_VERSION = "runbooks-plan-2"


@dataclass(frozen=True, slots=True)
class Guard:
    """One condition for the change, judged on what was read a moment ago.

    Attributes:
        name: the condition, said so that it is true when it holds: ``at most 50,000 keys``.
        holds: None when it could not be told, which counts as not held.
        detail: the measured value: ``41,212 keys``; or why it could not be told.
        hint: what to do when it does not hold.
    """

    name: str
    holds: bool | None
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """An action with its parameters, as data: an undo, a check, a next step.

    Attributes:
        action: a name out of the registry.
        parameters: its fields, JSON types.
    """

    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change would do. Nothing has been changed by making it.

    Attributes:
        action: name out of the registry (``clear_pattern``).
        title: what it does, in the infinitive: ``delete the keys that match api:*``.
        environment: its name.
        protected: the environment needs a reason and somebody else's approval. Part of the digest.
        scope: which system exactly: host, database, prefix; never a password. Part of the digest.
        intent: what was asked for, bounds included, JSON types. Part of the digest.
        rests_on: the state that the change rests on and that it would be wrong without. Part of the digest.
        resources: what is locked while it is applied, ``redis:keys``, ``flag:ENHANCED_CACHE``; sorted.
        before: how it stands now.
        after: how it will stand.
        blast_radius: what is affected, in numbers: keys, bytes, users, what else lives there.
        spared: what lives in the same place and is not touched.
        undo: the action that puts it back; None when nothing can.
        irreversible: why nothing can put it back, and what to do instead; empty when ``undo`` is there.
        guards: all of them, held or not.
        no_op: it is so already; applying writes nothing.
        offers: what to do afterwards.
        notes: what limits the plan (a sample instead of a count, a right that is missing).
        read_at: aware UTC, when its facts were read.
        target: where it really leads, part → SHA-256; set by the engine (``binding``). Part of the digest.
    """

    action: str
    title: str
    environment: str
    protected: bool
    scope: str
    intent: Mapping[str, Any]
    resources: tuple[str, ...]
    read_at: datetime
    rests_on: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Evidence, ...] = ()
    after: tuple[Evidence, ...] = ()
    blast_radius: tuple[Evidence, ...] = ()
    spared: tuple[Evidence, ...] = ()
    undo: Command | None = None
    irreversible: str = ""
    guards: tuple[Guard, ...] = ()
    no_op: bool = False
    offers: tuple[NextStep, ...] = ()
    notes: tuple[str, ...] = ()
    target: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A plan that says neither how it is undone nor that it cannot be is not a plan."""
        if (self.undo is None) == (not self.irreversible):
            raise ValueError(f"plan {self.action}: say either undo or irreversible")
        if not self.resources:
            raise ValueError(f"plan {self.action}: say what it locks")

    @property
    def full_digest(self) -> str:
        """SHA-256 (hex) over environment, protection, action, scope, target, intent and the state it rests on."""
        place = [self.environment, self.protected, self.scope, dict(self.target)]
        parts = [_DIGEST_VERSION, *place, self.action, dict(self.intent), dict(self.rests_on)]
        return hashlib.sha256(canonical_json(parts).encode("utf-8")).hexdigest()

    @property
    def digest(self) -> str:
        """The digest as people read and paste it: ``9c1f-77ab-03de``."""
        return short_digest(self.full_digest)

    @property
    def failed_guards(self) -> tuple[Guard, ...]:
        """The guards that do not hold, or of which it could not be told."""
        return tuple(guard for guard in self.guards if guard.holds is not True)

    @property
    def command(self) -> Command:
        """The action that this plan is of."""
        return Command(self.action, dict(self.intent))


def short_digest(full: str) -> str:
    """The first twelve hex digits in groups of four."""
    return "-".join(full[at : at + 4] for at in (0, 4, 8))


def differences(then: Mapping[str, Any], now: Plan) -> tuple[str, ...]:
    """What changed between a plan that was recorded (``canonical`` form) and the same plan made now, one line each."""
    lines = []
    for name in ("environment", "protected", "scope", "intent", "rests_on"):
        old, new = then.get(name), getattr(now, name)
        old_fields = old if isinstance(old, Mapping) else {name: old}
        new_fields = new if isinstance(new, Mapping) else {name: new}
        lines += [
            f"{key}: {old_fields.get(key)} when it was planned, {new_fields.get(key)} now"
            for key in sorted({*old_fields, *new_fields})
            if canonical_json(old_fields.get(key)) != canonical_json(new_fields.get(key))
        ]
    planned = then.get("target") or {}
    # Fingerprints tell people nothing; which part of the configuration leads elsewhere does.
    moved = [part for part in sorted({*planned, *now.target}) if planned.get(part) != now.target.get(part)]
    return (*lines, *(f"{part} leads elsewhere than when it was planned" for part in moved))
