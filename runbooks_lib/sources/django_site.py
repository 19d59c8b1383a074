"""The site's own code, asked through ``manage.py shell``: flags, settings, the size of its cache. Reads only."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.facts import Flag, Flags
from runbooks_lib.model import Kind, Provenance, Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.manage_shell import ManageShell

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

_SOURCE = "django"
_FLAGS_MAX = 200
#: Everything that can be asked for: name → what it is called, and what it says. The code is in ``on_site.py``.
READS: Mapping[str, tuple[str, str]] = {
    "flags": ("feature flags", "FeatureFlagService.get_all_features_status()"),
    "cache_warming": ("warming settings", "settings.CACHE_WARMING"),
    "throttling": ("throttling settings", "settings.REST_FRAMEWORK: throttle classes and rates"),
    "caches": ("cache settings", "settings.CACHES without passwords"),
    "sessions": ("session settings", "settings.SESSION_ENGINE, SESSION_CACHE_ALIAS"),
    "dbsize": ("cache size", 'get_redis_connection("default").dbsize()'),
}


class DjangoSite:
    """Reads through the site's own code; a process is started on call only.

    Args:
        environment: ``manage`` is the command that runs the site's ``manage.py``; may be empty.
        timeout_seconds: for one call with the start of the site (about a second) in it, over 0.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float = 20.0) -> None:
        self._environment = environment
        self._shell = ManageShell(environment, timeout_seconds)

    def flags(self, *, timeout_seconds: float | None = None) -> Flags:
        """How are the feature flags set now?

        Args:
            timeout_seconds: for this call, over 0; by default that of the object, which it can only shorten.

        Raises:
            SourceError: the site could not be asked, its flag service failed, or its answer is not what the
                interface promises.

        Source:
            FeatureFlagService.get_all_features_status(); see the contract of the site, Feature flags.
        """
        at, began = units.now(), time.monotonic()
        answer = self.call(["flags"], timeout_seconds=timeout_seconds)["flags"]
        if isinstance(answer, Unreadable):
            raise SourceError(answer.reason, source=_SOURCE, hint=answer.hint, kind=answer.kind)
        flags = tuple(_flags(answer))
        query = f"manage.py shell: {READS['flags'][1]}"
        return Flags(flags, Provenance(_SOURCE, query, at, time.monotonic() - began))

    def call(self, reads: Sequence[str], *, timeout_seconds: float | None = None) -> Mapping[str, object]:
        """Several reads in one start of the site.

        Args:
            reads: names out of ``READS``.
            timeout_seconds: for this call, over 0; by default that of the object, which it can only shorten.

        Returns:
            Name → value as the site's code gives it (JSON types, untrusted), or ``Unreadable`` where this one failed.

        Raises:
            UsageError: a name is not in ``READS``.
            SourceError: the site could not be asked at all.
        """
        unknown = sorted(set(reads) - READS.keys())
        if unknown:
            raise UsageError(f"{unknown[0]!r} cannot be read from the site", hint=f"choose from {', '.join(READS)}")
        answer = self._shell.run(_program(), {"reads": list(dict.fromkeys(reads))}, timeout_seconds=timeout_seconds)
        if not isinstance(answer, dict):
            raise _wrong("its answer", answer)
        return {name: self._one(name, answer.get(name)) for name in dict.fromkeys(reads)}

    def end(self) -> None:
        """End every process that a call still waits for, with all that it started. The calls fail; later ones work."""
        self._shell.groups.end()

    def _one(self, name: str, answer: object) -> object:
        if isinstance(answer, dict) and "value" in answer:
            return answer["value"]
        if isinstance(answer, dict) and "error" in answer:
            reason, kind = f"the site failed at {READS[name][1]}: {answer['error']}", Kind.FAULTY
        else:
            reason, kind = f"the site gave nothing for {READS[name][1]}", Kind.WRONG
        hint = "does this site have that code, and does it reach what the code needs?"
        return Unreadable(_SOURCE, READS[name][0], one_line(reason, self._environment.secrets), hint, kind)


def _program() -> str:
    """The text of ``on_site.py``: a constant of this library."""
    return resources.files("runbooks_lib.sources").joinpath("on_site.py").read_text(encoding="utf-8")


def _flags(answer: object) -> Iterator[Flag]:
    """Flags from ``{feature: status}`` or ``[status]``; both occur."""
    if isinstance(answer, dict):
        named = [(str(name), status) for name, status in answer.items()]
    elif isinstance(answer, list):
        named = [("", status) for status in answer]
    else:
        raise _wrong("the list of flags", answer)
    if len(named) > _FLAGS_MAX:
        raise _wrong("the list of flags", f"{len(named)} flags")
    for name, status in named:
        if not isinstance(status, dict):
            raise _wrong(f"flag {name!r}", status)
        yield _flag(name or str(status.get("feature", "")), status)


def _flag(name: str, status: Mapping[str, object]) -> Flag:
    strategy, percentage = status.get("strategy"), status.get("percentage")
    if not name or not isinstance(strategy, str):
        raise _wrong(f"the strategy of flag {name!r}", strategy)
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise _wrong(f"the percentage of flag {name!r}", percentage)
    if not math.isfinite(percentage) or not 0 <= percentage <= 100:
        raise _wrong(f"the percentage of flag {name!r}", percentage)
    listed, enabled = status.get("whitelist_count"), status.get("enabled")
    return Flag(
        feature=one_line(name, longest=100),
        strategy=one_line(strategy, longest=40).lower(),
        percentage=float(percentage),
        whitelist_count=listed if isinstance(listed, int) and not isinstance(listed, bool) else None,
        enabled=enabled if isinstance(enabled, bool) else None,
    )


def _wrong(what: str, value: object) -> SourceError:
    return SourceError(
        f"the site's flag service gave {what} as {one_line(repr(value), longest=120)}",
        source=_SOURCE,
        hint="expected is {feature: {feature, strategy, percentage 0..100, whitelist_count, enabled}}",
    )
