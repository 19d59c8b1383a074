"""What a site's flag service and workers answer, as facts. All of it is untrusted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Flag, FlagService, WarmingPermission, WorkerTask, WorkerTasks
from runbooks_lib.model import Provenance
from runbooks_lib.redaction import one_line

_SOURCE = "django"
_FLAGS_MAX = 200


def parse_flags(answer: object) -> Iterator[Flag]:
    """Flags from ``{feature: status}`` or ``[status]``; both occur."""
    if isinstance(answer, dict):
        named = [(str(name), status) for name, status in answer.items()]
    elif isinstance(answer, list):
        named = [("", status) for status in answer]
    else:
        raise wrong_answer("the list of flags", answer)
    if len(named) > _FLAGS_MAX:
        raise wrong_answer("the list of flags", f"{len(named)} flags")
    for name, status in named:
        if not isinstance(status, dict):
            raise wrong_answer(f"flag {name!r}", status)
        yield _flag(name or str(status.get("feature", "")), status)


def parse_flag_service(answer: object, whitelisted: bool | None, provenance: Provenance) -> FlagService:  # noqa: FBT001 - a fact, not a mode
    """The answer to the read ``flag_service``.

    Raises:
        SourceError: it is not one.
    """
    if not isinstance(answer, dict):
        raise wrong_answer("its answer", answer)
    seconds = answer.get("cache_seconds")
    usable = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
    return FlagService(
        flags=tuple(parse_flags(answer.get("flags"))),
        tables=_names(answer.get("tables")),
        methods=_names(answer.get("methods")),
        copy_seconds=float(seconds) if usable else None,  # type: ignore[arg-type]  # checked on the line above
        whitelisted=whitelisted,
        provenance=provenance,
        cache_tables=_names(answer.get("cache_tables")),
    )


def parse_warming_permission(answer: object, provenance: Provenance) -> WarmingPermission:
    """The answer to the read ``warming_state``.

    Raises:
        SourceError: it is not one.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("flag"), dict):
        raise wrong_answer("whether it may warm", answer)
    configured = answer.get("settings")
    enabled = configured.get("ENABLED") if isinstance(configured, dict) else None
    return WarmingPermission(
        enabled=enabled if isinstance(enabled, bool) else None,
        flag=_flag("CACHE_WARMING", answer["flag"]),
        has_command=answer.get("command") is True,
        provenance=provenance,
    )


def parse_worker_tasks(answer: object, provenance: Provenance) -> WorkerTasks:
    """The answer to the read ``running_tasks``.

    Raises:
        SourceError: it is not one.
    """
    workers = answer.get("workers") if isinstance(answer, dict) else None
    tasks = answer.get("tasks") if isinstance(answer, dict) else None
    if not isinstance(workers, int) or not isinstance(tasks, list):
        raise wrong_answer("the running tasks", answer)
    shown = [task for task in tasks if isinstance(task, dict)]
    return WorkerTasks(
        workers_count=workers,
        tasks=tuple(
            WorkerTask(one_line(str(task.get("worker")), longest=100), one_line(str(task.get("task")), longest=200))
            for task in shown
        ),
        provenance=provenance,
    )


def _names(value: object) -> tuple[str, ...]:
    """Names as text, at most 200."""
    return tuple(one_line(str(name), longest=100) for name in value[:200]) if isinstance(value, list) else ()


def _flag(name: str, status: Mapping[str, object]) -> Flag:
    strategy, percentage = status.get("strategy"), status.get("percentage")
    if not name or not isinstance(strategy, str):
        raise wrong_answer(f"the strategy of flag {name!r}", strategy)
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise wrong_answer(f"the percentage of flag {name!r}", percentage)
    if not math.isfinite(percentage) or not 0 <= percentage <= 100:
        raise wrong_answer(f"the percentage of flag {name!r}", percentage)
    listed, enabled = status.get("whitelist_count"), status.get("enabled")
    return Flag(
        feature=one_line(name, longest=100),
        strategy=one_line(strategy, longest=40).lower(),
        percentage=float(percentage),
        whitelist_count=listed if isinstance(listed, int) and not isinstance(listed, bool) else None,
        enabled=enabled if isinstance(enabled, bool) else None,
    )


def wrong_answer(what: str, value: object) -> SourceError:
    """The error for an answer that is not what the interface promises."""
    return SourceError(
        f"the site's flag service gave {what} as {one_line(repr(value), longest=120)}",
        source=_SOURCE,
        hint="expected is {feature: {feature, strategy, percentage 0..100, whitelist_count, enabled}}",
    )
