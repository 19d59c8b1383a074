"""How the command line shows things: plain text, one fact on a line."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.faults.model import Fault
from sandbox.processes.orders import Step
from sandbox.status import PartStatus, Status

MEBIBYTE = 1024 * 1024


def step_text(step: Step) -> str:
    """Return one line for one finished step."""
    note = f"  ({step.note})" if step.note else ""
    return f"  \N{CHECK MARK} {step.seconds:5.1f} s  {step.name}{note}"


def up_text(status: Status, seconds: float) -> str:
    """Return what a person wants to know when everything is up."""
    urls = "".join(f"\n  {name:<11}{url}" for name, url in (status.urls or {}).items())
    memory = status.memory_bytes / MEBIBYTE
    return (
        f"Up in {seconds:.1f} s, {memory:.0f} MiB.{urls}\n"
        "  next       python -m sandbox status | load | fault | heal | down"
    )


def status_text(status: Status) -> str:
    """Return a status as text."""
    lines = [f"{status.phase}  {status.home}"]
    if status.parts:
        lines.append(f"  {'part':<12}{'state':<9}{'pid':>8}{'port':>7}{'MiB':>7}{'up':>9}")
        lines += [_part_line(part) for part in status.parts]
        lines.append(f"  {'total':<36}{status.memory_bytes / MEBIBYTE:>7.0f}")
    if status.vitals is not None:
        vitals = status.vitals
        lines.append(f"  hit rate      {_percent(vitals.hit_ratio)}")
        lines.append(f"  penetration   {_percent(vitals.penetration_ratio)}")
        rate = vitals.requests_per_second
        lines.append(f"  requests      {'unknown' if rate is None else f'{rate:.1f} per second'}")
    if status.load:
        asked, exponent = status.load["asked_per_second"], status.load["exponent"]
        lines.append(f"  load          {asked:.1f} per second asked, exponent {exponent:g}")
    if status.is_running:
        lines.append(f"  faults        {', '.join(sorted(status.faults or {})) or 'none'}")
        lines += [f"  {name:<14}{url}" for name, url in (status.urls or {}).items()]
    if status.failure:
        lines.append(f"  {status.failure}")
    if status.phase in ("down", "failed"):
        lines.append("  Start it: python -m sandbox up")
    return "\n".join(lines)


def faults_text(faults: Iterable[Fault]) -> str:
    """Return the list of faults with their parameters."""
    blocks = []
    for fault in faults:
        parameters = " ".join(f"{name}={value!r}" for name, value in fault.defaults.items()) or "none"
        blocks.append(f"{fault.name}\n  {fault.description}\n  expect: {fault.symptom}\n  parameters: {parameters}")
    return "\n".join(blocks)


def _part_line(part: PartStatus) -> str:
    memory = f"{part.memory_bytes / MEBIBYTE:.0f}" if part.memory_bytes else ""
    uptime = "" if part.uptime_seconds is None else _duration(part.uptime_seconds)
    return f"  {part.name:<12}{part.state:<9}{part.pid or '':>8}{part.port or '':>7}{memory:>7}{uptime:>9}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _percent(ratio: float | None) -> str:
    return "unknown (no lookups)" if ratio is None else f"{100 * ratio:.1f} %"
