"""The practice site's alert rules are rules that Prometheus accepts."""

import shutil
import subprocess

from sandbox.processes.alert_rules import alert_rules


def test_alert_rules_are_accepted_by_promtool(tmp_path):
    """A rule that Prometheus refuses would keep the sandbox from starting."""
    path = tmp_path / "rules.yml"
    path.write_text(alert_rules(60), encoding="utf-8")
    done = subprocess.run(
        [shutil.which("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 rules found" in done.stdout


def test_alert_rules_hold_times_are_scaled_and_never_zero():
    """15 minutes are 15 seconds at scale 60."""
    assert '"for": "15s"' in alert_rules(60)
    assert '"for": "900s"' in alert_rules(1)
    assert '"for": "0s"' not in alert_rules(100_000)
