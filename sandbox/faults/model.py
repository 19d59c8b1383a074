"""What a fault is: one known cause that can be injected and healed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.errors import UsageError
from sandbox.faults.stack import Stack

Value = int | float | str
Parameters = Mapping[str, Value]


@dataclass(frozen=True)
class Fault:
    """One known cause.

    Attributes:
        name: what people type.
        description: the cause, in one line.
        symptom: what one should see, with numbers and how soon.
        inject: brings it about; gets every parameter.
        heal: takes it away, also where it was injected by half.
        defaults: parameters with their default values; a given value must have the same type.
        limits: lowest and highest value of a parameter, both allowed; without limits any value is.
    """

    name: str
    description: str
    symptom: str
    inject: Callable[[Stack, Parameters], None]
    heal: Callable[[Stack], None]
    defaults: Parameters = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return the defaults with given values in their place; text is converted to the default's type.

        Raises:
            UsageError: an unknown name, a value of the wrong type, or one outside its limits.
        """
        unknown = sorted(set(given) - set(self.defaults))
        if unknown:
            known = ", ".join(f"{name}={value}" for name, value in self.defaults.items()) or "none"
            raise UsageError(f"{self.name} has no parameter {', '.join(unknown)}. Parameters: {known}.")
        return {**self.defaults, **{name: self._converted(name, value) for name, value in given.items()}}

    def _converted(self, name: str, value: Any) -> Value:
        kind = type(self.defaults[name])
        try:
            converted = kind(value)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.name}: {name}={value!r} is not of type {kind.__name__}.") from error
        low, high = self.limits.get(name, (None, None))
        if low is not None and high is not None and not low <= float(converted) <= high:
            raise UsageError(f"{self.name}: {name}={value!r} is not between {low:g} and {high:g}.")
        return converted
