"""Every error answers one question first: did anything change?

::

    RunbookError                     the root; carries a hint (the next step) and an exit code
    ├── UsageError             2     a parameter or command was wrong; nothing was started
    ├── ConfigurationError     2     runbooks.toml is wrong; nothing was started
    ├── SourceError           30     a system could not be read; nothing changed
    ├── ExecutionError        30     a notebook did not reach its end; a read-only one changed nothing
    ├── RecordError           30     what happened could not be written down or does not verify
    ├── RefusedError          40     a change was refused; nothing changed
    └── MayHaveChangedError   50     a change was sent and could not be confirmed: look before going on
"""

from __future__ import annotations

from runbooks_lib.model import Kind


class RunbookError(Exception):
    """Something the operator should read: what it is, its value, and the next step.

    Args:
        message: what happened, naming the thing and its value with its unit.
        hint: the next step, a sentence or a command. May be empty.
    """

    exit_code = 30

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  Next: {self.hint}" if self.hint else self.message


class UsageError(RunbookError):
    """A command or a parameter cannot be carried out as given. Nothing was started."""

    exit_code = 2


class ConfigurationError(RunbookError):
    """``runbooks.toml`` or a variable that it names is wrong. Nothing was started."""

    exit_code = 2


class SourceError(RunbookError):
    """A system could not be read. Nothing changed; findings that need it are UNKNOWN.

    Args:
        message: what was asked and what came back.
        source: the system, one of ``redis``, ``prometheus``, ``web``, ``cache_stats``, ``django``.
        hint: what to check or change.
        kind: why, for judgement: only a system that is not there may be down.
    """

    def __init__(self, message: str, *, source: str, hint: str = "", kind: Kind = Kind.WRONG) -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.kind = kind


class ExecutionError(RunbookError):
    """A notebook did not reach its end: a cell failed, timed out, or its kernel died."""


class RecordError(RunbookError):
    """The ledger or a kept file could not be written, or does not verify."""


class RefusedError(RunbookError):
    """A change was refused. Nothing changed."""

    exit_code = 40


class MayHaveChangedError(RunbookError):
    """A change was sent and its outcome is not known. Look before doing anything else."""

    exit_code = 50
