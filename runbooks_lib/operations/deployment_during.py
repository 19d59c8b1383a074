"""During a deployment: the site answers, its tests pass, its metrics are whole."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.checklist import How, ItemStatus
from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.facts import Health
from runbooks_lib.facts.deployment import TestRun
from runbooks_lib.facts.metrics_contract import MetricsContract
from runbooks_lib.judgement.deployment.before import FLAG
from runbooks_lib.judgement.deployment.during import TESTS, judge_answers, judge_tests
from runbooks_lib.judgement.deployment.metrics import judge_metrics
from runbooks_lib.judgement.deployment.result import ItemResult
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.deployment import Step, keep, read_checklist, release_of
from runbooks_lib.operations.reading import attempt
from runbooks_lib.parameters import parse_duration
from runbooks_lib.records.checklists import Checklists
from runbooks_lib.redaction import one_line, redact
from runbooks_lib.runbook import Runbook
from runbooks_lib.sources.metrics.contract import contract_samples
from runbooks_lib.sources.site.manage_test import labels_of, run_site_tests

#: Between two looks at the metrics: enough for a site with some traffic to move them.
_APART_SECONDS, _SHORTEST_APART_SECONDS = 5.0, 1.5


def check_answers(runbook: Runbook) -> Step[Health | Unreadable]:
    """Does the site answer, and with another version than the one that was noted before the deployment?"""
    health = attempt(runbook, "the health endpoint", "web", runbook.sources.web.health)
    before = version_before(runbook)
    result = judge_answers(health, release=release_of(runbook), version_before=before)
    return keep(runbook, result, health)


def version_before(runbook: Runbook) -> str | None:
    """The version that the site named when the flag was last read before the deployment; None where none was noted."""
    checklist = read_checklist(runbook).checklist
    until = checklist.deployed_at
    noted = [
        entry.values["site_version"]
        for entry in checklist.history(FLAG)
        if "site_version" in entry.values and (until is None or entry.at <= until)
    ]
    return str(noted[-1]) if noted else None


def check_tests(
    runbook: Runbook, *, test_labels: str = "", test_timeout: str = "15m", tests_on: str = ""
) -> Step[TestRun | Unreadable | None]:
    """Do the site's tests pass?

    Args:
        runbook: the opened runbook.
        test_labels: dotted names of tests, separated by blanks; empty for all.
        test_timeout: after so long they are ended.
        tests_on: another environment, on which the tests of this release were run by this notebook: they are not run
            again, its result is taken.

    Raises:
        UsageError: a label, the duration or the environment is none; nothing was started.
    """
    labels, seconds = labels_of(test_labels), parse_duration(test_timeout)
    if tests_on and tests_on != runbook.environment.name:
        return keep(runbook, _from_elsewhere(runbook, tests_on), None)
    environment = runbook.environment
    try:
        run = run_site_tests(environment, labels, timeout_seconds=seconds)
    except RefusedError as error:
        return keep(runbook, ItemResult(TESTS, ItemStatus.OPEN, f"REFUSED: {error.message}", hint=error.hint), None)
    except SourceError as error:
        reason, hint = one_line(error.message, environment.secrets), redact(error.hint, environment.secrets)
        unread = Unreadable(error.source, "the result of the tests", reason, hint, error.kind)
        return keep(runbook, judge_tests(unread), unread)
    return keep(runbook, judge_tests(run), run)


def check_metrics(runbook: Runbook) -> Step[MetricsContract | Unreadable]:
    """Is every metric of the contract there, labelled and moving? Two looks at ``/metrics``, some seconds apart."""
    web = runbook.sources.web
    apart = max(_SHORTEST_APART_SECONDS, _APART_SECONDS / runbook.environment.time_scale)
    found = attempt(runbook, "the metrics", "web", lambda: contract_samples(web, apart_seconds=apart))
    return keep(runbook, judge_metrics(found), found)


def _from_elsewhere(runbook: Runbook, name: str) -> ItemResult:
    """The result of the tests on another environment, with whose it is."""
    there = runbook.configuration.environment(name)
    found = Checklists(runbook.run.ledger, there.name, there.secrets).read(release_of(runbook)).settled(TESTS)
    again = run_command(runbook.name, there.name, {"release": release_of(runbook)})
    if found is None or found.how is How.WAIVED:
        text = f"no result of this release's tests on {there.name}"
        return ItemResult(TESTS, ItemStatus.OPEN, text, hint=f"run them there: {again}")
    text = f"on {there.name}, by {found.by} at {units.timestamp(found.at)}: {found.text}"
    values = {**found.values, "environment": there.name, "run_id": found.run_id}
    return ItemResult(TESTS, found.status, text, values, "" if found.status is ItemStatus.DONE else again)
