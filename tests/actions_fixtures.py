"""A small action on a real Redis, desks to apply it from, and SSH keys: for the tests of the engine and its records."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.config import Environment
from runbooks_lib.model import Evidence
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.origin import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKeys:
    """Set two keys of one server to one value, the second after the first."""

    name: ClassVar[str] = "set_keys"
    value: str = "new"
    bound: int = 100

    def resources(self) -> tuple[str, ...]:
        return ("redis:a", "redis:b")

    def plan(self, site: Site) -> Plan:
        (node,) = site.nodes
        before = [_text(node.ask("GET", key)) for key in ("a", "b")]
        length = max(len(text) for text in before)
        return Plan(
            action=self.name,
            title="set two keys",
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=node.shown,
            intent={"value": self.value, "bound": self.bound},
            resources=self.resources(),
            read_at=units.now(),
            rests_on={"a": before[0], "b": before[1]},
            before=(Evidence("a", before[0]), Evidence("b", before[1])),
            after=(Evidence("a", self.value), Evidence("b", self.value)),
            undo=Command(self.name, {"value": before[0], "bound": self.bound}),
            guards=(Guard(f"at most {self.bound} characters", holds=length <= self.bound, detail=str(length)),),
            no_op=before == [self.value, self.value],
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:  # noqa: ARG002 - what every action takes
        (node,) = site.nodes
        for done, key in enumerate(("a", "b"), 1):
            site.writer(node).write("SET", key, self.value)
            site.progress(Progress(done, 2, "keys"))
        return Written(account=(Evidence("keys", "2"),), data={"keys": 2})

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - the same
        (node,) = site.nodes
        now = [_text(node.ask("GET", key)) for key in ("a", "b")]
        evidence = (Evidence("now", ", ".join(now)),)
        return ReadBack(now == [self.value, self.value], evidence, f"a and b are {now[0]} and {now[1]}")


@dataclass(frozen=True)
class Hooked:
    """Another action with something done at one of its moments: before ``plan``, ``write`` or ``read_back``."""

    inner: Any
    moment: str
    hook: Callable[[], None]
    after: bool = False

    @property
    def name(self) -> str:
        return self.inner.name

    def resources(self) -> tuple[str, ...]:
        return self.inner.resources()

    def plan(self, site: Site) -> Plan:
        return self._around("plan", lambda: self.inner.plan(site))

    def write(self, plan: Plan, site: WritableSite) -> Written:
        return self._around("write", lambda: self.inner.write(plan, site))

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        return self._around("read_back", lambda: self.inner.read_back(plan, site, written))

    def _around(self, moment: str, call: Callable[[], Any]) -> Any:
        if moment == self.moment and not self.after:
            self.hook()
        result = call()
        if moment == self.moment and self.after:
            self.hook()
        return result


class DyingLedger(Ledger):
    """Its process is killed (kill -9) at the end of the transaction that adds an event of this kind, before its commit."""

    def __init__(self, url: str, kind: str) -> None:
        super().__init__(url)
        self._kind = kind

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        with super().writing() as writing:
            yield writing
            newest = writing.rows("SELECT kind FROM runbook_events ORDER BY seq DESC LIMIT 1")
            if newest == [(self._kind,)]:
                os.kill(os.getpid(), signal.SIGKILL)


def make_set_keys(name: str, parameters: Mapping[str, Any]) -> SetKeys:
    """What ``registry.make_action`` does, for the action of these tests."""
    assert name == SetKeys.name
    return SetKeys(**parameters)


def kinds(ledger: Ledger, *, prefix: str = "") -> list[str]:
    """The kinds of all events, in their order."""
    return [event.kind for event in ledger.events() if event.kind.startswith(prefix)]


def environment_of(redis_url: str, **changes: Any) -> Environment:
    """An unprotected environment with this Redis and nothing else."""
    usual = {
        "name": "sandbox",
        "redis_url": redis_url,
        "prometheus_url": "http://127.0.0.1:1",
        "site_url": "http://127.0.0.1:1",
        "allow_auto": True,
    }
    return Environment(**{**usual, **changes})


@dataclass(frozen=True)
class Keys:
    """Two keys on a server of our own."""

    url: str
    client: Any

    def values(self) -> list[str]:
        return [_text(self.client.get(key)) for key in ("a", "b")]

    def put(self, value: str) -> None:
        self.client.mset({"a": value, "b": value})

    def write_commands(self) -> int:
        """How many SETs the server has carried out."""
        return int(self.client.info("commandstats").get("cmdstat_set", {}).get("calls", 0))


@pytest.fixture(scope="module")
def keys_server(redis_server: Callable[..., Any]) -> Any:
    """One server for the tests of a module."""
    return redis_server()


@pytest.fixture
def keys(keys_server: Any) -> Keys:
    """Both keys are ``old``, and nothing else is there."""
    made = Keys(keys_server.url(), keys_server.client())
    made.client.flushdb()
    made.put("old")
    made.client.config_resetstat()
    return made


@pytest.fixture
def desk(keys: Keys, ledger: Ledger) -> Callable[..., Desk]:
    """Makes desks: ``desk("ben", protected=True)``; keywords of ``Desk`` or of ``Environment``."""

    def make(operator: str = "anna", **changes: Any) -> Desk:
        own = {name: changes.pop(name) for name in tuple(changes) if name in Desk.__dataclass_fields__}
        usual = {"ledger": ledger, "run_id": f"run-{operator}", "operator": operator}
        return Desk(environment_of(changes.pop("redis_url", keys.url), **changes), **{**usual, **own})

    return make


@pytest.fixture
def ssh_key(tmp_path: Path) -> Callable[..., Path]:
    """Makes SSH keys: ``ssh_key("ben")`` is the path of a private one."""

    def make(name: str, passphrase: str = "") -> Path:
        path = tmp_path / f"key-{name}"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    return make


ANOTHER = Account(2001, "anna", "ops1", "0123456789abcdef")


@contextmanager
def another_account(uid: int = 65_534) -> Iterator[None]:
    """Inside, this process runs under another account and may do what it could before; the system itself says so."""
    if os.getuid():
        pytest.skip("only root can be somebody else for a moment")
    os.setresuid(uid, 0, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def allow(folder: Path, **names: Path) -> Path:
    """An ``allowed_signers`` file: name → private key."""
    path = folder / "allowed_signers"
    lines = [f"{name} {key.with_suffix('.pub').read_text(encoding='utf-8')}" for name, key in names.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else ""
