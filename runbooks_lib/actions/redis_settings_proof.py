"""Are the settings of Redis as a plan said, on every primary that there is now, and in its file where asked for?"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Plan
from runbooks_lib.facts import NodeSettings
from runbooks_lib.judgement.redis_effects import differs, settings_evidence, shown_setting
from runbooks_lib.model import Evidence
from runbooks_lib.sources.redis.nodes import Nodes, ReadNode
from runbooks_lib.sources.redis.settings import redis_settings
from runbooks_lib.sources.redis.settings_file import settings_file


def look_again(
    plan: Plan, nodes: Nodes, wanted: Mapping[str, str], written: Mapping[str, Any], *, in_the_file: bool
) -> ReadBack:
    """Does what was set stand?

    After a write that ended early, what it set must stand. After any other, every primary that there is now must hold
    all of it: one that took over from another meanwhile has settings of its own.

    Args:
        plan: that was carried out.
        nodes: all primaries, on new connections.
        wanted: name → value, as CONFIG GET answers it.
        written: ``set``, ``kept`` and ``stopped``, as the write gave them; empty where nobody knows whether it ran.
        in_the_file: the configuration files were to be written as well.

    Raises:
        SourceError: Redis could not be read.
    """
    facts = redis_settings(nodes)
    evidence = tuple(settings_evidence(facts.nodes, wanted))
    early = bool(written.get("stopped"))
    expected = written["set"] if early else dict.fromkeys((node.node for node in facts.nodes), wanted)
    wrong = _first_wrong(plan, {node.node: node for node in facts.nodes}, expected)
    if wrong:
        return ReadBack(False, evidence, wrong)
    told = written.get("kept", ())
    kept = ReadBack(True)
    if in_the_file:
        kept = in_files([node for node in nodes if not early or node.shown in told], wanted, told)
    detail = kept.detail or f"Set on {units.things(len(expected), 'primary')}, and read back."
    return ReadBack(kept.confirmed, (*evidence, *kept.evidence), detail)


def _first_wrong(plan: Plan, now: Mapping[str, NodeSettings], expected: Mapping[str, Mapping[str, str]]) -> str:
    """The first setting that is not as expected, in one sentence; empty where there is none."""
    for shown, values in expected.items():
        if shown not in now:
            return f"{shown} was set, and is no primary any more"
        for name, value in differs(now[shown], values).items():
            is_now = shown_setting(name, now[shown].settings.get(name, ""))
            new = "" if shown in plan.rests_on else ", which was no primary when this was planned,"
            return f"{name} of {shown}{new} is {is_now}, not {shown_setting(name, value)}"
    return ""


def in_files(nodes: Sequence[ReadNode], wanted: Mapping[str, str], told: Container[str]) -> ReadBack:
    """Would each of these primaries come back with these settings after a restart?

    Args:
        nodes: that were to write their configuration file.
        wanted: name → value, as CONFIG GET answers it.
        told: those that answered that they have written it: they are believed where the file is not seen from here.
    """
    evidence, unknown = list[Evidence](), list[str]()
    for node in nodes:
        file = settings_file(node)
        not_known = file.not_known(wanted)
        wrong = {} if not_known else file.differs(wanted)
        if wrong:
            name, value = next(iter(wrong.items()))
            detail = f"{node.shown} is set until its next restart: {file.path} holds {name} {value}"
            return ReadBack(False, tuple(evidence), detail)
        if not_known and node.shown not in told:
            unknown.append(f"{node.shown}: {not_known}")
        how = "it answered that it wrote it" if not_known else "read"
        evidence.append(Evidence(f"configuration file of {node.shown}", file.path, how))
    if unknown:
        detail = (
            f"set until the next restart; whether the configuration file holds it is not known ({'; '.join(unknown)})"
        )
        return ReadBack(None, detail=detail)
    return ReadBack(True, tuple(evidence))
