"""What both programs inside the site need. Its text is sent in front of theirs (``program_text``).

Standard library and the site's own code only; Python 3.8 and later. It only reads.
"""

from __future__ import annotations

import decimal
import json
from datetime import timedelta
from typing import Any


def feature_named(name: str) -> Any:
    """The member of ``Feature`` with that name or value; the name itself on a site without such a class."""
    from common import feature_flags  # type: ignore[import-not-found,import-untyped,unused-ignore]

    members = getattr(feature_flags, "Feature", ())
    return next((one for one in members if name in (one.name, str(getattr(one, "value", one)))), name)


def plain(value: Any) -> Any:
    """JSON only: members of an enumeration by their value, durations in seconds, anything unknown as text."""
    if isinstance(value, dict):
        return {str(getattr(key, "value", key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "value") and not isinstance(value, (str, int, float)):
        return plain(value.value)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif isinstance(value, decimal.Decimal) and value.is_finite():
        value = float(value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)


def said(error: BaseException) -> str:
    """Type and message of an error; an error that cannot be shown is told by its type."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error of the site's code about its own error
        return type(error).__name__
