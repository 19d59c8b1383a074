"""The types that a notebook's parameters can have, and the strict way from text to value.

Nothing is guessed: a view called ``nan`` and a key prefix ``007`` stay text where text is declared, and a number is
taken for a number only where one is declared.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_SCALARS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A declared type.

    Attributes:
        base: ``str``, ``int``, ``float``, ``bool``, ``list``, ``dict``, ``literal`` or ``any``.
        items: of a list, or the values of a dict; None when any will do.
        choices: of a literal.
        optional: None is accepted as well.
    """

    base: str
    items: Kind | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        """As people read it: ``a whole number, or none``."""
        names = {
            **_SCALARS,
            "list": "a JSON list",
            "dict": "a JSON object",
            "literal": f"one of: {', '.join(map(str, self.choices))}",
            "any": "a JSON value",
        }
        inner = f" of {self.items}" if self.items else ""
        return names[self.base] + inner + (", or none" if self.optional else "")


def from_annotation(node: ast.expr) -> Kind:
    """The type that an annotation declares.

    Raises:
        ValueError: it is not one of ``str int float bool list[…] dict[…] Literal[…] X | None``.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return from_annotation(ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either(node.left, node.right)
    if isinstance(node, ast.Subscript):
        return _subscripted(_name(node.value), node.slice)
    name = _name(node)
    if name in (*_SCALARS, "list", "dict"):
        return Kind(name)
    raise ValueError(f"{ast.unparse(node)} is not a type that a parameter can have")


def from_default(value: Any) -> Kind:
    """The type of a parameter without an annotation, by its default."""
    name = type(value).__name__
    return Kind(name) if name in (*_SCALARS, "list", "dict") else Kind("any", optional=value is None)


def from_text(kind: Kind, text: str) -> Any:
    """The value that a text stands for.

    Raises:
        ValueError: it stands for none; the caller names what is expected.
    """
    if kind.optional and (not text or (kind.base != "str" and text.strip().lower() in ("none", "null"))):
        return None
    return _PARSERS[kind.base](kind, text)


def check(kind: Kind, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind
    """The value as it is, or a whole number as the float that is declared.

    Raises:
        ValueError: it is of another type.
    """
    if value is None and (kind.optional or kind.base == "any"):
        return None
    if kind.base == "any":
        return value
    if kind.base == "literal":
        return _choice(kind, lambda choice: type(choice) is type(value) and choice == value)
    if kind.base == "float":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError("not a finite number")
        return float(value)
    if type(value).__name__ != kind.base:
        raise ValueError(f"of type {type(value).__name__}")
    if kind.items and kind.base == "list":
        return [check(kind.items, item) for item in value]
    if kind.items and kind.base == "dict":
        return {key: check(kind.items, item) for key, item in value.items()}
    return value


def _either(left: ast.expr, right: ast.expr) -> Kind:
    sides = [side for side in (left, right) if not (isinstance(side, ast.Constant) and side.value is None)]
    if len(sides) != 1:
        raise ValueError("only X | None is supported")
    return replace(from_annotation(sides[0]), optional=True)


def _subscripted(name: str, inner: ast.expr) -> Kind:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Kind("literal", choices=tuple(ast.literal_eval(part) for part in parts))
    if name == "Optional":
        return replace(from_annotation(inner), optional=True)
    if name == "list" and len(parts) == 1:
        return Kind("list", items=from_annotation(parts[0]))
    if name == "dict" and len(parts) == 2 and _name(parts[0]) == "str":
        return Kind("dict", items=from_annotation(parts[1]))
    raise ValueError(f"{name}[…] is not a type that a parameter can have")


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _text(_kind: Kind, text: str) -> str:
    return text


def _whole(_kind: Kind, text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError("not a whole number")
    return int(text)


def _number(_kind: Kind, text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()) or not math.isfinite(float(text)):
        raise ValueError("not a finite number")
    return float(text)


def _boolean(_kind: Kind, text: str) -> bool:
    if text.strip().lower() not in _BOOLEANS:
        raise ValueError("neither true nor false")
    return _BOOLEANS[text.strip().lower()]


def _json(kind: Kind, text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs)
    return check(kind, value)


def _literal(kind: Kind, text: str) -> Any:
    return _choice(kind, lambda choice: str(choice) == text.strip())


def _choice(kind: Kind, matches: Callable[[Any], bool]) -> Any:
    for choice in kind.choices:
        if matches(choice):
            return choice
    raise ValueError("not one of the choices")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


_PARSERS: dict[str, Callable[[Kind, str], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "bool": _boolean,
    "list": _json,
    "dict": _json,
    "any": _json,
    "literal": _literal,
}
