"""One bounded GET: an answer within a time and a size, from the host that was asked, or a ``SourceError``.

Nothing is written by it: only GET is sent, TLS certificates are always verified, and a redirect is followed only to the
same host (an answer from another one would be somebody else's).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.reachability import chain, nobody_is_there
from runbooks_lib.sources.together import within

if TYPE_CHECKING:
    import requests

_REDIRECTS_MAX = 3
_CHUNK_BYTES = 64 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_REDIRECT_STATUS = {301, 302, 303, 307, 308}
_LOGIN_HINT = "is there a login page in front of it? let this address through for the network you are in"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        url: that answered, without credentials and query.
        http_status: of the last answer, after redirects.
        headers: names in lower case; written by a stranger.
        body: decoded (gzip), never more than was allowed; empty when it was not asked for.
        excerpt: the beginning of the body on one line, fit for an error message.
        latency_seconds: until the whole answer was there.
        read_at: aware UTC, when it was asked.
        read_monotonic: ``time.monotonic()`` in the middle of the read, to measure the distance of two reads.
    """

    url: str
    http_status: int
    headers: Mapping[str, str]
    body: bytes
    excerpt: str
    latency_seconds: float
    read_at: datetime
    read_monotonic: float

    @property
    def is_html(self) -> bool:
        """A page for people (a login page, a proxy's error page) instead of what was asked for."""
        declared = self.headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
        return declared or self.body[:1024].lstrip().lower().startswith((b"<!doctype", b"<html"))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an answer may take.

    Attributes:
        seconds: for everything: name, connection, TLS, redirects, body.
        max_bytes: of the decoded body; 0 reads no body at all.
        redirects: follow them to the same host; without, a redirect is an answer like any other.
    """

    seconds: float
    max_bytes: int
    redirects: bool = True


class _Exchange:
    """The requests of one ``fetch``; keeps the answer that is being read, so that it can be cut off from outside."""

    def __init__(self, bounds: Bounds, headers: Mapping[str, str]) -> None:
        self.bounds = bounds
        self.headers = dict(headers)
        self.ends = time.monotonic() + bounds.seconds
        self.reading: requests.Response | None = None

    def run(self, url: str, credentials: tuple[str, str] | None) -> tuple[str, int, dict[str, str], bytes]:
        with _session() as session:
            session.auth = credentials
            for _ in range(_REDIRECTS_MAX + 1):
                with session.get(
                    url,
                    headers=self.headers,
                    stream=True,
                    allow_redirects=False,
                    timeout=self._timeout(),
                    proxies=_proxies(url),
                ) as response:
                    self.reading = response
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    if not (self.bounds.redirects and response.status_code in _REDIRECT_STATUS):
                        return url, response.status_code, headers, self._body(response)
                    url = _redirected(url, headers.get("location", ""))
        raise SourceError(
            f"{shown(url)} redirects more than {_REDIRECTS_MAX} times", source="web", hint=_LOGIN_HINT, kind=Kind.DENIED
        )

    def cut_off(self) -> None:
        """End a body that drips: its reader sees the end of the connection."""
        raw = None if self.reading is None else self.reading.raw
        if raw is not None and not raw.closed:
            try:
                raw.shutdown()
            except (OSError, ValueError, RuntimeError):
                return  # it came to its end at this very moment

    def _timeout(self) -> tuple[float, float]:
        left = max(0.05, self.ends - time.monotonic())
        return left / 2, left  # connecting is tried twice

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        if self.bounds.max_bytes:
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > self.bounds.max_bytes:
                    raise SourceError(
                        f"{shown(response.url)} answered more than {units.size(self.bounds.max_bytes)}",
                        source="web",
                        hint="look at what the address really serves; too many label values make /metrics this large",
                    )
                if time.monotonic() > self.ends:
                    raise TimeoutError
        return bytes(body)


def fetch(url: str, bounds: Bounds, *, accept: str, secrets: Sequence[str] = ()) -> Answer:
    """GET ``url`` within the bounds; every HTTP status is an answer.

    Args:
        url: ``http(s)://[user:password@]host[:port]/path``; the credentials are sent as basic authentication.
        bounds: time and size.
        accept: the ``Accept`` header.
        secrets: values to remove from error messages.

    Raises:
        SourceError: (source ``web``) refused, timed out, dripped, too large, redirected to another host, a
            certificate that does not verify, or not HTTP at all.
    """
    import requests
    import urllib3

    exchange = _Exchange(bounds, {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": "runbooks"})
    began, at = time.monotonic(), units.now()
    bare, credentials = _without_credentials(url)
    try:
        last, status, headers, body = within(bounds.seconds, lambda: exchange.run(bare, credentials))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        exchange.cut_off()
        raise _trouble(shown(url), error, bounds.seconds, secrets) from error
    took = time.monotonic() - began
    excerpt = one_line(body[:400].decode("utf-8", errors="replace"), secrets, longest=120) or "nothing"
    return Answer(shown(last), status, headers, body, excerpt, took, at, began + took / 2)


def _trouble(where: str, error: Exception, seconds: float, secrets: Sequence[str]) -> SourceError:
    """The error of a library as the operator should read it."""
    import requests
    import urllib3

    causes = tuple(chain(error))
    cause = causes[-1]
    kind = Kind.ABSENT if nobody_is_there(causes) else Kind.WRONG
    if isinstance(error, (TimeoutError, requests.Timeout)) or isinstance(
        cause, (TimeoutError, urllib3.exceptions.TimeoutError)
    ):
        reason = f"gave no complete answer within {seconds:g} s"
        hint = "does anything listen there, are all its workers busy, is a firewall between?"
        kind = Kind.ABSENT
    elif isinstance(error, requests.exceptions.SSLError):
        reason = f"has a certificate that does not verify: {one_line(str(cause), secrets)}"
        hint = "set REQUESTS_CA_BUNDLE to the authority that signed it; verification cannot be switched off"
    else:
        reason = f"could not be read: {type(cause).__name__}: {one_line(str(cause), secrets)}"
        hint = "is the site running, and is site_url right? try the address with curl"
    return SourceError(f"{where} {reason}", source="web", hint=hint, kind=kind)


def shown(url: str) -> str:
    """An address fit to be shown: without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return one_line(urlunsplit((parts.scheme, host, parts.path, "", "")))
    except ValueError:
        return "an address that is not a URL"


def _session() -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    retry = Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0, backoff_factor=0)
    adapter = HTTPAdapter(max_retries=retry)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _proxies(url: str) -> dict[str, str]:
    """None for this machine's own loopback, which no proxy can reach; else as the machine is configured."""
    return {"http": "", "https": ""} if urlsplit(url).hostname in _LOOPBACK else {}


def _without_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not user:
        return url, None
    name, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads, if it stays with the host that was asked."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    upgraded = here.scheme == "http" and there.scheme == "https"
    same = here.hostname == there.hostname and (upgraded or _origin(here) == _origin(there))
    if not location or not same or "@" in there.netloc:
        where = shown(target) if location else "nowhere"
        raise SourceError(
            f"{shown(url)} redirects to {where}; a redirect to another host is not followed",
            source="web",
            hint=_LOGIN_HINT,
            kind=Kind.DENIED,
        )
    return target


def _origin(parts: SplitResult) -> tuple[str, int | None]:
    return parts.scheme, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
