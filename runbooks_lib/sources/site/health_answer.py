"""The JSON of ``/api/health/cache`` as a fact. A field that does not hold what it should is None, with a note."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runbooks_lib.redaction import one_line

_FEATURES_MAX = 200
#: What a strategy or a switch says about the share of the public that is served.
_SERVED_PERCENT = {"on": 100.0, "true": 100.0, "off": 0.0, "false": 0.0}


@dataclass(slots=True)
class Fields:
    """Reads fields by type; everything that is not as it should be becomes a note."""

    notes: list[str] = field(default_factory=list)

    def ratio(self, body: Mapping[str, object], name: str) -> float | None:
        """A number 0..1. A percentage is not guessed at: 0.9 could be either."""
        value = body.get(name)
        if value is None:
            return None
        number = _number(value)
        if number is not None and 0 <= number <= 1:
            return number
        percentage = ": is it a percentage? a ratio 0..1 is expected" if number is not None and number > 1 else ""
        self._unreadable(name, value, percentage)
        return None

    def milliseconds(self, body: Mapping[str, object], name: str, where: str) -> float | None:
        """A duration in milliseconds, 0 or more, as seconds."""
        value = body.get(name)
        if value is None:
            return None
        number = _number(value)
        if number is not None and number >= 0:
            return number / 1000
        self._unreadable(f"{where}.{name}", value)
        return None

    def switch(self, body: Mapping[str, object], name: str, where: str) -> bool | None:
        """True or false."""
        value = body.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._unreadable(f"{where}.{name}", value)
        return None

    def table(self, body: Mapping[str, object], name: str) -> Mapping[str, object]:
        """An object; an empty one where there is none."""
        value = body.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._unreadable(name, value)
        return {}

    def moment(self, body: Mapping[str, object], name: str, where: str) -> datetime | None:
        """A unix time in seconds, or ISO 8601; a time without a zone is UTC."""
        value = body.get(name)
        if value is None:
            return None
        number = _number(value)
        try:
            if number is not None:
                return datetime.fromtimestamp(number, UTC)
            if isinstance(value, str):
                parsed = datetime.fromisoformat(value)
                return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            pass  # noted below, like any other wrong value
        self._unreadable(f"{where}.{name}", value)
        return None

    def features(self, body: Mapping[str, object]) -> dict[str, float]:
        """Feature → percentage 0..100 of the public that it serves now."""
        features = {}
        for name, value in list(self.table(body, "features").items())[:_FEATURES_MAX]:
            percentage = served_percent(value)
            if percentage is None:
                self._unreadable(f"features.{name}", value, ": no percentage in it")
            else:
                features[one_line(name, longest=100)] = percentage
        return features

    def _unreadable(self, name: str, value: object, why: str = "") -> None:
        self.notes.append(one_line(f"{name} is {value!r}, not readable{why}", longest=200))


def served_percent(value: object) -> float | None:
    """How much of the public a feature serves, 0..100; None where it does not say.

    A number is a percentage; true and ``on`` are 100; false and ``off`` are 0. An object is judged by its
    ``strategy``, then ``enabled``, then ``percentage``: a feature that is off serves nobody whatever its percentage.
    """
    if isinstance(value, dict):
        return _served_by_object(value)
    if isinstance(value, bool | str):
        return _SERVED_PERCENT.get(str(value).strip().lower())
    number = _number(value)
    return number if number is not None and 0 <= number <= 100 else None


def _served_by_object(value: Mapping[str, object]) -> float | None:
    strategy = value.get("strategy")
    by_strategy = served_percent(strategy) if isinstance(strategy, str) else None
    if by_strategy is not None:
        return by_strategy
    enabled = value.get("enabled")
    if enabled is False and strategy is None:
        return 0.0
    number = _number(value.get("percentage"))
    if number is not None:
        return number if 0 <= number <= 100 else None
    return 100.0 if enabled is True and strategy is None else None


def _number(value: object) -> float | None:
    """A finite number; a boolean is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
