"""Before a deployment: a backup with its proof, the flag at 0 %, the day before as a baseline."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runbooks_lib import units
from runbooks_lib.actions.backup.back_up import proved
from runbooks_lib.actions.backup.folder import made_in, newest_since
from runbooks_lib.actions.backup.manifest import FILE_NAME, read_manifest
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command
from runbooks_lib.actions.site import Site
from runbooks_lib.checklist import ItemStatus, item_of
from runbooks_lib.errors import RecordError, RefusedError, SourceError
from runbooks_lib.facts import Baseline
from runbooks_lib.facts.deployment import BackupProof
from runbooks_lib.judgement.deployment.before import BACKUP, judge_backup, judge_baseline, judge_flag
from runbooks_lib.judgement.deployment.result import ItemResult
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.choice import carry_out
from runbooks_lib.operations.deployment import Step, keep, release_of, who_of
from runbooks_lib.operations.flags import FlagState, read_flag_state
from runbooks_lib.operations.reading import attempt
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.baselines import record_baseline
from runbooks_lib.runbook import Runbook
from runbooks_lib.sources.metrics.baseline import read_baseline
from runbooks_lib.sources.rdb.file import shown_path
from runbooks_lib.sources.redis.programs import missing
from runbooks_lib.view import View

_BACK_UP = Command("back_up")
_SLOTS = 24


def check_backup(runbook: Runbook, *, confirm: str = "", reason: str = "") -> Step[BackupProof | Unreadable | None]:
    """Is there a young backup with proof? If not, one is planned; confirmed, it is made and proved.

    Args:
        runbook: the opened runbook; its parameter ``backup_age`` says how old a backup may be.
        confirm: the digest of its plan, or ``auto``, which makes one only where there is none that is young enough.
        reason: why; required in a protected environment.

    Returns:
        The step. A backup that lies there already is proved anew, from the disk.
    """
    limit = runbook.seconds("backup_age") or (item_of(BACKUP).counts_seconds or 0.0) / runbook.environment.time_scale
    asked = _meant(runbook, confirm) == _BACK_UP.action
    by_digest = asked and confirm.strip() != "auto"
    found = None if by_digest else attempt(runbook, "the newest backup", "redis", lambda: newest_backup(runbook, limit))
    result = judge_backup(found, counts_seconds=limit, now=units.now())
    if result.status is ItemStatus.DONE:
        return keep(runbook, result, found)
    outcomes = carry_out(runbook, _BACK_UP, confirm=confirm if asked else "", reason=reason)
    made = _made(runbook, outcomes[0])
    if made is not None:
        return keep(runbook, judge_backup(made, counts_seconds=limit, now=units.now()), made, outcomes)
    return keep(runbook, _without_backup(result, outcomes[0]), found, outcomes)


def newest_backup(view: View, limit_seconds: float) -> BackupProof | None:
    """The newest backup of the environment, proved anew from the disk if it is young enough; None where there is none.

    Args:
        view: of the environment.
        limit_seconds: an older one is not proved: it would not count.

    Raises:
        SourceError: its manifest cannot be read, or Redis cannot be reached to tell whether it is of this one.
    """
    folders = made_in(view.environment.backups_folder, view.environment.name)
    if not folders:
        return None
    folder = folders[-1]
    manifest = read_manifest(folder / FILE_NAME)
    made_at = datetime.fromisoformat(manifest.made_at).astimezone(UTC)
    shown = shown_path(folder)
    if units.now() - made_at > timedelta(seconds=limit_seconds):
        return BackupProof(shown, made_at, proved=None, detail="too old to be worth it")
    with contextlib.closing(Site(view.environment)) as site:
        here = site.nodes.shown
    if manifest.redis != here:
        return BackupProof(shown, made_at, proved=False, detail=f"it is of {manifest.redis}, and the site has {here}")
    lacking = missing("redis-server", "redis-check-rdb")
    if lacking:
        return BackupProof(shown, made_at, proved=None, detail=f"{lacking[0]} is not installed here")
    proof = proved(folder)
    return BackupProof(shown, made_at, proof.confirmed, proof.detail, proof.evidence)


def check_flag(runbook: Runbook, feature: str, *, confirm: str = "", reason: str = "") -> Step[FlagState]:
    """Is the feature gradual at 0 %? If not, that is planned; only the digest of that plan sets it, never ``auto``.

    Args:
        runbook: the opened runbook.
        feature: its name.
        confirm: the digest of the plan.
        reason: why; required in a protected environment.
    """
    state = read_flag_state(runbook)
    result = judge_flag(state.service, state.served, feature)
    asked = _meant(runbook, confirm) == "set_percentage"
    if not asked and result.status is not ItemStatus.FAILED:
        return keep(runbook, _with_version(runbook, result), state)
    command = Command("set_percentage", {"feature": feature, "percentage": 0})
    outcomes = carry_out(runbook, command, confirm=confirm if asked else "", reason=reason)
    if outcomes[0].changed is not False:
        state = read_flag_state(runbook)
        result = judge_flag(state.service, state.served, feature)
    return keep(runbook, _with_version(runbook, result), state, outcomes)


def check_baseline(runbook: Runbook) -> Step[Baseline | Unreadable]:
    """How did the site do over the last day, and was enough of it seen? It is kept for the rollout to compare with."""
    view, environment = runbook, runbook.environment
    slot_seconds = view.policy.baseline_seconds / _SLOTS
    found = attempt(
        view,
        "the baseline",
        "prometheus",
        lambda: read_baseline(view.sources.prometheus, environment, slot_seconds=slot_seconds),
    )
    step = keep(runbook, _with_memory(runbook, judge_baseline(found), found), found)
    if isinstance(found, Unreadable) or not found.complete_ratio:
        return step
    try:
        record_baseline(runbook.run.ledger, environment.name, found, who=who_of(runbook), release=release_of(runbook))
    except RecordError as error:
        return replace(step, unkept=error.message)
    return step


def _meant(runbook: Runbook, confirm: str) -> str:
    """The action whose plan this digest is of: two plans of this notebook wait for one parameter.

    A digest that was never shown is taken for the backup's, which refuses it and says so; so is ``auto``.
    """
    digest = confirm.strip()
    if digest in ("", "auto"):
        return _BACK_UP.action if digest else ""
    approvals = Approvals(runbook.run.ledger, runbook.configuration.allowed_signers)
    try:
        plan = approvals.proposal(digest, environment=runbook.environment.name).plan
    except (RefusedError, RecordError):
        return _BACK_UP.action
    return "set_percentage" if plan.get("action") == "set_percentage" else _BACK_UP.action


def _made(runbook: Runbook, outcome: Outcome) -> BackupProof | None:
    """The backup that was made just now; its proof was the read-back of the change."""
    if outcome.result is not Result.APPLIED or outcome.plan is None:
        return None
    folder = newest_since(runbook.environment.backups_folder, outcome.plan)
    shown = "a folder of its own" if folder is None else shown_path(folder)
    return BackupProof(shown, outcome.at, proved=True, detail=outcome.detail, evidence=outcome.account)


def _without_backup(result: ItemResult, outcome: Outcome) -> ItemResult:
    """No backup was made: why."""
    if outcome.result is Result.PLANNED:
        return result
    status = ItemStatus.UNKNOWN if outcome.changed is None else result.status
    hint = outcome.hint or result.hint
    return replace(result, status=status, text=f"{result.text}; {outcome.result.value}: {outcome.detail}", hint=hint)


def _with_memory(runbook: Runbook, result: ItemResult, found: Baseline | Unreadable) -> ItemResult:
    """The result with Redis's memory now, where no exporter tells it by hour."""
    if isinstance(found, Unreadable) or any(slot.used_memory_bytes is not None for slot in found.slots):
        return result
    server = attempt(runbook, "Redis memory", "redis", runbook.sources.redis.server)
    now = None if isinstance(server, Unreadable) else server.used_memory_bytes
    text = f"{result.text}; Redis memory is not exported by hour, now it is {units.size(now)}"
    return replace(result, text=text, values={**result.values, "used_memory_bytes_now": now})


def _with_version(runbook: Runbook, result: ItemResult) -> ItemResult:
    """The result with the version that the site names now: after the deployment it should be another one."""
    try:
        version = runbook.sources.web.health().version
    except SourceError:
        return result
    return replace(result, values={**result.values, "site_version": version})
