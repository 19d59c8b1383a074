"""A backup of everything that is in Redis, with proof that it can be restored."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.backup.choice import Choice, choose
from runbooks_lib.actions.backup.folder import made_in, newest_since, resolved, unfinished_in
from runbooks_lib.actions.backup.guards import guards_for, misconf_risk
from runbooks_lib.actions.backup.making import make_backup
from runbooks_lib.actions.backup.manifest import FILE_NAME, read_manifest
from runbooks_lib.actions.backup.proof import prove_file
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import RefusedError, SourceError, UsageError
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.rdb.file import shown_path
from runbooks_lib.sources.redis.programs import how_to_get, missing

METHODS = ("auto", "bgsave", "replication")
#: A fork stopped the server for 28 ms for each GB in use, measured.
_FORK_SECONDS_PER_BYTE = 0.028 / 1e9
_EXPIRY_NOTE = (
    "{share} of the keys have a TTL{mean}. A primary drops expired keys while it loads, so an old backup of a cache "
    "loads nearly empty, and a fresh one serves old answers. To roll a cache back: switch features off and warm it. "
    "What this backup is good for: sessions, counters, flags, and to look at what there was"
)
_REPLICATION_NOTE = (
    "{node} takes the dump for a new replica: it forks, counts a full resync, shows one more connected replica for as "
    "long, and waits repl-diskless-sync-delay (5 s by default) before it begins"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUp:
    """Save every primary's data into a folder here, and prove that it can be restored.

    Args:
        method: ``bgsave`` (the server saves, its file is copied), ``replication`` (a dump over the network), or
            ``auto``: the first where the file is within reach and allowed, else the second.
        folder: where backups are kept; empty for the environment's ``backups``. Relative to ``runbooks.toml``.
    """

    name: ClassVar[str] = "back_up"
    method: Literal["auto", "bgsave", "replication"] = "auto"
    folder: str = ""

    def __post_init__(self) -> None:
        """Raises ``UsageError`` for an unknown method or what can be no folder."""
        if self.method not in METHODS:
            raise UsageError(f"method is {str(self.method)[:40]!r}", hint=f"choose one of: {', '.join(METHODS)}")
        if not self.folder.isprintable() and self.folder:
            raise UsageError(
                f"folder holds control characters: {one_line(self.folder, longest=80)!r}",
                hint="give the path of a folder",
            )
        if self.folder.startswith("~"):
            raise UsageError(
                f"folder begins with ~: {self.folder[:80]!r}", hint="write your home folder's path in full"
            )

    def resources(self) -> tuple[str, ...]:
        """One backup at a time: each fork costs memory."""
        return ("redis:backup",)

    def plan(self, site: Site) -> Plan:
        """How each primary's data would be had, what that costs it, and what stands against it."""
        read_at = units.now()
        choices = [choose(node, self.method) for node in site.nodes]
        folder = resolved(self.folder, site.environment)
        return Plan(
            action=self.name,
            title=f"back up {site.nodes.shown.rpartition('/')[0]} (all databases) and prove it",
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=site.nodes.shown,
            intent={"method": self.method, "folder": self.folder},
            rests_on={"folder": str(folder), **{choice.node.shown: _rests_on(choice) for choice in choices}},
            resources=self.resources(),
            before=(Evidence("newest backup", _newest(folder, site.environment.name), str(folder)),),
            after=tuple(Evidence(choice.node.shown, _after(choice)) for choice in choices),
            blast_radius=tuple(_cost(choice) for choice in choices),
            spared=(Evidence("data and settings", "not changed: a backup reads"),),
            irreversible="there is nothing to put back: the data is not changed; to undo a backup, delete its folder",
            guards=guards_for(choices, folder),
            offers=(_look_into("FOLDER"),),
            notes=(*_notes(choices), *_left_behind(folder, site.environment.name)),
            read_at=read_at,
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """Save, copy, write the manifest. Whatever goes wrong, no half backup is left behind."""
        choices = [choose(node, self.method) for node in site.nodes]
        for choice in choices:
            if choice.method != plan.rests_on[choice.node.shown]["method"]:
                raise RefusedError(
                    f"the way to the data of {choice.node.shown} is another one now: {choice.method}, {choice.why}",
                    hint="plan it again",
                )
        return make_backup(plan, site, choices, resolved(self.folder, site.environment))

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """Prove the files anew, from the disk: checksum, redis-check-rdb, load, counts, sampled values."""
        if written.get("stopped"):
            return _stopped(Path(str(written["folder"])))
        lacking = missing("redis-server", "redis-check-rdb")
        if lacking:
            raise SourceError(f"{lacking[0]} is not installed here", source="redis", hint=how_to_get(lacking[0]))
        made = str(written.get("folder", ""))
        folder = Path(made) if made else newest_since(resolved(self.folder, site.environment), plan)
        if folder is None:
            return ReadBack(confirmed=False, detail=f"there is no backup of this plan in {plan.rests_on['folder']}")
        return proved(folder)


def proved(folder: Path) -> ReadBack:
    """Is the backup in this folder what it should be?"""
    try:
        manifest = read_manifest(folder / FILE_NAME)
    except SourceError as error:
        return ReadBack(confirmed=False, detail=error.message)
    proofs = [prove_file(folder, entry) for entry in manifest.files]
    evidence = tuple(line for proof in proofs for line in proof.evidence)
    problems = [f"{proof.entry.file}: {problem}" for proof in proofs for problem in proof.problems]
    if problems:
        return ReadBack(confirmed=False, evidence=evidence, detail="; ".join(problems))
    keys = sum(proof.check.keys_count for proof in proofs if proof.check)
    equal, sampled = sum(p.sampled.equal for p in proofs), sum(len(p.entry.moment.sample) for p in proofs)
    detail = f"{units.things(len(proofs), 'file')} in {shown_path(folder)}, proved: {units.things(keys, 'key')}, "
    detail += f"{equal:,} of {sampled:,} sampled values equal"
    return ReadBack(True, evidence, detail, offers=(_look_into(str(folder)),))


def _look_into(folder: str) -> NextStep:
    command = shlex.join(["runbooks", "restore", folder])
    return NextStep("Look into the backup on a server of your own, away from the site", command)


def _stopped(folder: Path) -> ReadBack:
    gone = not folder.exists()
    return ReadBack(
        confirmed=gone, detail="" if gone else f"{shown_path(folder)} was not removed: {folder} can be deleted"
    )


def _left_behind(folder: Path, environment: str) -> list[str]:
    return [
        f"{shown_path(path)} is being made right now, or its maker was killed: then it can be deleted"
        for path in unfinished_in(folder, environment)
    ]


def _rests_on(choice: Choice) -> Mapping[str, Any]:
    rules = choice.facts.rules
    return {
        "method": choice.method,
        "dir": rules.folder,
        "dbfilename": rules.file_name,
        "save": rules.save_points,
        "stop-writes-on-bgsave-error": rules.stop_writes,
    }


def _newest(folder: Path, environment: str) -> str:
    made = made_in(folder, environment)
    return f"{units.things(len(made), 'backup')}, the newest is {made[-1].name}" if made else "none"


def _after(choice: Choice) -> str:
    if choice.method is None:
        return "no way to its data"
    return f"{units.things(choice.facts.state.keys_count, 'key')} in one file, by {choice.method} ({choice.why})"


def _cost(choice: Choice) -> Evidence:
    """What the server will feel: the fork, memory, its disk."""
    facts = choice.facts
    pause = max(facts.fork_seconds, facts.used_memory_bytes * _FORK_SECONDS_PER_BYTE)
    took = (
        f"{units.duration(facts.state.last_took_seconds)} last time" if facts.state.last_took_seconds else "not known"
    )
    return Evidence(
        choice.node.shown,
        f"stops for about {units.seconds(pause)} to fork {units.size(facts.used_memory_bytes)}; the save took {took}; "
        f"databases {', '.join(f'{n}: {keys:,}' for n, keys in facts.state.databases.items()) or 'all empty'}",
    )


def _notes(choices: list[Choice]) -> list[str]:
    notes = ["the files hold everything in every database, personal data too: mode 0600, in a folder with mode 0700"]
    for choice in choices:
        facts, shown = choice.facts, choice.node.shown
        notes += [risk] if choice.method == "bgsave" and (risk := misconf_risk(choice)) else []
        notes += [_REPLICATION_NOTE.format(node=shown)] if choice.method == "replication" else []
        notes += [f"the last save of {shown} failed: look into its log first"] if not facts.state.last_ok else []
        notes += [f"a save is running on {shown}: it is waited for first"] if facts.state.running else []
        notes += [f"{shown} is a replica: its data may lag behind"] if facts.role == "slave" else []
        if not choice.place.same_machine:
            notes.append(f"memory for copy on write and disk on the machine of {shown} cannot be seen from here")
    keys = sum(choice.facts.state.keys_count for choice in choices)
    expiring = sum(choice.facts.expiring_count for choice in choices)
    if not keys:
        notes.append("there is no key in it: was it restarted, or is this the wrong server?")
    if keys and expiring:
        means = [choice.facts.mean_ttl_seconds for choice in choices if choice.facts.mean_ttl_seconds]
        mean = f" (on average {units.duration(sum(means) / len(means))} left)" if means else ""
        notes.append(_EXPIRY_NOTE.format(share=units.percent(expiring / keys), mean=mean))
    return notes
