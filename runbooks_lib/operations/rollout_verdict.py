"""The verdict of an execution of a rollout, and what a notebook shows of it."""

from __future__ import annotations

import shlex
from dataclasses import replace

from runbooks_lib import units
from runbooks_lib.actions.outcome import Result
from runbooks_lib.judgement.rollout.model import Decision, Gate, Reason, Stand, Verb
from runbooks_lib.model import Finding, NextStep, Status, Unreadable, Verdict
from runbooks_lib.operations.rollout import RolloutRun
from runbooks_lib.operations.rollout_judging import EXPECTED
from runbooks_lib.operations.rollout_status import gates_of, order_line, status_of
from runbooks_lib.operations.rollout_tell import evidence_lines
from runbooks_lib.operations.rollout_work import Came
from runbooks_lib.operations.verdict import judge_operation
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.presentation.rollout import show_status
from runbooks_lib.records.campaign import COMPLETE, Campaign, CampaignState
from runbooks_lib.records.campaign_steps import MOVE
from runbooks_lib.runbook import Runbook

_FINDING = {
    Stand.PASS: Status.OK,
    Stand.WAIT: Status.OK,
    Stand.UNKNOWN: Status.UNKNOWN,
    Stand.WARN: Status.WARN,
    Stand.FAIL: Status.FAIL,
}
_STATUS = {
    Came.BEGUN: Status.OK,
    Came.PROMOTED: Status.OK,
    Came.COMPLETE: Status.OK,
    Came.RESUMED: Status.OK,
    Came.ABORTED: Status.OK,
    Came.HINDERED: Status.WARN,
    Came.PAUSED: Status.WARN,
    Came.UNSETTLED: Status.UNKNOWN,
    Came.FAILED: Status.FAIL,
    Came.ROLLED_BACK: Status.FAIL,
}
#: What the notebook rolls out where nothing else is said.
DEFAULT_FEATURE = "ENHANCED_CACHE"
#: How ``change_verdict`` begins to offer an undo.
UNDO_TEXT = "To put it back"
_UNREAD = frozenset({Reason.UNKNOWN, Reason.FLAG_UNREAD})


def judge_rollout(runbook: Runbook, rollout: RolloutRun) -> Verdict:
    """What was judged, what was done, and what comes next; a rollback's evidence stands first.

    OK: holding as it should, promoted, complete, no look due. WARN: held by a warning or by the exposure, a critical
    value that is not confirmed, paused. FAIL: rolled back; or a rollback is due and not done, whatever kept it from
    being done; or it cannot go on without its ledger. UNKNOWN: what must be known could not be read.
    """
    findings = findings_of(rollout)
    verdict = judge_operation(
        runbook, rollout.outcomes, findings=findings, headline=rollout.text, offers=_steps(rollout)
    )
    verdict = replace(verdict, next_steps=tuple(_as_order(step, rollout) for step in verdict.next_steps))
    notes = (*verdict.notes, *rollout.notes)
    if rollout.came in (Came.NOTHING, Came.PLANNED):
        return replace(verdict, notes=notes)
    unconfirmed = [finding.status for finding in runbook.unconfirmed.findings]
    status = max([status_word(rollout), *unconfirmed], key=lambda one: one.rank)
    known_harm = rollout.came in (Came.ROLLED_BACK, Came.FAILED)
    return replace(
        verdict,
        status=status,
        headline=f"{rollout.feature}: {rollout.text}",
        rule="; ".join(evidence_lines(_harmful(rollout))[:2]) if known_harm else "",
        notes=notes,
        # To put a feature back that was just taken away is the last thing to do.
        next_steps=(*_own_step(rollout), *sorted(verdict.next_steps, key=lambda step: step.text.startswith(UNDO_TEXT))),
    )


def status_word(rollout: RolloutRun) -> Status:
    """How bad it is."""
    last = rollout.outcomes[-1] if rollout.outcomes else None
    if rollout.came is Came.FAILED and last and (last.action, last.result) == (MOVE, Result.UNREAD):
        # A promotion that waits harms nobody; a rollback that was due is FAIL whatever kept it from being done.
        return Status.UNKNOWN
    if rollout.came is Came.OVER:
        ended_well = rollout.campaign is not None and rollout.campaign.end == COMPLETE
        return Status.OK if ended_well else Status.WARN
    return _STATUS.get(rollout.came) or _status_of_decision(rollout.decision)


def _status_of_decision(decision: Decision | None) -> Status:
    """By the deciding reason: what holds as expected is no warning."""
    if decision is None:
        return Status.OK
    if decision.verb is Verb.ROLLBACK:
        return Status.FAIL
    if decision.verb is Verb.PROMOTE or decision.complete or decision.reasons[0] in EXPECTED:
        return Status.OK
    return Status.UNKNOWN if decision.reasons[0] in _UNREAD else Status.WARN


def findings_of(rollout: RolloutRun) -> tuple[Finding, ...]:
    """The gates of the newest look of this execution; none where no look was due: they were judged before.

    But where the feature was taken away because of an earlier look, those of that one: they are why.
    """
    gates, where = _deciding(rollout)
    return tuple(_finding(gate, where) for gate in gates)


def _deciding(rollout: RolloutRun) -> tuple[tuple[Gate, ...], str]:
    """The gates that decided, and at which look."""
    looked = [one for one in rollout.judged if one.window is not None]
    if looked:
        return looked[-1].decision.gates, f"look {looked[-1].look} at {looked[-1].decision.percentage} %"
    last = rollout.campaign.last_look if rollout.campaign else None
    if last is None or rollout.came not in (Came.ROLLED_BACK, Came.FAILED):
        return (), ""
    return gates_of(last), f"look {last.look} at {last.percentage} %"


def _harmful(rollout: RolloutRun) -> list[Gate]:
    return [gate for gate in _deciding(rollout)[0] if gate.stand is Stand.FAIL]


def show_rollout(what: Campaign | RolloutRun | Unreadable | None, runbook: Runbook) -> Shown:
    """Where it stands: stages, soak, gates with their margins, the next look, how to stop it."""
    campaign = what.campaign if isinstance(what, RolloutRun) else what
    if isinstance(campaign, Unreadable):
        return show_text(f"Not known: {campaign.reason}. {campaign.hint}")
    if campaign is None:
        return show_text(f"No rollout of this feature was ever begun on {runbook.environment.name}.")
    return show_status(status_of(campaign, units.now()))


def show_looks(rollout: RolloutRun) -> Shown:
    """The looks of this execution, oldest first: the window, what was decided, and why."""
    rows = [(str(one.look), _window_text(one.window), *_decided(one.decision)) for one in rollout.judged]
    if not rows:
        return show_text(f"No look was judged. {rollout.text}".strip())
    return show_table(("Look", "Window", "Decision", "Why", "In words"), rows, caption=f"Looks; {rollout.text}")


def _decided(decision: Decision) -> tuple[str, str, str]:
    return decision.verb.value, ", ".join(reason.value for reason in decision.reasons), decision.text


def _window_text(window: object) -> str:
    from runbooks_lib.facts.rollout import RolloutWindow

    if not isinstance(window, RolloutWindow):
        return "none is due"
    observed = f", {units.percent(window.observed_ratio)} observed" if window.observed_ratio < 1 else ""
    return f"{units.timestamp(window.started_at)}, {units.duration(window.seconds)}{observed}"


def _finding(gate: Gate, where: str) -> Finding:
    margin = f"margin {gate.margin}" if gate.margin else ""
    parts = [gate.reason, margin, gate.evidence]
    return Finding(
        id=f"rollout.{gate.id.replace(' ', '_')}",
        title=gate.id,
        status=_FINDING[gate.stand],
        shown=gate.now,
        limit=gate.limit,
        detail="; ".join(part for part in (*parts, where) if part),
        reason="campaign's policy",
    )


def _steps(rollout: RolloutRun) -> tuple[NextStep, ...]:
    """What comes next, for a person."""
    campaign = rollout.campaign
    if campaign is None or rollout.came is Came.PLANNED:
        return ()
    if campaign.state is CampaignState.ENDED:
        if campaign.end == COMPLETE or rollout.came is not Came.OVER:
            return ()  # what was done offers its own steps
        triage = f"runbooks triage --environment {campaign.environment}"
        return (NextStep("Find the cause in peace; this report holds the evidence", triage),)
    status = status_of(campaign, units.now())
    return tuple(replace(step, text=step.text.rstrip(":")) for step in status.steps)


def _as_order(step: NextStep, rollout: RolloutRun) -> NextStep:
    """What confirms a promotion is the order itself, so that the campaign knows of it at once; so is what undoes one.

    While it is under way its own lock refuses an ordinary change of the flag.
    """
    if step.text.startswith(UNDO_TEXT) and rollout.campaign and rollout.campaign.state is not CampaignState.ENDED:
        return replace(step, text="To take it away again", command=order_line(rollout.campaign, "abort"))
    planned, _, digest = step.command.partition(" --confirm ")
    if rollout.campaign is None or not digest or not planned.startswith("runbooks change move_rollout "):
        return step
    words = shlex.split(order_line(rollout.campaign, "promote", rollout.reason or "WHY"))
    return replace(step, command=shlex.join([*words, "--confirm", digest.split()[0]]))


def _own_step(rollout: RolloutRun) -> tuple[NextStep, ...]:
    """How to do what was only judged, or to go on with what has begun."""
    texts = {
        Came.JUDGED: "To judge and act (records the look)",
        Came.BEGUN: "To go on: again and again, from cron or by hand; each time it judges what is due",
        Came.RESUMED: "To go on: again and again, from cron or by hand; each time it judges what is due",
    }
    text = texts.get(rollout.came)
    if text is None or rollout.campaign is None or (rollout.came is Came.JUDGED and rollout.decision is None):
        return ()
    words = ["runbooks", "run", "gradual_rollout", "--environment", rollout.campaign.environment, "-p", "confirm=auto"]
    words += ["-p", f"feature={rollout.feature}"] if rollout.feature != DEFAULT_FEATURE else []
    return (NextStep(text, shlex.join(words)),)
