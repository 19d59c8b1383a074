"""What can go wrong with the sandbox, and with which exit code the command line answers.

SandboxError                    1   the sandbox could not do what was asked
├── UsageError                  2   the request itself is wrong: unknown fault, impossible value
├── MissingServer               1   redis-server, prometheus or promtool is not installed
├── PortInUse                   1   a port that was asked for belongs to somebody else
├── AlreadyRunning              0   `up` on a sandbox that runs: nothing was changed
├── NotRunning                  1   the request needs a running sandbox
├── FaultAlreadyActive          1   the fault is injected already: nothing was changed
└── PartFailed                  1   a server or a job ended or never became ready; carries its last log lines
"""

from __future__ import annotations


def log_text(lines: tuple[str, ...]) -> str:
    """Return the last lines of a log as the end of a message."""
    return "".join(f"\n    | {line}" for line in lines)


class SandboxError(Exception):
    """The sandbox could not do what was asked; the message names the thing, its value and the next step."""

    exit_code = 1


class UsageError(SandboxError):
    """The request is wrong in itself; nothing was started or changed."""

    exit_code = 2


class MissingServer(SandboxError):
    """A server program was not found; the message says how to install it."""


class PortInUse(SandboxError):
    """A port is taken by another program."""


class AlreadyRunning(SandboxError):
    """The sandbox runs already; nothing was changed."""

    exit_code = 0


class NotRunning(SandboxError):
    """The request needs a running sandbox, and there is none."""


class FaultAlreadyActive(SandboxError):
    """The fault is active already; nothing was changed."""


class PartFailed(SandboxError):
    """A part ended, or did not become ready in time.

    Attributes:
        part: name of the part or job, e.g. ``web``.
        ended_with: its exit code (negative: the signal that ended it), or None while it still ran.
        log_tail: last lines of its log, oldest first.
    """

    def __init__(self, part: str, reason: str, *, exit_code: int | None = None, log_tail: tuple[str, ...] = ()) -> None:
        """Keep the facts and build one readable message from them."""
        self.part, self.reason, self.log_tail = part, reason, log_tail
        self.ended_with = exit_code
        super().__init__(f"{part} {reason}{log_text(log_tail)}")

    @property
    def lost_a_port(self) -> bool:
        """Whether the log says that another program took the port between choosing and binding it."""
        log = "\n".join(self.log_tail).lower()
        return "already in use" in log or "connection in use" in log
