"""The parameters of a notebook: what it declares, and whether given values fit.

A notebook declares them in the cell tagged ``parameters``, one literal a line, with a type and a trailing comment::

    environment: str = "sandbox"       # [environment] the site to look at
    window: str = "15m"                # [duration] how far back rates are taken
    percentage: int = 0                # [0..100] share of users that get the feature
    strategy: str = "popular"          # [one of: popular, recent, all] what is warmed

The cell is read with Python's own parser, so that ``str | None``, ``Literal[…]`` and a default that contains ``=`` are
understood (papermill's reader, a regular expression, drops all three without a word).
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbooks_lib import parameter_types as types
from runbooks_lib import units
from runbooks_lib.errors import UsageError
from runbooks_lib.parameter_types import Kind

TAG = "parameters"

_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)?")
_COMMENT = re.compile(r"#\s*(?:\[(?P<domain>[^\]]*)\]\s*)?(?P<help>.*)")
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Domain:
    """Which values of its type a parameter takes.

    Attributes:
        name: ``environment``, ``duration``, ``duration or auto``, ``range``, ``one of``, or empty for any.
        choices: of ``one of``.
        low: of ``range``, included.
        high: of ``range``, included; None without an upper end.
    """

    name: str = ""
    choices: tuple[str, ...] = ()
    low: int | float | None = None
    high: int | float | None = None

    def expected(self, kind: Kind, environments: Sequence[str]) -> str:
        """What a value must be, as people read it."""
        duration = "a duration such as 90s, 15m, 2h or 7d"
        limits = f"{self.low} or more" if self.high is None else f"{self.low} to {self.high}"
        named = {
            "environment": f"a configured environment ({', '.join(environments) or 'none is configured'})",
            "duration": duration,
            "duration or auto": f"{duration}, or auto",
            "range": f"{kind}, {limits}",
            "one of": f"one of: {', '.join(self.choices)}",
        }
        return named.get(self.name, str(kind))

    def admits(self, value: Any, environments: Sequence[str]) -> bool:
        """Is the value, already of the declared type, one of those?"""
        if value is None or not self.name:
            return True
        if isinstance(value, (list, tuple)):
            return all(self.admits(item, environments) for item in value)
        if self.name == "range":
            return self.low is not None and self.low <= value and (self.high is None or value <= self.high)
        if self.name == "environment":
            return value in environments
        if self.name == "one of":
            return str(value) in self.choices
        return (self.name.endswith("auto") and value == "auto") or units.parse_duration(str(value)) is not None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as its notebook declares it.

    Attributes:
        name: a Python name.
        kind: its type.
        default: used when no value is given.
        domain: which values of the type it takes.
        help: the rest of the trailing comment.
        annotation: the type as written; empty when it was taken from the default.
    """

    name: str
    kind: Kind
    default: Any
    domain: Domain = Domain()
    help: str = ""
    annotation: str = ""

    def expected(self, environments: Sequence[str] = ()) -> str:
        """What a value must be, as people read it."""
        return self.domain.expected(self.kind, environments)


def parse_duration(text: str) -> float:
    """``90s``, ``15m``, ``2h``, ``7d`` → seconds.

    Raises:
        UsageError: the text is not a whole number over 0 followed by one of those letters, or over ten years.
    """
    seconds = units.parse_duration(text)
    if seconds is None:
        raise UsageError(f"{_shown(text)} is not a duration", hint="write it such as 90s, 15m, 2h or 7d")
    return seconds


def declared(notebook: Path) -> tuple[Parameter, ...]:
    """What does the notebook take? In its order; empty when no cell is tagged ``parameters``.

    Raises:
        UsageError: the file is not a notebook, or its parameters cell is not made of literals.
    """
    source = _parameters_cell(notebook)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise UsageError(
            f"{notebook}: line {error.lineno} of the parameters cell is not Python: {error.msg}"
        ) from error
    comments = _comments(source)
    found = []
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            try:
                found.append(_parameter(statement, comments))
            except ValueError as error:
                line = ast.unparse(statement)
                raise UsageError(
                    f"{notebook}: {_shown(line)} does not declare a parameter: {error}", hint="name: type = literal"
                ) from error
    return tuple(found)


def parse_assignments(
    parameters: Sequence[Parameter], assignments: Iterable[str], environments: Sequence[str] = ()
) -> dict[str, Any]:
    """Typed values from ``name=value`` texts, as they come from a command line.

    Args:
        parameters: what the notebook declares.
        assignments: each split at its first ``=``; lists and dicts are JSON, nothing is None where None is allowed.
        environments: names of the configured environments.

    Raises:
        UsageError: a name is unknown or given twice, or a value is not of the declared type and domain.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise UsageError(
                f"{_shown(assignment)} is not of the form name=value", hint=_takes(parameters, environments)
            )
        parameter = _find(parameters, name, environments)
        if name in values:
            raise UsageError(f"parameter {name} is given twice", hint="give it once")
        try:
            values[name] = types.from_text(parameter.kind, text)
        except (ValueError, RecursionError) as error:
            raise _misfit(parameter, text, parameters, environments) from error
        if not parameter.domain.admits(values[name], environments):
            raise _misfit(parameter, text, parameters, environments)
    return values


def check_values(
    parameters: Sequence[Parameter], values: Mapping[str, Any], environments: Sequence[str] = ()
) -> dict[str, Any]:
    """Values that are typed already, as bare papermill and JupyterLab hand them over.

    Nothing is converted but a whole number where a float is declared, because the notebook's own variables keep what
    they were given: a text ``"false"`` would count as true there.

    Raises:
        UsageError: a name is unknown, or a value is not of the declared type and domain.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        parameter = _find(parameters, name, environments)
        try:
            checked[name] = types.check(parameter.kind, value)
        except ValueError as error:
            raise _misfit(parameter, value, parameters, environments) from error
        if not parameter.domain.admits(checked[name], environments):
            raise _misfit(parameter, value, parameters, environments)
    return checked


def _parameters_cell(notebook: Path) -> str:
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if TAG in cell.get("metadata", {}).get("tags", []):
                return "".join(cell["source"])
    except OSError as error:
        raise UsageError(f"{notebook} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{notebook} is not a notebook: {error!r}", hint="restore it: git checkout -- <file>"
        ) from error
    return ""


def _comments(source: str) -> dict[int, str]:
    """Line number → trailing comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _parameter(statement: ast.Assign | ast.AnnAssign, comments: Mapping[int, str]) -> Parameter:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        raise ValueError("one name must stand on the left")
    if statement.value is None:
        raise ValueError("it has no default")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError) as error:
        raise ValueError("its default is not a literal") from error
    annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
    kind = types.from_annotation(annotation) if annotation else types.from_default(default)
    comment = comments.get(statement.end_lineno or 0) or comments.get(statement.lineno, "#")
    match = _COMMENT.fullmatch(comment)
    domain = _domain(match["domain"]) if match and match["domain"] is not None else Domain()
    text = match["help"].strip() if match else ""
    return Parameter(targets[0].id, kind, default, domain, text, ast.unparse(annotation) if annotation else "")


def _domain(text: str) -> Domain:
    text = text.strip()
    if text in ("environment", "duration", "duration or auto"):
        return Domain(text)
    if text.startswith("one of:"):
        return Domain("one of", choices=tuple(item.strip() for item in text.removeprefix("one of:").split(",")))
    match = _RANGE.fullmatch(text)
    if not match:
        raise ValueError(f"[{text}] is not a domain: use [environment], [duration], [0..100] or [one of: a, b]")
    low, high = (None if end is None else ast.literal_eval(end) for end in match.groups())
    return Domain("range", low=low, high=high)


def _find(parameters: Sequence[Parameter], name: str, environments: Sequence[str]) -> Parameter:
    for parameter in parameters:
        if parameter.name == name:
            return parameter
    close = difflib.get_close_matches(name, [parameter.name for parameter in parameters], n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise UsageError(f"there is no parameter {_shown(name)}{meant}", hint=_takes(parameters, environments))


def _misfit(
    parameter: Parameter, value: Any, parameters: Sequence[Parameter], environments: Sequence[str]
) -> UsageError:
    given = f"{_shown(value)} ({type(value).__name__})" if not isinstance(value, str) else _shown(value)
    message = f"parameter {parameter.name}: {given} is not {parameter.expected(environments)}"
    if not isinstance(value, str) and parameter.kind.base in ("str", "literal"):
        message += "; papermill's -p guesses types, its -r keeps text"
    return UsageError(message, hint=_takes(parameters, environments))


def _takes(parameters: Sequence[Parameter], environments: Sequence[str]) -> str:
    if not parameters:
        return "the notebook takes no parameters"
    width = max(len(parameter.name) for parameter in parameters)
    lines = [f"  {p.name:<{width}}  {p.expected(environments)} (default {p.default!r})" for p in parameters]
    return "the notebook takes\n" + "\n".join(lines)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
