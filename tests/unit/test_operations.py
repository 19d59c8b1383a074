"""What the operating notebooks judge, choose and show, from facts alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from builders import FROM, HOSTILE, NO_PROMETHEUS, NO_REDIS, NO_WEB, NOW, lookups, requests, warming

from runbooks_lib.actions.registry import make_action
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import (
    Flag,
    Flags,
    FlagService,
    KeyGroup,
    KeyspaceLook,
    Series,
    Warming,
    WarmingLock,
    WarmingType,
    WorkerTask,
    WorkerTasks,
)
from runbooks_lib.judgement.agreement import check_flags_agree, check_warming_schedule, flag_value
from runbooks_lib.judgement.operations import check_database_contents, check_database_size
from runbooks_lib.model import Status
from runbooks_lib.operations.effect import Effect, show_effect
from runbooks_lib.operations.flags import FlagState, choose_flag_change, choose_rollback, show_flag_state
from runbooks_lib.operations.keyspace import DatabaseState, NodeSize, choose_cache_operation, show_contents, show_size
from runbooks_lib.operations.warming import WarmingState, choose_warming_operation, show_locks, show_workers
from runbooks_lib.operations.warming_history import describe_durations, plot_durations
from runbooks_lib.policy import Policy

POLICY = Policy()
STATED = FlagService((Flag("ENHANCED_CACHE", "gradual", 25.0, 2, True),), ("common_featureflag",), (), 2.0, None, FROM)


def served(percentage):
    """What the health endpoint says of the one flag."""
    return Flags((Flag("ENHANCED_CACHE", "", percentage, None, None),), FROM)


def look(*groups, complete=True):
    """A look at a database with these groups."""
    count = sum(group.keys_count for group in groups)
    return KeyspaceLook(groups, (), (), None, count, complete, "" if complete else "15 s", FROM)


def store(*locks, last_run_seconds_ago=60.0):
    """Statistics of one scheduled strategy, and locks."""
    last = NOW - timedelta(seconds=last_run_seconds_ago)
    return Warming((WarmingType("scheduled", 800, 12, 1, 24.0, last),), locks, FROM)


@pytest.mark.parametrize(
    ("percentage", "status"), [(25.0, Status.OK), (25.4, Status.OK), (50.0, Status.WARN), (0.0, Status.WARN)]
)
def test_flags_agree_within_half_a_point_and_warn_beyond(percentage, status):
    """A process that does not see a change shows as a difference that stays."""
    finding = check_flags_agree(Flags(STATED.flags, FROM), served(percentage))
    assert finding.status is status
    assert ("stated 25 %" in finding.shown) is (status is Status.WARN)


def test_flags_that_are_not_served_by_name_or_not_readable_are_no_agreement():
    """Missing is a difference; unread is UNKNOWN; neither is OK."""
    stated = Flags(STATED.flags, FROM)
    assert "served not named" in check_flags_agree(stated, Flags((), FROM)).shown
    assert check_flags_agree(NO_WEB, served(25.0)).status is Status.UNKNOWN
    assert check_flags_agree(stated, NO_WEB).status is Status.UNKNOWN


def test_flag_state_shows_both_accounts_and_names_the_difference():
    """Also when one of the two could not be read, and whatever a feature is called."""
    shown = show_flag_state(FlagState(STATED, served(50.0)))
    assert "ENHANCED_CACHE | gradual 25 %, 2 listed | 50 % | differs" in shown.text
    assert "gradual 25 %" in show_flag_state(FlagState(STATED, NO_WEB)).text
    hostile = replace(STATED, flags=(Flag(HOSTILE, "on", 100.0, 0, True),))
    assert "<img" not in show_flag_state(FlagState(hostile, NO_WEB)).html
    assert flag_value(Flag("X", "whitelist", 0.0, 3, True)) == "whitelist of 3"


@pytest.mark.parametrize(("ago", "status"), [(60, Status.OK), (7200, Status.OK), (7201, Status.WARN)])
def test_warming_schedule_warns_after_two_intervals(ago, status):
    """The guide's schedule is hourly; one missed run is not yet a fault."""
    assert check_warming_schedule(store(last_run_seconds_ago=ago), POLICY, NOW).status is status


def test_warming_schedule_without_a_known_run_is_unknown():
    """Statistics may have been removed; that is not a run."""
    assert check_warming_schedule(Warming((), (), FROM), POLICY, NOW).status is Status.UNKNOWN
    assert check_warming_schedule(NO_REDIS, POLICY, NOW).status is Status.UNKNOWN


def test_warming_locks_show_age_and_name_the_stuck_one():
    """A lock of ten minutes with nine left is one minute old; one that never expires is stuck."""
    locks = (
        WarmingLock("cache_warming_lock:scheduled:all", 540.0),
        WarmingLock("cache_warming_lock:startup:all", None),
        WarmingLock("cache_warming_lock:other:x", 5.0),
    )
    text = show_locks(WarmingState(NOW, store(*locks), warming(), NO_REDIS)).text
    assert "cache_warming_lock:scheduled:all | 60 s | 9 min" in text
    assert "cache_warming_lock:startup:all | not known | never | STUCK" in text
    assert "cache_warming_lock:other:x | not known | 5 s" in text


def test_warming_workers_show_what_runs_and_escape_it():
    """Names of workers and tasks come from elsewhere."""
    tasks = WorkerTasks(1, (WorkerTask("w1", HOSTILE),), FROM)
    assert "<img" not in show_workers(WarmingState(NOW, NO_REDIS, warming(), tasks)).html
    idle = WorkerTasks(2, (), FROM)
    assert "2 workers answered; none" in show_workers(WarmingState(NOW, NO_REDIS, warming(), idle)).text


def test_warming_durations_figure_says_its_numbers_and_has_both_limits():
    """Whoever cannot see it reads the same."""
    series = {"scheduled": Series({}, (NOW, NOW + timedelta(hours=1)), (70.0, None))}
    assert "scheduled 70 s to 70 s, last 70 s (warning over 60 s" in describe_durations(series, POLICY.warming_task)
    (axes,) = plot_durations(series, POLICY.warming_task).axes
    assert {line.get_ydata()[0] for line in axes.lines} >= {60.0, 120.0}


def test_database_contents_name_what_clearing_all_would_cost():
    """Sessions among the answers; and a look that did not see everything is not OK."""
    groups = (KeyGroup("answers", "api:X", 90), KeyGroup("sessions", "session:", 8), KeyGroup("sessions", "s", 2))
    finding = check_database_contents(look(*groups))
    assert (finding.status, finding.shown) == (Status.OK, "10 sessions")
    assert "users are signed out" in finding.detail
    assert check_database_contents(look(*groups, complete=False)).status is Status.UNKNOWN
    assert check_database_contents(NO_REDIS).status is Status.UNKNOWN
    assert check_database_size(NO_REDIS, "").status is Status.UNKNOWN


def test_database_shows_every_primary_and_escapes_names():
    """Keys are written by strangers; a limit of 0 is no limit."""
    sizes = (NodeSize("h:1", 10, 9, 1024, 0, "noeviction"), NodeSize("h:2", 20, 20, 512, 1024, "allkeys-lru"))
    state = DatabaseState("h:1,h:2/0", sizes, look(KeyGroup("answers", HOSTILE, 3)))
    text = show_size(state).text
    assert "h:1 | 10 | 1 | 1.0 KiB, no limit" in text
    assert "h:2 | 20 | 0 | 512 B of 1.0 KiB (50.0 %)" in text
    assert "<img" not in show_contents(state).html


def test_effect_shows_before_and_now_and_never_zero_for_what_was_not_read():
    """A missing number is 'not read'."""
    before = Effect(180.0, lookups(), requests(errors=90))
    text = show_effect(before, Effect(180.0, NO_PROMETHEUS, NO_PROMETHEUS)).text
    assert "hit rate | 95.0 % | not read" in text
    assert "requests answered with 5xx | 1.0 % | not read" in text


@pytest.mark.parametrize(
    "command",
    [
        choose_rollback(),
        *(
            choose_flag_change(word, feature="ENHANCED_CACHE", percentage=25, user_id=7)
            for word in ("enable", "disable", "percentage", "whitelist_add", "whitelist_remove")
        ),
        *(
            choose_cache_operation(word, pattern="api:*", max_keys=10, ttl="1h")
            for word in ("clear_pattern", "clear_all", "expire_keys", "back_up", "remove_warming_statistics")
        ),
        *(
            choose_warming_operation(word, strategy="scheduled", lock="cache_warming_lock:startup:all")
            for word in ("trigger", "remove_lock", "remove_statistics")
        ),
    ],
    ids=lambda command: command.action,
)
def test_choices_lead_to_actions_that_exist_and_take_their_parameters(command):
    """Every word that a notebook offers makes an action."""
    assert make_action(command.action, command.parameters).name == command.action


def test_choices_look_by_default_and_refuse_other_words():
    """No change is chosen by a slip."""
    assert choose_flag_change("none", feature="X", percentage=0, user_id=0) is None
    assert choose_cache_operation("look", pattern="", max_keys=1, ttl="1h") is None
    with pytest.raises(UsageError, match="nothing that can be done here"):
        choose_warming_operation("explode", strategy="", lock="")
