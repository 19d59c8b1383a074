"""During a deployment: does the site answer with the new version, and do its tests pass?"""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts import Health
from runbooks_lib.facts.deployment import TestRun
from runbooks_lib.judgement.deployment.result import ItemResult, not_known
from runbooks_lib.model import Unreadable

ANSWERS, TESTS = "deploy.answers", "deploy.tests"
_ANSWERING = frozenset({"healthy", "degraded"})


def judge_answers(health: Health | Unreadable, *, release: str, version_before: str | None) -> ItemResult:
    """Does the site answer, and with another version than before the deployment?

    Args:
        health: of the health endpoint, asked now.
        release: its name; a site that calls its version so is surely the new one.
        version_before: as it was before the deployment; None where it was not noted, empty where the site named none.
    """
    if isinstance(health, Unreadable):
        return not_known(ANSWERS, health)
    values = {
        "http_status": health.http_status,
        "status": health.status,
        "version": health.version,
        "version_before": version_before,
        "latency_seconds": round(health.latency_seconds, 4),
    }
    said = f"answers {health.http_status}, {health.status}, in {units.seconds(health.latency_seconds)}"
    # Degraded is an answer as well: with the feature at 0 %, as the checklist wants it, the hit rate may be low.
    if health.http_status != 200 or health.status not in _ANSWERING:
        hint = "find out why before you go on: runbooks triage"
        return ItemResult(ANSWERS, ItemStatus.FAILED, said, values, hint)
    if not health.version:
        return ItemResult(ANSWERS, ItemStatus.DONE, f"{said}; the site names no version", values)
    if health.version == release or version_before is None or version_before != health.version:
        was = f", before it was {version_before}" if version_before else ""
        noted = "" if version_before is not None or health.version == release else ", not noted before the deployment"
        return ItemResult(ANSWERS, ItemStatus.DONE, f"{said}, version {health.version}{was}{noted}", values)
    text = f"{said}, and its version is {health.version}, as it was before the deployment"
    hint = "deploy it; does a process of the old release still answer? A site that never changes its version: waive it"
    return ItemResult(ANSWERS, ItemStatus.OPEN, text, values, hint)


def judge_tests(run: TestRun | Unreadable) -> ItemResult:
    """Did the site's tests pass?

    Returns:
        Done when the exit code is 0 and at least one test ran; failed when either says otherwise; unknown where it did
        not come to its end, or says no count.
    """
    if isinstance(run, Unreadable):
        return not_known(TESTS, run)
    values = {
        "exit_code": run.exit_code,
        "ran": run.ran_count,
        "failures": run.failures_count,
        "skipped": run.skipped_count,
        "took_seconds": round(run.took_seconds, 1),
        "labels": list(run.labels),
        "last_lines": list(run.last_lines),
    }
    which = f" ({', '.join(run.labels)} only)" if run.labels else ""
    took = f"in {units.duration(run.took_seconds)}"
    ran = "no count of tests" if run.ran_count is None else units.exactly(run.ran_count, "test")
    text, hint = (
        f"exit code {run.exit_code}, {ran} {took}{which}",
        "its last lines say why; correct it, and run them again",
    )
    if run.exit_code is None:
        longer = "give it longer (test_timeout), or narrow it with test_labels"
        return ItemResult(
            TESTS, ItemStatus.UNKNOWN, f"the tests did not come to their end: {run.ended}", values, longer
        )
    if run.exit_code or run.failures_count or run.ran_count == 0:
        failed = units.exactly(run.failures_count, "failure") if run.failures_count else "none passed"
        text = f"{text}: {failed}" if run.failures_count or not run.ran_count else text
        return ItemResult(TESTS, ItemStatus.FAILED, text, values, hint)
    if run.ran_count is None:
        hint = "run them by hand and look; to go on without this proof, waive it"
        return ItemResult(TESTS, ItemStatus.UNKNOWN, text, values, hint)
    skipped = f", {run.skipped_count} skipped" if run.skipped_count else ""
    return ItemResult(TESTS, ItemStatus.DONE, f"{ran} passed{skipped} {took}{which}", values)
