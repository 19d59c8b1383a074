"""The deployment checklist: what counts, for how long, who may say so; and each item's judgement on recorded facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import campaign_builders as campaigns
import pytest
from builders import FROM, HOSTILE, NOW, health, requests, warming
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.checklist import (
    DEPLOY,
    ITEMS,
    NOTEBOOKS,
    Checklist,
    Entry,
    How,
    ItemStatus,
    Phase,
    item_of,
    items_of,
    release_named,
)
from runbooks_lib.errors import RecordError, RefusedError, UsageError
from runbooks_lib.facts import (
    Baseline,
    BaselineSlot,
    Flag,
    Flags,
    FlagService,
    Probe,
    Warming,
    WarmingLock,
    WarmingType,
)
from runbooks_lib.facts.deployment import BackupProof, RouteProbes, TestRun
from runbooks_lib.facts.metrics_contract import SITE_METRICS, MetricsContract, MetricState
from runbooks_lib.judgement.deployment.before import judge_backup, judge_baseline, judge_flag
from runbooks_lib.judgement.deployment.during import judge_answers, judge_tests
from runbooks_lib.judgement.deployment.errors import Watch, judge_errors, poisson_tail
from runbooks_lib.judgement.deployment.headers import judge_headers
from runbooks_lib.judgement.deployment.metrics import judge_metrics
from runbooks_lib.judgement.deployment.standing import (
    command_for,
    counts_text,
    overall_status,
    phase_findings,
    phase_status,
    remarks,
    standing,
)
from runbooks_lib.judgement.deployment.warming import judge_startup_warming
from runbooks_lib.judgement.next_steps import Surroundings
from runbooks_lib.model import Evidence, Status, Unreadable
from runbooks_lib.policy import Policy
from runbooks_lib.presentation.baseline import describe_baseline, show_baseline, show_baseline_figure
from runbooks_lib.presentation.checklist import checklist_text, history_text, show_stands
from runbooks_lib.records.baselines import RECORDED, latest_baseline, record_baseline
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.checklists import Checklists, Who
from runbooks_lib.records.event_words import said
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.sources.site.manage_test import labels_of
from runbooks_lib.sources.site.routes import routes_by_endpoints, routes_of

RELEASE = "2026-11-23"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AROUND = Surroundings("production", frozenset(NOTEBOOKS.values()), ("manage.py",), {})
NO_METRICS = Unreadable("prometheus", "requests", "connection refused", "is Prometheus running?")
WHO = Who("anna", "run-1")


@pytest.fixture
def checklists(ledger):
    """Of production, in a fresh ledger; ``s3cret`` is a secret."""
    return Checklists(ledger, "production", ("s3cret",))


def entry(item, status=ItemStatus.DONE, *, ago=timedelta(0), how=How.MEASURED, text="seen", by="anna"):
    """Something that was found or said about an item, some time ago."""
    return Entry(item, status, text, how, by, NOW - ago, "run-1")


def stands_of(*entries, now=NOW, time_scale=1.0):
    """Item id → how it stands."""
    found = standing(Checklist("production", RELEASE, entries), now=now, time_scale=time_scale)
    return {stand.item.id: stand for stand in found}


def all_done(ago=timedelta(0)):
    """Every item done, the earlier phases first."""
    return [
        entry(
            item.id,
            ago=ago + timedelta(minutes=3 - item.phase.number),
            how=How.MEASURED if item.measured else How.SIGNED,
        )
        for item in ITEMS
    ]


# Items and names


def test_items_are_the_guides_lines_in_their_order():
    """Twelve lines of the guide and one of this project's own; two are a person's."""
    assert [item.title for item in ITEMS if item.in_guide][:3] == [
        "Backup current Redis data",
        "Verify feature flags are set to GRADUAL (0%)",
        "Monitor baseline performance for 24 hours",
    ]
    assert sum(item.in_guide for item in ITEMS) == 12
    assert [item.id for item in ITEMS if not item.measured] == ["deploy.staging", "rollout.issues"]
    assert [len(items_of(phase)) for phase in Phase] == [3, 4, 3, 3]
    assert len({item.id for item in ITEMS}) == len(ITEMS)


@pytest.mark.parametrize("name", ["2026-11-23", "v1.4.0", "1", "build_812+hotfix", "a" * 80])
def test_release_named_takes_dates_and_versions(name):
    """What people call a release."""
    assert release_named(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", "-x", "a b", "v1\n", "a" * 81, "$(id)", "../x", "v1;ls", "1.0'", "ｖ1", HOSTILE]
)
def test_release_named_refuses_what_would_be_another_checklist_or_a_command(name):
    """It stands in commands, and two names that look alike would be two checklists."""
    with pytest.raises(UsageError, match="release is"):
        release_named(name)


def test_item_of_a_name_that_is_none_names_them_all():
    """Whoever mistypes an item is told which there are."""
    with pytest.raises(UsageError, match=r"no item 'pre\.backups'") as error:
        item_of("pre.backups")
    assert "pre.backup, pre.flag" in error.value.hint


# The ledger


def test_checklists_remember_what_somebody_else_found_days_ago(checklists, ledger):
    """Two operators, two runs, another process: one checklist."""
    checklists.measured(RELEASE, "pre.flag", status=ItemStatus.DONE, text="gradual", who=WHO, values={"percentage": 0})
    Checklists(ledger, "production").sign(RELEASE, DEPLOY, by="Ben Li", note="build 812", who=Who("ben", "run-2"))
    Checklists(ledger, "staging").sign(RELEASE, DEPLOY, by="Ben Li", note="", who=WHO)
    checklists.measured("v2", "pre.flag", status=ItemStatus.FAILED, text="on", who=WHO)

    found = checklists.read(RELEASE)

    assert [(e.item, e.status, e.by, e.how) for e in found.entries] == [
        ("pre.flag", ItemStatus.DONE, "anna", How.MEASURED),
        (DEPLOY, ItemStatus.DONE, "Ben Li", How.SIGNED),
    ]
    assert found.entries[0].values == {"percentage": 0}
    assert found.deployed_at == found.entries[1].at
    assert "uid" in found.entries[1].account
    assert checklists.releases() == (RELEASE, "v2")


def test_checklists_sign_of_a_measured_item_is_refused_and_names_the_notebook(checklists, ledger):
    """Nobody's word replaces a measurement."""
    with pytest.raises(RefusedError, match="measured, by the notebook pre_deployment") as error:
        checklists.sign(RELEASE, "pre.backup", by="Anna Ng", note="I did it", who=WHO)
    assert f"runbooks run pre_deployment --environment production -p release={RELEASE}" in error.value.hint
    assert "--waive" in error.value.hint
    assert ledger.events() == ()


def test_checklists_waive_is_never_done_and_needs_a_reason(checklists):
    """Somebody answers for it, by name."""
    with pytest.raises(UsageError, match="for a reason only"):
        checklists.waive(RELEASE, "pre.backup", by="Anna Ng", reason=" ", who=WHO)
    checklists.waive(RELEASE, "pre.backup", by="Anna Ng", reason="the cache is empty", who=WHO)

    stand = standing(checklists.read(RELEASE), now=datetime.now(UTC))[0]

    assert (stand.word, stand.status, stand.is_waived) == ("waived", ItemStatus.OPEN, True)
    assert remarks(stand)[0].startswith("WAIVED by Anna Ng from ")
    assert command_for(stand, RELEASE, AROUND) is None


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "Аnna\u0430n", "a" * 101, "anna\x1b[2J"])
def test_checklists_sign_by_no_persons_name_is_refused(checklists, name):
    """Invisible, mixed from two scripts, too long, with control characters."""
    with pytest.raises(RefusedError, match="no name of a person"):
        checklists.sign(RELEASE, DEPLOY, by=name, note="", who=WHO)


def test_checklists_sign_as_failed_needs_a_note_and_is_failed(checklists):
    """A person may also say that it went wrong."""
    with pytest.raises(UsageError, match="say what was seen"):
        checklists.sign(RELEASE, "rollout.issues", by="Anna Ng", note="", who=WHO, status=ItemStatus.FAILED)
    checklists.sign(RELEASE, "rollout.issues", by="Anna Ng", note="users complain", who=WHO, status=ItemStatus.FAILED)
    assert checklists.read(RELEASE).settled("rollout.issues").status is ItemStatus.FAILED


def test_checklists_measured_of_a_persons_item_is_refused(checklists):
    """A notebook cannot sign for a person."""
    with pytest.raises(UsageError, match="signed off by a person"):
        checklists.measured(RELEASE, DEPLOY, status=ItemStatus.DONE, text="", who=WHO)


def test_checklists_keep_hostile_text_as_data_on_one_line_without_secrets(checklists, ledger):
    """What sites and people write is evidence, and nothing else."""
    checklists.measured(
        RELEASE,
        "pre.flag",
        status=ItemStatus.DONE,
        text=f"{HOSTILE}\ns3cret",
        who=WHO,
        values={"x": [f"{HOSTILE} s3cret"]},
    )
    checklists.sign(RELEASE, DEPLOY, by="Zoë O'Neil", note="'; DROP TABLE x; -- $(id) `id`", who=WHO)
    checklist = checklists.read(RELEASE)
    text = checklist_text(checklist, standing(checklist, now=NOW), AROUND, protected=True)

    assert "s3cret" not in str(checklist.entries)
    assert "\n" not in checklist.entries[0].text
    assert checklist.entries[1].text == "'; DROP TABLE x; -- $(id) `id`"
    assert checklist.entries[1].by == "Zoë O'Neil"
    assert not any(ord(c) < 32 and c != "\n" for c in text + history_text(checklist.entries))
    assert "<img" not in show_stands(checklist, standing(checklist, now=NOW)).html
    assert said(ledger.events()[1]).startswith(f"checklist {RELEASE}: {DEPLOY} done (signed) by Zoë O'Neil: ';")


def test_checklists_pass_over_events_that_make_no_sense(checklists, ledger):
    """Somebody may have edited the ledger, or a later version wrote it."""
    where = {"kind": "checklist.item", "run_id": "r", "environment": "production", "operator": "x"}
    whole = {"release": RELEASE, "item": "pre.flag", "status": "done", "how": "measured", "text": "t"}
    for change in (
        {"status": "green"},
        {"how": "guessed"},
        {"item": "pre.coffee"},
        {"release": ["x"]},
        {"status": None},
    ):
        ledger.append(**where, payload={**whole, **change})
    ledger.append(**where, payload={**whole, "values": "none", "account": 7, "by": ""})

    (only,) = checklists.read(RELEASE).entries

    assert (only.by, only.values, only.account) == ("x", {}, "")
    assert checklists.releases() == (RELEASE,)


def test_checklists_with_a_ledger_that_cannot_be_read_say_so(tmp_path):
    """A folder in the place of the file."""
    with pytest.raises(RecordError):
        Checklists(Ledger(f"sqlite:///{tmp_path}"), "production").sign(RELEASE, DEPLOY, by="Anna", note="", who=WHO)


def test_checklists_take_the_rollout_from_the_campaigns_of_this_release(checklists, ledger):
    """Opened before the deployment: another release's; soaked at 10 %: done; rolled back: failed; nobody writes it twice."""
    early = campaigns.opened(ledger, feature="PAGE_CACHE")
    Campaigns(ledger).ended(early, "aborted", reason="another release", **campaigns.WHO)
    checklists.sign(RELEASE, DEPLOY, by="Anna Ng", note="", who=WHO)
    assert standing(checklists.read(RELEASE), now=NOW)[10].entry is None

    running = campaigns.moved(ledger, campaigns.opened(ledger), 10)
    first, _, stages = standing(checklists.read(RELEASE), now=NOW)[10:]
    assert (first.word, stages.word) == ("open", "open")
    assert f"ENHANCED_CACHE, {running.id}: running at 10 % since " in first.entry.text

    running = campaigns.moved(ledger, running, 25)
    first, _, stages = standing(checklists.read(RELEASE), now=NOW)[10:]
    assert (first.word, stages.word) == ("done", "open")
    assert "10 % soaked, then 25 %" in first.entry.text

    checklists.sign("v2", DEPLOY, by="Anna Ng", note="", who=WHO)
    Campaigns(ledger).ended(running, "rolled back", reason="errors 5 %", **campaigns.WHO)
    stages = standing(checklists.read(RELEASE), now=NOW)[12]
    assert (stages.word, stages.entry.text.endswith("rolled back, errors 5 %")) == ("failed", True)
    assert standing(checklists.read("v2"), now=NOW)[12].entry is None
    checklists.waive(RELEASE, "rollout.stages", by="Anna Ng", reason="v2 follows", who=WHO)
    assert standing(checklists.read(RELEASE), now=NOW)[12].word == "waived"


# What counts


def test_standing_of_nothing_is_open_with_the_command_for_each():
    """Nothing was measured: nothing is done, and every item says what to do."""
    stands = stands_of()
    assert counts_text(list(stands.values())) == "0 of 13 done, 13 open"
    assert overall_status(list(stands.values())) is Status.WARN
    assert command_for(stands["post.errors"], RELEASE, AROUND).command == (
        f"runbooks run post_deployment --environment production -p release={RELEASE}"
    )
    sign = command_for(stands[DEPLOY], RELEASE, AROUND).command
    assert sign.startswith(f"runbooks checklist {RELEASE} --environment production --sign deploy.staging --by NAME")
    assert command_for(stands["rollout.first"], RELEASE, replace(AROUND, runbooks=frozenset())) is None


def test_standing_with_everything_done_is_ok():
    """Also long afterwards: evidence is as old as it was when the next phase began."""
    assert overall_status(standing(Checklist("p", RELEASE, tuple(all_done())), now=NOW)) is Status.OK
    late = stands_of(*all_done(ago=DAY))
    assert late["pre.backup"].status is ItemStatus.DONE
    assert late["pre.backup"].age_seconds == 60


def test_standing_a_later_failure_takes_back_what_was_done_and_shows_both():
    """And doing it again afterwards takes the failure back."""
    done, failed = (
        entry("pre.flag", ago=2 * HOUR, text="gradual"),
        entry("pre.flag", ItemStatus.FAILED, ago=HOUR, by="ben", text="on"),
    )
    stand = stands_of(done, failed)["pre.flag"]
    assert (stand.status, stand.against) == (ItemStatus.FAILED, done)
    assert "before that done by anna" in remarks(stand)[-1]

    again = stands_of(done, failed, entry("pre.flag"))["pre.flag"]
    assert (again.status, again.against) == (ItemStatus.DONE, failed)


@pytest.mark.parametrize("status", [ItemStatus.UNKNOWN, ItemStatus.OPEN])
@pytest.mark.parametrize("before", [ItemStatus.DONE, ItemStatus.FAILED])
def test_standing_a_look_that_could_not_tell_takes_nothing_back(status, before):
    """Neither what was done nor a failure; it is shown."""
    stand = stands_of(entry("pre.flag", before, ago=timedelta(minutes=5)), entry("pre.flag", status, text="no answer"))[
        "pre.flag"
    ]
    assert stand.status is before
    assert "looked again at 2026-11-22 02:14:07Z by anna" in remarks(stand)[-1]


def test_standing_of_old_evidence_is_open_again_and_says_how_old():
    """A backup of yesterday is of something else."""
    stand = stands_of(entry("pre.backup", ago=20 * HOUR))["pre.backup"]
    assert (stand.word, stand.status) == ("old", ItemStatus.OPEN)
    assert stand.problem == "20 h old; it counts for 12 h"
    assert command_for(stand, RELEASE, AROUND) is not None


def test_standing_of_evidence_that_was_old_when_the_next_phase_began_stays_old():
    """A deployment does not make it younger."""
    stands = stands_of(entry("pre.backup", ago=30 * HOUR), entry(DEPLOY, ago=HOUR, how=How.SIGNED))
    assert stands["pre.backup"].problem == "29 h old when the next phase began; it counts for 12 h"


def test_standing_scales_how_long_evidence_counts():
    """In a sandbox an hour is a minute."""
    assert stands_of(entry("pre.backup", ago=timedelta(minutes=13)), time_scale=60)["pre.backup"].word == "old"
    assert stands_of(entry("pre.backup", ago=timedelta(minutes=11)), time_scale=60)["pre.backup"].word == "done"


def test_standing_of_what_was_watched_before_the_last_deployment_is_open():
    """The code that was watched is not the one that runs now."""
    stands = stands_of(
        entry(DEPLOY, ago=5 * HOUR, how=How.SIGNED),
        entry("post.errors", ago=3 * HOUR),
        entry(DEPLOY, ago=HOUR, how=How.SIGNED),
    )
    assert stands["post.errors"].word == "old"
    assert "from before the deployment at 2026-11-22 01:14:07Z" in stands["post.errors"].problem


def test_standing_of_an_entry_from_a_clock_ahead_is_of_no_age():
    """Two machines, one of them some minutes ahead."""
    assert stands_of(entry("pre.flag", ago=-timedelta(minutes=4)))["pre.flag"].age_seconds == 0


def test_phase_is_ok_only_when_all_of_it_is_done():
    """Waived and old are WARN, failed is FAIL, unknown is UNKNOWN."""
    done = [entry(item.id) for item in items_of(Phase.PRE_DEPLOYMENT)]
    waived = entry("pre.flag", ItemStatus.OPEN, how=How.WAIVED)
    for more, expected in (
        ([], Status.OK),
        ([waived], Status.WARN),
        ([entry("pre.flag", ItemStatus.FAILED)], Status.FAIL),
    ):
        stands = list(stands_of(*done, *more).values())
        assert phase_status(stands, Phase.PRE_DEPLOYMENT) is expected
    unknown = stands_of(*done[1:], entry("pre.backup", ItemStatus.UNKNOWN))
    assert phase_status(list(unknown.values()), Phase.PRE_DEPLOYMENT) is Status.UNKNOWN
    (first, *_) = phase_findings(list(unknown.values()), Phase.PRE_DEPLOYMENT)
    assert (first.id, first.status, first.shown) == ("checklist.pre.backup", Status.UNKNOWN, "unknown: seen")


ENTRIES = st.builds(
    entry,
    st.sampled_from([item.id for item in ITEMS]),
    st.sampled_from(list(ItemStatus)),
    ago=st.integers(0, 200).map(lambda hours: hours * HOUR),
    how=st.sampled_from(list(How)),
)


@given(st.lists(ENTRIES, max_size=30))
def test_standing_never_calls_done_what_nothing_says_is_done(entries):
    """Whatever was written: done needs a measured or signed entry that says so, and no later failure."""
    for stand in stands_of(*entries).values():
        history = [e for e in entries if e.item == stand.item.id]
        if stand.status is ItemStatus.DONE:
            assert stand.entry.status is ItemStatus.DONE
            assert stand.entry.how is not How.WAIVED
            # Equal entries may stand there twice: the newest of them counts.
            after = history[max(number for number, e in enumerate(history) if e == stand.entry) + 1 :]
            assert not any(e.status is ItemStatus.FAILED for e in after)


# The terminal


def test_checklist_text_shows_evidence_who_when_and_the_command():
    """Words first; commands ready to paste; phases in order."""
    checklist = Checklist(
        "production",
        RELEASE,
        (entry("pre.flag", ItemStatus.FAILED, text="ENHANCED_CACHE is on"), entry("pre.backup", ago=20 * HOUR)),
    )
    text = checklist_text(checklist, standing(checklist, now=NOW), AROUND, protected=True)
    assert text.startswith(f"CHECKLIST  {RELEASE} · production (protected) · 0 of 13 done, 1 failed, 1 old, 11 open")
    assert (
        "  FAILED   pre.flag        Verify feature flags are set to GRADUAL (0%)\n           ENHANCED_CACHE is on"
        in text
    )
    assert "20 h old; it counts for 12 h" in text
    command = f"runbooks run pre_deployment --environment production -p release={RELEASE}"
    assert f"Next         1. pre.backup, pre.flag, pre.baseline\n                {command}\n" in text
    assert text.count(command) == 1
    assert [text.index(phase.value) for phase in Phase] == sorted(text.index(phase.value) for phase in Phase)


# Before


def service(strategy="gradual", percentage=0.0, whitelist=0):
    """A flag service with one feature."""
    return FlagService((Flag("ENHANCED_CACHE", strategy, percentage, whitelist, None),), (), (), 2.0, None, FROM)


def served(percentage=0.0):
    """What the site serves."""
    return Flags((Flag("ENHANCED_CACHE", "", percentage, None, None),), FROM)


@pytest.mark.parametrize(
    ("stated", "serves", "status", "words"),
    [
        (service(), served(), ItemStatus.DONE, "gradual at 0 %, and served so"),
        (service(whitelist=3), served(), ItemStatus.DONE, "3 users on its whitelist"),
        (service(), NO_METRICS, ItemStatus.DONE, "what is served was not read"),
        (service(), served(25.0), ItemStatus.FAILED, "the site serves something else"),
        (service("gradual", 10.0), served(10.0), ItemStatus.FAILED, "gradual 10 %"),
        (service("off"), served(), ItemStatus.FAILED, "ENHANCED_CACHE is off"),
        (service("on", 100.0), served(100.0), ItemStatus.FAILED, "ENHANCED_CACHE is on"),
        (NO_METRICS, served(), ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_flag_is_done_only_at_gradual_0_by_both_accounts(stated, serves, status, words):
    """Off is not gradual; what is said and what is served are two things."""
    result = judge_flag(stated, serves, "ENHANCED_CACHE")
    assert result.status is status
    assert words in result.text
    assert bool(result.hint) is (status is not ItemStatus.DONE)


def test_judge_flag_of_a_feature_that_the_site_lacks_is_unknown():
    """And it says which there are."""
    result = judge_flag(service(), served(), HOSTILE)
    assert (result.status, result.hint) == (ItemStatus.UNKNOWN, "it has: ENHANCED_CACHE")


@pytest.mark.parametrize(
    ("ago", "proved", "status", "words"),
    [
        (HOUR, True, ItemStatus.DONE, "made 1 h ago; 12 keys"),
        (HOUR, False, ItemStatus.FAILED, "its proof failed: 12 keys"),
        (HOUR, None, ItemStatus.UNKNOWN, "not proved"),
        (13 * HOUR, None, ItemStatus.OPEN, "made 13 h ago: older than 12 h"),
        (13 * HOUR, True, ItemStatus.OPEN, "older than 12 h"),
    ],
)
def test_judge_backup_needs_proof_and_youth(ago, proved, status, words):
    """An unproved backup is a hope, an old one is of something else."""
    backup = BackupProof("backups/x", NOW - ago, proved, "12 keys", (Evidence("keys", "12"),))
    result = judge_backup(backup, counts_seconds=12 * 3600, now=NOW)
    assert result.status is status
    assert words in result.text
    assert ("proof" in result.values) is (status is ItemStatus.DONE)


def test_judge_backup_without_one_is_open_and_unreadable_is_unknown():
    """There is none, or it cannot be told."""
    assert judge_backup(None, counts_seconds=1, now=NOW).status is ItemStatus.OPEN
    assert judge_backup(NO_METRICS, counts_seconds=1, now=NOW).status is ItemStatus.UNKNOWN


def baseline(observed=1.0, slots=24, **changes):
    """A day; changes apply to each slot."""
    values = {
        "hit_ratio": 0.95,
        "penetration_ratio": 0.01,
        "p95_seconds": 0.2,
        "error_ratio": 0.004,
        "requests": 7200.0,
    }
    start = NOW - DAY
    made = (BaselineSlot(start + number * HOUR, observed, **{**values, **changes}) for number in range(slots))
    return Baseline(NOW, 3600.0, tuple(made))


def gapped(missing):
    """A day of which so many hours were not scraped."""
    day = baseline()
    gap = [BaselineSlot(slot.started_at, 0.0) for slot in day.slots[:missing]]
    return replace(day, slots=(*gap, *day.slots[missing:]))


@pytest.mark.parametrize(
    ("day", "status", "words"),
    [
        (baseline(), ItemStatus.DONE, "100.0 % of 24 h"),
        (gapped(2), ItemStatus.DONE, "not whole: 02:14:07Z (0.0 %), 03:14:07Z (0.0 %)"),
        (gapped(3), ItemStatus.FAILED, "missing: 02:14:07Z (0.0 %), 03:14:07Z (0.0 %), 04:14:07Z (0.0 %)"),
        (gapped(20), ItemStatus.FAILED, "and 14 more"),
        (baseline(observed=0.0), ItemStatus.UNKNOWN, "nothing was observed"),
        (baseline(slots=0), ItemStatus.UNKNOWN, "nothing was observed"),
        (baseline(p95_seconds=None), ItemStatus.UNKNOWN, "never measured: latency p95"),
        (NO_METRICS, ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_baseline_needs_nine_tenths_of_the_day(day, status, words):
    """Hours that nobody scraped are missing, not quiet; the missing ones are named."""
    result = judge_baseline(day)
    assert (result.status, words in result.text) == (status, True), result.text


def test_latest_baseline_is_the_newest_that_can_be_read_and_had_ended_by_then(ledger):
    """One of another version, or edited, is passed over; one after the deployment is of something else."""
    earlier = replace(baseline(), ended_at=NOW - DAY)
    record_baseline(ledger, "production", earlier, who=WHO)
    record_baseline(ledger, "production", gapped(3), who=WHO, release=RELEASE)
    record_baseline(ledger, "staging", baseline(0.5), who=WHO)
    ledger.append(kind=RECORDED, run_id="r", environment="production", operator="x", payload={"baseline": {"slots": 7}})

    assert latest_baseline(ledger, "production") == gapped(3)
    assert latest_baseline(ledger, "production", until=NOW - HOUR) == earlier
    assert latest_baseline(ledger, "production", until=NOW - 2 * DAY) is None
    assert latest_baseline(ledger, "elsewhere") is None
    assert said(ledger.events()[1]) == "baseline recorded, 87.5 % of the day observed"


def test_baseline_is_shown_by_the_hour_and_as_a_figure_with_words():
    """Gaps are gaps; nothing to draw is said."""
    assert "02:14:07Z | 0.0 % | no value" in show_baseline(gapped(1)).text
    assert "hit rate 95.0 % to 95.0 %; latency p95 200 ms to 200 ms; errors 0.4 %" in describe_baseline(gapped(1))
    assert show_baseline_figure(gapped(1), Policy()).png.startswith(b"\x89PNG")
    assert "nothing was observed" in show_baseline_figure(baseline(0.0), Policy()).text
    assert "connection refused" in show_baseline(NO_METRICS).text


# During


@pytest.mark.parametrize(
    ("state", "before", "status", "words"),
    [
        (health(version="2.0"), "1.0", ItemStatus.DONE, "version 2.0, before it was 1.0"),
        (health(version="2.0"), None, ItemStatus.DONE, "not noted before the deployment"),
        (health(version="2.0"), "2.0", ItemStatus.OPEN, "as it was before the deployment"),
        (health(version=RELEASE), RELEASE, ItemStatus.DONE, f"version {RELEASE}"),
        (health(version=""), "1.0", ItemStatus.DONE, "names no version"),
        (health(status="degraded", version="2.0"), "1.0", ItemStatus.DONE, "answers 200, degraded"),
        (health(status=HOSTILE, version="2.0"), "1.0", ItemStatus.FAILED, "answers 200"),
        (health(http_status=503, status="down"), "1.0", ItemStatus.FAILED, "answers 503, down"),
        (NO_METRICS, "1.0", ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_answers_needs_a_healthy_site_with_another_version(state, before, status, words):
    """A deployment that did not take effect looks healthy."""
    result = judge_answers(state, release=RELEASE, version_before=before)
    assert (result.status, words in result.text) == (status, True), result.text


def suite_of(**changes):
    """A run of 12 tests that passed."""
    return replace(TestRun(0, 12, 0, 1, 3.4, ("OK",), "", (), FROM), **changes)


@pytest.mark.parametrize(
    ("run", "status", "words"),
    [
        (suite_of(), ItemStatus.DONE, "12 tests passed, 1 skipped in 3.4 s"),
        (suite_of(labels=("a.b",)), ItemStatus.DONE, "(a.b only)"),
        (suite_of(exit_code=1, failures_count=2), ItemStatus.FAILED, "exit code 1, 12 tests in 3.4 s: 2 failures"),
        (suite_of(failures_count=2), ItemStatus.FAILED, "exit code 0, 12 tests"),
        (suite_of(ran_count=0), ItemStatus.FAILED, "none passed"),
        (suite_of(exit_code=255, ran_count=None, failures_count=None), ItemStatus.FAILED, "no count of tests"),
        (suite_of(ran_count=None, failures_count=None), ItemStatus.UNKNOWN, "no count of tests"),
        (suite_of(exit_code=None, ended="it took over 15 min"), ItemStatus.UNKNOWN, "it took over 15 min"),
        (NO_METRICS, ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_tests_needs_an_exit_code_of_0_and_a_test(run, status, words):
    """No test at all is no proof; neither is a runner that says nothing."""
    result = judge_tests(run)
    assert (result.status, words in result.text) == (status, True), result.text


def contract(**changes):
    """Metrics as they must be, but for one: ``name=MetricState fields``."""
    states = []
    for expected in SITE_METRICS:
        growth = None if expected.kind == "gauge" else 40.0
        state = MetricState(expected, 3, declared=True, growth=growth)
        states.append(replace(state, **changes.get(expected.name, {})))
    return MetricsContract(tuple(states), 5.0, ("http://site/metrics",), (), (), (), FROM)


@pytest.mark.parametrize(
    ("metric", "change", "status", "words"),
    [
        ("cache_requests_total", {}, ItemStatus.DONE, "12 metrics of 1 process as they must be, 3 of them seen moving"),
        ("cache_requests_total", {"growth": 0.0}, ItemStatus.FAILED, "cache_requests_total did not move in 5.0 s"),
        ("cache_requests_total", {"growth": None}, ItemStatus.UNKNOWN, "could not be told"),
        ("cache_hit_rate", {"series_count": 0, "declared": False}, ItemStatus.FAILED, "cache_hit_rate missing"),
        ("throttled_requests_total", {"series_count": 0}, ItemStatus.DONE, "as they must be"),
        ("cache_requests_total", {"series_count": 0}, ItemStatus.FAILED, "is there traffic?"),
        (
            "http_requests_total",
            {"series_count": 0, "declared": False},
            ItemStatus.UNKNOWN,
            "cohorts cannot be compared",
        ),
        ("http_requests_total", {"missing_labels": ("cohort",)}, ItemStatus.FAILED, "without label cohort"),
        ("cache_hit_rate", {"out_of_range_count": 2}, ItemStatus.FAILED, "2 values out of range"),
        ("cache_hit_rate", {"not_finite_count": 1}, ItemStatus.FAILED, "1 value NaN or infinite"),
        ("cache_requests_total", {"other_values": ('status="' + HOSTILE,)}, ItemStatus.FAILED, "with status="),
        ("http_request_duration_seconds", {"missing_edges": (1.0,)}, ItemStatus.FAILED, "without the buckets 1"),
        ("cache_requests_total", {"backwards_count": 1}, ItemStatus.FAILED, "1 series fell"),
        ("cache_hit_rate", {"other_kinds": ("counter",)}, ItemStatus.FAILED, "declared as counter, not as gauge"),
    ],
)
def test_judge_metrics_needs_every_metric_present_labelled_and_moving(metric, change, status, words):
    """One that is missing, unlabelled, stuck or impossible is named."""
    result = judge_metrics(contract(**{metric: change}))
    assert (result.status, words in result.text) == (status, True), result.text


def test_judge_metrics_with_a_process_unread_or_one_worker_of_several_is_not_done():
    """What could not be read may hide what is wrong."""
    assert judge_metrics(replace(contract(), unread=(NO_METRICS,))).status is ItemStatus.UNKNOWN
    assert judge_metrics(replace(contract(), alternating=("http://x",))).status is ItemStatus.FAILED
    assert judge_metrics(NO_METRICS).status is ItemStatus.UNKNOWN


# After


def watch(ago=2 * HOUR, errors=20.0, total=7200.0, observed=1.0, day=None, **changes):
    """An hour after a deployment, with 0.28 % errors where there were 0.4 % before."""
    found = Watch(
        NOW - ago, NOW, 3600.0, requests(total=total, errors=errors), observed, baseline() if day is None else day
    )
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("hour", "status", "words"),
    [
        (
            watch(),
            ItemStatus.DONE,
            "0.3 % of 7,200 requests failed (0.4 % in the same hours before); 100.0 % of the hour",
        ),
        (watch(ago=HOUR / 2), ItemStatus.OPEN, "so far; 30 min of 1 h have passed"),
        (watch(errors=70.0), ItemStatus.FAILED, "more than before explains"),
        (watch(ago=HOUR / 4, errors=70.0), ItemStatus.FAILED, "15 min of 1 h have passed"),
        (watch(errors=400.0), ItemStatus.FAILED, "5.6 %"),
        (watch(errors=38.0), ItemStatus.DONE, "0.5 %"),
        (watch(observed=0.5), ItemStatus.UNKNOWN, "only 50.0 % of the hour observed"),
        (watch(total=20.0, errors=1.0), ItemStatus.UNKNOWN, "5.0 % of 20 requests"),
        (watch(total=0.0, errors=0.0), ItemStatus.UNKNOWN, "no value of 0 requests"),
        (watch(baseline=None), ItemStatus.UNKNOWN, "nothing to compare with"),
        (watch(baseline=None, errors=100.0), ItemStatus.FAILED, "1.4 %"),
        (watch(day=baseline(error_ratio=0.0)), ItemStatus.FAILED, "0.0 % in the same hours before"),
        (watch(day=baseline(error_ratio=None)), ItemStatus.UNKNOWN, "no baseline of these hours"),
        (watch(errors=None), ItemStatus.UNKNOWN, "errors are not known"),
        (watch(deployed_at=None), ItemStatus.OPEN, "nobody said when"),
        (
            watch(ago=timedelta(seconds=2), requests=None),
            ItemStatus.OPEN,
            "too early for a number: 2 s of 1 h have passed",
        ),
        (watch(requests=NO_METRICS), ItemStatus.UNKNOWN, "connection refused"),
        (watch(observed_ratio=NO_METRICS), ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_errors_compares_an_observed_hour_with_the_same_hours_before(hour, status, words):
    """Too many are told at once; none only when the hour has passed and was seen."""
    result = judge_errors(hour, Policy())
    assert (result.status, words in result.text) == (status, True), result.text


def test_judge_errors_before_the_hour_is_over_says_when_to_come_back():
    """It does not wait, and is not done."""
    assert judge_errors(watch(ago=HOUR / 2), Policy()).hint == "come back at 2026-11-22 02:44:07Z"


@pytest.mark.parametrize(
    ("count", "expected", "probability"),
    [
        (0, 5.0, 1.0),
        (1, 0.01, 0.00995017),
        (5, 5.0, 0.5595067),
        (10, 2.0, 4.6498e-05),
        (20, 10.0, 0.0034543),
        (3, 0.5, 0.0143877),
    ],
)
def test_poisson_tail_is_that_of_the_tables(count, expected, probability):
    """P(X >= count), by published tables of the Poisson distribution."""
    assert poisson_tail(count, expected) == pytest.approx(probability, rel=0.05)


@given(st.integers(0, 5000), st.floats(0.001, 5000))
def test_poisson_tail_is_a_probability_that_falls_with_the_count(count, expected):
    """Also far out, where a difference from 1 would be lost in rounding."""
    here, further = poisson_tail(count, expected), poisson_tail(count + 1, expected)
    assert -1e-9 <= further <= here + 1e-9 <= 1 + 2e-9


STORE = Warming((WarmingType("startup", 100, 3, 0, 30.0, NOW - HOUR / 2),), (), FROM)
LONG = Warming((WarmingType("startup", 100, 3, 0, 900.0, NOW - HOUR / 2),), (), FROM)
BEFORE = Warming((WarmingType("startup", 100, 3, 0, 30.0, NOW - DAY),), (), FROM)
RUNNING = replace(BEFORE, locks=(WarmingLock("cache_warming_lock:startup:all", 500.0),))


def startup(success=1.0, error=0.0, mean=45.0, over=30.0):
    """Startup runs by the metrics."""
    return warming(
        tasks={"startup": {"success": success, "error": error}},
        mean_duration_seconds={"startup": mean},
        slowest_over_seconds={"startup": over},
    )


@pytest.mark.parametrize(
    ("activity", "store", "status", "words"),
    [
        (startup(), STORE, ItemStatus.DONE, "took 45 s on average, the slowest over 30 s"),
        (
            startup(mean=200.0, over=120.0),
            STORE,
            ItemStatus.DONE,
            "critical for other warming over 2 min",
        ),
        (startup(mean=70.0, over=60.0), STORE, ItemStatus.DONE, "warning for other warming over 60 s"),
        (startup(mean=310.0, over=300.0), STORE, ItemStatus.FAILED, "over 5 min"),
        (startup(success=0.0, error=2.0), BEFORE, ItemStatus.FAILED, "2 startup runs failed, none succeeded"),
        (startup(success=0.0), BEFORE, ItemStatus.FAILED, "did not run in the 1 h since the deployment"),
        (startup(success=0.0), RUNNING, ItemStatus.OPEN, "is running (cache_warming_lock:startup:all)"),
        (startup(mean=None, over=None), STORE, ItemStatus.DONE, "took at most 30 s: all its runs"),
        (NO_METRICS, STORE, ItemStatus.DONE, "took at most 30 s: all its runs"),
        (NO_METRICS, LONG, ItemStatus.UNKNOWN, "how long it took is not known"),
        (NO_METRICS, BEFORE, ItemStatus.UNKNOWN, "connection refused"),
        (startup(success=0.98), NO_METRICS, ItemStatus.DONE, "took 45 s"),
    ],
)
def test_judge_startup_warming_needs_a_run_after_the_deployment(activity, store, status, words):
    """Two accounts, the metrics and Redis; the guide's 3 to 5 minutes hold for startup."""
    result = judge_startup_warming(activity, store, Policy(), deployed_at=NOW - HOUR, now=NOW)
    assert (result.status, words in result.text) == (status, True), result.text


def test_judge_startup_warming_a_moment_after_the_deployment_is_open():
    """It may still begin."""
    result = judge_startup_warming(
        startup(success=0.0), BEFORE, Policy(), deployed_at=NOW - timedelta(seconds=30), now=NOW
    )
    assert (result.status, result.hint) == (ItemStatus.OPEN, "come back in 5 min")
    assert judge_startup_warming(startup(), STORE, Policy(), deployed_at=None, now=NOW).status is ItemStatus.OPEN


GOOD = {
    "x-cache": "HIT",
    "cache-control": "max-age=60",
    "age": "3",
    "x-ratelimit-limit": "100",
    "x-ratelimit-remaining": "7",
}


def probes(*headers, http_status=200):
    """Second answers of some routes."""
    made = (Probe(f"/api/{number}/", http_status, one, 0.01, FROM) for number, one in enumerate(headers))
    return RouteProbes(tuple(made), (), "as given")


def without(name):
    """Good headers but for one."""
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("routes", "limiting", "status", "words"),
    [
        (probes(GOOD, GOOD), True, ItemStatus.DONE, "2 routes with all headers, 2 throttled: /api/0/, /api/1/"),
        (probes({**without("age"), "x-cache": "MISS"}), True, ItemStatus.DONE, "1 route"),
        (probes(without("x-cache")), True, ItemStatus.FAILED, "/api/0/: no X-Cache"),
        (probes({**GOOD, "x-cache": HOSTILE}), True, ItemStatus.FAILED, "X-Cache is <IMG"),
        (probes(without("cache-control")), True, ItemStatus.FAILED, "no Cache-Control"),
        (probes(without("age")), True, ItemStatus.FAILED, "no Age on a HIT"),
        (probes(without("x-ratelimit-remaining")), True, ItemStatus.FAILED, "no X-RateLimit-Remaining"),
        (probes(without("x-ratelimit-limit")), True, ItemStatus.FAILED, "RATE_LIMITING is on, and no route"),
        (probes(without("x-ratelimit-limit")), False, ItemStatus.DONE, "none throttled"),
        (probes(GOOD, http_status=500), True, ItemStatus.FAILED, "answered 500"),
        (probes(), True, ItemStatus.UNKNOWN, "no route could be asked: as given"),
        (replace(probes(GOOD), unread=(NO_METRICS,)), True, ItemStatus.UNKNOWN, "connection refused"),
        (replace(probes(), unread=(NO_METRICS,)), True, ItemStatus.UNKNOWN, "connection refused"),
    ],
)
def test_judge_headers_needs_all_of_them_on_every_route(routes, limiting, status, words):
    """X-Cache, Cache-Control, Age where it was cached, limits where it is throttled."""
    result = judge_headers(routes, rate_limiting=limiting)
    assert (result.status, words in result.text) == (status, True), result.text


def test_routes_by_endpoints_follow_the_custom_and_nothing_else():
    """What strangers call an endpoint leads nowhere."""
    names = [
        "course-list",
        "course-detail",
        "category-list",
        "key-list",
        "course-chapters",
        HOSTILE,
        "../x-list",
        "course-list",
    ]
    assert routes_by_endpoints(names) == ("/api/courses/", "/api/courses/1/", "/api/categories/", "/api/keys/")


@pytest.mark.parametrize(
    "text", ["api/x", "//evil.example/", "/\\evil", "http://x/", "/a\x00", ",".join(f"/{n}" for n in range(9))]
)
def test_routes_of_refuse_what_is_no_path_of_the_site(text):
    """Nothing is asked of another host."""
    with pytest.raises(UsageError):
        routes_of(text)


@pytest.mark.parametrize(
    "text", ["a;id", "--settings=evil", "a b $(id)", "../x", "a..b", "a'", " ".join("abcdefghijklmnopqrstu")]
)
def test_labels_of_refuse_what_a_shell_on_the_way_could_read(text):
    """ssh hands the words to a shell of the other side."""
    with pytest.raises(UsageError):
        labels_of(text)
    assert labels_of("learning.tests, common.tests.test_lookup") == ("learning.tests", "common.tests.test_lookup")
