"""The steps of the checklist's notebooks on a fake site and a real Redis: plan, confirm, accept, refuse, go on later."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from runbooks_lib.actions.outcome import Result
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.config import load
from runbooks_lib.errors import UsageError
from runbooks_lib.model import Status
from runbooks_lib.operations.deployment import judge_phase, read_checklist
from runbooks_lib.operations.deployment_after import check_error_rate, check_headers, check_startup_warming
from runbooks_lib.operations.deployment_before import check_backup, check_baseline, check_flag
from runbooks_lib.operations.deployment_during import check_answers, check_metrics, check_tests
from runbooks_lib.operations.deployment_shown import (
    show_backup,
    show_checklist,
    show_day,
    show_flag,
    show_routes,
    show_tests,
)
from runbooks_lib.records.checklists import Checklists, Who
from runbooks_lib.runbook import open_runbook

RELEASE = "2026-11-23"
GIVEN = {
    "pre_deployment": {"backup_age": "auto"},
    "deployment": {},
    "post_deployment": {"deployed": "auto"},
}


@pytest.fixture
def site(fake_site, scene_redis):
    """A site with a version, on a Redis that holds some answers."""
    client = scene_redis.client()
    client.flushall()
    client.mset({f"django:1:api:Course:{number}": b"x" for number in range(50)})
    made = fake_site(scene_redis.port)
    made.set(health={"status": "healthy", "version": "1.0", "redis": {"reachable": True}})
    return made


@pytest.fixture
def at(site, tmp_path, workplace):
    """Opens a runbook on it: ``at("pre_deployment")``; ``guarded`` is the same kind of site, protected."""
    environment = site.environment
    keys = {
        "redis_url": environment.redis_url,
        "prometheus_url": "http://127.0.0.1:9",
        "site_url": environment.site_url,
        "manage": list(environment.manage),
        "key_prefix": "django",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    elsewhere = [line.replace("127.0.0.1", "127.1") for line in lines if not line.startswith("manage")]
    text = "\n".join(
        (
            "[environments.site]",
            *lines,
            "allow_auto = true",
            "time_scale = 60",
            "[environments.guarded]",
            *elsewhere,
            'manage = ["false", "manage.py"]',
            "protected = true",
        )
    )
    path = workplace.folder / "runbooks.toml"
    path.write_text(f"{text}\n", encoding="utf-8")

    def opened(name, environment="site", **changes):
        values = {"release": RELEASE, **GIVEN[name], **changes}
        return open_runbook(name, environment=environment, configuration=load(path, {}), parameters=values)

    return opened


def test_check_flag_plans_then_sets_it_by_the_digest_and_never_by_auto(at, site):
    """On → failed with a plan; ``auto`` changes nothing; the digest sets it; both are in the history."""
    runbook = at("pre_deployment")
    planned = check_flag(runbook, "ENHANCED_CACHE")
    assert (planned.result.status, planned.outcomes[0].result) == (ItemStatus.FAILED, Result.PLANNED)
    digest = planned.outcomes[0].plan.digest

    by_auto = check_flag(runbook, "ENHANCED_CACHE", confirm="auto")
    assert by_auto.outcomes[0].result is Result.PLANNED
    assert site.flags["ENHANCED_CACHE"]["strategy"] == "on"

    applied = check_flag(runbook, "ENHANCED_CACHE", confirm=digest)
    assert applied.outcomes[0].result is Result.APPLIED, applied.outcomes[0].detail
    assert (applied.result.status, site.flags["ENHANCED_CACHE"]["strategy"]) == (ItemStatus.DONE, "gradual")
    assert "set percentage" not in show_flag(applied, runbook).text or digest in show_flag(applied, runbook).text
    stand = read_checklist(runbook).stands[1]
    assert (stand.word, stand.against.status) == ("done", ItemStatus.FAILED)


def test_check_backup_is_made_by_its_digest_then_accepted_with_a_new_proof_until_it_is_old(at):
    """Planned, made and proved; accepted from the disk; too old: planned again; damaged: failed."""
    runbook = at("pre_deployment")
    planned = check_backup(runbook)
    assert (planned.result.status, planned.outcomes[0].result) == (ItemStatus.OPEN, Result.PLANNED)
    verdict = judge_phase(runbook, planned)
    assert any(f"confirm={planned.outcomes[0].plan.digest}" in step.command for step in verdict.next_steps)
    assert verdict.status is Status.WARN

    made = check_backup(runbook, confirm=planned.outcomes[0].plan.digest)
    assert made.result.status is ItemStatus.DONE, made.result.text
    assert "proved: 50 keys" in made.result.text
    accepted = check_backup(at("pre_deployment"), confirm="auto")
    assert (accepted.result.status, accepted.outcomes) == (ItemStatus.DONE, ())
    assert "Proof of " in show_backup(accepted, runbook).text

    (manifest,) = runbook.environment.backups_folder.glob("*/manifest.json")
    whole = json.loads(manifest.read_text(encoding="utf-8"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    manifest.write_text(json.dumps({**whole, "made_at": yesterday.isoformat()}), encoding="utf-8")
    old = check_backup(at("pre_deployment"))
    assert old.result.status is ItemStatus.OPEN
    assert old.result.text.endswith("made 24 h ago: older than 12 min")
    assert check_backup(at("pre_deployment", backup_age="2d")).result.status is ItemStatus.DONE
    manifest.write_text(json.dumps(whole), encoding="utf-8")
    (file,) = runbook.environment.backups_folder.glob("*/*.rdb")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    damaged = check_backup(at("pre_deployment"))
    assert damaged.result.status is ItemStatus.FAILED
    assert "its proof failed" in damaged.result.text
    assert damaged.outcomes[0].result is Result.PLANNED


def test_check_backup_of_another_redis_or_with_a_broken_manifest_is_not_accepted(at):
    """What lies there must be of this very Redis, and readable."""
    runbook = at("pre_deployment")
    check_backup(runbook, confirm="auto")
    (manifest,) = runbook.environment.backups_folder.glob("*/manifest.json")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"redis": "127.0.0.1:', '"redis": "elsewhere:'), encoding="utf-8")
    foreign = check_backup(at("pre_deployment"))
    assert (foreign.result.status, "it is of elsewhere:" in foreign.result.text) == (ItemStatus.FAILED, True)
    manifest.write_text("{", encoding="utf-8")
    assert check_backup(at("pre_deployment")).result.status is ItemStatus.UNKNOWN


@pytest.mark.parametrize("confirm", ["0000-0000-0000", "$(id)", "9c1f"])
def test_check_backup_with_a_digest_that_was_never_shown_is_refused(at, confirm):
    """Nothing is made, and the item says why."""
    runbook = at("pre_deployment")
    step, flag = check_backup(runbook, confirm=confirm), check_flag(runbook, "PAGE_CACHE", confirm=confirm)
    assert (step.result.status, step.outcomes[0].result) == (ItemStatus.OPEN, Result.REFUSED)
    assert "refused: " in step.result.text
    assert flag.outcomes[0].result is Result.PLANNED
    assert not list(runbook.environment.backups_folder.glob("*"))


def test_check_baseline_without_prometheus_is_unknown_and_nothing_is_kept(at):
    """A baseline that was not read is no baseline."""
    runbook = at("pre_deployment")
    step = check_baseline(runbook)
    assert step.result.status is ItemStatus.UNKNOWN
    assert runbook.run.ledger.events(kind="baseline.recorded") == ()
    assert "No baseline" in show_day(step, runbook).text


def test_check_answers_compares_with_the_version_noted_before_the_deployment(at, site):
    """The same version: not deployed yet; another one: done; and a pre-deployment run afterwards changes nothing."""
    check_flag(at("pre_deployment"), "ENHANCED_CACHE")
    runbook = at("deployment")
    assert check_answers(runbook).result.status is ItemStatus.OPEN
    site.set(health={"status": "healthy", "version": "2.0", "redis": {"reachable": True}})
    Checklists(runbook.run.ledger, "site").sign(RELEASE, "deploy.staging", by="Anna", note="", who=Who("anna", "r"))
    check_flag(at("pre_deployment"), "ENHANCED_CACHE")
    answered = check_answers(runbook).result
    assert (answered.status, "version 2.0, before it was 1.0" in answered.text) == (ItemStatus.DONE, True), (
        answered.text
    )
    site.set(health={})
    assert check_answers(runbook).result.status is ItemStatus.UNKNOWN


def test_check_tests_are_refused_where_it_is_protected_and_taken_from_the_other_site(at, tmp_path):
    """REFUSED with the way out; the result of the other environment counts, with whose it is."""
    guarded = at("deployment", "guarded")
    refused = check_tests(guarded)
    assert (refused.result.status, refused.result.text.startswith("REFUSED: guarded is protected")) == (
        ItemStatus.OPEN,
        True,
    )
    assert "tests_on=staging" in show_tests(refused, guarded).text
    assert check_tests(guarded, tests_on="site").result.text == "no result of this release's tests on site"

    who = Who("anna", "run-7")
    Checklists(guarded.run.ledger, "site").measured(
        RELEASE, "deploy.tests", status=ItemStatus.DONE, text="12 tests passed", who=who
    )
    taken = check_tests(guarded, tests_on="site").result
    assert (taken.status, taken.values["run_id"]) == (ItemStatus.DONE, "run-7")
    assert taken.text.startswith("on site, by anna at ")
    with pytest.raises(UsageError, match="environment 'nowhere'"):
        check_tests(guarded, tests_on="nowhere")
    with pytest.raises(UsageError, match="is not the name of tests"):
        check_tests(guarded, test_labels="x;id")


def test_check_metrics_of_a_site_that_exports_next_to_nothing_is_failed(at):
    """The fake site has one metric of the contract."""
    result = check_metrics(at("deployment")).result
    assert result.status is ItemStatus.FAILED
    assert "cache_requests_total missing" in result.text


def test_post_deployment_steps_before_anybody_deployed_are_open_or_unknown(at):
    """Nothing is called done that was not seen; given routes that lack headers fail."""
    runbook = at("post_deployment")
    errors, warming = check_error_rate(runbook), check_startup_warming(runbook)
    assert (errors.result.status, warming.result.status) == (ItemStatus.OPEN, ItemStatus.OPEN)
    headers = check_headers(runbook, "/api/courses/")
    assert (headers.result.status, headers.result.text) == (
        ItemStatus.FAILED,
        "/api/courses/: no X-Cache, no Cache-Control; RATE_LIMITING is on, and no route has X-RateLimit-Limit",
    )
    assert "no X-Cache" in show_routes(headers, runbook).text
    assert check_headers(runbook).result.status is ItemStatus.UNKNOWN
    with pytest.raises(UsageError, match="is not a route"):
        check_headers(runbook, "http://evil.example/")
    verdict = judge_phase(runbook, errors, warming, headers)
    assert verdict.status is Status.FAIL
    assert verdict.headline.startswith(f"post-deployment of {RELEASE}: 0 of 3 done, 1 failed")


def test_steps_with_a_ledger_that_went_away_are_shown_and_the_verdict_says_that_they_were_not_kept(at):
    """The evidence stands in the run's report; nothing is called done."""
    runbook = at("deployment")
    runbook.run.ledger.close()
    (runbook.configuration.root / "runs" / "ledger.sqlite3").unlink()
    shutil.rmtree(runbook.configuration.root / "runs" / "ledger.sqlite3", ignore_errors=True)
    (runbook.configuration.root / "runs" / "ledger.sqlite3").mkdir()
    step = check_answers(runbook)
    verdict = judge_phase(runbook, step)
    assert (step.result.status, bool(step.unkept)) == (ItemStatus.DONE, True)
    assert verdict.status is Status.UNKNOWN
    assert "the checklist could not be kept" in verdict.headline
    assert "could not be read" in show_checklist(read_checklist(runbook)).text


@pytest.mark.parametrize("release", ["", "a b", "$(id)"])
def test_read_checklist_without_a_release_refuses_before_anything_is_looked_at(at, release):
    """The first cell that shows it."""
    with pytest.raises(UsageError, match="release is"):
        read_checklist(at("deployment", release=release))
