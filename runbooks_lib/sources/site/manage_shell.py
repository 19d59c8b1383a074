"""Runs a fixed program inside the site's own ``manage.py shell`` and gives back its answer as JSON.

How program and values travel
    ``manage.py shell`` takes the whole of standard input as code, so the values have to be part of that text. Both
    travel in one JSON document, and the document travels as base64 inside a fixed line of code. The alphabet of
    base64 has no quote, backslash, bracket or newline, so no value can end the literal that it stands in; nothing
    depends on two languages agreeing on escapes, and no shell, ``ssh`` or terminal on the way finds a character to
    interpret. The program reads its values with ``json.loads`` and never sees them as code.

How the answer is found
    Django and the site print lines of their own on standard output. The answer stands between two markers made of a
    random token. The token travels inside the base64 as well, so that a terminal that echoes its input, or a
    traceback that shows the line of code, cannot print a marker.

When input arrives late
    Over a slow ``ssh``, Django may look at its input before anything is there and start an interactive shell (IPython
    or Python). The text is therefore made of statements that an interactive shell understands just as well.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.site.process import Finished, Groups, Limits, run_process

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

_SOURCE = "django"
#: Short enough for the line buffer of a terminal (4096 on Linux, 1024 on macOS).
_CHUNK = 900
_STDERR_LINES = 4
_LIMITS_BYTES = 8 * 1024 * 1024
_BEGIN = "runbooks-answer-begins"
_END = "runbooks-answer-ends"
#: Runs the program and prints what its ``answer(data)`` returns. Written for Python 3.8 and later.
_FRAME = f"""
import json as _json, sys as _sys
_space = {{"__name__": "runbooks_request"}}
exec(compile(_request["program"], "<runbooks>", "exec"), _space)
_answer = _json.dumps(_space["answer"](_request["data"]))
_sys.stdout.write("\\n{_BEGIN} " + _request["token"] + " " + _answer + " {_END} " + _request["token"] + "\\n")
_sys.stdout.flush()
"""
#: What the shells, ``ssh`` and the container tools say → its kind, and what to do next.
_HINTS = (
    (
        "permission denied (publickey",
        Kind.DENIED,
        "ssh needs a key: load it into your agent (ssh-add) and try the command by hand",
    ),
    ("host key verification failed", Kind.DENIED, "ssh does not know the host: connect once by hand and check its key"),
    ("could not resolve", Kind.ABSENT, "the host in manage is not known here: is a VPN missing?"),
    ("connection refused", Kind.ABSENT, "nothing listens where manage leads: is the machine up, is the port right?"),
    ("timed out", Kind.ABSENT, "the machine in manage does not answer: is it up, is a VPN missing?"),
    ("command not found", Kind.WRONG, "manage names a command that is not there on the other side"),
    ("no such file", Kind.WRONG, "manage names a path that is not there on the other side"),
    ("no such container", Kind.ABSENT, "the container in manage is not running"),
    ("not found", Kind.WRONG, "does the pod or container in manage exist, and are you in the right context?"),
    ("unauthorized", Kind.DENIED, "log in again (kubectl, docker), then run it again"),
    ("improperlyconfigured", Kind.FAULTY, "the site's settings need a variable that manage does not set"),
    ("modulenotfounderror", Kind.WRONG, "is the python in manage the one of the site's environment?"),
)


class NotStartedError(SourceError):
    """The site's process was never started, so it was sent nothing."""


@dataclass(frozen=True, slots=True)
class ManageShell:
    """The shell of one site.

    Attributes:
        environment: ``manage`` is the command prefix, run with ``root`` as working directory.
        timeout_seconds: for one whole call, the start of the process included; over 0.
        groups: the processes that are running now.
    """

    environment: Environment
    timeout_seconds: float
    groups: Groups = field(default_factory=Groups, compare=False, repr=False)

    def run(self, program: str, data: object, *, timeout_seconds: float | None = None) -> Any:
        """Start the site once, run ``program`` in it, and give back what its ``answer(data)`` returns.

        Args:
            program: Python source that defines ``answer(data)``; a constant of this library, never built from values.
            data: anything JSON can hold; arrives as an equal value.
            timeout_seconds: for this call, over 0; can only shorten that of the object.

        Returns:
            The answer, decoded from JSON.

        Raises:
            SourceError: (source ``django``) the site could not be started or did not answer. Its message holds the
                last lines of standard error, without secrets.
        """
        if not self.environment.manage:
            raise NotStartedError(
                f"manage is not configured for environment {self.environment.name!r}",
                source=_SOURCE,
                hint='set manage in runbooks.toml, for example ["ssh", "web1", "cd /srv/site && python manage.py"]',
            )
        seconds = min(self.timeout_seconds, timeout_seconds or self.timeout_seconds)
        token = secrets.token_hex(16)
        finished = run_process(
            [*self.environment.manage, "shell"],
            cwd=self.environment.root,
            stdin=_input({"token": token, "program": program, "data": data}),
            limits=Limits(seconds, _LIMITS_BYTES, f" {_END} {token}".encode()),
            groups=self.groups,
        )
        return self._answer(finished, token, seconds)

    def _answer(self, finished: Finished, token: str, seconds: float) -> Any:
        text = finished.stdout.decode("utf-8", errors="replace")
        _, begun, rest = text.partition(f"{_BEGIN} {token} ")
        answer, ended, _ = rest.partition(f" {_END} {token}")
        if not begun or not ended:
            raise self._no_answer(finished, seconds, partial=bool(begun))
        try:
            return json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"{self._command} answered something that is not JSON: {self._clean(answer)}",
                source=_SOURCE,
                hint="something writes into standard output while the site answers: start it without debug output",
            ) from error

    def _no_answer(self, finished: Finished, seconds: float, *, partial: bool) -> SourceError:
        tail = " | ".join(finished.stderr.decode("utf-8", errors="replace").strip().splitlines()[-_STDERR_LINES:])
        said = f": {self._clean(tail)}" if tail else ""
        if finished.not_started:
            what = f"could not be started: {self._clean(finished.not_started)}"
        elif finished.timed_out:
            what = f"gave no answer within {seconds:.3g} s and was ended{said}"
        elif finished.too_much:
            what = f"printed more than {_LIMITS_BYTES // 1024**2} MiB and was ended{said}"
        elif finished.exit_code:
            what = f"ended with exit code {finished.exit_code}{said}"
        else:
            what = f"ended {'within its' if partial else 'without an'} answer{said}"
        kind, hint = self._next_step(finished, tail)
        failure = NotStartedError if finished.not_started else SourceError
        return failure(f"{self._command} {what}", source=_SOURCE, hint=hint, kind=kind)

    def _next_step(self, finished: Finished, tail: str) -> tuple[Kind, str]:
        if finished.not_started:
            return Kind.WRONG, "is the command in manage installed here, and does the folder of runbooks.toml exist?"
        kind = Kind.ABSENT if finished.timed_out else Kind.WRONG
        by_hand = f"try it by hand: {self._clean(' '.join(self.environment.manage))} check"
        return next(((kind, hint) for sign, kind, hint in _HINTS if sign in tail.lower()), (kind, by_hand))

    @property
    def _command(self) -> str:
        return f"manage.py shell (through {self._clean(self.environment.manage[0])})"

    def _clean(self, text: str) -> str:
        return one_line(text, self.environment.secrets)


def _input(request: object) -> bytes:
    """The text for ``manage.py shell``: three statements, of which only the base64 in the first one varies."""
    encoded = base64.b64encode(json.dumps(request).encode("ascii")).decode("ascii")
    chunks = "\n".join(f'"{encoded[at : at + _CHUNK]}"' for at in range(0, len(encoded), _CHUNK))
    lines = (
        "import base64 as _base64, json as _json",
        f"_request = _json.loads(_base64.b64decode(\n{chunks}\n))",
        f"exec({_FRAME!r})",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")
