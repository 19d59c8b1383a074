"""Changing a flag, without a site: what is refused before anything starts, and what the programs may call."""

from __future__ import annotations

import ast
import inspect
import json
import re
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.actions import on_site_writes, site_program
from runbooks_lib.actions.flags.feature import AddToWhitelist, EnableFeature, SetPercentage
from runbooks_lib.actions.flags.plans import expected_of, resting
from runbooks_lib.actions.flags.states import FlagState, can_set, is_so, restoring_one, state_of
from runbooks_lib.actions.registry import ACTIONS, action_class, make_action
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import Flag, FlagService
from runbooks_lib.model import Provenance
from runbooks_lib.sources.site import django_site, on_site, on_site_shared
from runbooks_lib.units import now

MINE = ("flags", "warming")
SERVICE = FlagService((), ("t",), ("enable_feature",), 2.0, None, Provenance("django", "q", now()))
#: A call by one of these names may change something, wherever it comes from.
CHANGING = (
    *("set", "add", "remove", "delete", "clear", "flush", "save", "create", "update", "enable", "disable", "write"),
    *("call_command", "apply_async", "send_task", "revoke", "shutdown", "purge", "execute", "incr", "expire", "eval"),
)


@pytest.mark.parametrize("feature", ["", "  ", "X" * 101, "A\nB", "A\x00", "\x1b[31mA", 7, None])
def test_feature_that_can_be_no_name_is_refused_before_anything_starts(feature):
    """Nothing is contacted for it."""
    with pytest.raises(UsageError, match="is not the name of a feature"):
        EnableFeature(feature=feature)


@pytest.mark.parametrize("percentage", [-1, 101, True, 50.0, "50; DROP TABLE x", None])
def test_percentage_that_is_none_is_refused(percentage):
    """A percentage is a whole number 0..100."""
    with pytest.raises(UsageError, match="is not a whole number in 0"):
        SetPercentage(feature="ENHANCED_CACHE", percentage=percentage)


@pytest.mark.parametrize("user_id", [0, -5, True, 2**63, "7' OR 1=1", 1.5, None])
def test_user_id_that_is_none_is_refused(user_id):
    """A user's id is a whole number over 0 that a database can hold."""
    with pytest.raises(UsageError, match="is not a whole number over 0"):
        AddToWhitelist(feature="ENHANCED_CACHE", user_id=user_id)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("set_percentage", {"feature": "ENHANCED_CACHE", "percentage": "25"}),
        ("add_to_whitelist", {"feature": "ENHANCED_CACHE", "user_id": "12345", "accept_volatile": "true"}),
        ("roll_back_features", {}),
        ("trigger_warming", {"strategy": "scheduled"}),
    ],
)
def test_action_is_made_from_the_texts_of_a_command_line(name, parameters):
    """Every action can be written as text, and is the same again."""
    action = make_action(name, parameters)

    assert action.name == name
    assert all(resource.startswith(("flag:", "warming")) for resource in action.resources())


@pytest.mark.parametrize("name", [name for name, (module, _) in ACTIONS.items() if module.partition(".")[0] in MINE])
def test_action_of_the_registry_has_its_name_and_a_help(name):
    """The registry, the class and its first line agree."""
    kind = action_class(name)

    assert kind.name == name
    assert inspect.getdoc(kind).splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("strategy", "percentage", "undo", "parameters"),
    [
        ("on", 100, "enable_feature", {"feature": "F"}),
        ("off", 0, "disable_feature", {"feature": "F"}),
        ("gradual", 25, "set_percentage", {"feature": "F", "percentage": 25}),
        ("beta", 0, "restore_features", {"states": '{"F":{"strategy":"beta","percentage":0}}'}),
    ],
)
def test_restoring_one_is_the_action_that_brings_strategy_and_percentage_back(strategy, percentage, undo, parameters):
    """The undo of whatever changes the flag now."""
    flag = Flag("F", strategy, percentage, 3, None)

    command = restoring_one("F", flag, accept_volatile=False)

    assert (command.action, dict(command.parameters)) == (undo, parameters)
    assert is_so(flag, state_of(flag))
    assert can_set(state_of(flag), SERVICE) == (strategy != "beta")


@given(st.sampled_from(["on", "off", "gradual", "whitelist", "beta"]), st.integers(0, 100), st.text())
def test_resting_is_read_back_by_the_write_program_as_it_was(strategy, percentage, name):
    """Whatever a feature is called, the program compares with what the plan saw."""
    flag = Flag(name, strategy, float(percentage), None, None)

    expected = expected_of(resting({name: flag, "OTHER": Flag("OTHER", "on", 100.0, 1, True)}), name)

    assert name == "OTHER" or expected == {
        "strategy": strategy,
        "percentage": float(percentage),
        "whitelist_count": None,
    }
    assert FlagState(strategy, percentage).served_percent == {"on": 100, "gradual": percentage}.get(strategy, 0)


@pytest.mark.parametrize("percentage", [12.5, 0.4, 99.9999999])
def test_state_with_a_fraction_is_shown_to_its_last_digit_and_has_no_method(percentage):
    """No rounding anywhere on the way."""
    state = state_of(Flag("F", "gradual", percentage, None, None))

    assert state.shown == f"gradual, {percentage} %"
    assert not can_set(state, SERVICE)
    assert can_set(state_of(Flag("F", "on", percentage, None, None)), SERVICE)


def calls_in(module) -> set[str]:
    """The names of all that a program calls."""
    tree = ast.parse(inspect.getsource(module), feature_version=(3, 8))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in called}


def test_reading_program_calls_nothing_that_changes_anything():
    """A dry run runs it: it stays reads only, and Python 3.8 understands it."""
    # Its own set, and the function that Django hands to a wrapper that watches statements.
    harmless = {"set", "update", "execute", "execute_wrapper"}

    suspicious = {name for name in calls_in(on_site) if name.startswith(CHANGING)} - harmless

    assert suspicious == set()
    assert not set(on_site_writes.METHODS) & set(ast.dump(ast.parse(inspect.getsource(on_site))).split("'"))


@pytest.mark.parametrize("program", [django_site._program(), site_program.program()], ids=["reading", "writing"])
def test_program_as_it_is_sent_is_one_text_for_python_3_8_without_this_library(program):
    """What both share stands in front, once."""
    tree = ast.parse(program, feature_version=(3, 8))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]

    compile(program, "<runbooks>", "exec")
    assert sorted(set(names)) == sorted(names)
    assert {"answer", "feature_named", "plain"} <= set(names)
    assert not [line for line in program.splitlines() if line.startswith("from runbooks_lib")]


class ShyError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (timedelta(milliseconds=1500), 1.5),
        (Decimal("12.5"), 12.5),
        (Decimal("NaN"), "NaN"),
        (float("inf"), "inf"),
        ({HTTPStatus.OK: {1}}, {"200": [1]}),
        (b"x", "b'x'"),
    ],
)
def test_plain_is_json_whatever_a_site_keeps_in_its_settings(value, shown):
    """Durations are seconds, decimals numbers, anything else text."""
    assert on_site_shared.plain(value) == shown
    assert json.loads(json.dumps(on_site_shared.plain(value), allow_nan=False)) == shown


def test_said_of_an_error_that_cannot_be_shown_is_its_type():
    """The account of a write must not fail over the error that ended it."""
    assert on_site_shared.said(ShyError()) == "ShyError"
    assert on_site_shared.said(KeyError("a")) == "KeyError: 'a'"


def test_writing_program_looks_methods_up_in_its_list_only():
    """No text of a request ever becomes code or an attribute that is not listed."""
    assert not calls_in(on_site_writes) & {"exec", "eval", "compile", "__import__", "import_module", "globals"}
    with pytest.raises((ValueError, ImportError)):
        on_site_writes.take({"feature": "F", "method": "__class__", "arguments": []})
    with pytest.raises((ValueError, ImportError)):
        on_site_writes.start_warming("startup; rm -rf /")


@pytest.mark.parametrize(
    "place", ["actions/flags", "actions/warming", "actions/throttling.py", "judgement/incident.py"]
)
def test_commands_in_hints_are_whole(place):
    """Pasted as it stands, a command works: it is made by the function that names the environment."""
    library = Path(inspect.getfile(Site)).parents[1]
    paths = [library / place] if place.endswith(".py") else sorted((library / place).rglob("*.py"))
    texts = [text for path in paths for text in literals_in(path)]

    assert texts
    assert [text for text in texts if re.search(r"runbooks (run|change|triage)\b(?! \w* ?--environment)", text)] == []


def literals_in(path: Path) -> list[str]:
    """Every text in a module that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_site_of_a_plan_has_no_way_to_run_a_changing_program():
    """Reading and writing are apart by structure: only ``apply`` makes the other one."""
    library = Path(inspect.getfile(Site)).parents[1]
    makers = {path.name for path in library.rglob("*.py") if "WritableSite(" in path.read_text(encoding="utf-8")}

    assert not {"run_in_site", "writer", "progress"} & set(dir(Site))
    assert makers <= {"apply.py", "site.py"}
    readers = [path for path in (library / "sources").rglob("*.py") if "on_site_writes" in path.read_text()]
    assert readers == []


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        ('SELECT "a" FROM "update"', False),
        ("SAVEPOINT x", False),
        ("SELECT 'DELETE FROM x'", False),
        ("  insert into x values (1)", True),
        ("/* a */ -- b\n(UPDATE x SET a=1)", True),
        ("WITH gone AS (DELETE FROM x RETURNING *) SELECT * FROM gone", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", False),
        ("TRUNCATE x", True),
        ("DROP TABLE x", True),
    ],
)
def test_reading_program_refuses_sql_that_changes_something(sql, changes):
    """Before it reaches the database."""
    sent = []

    if changes:
        with pytest.raises(PermissionError, match="reading must not change anything"):
            on_site.refuse_changes(lambda *_: sent.append(sql), sql, (), False, {})
    else:
        on_site.refuse_changes(lambda *_: sent.append(sql), sql, (), False, {})

    assert sent == ([] if changes else [sql])
