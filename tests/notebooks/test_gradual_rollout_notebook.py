"""The notebook of a gradual rollout and its commands, on a fake site: no sandbox is needed."""

import json
import re
import subprocess
import sys

import pytest
from notebook_runs import cell_text, newest_record
from rollout_site_fixtures import FEATURE

TERMS = ("-p", "stages=0,50,100", "-p", "soak=2h", "-p", "look=1h")


@pytest.mark.timeout(180)
def test_gradual_rollout_notebook_plans_begins_and_waits_for_the_first_look(rollout_site):
    """Blank: a plan. Its digest: begun. ``auto``: not due, and nothing changes. Then it is paused and aborted."""
    rollout = rollout_site()
    place = rollout.place
    planned = place.run("run", "gradual_rollout", "-e", "site", *TERMS)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    command = re.search(r"runbooks (run gradual_rollout .*confirm=\S+)", planned.stdout)[1]
    assert "No rollout of this feature was ever begun" in cell_text(place, newest_record(place), "before")
    assert "stage 50 %" in cell_text(place, newest_record(place), "done")
    assert rollout.kinds("campaign.") == []

    begun = place.run(*command.split())
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "begun at 0 %, first of 3 stages" in begun.stdout
    assert "0 ─── 50 ─── 100" in cell_text(place, newest_record(place), "after")
    assert rollout.kinds("campaign.") == ["opened"]

    waiting = place.run("run", "gradual_rollout", "-e", "site", "-p", "confirm=auto")
    assert waiting.returncode == 0, waiting.stdout + waiting.stderr
    assert waiting.stdout.startswith("OK · site")
    assert "no look is due" in cell_text(place, newest_record(place), "act")
    assert rollout.kinds("campaign.") == ["opened"]
    assert "runbooks rollout pause ENHANCED_CACHE" in waiting.stdout


def test_rollout_commands_show_pause_resume_promote_abort_and_replay(rollout_site):
    """Each order needs a reason and is recorded; status and replay read the ledger alone."""
    rollout = rollout_site()
    place = rollout.place
    assert place.call("rollout", "status").stdout.startswith("No rollout was ever begun. To plan one: ")
    assert place.call("rollout", "status", FEATURE, "-e", "site").returncode == 2
    campaign = rollout.begin()
    rollout.look()

    shown = place.call("rollout", "status", FEATURE, "-e", "site")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"{FEATURE} · site · {campaign.id} · 0 % of 100 %   HOLD, soaking")
    assert json.loads(place.call("rollout", "status", "--json").stdout)[0]["campaign_id"] == campaign.id
    replayed = place.call("rollout", "replay", FEATURE, "-e", "site", "-p", "soak=1h", "-p", "pass_looks=1")
    assert (replayed.returncode, "decided promote instead of hold" in replayed.stdout) == (0, True)

    machine = place.call("rollout", "replay", FEATURE, "-e", "site", "--json")
    assert json.loads(machine.stdout)["looks"][0]["decision"]["verb"] == "hold"
    assert place.call("rollout", "replay", FEATURE, "-e", "site", "-p", "look=2h").returncode == 2

    refused = place.call("rollout", "pause", FEATURE, "-e", "site")
    assert (refused.returncode, "pause needs a reason" in refused.stdout) == (40, True)
    assert place.call("rollout", "pause", FEATURE, "-e", "site", "--reason", "lunch").returncode == 10
    assert "PAUSED" in place.call("rollout", "status", FEATURE, "-e", "site").stdout
    assert place.call("rollout", "resume", FEATURE, "-e", "site", "--reason", "back").returncode == 0
    planned = place.call("rollout", "promote", FEATURE, "-e", "site", "--reason", "tonight")
    command = re.search(r"runbooks (rollout promote .*--confirm \S+)", planned.stdout)
    assert (planned.returncode, bool(command), rollout.flag) == (0, True, ("gradual", 0)), planned.stdout
    assert place.call(*command[1].split()).returncode == 0
    assert rollout.flag == ("gradual", 50)
    aborted = place.call("rollout", "abort", FEATURE, "-e", "site", "--reason", "no more", "--json")
    assert (aborted.returncode, json.loads(aborted.stdout)["came"]) == (0, "aborted")
    assert rollout.flag == ("off", 0)
    log = place.call("log", "--kind", "campaign.ended").stdout
    assert f"rollout {campaign.id} ended: aborted: no more" in log


def test_rollout_status_loads_nothing_but_the_ledger(rollout_site):
    """So that it answers at once: no Redis, no numpy, no HTTP, no notebook machinery."""
    rollout = rollout_site()
    rollout.begin()
    rollout.look()
    code = (
        "import sys; from runbooks_lib.cli import main; "
        f"main(['rollout', 'status', '{FEATURE}', '-e', 'site']); "
        "print([name for name in ('redis', 'numpy', 'requests', 'apprise', 'IPython', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=rollout.place.folder,
        env=rollout.place.variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "HOLD, soaking" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
