"""``${NAME}`` in a configured value: where it comes from, and whether what it brings must never be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runbooks_lib.errors import ConfigurationError

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
#: Not treated as a secret unless name or place say so: a number such as a port, a path. Redacting those would blank out
#: honest text.
_HARMLESS = re.compile(r"|\d+|/[^:@?]*")
#: Names of variables that hold a credential, whatever its value looks like; but not those of its place.
_CREDENTIAL = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|APIKEY"
    r"|(?:PASS|PWD|PW|KEY)\d*$|(?:^|_)(?:PASS|PWD|PW|KEY|AUTH|PIN)(?:_|\d|$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"_(?:FILE|PATH|DIR|FOLDER|HOME|HOST|PORT)$", re.IGNORECASE)


def parse_variables(text: str) -> dict[str, str]:
    """``NAME=value`` lines; blank lines and ``#`` comments are skipped, one pair of quotes is removed."""
    pairs = {}
    for line in text.splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
            pairs[name.strip()] = value[1:-1] if quoted else value
    return pairs


def resolve(
    raw: Mapping[str, Any], variables: Mapping[str, str], *, where: str, hint: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Replace ``${NAME}`` in every string; return the values and what was put in, longest first."""
    used: set[str] = set()

    def substitute(value: Any, key: str) -> Any:
        if isinstance(value, list):
            return [substitute(item, key) for item in value]
        if not isinstance(value, str):
            return value

        def one(match: re.Match[str]) -> str:
            found = variables.get(match["name"], match["default"])
            if found is None:
                raise ConfigurationError(
                    f"{where}: {key} needs the variable {match['name']}, which is not set", hint=hint
                )
            if _is_secret(match, found):
                used.add(found)
            return found

        return _VARIABLE.sub(one, value)

    resolved = {key: substitute(value, key) for key, value in raw.items()}
    return resolved, tuple(sorted(used, key=len, reverse=True))


def _is_secret(match: re.Match[str], found: str) -> bool:
    """Must the value of a variable never be shown: by its name, by its place before the ``@`` of a URL, by its look?"""
    if not found:
        return False
    named = _CREDENTIAL.search(match["name"]) and not _PLACE.search(match["name"])
    before, after = match.string[: match.start()], match.string[match.end() :]
    placed = "://" in before and re.match(r"[^/?#]*@", after)
    return bool(named or placed or not _HARMLESS.fullmatch(found))
