"""At a deployment: is every metric of the contract there, of its type, labelled, sane, and does it move?"""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts.metrics_contract import MetricsContract, MetricState
from runbooks_lib.judgement.deployment.result import ItemResult, not_known
from runbooks_lib.model import Finding, Status, Unreadable, worst

METRICS = "deploy.metrics"
_SHOWN = 5
_REASON = "contract of the site, Metrics"


def judge_metrics(contract: MetricsContract | Unreadable) -> ItemResult:
    """Are the metrics complete and sane?

    Returns:
        Failed with the metrics that are not as they must be; unknown where a process could not be read, a metric that
        a site may lack is missing, or it could not be told whether one moves; else done.
    """
    if isinstance(contract, Unreadable):
        return not_known(METRICS, contract)
    findings = metric_findings(contract)
    status = worst(finding.status for finding in findings)
    bad = [f"{finding.title} {finding.shown}" for finding in findings if finding.status is status]
    values = {
        "metrics": {finding.title: f"{finding.status.value}: {finding.shown}" for finding in findings},
        "apart_seconds": round(contract.apart_seconds, 2),
        "processes": list(contract.processes),
        "unread": [f"{item.what}: {item.reason}" for item in contract.unread],
        "notes": list(contract.notes),
    }
    named = "; ".join(bad[:_SHOWN]) + (f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
    if status is Status.FAIL:
        hint = "is there traffic, is the new code's exposition right, are all processes scraped in multiprocess mode?"
        return ItemResult(METRICS, ItemStatus.FAILED, named, values, hint)
    if status is not Status.OK:
        return ItemResult(METRICS, ItemStatus.UNKNOWN, named, values, "see the table: what could not be told, and why")
    moved = sum(state.expected.moves for state in contract.metrics)
    processes = f"{len(contract.processes)} process{'es' * (len(contract.processes) != 1)}"
    text = f"{len(contract.metrics)} metrics of {processes} as they must be, {moved} of them seen moving"
    return ItemResult(METRICS, ItemStatus.DONE, text, values)


def metric_findings(contract: MetricsContract) -> tuple[Finding, ...]:
    """One finding for each metric, and one for each process that could not be read or is only one of several."""
    lost = [
        Finding("metrics.process", item.what, Status.UNKNOWN, f"could not be read: {item.reason}", hint=item.hint)
        for item in contract.unread
    ]
    lost += [
        Finding(
            "metrics.process",
            url,
            Status.FAIL,
            "another process answers each time: its counters are those of one worker of several",
            hint="set up prometheus_client's multiprocess mode",
        )
        for url in contract.alternating
    ]
    return (*lost, *(_finding(state, contract) for state in contract.metrics))


def _finding(state: MetricState, contract: MetricsContract) -> Finding:
    status, shown = _judged(state, contract)
    expected = state.expected
    labels = ", ".join((*expected.labels, *(("le",) if expected.kind == "histogram" else ())))
    extra = f"also labelled: {', '.join(state.extra_labels)}" if state.extra_labels else ""
    grown = "" if state.growth is None else f"{state.growth:,.0f} more in {units.seconds(contract.apart_seconds)}"
    detail = "; ".join(part for part in (f"{state.series_count} series", grown, extra) if part)
    limit = f"{expected.kind} by {labels}{', moving' if expected.moves else ''}"
    return Finding(f"metrics.{expected.name}", expected.name, status, shown, limit, detail, _REASON)


def _judged(state: MetricState, contract: MetricsContract) -> tuple[Status, str]:
    if not state.present:
        return _absent(state)
    problems = _problems(state)
    if problems:
        return Status.FAIL, "; ".join(problems)
    if state.expected.moves and state.moved is None:
        return Status.UNKNOWN, "whether it moves could not be told"
    if state.expected.moves and not state.moved:
        return Status.FAIL, f"did not move in {units.seconds(contract.apart_seconds)}"
    return Status.OK, "present, labelled, moving" if state.moved else "present, labelled"


def _absent(state: MetricState) -> tuple[Status, str]:
    if state.declared and not state.expected.moves:
        return Status.OK, "declared; nothing has been counted yet"
    if state.declared:
        return Status.FAIL, "declared, but nothing is counted: is there traffic?"
    if state.expected.optional:
        return Status.UNKNOWN, "missing; a site may lack it, and cohorts cannot be compared then"
    return Status.FAIL, "missing"


def _problems(state: MetricState) -> list[str]:
    expected = state.expected
    found = (
        (state.other_kinds, f"declared as {', '.join(state.other_kinds)}, not as {expected.kind}"),
        (state.missing_labels, f"without label {', '.join(state.missing_labels)}"),
        (state.other_values, f"with {', '.join(state.other_values)}"),
        (state.missing_edges, f"without the buckets {', '.join(f'{edge:g}' for edge in state.missing_edges)}"),
        (state.not_finite_count, f"{units.things(state.not_finite_count, 'value')} NaN or infinite"),
        (state.out_of_range_count, f"{units.things(state.out_of_range_count, 'value')} out of range"),
        (state.backwards_count, f"{state.backwards_count} series fell, and no process restarted"),
    )
    return [text for value, text in found if value]
