"""Actions as text: what is written as a command makes the same action again, whatever a stranger put into it."""

import dataclasses
import shlex

import pytest
from builders import HOSTILE
from change_builders import HOSTILE_PATTERN

from runbooks_lib.actions.plan import Command
from runbooks_lib.actions.registry import ACTIONS, action_class, command_line, make_action
from runbooks_lib.errors import UsageError


def parsed(line):
    """Action, parameters and the rest of a command line, as a shell and the command would split it."""
    words = shlex.split(line)
    at = [number for number, word in enumerate(words) if word == "-p"]
    return words[2], dict(words[number + 1].split("=", 1) for number in at), words


@pytest.mark.parametrize("pattern", [HOSTILE_PATTERN, "api:*", "a b", "-p", "--confirm=auto", "é…", "a=b=c", ""])
def test_command_line_survives_a_shell_and_gives_the_same_parameters(pattern):
    """Nothing in a parameter can be taken for shell syntax or for an option."""
    line = command_line(Command("clear_pattern", {"pattern": pattern, "max_keys": 7}), "production", confirm="9c1f")
    action, parameters, words = parsed(line)

    assert action == "clear_pattern"
    assert parameters == {"pattern": pattern, "max_keys": "7"}
    assert words[-2:] == ["--confirm", "9c1f"]


def test_make_action_from_texts_gives_typed_parameters():
    """As they come from ``-p name=value``."""
    action = make_action("set_percentage", {"feature": "ENHANCED_CACHE", "percentage": "25", "accept_volatile": "true"})

    assert (action.percentage, action.accept_volatile) == (25, True)


def test_make_action_from_its_own_command_line_is_the_same_action():
    """An undo that is written down can be carried out later."""
    action = make_action("clear_pattern", {"pattern": 'api:It\'s "quoted" $(id):*', "max_keys": 9})
    line = command_line(Command(action.name, dataclasses.asdict(action)), "sandbox")
    name, parameters, _ = parsed(line)

    assert make_action(name, parameters) == action


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("set_percentag", {}, "did you mean set_percentage"),
        ("__import__('os').system('id')", {}, "there is no action"),
        ("../../etc/passwd", {}, "there is no action"),
        ("apply", {}, "there is no action"),
        ("set_percentage", {"feature": "A"}, "set_percentage needs percentage\n  Next: percentage: 0..100"),
        (
            "set_percentage",
            {"feature": "A", "percentage": "many\x1b"},
            "set_percentage: percentage 'many' is not a whole number\n  Next: percentage: 0..100, whole.",
        ),
        (
            "set_percentage",
            {"feature": "A", "percentage": "1", "accept_volatile": "perhaps"},
            "accept_volatile 'perhaps' is not true or false",
        ),
        ("set_percentage", {"feature": "A", "percentage": "1", "dry_run": "no"}, "takes no parameter 'dry_run'"),
        ("clear_pattern", {"pattern": "a", HOSTILE: "x"}, "takes no parameter"),
    ],
)
def test_make_action_of_what_is_none_says_what_it_takes(name, parameters, words):
    """Before anything is contacted."""
    with pytest.raises(UsageError) as raised:
        make_action(name, parameters)

    assert words in str(raised.value)


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_has_a_first_line_and_says_what_each_parameter_is(name):
    """Its docstring is its help: ``runbooks change`` prints it."""
    kind = action_class(name)
    first = (kind.__doc__ or "").strip().splitlines()[0]

    assert first.endswith(".")
    assert len(first) <= 110
    assert kind.name == name
    assert [field.name for field in dataclasses.fields(kind) if f"{field.name}: " not in kind.__doc__] == []
