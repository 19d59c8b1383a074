"""What Prometheus, or whatever answers in its place, said: in the operator's words."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.reachability import chain, nobody_is_there

HOST_HINT = "check prometheus_url in runbooks.toml: curl it with /api/v1/query?query=1"
_LOGIN_HINT = "put user:password@ or a token-free address into prometheus_url, or connect the VPN"
_TITLE = re.compile(rb"<title[^>]*>([^<]{0,200})", re.IGNORECASE)

#: HTTP status → what it means, what to do. For answers that hold no words of Prometheus.
_STATUS = {
    401: ("wants a login (401)", _LOGIN_HINT),
    403: ("refuses (403): this user or network may not read it", _LOGIN_HINT),
    404: (
        "has no such path (404)",
        "does prometheus_url lack a prefix? Mimir and Prometheus behind a proxy often want /prometheus at the end",
    ),
    422: ("could not carry the query out (422)", "narrow the window, or correct the query"),
    429: ("limits how often it may be asked (429)", "wait a moment; many dashboards may be asking at once"),
    503: ("is not ready (503)", "it may be starting up and reading its log: look at its /-/ready, and try in a minute"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, written by a stranger; ``location`` is where a redirect leads."""

    status: int
    content_type: str
    location: str
    body: bytes


def explain_answer(where: str, path: str, status: int, error_type: str, words: str) -> SourceError:
    """An answer that is a refusal.

    Args:
        where: the server, as shown.
        path: of the API.
        status: HTTP status.
        error_type: as Prometheus names it (``bad_data``, ``timeout``, ``execution``); may be empty.
        words: Prometheus's own; may be empty.
    """
    if error_type == "timeout" or "timed out" in words or "canceled" in words:
        return _error(
            f"{where}: the query ran into its time limit: {words}",
            "it is too heavy for this server now: use a shorter window, or look at the load of Prometheus",
            Kind.FAULTY,
        )
    if error_type == "bad_data":
        return _error(
            f"{where} does not understand the query: {words}",
            "is metrics_selector in runbooks.toml a list of label matchers without braces?",
        )
    meaning, hint = _STATUS.get(status, (f"answered {status}", HOST_HINT))
    said = ": ".join(part for part in (error_type, words) if part)
    return _error(f"{where} {meaning} for {path}" + (f": {said}" if said else ""), hint, _kind(status))


def explain_page(where: str, path: str, answer: Answer, secrets: Sequence[str]) -> SourceError:
    """An answer that is not JSON: a login page, a proxy, another service."""
    status, content_type, body = answer.status, answer.content_type, answer.body
    if 300 <= status < 400:
        target = one_line(answer.location.partition("?")[0], secrets, longest=160) or "nowhere"
        return _error(
            f"{where} redirects {path} to {target} instead of answering",
            f"if that is a login: {_LOGIN_HINT}; else write the address that it leads to into prometheus_url",
            Kind.DENIED,
        )
    title = _TITLE.search(body[:20_000])
    called = f" called {one_line(title[1].decode('utf-8', 'replace'), secrets, longest=80)!r}" if title else ""
    if body.lstrip()[:1] == b"<" or "html" in content_type.lower():
        meaning = f"answered {status} with a web page{called}"
        return _error(
            f"{where} {meaning} to {path}, not with data",
            f"is that a login page? {_LOGIN_HINT}; or {HOST_HINT}",
            Kind.DENIED if status < 300 else _kind(status),
        )
    if status in _STATUS:
        words = one_line(body[:300].decode("utf-8", "replace"), secrets, longest=120)
        return explain_answer(where, path, status, "", words)
    kind = one_line(content_type, longest=60) or "no content type"
    return _error(f"{where} answered {status} to {path} with {kind}, not JSON", f"is it Prometheus? {HOST_HINT}")


def too_large(shown: str, limit_bytes: int) -> SourceError:
    """The answer is larger than is read."""
    return _error(
        f"Prometheus at {shown} answered more than {units.size(limit_bytes)}",
        "too many series: narrow metrics_selector, or fold label values that hold object ids where the site sets them",
    )


def explain_failure(error: BaseException, shown: str, *, seconds: float, secrets: Sequence[str]) -> SourceError:
    """An exchange that gave no answer: not reached, broken, or not in time."""
    import requests

    where, causes = f"Prometheus at {shown}", tuple(chain(error))
    if isinstance(error, requests.ConnectTimeout):
        return _error(
            f"no connection with {where} within {seconds / 2:g} s",
            "is the host up, and does a firewall drop packets between it and here? do you need a VPN?",
            Kind.ABSENT,
        )
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return _error(
            f"{where} gave no complete answer within {seconds:g} s",
            "it is overloaded, or the answer arrives in drops: use a shorter window, and look at Prometheus's own load"
            + ("; does this port speak TLS (https)?" if shown.startswith("https:") else ""),
            Kind.ABSENT,
        )
    if any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        return _error(
            f"no trusted TLS connection with {where}: {one_line(str(causes[-1]), secrets, longest=160)}",
            "set REQUESTS_CA_BUNDLE to the authority that signed it, or use http:// if the port has no TLS",
        )
    if any(isinstance(cause, (socket.gaierror, UnicodeError)) for cause in causes):
        return _error(
            f"the host name of {where} is not known to DNS", "correct prometheus_url; do you need a VPN?", Kind.ABSENT
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return _error(
            f"nothing listens at {shown}: the connection was refused",
            "is Prometheus running there? check host and port of prometheus_url",
            Kind.ABSENT,
        )
    reason = one_line(f"{type(causes[-1]).__name__}: {causes[-1]}", secrets, longest=160)
    kind = Kind.ABSENT if nobody_is_there(causes) else Kind.WRONG
    return _error(f"{where} broke the exchange off: {reason}", HOST_HINT, kind)


def _kind(status: int) -> Kind:
    """What an HTTP status says: not let in, cannot work, or something else than was asked for."""
    if status in (401, 403, 407):
        return Kind.DENIED
    return Kind.FAULTY if status >= 500 else Kind.WRONG


def _error(message: str, hint: str, kind: Kind = Kind.WRONG) -> SourceError:
    return SourceError(message, source="prometheus", hint=hint, kind=kind)
