"""Where an environment really leads, credentials apart: what a plan is bound to, and what makes two names one site.

``scope`` is for people, and what came out of a variable is masked in it; two sites can look the same there. Here
nothing is masked but passwords and tokens, which say nothing about the place.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from runbooks_lib.redaction import MASK, redact, redact_value

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

_HERE = frozenset({"localhost", "::1"})
_PLAIN_SCHEMES = ("redis", "rediss", "unix")
#: ``env DB_PASSWORD=… python manage.py``: the value is a credential by its name.
_ASSIGNED = re.compile(r"(\b\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|APIKEY|API_KEY)\w*=)\S+", re.IGNORECASE)


def target_of(environment: Environment) -> dict[str, str]:
    """Where does this environment lead? Part of the configuration → SHA-256 of what it says without credentials."""
    parts = {
        "redis_url": environment.redis_url,
        "manage": list(environment.manage),
        "database_url": environment.database_url,
        "site_url": environment.site_url,
        "key_prefix": environment.key_prefix,
        "key_version": environment.key_version,
        "root": str(environment.root),
    }
    return {name: fingerprint(_without_credentials(value)) for name, value in parts.items()}


def leads_to_the_same(one: Environment, other: Environment) -> bool:
    """Would a change of the one change the other: the same database of Redis, or the same site's code?

    Names are compared, not looked up: a second name of one machine is another machine here.
    """
    return bool(places_of(one) & places_of(other))


def places_of(environment: Environment) -> frozenset[str]:
    """What a change of this environment changes, as fingerprints: its database of Redis, and its site's code.

    Two environments that share one of them are one site under two names.
    """
    redis = f"redis {_database(environment.redis_url)}"
    code = ["manage", *_without_credentials(list(environment.manage))] if environment.manage else None
    return frozenset(fingerprint(place) for place in (redis, code) if place is not None)


def redis_place(url: str) -> str:
    """``host:port/database``, or the socket's path, whoever logs in; empty where it cannot be told."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        return ""
    if parts.scheme not in _PLAIN_SCHEMES:
        return ""
    asked = parse_qs(parts.query).get("db", [""])[0]
    if parts.scheme == "unix":
        return f"{parts.path} database {asked or 0}"
    host = (parts.hostname or "localhost").lower()
    return f"{'127.0.0.1' if host in _HERE else host}:{port}/{asked or parts.path.strip('/') or 0}"


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()


def _database(url: str) -> str:
    return redis_place(url) or redact(url)


def _without_credentials(value: Any) -> Any:
    found = redact_value(value)
    if isinstance(found, list):
        return [_ASSIGNED.sub(rf"\g<1>{MASK}", item) for item in found]
    return found
