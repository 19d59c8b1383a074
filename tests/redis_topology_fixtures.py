"""Fixtures for Redis in every shape: a cluster of three primaries, a primary behind Sentinel, TLS, ACL users.

::

    redis_cluster            a running cluster, shared by the session; start_redis_cluster(...) for another one
    redis_sentinel           a primary, a replica and a Sentinel; start_redis_sentinel(...) for another one
    tls_files                an authority, and what it signed: for 127.0.0.1, for another name, expired, for a client

Both offer ``url()``, ``environment()``, ``flush()``, ``dbsize()``, ``client_for(key)`` and ``write_commands()``.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from servers_fixtures import HOST, RunningRedis, Server, binary, free_port, redis_servers
from sources_fixtures import site_environment

from runbooks_lib.config import Environment

SERVICE = "mymaster"
_PATIENCE_SECONDS = 20.0
#: What a server counts under these names changed its data or its settings.
_WRITES = frozenset(
    "set setex psetex setnx mset getset getdel incr incrby decr append del unlink expire pexpire expireat pexpireat persist "
    "hset hmset hdel hincrby sadd srem zadd zrem lpush rpush lpop rpop restore rename flushdb flushall copy move sort "
    "eval evalsha fcall bgsave save bgrewriteaof swapdb migrate".split()
) | {"config|set", "config|rewrite", "config|resetstat", "acl|setuser", "acl|deluser", "client|kill", "client|pause"}


def write_commands(clients: Sequence[object]) -> int:
    """How many writing commands these servers have carried out so far (INFO commandstats)."""
    count = 0
    for client in clients:
        for name, figures in client.info("commandstats").items():
            if name.removeprefix("cmdstat_") in _WRITES:
                count += int(figures["calls"])
    return count


def acl_user(server: RunningRedis, name: str, *rules: str, password: str = "acl-pw") -> str:
    """Make a user with these ACL rules; gives the URL of database 0 with its name and password."""
    server.client(0).execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
    return server.url(0, user=name, password=password)


@dataclass(frozen=True)
class TlsFiles:
    """Certificates in one folder, all signed by ``ca`` but for ``other_ca``.

    ``server`` is for 127.0.0.1, ``named`` for another name, ``expired`` no longer valid, ``client`` for a client.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other.pem"

    def options(self, port: int, *, certificate: str = "server", clients: str = "no") -> tuple[str, ...]:
        """Options of a redis-server that also listens with TLS at ``port``; ``clients`` is ``tls-auth-clients``."""
        files = ("--tls-cert-file", str(self.folder / f"{certificate}.pem"))
        files += ("--tls-key-file", str(self.folder / f"{certificate}.key"), "--tls-ca-cert-file", str(self.ca))
        return ("--tls-port", str(port), *files, "--tls-auth-clients", clients)


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory) -> TlsFiles:
    """An authority and what it signed."""
    folder = tmp_path_factory.mktemp("tls")
    day, past = 86_400, 20_000_000
    now = int(time.time())
    _authority(folder, "ca")
    _authority(folder, "other")
    _signed(folder, "server", f"subjectAltName=IP:{HOST}", now - day, now + day)
    _signed(folder, "named", "subjectAltName=DNS:cache.example.com", now - day, now + day)
    _signed(folder, "expired", f"subjectAltName=IP:{HOST}", now - past, now - day)
    _signed(folder, "client", "extendedKeyUsage=clientAuth", now - day, now + day)
    return TlsFiles(folder)


def _authority(folder: Path, name: str) -> None:
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _openssl(folder, "req", *kind, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def _signed(folder: Path, name: str, extension: str, begins: int, ends: int) -> None:
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"]
    _openssl(folder, "req", *kind, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / f"{name}.cnf").write_text(
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        f"unique_subject=no\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\n{extension}\n"
    )
    (folder / "index").touch()
    dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at)) for at in (begins, ends)]
    signing = ["-cert", "ca.pem", "-keyfile", "ca.key", "-startdate", dates[0], "-enddate", dates[1]]
    _openssl(folder, "ca", "-batch", "-config", f"{name}.cnf", *signing, "-in", f"{name}.csr", "-out", f"{name}.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run([binary("openssl"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr[-800:]}")


@dataclass
class RunningCluster:
    """A cluster of primaries on 127.0.0.1, each with an equal part of the slots.

    Attributes:
        servers: the primaries, in the order of their slots.
        tls_ports: one for each primary; empty without TLS.
    """

    servers: list[RunningRedis]
    tls_ports: list[int] = field(default_factory=list)

    def url(self, *, user: str = "", password: str | None = None, query: str = "", path: str = "") -> str:
        """``rediscluster://`` with all primaries; with its own password unless another one is given."""
        secret = self.servers[0].password if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if secret else ""
        hosts = ",".join(f"{HOST}:{port}" for port in self.tls_ports or [server.port for server in self.servers])
        return f"rediscluster://{login}{hosts}{path}{query}"

    def environment(self, **keys: object) -> Environment:
        """An environment whose Redis is this cluster."""
        return site_environment(redis_url=self.url(), **keys)

    def clients(self) -> list:
        """A redis-py client of each primary, to prepare and to look at data."""
        return [server.client(0) for server in self.servers]

    def client_for(self, key: bytes | str):
        """A redis-py client of the primary that serves the key's slot."""
        slot = self.servers[0].client(0).execute_command("CLUSTER", "KEYSLOT", key)
        return self.servers[slot * len(self.servers) // 16384].client(0)

    def fill(self, values: Mapping[bytes | str, bytes | str]) -> None:
        """Set strings, each at its primary."""
        for key, value in values.items():
            self.client_for(key).set(key, value)

    def dbsize(self) -> int:
        """Keys of all primaries."""
        return sum(client.dbsize() for client in self.clients())

    def flush(self) -> None:
        """Remove all keys."""
        for client in self.clients():
            client.flushall()

    def write_commands(self) -> int:
        """Writing commands carried out so far, on all primaries."""
        return write_commands(self.clients())


@pytest.fixture(scope="module")
def start_redis_cluster(redis_server, tls_files) -> Callable[..., RunningCluster]:
    """Starts clusters: ``start_redis_cluster("--maxmemory", "16mb", password="…", tls=True)``.

    Each takes 2 to 3 s, because a primary never serves its slots in the first 2 s of its life.
    """
    return _cluster_starter(redis_server, tls_files)


def _cluster_starter(redis_server: Callable[..., RunningRedis], tls_files: TlsFiles) -> Callable[..., RunningCluster]:
    def start(*options: str, password: str = "", tls: bool = False, size: int = 3) -> RunningCluster:
        cluster = RunningCluster([])
        for _ in range(size):
            own = ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "1500"]
            if tls:
                cluster.tls_ports.append(free_port())
                own += [*tls_files.options(cluster.tls_ports[-1]), "--tls-cluster", "yes"]
            own += ["--masterauth", password] if password else []
            cluster.servers.append(redis_server(*own, *options, password=password))
        _join(cluster)
        return cluster

    return start


def _join(cluster: RunningCluster) -> None:
    """Give each primary its slots, introduce them to each other, and wait until all of them agree."""
    clients, size = cluster.clients(), len(cluster.servers)
    for index, client in enumerate(clients):
        # index * size rounds up, so that client_for() finds the same primary by integer division.
        first, last = -(-16384 * index // size), -(-16384 * (index + 1) // size) - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
    for index in range(1, size):
        port = cluster.tls_ports[index] if cluster.tls_ports else cluster.servers[index].port
        bus = clients[index].config_get("cluster-port")["cluster-port"]
        clients[0].execute_command("CLUSTER", "MEET", HOST, port, bus)

    def agreed() -> bool:
        states = [client.execute_command("CLUSTER INFO") for client in clients]
        return all(
            state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(size) for state in states
        ) and all(len(client.execute_command("CLUSTER SLOTS")) == size for client in clients)

    wait_until(agreed, "the cluster did not come up")


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory, tls_files) -> Iterator[RunningCluster]:
    """One cluster for all modules that leave its slots and its servers as they are."""
    with redis_servers(tmp_path_factory) as start:
        yield _cluster_starter(start, tls_files)()


@pytest.fixture(scope="module")
def redis_cluster(session_cluster) -> RunningCluster:
    """Three primaries without a password, without keys and users. Who ends or moves one starts a cluster of its own."""
    session_cluster.flush()
    for client in session_cluster.clients():
        for user in set(client.acl_users()) - {"default"}:
            client.acl_deluser(user)
        client.config_set("timeout", 0)
        client.config_resetstat()
    return session_cluster


@dataclass
class RunningSentinel:
    """A primary, a replica and a Sentinel that watches them as ``mymaster``.

    Attributes:
        primary: as started; a failover makes ``replica`` the primary.
        sentinel: the Sentinel's process and port.
        sentinel_password: of the Sentinel itself; empty for none.
    """

    primary: RunningRedis
    replica: RunningRedis
    sentinel: Server
    sentinel_password: str = ""

    def url(
        self,
        database: int = 1,
        *,
        user: str = "",
        password: str | None = None,
        service: str = SERVICE,
        sentinel_password: str | None = None,
        query: str = "",
    ) -> str:
        """``sentinel://``; with its own passwords unless others are given. ``query`` begins with ``&``."""
        secret = self.primary.password if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if secret else ""
        of_sentinel = self.sentinel_password if sentinel_password is None else sentinel_password
        more = f"&sentinel_password={quote(of_sentinel, safe='')}" if of_sentinel else ""
        place = f"{HOST}:{self.sentinel.port}/{database}"
        return f"sentinel://{login}{place}?service={quote(service, safe='')}{more}{query}"

    def environment(self, **keys: object) -> Environment:
        """An environment whose Redis is found through this Sentinel."""
        return site_environment(redis_url=self.url(), **keys)

    def client(self, database: int = 1):
        """A redis-py client of the primary as started."""
        return self.primary.client(database)

    def client_for(self, key: bytes | str):  # noqa: ARG002 - the same as on a cluster
        """A redis-py client of the primary: it holds every key."""
        return self.client()

    def sentinel_client(self):
        """A redis-py client of the Sentinel."""
        import redis

        return redis.Redis(HOST, self.sentinel.port, password=self.sentinel_password or None, socket_timeout=5)

    def dbsize(self) -> int:
        """Keys in database 1."""
        return self.client().dbsize()

    def flush(self) -> None:
        """Remove all keys."""
        self.client().flushall()

    def write_commands(self) -> int:
        """Writing commands carried out by the primary so far."""
        return write_commands([self.client()])


@pytest.fixture(scope="module")
def start_redis_sentinel(redis_server, tmp_path_factory) -> Iterator[Callable[..., RunningSentinel]]:
    """Starts a primary, a replica and a Sentinel: ``start_redis_sentinel(password="…", sentinel_password="…")``."""
    running: list[Server] = []

    def start(*options: str, password: str = "", sentinel_password: str = "") -> RunningSentinel:
        own = ["--masterauth", password] if password else []
        primary = redis_server("--repl-diskless-sync-delay", "0", *own, *options, password=password)
        replica = redis_server("--replicaof", HOST, str(primary.port), *own, *options, password=password)
        wait_until(lambda: primary.client().info("replication")["connected_slaves"] == 1, "no replica connected")
        folder = tmp_path_factory.mktemp("sentinel")
        sentinel = start_sentinel(folder, primary, sentinel_password)
        running.append(sentinel)
        made = RunningSentinel(primary, replica, sentinel, sentinel_password)
        client = made.sentinel_client()
        wait_until(lambda: len(client.execute_command("SENTINEL REPLICAS", SERVICE)) == 1, "Sentinel saw no replica")
        client.close()
        return made

    yield start
    for sentinel in running:
        sentinel.stop()


def start_sentinel(
    folder: Path, primary: RunningRedis, sentinel_password: str = "", *, tls: TlsFiles | None = None, tls_port: int = 0
) -> Server:
    """A Sentinel that watches ``primary`` as ``mymaster``, with a quorum of itself. End it with ``stop()``.

    With ``tls`` it speaks TLS itself, and with the primary at ``tls_port``.
    """
    port = free_port()
    lines = [f"bind {HOST}", f"dir {folder}", f"sentinel monitor {SERVICE} {HOST} {tls_port or primary.port} 1"]
    lines += ["port 0", *_as_lines(tls.options(port)), "tls-replication yes"] if tls else [f"port {port}"]
    lines += [f"sentinel down-after-milliseconds {SERVICE} 500", f"sentinel failover-timeout {SERVICE} 3000"]
    lines += [f'sentinel auth-pass {SERVICE} "{primary.password}"'] if primary.password else []
    lines += [f'requirepass "{sentinel_password}"'] if sentinel_password else []
    (folder / "sentinel.conf").write_text("\n".join([*lines, ""]))
    with (folder / "log").open("wb") as log:
        command = [binary("redis-server"), str(folder / "sentinel.conf"), "--sentinel"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    server = Server(process, port, folder)
    wait_until(lambda: _accepts(port) if tls else _answers(port), "the Sentinel did not start")
    return server


def _as_lines(options: Sequence[str]) -> list[str]:
    """``--name value`` as lines of a configuration file."""
    return [f"{name.removeprefix('--')} {value}" for name, value in zip(options[::2], options[1::2], strict=True)]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


@pytest.fixture(scope="module")
def redis_sentinel(start_redis_sentinel) -> RunningSentinel:
    """A primary, a replica and a Sentinel without passwords, shared by the module."""
    return start_redis_sentinel()


def _answers(port: int) -> bool:
    import redis

    client = redis.Redis(HOST, port, socket_timeout=1)
    try:
        client.ping()
    except redis.AuthenticationError:
        return True
    except redis.RedisError:
        return False
    finally:
        client.close()
    return True


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    """Ask every 50 ms until it holds; 20 s at most."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > ends:
            raise RuntimeError(otherwise)
        time.sleep(0.05)


def resp(value: object) -> bytes:
    """A value as Redis sends it: bytes and str, int, None, lists; an exception as an error reply."""
    if isinstance(value, Exception):
        return b"-%s\r\n" % str(value).encode()
    if isinstance(value, list):
        return b"*%d\r\n%s" % (len(value), b"".join(resp(one) for one in value))
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    raw = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%s\r\n" % (len(raw), raw)


def speaking_redis(answer: Callable[[str], object]) -> Callable[[object], None]:
    """For ``tcp_server``: answers each command, given as upper-case text, with what ``answer`` says."""

    def act(connection) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline():
            words = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
            connection.sendall(resp(answer(b" ".join(words).decode("latin-1").upper())))

    return act
