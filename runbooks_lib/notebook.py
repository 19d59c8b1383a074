"""What notebooks import: each name is one line of a runbook."""

from runbooks_lib.actions.registry import make_action
from runbooks_lib.change_verdict import judge_change
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.operations.choice import carry_out, look_again
from runbooks_lib.operations.effect import judge_effect, read_effect, show_effect
from runbooks_lib.operations.flags import (
    choose_flag_change,
    choose_rollback,
    judge_flag_state,
    read_flag_state,
    show_flag_state,
    show_flag_store,
)
from runbooks_lib.operations.incident import (
    choose_response,
    judge_incident,
    read_incident,
    record_step,
    show_guide_steps,
    show_message,
    show_summary,
    show_timeline,
    with_timeline,
)
from runbooks_lib.operations.keyspace import (
    choose_cache_operation,
    judge_database,
    read_database,
    show_contents,
    show_size,
)
from runbooks_lib.operations.recovery import show_recovery
from runbooks_lib.operations.throttling import choose_reset, judge_throttling, read_throttling, show_fullest
from runbooks_lib.operations.tuning import (
    judge_redis_tuning,
    judge_site_tuning,
    judge_tuning_run,
    read_tuning,
    show_redis_use,
    tune_command,
)
from runbooks_lib.operations.verdict import judge_operation, show_outcomes
from runbooks_lib.operations.warming import (
    choose_warming_operation,
    judge_warming,
    offers_for_locks,
    read_warming,
    show_locks,
    show_strategies,
    show_workers,
    show_worth,
)
from runbooks_lib.operations.warming_history import show_durations
from runbooks_lib.presentation.display import (
    VerdictCard,
    show_closing,
    show_endpoints,
    show_evidence,
    show_figure,
    show_findings,
    show_flags,
    show_outcome,
    show_plan,
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
    "carry_out",
    "choose_cache_operation",
    "choose_flag_change",
    "choose_reset",
    "choose_response",
    "choose_rollback",
    "choose_warming_operation",
    "judge_change",
    "judge_database",
    "judge_effect",
    "judge_flag_state",
    "judge_incident",
    "judge_operation",
    "judge_redis_tuning",
    "judge_site_tuning",
    "judge_throttling",
    "judge_triage",
    "judge_tuning_run",
    "judge_warming",
    "look_again",
    "make_action",
    "offers_for_locks",
    "open_runbook",
    "read_database",
    "read_effect",
    "read_flag_state",
    "read_incident",
    "read_throttling",
    "read_triage",
    "read_tuning",
    "read_warming",
    "record_step",
    "show_closing",
    "show_contents",
    "show_durations",
    "show_effect",
    "show_endpoints",
    "show_evidence",
    "show_figure",
    "show_findings",
    "show_flag_state",
    "show_flag_store",
    "show_flags",
    "show_fullest",
    "show_guide_steps",
    "show_locks",
    "show_message",
    "show_outcome",
    "show_outcomes",
    "show_plan",
    "show_rates",
    "show_recovery",
    "show_redis_use",
    "show_size",
    "show_steps",
    "show_strategies",
    "show_summary",
    "show_table",
    "show_text",
    "show_timeline",
    "show_unread",
    "show_workers",
    "show_worth",
    "tune_command",
    "with_timeline",
]
