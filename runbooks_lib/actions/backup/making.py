"""Making the files of a backup: one for each primary, then the manifest, then the final name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import runbooks_lib
from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.backup.bgsave import Saver, patience_seconds
from runbooks_lib.actions.backup.choice import Choice
from runbooks_lib.actions.backup.folder import begin, file_name, finish
from runbooks_lib.actions.backup.fork_moment import ForkMoment
from runbooks_lib.actions.backup.manifest import BackupFile, Manifest, write_manifest
from runbooks_lib.actions.backup.replication_dump import FEED_DELAY_SECONDS, Dump
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import WritableSite
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.sources.rdb.file import copy_private, sha256_of
from runbooks_lib.sources.rdb.persistence import save_state, server_seconds
from runbooks_lib.sources.rdb.save_place import mark_of
from runbooks_lib.sources.redis.nodes import ReadNode


def make_backup(plan: Plan, site: WritableSite, choices: Sequence[Choice], folder: Path) -> Written:
    """Every primary's file and the manifest, in a folder of their own below ``folder``; or nothing at all.

    Raises:
        RefusedError: the first primary did not let it begin: nothing was changed.
        MayHaveChangedError: a save failed or could not be followed, or the files could not be written.
    """
    unfinished = begin(folder, plan.environment)
    files: list[BackupFile] = []
    try:
        for choice in choices:
            files.append(_one(site, choice, unfinished / file_name(choice.node.shown, len(files))))
        made = _manifest(plan, files)
        write_manifest(made, unfinished)
        finished = finish(unfinished)
    except KeyboardInterrupt:
        shutil.rmtree(unfinished)
        return _interrupted(choices, len(files), unfinished)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise MayHaveChangedError(
            f"the backup could not be written to {folder}: {error}",
            hint="the site's data is not touched; free disk space or choose another folder, then back up again",
        ) from error
    except (RefusedError, SourceError) as error:  # a source that fails after a save began is told as MayHaveChanged
        shutil.rmtree(unfinished, ignore_errors=True)
        if files:
            raise MayHaveChangedError(
                f"{error.message}; {len(files)} of {len(choices)} primaries had saved before, and nothing was kept",
                hint=error.hint,
            ) from error
        raise RefusedError(error.message, hint=error.hint) from error
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    account = tuple(
        Evidence(entry.file, f"{units.size(entry.size_bytes)} by {entry.method}", entry.node) for entry in files
    )
    return Written((Evidence("backup", str(finished)), *account), {"folder": str(finished), "files": len(files)})


def _one(site: WritableSite, choice: Choice, target: Path) -> BackupFile:
    node, facts = choice.node, choice.facts
    started = server_seconds(node)
    moment = ForkMoment(node, save_state(node))
    if choice.method == "replication":
        patience = patience_seconds(facts) + FEED_DELAY_SECONDS
        Dump(node, target, patience, site.progress).run(moment)
        sha256 = sha256_of(target)
    elif choice.method == "bgsave":
        sha256 = _saved(site, choice, moment, target)
    else:
        raise RefusedError(f"there is no way to the data of {node.shown}: {choice.why}", hint=choice.hint)
    return BackupFile(
        file=target.name,
        node=node.shown,
        method=choice.method,
        sha256=sha256,
        size_bytes=target.stat().st_size,
        redis_version=facts.version,
        started_at_seconds=started,
        ended_at_seconds=_ended_seconds(node),
        moment=moment.result,
    )


def _ended_seconds(node: ReadNode) -> int:
    try:
        return server_seconds(node)
    except SourceError as error:
        raise MayHaveChangedError(
            f"{node.shown} went away after it had saved: {error.message}", hint=error.hint
        ) from error


def _saved(site: WritableSite, choice: Choice, moment: ForkMoment, target: Path) -> str:
    """Let the server save, and copy what it saved."""
    file = choice.place.file
    if file is None:
        raise RefusedError(f"{choice.node.shown} does not say where it saves", hint=choice.hint)
    before = mark_of(file)
    patience, rules = patience_seconds(choice.facts), choice.facts.rules
    Saver(choice.node, site.writer(choice.node), rules, patience, site.progress).save(moment)
    if mark_of(file) in (None, before):
        raise MayHaveChangedError(
            f"{choice.node.shown} saved, and {file} is still the file of before: it is not that server's",
            hint="is it another machine's folder (a container, a tunnel)? use method=replication",
        )
    return copy_private(file, target)


def _manifest(plan: Plan, files: Sequence[BackupFile]) -> Manifest:
    return Manifest(
        environment=plan.environment,
        redis=plan.scope,
        made_at=units.now().isoformat(),
        plan_digest=plan.full_digest,
        made_by=f"runbooks_lib {runbooks_lib.__version__}",
        files=tuple(files),
    )


def _interrupted(choices: Sequence[Choice], done: int, unfinished: Path) -> Written:
    """What goes on without us: a save, once begun, is the server's own."""
    shown = choices[min(done, len(choices) - 1)].node.shown
    account = (
        Evidence("files kept", "none: a backup is whole or not there"),
        Evidence(
            "on the servers",
            f"{done} of {len(choices)} primaries had saved; one that had begun on {shown} goes on by itself",
        ),
    )
    stopped = f"interrupted while {shown} was being backed up; no file was kept"
    return Written(account, {"folder": str(unfinished), "stopped": True}, stopped=stopped)
