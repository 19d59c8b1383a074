"""The parameters cell is read as Python reads it, and values are taken for nothing but what is declared."""

from __future__ import annotations

import json

import pytest

from runbooks_lib.errors import UsageError
from runbooks_lib.parameters import check_values, declared, parse_assignments, parse_duration

SOURCE = '''"""What can be asked."""
environment: str = "sandbox"  # [environment] the site to look at
window: str = "15m"  # [duration] how far back
baseline: str = "auto"  # [duration or auto] what it is compared with
percentage: int = 0  # [0..100] share of users
ratio: float = 0.5  # [0.1..] at least
strategy: str = "popular"  # [one of: popular, recent] what is warmed
view: str | None = None  # only this view
mode: Literal["fast", "safe", 3] = "safe"
dsn = "redis://h?x=1"  # a default with an equals sign
names: list[str] = []
limits: dict[str, int] = {
    "a": 1,
}  # the last line counts
dry: bool = True
'''
ENVIRONMENTS = ("sandbox", "production")


@pytest.fixture
def takes(tmp_path):
    """The parameters of a notebook that holds SOURCE."""
    return declared(_notebook(tmp_path, SOURCE))


def _notebook(folder, source):
    path = folder / "n.ipynb"
    cells = [
        {"cell_type": "markdown", "source": "# T", "metadata": {}},
        {"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}},
    ]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_declared_names_defaults_and_help_in_order(takes):
    """Unions, literals and defaults with an equals sign are not dropped."""
    assert [p.name for p in takes][:4] == ["environment", "window", "baseline", "percentage"]
    assert {p.name: p.default for p in takes}["dsn"] == "redis://h?x=1"
    assert {p.name: p.help for p in takes}["limits"] == "the last line counts"
    assert {p.name: p.annotation for p in takes}["view"] == "str | None"
    assert len(takes) == 12


def test_declared_without_a_tagged_cell_is_nothing(tmp_path):
    """A notebook may take no parameters."""
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": []}', encoding="utf-8")

    assert declared(path) == ()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = open('a')", "not a literal"),
        ("x: int", "no default"),
        ("a, b = 1, 2", "one name"),
        ("x: set[int] = 1", "not a type"),
        ("x: int | str = 1", r"only X \| None"),
        ("x = 1  # [0-100] share", "not a domain"),
        ("%pip install x", "not Python"),
    ],
)
def test_declared_a_cell_that_is_no_declaration_names_the_line(tmp_path, source, words):
    """A mistake in the notebook is reported with the notebook's name."""
    with pytest.raises(UsageError, match=words) as caught:
        declared(_notebook(tmp_path, source))

    assert "n.ipynb" in str(caught.value)


def test_declared_a_broken_file_says_so(tmp_path):
    """Half a file is not a notebook."""
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": [', encoding="utf-8")

    with pytest.raises(UsageError, match="is not a notebook"):
        declared(path)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("view=nan", "nan"),
        ("view=007", "007"),
        ("view=1e5", "1e5"),
        ("view=none", "none"),
        ("view=", None),
        ("view=a=b", "a=b"),
        ("percentage=25", 25),
        ("percentage=+7", 7),
        ("ratio=2", 2.0),
        ("ratio=1e-1", 0.1),
        ("dry=FALSE", False),
        ("dry=Yes", True),
        ("mode=3", 3),
        ("mode=fast", "fast"),
        ('names=["a", "b"]', ["a", "b"]),
        ('limits={"b": 2}', {"b": 2}),
        ("environment=production", "production"),
        ("window=7d", "7d"),
        ("baseline=auto", "auto"),
        ("strategy=recent", "recent"),
    ],
)
def test_parse_assignments_a_fitting_text_becomes_its_declared_type(takes, given, value):
    """Text stays text, and numbers are numbers only where they are declared."""
    name = given.partition("=")[0]
    parsed = parse_assignments(takes, [given], ENVIRONMENTS)

    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)


@pytest.mark.parametrize(
    "given",
    [
        "percentage=12.5",
        "percentage=101",
        "percentage=-1",
        "percentage=1_000",
        "percentage=ten",
        "percentage=",
        "ratio=nan",
        "ratio=inf",
        "ratio=1e999",
        "ratio=0.05",
        "dry=1",
        "dry=on",
        "mode=slow",
        'names=["a", 1]',
        "names=a,b",
        'limits={"a": 1, "a": 2}',
        'limits={"a": NaN}',
        "environment=prod",
        "window=15",
        "window=0s",
        "window=auto",
        "window=15 m",
        "strategy=all",
        "names=" + "[" * 100_000,
    ],
)
def test_parse_assignments_a_misfit_names_parameter_value_and_what_is_expected(takes, given):
    """The message is enough to correct the command."""
    name, _, value = given.partition("=")
    with pytest.raises(UsageError) as caught:
        parse_assignments(takes, [given], ENVIRONMENTS)

    assert caught.value.message.startswith(f"parameter {name}: {value[:70]!r}"[:60])
    assert " is not " in caught.value.message
    assert all(parameter.name in caught.value.hint for parameter in takes)
    assert len(caught.value.message) < 400


def test_parse_assignments_an_unknown_name_offers_the_closest_and_the_list(takes):
    """papermill would run with the default instead."""
    with pytest.raises(UsageError, match="did you mean percentage") as caught:
        parse_assignments(takes, ["percantage=10"], ENVIRONMENTS)

    assert "share" not in caught.value.message
    assert "percentage" in caught.value.hint


@pytest.mark.parametrize("given", ['x=1;print("INJECTED")#=5', "=5", "a b=1", "__class__=1"])
def test_parse_assignments_a_name_that_is_code_is_refused(takes, given):
    """papermill would write the name into the notebook and execute it."""
    with pytest.raises(UsageError, match="there is no parameter"):
        parse_assignments(takes, [given], ENVIRONMENTS)


def test_parse_assignments_without_an_equals_sign_or_twice_is_refused(takes):
    """Which of two values counts must not be a guess."""
    with pytest.raises(UsageError, match="name=value"):
        parse_assignments(takes, ["percentage"], ENVIRONMENTS)
    with pytest.raises(UsageError, match="given twice"):
        parse_assignments(takes, ["percentage=1", "percentage=2"], ENVIRONMENTS)


def test_check_values_typed_values_pass_and_a_whole_number_serves_as_float(takes):
    """What bare papermill hands over is checked, not converted."""
    assert check_values(takes, {"ratio": 2, "view": None, "dry": False}, ENVIRONMENTS) == {
        "ratio": 2.0,
        "view": None,
        "dry": False,
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"view": float("nan")}, "its -r keeps text"),
        ({"view": 7}, "its -r keeps text"),
        ({"dry": "false"}, "is not true or false"),
        ({"dry": 1}, "is not true or false"),
        ({"percentage": True}, "is not a whole number"),
        ({"percentage": 200}, "0 to 100"),
        ({"ratio": float("inf")}, "is not a number"),
        ({"veiw": "x"}, "did you mean view"),
        ({"environment": "prod"}, "a configured environment"),
    ],
)
def test_check_values_what_papermill_guessed_wrong_is_refused(takes, values, words):
    """A view called nan became a number, and a text "false" would count as true."""
    with pytest.raises(UsageError, match=words):
        check_values(takes, values, ENVIRONMENTS)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800)])
def test_parse_duration_units(text, seconds):
    """Seconds, minutes, hours, days."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "-5m", "1.5h", "0d", "15M", "1w", "5 m"])
def test_parse_duration_anything_else_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)
