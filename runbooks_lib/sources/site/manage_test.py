"""The site's own tests, run through the configured prefix: ``manage.py test``.

Django's runner makes databases of its own and removes them, so this is for a staging site, never a protected one. It
asks nothing: where a database of an earlier run is left, Django would ask whether it may be destroyed, finds no input,
and ends with an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.facts.deployment import TestRun
from runbooks_lib.model import Provenance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.site.manage_shell import NotStartedError
from runbooks_lib.sources.site.process import Finished, Groups, Limits, run_process

if TYPE_CHECKING:
    from runbooks_lib.config import Environment

_MAX_BYTES = 32 * 1024 * 1024
_LAST_LINES = 12
_MOST_LABELS = 20
#: A dotted name and nothing else: ssh hands the words to a shell of the other side.
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
#: As unittest sums up; the last one counts, since tests print as well.
_RAN = re.compile(r"^Ran (\d{1,9}) tests? in ", re.MULTILINE)
_SUMMARY = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)(?: \(([a-z =0-9,]*)\))?[ \t\r]*$", re.MULTILINE)
_COUNT = re.compile(r"([a-z ]+)=(\d{1,9})")
_FAILED = ("failures", "errors", "unexpected successes")


def labels_of(text: str) -> tuple[str, ...]:
    """The labels in a parameter, separated by blanks or commas; none for all tests.

    Raises:
        UsageError: one is not a dotted name, or there are too many.
    """
    labels = tuple(text.replace(",", " ").split())
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise UsageError(
                f"{one_line(label, longest=60)!r} is not the name of tests", hint="such as learning.tests.test_api"
            )
    if len(labels) > _MOST_LABELS:
        raise UsageError(f"{len(labels)} labels; at most {_MOST_LABELS} are taken", hint="name a package instead")
    return labels


def run_site_tests(environment: Environment, labels: Sequence[str] = (), *, timeout_seconds: float) -> TestRun:
    """Did the site's tests pass?

    Args:
        environment: ``manage`` is the command prefix, run with ``root`` as working directory.
        labels: as ``labels_of`` gives them; none for all tests.
        timeout_seconds: for all of it, over 0; then it is ended with everything that it started.

    Returns:
        How it ended, also where it failed.

    Raises:
        RefusedError: the environment is protected; nothing was started.
        NotStartedError: ``manage`` is not configured, or could not be started.

    Source:
        ``<manage> test [labels]``: exit code, unittest's summary, the last lines of standard error.
    """
    _require_possible(environment)
    at, began = units.now(), time.monotonic()
    finished = run_process(
        [*environment.manage, "test", *labels],
        cwd=environment.root,
        stdin=b"",
        limits=Limits(timeout_seconds, _MAX_BYTES, _NEVER),
        groups=Groups(),
    )
    if finished.not_started:
        raise NotStartedError(
            f"manage.py test could not be started: {one_line(finished.not_started, environment.secrets)}",
            source="django",
            hint="is the command in manage installed here, and does the folder of runbooks.toml exist?",
        )
    query = " ".join(("manage.py test", *labels))
    source = Provenance("django", query, at, time.monotonic() - began)
    return _test_run(finished, labels, source, timeout_seconds, environment.secrets)


def _require_possible(environment: Environment) -> None:
    if environment.protected:
        raise RefusedError(
            f"{environment.name} is protected, and the test runner makes databases where it runs: no tests were run",
            hint="run them on staging, and take their result from there: -p tests_on=staging",
        )
    if not environment.manage:
        raise NotStartedError(
            f"manage is not configured for environment {environment.name!r}",
            source="django",
            hint="set manage in runbooks.toml: it is the prefix that runs the site's manage.py",
        )


#: Nothing in the output ends it early: no program prints a NUL in the middle of this.
_NEVER = b"\x00runbooks-never\x00"


def _test_run(
    finished: Finished, labels: Sequence[str], source: Provenance, timeout_seconds: float, secrets: Sequence[str]
) -> TestRun:
    err, out = (text.decode("utf-8", errors="replace") for text in (finished.stderr, finished.stdout))
    # unittest writes to standard error; ``ssh -t`` and some runners put everything on standard output.
    said = err if _RAN.search(err) or not _RAN.search(out) else out
    failures, skipped = _counts(said)
    lines = [line for line in said.splitlines() if line.strip()][-_LAST_LINES:]
    ended = ""
    if finished.timed_out or finished.exit_code is None:
        over = f"it took over {units.duration(timeout_seconds)}"
        ended = f"it printed over {units.size(_MAX_BYTES)}" if finished.too_much else over
    ran = _RAN.findall(said)
    return TestRun(
        exit_code=None if ended else finished.exit_code,
        ran_count=int(ran[-1]) if ran else None,
        failures_count=failures,
        skipped_count=skipped,
        took_seconds=source.took_seconds,
        last_lines=tuple(one_line(line, secrets, longest=200) for line in lines),
        ended=ended,
        labels=tuple(labels),
        provenance=source,
    )


def _counts(text: str) -> tuple[int | None, int | None]:
    """Failed (and erred) and skipped tests, by the last summary; None where there is none."""
    found = _SUMMARY.findall(text)
    if not found:
        return None, None
    counts = {name.strip(): int(count) for name, count in _COUNT.findall(found[-1])}
    return sum(counts.get(name, 0) for name in _FAILED), counts.get("skipped", 0)
