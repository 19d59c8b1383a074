"""What may this user do on this Redis, and what to ask for? Nothing is changed to find out.

The server is asked with ACL DRYRUN (Redis 7 and later), else the user's rules are read with ACL GETUSER, else reading
commands are tried and the others stay unknown. A command that the server does not offer at all (a managed service,
``rename-command``) is told apart from one that the ACL refuses: no rule brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from redis import exceptions

from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.needs import ALL, Need, Purpose
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.replies import Info, text_of, version_of

HEADINGS = ("command", "used for", "for this user", "without it")
_MANAGED = (
    "the server does not offer {commands}: a managed service keeps them to itself, or they were renamed; no ACL brings "
    "them back, the table says what to do instead"
)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do on one primary.

    Attributes:
        user: as the server names it; empty when it does not say.
        version: ``redis_version``; empty when it does not say.
        allowed: these work.
        denied: the ACL refuses these.
        missing: the server does not offer these to anybody.
        unknown: this could not be told without a change.
        note: how it was found out, and how far that goes.
    """

    user: str
    version: str
    allowed: tuple[Need, ...]
    denied: tuple[Need, ...]
    missing: tuple[Need, ...]
    unknown: tuple[Need, ...]
    note: str

    def lacks(self, purpose: Purpose) -> tuple[Need, ...]:
        """What is not allowed or not offered, of the commands for one purpose."""
        return tuple(need for need in (*self.denied, *self.missing) if need.purpose == purpose)

    def rows(self) -> tuple[tuple[str, str, str, str], ...]:
        """A table with ``HEADINGS``: what is missing first, then what is not known, then what is allowed."""
        parts = {
            "not offered by this server": self.missing,
            "not allowed": self.denied,
            "shows when it is tried": self.unknown,
            "allowed": self.allowed,
        }
        return tuple(
            (
                need.command.upper().replace("|", " "),
                need.used_for,
                verdict,
                "" if verdict == "allowed" else need.instead,
            )
            for verdict, needs in parts.items()
            for need in needs
        )


def rights(node: ReadNode, needs: Sequence[Need] = ALL) -> Rights:
    """Which of these commands may the user of ``redis_url`` send to this primary?

    Args:
        node: a primary; users are each server's own, so ask each primary of a cluster.
        needs: commands, from ``needs``. Left out are those for a cluster where the server is no part of one, and
            those that a later version brought.

    Raises:
        SourceError: the server cannot be reached, or does not let this user in.

    Source:
        ACL WHOAMI; ACL DRYRUN, or ACL GETUSER, or the reading commands themselves.
    """
    version, wanted = _known_here(node, needs)
    found = _ask_for(node, wanted)
    return replace(found, version=version)


def _ask_for(node: ReadNode, wanted: Sequence[Need]) -> Rights:
    """The rights as they can be told best."""
    try:
        user = text_of(node.ask("ACL", "WHOAMI"))
    except SourceError as error:
        if error.kind is Kind.ABSENT or not isinstance(error.__cause__, exceptions.ResponseError):
            raise
        return _tried(node, wanted, "")
    verdicts = _dry_run(node, user, wanted)
    if verdicts is not None:
        return _sorted(user, verdicts, f"asked for user {_shown(user)} (ACL DRYRUN)")
    rules = _rules_of(node, user)
    if rules is not None:
        note = f"read from the rules of user {_shown(user)} (ACL GETUSER), without those about keys"
        return _sorted(user, [(need, _by_rules(rules, need.command)) for need in wanted], note)
    return _tried(node, wanted, user)


def acl_rules(purposes: Iterable[Purpose], *, version: str) -> tuple[str, ...]:
    """The rules of a user who may do just this, for ``ACL SETUSER``.

    Args:
        purposes: ``read`` for looking, ``read`` and ``act`` for changes, ``cluster`` in addition on a cluster.
        version: ``redis_version``: an older server refuses a whole rule set for one command that it does not know.
    """
    wanted = set(purposes)
    known = version_of(version)
    commands = dict.fromkeys(need.command for need in ALL if need.purpose in wanted and need.since <= known)
    # Never +@connection: it holds CLIENT KILL and CLIENT PAUSE. ~* because SCAN shows every name anyway.
    return ("~*", "-@all", *(f"+{command}" for command in commands))


def setuser(user: str, purposes: Iterable[Purpose], *, version: str) -> str:
    """The command that makes such a user; the password is left to be filled in."""
    return f"ACL SETUSER {user} on >PASSWORD {' '.join(acl_rules(purposes, version=version))}"


def advice(found: Rights, purposes: Iterable[Purpose]) -> tuple[str, ...]:
    """What to ask an administrator for; nothing when these purposes are served.

    Args:
        found: by ``rights``.
        purposes: what the user shall be able to do.
    """
    wanted = tuple(purposes)
    denied = [need.command for need in found.denied if need.purpose in wanted]
    missing = [need.command for need in found.missing if need.purpose in wanted]
    lines = []
    if missing:
        lines.append(_MANAGED.format(commands=", ".join(command.upper().replace("|", " ") for command in missing)))
    if denied:
        name = found.user if found.user.isidentifier() else "NAME"
        lines.append(f"the ACL refuses some: ACL SETUSER {name} {' '.join(f'+{command}' for command in denied)}")
        lines.append(f"or a user for the runbooks alone: {setuser('runbooks', wanted, version=found.version)}")
    return tuple(lines)


def _known_here(node: ReadNode, needs: Sequence[Need]) -> tuple[str, tuple[Need, ...]]:
    """The version, and the commands that such a server can know; all of them where INFO is not allowed."""
    try:
        info = Info(node.ask("INFO"))
    except SourceError as error:
        if not isinstance(error.__cause__, exceptions.ResponseError):
            raise
        return "", tuple(needs)
    version, part_of_cluster = info.text("redis_version"), info.text("cluster_enabled") == "1"
    known = version_of(version)
    return version, tuple(
        need for need in needs if need.since <= known and (part_of_cluster or need.purpose != "cluster")
    )


def _dry_run(node: ReadNode, user: str, needs: Sequence[Need]) -> list[tuple[Need, str]] | None:
    """A verdict for each; None where the server or the ACL does not answer DRYRUN."""
    replies = node.ask_many([("ACL", "DRYRUN", user, *need.example) for need in needs])
    if any(_not_told(reply) for reply in replies):
        return None
    return [(need, _dry_run_verdict(reply)) for need, reply in zip(needs, replies, strict=True)]


def _not_told(reply: object) -> bool:
    """DRYRUN itself is refused, unknown, or not offered."""
    return isinstance(reply, exceptions.NoPermissionError) or (
        isinstance(reply, exceptions.ResponseError)
        and any(text in str(reply).lower() for text in ("unknown subcommand", "unknown command 'acl", "try acl help"))
    )


def _dry_run_verdict(reply: object) -> str:
    if reply == b"OK":
        return "allowed"
    if isinstance(reply, exceptions.ResponseError):
        return "missing" if "not found" in str(reply) else "unknown"
    return "denied" if isinstance(reply, bytes) else "unknown"


def _rules_of(node: ReadNode, user: str) -> list[str] | None:
    """The rules about commands, in the order in which they apply; None where they may not be read."""
    try:
        reply = node.ask("ACL", "GETUSER", user)
    except SourceError as error:
        if not isinstance(error.__cause__, exceptions.ResponseError):
            raise
        return None
    if not isinstance(reply, list):
        return None
    fields = dict(zip((text_of(name) for name in reply[::2]), reply[1::2], strict=False))
    commands = fields.get("commands")
    return commands.decode("utf-8", "backslashreplace").split() if isinstance(commands, bytes) else None


def _by_rules(rules: Sequence[str], command: str) -> str:
    """What the last rule that is about the command says; a category may or may not hold it."""
    verdict = "denied"
    for rule in rules:
        sign, name = rule[:1], rule[1:].lower()
        if name in ("@all", command, command.partition("|")[0]):
            verdict = "allowed" if sign == "+" else "denied"
        elif name.startswith("@"):
            verdict = verdict if _changes_nothing(verdict, sign) else "unknown"
    return verdict


def _changes_nothing(verdict: str, sign: str) -> bool:
    """A category that is added cannot take away, and one that is taken away cannot add."""
    return (verdict, sign) in (("allowed", "+"), ("denied", "-"))


def _tried(node: ReadNode, needs: Sequence[Need], user: str) -> Rights:
    verdicts = [(need, _try(node, need)) for need in needs]
    note = "the server does not tell this user's rights: what only reads was tried; the rest shows when it is tried"
    return _sorted(user, verdicts, note)


def _try(node: ReadNode, need: Need) -> str:
    """Send the example of a command that only reads; it looks at one key that does not exist."""
    if need.purpose not in ("read", "cluster"):
        return "unknown"
    try:
        node.ask(*need.example)
    except RefusedError:
        return "unknown"
    except SourceError as error:
        cause = error.__cause__
        if isinstance(cause, exceptions.NoPermissionError):
            return "denied"
        if not isinstance(cause, exceptions.ResponseError):
            raise
        return "missing" if "unknown command" in str(cause).lower() else "allowed"
    return "allowed"


def _sorted(user: str, verdicts: Sequence[tuple[Need, str]], note: str) -> Rights:
    parts = {
        verdict: tuple(need for need, found in verdicts if found == verdict)
        for verdict in ("allowed", "denied", "missing", "unknown")
    }
    return Rights(user, "", parts["allowed"], parts["denied"], parts["missing"], parts["unknown"], note)


def _shown(user: str) -> str:
    return repr(one_line(user, longest=80))
