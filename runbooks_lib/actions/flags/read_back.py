"""Reading feature flags back: in a second process, again once copies are gone, and as the site serves them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.flags.states import FlagState, is_so, state_of
from runbooks_lib.actions.flags.store import store_of
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Flag, FlagService
from runbooks_lib.model import Evidence
from runbooks_lib.sources.metrics.exposition import parse_exposition
from runbooks_lib.sources.site.django_site import COPY_SECONDS, LONGEST_COPY_SECONDS

METRIC = "feature_flag_percentage"
_SLACK_SECONDS = 0.1
_SHOWN_MAX = 8


def copy_seconds_of(written: Mapping[str, Any]) -> float:
    """How long to wait until no process serves a copy from before the change; bounded, with a default."""
    value = written.get("copy_seconds")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return COPY_SECONDS
    return min(float(value), LONGEST_COPY_SECONDS)


def read_states_back(site: Site, states: Mapping[str, FlagState], written: Mapping[str, Any]) -> ReadBack:
    """Do the flags stand so: now, after the copies are gone, and as the site serves them?

    Args:
        site: for reading.
        states: feature → how it should stand.
        written: of the write; empty when it is not known.

    Raises:
        SourceError: the flags could not be read.
    """
    copies = copy_seconds_of(written)
    first, later = site.django.flags_twice(copies + _SLACK_SECONDS)
    evidence = [_stored("read in a second process", first.flags, states)]
    evidence.append(_stored(f"read again after {units.seconds(copies)}", later, states))
    wrong = _wrong(first.flags, states) or _wrong(later, states, " after a moment")
    if wrong:
        return ReadBack(confirmed=False, evidence=tuple(evidence), detail=wrong)
    served, wrong = _served_by_health(site, states, copies)
    evidence += [served, *_lasting(site, first, tuple(states)), *served_by_metrics(site, states, written)]
    return ReadBack(not wrong, tuple(evidence), wrong or _done(states))


def read_steps_back(site: Site, states: Mapping[str, FlagState], written: Mapping[str, Any]) -> ReadBack:
    """The same for a set of which only a part may have been written: that part is looked at."""
    done = written.get("done")
    chosen = {name: states[name] for name in done if name in states} if isinstance(done, list) else states
    return read_states_back(site, chosen or states, written)


def _stored(name: str, flags: tuple[Flag, ...], states: Mapping[str, FlagState]) -> Evidence:
    found = ", ".join(f"{flag.feature} {state_of(flag).shown}" for flag in flags if flag.feature in states)
    return Evidence(name, found, "FeatureFlagService")


def _wrong(flags: tuple[Flag, ...], states: Mapping[str, FlagState], when: str = "") -> str:
    """What is not as it should be; empty when all is."""
    by_name = {flag.feature: flag for flag in flags}
    wrong = [
        f"{name} is {state_of(by_name[name]).shown if name in by_name else 'gone'}{when}, not {state.shown}"
        for name, state in states.items()
        if not is_so(by_name.get(name), state)
    ]
    return "; ".join(wrong)


def _served_by_health(site: Site, states: Mapping[str, FlagState], copies: float) -> tuple[Evidence, str]:
    """What the health endpoint says that is served, asked until it agrees or the copies must be gone twice over."""
    name, ends = "served, says the health endpoint", time.monotonic() + copies + 1.0
    while True:
        try:
            features = site.web.health().features
        except SourceError as error:
            return Evidence(name, f"unknown: {error.message}", "web"), ""
        stated = {feature: features[feature] for feature in states if feature in features}
        differing = [one for one, value in stated.items() if value != states[one].served_percent]
        if not differing or time.monotonic() >= ends:
            break
        time.sleep(0.2)
    if not stated:
        return Evidence(name, "nothing about this feature", "web"), ""
    shown = ", ".join(f"{feature} {value:g} %" for feature, value in stated.items())
    wrong = "; ".join(f"{one} is stored as {states[one].shown}, but served to {stated[one]:g} %" for one in differing)
    return Evidence(name, shown, "GET /api/health/cache"), wrong


def _lasting(site: Site, service: FlagService, features: tuple[str, ...]) -> tuple[Evidence, ...]:
    """How long it will stay so, where that is not for ever."""
    store = store_of(service, site, features)
    return () if store.lasts else (Evidence("may not last", store.detail),)


def served_by_metrics(site: Site, states: Mapping[str, FlagState], written: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """The metric of every instance: evidence only, because an idle process shows what it served last.

    Source:
        /metrics of the site and of ``metrics_urls``, now; Prometheus for all instances, as of their last scrape.
    """
    (exposed, first), (scraped, second) = _by_exposition(site, states), _by_prometheus(site, states, written)
    return (exposed, scraped, *_not_yet((*first, *second), written))


def _not_yet(behind: Sequence[str], written: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """Who shows another percentage, and until when that is normal; nothing where all agree."""
    if not behind:
        return ()
    until = _settled(written)
    after = f" after {units.clock(until)}" if until.timestamp() > 0 else ""
    text = (
        f"{', '.join(behind[:_SHOWN_MAX])}: an idle process shows what it served last, and Prometheus what it scraped; "
        f"normal until each has used the flag again{after} and was scraped; one that serves and stays behind is not"
    )
    return (Evidence("not serving it yet", text),)


def _settled(written: Mapping[str, Any]) -> datetime:
    """From when on no process serves a copy from before the change; 1970 where that is not known."""
    changed = datetime.fromtimestamp(float(written.get("store_changed_at") or 0), UTC)
    return changed + timedelta(seconds=copy_seconds_of(written) if changed.timestamp() else 0)


def _by_exposition(site: Site, states: Mapping[str, FlagState]) -> tuple[Evidence, list[str]]:
    name = f"{METRIC}, now"
    try:
        pages = site.web.exposition().pages
    except SourceError as error:
        return Evidence(name, f"unknown: {error.message}", "web"), []
    shown, behind = [], []
    for number, page in enumerate(pages, start=1):
        series = parse_exposition(page.text, frozenset({METRIC})).values.get(METRIC, {})
        found = [(dict(labels).get("feature", ""), value) for labels, value in series.items()]
        shown += [f"{one} {value:g} % (process {number})" for one, value in found if one in states]
        behind += [
            f"process {number} ({one} {value:g} %)"
            for one, value in found
            if one in states and value != states[one].served_percent
        ]
    return Evidence(name, ", ".join(shown[:_SHOWN_MAX]) or "not exported", "GET /metrics"), behind


def _by_prometheus(
    site: Site, states: Mapping[str, FlagState], written: Mapping[str, Any]
) -> tuple[Evidence, list[str]]:
    from runbooks_lib.sources.metrics.prometheus import Prometheus

    name = f"{METRIC}, all instances"
    try:
        prometheus = Prometheus(site.environment)
        series = prometheus.selector(METRIC)
        answers = prometheus.query_all({"value": series, "at": f"timestamp({series})"})
    except SourceError as error:
        return Evidence(name, f"unknown: {error.message}", "prometheus"), []
    scraped = {_who(sample.labels): sample.value for sample in answers.samples["at"]}
    settled = _settled(written)
    shown, behind = [], []
    for sample in answers.samples["value"]:
        if sample.labels.get("feature") in states and sample.value is not None:
            old = (scraped.get(_who(sample.labels)) or 0.0) < settled.timestamp()
            text = f"{sample.labels.get('instance', '')} {sample.labels['feature']} {sample.value:g} %"
            shown.append(f"{text}{' (scraped before)' if old else ''}")
            behind += [text] if sample.value != states[sample.labels["feature"]].served_percent else []
    return Evidence(name, ", ".join(shown[:_SHOWN_MAX]) or "not scraped", f"Prometheus: {METRIC}"), behind


def _who(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


def _done(states: Mapping[str, FlagState]) -> str:
    return f"{', '.join(f'{name} is {state.shown}' for name, state in states.items())}, read back in a second process."
