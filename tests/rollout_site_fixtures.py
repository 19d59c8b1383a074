"""A fake site whose metrics a small server tells in Prometheus' API, at the socket: what a rollout is executed on.

The numbers follow the site's flags as they are stored: whoever sets a flag changes the share of the enhanced cohort.
"""

from __future__ import annotations

import http.server
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from change_fixtures import ChangePlace
from fake_site.place import FakeSite
from workplace_fixtures import Workplace

from runbooks_lib import config
from runbooks_lib.changes import exit_code
from runbooks_lib.model import Verdict
from runbooks_lib.operations.rollout import RolloutRun, execute_rollout
from runbooks_lib.operations.rollout_verdict import judge_rollout
from runbooks_lib.records.campaigns import Campaign, Campaigns
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.runbook import Runbook, open_runbook

FEATURE = "ENHANCED_CACHE"
TERMS = {"stages": "0,50,100", "soak": "2h", "look": "1h"}
PAGER_TOKEN = "pager-tok3n-secret"
#: Of the whole site; with this much traffic one look is enough for every test.
PER_SECOND = 20.0
_EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, math.inf)
_BELOW = (0.30, 0.70, 0.97, 0.99, 0.998, 0.9995, 1.0)


@dataclass
class Metrics:
    """How the site does; a test changes it between two executions.

    Attributes:
        enhanced_errors: 5xx / requests of the enhanced cohort.
        hit_ratio: of both.
        penetration: lookups of what does not exist / lookups.
        down: Prometheus answers 503.
        asked: how many queries came.
    """

    enhanced_errors: float = 0.004
    hit_ratio: float = 0.91
    penetration: float = 0.02
    down: bool = False
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, query: str, flag: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: PLR0911 - one line for each question
        """The samples that a query gives, as the API has them."""
        with self._lock:
            self.asked += 1
        seconds = float((re.search(r"\[(\d+)s\]", query) or ["", "3600"])[1])
        percent = {"on": 100.0, "gradual": flag["percentage"]}.get(flag["strategy"], 0.0)
        if "by (code)" in query or ("by (le)" in query and "http_request_duration" in query):
            return _of_all(query, PER_SECOND * seconds)
        requests = {
            "enhanced": PER_SECOND * seconds * percent / 100,
            "legacy": PER_SECOND * seconds * (1 - percent / 100),
        }
        if "by (cohort, le)" in query:
            return [
                _sample(requests[cohort] * ratio, cohort=cohort, le="+Inf" if edge == math.inf else str(edge))
                for cohort in requests
                for edge, ratio in zip(_EDGES, _BELOW, strict=True)
            ]
        if "by (cohort, code)" in query:
            bad = {"enhanced": self.enhanced_errors, "legacy": 0.004}
            return [
                _sample(requests[cohort] * share, cohort=cohort, code=code)
                for cohort, ratio in bad.items()
                for code, share in (("200", 1 - ratio), ("500", ratio))
            ]
        lookups = PER_SECOND * seconds * 1.5
        if "by (status)" in query:
            shares = {"hit": self.hit_ratio, "miss": 0.98 - self.hit_ratio, "null_value": 0.02}
            return [_sample(lookups * share, status=status) for status, share in shares.items()]
        if "by (le)" in query:
            return [_sample(1.0, le="60"), _sample(1.0, le="120"), _sample(1.0, le="+Inf")]
        if "feature_flag_percentage" in query:
            return [_sample(percent)]
        if "cache_penetration_attempts_total" in query:
            return [_sample(lookups * self.penetration)]
        if query.startswith("max("):
            return [_sample(240.0)]
        return [_sample(1.0)]


@dataclass
class RolloutSite:
    """A fake site, its metrics, and a workplace that operates it.

    Attributes:
        place: where ``runbooks`` is used.
        site: whose flags are changed.
        metrics: what Prometheus says of it.
        messages: what ``[notify] team`` and ``on_call`` were sent: path and body.
        code: exit code of the newest execution.
    """

    place: ChangePlace
    site: FakeSite
    metrics: Metrics
    messages: list[tuple[str, dict[str, Any]]]
    code: int = 0

    @property
    def flag(self) -> tuple[str, float]:
        """Strategy and percentage, read around everything."""
        found = self.site.flags[FEATURE]
        return found["strategy"], found["percentage"]

    @property
    def ledger(self) -> Ledger:
        """The workplace's."""
        return Ledger(self.ledger_url)

    @property
    def ledger_url(self) -> str:
        """Of the workplace's ledger."""
        return f"sqlite:///{self.place.folder / 'runs' / 'ledger.sqlite3'}"

    def kinds(self, prefix: str) -> list[str]:
        """The events of the ledger whose kind begins so, in order, without it."""
        kinds = [event.kind for event in self.ledger.events()]
        return [kind.removeprefix(prefix) for kind in kinds if kind.startswith(prefix)]

    @property
    def holders(self) -> dict[str, str]:
        """Resource → who holds its lock."""
        return {lease.resource: lease.holder for lease in Leases(self.ledger).held("site")}

    def open(self, **parameters: Any) -> Runbook:
        """The notebook's runbook."""
        configuration = config.load(self.place.folder / "runbooks.toml", self.place.variables)
        return open_runbook("gradual_rollout", environment="site", configuration=configuration, parameters=parameters)

    def execute(
        self,
        *,
        action: str = "go",
        confirm: str = "auto",
        reason: str = "",
        now: datetime | None = None,
        terms: Mapping[str, str] = TERMS,
    ) -> tuple[RolloutRun, Verdict]:
        """One execution, as the notebook does it; its run is closed."""
        asked = {"feature": FEATURE, "action": action, "confirm": confirm, "reason": reason}
        runbook = self.open(**asked, **terms)
        came = execute_rollout(runbook, FEATURE, action=action, terms=terms, confirm=confirm, reason=reason, now=now)
        verdict = runbook.checked_first(judge_rollout(runbook, came))
        runbook.close(verdict)
        self.code = exit_code(verdict.exit_code, runbook.run.record["actions"])
        return came, verdict

    def begin(self, reason: str = "a test", **terms: str) -> Campaign:
        """A rollout that was begun with its digest."""
        wanted = {**TERMS, **terms}
        planned, _ = self.execute(confirm="", terms=wanted, reason=reason)
        digest = planned.outcomes[0].plan.digest
        began, _ = self.execute(confirm=digest, terms=wanted, reason=reason)
        assert began.campaign is not None, began
        return began.campaign

    def look(self, looks: int = 1, **asked: Any) -> tuple[RolloutRun, Verdict]:
        """An execution when so many further looks have ended."""
        return self.execute(now=self.after(looks), **asked)

    def after(self, looks: int = 1) -> datetime:
        """The moment at which so many further looks have ended."""
        campaign = Campaigns(self.ledger).latest("site", FEATURE)
        taken = campaign.last_look.look if campaign.last_look else 0
        return campaign.stage_started_at + (taken + looks) * timedelta(hours=1) + timedelta(minutes=2)


@pytest.fixture
def rollout_site(workplace: Workplace, fake_site: Callable[..., FakeSite]) -> Iterator[Callable[..., RolloutSite]]:
    """Makes sites to roll out on: ``rollout_site(protected=True)``; the flag is gradual at 0 %."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def make(*, protected: bool = False, allow_auto: bool = False, notify: bool = True) -> RolloutSite:
        site, metrics, messages = fake_site(), Metrics(), []
        site.set_flag(FEATURE, "gradual", 0)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site, metrics, messages))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"127.0.0.1:{server.server_address[1]}"
        environment = site.environment
        manage = json.dumps(list(environment.manage))
        table = (
            f'[environments.site]\nredis_url = "{environment.redis_url}"\nprometheus_url = "http://{url}"\n'
            f'site_url = "{environment.site_url}"\nmanage = {manage}\nkey_prefix = "django"\n'
            f"protected = {json.dumps(protected)}\nallow_auto = {json.dumps(allow_auto)}\n"
        )
        told = (
            f'[notify]\nteam = ["json://{url}/team"]\non_call = ["json://{url}/${{PAGER_TOKEN}}"]\n' if notify else ""
        )
        (workplace.folder / "runbooks.toml").write_text(table + told, encoding="utf-8")
        variables = {**workplace.variables, "PAGER_TOKEN": PAGER_TOKEN}
        return RolloutSite(ChangePlace(workplace.folder, variables), site, metrics, messages)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def _handler(site: FakeSite, metrics: Metrics, messages: list) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if "/api/v1/" in self.path:
                self._answer(body)
            else:
                messages.append((self.path, json.loads(body)))
                self._send(200, {})

        def _answer(self, text: str) -> None:
            asked = {name: values[0] for name, values in parse_qs(text).items()}
            if metrics.down:
                self._send(503, {"status": "error", "errorType": "unavailable", "error": "starting up"})
            elif "start" in asked:
                self._send(200, {"status": "success", "data": {"resultType": "matrix", "result": self._range(asked)}})
            else:
                samples = metrics.answer(asked["query"], site.flags[FEATURE])
                at = float(asked.get("time", 0))
                result = [{"metric": s["metric"], "value": [at, s["value"]]} for s in samples]
                self._send(200, {"status": "success", "data": {"resultType": "vector", "result": result}})

        def _range(self, asked: dict[str, str]) -> list[dict[str, Any]]:
            begins, ends, step = (float(asked[name]) for name in ("start", "end", "step"))
            times = [begins + number * step for number in range(int((ends - begins) / step) + 1)]
            samples = metrics.answer(asked["query"], site.flags[FEATURE])
            return [{"metric": s["metric"], "values": [[at, s["value"]] for at in times]} for s in samples]

        def _send(self, status: int, body: dict) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler


def _of_all(query: str, requests: float) -> list[dict[str, Any]]:
    """Requests of both cohorts together, for the baseline."""
    if "by (code)" in query:
        return [_sample(requests * share, code=code) for code, share in (("200", 0.996), ("500", 0.004))]
    pairs = zip(_EDGES, _BELOW, strict=True)
    return [_sample(requests * ratio, le="+Inf" if edge == math.inf else str(edge)) for edge, ratio in pairs]


def _sample(value: float, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": str(value)}
