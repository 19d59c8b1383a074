"""``make demo``: the practice site goes up, is judged, falls ill with one fault, is judged again, and goes down.

It uses the commands that people use, and a sandbox of its own, so that one that is running already is not disturbed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.sandbox import Sandbox
from sandbox.show import step_text

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".sandbox-demo"
FAULT = "uncached_endpoint"
#: Severity 2 needs more than 30 s under 60 % here (30 min at time scale 60), and a rate needs some scrapes to follow.
SETTLE_SECONDS = 50
#: The comparison with "before" needs some live samples from before the fault.
WARM_SECONDS = 25
VERDICTS = frozenset({0, 10, 20, 30})


@dataclass(frozen=True, slots=True)
class Judged:
    """What ``runbooks run triage`` printed, and how long it took."""

    text: str
    report: str
    took_seconds: float


def main() -> int:
    """Run the demonstration; 0 when both verdicts came, the second one with a severity."""
    began = time.monotonic()
    try:
        healthy, ill = show()
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 1
    except SandboxError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\nHealthy   {first_line(healthy)}\n          {healthy.report}")
    print(f"Ill       {first_line(ill)}\n          {ill.report}")
    print(f"\nAll in {time.monotonic() - began:.0f} s. Open the reports in a browser.")
    print("`make sandbox` starts the site to stay.")
    return 0 if "severity" in first_line(ill) else 1


def show() -> tuple[Judged, Judged]:
    """Judge the site while it is healthy and while it is ill; the site goes down with this process, however that ends.

    Raises:
        SandboxError: it did not start, or triage gave no verdict.
    """
    print("1  The practice site goes up")
    with Sandbox(HOME).hold(on_step=lambda step: print(step_text(step), flush=True)) as sandbox:
        wait(WARM_SECONDS, "until there is something to compare with")
        print("\n2  Triage while it is healthy")
        healthy = judge()
        print(f"\n3  One fault: {FAULT}")
        print(f"     {sandbox.inject(FAULT).description}")
        wait(SETTLE_SECONDS, "until the fault has lasted long enough for a severity")
        print("\n4  Triage again")
        ill = judge()
        ended = time.monotonic()
    print(f"\n5  Everything down again   {time.monotonic() - ended:.1f} s")
    return healthy, ill


def judge() -> Judged:
    """Execute the triage notebook as an operator does, showing what it prints.

    Raises:
        SandboxError: it gave no verdict.
    """
    began = time.monotonic()
    command = [str(Path(sys.executable).parent / "runbooks"), "run", "triage", "--environment", "sandbox"]
    print(f"     $ {' '.join(['runbooks', *command[1:]])}", flush=True)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "SANDBOX_HOME": str(HOME)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    took = time.monotonic() - began
    print("\n".join(f"     {line}" for line in done.stdout.splitlines()))
    print(f"     ({took:.1f} s)", flush=True)
    if done.returncode not in VERDICTS or "Record" not in done.stdout:
        raise SandboxError(f"`runbooks run triage` ended with {done.returncode} and gave no verdict.")
    report = next(line for line in done.stdout.splitlines() if line.startswith("Record")).split(maxsplit=1)[1]
    return Judged(done.stdout, report, took)


def wait(seconds: int, why: str) -> None:
    """Wait, saying every few seconds how long still."""
    for left in range(seconds, 0, -1):
        if sys.stdout.isatty():
            print(f"\r     waiting {left:>2} s {why} ", end="", flush=True)
        elif left % 10 == 0:
            print(f"     waiting {left} s {why}", flush=True)
        time.sleep(1)
    print("\r" * sys.stdout.isatty() + f"     waited {seconds} s {why}", flush=True)


def first_line(judged: Judged) -> str:
    """The verdict in one line."""
    return judged.text.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
