"""The site over HTTP: its health endpoint, its metrics as text, the headers of an answer. Only GET is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.facts import Health, Probe
from runbooks_lib.model import Kind, Provenance, Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.site.fetch import Answer, Bounds, fetch
from runbooks_lib.sources.site.health_answer import Fields
from runbooks_lib.sources.together import Read, read_together

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

HEALTH_PATH = "/api/health/cache"
METRICS_PATH = "/metrics"
#: Headers that a probe keeps. Others may hold a session cookie, and nobody judges them.
PROBED_HEADERS = (
    "x-cache",
    "cache-control",
    "age",
    "vary",
    "etag",
    "expires",
    "content-type",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
)
_HEALTH_MAX_BYTES = 256 * 1024
_EXPOSITION_MAX_BYTES = 16 * 1024 * 1024
_TEXT_FORMAT = "text/plain;version=0.0.4"
#: How to go on after a status that is not an answer.
_STATUS_HINTS = {
    401: "it asks for a login: let it through for the network you are in, or put user:password@ into site_url",
    403: "it is forbidden from here: let it through for the network you are in",
    404: "is site_url the root of the site, and does this site have it?",
    429: "the site throttles it: exempt it from throttling",
    502: "the proxy does not reach the site: is gunicorn running?",
    504: "the proxy gave up waiting for the site: are all workers busy?",
}
_OTHER_STATUS_HINT = "look into the log of the site for this request"


@dataclass(frozen=True, slots=True)
class Exposition:
    """The metrics of one process (or group of processes) as text, not yet parsed.

    Attributes:
        url: that served it, without credentials.
        text: the exposition; may be cut off, may hold anything.
        read_at: aware UTC.
        read_monotonic: ``time.monotonic()`` in the middle of the read.
        took_seconds: of the read.
    """

    url: str
    text: str
    read_at: datetime
    read_monotonic: float
    took_seconds: float


@dataclass(frozen=True, slots=True)
class Expositions:
    """All expositions that could be read, in the configured order (the site first), and those that could not."""

    pages: tuple[Exposition, ...]
    unread: tuple[Unreadable, ...]

    @property
    def text(self) -> str:
        """All pages one after the other."""
        return "".join(page.text if page.text.endswith("\n") else f"{page.text}\n" for page in self.pages)


class Web:
    """Reads the site over HTTP; the network is used on call only.

    Args:
        environment: ``site_url`` and ``metrics_urls`` are used.
        timeout_seconds: for one whole answer, over 0: a server that drips does not get longer.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float = 2.0) -> None:
        self._environment = environment
        self._root = environment.site_url.rstrip("/")
        self._timeout_seconds = timeout_seconds

    def health(self) -> Health:
        """What does the site say of its own cache?

        A field that is missing or does not hold what it should is None, and ``notes`` says why.

        Raises:
            SourceError: it did not answer 200 or 503 with a JSON object that has a ``status``.

        Source:
            GET /api/health/cache; see the contract of the site, Health.
        """
        answer = self._get(f"{self._root}{HEALTH_PATH}", _HEALTH_MAX_BYTES, "application/json")
        if answer.http_status not in {200, 503}:
            raise _wrong_status(answer)
        body = _json_object(answer)
        status = body.get("status")
        if not isinstance(status, str) or not status.strip():
            raise SourceError(
                f"{answer.url} answered {answer.http_status} without a status: {answer.excerpt}",
                source="web",
                hint=f"is {HEALTH_PATH} the health endpoint of the cache on this site?",
            )
        return _health(answer, one_line(status, longest=60), body)

    def exposition(self) -> Expositions:
        """The metrics of the site and of every further process in ``metrics_urls``, read side by side.

        Raises:
            SourceError: not one of them could be read.

        Source:
            GET /metrics, text format 0.0.4.
        """
        urls = dict.fromkeys((f"{self._root}{METRICS_PATH}", *self._environment.metrics_urls))
        reads = {
            url: Read(f"metrics of process {number}", "web", partial(self._exposition, url))
            for number, url in enumerate(urls, start=1)
        }
        answers = read_together(
            reads, deadline_seconds=self._timeout_seconds + 0.5, secrets=self._environment.secrets
        ).values()
        pages = tuple(answer for answer in answers if isinstance(answer, Exposition))
        unread = tuple(answer for answer in answers if isinstance(answer, Unreadable))
        if not pages:
            raise SourceError(unread[0].reason, source="web", hint=unread[0].hint, kind=unread[0].kind)
        return Expositions(pages, unread)

    def probe(self, path: str) -> Probe:
        """Which cache headers does one page of the site answer with? Redirects are not followed.

        Args:
            path: begins with one ``/``; may have a query string.

        Raises:
            UsageError: the path is not one of this site.
            SourceError: the site did not answer.
        """
        if not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable():
            raise UsageError(f"path {path!r} does not begin with one '/'", hint="give a path such as /api/courses/")
        answer = self._get(f"{self._root}{path}", 0, "application/json, */*;q=0.5", redirects=False)
        return Probe(
            path=path,
            http_status=answer.http_status,
            headers={name: one_line(answer.headers[name]) for name in PROBED_HEADERS if name in answer.headers},
            latency_seconds=answer.latency_seconds,
            provenance=_provenance(answer),
        )

    def _exposition(self, url: str) -> Exposition:
        answer = self._get(url, _EXPOSITION_MAX_BYTES, _TEXT_FORMAT)
        if answer.http_status != 200:
            raise _wrong_status(answer)
        if answer.is_html:
            raise SourceError(
                f"{answer.url} answered an HTML page, not metrics",
                source="web",
                hint="is there a login page in front of it? let /metrics through for the network you are in",
                kind=Kind.DENIED,
            )
        text = answer.body.decode("utf-8", errors="replace")
        return Exposition(answer.url, text, answer.read_at, answer.read_monotonic, answer.latency_seconds)

    def _get(self, url: str, max_bytes: int, accept: str, *, redirects: bool = True) -> Answer:
        bounds = Bounds(self._timeout_seconds, max_bytes, redirects)
        return fetch(url, bounds, accept=accept, secrets=self._environment.secrets)


def _health(answer: Answer, status: str, body: Mapping[str, object]) -> Health:
    fields = Fields()
    redis, warming = fields.table(body, "redis"), fields.table(body, "warming")
    version = body.get("version")
    return Health(
        http_status=answer.http_status,
        status=status,
        redis_reachable=fields.switch(redis, "reachable", "redis"),
        hit_ratio=fields.ratio(body, "hit_rate"),
        penetration_ratio=fields.ratio(body, "penetration_rate"),
        warming_last_run_at=fields.moment(warming, "last_run", "warming"),
        warming_running=fields.switch(warming, "running", "warming"),
        features=fields.features(body),
        version=one_line(str(version), longest=100) if isinstance(version, str | int | float) else "",
        latency_seconds=answer.latency_seconds,
        provenance=_provenance(answer),
        # Before the notes are taken: reading it may add one.
        redis_latency_seconds=fields.milliseconds(redis, "latency_ms", "redis"),
        notes=tuple(fields.notes),
    )


def _json_object(answer: Answer) -> Mapping[str, object]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        what = "an HTML page (a login page?)" if answer.is_html else "something that is not JSON"
        raise SourceError(
            f"{answer.url} answered {answer.http_status} with {what}: {answer.excerpt}",
            source="web",
            hint=f"open {answer.url} with curl: a proxy or a login page may answer instead of the site",
            kind=_kind_of_page(answer),
        ) from error
    if not isinstance(body, dict):
        raise SourceError(
            f"{answer.url} answered {answer.http_status} with JSON that is not an object: {answer.excerpt}",
            source="web",
            hint=f"is {HEALTH_PATH} the health endpoint of the cache on this site?",
        )
    return body


def _wrong_status(answer: Answer) -> SourceError:
    hint = _STATUS_HINTS.get(answer.http_status, _OTHER_STATUS_HINT)
    return SourceError(
        f"{answer.url} answered {answer.http_status}: {answer.excerpt}", source="web", hint=hint, kind=_kind(answer)
    )


def _kind(answer: Answer) -> Kind:
    """What a status that is no answer says: not let in, cannot work, or something else than was asked for."""
    if answer.http_status in {401, 403, 407}:
        return Kind.DENIED
    return Kind.FAULTY if answer.http_status >= 500 else Kind.WRONG


def _kind_of_page(answer: Answer) -> Kind:
    """What came instead of JSON: a page with a good status is most likely one to log in at."""
    return Kind.DENIED if answer.is_html and answer.http_status < 300 else _kind(answer)


def _provenance(answer: Answer) -> Provenance:
    return Provenance("web", f"GET {answer.url}", answer.read_at, answer.latency_seconds)
