"""In which order the tests of the one sandbox run.

After a fault the site needs some 20 s until triage finds nothing any more, and every test that wants a healthy site
waits for that. So first come the tests that leave the site as they found it; then each test that breaks it
(``breaks_site``), followed by tests that do not mind how the site does (``any_health``): it recovers meanwhile.
"""

from __future__ import annotations

from itertools import chain, groupby, zip_longest

import pytest


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests without the sandbox as they are, then those with it; tests of one module stay together."""
    rest = [item for item in items if not _is(item, "sandbox")]
    calm = [item for item in items if _is(item, "sandbox") and not _is(item, "breaks_site", "any_health")]
    breaking = [[item] for item in items if _is(item, "breaks_site")]
    indifferent = [list(group) for _, group in groupby((i for i in items if _is(i, "any_health")), key=_module)]
    pairs = zip_longest(breaking, indifferent, fillvalue=[])
    return [*rest, *calm, *chain.from_iterable(first + second for first, second in pairs)]


def _is(item: pytest.Item, *names: str) -> bool:
    return any(item.get_closest_marker(name) for name in names)


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
