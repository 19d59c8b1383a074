"""Which sites there are, and how to reach them: ``runbooks.toml``.

This is the one place where configuration and secrets enter. ``${NAME}`` in a value is replaced from the process
environment, then from the environment's ``variables_file``; ``${NAME:-default}`` has a default. An environment's
variables are resolved only when that environment is opened, so a missing production password does not keep anybody from
practising in the sandbox.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from runbooks_lib.errors import ConfigurationError, UsageError
from runbooks_lib.redis_urls import LIST_SCHEMES, BadUrlError, parse_many_hosts
from runbooks_lib.target import leads_to_the_same
from runbooks_lib.variables import parse_variables, resolve

FILE_NAME = "runbooks.toml"
#: Overrides where the file is looked for (the nearest parent folder of the working directory by default).
FILE_VARIABLE = "RUNBOOKS_CONFIG"

_T = TypeVar("_T")
_SCHEMES = {
    "redis_url": ("redis://", "rediss://", "unix://", "sentinel://", "rediscluster://"),
    "prometheus_url": ("http://", "https://"),
    "site_url": ("http://", "https://"),
    "metrics_urls": ("http://", "https://"),
}
_EXPECTED = "scheme://[user:password@]host[:port]; special characters percent-encoded (@ %40, / %2F, : %3A, # %23)"


class Environment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One site that the runbooks operate.

    Attributes:
        name: the key under ``[environments]``.
        redis_url: the cache's Redis with its database number, ``redis://[:password@]host:port/1``; for Sentinel and a
            cluster see ``redis_urls``.
        prometheus_url: root of the HTTP API (Prometheus, Thanos, Mimir, VictoriaMetrics).
        site_url: root of the site; ``/metrics`` and ``/api/health/cache`` are read below it.
        database_url: SQLAlchemy URL of the database that holds ``cache_stats``; empty where there is none.
        manage: argument list that runs the site's ``manage.py``; empty where it cannot be reached.
        key_prefix: django-redis ``KEY_PREFIX``; may be empty.
        key_version: django-redis ``VERSION``: keys begin with ``<key_prefix>:<key_version>:``.
        protected: changes need a reason and somebody else's approval.
        allow_auto: ``confirm="auto"`` is accepted.
        time_scale: the guide's durations are divided by it; 1 on a real site.
        metrics_selector: PromQL label matchers that pick this site out of a shared Prometheus, without braces
            (``job="shop",cluster="eu"``); empty for all.
        metrics_urls: expositions of further processes (the Celery worker) for the fallback without Prometheus.
        variables_file: ``NAME=value`` lines, a second source for ``${NAME}``.
        backups: folder of this site's backups; empty means ``backups`` beside ``runbooks.toml``.
        root: folder of ``runbooks.toml``; relative paths and ``manage`` start there.
        secrets: every value that came in as ``${NAME}`` (but ports and paths), longest first, for redaction.
    """

    name: str = ""
    redis_url: str
    prometheus_url: str
    site_url: str
    database_url: str = ""
    manage: tuple[str, ...] = ()
    key_prefix: str = ""
    key_version: Annotated[int, msgspec.Meta(ge=0)] = 1
    protected: bool = False
    allow_auto: bool = False
    time_scale: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 1.0
    metrics_selector: str = ""
    metrics_urls: tuple[str, ...] = ()
    variables_file: str = ""
    backups: str = ""
    root: Path = Path()
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The name only: URLs hold passwords, and a repr ends up in tracebacks and logs."""
        return f"Environment({self.name!r})"

    @property
    def backups_folder(self) -> Path:
        """Where backups are kept."""
        return self.root / (self.backups or "backups")


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are kept: an SQLAlchemy URL. Empty means ``runs/ledger.sqlite3`` beside ``runbooks.toml``."""

    url: str = ""

    def __repr__(self) -> str:
        """No URL: it may hold a password."""
        return "Ledger(…)"


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How approvals are proved, and how long they count.

    Attributes:
        allowed_signers: as ssh-keygen reads it, relative to ``runbooks.toml``; empty where approvals are not signed.
        expires: a duration such as ``30m`` or ``8h``.
    """

    allowed_signers: str = ""
    expires: Annotated[str, msgspec.Meta(pattern=r"^[1-9]\d{0,4}[smhd]$")] = "1h"


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a rollout tells of its decisions, as addresses of Apprise (``slack://…``, ``mailto://…``).

    Attributes:
        team: is told of every end, pause and rollback.
        on_call: is told as well where somebody must look now: a rollback, a pause, a rollout that sees nothing.
        secrets: values to remove from whatever is shown: the addresses and what entered them as ``${NAME}``.
    """

    team: tuple[str, ...] = ()
    on_call: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """How many: an address is a credential."""
        return f"Notify({len(self.team)} team, {len(self.on_call)} on_call)"


class Configuration:
    """The parsed ``runbooks.toml``; environments are resolved when they are asked for.

    Args:
        path: the file.
        document: its parsed content.
        variables: the process environment.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self.path = path
        self.root = path.parent
        self._document = document
        self._variables = variables

    @property
    def environment_names(self) -> tuple[str, ...]:
        """All configured environments, in the order of the file."""
        return tuple(self._document["environments"])

    @property
    def contacts(self) -> Mapping[str, str]:
        """``[contacts]``: role → address, shown where a runbook says whom to call."""
        return dict(self._document.get("contacts", {}))

    @property
    def runs_folder(self) -> Path:
        """Where runs are kept: ``runs/`` beside the file."""
        return self.root / "runs"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger.

        Raises:
            ConfigurationError: ``[ledger]`` is wrong or names a missing variable.
        """
        raw = self._document.get("ledger", {})
        resolved, _ = resolve(raw, self._variables, where=f"{self.path}: [ledger]", hint="set it, or remove the table")
        ledger = _convert(resolved, Ledger, where=f"{self.path}: [ledger]")
        return ledger.url or f"sqlite:///{self.runs_folder / 'ledger.sqlite3'}"

    @property
    def notify(self) -> Notify:
        """``[notify]``: whom a rollout tells; nobody where it is not set.

        Raises:
            ConfigurationError: ``[notify]`` is wrong or names a missing variable.
        """
        where = f"{self.path}: [notify]"
        raw = self._document.get("notify", {})
        if "secrets" in raw:
            raise ConfigurationError(f"{where}: key 'secrets' is not one you can set")
        resolved, used = resolve(raw, self._variables, where=where, hint="set it, or remove the table")
        found = _convert(resolved, Notify, where=where)
        addresses = {*found.team, *found.on_call}
        if not all("://" in address for address in addresses):
            # The value itself is not shown: it may be a credential.
            raise ConfigurationError(f"{where}: an address must be a URL of Apprise, such as slack://… or mailto://…")
        secrets = tuple(sorted({*used, *addresses}, key=len, reverse=True))
        return msgspec.structs.replace(found, secrets=secrets)

    @property
    def allowed_signers(self) -> Path | None:
        """``[approvals] allowed_signers``: whose SSH keys may approve; None where approvals are not signed.

        Raises:
            ConfigurationError: ``[approvals]`` is wrong or names a missing variable.
        """
        named = self._approvals.allowed_signers
        return (self.root / named).resolve() if named else None

    @property
    def approval_seconds(self) -> float:
        """``[approvals] expires``: how long an approval counts; an hour unless it is set.

        Raises:
            ConfigurationError: ``[approvals]`` is wrong or names a missing variable.
        """
        expires = self._approvals.expires
        return float(expires[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[expires[-1]]

    @property
    def _approvals(self) -> Approvals:
        where = f"{self.path}: [approvals]"
        resolved, _ = resolve(self._document.get("approvals", {}), self._variables, where=where, hint="set it")
        return _convert(resolved, Approvals, where=where)

    def environment(self, name: str) -> Environment:
        """One environment with all its variables resolved; protected as well where it leads to a protected one.

        Raises:
            UsageError: no environment has that name.
            ConfigurationError: a key is unknown, missing or impossible, or a variable is not set.
        """
        found = self._configured(name)
        return msgspec.structs.replace(found, protected=found.protected or self._is_protected_elsewhere(found))

    def _configured(self, name: str) -> Environment:
        environments = self._document["environments"]
        if name not in environments:
            known = ", ".join(environments) or "none"
            raise UsageError(f"environment {name!r} is not in {self.path}", hint=f"choose one of: {known}")
        where = f"{self.path}: [environments.{name}]"
        raw = environments[name]
        if not isinstance(raw, dict):
            raise ConfigurationError(f"{where} must be a table, not {type(raw).__name__}")
        variables, hint = self._variables_for(raw, where)
        resolved, secrets = resolve(raw, variables, where=where, hint=hint)
        reserved = sorted({"name", "root", "secrets"} & resolved.keys())
        if reserved:
            raise ConfigurationError(f"{where}: key {reserved[0]!r} is not one you can set")
        environment = _convert({**resolved, "name": name}, Environment, where=where)
        _check_urls(environment, where)
        return msgspec.structs.replace(environment, root=self.root.resolve(), secrets=secrets)

    def _is_protected_elsewhere(self, environment: Environment) -> bool:
        """Does a protected environment lead to the same? One whose variables are not set here cannot be told."""
        for name in set(self.environment_names) - {environment.name}:
            with contextlib.suppress(ConfigurationError):
                if (other := self._configured(name)).protected and leads_to_the_same(environment, other):
                    return True
        return False

    def _variables_for(self, raw: Mapping[str, Any], where: str) -> tuple[Mapping[str, str], str]:
        """The variables of one environment and the hint for one that is missing."""
        named = raw.get("variables_file", "")
        if not isinstance(named, str):
            raise ConfigurationError(f"{where}: variables_file must be a path, not {named!r}")
        if not named:
            return self._variables, "export it before you start, or set it in the shell's profile"
        (resolved, _) = resolve({"variables_file": named}, self._variables, where=where, hint="export it")
        path = self.root / resolved["variables_file"]
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            missing = f"{path} does not exist: "
            return self._variables, missing + ("start it: make sandbox" if "sandbox" in named else "create it")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{where}: variables_file {path} cannot be read: {error}") from error
        return {**parse_variables(text), **self._variables}, f"set it in {path}"


def load(path: Path | None = None, variables: Mapping[str, str] | None = None) -> Configuration:
    """Read ``runbooks.toml``.

    Args:
        path: the file; by default ``$RUNBOOKS_CONFIG``, else the nearest one in the working directory or above it.
        variables: what ``${NAME}`` may name; by default the process environment.

    Raises:
        ConfigurationError: there is no such file, it is not TOML, or its top level is wrong.
    """
    environ = os.environ if variables is None else variables
    chosen = path or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else _nearest(Path.cwd()))
    try:
        document = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{chosen} does not exist",
            hint=f"start from the repository's {FILE_NAME}, or set {FILE_VARIABLE}",
        ) from error
    except IsADirectoryError as error:
        raise ConfigurationError(
            f"{chosen} is a folder, not a file", hint=f"give the file in it: {chosen / FILE_NAME}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{chosen} cannot be read: {error}",
            hint=f"it must be a text file in UTF-8 that you may read: ls -l {chosen}",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{chosen} is not TOML: {error}", hint="correct the line that it names") from error
    _check_top_level(document, chosen)
    return Configuration(chosen, document, environ)


def _nearest(folder: Path) -> Path:
    """The nearest ``runbooks.toml`` in the folder or above it; the folder's own, where there is none."""
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    return folder / FILE_NAME


def _check_top_level(document: Mapping[str, Any], path: Path) -> None:
    known = {"environments", "contacts", "notify", "ledger", "approvals"}
    unknown = sorted(document.keys() - known)
    if unknown:
        raise ConfigurationError(f"{path}: unknown table [{unknown[0]}]", hint=f"known are: {', '.join(sorted(known))}")
    for name in known & document.keys():
        if not isinstance(document[name], dict):
            raise ConfigurationError(f"{path}: [{name}] must be a table, not {type(document[name]).__name__}")
    if not document.get("environments"):
        raise ConfigurationError(f"{path}: no environment is configured", hint="add a table [environments.<name>]")
    for role, address in document.get("contacts", {}).items():
        if not isinstance(address, str):
            raise ConfigurationError(f"{path}: [contacts] {role} must be a string, not {address!r}")


def _convert(raw: Mapping[str, Any], kind: type[_T], *, where: str) -> _T:
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{where}: {error}", hint="the keys and their types are listed in README.md"
        ) from error


def _is_url(value: str) -> bool:
    """Can host and port be told? A web address needs a host; Redis is on this machine without one."""
    try:
        parts = urlsplit(value)
        hostname, port = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(hostname or value.startswith("redis")) and port != 0


def _check_urls(environment: Environment, where: str) -> None:
    for key, schemes in _SCHEMES.items():
        configured = getattr(environment, key)
        for value in (configured,) if isinstance(configured, str) else configured:
            if not value.startswith(schemes):
                # The value itself is not shown: it may hold a password.
                raise ConfigurationError(f"{where}: {key} must begin with one of {', '.join(schemes)}")
            if value.startswith(("http://", "https://", "redis://", "rediss://")) and not _is_url(value):
                raise ConfigurationError(f"{where}: {key} is not a URL", hint=f"expected is {_EXPECTED}")
    _check_many_hosts(environment.redis_url, where)
    if environment.database_url and "://" not in environment.database_url:
        raise ConfigurationError(
            f"{where}: database_url must be an SQLAlchemy URL such as sqlite:////path or postgresql://…"
        )
    if environment.manage and not environment.manage[-1].endswith("manage.py"):
        raise ConfigurationError(f"{where}: manage must end in manage.py, not {environment.manage[-1]!r}")


def _check_many_hosts(redis_url: str, where: str) -> None:
    """The list of hosts of Sentinel or of a cluster; other URLs pass."""
    if redis_url.partition("://")[0] in LIST_SCHEMES:
        try:
            parse_many_hosts(redis_url)
        except BadUrlError as error:
            # The chain is cut, as nothing of the URL may be shown.
            raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from None
