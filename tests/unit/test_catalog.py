"""Runbooks are found by name, and a name that is none leads to the one that was meant."""

from __future__ import annotations

import pytest
from records_fixtures import code_cell, prose_cell

from runbooks_lib import catalog
from runbooks_lib.errors import UsageError


@pytest.fixture
def root(repository, write_notebook):
    """Two groups, one checkpoint copy, one broken file."""
    heading = prose_cell("# Triage\n\n> How bad is it, and why?\n\nMore.")
    parameters = code_cell('window: str = "15m"  # [duration] how far back', cell_id="params", tags=("parameters",))
    write_notebook(heading, parameters, name="incident/triage")
    write_notebook(prose_cell("no heading"), name="troubleshooting/low_hit_rate")
    write_notebook(name="troubleshooting/.ipynb_checkpoints/low_hit_rate-checkpoint")
    (repository / "notebooks" / "analysis").mkdir()
    (repository / "notebooks" / "analysis" / "broken.ipynb").write_text("{", encoding="utf-8")
    return repository


def test_entries_lists_every_notebook_and_no_checkpoint(root):
    """One broken notebook does not hide the others."""
    found = {entry.name: entry for entry in catalog.entries(root)}

    assert list(found) == ["broken", "triage", "low_hit_rate"]
    assert (found["triage"].title, found["triage"].purpose) == ("Triage", "How bad is it, and why?")
    assert found["triage"].group == "incident"
    assert found["low_hit_rate"].title == "low_hit_rate"
    assert "cannot be read" in found["broken"].purpose


@pytest.mark.parametrize(
    "name",
    [
        "triage",
        "incident/triage",
        "triage.ipynb",
        "notebooks/incident/triage.ipynb",
        "./notebooks/incident/triage.ipynb",
    ],
)
def test_find_by_name_group_or_path(root, name):
    """However somebody calls it."""
    entry = catalog.find(root, name)

    assert entry.path == root / "notebooks" / "incident" / "triage.ipynb"
    assert [parameter.name for parameter in entry.parameters] == ["window"]


def test_find_a_dash_stands_for_an_underscore(root):
    """Shells and people write both."""
    assert catalog.find(root, "low-hit-rate").name == "low_hit_rate"


def test_find_an_unknown_name_offers_what_was_meant(root):
    """At night nobody remembers the exact name."""
    with pytest.raises(UsageError, match="there is no runbook 'low_hitrate'") as caught:
        catalog.find(root, "low_hitrate")

    assert "did you mean low_hit_rate?" in caught.value.hint


def test_find_a_name_in_two_groups_asks_for_the_group(root, write_notebook):
    """Which of the two must not be a guess."""
    write_notebook(name="deployment/triage")

    with pytest.raises(UsageError, match="names 2 runbooks: deployment/triage, incident/triage"):
        catalog.find(root, "triage")
    assert catalog.find(root, "deployment/triage").group == "deployment"


def test_find_without_any_notebook_names_the_folder(tmp_path):
    """The wrong folder is the usual reason."""
    with pytest.raises(UsageError, match="holds no notebook"):
        catalog.find(tmp_path, "triage")
