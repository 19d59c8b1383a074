"""What notebooks import: a dozen names, each one line of a runbook."""

from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.presentation.display import (
    VerdictCard,
    show_closing,
    show_endpoints,
    show_evidence,
    show_figure,
    show_findings,
    show_flags,
    show_rates,
    show_steps,
    show_table,
    show_text,
    show_unread,
)
from runbooks_lib.runbook import open_runbook
from runbooks_lib.triage import read_triage

__all__ = [
    "VerdictCard",
    "judge_triage",
    "open_runbook",
    "read_triage",
    "show_closing",
    "show_endpoints",
    "show_evidence",
    "show_figure",
    "show_findings",
    "show_flags",
    "show_rates",
    "show_steps",
    "show_table",
    "show_text",
    "show_unread",
]
