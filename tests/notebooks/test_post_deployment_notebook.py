"""The post-deployment notebook: an hour of errors against the day before, startup warming, cache headers."""

from datetime import timedelta

from notebook_runs import cell_text, newest_record

from runbooks_lib import units
from runbooks_lib.facts import Baseline, BaselineSlot
from runbooks_lib.records.baselines import record_baseline
from runbooks_lib.records.checklists import Who
from runbooks_lib.records.ledger import Ledger

RUN = ("run", "post_deployment", "-e", "sandbox", "-p", "release=v1.4.0")


def day_before():
    """A baseline that ended before the deployment of two hours ago, with 0.5 % errors in each hour."""
    ended_at = (units.now() - timedelta(hours=2, minutes=1)).replace(second=0, microsecond=0)
    starts = (ended_at - timedelta(minutes=number) for number in range(24, 0, -1))
    slots = (BaselineSlot(start, 1.0, 0.95, 0.01, 0.01, 0.005, 0.0, 2000.0) for start in starts)
    return Baseline(ended_at, 60.0, tuple(slots))


def test_post_deployment_notebook_watches_the_hour_that_followed_and_is_ok(at_sandbox):
    """Deployed two hours ago: the hour has passed, warming ran since, the routes have their headers."""
    ledger = Ledger(f"sqlite:///{at_sandbox.folder / 'runs' / 'ledger.sqlite3'}")
    record_baseline(ledger, "sandbox", day_before(), who=Who("anna", "run-1"))

    done = at_sandbox.run(*RUN, "-p", "deployed=2h")

    record = newest_record(at_sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "post-deployment of v1.4.0: 3 of 3 done" in done.stdout
    assert "passed | 60 s of 60 s" in cell_text(at_sandbox, record, "errors")
    assert "(0.5 % in the same hours before); 100.0 % of the hour observed" in cell_text(at_sandbox, record, "errors")
    assert "startup warming took " in cell_text(at_sandbox, record, "warming")
    assert "/api/courses/ | 200 | HIT | " in cell_text(at_sandbox, record, "headers")
    assert "runbooks run gradual_rollout --environment sandbox" in done.stdout


def test_post_deployment_notebook_with_nothing_there_says_what_could_not_be_told(nowhere):
    """No Prometheus, no Redis, no site: nothing is done, and nothing is called failed that could not be seen."""
    done = nowhere.run(*RUN, "-p", "deployed=2h", "-p", "routes=/api/courses/")
    assert done.returncode == 30, done.stdout + done.stderr
    assert "post-deployment of v1.4.0: 0 of 3 done, 3 unknown" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
