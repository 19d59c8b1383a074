"""The feature flags notebook: a plan, one application however often it is run, and the undo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_runs import cell_text, digest_of, flags_of, newest_record, undo

NOTEBOOK = "notebooks/operations/feature_flags.ipynb"
CHANGE = {"feature": "ADAPTIVE_TTL", "change": "percentage", "percentage": 25}


def run_all_twice(place, **parameters):
    """Bare papermill on a notebook that holds every code cell twice: what Run All, pressed twice, does in one kernel."""
    notebook = json.loads((place.folder / NOTEBOOK).read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    again = [{**cell, "id": f"{cell['id']}-2", "metadata": {}} for cell in code if cell["id"] != "params"]
    doubled = place.folder / "doubled.ipynb"
    doubled.write_text(json.dumps({**notebook, "cells": [*code, *again]}), encoding="utf-8")
    given = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    return subprocess.run(
        [str(Path(sys.executable).parent / "papermill"), "--no-progress-bar", "doubled.ipynb", "out.ipynb", *given],
        cwd=place.folder,
        env=place.variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.timeout(240)
def test_feature_flags_notebook_plans_then_applies_once_however_often_it_is_run(at_sandbox, healthy_sandbox):
    """The dry run changes nothing; Run All twice with its digest changes the flag once; the undo puts it back."""
    before = flags_of(healthy_sandbox)
    given = [word for name, value in CHANGE.items() for word in ("-p", f"{name}={value}")]
    done = at_sandbox.run("run", "feature_flags", "-e", "sandbox", *given)
    planned = newest_record(at_sandbox)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was changed, planned: serve ADAPTIVE_TTL to 25 %" in done.stdout
    assert f"-p percentage=25 -p confirm={digest_of(planned)}" in done.stdout
    assert "common_featureflag" in cell_text(at_sandbox, planned, "store")
    assert "CACHE_WARMING | on | 100 %" in cell_text(at_sandbox, planned, "flags")
    assert flags_of(healthy_sandbox) == before

    twice = run_all_twice(at_sandbox, **CHANGE, confirm=digest_of(planned))
    assert twice.returncode == 0, twice.stderr[-2000:]
    _, first, second = sorted(at_sandbox.records(), key=lambda record: record["started_at"])
    assert flags_of(healthy_sandbox)["ADAPTIVE_TTL"] == ("gradual", 25)
    assert [action["result"] for action in first["actions"]] == ["applied"]
    assert [action["result"] for action in second["actions"]] == ["refused"]
    assert "was confirmed already" in second["actions"][0]["detail"]
    assert {first["outcome"], second["outcome"]} == {"finished"}

    undone = undo(at_sandbox, first)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert flags_of(healthy_sandbox)["ADAPTIVE_TTL"] == ("on", 100)


def test_feature_flags_notebook_with_impossible_parameters_is_refused(nowhere):
    """Nobody is no user, whatever the feature is called: exit 40, and the site was not asked to change anything."""
    hostile = nowhere.run(
        "run", "feature_flags", "-e", "sandbox", "-p", "change=whitelist_add", "-p", "feature=x'); import os;("
    )
    assert hostile.returncode == 40, hostile.stdout + hostile.stderr
    assert "nothing was changed, refused" in hostile.stdout
