"""What a scene offers to ``tests/integration/test_every_action.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runbooks_lib.actions.action import Action
from runbooks_lib.config import Environment


@dataclass(frozen=True)
class Scene:
    """One action on a real system that belongs to the test.

    Attributes:
        action: with its parameters; applying it in the initial state changes something.
        environment: unprotected, ``allow_auto`` on; the test replaces these two where it needs others.
        state: everything that the action may change, read around the library; comparable with ``==``.
        reset: bring the initial state back. Called after a write as well, so that reading back must fail.
        disturb: change what the plan rests on, or exceed a bound of it, so that the confirmed digest must be refused.
        fulfil: bring about by hand what the action would, so that it has nothing to do; None where there is always
            something to do (a backup).
        write_commands: how many writing commands the Redis servers have carried out so far; None without a Redis.
    """

    action: Action
    environment: Environment
    state: Callable[[], Any]
    reset: Callable[[], None]
    disturb: Callable[[], None]
    fulfil: Callable[[], None] | None
    write_commands: Callable[[], int] | None = None
