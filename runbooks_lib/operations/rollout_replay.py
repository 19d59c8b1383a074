"""What another policy would have done over the looks of a campaign, from the ledger alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import UsageError
from runbooks_lib.judgement.rollout.model import Verb
from runbooks_lib.judgement.rollout.replay import RecordedLook, RecordedStage, Replay, Replayed, replay
from runbooks_lib.policy import Policy
from runbooks_lib.presentation.text import plain
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaign_terms import LIMITS, policy_from, terms_of
from runbooks_lib.rollout_policy import RolloutPolicy

#: What may be tried beside the limits. Not the length of a look: the windows are those that were measured.
_TEXTS = ("stages", "soak")


def policy_for_replay(campaign: Campaign, thresholds: Policy, assignments: Sequence[str]) -> RolloutPolicy:
    """The campaign's policy with some of its values replaced.

    Args:
        campaign: whose policy it is.
        thresholds: of the environment.
        assignments: ``hit_drop_points=2``, ``soak=12h``, ``stages=0,50,100``.

    Raises:
        UsageError: a name is unknown, given twice, or a value cannot be.
    """
    own = campaign.parameters
    intent: dict[str, Any] = {
        "feature": campaign.feature,
        "stages": ",".join(map(str, campaign.stages)),
        "soak": f"{round(own['soak_seconds'])}s",
        "look": f"{round(own['look_seconds'])}s",
        **{name: own[name] for name in LIMITS},
    }
    seen: set[str] = set()
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name not in (*_TEXTS, *LIMITS) or name in seen:
            why = "is given twice" if name in seen else "is nothing that can be tried"
            raise UsageError(f"{assignment[:80]!r} {why}", hint=f"name=value; names: {', '.join((*_TEXTS, *LIMITS))}")
        seen.add(name)
        intent[name] = text if name in _TEXTS else _number(name, text)
    return policy_from(terms_of(intent), thresholds)


def replay_campaign(campaign: Campaign, policy: RolloutPolicy) -> Replay:
    """Judge every kept look again."""
    stages = []
    for _, looks in itertools.groupby(campaign.looks, key=lambda look: look.stage_number):
        kept = tuple(looks)
        recorded = tuple(RecordedLook(look.window, _verb(look.decision.get("verb"))) for look in kept)
        # The grid begins with the stage, and what nobody looked at in time was kept as a gap.
        stages.append(RecordedStage(kept[0].percentage, kept[0].window.started_at, recorded))
    return replay(stages, policy, baseline=campaign.baseline, whitelist_count=campaign.whitelist_count)


def show_replay(campaign: Campaign, found: Replay) -> str:
    """One line for each look, those that differ marked; the answer first."""
    if not found.looks:
        return f"{campaign.id} has no look yet: there is nothing to replay."
    lines = [_answer(campaign, found)]
    for one in found.looks:
        mark = "≠" if one.differs else " "
        recorded = one.recorded.value if one.recorded else "?"
        aside = " (another story)" if one.counterfactual else ""
        when = f"{units.timestamp(one.window.ended_at)}  {one.decision.percentage:>3} %"
        lines.append(f"{mark} {when}  {recorded:>8} → {one.decision.verb.value:<8}  {plain(one.decision.text)}{aside}")
    return "\n".join(lines)


def _answer(campaign: Campaign, found: Replay) -> str:
    first = found.first_difference
    if first is None:
        return f"{campaign.id}: this policy would have done the same at each of {len(found.looks)} looks."
    return (
        f"{campaign.id}: {_place(first)} this policy would have decided {first.decision.verb.value} instead of "
        f"{first.recorded.value if first.recorded else 'what is not known'}; what was measured since is another story."
    )


def _place(one: Replayed) -> str:
    return f"at {one.decision.percentage} %, look {one.look} (until {units.timestamp(one.window.ended_at)}),"


def _number(name: str, text: str) -> float:
    """Strict, as everywhere: what is no JSON number is none.

    Raises:
        UsageError: it is none.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} {text[:60]!r} is not a number")
    return value


def _verb(text: object) -> Verb | None:
    return Verb(str(text)) if text in set(Verb) else None
