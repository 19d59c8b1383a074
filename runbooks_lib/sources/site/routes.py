"""Which routes of a site can be asked without knowing it? Its API's root says, or the names of its endpoints do.

Nothing is taken on trust: whoever uses these asks each of them, and keeps those that answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.site.fetch import Bounds, fetch

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

API_ROOT = "/api/"
MOST_ROUTES = 8
_MAX_BYTES = 256 * 1024
_SECONDS = 2.0
#: As REST framework names the routes of a resource: ``course-list`` is ``courses/``, ``course-detail`` has an id.
_ENDPOINT = re.compile(r"([a-z][a-z0-9_]{0,40})-(list|detail)")


def routes_of(text: str) -> tuple[str, ...]:
    """The routes in a parameter, separated by commas or blanks.

    Raises:
        UsageError: one is no path of this site, or there are too many.
    """
    routes = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for route in routes:
        if not route.startswith("/") or route.startswith(("//", "/\\")) or not route.isprintable() or len(route) > 300:
            raise UsageError(
                f"{one_line(route, longest=60)!r} is not a route of the site", hint="such as /api/courses/"
            )
    if len(routes) > MOST_ROUTES:
        raise UsageError(f"{len(routes)} routes; at most {MOST_ROUTES} are sampled", hint="name the busiest ones")
    return routes


def routes_by_root(environment: Environment) -> tuple[str, ...]:
    """The routes that the root of the site's API lists, as REST framework's router makes it; empty where there is none.

    Source:
        GET /api/: a JSON object, name → address of this very site.
    """
    site = environment.site_url.rstrip("/")
    try:
        answer = fetch(
            f"{site}{API_ROOT}", Bounds(_SECONDS, _MAX_BYTES), accept="application/json", secrets=environment.secrets
        )
        body = json.loads(answer.body) if answer.http_status == 200 else None
    except (SourceError, ValueError, RecursionError):
        return ()
    found = body.values() if isinstance(body, dict) else ()
    return tuple(dict.fromkeys(path for one in found if (path := _path_here(one, site))))[:MOST_ROUTES]


def routes_by_endpoints(endpoints: Sequence[str]) -> tuple[str, ...]:
    """The routes that endpoints called ``course-list`` and ``course-detail`` have where they follow the custom.

    Args:
        endpoints: labels of the metrics, the busiest first; written by strangers.
    """
    routes = []
    for endpoint in endpoints:
        match = _ENDPOINT.fullmatch(endpoint)
        if match:
            routes.append(f"{API_ROOT}{_plural(match[1])}/{'1/' if match[2] == 'detail' else ''}")
    return tuple(dict.fromkeys(routes))[:MOST_ROUTES]


def _path_here(address: object, site: str) -> str:
    """The path of an address of this site; empty for anything else."""
    if not isinstance(address, str) or not address.isprintable() or len(address) > 300:
        return ""
    try:
        there, here = urlsplit(address), urlsplit(site)
        # Behind a proxy a site may name itself otherwise than it is reached; a path is asked of the site that we know.
        same = not there.netloc or there.hostname == here.hostname
    except ValueError:
        return ""
    path = there.path
    return path if same and path.startswith("/") and not path.startswith("//") else ""


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"
