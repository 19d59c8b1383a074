"""A gradual rollout on the reference site: real requests of two cohorts, a real Prometheus, real processes.

A look lasts 8 s, as short as four scrapes allow, so a whole campaign takes a minute. What happens at every point at
which an execution can be killed is shown in ``test_rollout_execution.py``, by the hour.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from notebook_runs import flags_of, newest_record
from sandbox_fixtures import eventually, heal, is_healthy, vitals_now
from workplace_fixtures import Workplace, pointed_at

from runbooks_lib import config, units
from runbooks_lib.changes import exit_code
from runbooks_lib.judgement.rollout.model import Reason, Verb
from runbooks_lib.operations.rollout import RolloutRun, execute_rollout
from runbooks_lib.operations.rollout_grid import next_look_at
from runbooks_lib.operations.rollout_verdict import judge_rollout
from runbooks_lib.operations.rollout_work import Came
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaign_terms import GUIDE_FEATURES
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.runbook import open_runbook

ROOT = Path(__file__).parents[2]
FEATURE = "ENHANCED_CACHE"
TERMS = {
    "stages": "50,100",
    "soak": "16s",
    "look": "8s",
    "min_requests": 100,
    "min_window_requests": 20,
    "min_window_lookups": 50,
    # The hit rate of a few hundred lookups scatters by more than the half point that shows a plateau by the hour.
    "plateau_points": 5.0,
    # The day before is told, not measured: its latency is not that of a machine that runs other tests beside this one.
    "tail_ratio_tolerance": 100.0,
}
#: Many requests for few things: the cache of whoever changes the cohort is warm within seconds.
LOAD = {"rate_per_second": 60.0, "exponent": 3.0}
MOST_LOOKS = 8
CHILD = """
import json, sys
from actions_fixtures import DyingLedger
from runbooks_lib import config
from runbooks_lib.changes import exit_code
from runbooks_lib.operations.rollout import execute_rollout
from runbooks_lib.operations.rollout_verdict import judge_rollout
from runbooks_lib.runbook import open_runbook
url, terms, kind = sys.argv[1:]
runbook = open_runbook("gradual_rollout", environment="sandbox", configuration=config.load())
runbook.run.ledger = DyingLedger(url, kind)
rollout = execute_rollout(runbook, "ENHANCED_CACHE", terms=json.loads(terms), confirm="auto")
verdict = runbook.checked_first(judge_rollout(runbook, rollout))
runbook.close(verdict)
print(*(outcome.detail for outcome in rollout.outcomes), rollout.text)
raise SystemExit(exit_code(verdict.exit_code, runbook.run.record["actions"]))
"""
PUT_BACK = f"""
from common.feature_flags.service import FeatureFlagService
for feature in {GUIDE_FEATURES}: FeatureFlagService.enable_feature(feature)
"""


@dataclass(frozen=True)
class Site:
    """The sandbox, and the workplace from which a feature is rolled out on it."""

    place: Workplace

    @property
    def configuration(self) -> config.Configuration:
        """Of the workplace."""
        return config.load(self.place.folder / "runbooks.toml", self.place.variables)

    @property
    def ledger(self) -> Ledger:
        """The workplace's."""
        return Ledger(self.configuration.ledger_url)

    @property
    def campaign(self) -> Campaign:
        """The newest, ended or not."""
        found = Campaigns(self.ledger).latest("sandbox", FEATURE)
        assert found is not None
        return found

    @property
    def holders(self) -> dict[str, str]:
        """Resource → who holds its lock."""
        return {lease.resource: lease.holder for lease in Leases(self.ledger).held("sandbox")}

    def moves(self) -> int:
        """How often the campaign raised the percentage."""
        return len(self.ledger.events(kind="campaign.moved"))

    def execute(self) -> tuple[RolloutRun, int]:
        """One unattended execution, as the notebook does it: what it came to, and its exit code."""
        runbook = open_runbook("gradual_rollout", environment="sandbox", configuration=self.configuration)
        came = execute_rollout(runbook, FEATURE, terms=TERMS, confirm="auto")
        verdict = runbook.checked_first(judge_rollout(runbook, came))
        runbook.close(verdict)
        return came, exit_code(verdict.exit_code, runbook.run.record["actions"])

    def look(self) -> tuple[RolloutRun, int]:
        """The same once the next look is due."""
        self.wait()
        return self.execute()

    def wait(self) -> None:
        """Until the next look is due."""
        time.sleep(max(0.0, (next_look_at(self.campaign) - units.now()).total_seconds() + 0.2))

    def start(self, operator: str, *, dies_at: str = "") -> subprocess.Popen[str]:
        """An execution in a process of its own; it is killed with -9 where it would write an event of that kind."""
        variables = {"RUNBOOKS_OPERATOR": operator, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, self.configuration.ledger_url, json.dumps(TERMS), dies_at],
            cwd=self.place.folder,
            env={**self.place.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def site(sandbox, workplace: Workplace) -> Iterator[Site]:
    """The feature is on for everybody and the cache warm; flags and load are put back afterwards."""
    heal(sandbox)
    sandbox.load(**LOAD)
    if not is_healthy(vitals_now(sandbox)):
        sandbox.warm_up()
    eventually(lambda: is_healthy(vitals_now(sandbox)), seconds=60)
    before, place = flags_of(sandbox), pointed_at(sandbox, workplace)
    site = Site(place)
    yield site
    heal(sandbox)
    manage = site.configuration.environment("sandbox").manage
    subprocess.run([*manage, "shell", "-c", PUT_BACK], cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert flags_of(sandbox) == before


def begun_by_one_of_two(site: Site) -> None:
    """Two executions are started at once: one begins, the other is refused and told who does."""
    both = {name: site.start(name) for name in ("anna", "ben")}
    told = {name: (process.communicate(timeout=60), process.returncode) for name, process in both.items()}
    codes = {name: code for name, (_, code) in told.items()}
    assert sorted(codes.values()) == [0, 40], told
    first, second = sorted(codes, key=codes.__getitem__)
    (said, complaint), _ = told[second]
    assert f"rollout:{FEATURE} on sandbox is locked by {first}" in said, complaint
    assert len(site.ledger.events(kind="campaign.opened")) == 1


def killed_while_promoting(site: Site) -> None:
    """Executions follow one another until one dies after the flag was moved and before the campaign knows."""
    for _ in range(MOST_LOOKS):
        site.wait()
        process = site.start("anna", dies_at="campaign.moved")
        said = process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            return
        assert process.returncode in {0, 30}, said
    pytest.fail(f"it was not promoted in {MOST_LOOKS} looks: {site.campaign.last_look}")


@pytest.mark.breaks_site
@pytest.mark.timeout(300)
def test_rollout_on_a_healthy_site_reaches_everybody_through_an_outage_and_a_kill(site, sandbox):
    """Two begin at once, Prometheus stops midway, one execution is killed at the promotion: it goes on to its end."""
    begun_by_one_of_two(site)
    campaign = site.campaign
    assert (flags_of(sandbox)[FEATURE], site.holders) == (("gradual", 50), {f"flag:{FEATURE}": campaign.id})

    sandbox.inject("prometheus_down")
    held, code = site.look()
    assert (held.came, held.decision.verb, code) == (Came.HELD, Verb.HOLD, 30)
    assert Reason.UNKNOWN in held.decision.reasons
    assert (flags_of(sandbox)[FEATURE], site.moves()) == (("gradual", 50), 0)
    sandbox.heal("prometheus_down")

    killed_while_promoting(site)
    assert (flags_of(sandbox)[FEATURE], site.campaign.percentage, site.moves()) == (("gradual", 100), 50, 0)
    settled, code = site.execute()
    assert (settled.campaign.percentage, site.moves(), code) == (100, 1, 0), settled.text

    came, codes = settled, []
    while came.came is not Came.COMPLETE and len(codes) < MOST_LOOKS:
        came, code = site.look()
        codes.append(code)
    assert (came.came, codes[-1]) == (Came.COMPLETE, 0), came.text
    assert (came.campaign.end, site.holders) == ("complete", {})
    assert (flags_of(sandbox)[FEATURE], site.moves()) == (("gradual", 100), 1)
    assert site.ledger.verify_chain() == ()


@pytest.mark.breaks_site
@pytest.mark.timeout(300)
def test_rollout_that_breaks_its_own_cohort_is_rolled_back_by_the_notebook_with_its_evidence(site, sandbox):
    """5xx for those who have the feature and for nobody else: the guide's three features are off, and it says why."""
    sandbox.inject("enhanced_errors", error_ratio=0.5)
    begun, code = site.execute()
    assert (begun.came, code) == (Came.BEGUN, 0), begun.text
    site.wait()

    done = site.place.run("run", "gradual_rollout", "--environment", "sandbox", "-p", "confirm=auto")

    assert done.returncode == 20, done.stdout + done.stderr
    assert {flags_of(sandbox)[name][0] for name in GUIDE_FEATURES} == {"off"}
    assert (site.campaign.end, site.holders) == ("rolled back", {})
    record = newest_record(site.place)
    (action,) = record["actions"]
    assert (action["action"], action["result"]) == ("roll_back_features", "applied")
    assert "read back" in action["detail"]
    look = site.campaign.looks[-1]
    assert look.window.enhanced.errors > 0.1 * look.window.enhanced.requests
    assert look.window.control.errors == 0
    (gate,) = [gate for gate in look.decision["gates"] if gate["id"] == "errors limit"]
    assert gate["stand"] == "fail"
    (folder,) = site.place.folder.glob(f"runs/*/{record['run_id'][9:]}")
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Rolls back from 50 %" in report
    assert gate["now"] in report
    assert site.ledger.verify_chain() == ()
