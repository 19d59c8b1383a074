"""The site's own code, asked through ``manage.py shell``: flags, settings, the size of its cache. Reads only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.facts import Flag, Flags, FlagService, WarmingPermission, WorkerTasks
from runbooks_lib.model import Kind, Provenance, Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.site.flag_answers import (
    parse_flag_service,
    parse_flags,
    parse_warming_permission,
    parse_worker_tasks,
    wrong_answer,
)
from runbooks_lib.sources.site.manage_shell import ManageShell
from runbooks_lib.sources.site.program_text import program_text

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

_SOURCE = "django"
#: Everything that can be asked for: name → what it is called, and what it says. The code is in ``on_site.py``.
READS: Mapping[str, tuple[str, str]] = {
    "flags": ("feature flags", "FeatureFlagService.get_all_features_status()"),
    "cache_warming": ("warming settings", "settings.CACHE_WARMING"),
    "throttling": ("throttling settings", "settings.REST_FRAMEWORK: throttle classes and rates"),
    "caches": ("cache settings", "settings.CACHES without passwords"),
    "sessions": ("session settings", "settings.SESSION_ENGINE, SESSION_CACHE_ALIAS"),
    "dbsize": ("cache size", 'get_redis_connection("default").dbsize()'),
    "flag_service": ("flag service", "FeatureFlagService.get_all_features_status(), and the tables that it asks"),
    "warming_state": ("whether the site may warm", "settings.CACHE_WARMING, flag CACHE_WARMING, manage.py help"),
    "running_tasks": ("running tasks", "celery inspect active"),
    "identity": ("which site it is", "settings: module, databases, caches, without credentials"),
}
#: Reads that are about something in particular, and need the data of the call.
ASKED: Mapping[str, tuple[str, str]] = {
    "flags_later": ("feature flags, later", READS["flags"][1]),
    "whitelisted": ("membership of a whitelist", "FeatureFlagService.is_whitelisted()"),
}
#: A read-back waits for the copy that each process of the site keeps: as long as the site says, bounded, or so long.
COPY_SECONDS = 2.0
LONGEST_COPY_SECONDS = 10.0


class DjangoSite:
    """Reads through the site's own code; a process is started on call only.

    Args:
        environment: ``manage`` is the command that runs the site's ``manage.py``; may be empty.
        timeout_seconds: for one call with the start of the site (about a second) in it, over 0.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float = 20.0) -> None:
        self._environment = environment
        self._shell = ManageShell(environment, timeout_seconds)
        self._identity: Mapping[str, object] | None = None

    @property
    def identity(self) -> Mapping[str, object] | None:
        """Which site it says it is, as the newest ``flag_service`` or ``warming_permission`` heard it.

        None before that. What it could not say is an empty mapping: as it was then, so it must be when it is applied.
        """
        return self._identity

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
        answer = _read(self.call(["flags"], timeout_seconds=timeout_seconds)["flags"])
        flags = tuple(parse_flags(answer))
        query = f"manage.py shell: {READS['flags'][1]}"
        return Flags(flags, Provenance(_SOURCE, query, at, time.monotonic() - began))

    def flag_service(self, *, feature: str = "", user_id: int = 0) -> FlagService:
        """How are the flags set, what does the service offer, and where does it keep them?

        Args:
            feature: with ``user_id``: whether this user is on the whitelist of this feature is asked as well.
            user_id: 1 or more.

        Raises:
            SourceError: see ``flags``.

        Source:
            FeatureFlagService.get_all_features_status() in a fresh process, watched by Django's
            ``connection.execute_wrapper``; settings.FEATURE_FLAG_CACHE_SECONDS; is_whitelisted().
        """
        at, began = units.now(), time.monotonic()
        reads = ["flag_service", "identity", *(["whitelisted"] if user_id else [])]
        answers = self.call(reads, {"feature": feature, "user_id": user_id})
        listed = answers.get("whitelisted")
        source = Provenance(_SOURCE, f"manage.py shell: {READS['flag_service'][1]}", at, time.monotonic() - began)
        self._note(answers["identity"])
        return parse_flag_service(_read(answers["flag_service"]), listed if isinstance(listed, bool) else None, source)

    def flags_twice(
        self, wait_seconds: float, *, feature: str = "", user_id: int = 0
    ) -> tuple[FlagService, tuple[Flag, ...]]:
        """The flags as a new process reads them, and as it reads them again after ``wait_seconds`` (at most 15).

        Raises:
            SourceError: see ``flags``.
        """
        at, began = units.now(), time.monotonic()
        reads = ["flag_service", *(["whitelisted"] if user_id else []), "flags_later"]
        answers = self.call(reads, {"feature": feature, "user_id": user_id, "wait_seconds": wait_seconds})
        listed = answers.get("whitelisted")
        source = Provenance(_SOURCE, f"manage.py shell: {READS['flags'][1]}, twice", at, time.monotonic() - began)
        first = parse_flag_service(_read(answers["flag_service"]), listed if isinstance(listed, bool) else None, source)
        return first, tuple(parse_flags(_read(answers["flags_later"])))

    def warming_permission(self) -> WarmingPermission:
        """May the site warm, and can a run be started?

        Raises:
            SourceError: the site could not be asked, or has no flag service.

        Source:
            settings.CACHE_WARMING, FeatureFlagService.get_feature_status(CACHE_WARMING), the list of its commands.
        """
        at, began = units.now(), time.monotonic()
        answers = self.call(["warming_state", "identity"])
        self._note(answers["identity"])
        answer = _read(answers["warming_state"])
        query = f"manage.py shell: {READS['warming_state'][1]}"
        return parse_warming_permission(answer, Provenance(_SOURCE, query, at, time.monotonic() - began))

    def running_tasks(self) -> WorkerTasks:
        """What are the Celery workers working on?

        Raises:
            SourceError: the site could not be asked, has no Celery, or its broker does not answer.

        Source:
            celery inspect active, answers within a second.
        """
        at, began = units.now(), time.monotonic()
        answer = _read(self.call(["running_tasks"])["running_tasks"])
        return parse_worker_tasks(answer, Provenance(_SOURCE, "celery inspect active", at, time.monotonic() - began))

    def call(
        self, reads: Sequence[str], data: Mapping[str, object] | None = None, *, timeout_seconds: float | None = None
    ) -> Mapping[str, object]:
        """Several reads in one start of the site.

        Args:
            reads: names out of ``READS`` and ``ASKED``.
            data: what the reads of ``ASKED`` are about: ``feature``, ``user_id``, ``wait_seconds``.
            timeout_seconds: for this call, over 0; by default that of the object, which it can only shorten.

        Returns:
            Name → value as the site's code gives it (JSON types, untrusted), or ``Unreadable`` where this one failed.

        Raises:
            UsageError: a name is not in ``READS`` or ``ASKED``.
            SourceError: the site could not be asked at all.
        """
        unknown = sorted(set(reads) - READS.keys() - ASKED.keys())
        if unknown:
            raise UsageError(f"{unknown[0]!r} cannot be read from the site", hint=f"choose from {', '.join(READS)}")
        request = {**(data or {}), "reads": list(dict.fromkeys(reads))}
        answer = self._shell.run(_program(), request, timeout_seconds=timeout_seconds)
        if not isinstance(answer, dict):
            raise wrong_answer("its answer", answer)
        return {name: self._one(name, answer.get(name)) for name in dict.fromkeys(reads)}

    def end(self) -> None:
        """End every process that a call still waits for, with all that it started. The calls fail; later ones work."""
        self._shell.groups.end()

    def _note(self, said: object) -> None:
        self._identity = said if isinstance(said, dict) else {}

    def _one(self, name: str, answer: object) -> object:
        if isinstance(answer, dict) and "value" in answer:
            return answer["value"]
        called, says = READS.get(name) or ASKED[name]
        if isinstance(answer, dict) and "error" in answer:
            reason, kind = f"the site failed at {says}: {answer['error']}", Kind.FAULTY
        else:
            reason, kind = f"the site gave nothing for {says}", Kind.WRONG
        hint = "does this site have that code, and does it reach what the code needs?"
        return Unreadable(_SOURCE, called, one_line(reason, self._environment.secrets), hint, kind)


def _program() -> str:
    """The text of ``on_site.py``: a constant of this library."""
    return program_text("runbooks_lib.sources.site", "on_site.py")


def copy_seconds(service: FlagService) -> float:
    """How long a process of the site may go on serving a flag as it was, in seconds; at most 10."""
    return COPY_SECONDS if service.copy_seconds is None else min(service.copy_seconds, LONGEST_COPY_SECONDS)


def _read(answer: object) -> object:
    """The answer to one read.

    Raises:
        SourceError: the site gave none.
    """
    if isinstance(answer, Unreadable):
        raise SourceError(answer.reason, source=_SOURCE, hint=answer.hint, kind=answer.kind)
    return answer
