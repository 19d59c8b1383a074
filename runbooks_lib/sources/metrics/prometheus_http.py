"""One exchange with Prometheus's HTTP API: bounded in time and size, checked, and retried only where that cannot hurt.

The session belongs to a ``PrometheusConnect`` of prometheus-api-client. Its own defaults are not used: no timeout, and
three blind retries on 503, with which Prometheus answers a query that ran into its time limit, so that the heaviest
query of all would run four times.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from runbooks_lib.errors import SourceError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics.prometheus_errors import (
    HOST_HINT,
    Answer,
    explain_answer,
    explain_failure,
    explain_page,
    too_large,
)
from runbooks_lib.sources.together import within

if TYPE_CHECKING:
    import requests
    from prometheus_api_client import PrometheusConnect

MAX_BODY_BYTES = 32 * 1024 * 1024
#: Queries longer than this travel as POST, which is never repeated; servers and proxies limit the length of a URL.
_LONGEST_GET = 4_000
#: Requests under way at once, so that a triage does not take all 20 places that Prometheus has for queries.
_MAX_AT_ONCE = 10
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_GATEWAY_ERRORS = (502, 504)


class _Envelope(msgspec.Struct):
    """What every answer of the API is wrapped in."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    errorType: str = ""  # noqa: N815  # the API's own name
    warnings: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer.

    Attributes:
        data: the JSON under ``data``, not yet decoded; None where a tolerated HTTP status came instead.
        warnings: what Prometheus (or Thanos, Mimir) says is missing from it.
    """

    data: msgspec.Raw | None
    warnings: tuple[str, ...] = ()


class _Call:
    """One call in its thread; remembers its connection and socket, so that it can be ended from outside."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.connection: Any = None
        self.socket: socket.socket | None = None

    @property
    def left_seconds(self) -> float:
        return self.ends - time.monotonic()

    def end(self) -> None:
        """Shut the socket down: a server that sends a byte a second would hold the thread for hours."""
        # During a TLS handshake only the connection has the socket, after ``Connection: close`` only this object.
        sock = getattr(self.connection, "sock", None) or self.socket
        if sock is None:
            return
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it came to its end at this very moment


class Transport:
    """The HTTP side of one Prometheus. Serves several threads.

    Args:
        url: root of the API; may hold ``user:password@``.
        timeout_seconds: deadline of one exchange, retry included.
        secrets: values to remove from error messages.

    Attributes:
        shown: the URL without credentials.

    Raises:
        SourceError: the URL cannot be understood.
    """

    def __init__(self, url: str, *, timeout_seconds: float, secrets: tuple[str, ...] = ()) -> None:
        try:
            parts = urlsplit(url)
            hostname, _ = parts.hostname, parts.port
        except ValueError:
            # The parser's own words are dropped, and the chain is cut: they can hold a part of the password.
            raise SourceError(
                "prometheus_url cannot be understood",
                source="prometheus",
                hint="write special characters of a password percent-encoded (@ as %40, / as %2F, : as %3A)",
            ) from None
        user, _, host = parts.netloc.rpartition("@")
        self.shown = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        name, _, password = user.partition(":")
        self._credentials = (unquote(name), unquote(password)) if user else None
        self._secrets = (*secrets, *(self._credentials or ())[1:])
        self._proxies = {"http": "", "https": ""} if hostname in _LOOPBACK else {}
        self._timeout_seconds = timeout_seconds
        self._current = threading.local()
        self._connect: PrometheusConnect | None = None
        self._opening = threading.Lock()
        self._places = threading.Semaphore(_MAX_AT_ONCE)

    @property
    def connect(self) -> PrometheusConnect:
        """The ``PrometheusConnect`` whose session is used; made at the first use, because its import takes 0.15 s."""
        with self._opening:
            if self._connect is None:
                self._connect = self._open()
            return self._connect

    def get(self, path: str, parameters: Mapping[str, str], *, tolerate: frozenset[int] = frozenset()) -> Reply:
        """Ask for one path of the API.

        Args:
            path: such as ``/api/v1/query``.
            parameters: as the API names them.
            tolerate: HTTP statuses that are an answer as well: then ``data`` is None.

        Raises:
            SourceError: not reached, not in time, not Prometheus, or refused; with Prometheus's own words.
        """
        import requests
        import urllib3

        session = self.connect._session  # noqa: SLF001  # the library has no public name for it
        call = _Call(self._timeout_seconds)
        try:
            answer = within(self._timeout_seconds, lambda: self._in_turn(session, path, dict(parameters), call))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            call.end()
            raise explain_failure(error, self.shown, seconds=self._timeout_seconds, secrets=self._secrets) from error
        if answer.status in tolerate:
            return Reply(None)
        return self._understand(answer, path)

    def _in_turn(self, session: requests.Session, path: str, parameters: dict[str, str], call: _Call) -> Answer:
        """Wait for a place, then carry the exchange out. The waiting counts as well."""
        if not self._places.acquire(timeout=max(0.0, call.left_seconds)):
            raise TimeoutError
        try:
            return self._exchange(session, path, parameters, call)
        finally:
            self._places.release()

    def _exchange(self, session: requests.Session, path: str, parameters: dict[str, str], call: _Call) -> Answer:
        """One request, and one more when the connection broke or a gateway found nobody behind it."""
        import requests

        self._current.call = call
        method = "POST" if len(parameters.get("query", "")) > _LONGEST_GET else "GET"
        try:
            answer = self._once(session, path, parameters, call, method=method)
        except requests.ConnectionError as error:
            if method == "POST" or isinstance(error, requests.Timeout) or call.left_seconds <= 0:
                raise
        else:
            if method == "POST" or answer.status not in _GATEWAY_ERRORS or call.left_seconds <= 0:
                return answer
        return self._once(session, path, parameters, call, method=method)

    def _once(
        self, session: requests.Session, path: str, parameters: dict[str, str], call: _Call, *, method: str
    ) -> Answer:
        left = max(0.05, call.left_seconds)
        if "query" in parameters:
            # Prometheus gives up a little before we do, so that it can still say why.
            parameters = {**parameters, "timeout": f"{max(1, int(left * 900))}ms"}
        with session.request(
            method,
            self.shown + path,
            params=parameters if method == "GET" else None,
            data=parameters if method == "POST" else None,
            headers={"Accept": "application/json"},
            timeout=(left / 2, left),  # a connection in half the time, so that there is a reason to tell
            allow_redirects=False,
            stream=True,
            proxies=self._proxies,
        ) as response:
            content_type = response.headers.get("content-type", "")
            return Answer(
                response.status_code, content_type, response.headers.get("location", ""), self._body(response)
            )

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise too_large(self.shown, MAX_BODY_BYTES)
        return bytes(body)

    def _understand(self, answer: Answer, path: str) -> Reply:
        """The data of an answer, or the reason why there is none."""
        where = f"Prometheus at {self.shown}"
        if "json" not in answer.content_type.lower():
            raise explain_page(where, path, answer, self._secrets)
        try:
            envelope = msgspec.json.decode(answer.body, type=_Envelope)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
            if answer.status != 200:
                raise explain_answer(where, path, answer.status, "", "") from error
            reason = one_line(str(error), self._secrets, longest=100)
            raise SourceError(
                f"{where}: the answer of {path} is not the JSON that Prometheus sends: {reason}",
                source="prometheus",
                hint=f"was it cut off on the way? {HOST_HINT}",
            ) from error
        if answer.status != 200 or envelope.status != "success":
            words = one_line(envelope.error, self._secrets)
            raise explain_answer(where, path, answer.status, one_line(envelope.errorType, longest=40), words)
        warnings = tuple(one_line(text, self._secrets) for text in envelope.warnings or ())
        return Reply(envelope.data, warnings)

    def _open(self) -> PrometheusConnect:
        import requests
        from prometheus_api_client import PrometheusConnect
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        session = requests.Session()
        session.auth = self._credentials
        retry = Retry(total=0, redirect=0)
        connect = PrometheusConnect(self.shown, retry=retry, session=session, timeout=self._timeout_seconds)
        current = self._current

        class Adapter(HTTPAdapter):
            """Lets every connection tell the call that uses it."""

            def get_connection_with_tls_context(self, *args: Any, **keywords: Any) -> Any:
                pool: Any = super().get_connection_with_tls_context(*args, **keywords)
                if not issubclass(pool.ConnectionCls, _Noted):
                    pool.ConnectionCls = type("Connection", (_Noted, pool.ConnectionCls), {"current": current})
                return pool

        # Mounted last and under the same prefix, it takes the place of the one that PrometheusConnect made.
        session.mount(self.shown, Adapter(max_retries=retry, pool_maxsize=_MAX_AT_ONCE))
        return connect


class _Noted:
    """A connection of urllib3 that notes itself in the call of the thread that uses it."""

    current: threading.local

    def connect(self) -> None:
        self._call.connection = self
        super().connect()  # type: ignore[misc]  # mixed into a connection class of urllib3

    def request(self, *args: Any, **keywords: Any) -> None:
        call = self._call
        call.connection = self
        super().request(*args, **keywords)  # type: ignore[misc]
        call.socket = getattr(self, "sock", None)

    @property
    def _call(self) -> _Call:
        """The call of this thread; one that nobody will end, when the session is used past this module."""
        return getattr(self.current, "call", None) or _Call(0)
