"""What a notebook shows. The one helper through which text and tables of strangers reach a notebook.

``IPython.display.HTML``, ``Markdown`` and ``DataFrame.style`` are not used anywhere else; a test holds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.actions.plan import Plan
from runbooks_lib.facts import Flags, History, Lookups
from runbooks_lib.judgement.change import contributions
from runbooks_lib.model import Evidence, Finding, NextStep, Unreadable, Verdict
from runbooks_lib.policy import Policy
from runbooks_lib.presentation import markup
from runbooks_lib.presentation.plans import sheet_of, sheet_of_plan
from runbooks_lib.presentation.secrets import outcome_without_secrets, without_secrets
from runbooks_lib.presentation.sheet import Sheet, render_sheet
from runbooks_lib.presentation.text import heading, plain, render, visible
from runbooks_lib.unconfirmed import check_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of output with a text form for terminals and an HTML form; a notebook cell ends in one."""

    text: str
    html: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure as PNG with the sentence that says what it shows."""

    png: bytes
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        import base64

        data = {"image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


class VerdictCard:
    """The verdict at the top of a notebook: "not reached" from the start, replaced when there is one.

    The later cell changes the earlier cell's output, live and in the executed file, so the answer stands first.
    """

    def __init__(self, runbook: str, environment: str) -> None:
        from IPython.display import display

        self._handle: Any = display(
            {"text/plain": f"verdict not reached: {runbook}", "text/html": markup.pending_card(runbook, environment)},
            raw=True,
            display_id=True,
        )

    def update(self, verdict: Verdict) -> None:
        """Put the verdict in the place that was kept for it."""
        self._handle.update({"text/plain": render(verdict), "text/html": markup.verdict_card(verdict)}, raw=True)


def show_findings(findings: Sequence[Finding]) -> Shown:
    """Findings as a table, worst first."""
    lines = [f"{f.status.value:8} {f.title}: {plain(f.shown)} ({f.limit}) {plain(f.detail)}" for f in findings]
    return Shown("\n".join(lines), markup.findings_table(findings))


def show_evidence(evidence: Sequence[Evidence], *, caption: str) -> Shown:
    """Evidence as a table; says so when there is none."""
    if not evidence:
        return show_text(f"{caption}: none.")
    lines = [plain(caption), *(f"{item.name}: {plain(item.value)}" for item in evidence)]
    return Shown("\n".join(lines), markup.evidence_table(evidence, caption=caption))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> Shown:
    """Any table of texts; cells may hold what strangers wrote."""
    lines = [plain(caption), *(" | ".join(plain(cell) for cell in row) for row in [list(columns), *rows])]
    return Shown("\n".join(lines), markup.table(columns, rows, caption=caption))


def show_unread(unread: Sequence[Unreadable]) -> Shown:
    """What could not be read, or that everything could."""
    if not unread:
        return show_text("Every source could be read.")
    lines = [f"{item.source} {item.what}: {item.reason}. {item.hint}" for item in unread]
    return Shown("\n".join(lines), markup.unread_table(unread))


def show_steps(steps: Sequence[NextStep]) -> Shown:
    """What to do next, with the commands."""
    lines = [f"{number}. {step.text}\n   {step.command}".rstrip() for number, step in enumerate(steps, start=1)]
    return Shown("\n".join(lines) or "Nothing to do.", markup.steps_list(steps))


def show_plan(plan: Plan, *, secrets: Sequence[str]) -> Shown:
    """What a change would do: now, after, what it touches, how it is undone, its guards, and what to type.

    Args:
        plan: to show.
        secrets: of the environment; a live cell shows them as little as the record keeps them.
    """
    return _sheet(sheet_of_plan(without_secrets(plan, secrets)))


def show_outcome(outcome: Outcome, *, secrets: Sequence[str]) -> Shown:
    """What came of a change: the plan, the refusal, what was done, or what must be checked.

    Args:
        outcome: to show.
        secrets: of the environment; a live cell shows them as little as the record keeps them.
    """
    check = check_line(outcome.action_id, outcome.environment) if outcome.action_id else ""
    return _sheet(sheet_of(outcome_without_secrets(outcome, secrets), check=check))


def _sheet(sheet: Sheet) -> Shown:
    return Shown(render_sheet(sheet), markup.sheet_card(sheet))


def show_closing(verdict: Verdict, report: Path) -> Shown:
    """The end of a notebook: the verdict once more (JupyterLab scrolls down to it), what next, and the record."""
    steps = show_steps(verdict.next_steps)
    kept = show_text(f"Recorded in {report.parent}; the report to share is {report.name}.")
    html = f"{markup.verdict_card(verdict)}{steps.html}{kept.html}"
    return Shown(f"{heading(verdict)}\n{steps.text}\n{kept.text}", html)


def show_text(text: str) -> Shown:
    """One harmless paragraph."""
    return Shown(plain(text), f"<p>{markup.text(text)}</p>")


def show_block(text: str) -> Shown:
    """Text of several lines to paste elsewhere, as it stands."""
    return Shown(visible(text), markup.block(text))


def show_figure(figure: Figure, *, alt: str) -> ShownFigure:
    """A figure with its alternative text, which states the finding (``hit rate fell to 54 % at 01:33Z``)."""
    from runbooks_lib.presentation.plots import to_png

    return ShownFigure(to_png(figure), plain(alt))


def show_rates(history: History | Unreadable, policy: Policy, *, since: datetime | None) -> Shown | ShownFigure:
    """Hit rate and penetration over the window with thresholds and onset; the reason, where there is no history."""
    if isinstance(history, Unreadable):
        return show_text(f"No figure: the history could not be read ({history.reason}). {history.hint}")
    from runbooks_lib.presentation.plots import describe_rates, plot_rates

    return show_figure(plot_rates(history, policy, since=since), alt=describe_rates(history, policy, since=since))


def show_endpoints(before: Lookups | Unreadable, now: Lookups | Unreadable, *, at_most: int = 12) -> Shown:
    """Which endpoints explain a change of the hit rate: each one's part of it, rate and traffic, then and now."""
    if isinstance(now, Unreadable):
        return show_text(f"No table: lookups could not be read ({now.reason}). {now.hint}")
    if isinstance(before, Unreadable) or before.hit_ratio is None:
        rows = [(e.endpoint, units.percent(e.hit_ratio), units.count(e.total)) for e in now.endpoints[:at_most]]
        return show_table(
            ("Endpoint", "Hit rate now", "Lookups"), rows, caption="Endpoints now; no earlier window to compare"
        )
    parts = contributions(before, now)
    rows_then_and_now = [
        (
            part.endpoint,
            f"{-part.points_ratio * 100:+.1f} points",
            f"{units.percent(part.hit_before)} → {units.percent(part.hit_now)}",
            f"{units.percent(part.share_before)} → {units.percent(part.share_now)}",
            units.percent(part.misses_ratio),
        )
        for part in parts[:at_most]
    ]
    caption = (
        f"Overall hit rate {units.percent(before.hit_ratio)} → {units.percent(now.hit_ratio)}, "
        f"{units.timestamp(before.ended_at)} against {units.timestamp(now.ended_at)}"
    )
    columns = ("Endpoint", "Part of the change", "Hit rate", "Share of lookups", "Share of misses now")
    return show_table(columns, rows_then_and_now, caption=caption)


def show_flags(flags: Flags | Unreadable) -> Shown:
    """The feature flags as they are now, and where that was read."""
    if isinstance(flags, Unreadable):
        return show_text(f"Flags could not be read ({flags.reason}). {flags.hint}")
    rows = [(flag.feature, f"{flag.percentage:g} %", flag.strategy or "as served") for flag in flags.flags]
    return show_table(("Feature", "Percentage", "Strategy"), rows, caption=f"Flags, from {flags.provenance.query}")
