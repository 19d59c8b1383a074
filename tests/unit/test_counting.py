"""Argo Rollouts' cases, case by case: its documented answer as data, ours beside it, and why where they differ."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.judgement.rollout.model import Verb
from runbooks_lib.judgement.statistics.counting import (
    Limits,
    Phase,
    Tally,
    counted,
    ended_phase,
    exceeded,
    first_due_seconds,
    is_worse,
    metric_phase,
    next_due_seconds,
    outcome,
    reaction,
    worst,
)

PENDING, RUNNING, SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED = (
    Phase.PENDING,
    Phase.RUNNING,
    Phase.SUCCESSFUL,
    Phase.INCONCLUSIVE,
    Phase.ERROR,
    Phase.FAILED,
)
LIMIT = "TestAssessMetricStatus"
SUCCESSES = Tally(count=7, failed=3, successful=4, consecutive_successes=3, last=SUCCESSFUL)


def minutely(**limits):
    """Limits of a metric that is measured every 60 s."""
    return Limits(interval_seconds=60, **limits)


#: analysis_test.go: test, limits, tally; Argo while running and when ended; ours likewise. Limits and counts decide before
#: it matters whether a metric is being ended, so where the tests do not ask for the second it is the first.
METRICS = [
    # Ended without a single measurement, or before its limits decide, Argo is Successful: it fails open (#1329, #2158).
    (f"{LIMIT}NoMeasurements", Limits(), Tally(), PENDING, SUCCESSFUL, PENDING, INCONCLUSIVE),
    (f"{LIMIT}InFlightMeasurement", Limits(), Tally(1, 1, last=RUNNING), RUNNING, RUNNING, RUNNING, RUNNING),
    (f"{LIMIT}FailureLimit 2", minutely(failures=2), Tally(3, failed=3, last=FAILED), FAILED, FAILED, FAILED, FAILED),
    (
        f"{LIMIT}FailureLimit 3",
        minutely(failures=3),
        Tally(3, failed=3, last=FAILED),
        RUNNING,
        SUCCESSFUL,
        RUNNING,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}InconclusiveLimit 2",
        minutely(inconclusive=2),
        Tally(3, inconclusive=3, last=INCONCLUSIVE),
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}InconclusiveLimit 3",
        minutely(inconclusive=3),
        Tally(3, inconclusive=3, last=INCONCLUSIVE),
        RUNNING,
        SUCCESSFUL,
        RUNNING,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}ConsecutiveErrors 5",
        minutely(),
        Tally(errors=5, consecutive_errors=5, last=ERROR),
        ERROR,
        ERROR,
        ERROR,
        ERROR,
    ),
    (
        f"{LIMIT}ConsecutiveErrors 4",
        minutely(),
        Tally(errors=4, consecutive_errors=4, last=ERROR),
        RUNNING,
        SUCCESSFUL,
        RUNNING,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}CountReached",
        minutely(count=10),
        Tally(10, 10, consecutive_successes=10, last=SUCCESSFUL),
        SUCCESSFUL,
        SUCCESSFUL,
        SUCCESSFUL,
        SUCCESSFUL,
    ),
    (
        f"{LIMIT}CountReached, half of it inconclusive",
        minutely(count=10),
        Tally(10, 5, inconclusive=5, last=INCONCLUSIVE),
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}ConsecutiveSuccessLimit 3",
        minutely(failures=None, consecutive_successes=3),
        SUCCESSES,
        SUCCESSFUL,
        SUCCESSFUL,
        SUCCESSFUL,
        SUCCESSFUL,
    ),
    (
        f"{LIMIT}ConsecutiveSuccessLimit 5",
        minutely(failures=None, consecutive_successes=5),
        SUCCESSES,
        RUNNING,
        SUCCESSFUL,
        RUNNING,
        INCONCLUSIVE,
    ),
    (
        f"{LIMIT}ConsecutiveSuccessLimit 5, count 9",
        minutely(failures=None, consecutive_successes=5, count=9),
        SUCCESSES,
        RUNNING,
        SUCCESSFUL,
        RUNNING,
        INCONCLUSIVE,
    ),
    # Rule 6: the count is reached, and no limit was passed.
    (
        "rule 6, both limits",
        minutely(failures=3, consecutive_successes=4, count=7),
        SUCCESSES,
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ),
    (
        "rule 6, only successes in a row",
        minutely(failures=None, consecutive_successes=4, count=7),
        SUCCESSES,
        FAILED,
        FAILED,
        FAILED,
        FAILED,
    ),
    # argo-rollouts#4479: Successful although every measurement failed. Nothing that succeeded, no success.
    (
        "#4479",
        minutely(failures=3, count=3),
        Tally(3, failed=3, last=FAILED),
        SUCCESSFUL,
        SUCCESSFUL,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ),
    # Rule 4: Argo lets the later limit overwrite the earlier. Known harm is not undone by what is not known.
    (
        "rule 4, all three limits",
        minutely(),
        Tally(2, failed=1, inconclusive=1, errors=5, consecutive_errors=5, last=ERROR),
        ERROR,
        ERROR,
        FAILED,
        FAILED,
    ),
]


@pytest.mark.parametrize(
    ("limits", "tally", "argo", "argo_ended", "ours", "ours_ended"),
    [pytest.param(*case[1:], id=case[0]) for case in METRICS],
)
def test_metric_phase_of_argos_cases_differs_only_where_argo_fails_open(
    limits, tally, argo, argo_ended, ours, ours_ended
):
    """Same as Argo, except that ours never is Successful or less than Failed for want of an answer.

    Argo's rules 2 and 7 end a metric as Successful if nothing had been measured or decided. Unknown never promotes
    here, so these are Inconclusive. Nor may an error hide a failure (rule 4), or a count be reached by failures alone.
    """
    assert (metric_phase(tally, limits), ended_phase(tally, limits)) == (ours, ours_ended)
    for theirs, here in ((argo, ours), (argo_ended, ours_ended)):
        assert here is theirs or is_worse(here, theirs)
        assert here is theirs or theirs is SUCCESSFUL or here is FAILED


@pytest.mark.parametrize(
    ("tally", "phase", "words"),
    [
        pytest.param(Tally(1, failed=1, last=FAILED), FAILED, "failed (1) > limit (0)", id="failed"),
        pytest.param(
            Tally(1, inconclusive=1, last=INCONCLUSIVE), INCONCLUSIVE, "inconclusive (1) > limit (0)", id="inconclusive"
        ),
        pytest.param(
            Tally(errors=5, consecutive_errors=5, last=ERROR), ERROR, "consecutive errors (5) > limit (4)", id="errors"
        ),
    ],
)
def test_exceeded_names_the_limit_as_argo_does(tally, phase, words):
    """TestAssessMetricFailureInconclusiveOrError, whether it is being ended or not."""
    assert exceeded(tally, Limits()) == (phase, words)
    assert metric_phase(tally, Limits()) is ended_phase(tally, Limits()) is phase


def test_exceeded_at_a_limit_is_nothing():
    """Limits are passed strictly above them."""
    at_limits = Tally(2, failed=1, inconclusive=1, errors=4, consecutive_errors=4, last=ERROR)

    assert exceeded(at_limits, minutely(failures=1, inconclusive=1)) == ()


def test_counted_an_error_in_a_row_leaves_the_count_as_it_is():
    """TestRunMeasurementsResetConsecutiveErrorCounter: errors are measured again and do not use up the count."""
    found = counted(Tally(count=4, errors=4, consecutive_errors=4, last=ERROR), ERROR)

    assert (found.consecutive_errors, found.errors, found.count) == (5, 5, 4)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (SUCCESSFUL, Tally(6, 3, 1, 1, 2, 0, 3, SUCCESSFUL)),
        (FAILED, Tally(6, 2, 2, 1, 2, 0, 0, FAILED)),
        (INCONCLUSIVE, Tally(6, 2, 1, 2, 2, 0, 0, INCONCLUSIVE)),
        (ERROR, Tally(5, 2, 1, 1, 3, 3, 0, ERROR)),
        (RUNNING, Tally(5, 2, 1, 1, 2, 2, 2, RUNNING)),
    ],
)
def test_counted_each_answer_moves_argos_counters(measured, expected):
    """Section "Counters" of its analysis: what goes up, what goes back to 0, what stays."""
    before = Tally(
        count=5,
        successful=2,
        failed=1,
        inconclusive=1,
        errors=2,
        consecutive_errors=2,
        consecutive_successes=2,
        last=SUCCESSFUL,
    )

    assert counted(before, measured) == expected


#: evaluate_test.go: what the success and the failure condition evaluate to, Argo's answer, ours.
CONDITIONS = [
    pytest.param(True, False, SUCCESSFUL, SUCCESSFUL, id="true, false"),
    pytest.param(True, True, FAILED, FAILED, id="true, true"),
    pytest.param(False, True, FAILED, FAILED, id="false, true"),
    pytest.param(False, False, INCONCLUSIVE, INCONCLUSIVE, id="false, false"),
    pytest.param(None, False, SUCCESSFUL, SUCCESSFUL, id="none, false"),
    pytest.param(None, True, FAILED, FAILED, id="none, true"),
    pytest.param(False, None, FAILED, FAILED, id="false, none"),
    pytest.param(True, None, SUCCESSFUL, SUCCESSFUL, id="true, none"),
    # Argo's documentation says Inconclusive here, its code Successful; nothing that was asked is no answer.
    pytest.param(None, None, SUCCESSFUL, INCONCLUSIVE, id="none, none"),
]


@pytest.mark.parametrize(("success", "failure", "argo", "ours"), CONDITIONS)
def test_outcome_of_conditions_is_argos_but_for_no_condition_at_all(success, failure, argo, ours):
    """An expression that is not valid has no value to give; a measurement that raised is an Error before this."""
    assert outcome(success, failure) is ours
    assert ours is argo or (success is None and failure is None)


@pytest.mark.parametrize(
    ("phases", "argo", "ours"),
    [
        pytest.param([SUCCESSFUL, RUNNING], RUNNING, RUNNING, id="TestAssessRunStatus running"),
        pytest.param([SUCCESSFUL, FAILED], FAILED, FAILED, id="TestAssessRunStatus failed"),
        pytest.param([RUNNING, FAILED], RUNNING, RUNNING, id="TestAssessRunStatusUpdateResult"),
        pytest.param([ERROR, INCONCLUSIVE, SUCCESSFUL], ERROR, ERROR, id="worst of three"),
        pytest.param([], SUCCESSFUL, INCONCLUSIVE, id="TestAssessRunStatusMultipleFailuresInDryRunMode"),
    ],
)
def test_worst_of_metrics_is_argos_but_for_none_at_all(phases, argo, ours):
    """With nothing but dry-run metrics Argo is Successful, by design; here what is only shown promotes nothing."""
    assert worst(phases) is ours
    assert ours is argo or not phases


def test_worst_of_a_run_that_was_ended_before_it_measured_is_not_successful():
    """TestTerminateAnalysisRun: Successful in Argo."""
    upstream = SUCCESSFUL
    found = worst([ended_phase(Tally(), Limits())])

    assert found is INCONCLUSIVE
    assert is_worse(found, upstream)


@pytest.mark.parametrize(
    ("phase", "than", "answer"),
    [
        (INCONCLUSIVE, SUCCESSFUL, True),
        (ERROR, INCONCLUSIVE, True),
        (FAILED, ERROR, True),
        (ERROR, FAILED, False),
        (SUCCESSFUL, SUCCESSFUL, False),
        (FAILED, FAILED, False),
    ],
)
def test_is_worse_has_argos_order(phase, than, answer):
    """TestIsWorst."""
    assert is_worse(phase, than) is answer


def test_is_worse_orders_all_phases_as_argo_does():
    """Successful, Running, Pending, Inconclusive, Error, Failed."""
    order = [SUCCESSFUL, RUNNING, PENDING, INCONCLUSIVE, ERROR, FAILED]

    assert [sum(is_worse(phase, other) for other in Phase) for phase in order] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("phase", "argo", "ours"),
    [
        (SUCCESSFUL, "promote", Verb.PROMOTE),
        (INCONCLUSIVE, "pause", Verb.HOLD),
        (ERROR, "abort", Verb.HOLD),
        (FAILED, "abort", Verb.ROLLBACK),
        (RUNNING, "wait", Verb.HOLD),
        (PENDING, "wait", Verb.HOLD),
    ],
)
def test_reaction_to_errors_is_a_hold_where_argo_aborts(phase, argo, ours):
    """A Prometheus that is down must not roll back a feature that is well (argo-rollouts#1905, #2866)."""
    theirs = {"promote": Verb.PROMOTE, "abort": Verb.ROLLBACK}.get(argo, Verb.HOLD)

    assert reaction(phase) is ours
    assert (ours is theirs) == (phase is not ERROR)


@given(st.lists(st.sampled_from([RUNNING, INCONCLUSIVE, ERROR])), st.integers(0, 3), st.integers(1, 9))
def test_reaction_to_any_run_without_an_answer_is_to_hold(measured, inconclusive, count):
    """No sequence of measurements that say nothing promotes or rolls back, running or ended."""
    limits = minutely(failures=0, inconclusive=min(inconclusive, count), count=count)
    tally = Tally()
    for phase in measured:
        tally = counted(tally, phase)

    assert reaction(metric_phase(tally, limits)) is reaction(ended_phase(tally, limits)) is Verb.HOLD


@pytest.mark.parametrize(
    ("since_start", "due"),
    [pytest.param(None, None, id="not started"), pytest.param(10, 10, id="-10 s"), pytest.param(20, 0, id="-20 s")],
)
def test_first_due_seconds_waits_for_the_initial_delay(since_start, due):
    """TestGenerateMetricTasksHonorInitialDelay, 20 s: Argo starts 0, 0 and 1 measurements."""
    assert first_due_seconds(20, since_start) == due


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf])
def test_first_due_seconds_of_a_delay_that_is_none_is_refused(delay):
    """TestGenerateMetricTasksHonorInitialDelay: with a delay that it cannot read Argo waits for ever, in silence."""
    with pytest.raises(ValueError, match="initial delay"):
        first_due_seconds(delay, 20)


@pytest.mark.parametrize(
    ("tally", "limits", "since_last", "due"),
    [
        pytest.param(Tally(1, 1, last=SUCCESSFUL), minutely(), 50, 10, id="TestGenerateMetricTasksInterval 50 s ago"),
        pytest.param(Tally(1, 1, last=SUCCESSFUL), minutely(), 61, 0, id="TestGenerateMetricTasksInterval 61 s ago"),
        pytest.param(
            Tally(errors=1, consecutive_errors=1, last=ERROR), Limits(), 120, 0, id="TestGenerateMetricTasksError"
        ),
        pytest.param(
            Tally(errors=1, consecutive_errors=1, last=ERROR),
            Limits(interval_seconds=300),
            120,
            0,
            id="TestGenerateMetricTasksError every 5 min",
        ),
        pytest.param(
            Tally(errors=1, consecutive_errors=1, last=ERROR),
            minutely(),
            0,
            10,
            id="TestCalculateNextReconcileUponError",
        ),
        pytest.param(Tally(), minutely(), 0, None, id="nothing measured"),
        pytest.param(Tally(1, failed=1, last=FAILED), minutely(), 0, None, id="decided"),
    ],
)
def test_next_due_seconds_of_argos_cases_is_argos(tally, limits, since_last, due):
    """The interval, or ten seconds after an error whatever the interval is."""
    assert next_due_seconds(tally, limits, since_last) == due


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        pytest.param({"failures": None}, "nothing can be decided", id="both limits off"),
        pytest.param({"count": 3}, "need an interval", id="count without interval"),
        pytest.param(
            {"count": 3, "interval_seconds": 60, "failures": 2, "consecutive_successes": 2},
            "count 3",
            id="count too small",
        ),
        pytest.param({"count": 1, "inconclusive": 2}, "count 1", id="inconclusive over count"),
        pytest.param({"failures": -1}, "failures is -1", id="negative"),
        pytest.param({"count": 0}, "count is 0", id="nothing to measure"),
    ],
)
def test_limits_that_decide_nothing_are_refused(limits, named):
    """As Argo's ValidateMetric."""
    with pytest.raises(ValueError, match=named):
        Limits(**limits)


@pytest.mark.parametrize(("limits", "count"), [(Limits(), 1), (minutely(), None), (minutely(count=5), 5)])
def test_limits_effective_count_is_argos(limits, count):
    """Unset and no interval: one. Interval only: until it is ended."""
    assert limits.effective_count == count
