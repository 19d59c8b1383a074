"""What the flags say, what the site serves, and whether a change would last."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.flags.store import store_of
from runbooks_lib.actions.plan import Command
from runbooks_lib.actions.site import Site
from runbooks_lib.facts import Flag, Flags, FlagService
from runbooks_lib.judgement.agreement import check_flags_agree, differing_flags, flag_value
from runbooks_lib.model import Finding, Unreadable
from runbooks_lib.operations.choice import choose
from runbooks_lib.operations.reading import side_by_side
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.sources.site.django_site import copy_seconds
from runbooks_lib.sources.together import Read
from runbooks_lib.triage import served_flags
from runbooks_lib.view import View

#: Whether a change lasts → what that means for expiry and ``cache.clear()``, and for a Redis that is down.
_LASTS = {
    True: ("yes: a row has no expiry, and cache.clear() does not touch it", "yes: nothing in Redis is needed"),
    False: (
        "NO: it goes when the key expires, and with every cache.clear()",
        "NO: they can be neither read nor changed",
    ),
    None: ("NOT KNOWN: set one, and look again after six minutes", "NOT KNOWN"),
}
#: The site's shell takes a second to start; on a busy machine several.
_SHELL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class FlagState:
    """The flags at one moment, by two accounts.

    Attributes:
        service: the site's own code, asked in a new process: the flags, and the tables that it read them from.
        served: by the web process that answered the health endpoint.
    """

    service: FlagService | Unreadable
    served: Flags | Unreadable

    @property
    def stated(self) -> Flags | Unreadable:
        """The flags by the site's own code."""
        if isinstance(self.service, Unreadable):
            return self.service
        return Flags(self.service.flags, self.service.provenance)


def read_flag_state(view: View) -> FlagState:
    """What do the flags say, and what does the site serve?

    Source:
        FeatureFlagService.get_all_features_status() in ``manage.py shell``; ``features`` of the health endpoint.
    """
    sources = view.sources
    try:
        found = side_by_side(
            view,
            {
                "service": Read("feature flags", "django", sources.django.flag_service),
                "health": Read("health endpoint", "web", sources.web.health),
            },
            deadline_seconds=_SHELL_SECONDS,
        )
    finally:
        # Also when the operator interrupts: a shell of the site that nobody waits for must not live on.
        sources.django.end()
    return FlagState(found["service"], served_flags(found["health"]))


def choose_flag_change(change: str, *, feature: str, percentage: int, user_id: int) -> Command | None:
    """The change of one flag that the notebook's parameters ask for; None for ``none``.

    Raises:
        UsageError: the word is none of the changes.
    """
    one, user = {"feature": feature}, {"feature": feature, "user_id": user_id}
    return choose(
        change,
        {
            "enable": Command("enable_feature", one),
            "disable": Command("disable_feature", one),
            "percentage": Command("set_percentage", {**one, "percentage": percentage}),
            "whitelist_add": Command("add_to_whitelist", user),
            "whitelist_remove": Command("remove_from_whitelist", user),
        },
    )


def choose_rollback() -> Command:
    """All new features off, as the guide lists them, in one plan."""
    return Command("roll_back_features")


def judge_flag_state(state: FlagState) -> tuple[Finding, ...]:
    """One finding: is what the flags say what the site serves?"""
    return (check_flags_agree(state.stated, state.served),)


def show_flag_state(state: FlagState) -> Shown:
    """The flags by both accounts, side by side; a difference is named."""
    flags = state.stated if not isinstance(state.stated, Unreadable) else state.served
    if isinstance(flags, Unreadable):
        return show_text(f"Flags could not be read ({flags.reason}). {flags.hint}")
    served = {} if isinstance(state.served, Unreadable) else {f.feature: f.percentage for f in state.served.flags}
    differing = differing_flags(state.stated, state.served)
    rows = [_row(flag, served.get(flag.feature), differs=flag.feature in differing) for flag in flags.flags]
    caption = "Flags; the site serves what they say" if not differing else "Flags; NOT all are served as they say"
    return show_table(("Feature", "The flag says", "The site serves", "Note"), rows, caption=caption + _unread(state))


def show_flag_store(view: View, state: FlagState) -> Shown:
    """Where the flags are kept, and whether a change outlives its expiry and ``cache.clear()``."""
    service = state.service
    if isinstance(service, Unreadable):
        return show_text(f"Not known: the site's flag service could not be asked ({service.reason}).")
    with contextlib.closing(Site(view.environment)) as site:
        store = store_of(service, site, [flag.feature for flag in service.flags])
    lasts, down = _LASTS[store.lasts]
    copy = units.seconds(copy_seconds(service))
    rows = (
        ("Where are they?", store.detail),
        ("Does a change last?", lasts),
        ("Can it be made while Redis is down?", down),
        ("When is it in force everywhere?", f"after {copy}: each process keeps a copy for so long"),
    )
    return show_table(("Question", "Answer"), rows, caption="Where the flags are kept")


def _row(flag: Flag, served: float | None, *, differs: bool) -> tuple[str, str, str, str]:
    shown = "not read" if served is None else f"{served:g} %"
    return flag.feature, flag_value(flag), shown, "differs" if differs else ""


def _unread(state: FlagState) -> str:
    missing = [fact for fact in (state.stated, state.served) if isinstance(fact, Unreadable)]
    return "".join(f". Not read: {fact.what} from {fact.source} ({fact.reason})" for fact in missing)
