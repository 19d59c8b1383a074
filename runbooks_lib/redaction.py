"""Take secrets out of text before it is shown or kept.

Pure functions. They replace the values that the configuration calls secret, passwords inside URLs, and tokens in the
shapes that HTTP clients print. They cannot know a secret that nobody named and that looks like ordinary text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

#: A shorter value is no secret worth the name, and replacing it would blank out honest text.
MIN_SECRET_LENGTH = 3
_LONGEST_INPUT = 100_000

#: Begins at ``://`` and not at the scheme, so that a megabyte of base64 is not searched once for every letter in it.
_URL_PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/\"'<>]+@")
#: A name alone before the ``@`` may be a token.
_URL_TOKEN = re.compile(r"(://)[^\s/:@\"'<>]+@")
_QUERY_SECRET = re.compile(
    r"([?&;](?:\w{1,40}_)?(?:password|passwd|pwd|token|api_?key|secret)=)[^&;\s#\"']+", re.IGNORECASE
)
_BEARER = re.compile(r"(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_BASIC = re.compile(r"(\bauthorization\b['\"]?\s*[:=]\s*['\"]?basic\s+)[A-Za-z0-9+/=]+", re.IGNORECASE)


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """The text with every secret replaced by ``***``.

    Args:
        text: anything that is about to be shown or kept.
        secrets: values to remove, such as ``environment.secrets``; each is also found percent-encoded and as it
            stands inside JSON. Values under ``MIN_SECRET_LENGTH`` characters are ignored.
    """
    for form in _forms(secrets):
        text = text.replace(form, MASK)
    text = _URL_PASSWORD.sub(rf"\g<1>{MASK}@", text)
    text = _URL_TOKEN.sub(rf"\g<1>{MASK}@", text)
    text = _QUERY_SECRET.sub(rf"\g<1>{MASK}", text)
    text = _BEARER.sub(rf"\g<1>{MASK}", text)
    return _BASIC.sub(rf"\g<1>{MASK}", text)


def one_line(text: str, secrets: Sequence[str] = (), *, longest: int = 300) -> str:
    """What a system said, fit for an error message: redacted, one line, no control characters, at most ``longest``."""
    # Redaction comes first: a secret cut in half would no longer be recognised.
    shown = "".join(c if c.isprintable() else " " for c in redact(text[:_LONGEST_INPUT], secrets))
    line = " ".join(shown.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def redact_value(value: Any, secrets: Sequence[str] = ()) -> Any:
    """The same for a JSON-like value: every string in it but the keys of mappings; tuples become lists."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, Mapping):
        return {key: redact_value(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(item, secrets) for item in value]
    return value


def _forms(secrets: Sequence[str]) -> list[str]:
    """Every way in which the secrets are written, longest first so that none is cut in half."""
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            forms |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
            forms.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    return sorted(forms, key=lambda form: (-len(form), form))
