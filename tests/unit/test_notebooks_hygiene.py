"""Notebooks are thin, named, clean, and say what they are for. Read as JSON: no kernel, no Jupyter."""

import ast
import json
import re
from pathlib import Path

import pytest
from strip_notebooks import stripped

from runbooks_lib.parameters import declared

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind=None):
    """The cells of a notebook, of one kind."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if kind in (None, cell["cell_type"])]


def source(cell):
    """The source of a cell as text."""
    return "".join(cell["source"])


def test_notebooks_are_there():
    """An empty folder would make every other test here pass."""
    assert any(path.stem == "triage" for path in NOTEBOOKS)


@EACH
def test_notebook_is_stored_without_outputs(path):
    """``make format`` strips it."""
    assert stripped(path.read_text(encoding="utf-8")) == path.read_text(encoding="utf-8")


@EACH
def test_notebook_cell_ids_are_unique_names(path):
    """They serve as anchors for tests, documents and links."""
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{1,63}", name) for name in ids)


@EACH
def test_notebook_has_one_parameters_cell_whose_every_line_is_typed_and_explained(path):
    """The parameters cell is the interface."""
    tagged = [cell for cell in cells(path, "code") if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    parameters = declared(path)
    assert parameters
    assert all(parameter.annotation and parameter.help for parameter in parameters)
    assert parameters[0].name == "environment"


@EACH
def test_notebook_code_cells_are_short_and_without_logic(path):
    """Anything with a branch is a tested function; a cell ends in what it shows."""
    for cell in cells(path, "code"):
        lines = [line for line in source(cell).splitlines() if line.strip()]
        if "parameters" in cell["metadata"].get("tags", []):
            # The interface: as many lines as parameters, and nothing else; what a rollout promises takes nine.
            assert len(lines) == len(declared(path)) <= 9, f"{cell['id']}: {len(lines)} lines"
        else:
            assert len(lines) <= 7, f"{cell['id']}: {len(lines)} lines"
        tree = ast.parse(source(cell))
        forbidden = (ast.FunctionDef, ast.For, ast.While, ast.If, ast.Try, ast.With, ast.ClassDef)
        assert not any(isinstance(node, forbidden) for node in ast.walk(tree)), cell["id"]
        calls = {getattr(n.func, "id", getattr(n.func, "attr", "")) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert not calls & {"print", "input", "HTML", "Markdown", "exec", "eval", "keys", "monitor"}, cell["id"]
        imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert imported <= {"runbooks_lib.notebook"}, cell["id"]


@EACH
def test_notebook_opens_and_closes_its_run_and_keeps_a_place_for_the_verdict(path):
    """So that a bare papermill run is recorded too, and a run that died says so."""
    code = "\n".join(source(cell) for cell in cells(path, "code"))
    assert f'open_runbook("{path.stem}"' in code
    assert "VerdictCard(" in code
    assert "runbook.close(" in code


@EACH
def test_notebook_begins_with_when_what_how_long_and_whom_to_call(path):
    """Read by somebody who was asleep a minute ago."""
    first = source(cells(path)[0])
    assert first.startswith("# ")
    for words in ("When to use", "What it touches", "How long", "Whom to call"):
        assert f"**{words}.**" in first


@EACH
def test_notebook_sections_say_why_what_to_look_for_and_where_to_go(path):
    """At least as much prose as code, and every section leads somewhere."""
    prose = "\n".join(source(cell) for cell in cells(path, "markdown"))
    sections = len(re.findall(r"(?m)^## \d", prose))
    assert sections >= 2
    assert prose.count("**Why.**") >= sections
    assert prose.count("**Look for**") >= sections - 1
    assert prose.count("**Next.**") >= sections - 1
    assert "## What next" in prose
    assert not re.search(r"\bTODO\b|\bTBD\b", prose)


@EACH
def test_notebook_names_only_runbooks_that_exist(path):
    """A link to a runbook that is not there is worst exactly when it matters."""
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    named = set(re.findall(r"runbooks run ([a-z_]+)", text))
    assert named <= {notebook.stem for notebook in NOTEBOOKS}
